from __future__ import annotations

import ast
import inspect
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import skinensemble
from skinensemble import exceptions
from skinensemble._optional import import_optional
from skinensemble.exceptions import (
    CertificateError,
    DatasetError,
    EngineError,
    ImageReadError,
    InputError,
    MemberError,
    MissingDependencyError,
    ModelFileError,
    SaveError,
    SkinEnsembleError,
    UngroupedWarning,
    WeightsError,
    first_few,
    message,
)

ROOT = Path(skinensemble.__file__).parent


def test_the_form_of_a_message():
    assert message("y", "rows 3", "missing", "label them") == "y: rows 3 – missing – label them"


@pytest.mark.parametrize(
    ("items", "limit", "text"),
    [
        ([], 3, ""),
        ([1], 3, "1"),
        ("abc", 3, "a, b, c"),
        ("abcd", 3, "a, b, c … and 1 more"),
        (range(25), 10, "0, 1, 2, 3, 4, 5, 6, 7, 8, 9 … and 15 more"),
    ],
)
def test_the_first_few(items, limit, text):
    assert first_few(items, limit) == text


@given(st.lists(st.integers(), max_size=40), st.integers(1, 12))
def test_shown_and_counted_are_all(items, limit):
    text = first_few(iter(items), limit)
    shown, _, rest = text.partition(" … and ")
    n_shown = len([part for part in shown.split(", ") if part])
    assert n_shown + int(rest.split()[0] if rest else 0) == len(items)
    assert n_shown <= limit


@pytest.mark.parametrize(
    ("error", "parents"),
    [
        (InputError, (ValueError,)),
        (ImageReadError, (InputError,)),
        (DatasetError, (InputError,)),
        (CertificateError, (InputError,)),
        (WeightsError, (OSError,)),
        (EngineError, (RuntimeError,)),
        (MemberError, (ValueError,)),
        (ModelFileError, (ValueError,)),
        (SaveError, (OSError,)),
        (MissingDependencyError, (ImportError,)),
    ],
)
def test_the_tree(error, parents):
    assert issubclass(error, (SkinEnsembleError, *parents))
    assert all(issubclass(error, parent) for parent in (SkinEnsembleError, *parents))


def test_the_tree_in_the_docstring_is_the_tree():
    for name, error in vars(exceptions).items():
        if inspect.isclass(error) and issubclass(error, Exception) and error is not Exception:
            assert name in exceptions.__all__
            if not issubclass(error, Warning):
                assert name in exceptions.__doc__
    assert issubclass(UngroupedWarning, UserWarning)


def test_one_root_catches_all():
    with pytest.raises(SkinEnsembleError):
        raise CertificateError("too few")


def raised(path: Path):
    """Each `raise Name(...)` of a file, with the function it is in."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    for node in ast.walk(tree):
        if isinstance(node, ast.Raise) and isinstance(node.exc, ast.Call):
            yield node.lineno, ast.unparse(node.exc.func), node.exc


OWN = {name for name in exceptions.__all__ if name.endswith("Error")}
SOURCES = sorted(ROOT.rglob("*.py"))


def test_errors_are_of_the_tree_and_in_its_form():
    """Texts are written by `message`, directly or under a name, and never by hand."""
    found = [(path, *one) for path in SOURCES for one in raised(path) if one[1] in OWN]
    assert len(found) > 100
    for path, line, name, call in found:
        assert call.args, f"{path.name}:{line}: no text"
        text = call.args[-1] if name == "SaveError" else call.args[0]
        if isinstance(text, ast.Call):
            assert ast.unparse(text.func) in {"message", "_message", "str"}, f"{path.name}:{line}"
        else:
            assert not isinstance(text, ast.Constant | ast.JoinedStr), f"{path.name}:{line}"


FOREIGN = {"ValueError", "TypeError", "RuntimeError", "Exception", "OSError", "KeyError"}
# Where a room tells itself that something is wrong, and says it properly one function further up.
INTERNAL = {
    "backbones/_torch_weights.py": {"ValueError"},
    "backbones/_weights.py": {"ValueError"},
    "datasets/_dermamnist.py": {"ValueError"},
    "features/_sidecar.py": {"ValueError"},
    # An index of a type that no sequence takes is Python's own TypeError.
    "images/_source.py": {"TypeError"},
}


def test_nothing_else_is_raised_on_purpose():
    found = {
        path.relative_to(ROOT).as_posix(): {name for _, name, _ in raised(path)} & FOREIGN
        for path in SOURCES
    }
    assert {path: names for path, names in found.items() if names} == INTERNAL


def test_a_missing_package_is_named_with_the_command_that_installs_it():
    text = r'missing package: no_such_package – plots need it – pip install "skinensemble\[plots\]"'
    with pytest.raises(MissingDependencyError, match=text):
        import_optional("no_such_package", extra="plots", purpose="plots")


@pytest.mark.parametrize(
    ("code", "cause"),
    [
        ("import no_such_module", "ModuleNotFoundError: No module named 'no_such_module'"),
        ("from json import nothing", "ImportError: cannot import name 'nothing'"),
        ("import ctypes; ctypes.CDLL('libnone.so.1')", "OSError: libnone.so.1: cannot open"),
        ("raise ValueError('dtype size changed\\nmore')", r"ValueError: dtype size changed\)"),
    ],
)
def test_a_package_that_is_there_and_broken_is_named_with_the_cause(
    tmp_path, monkeypatch, code, cause
):
    (tmp_path / "broken_package.py").write_text(code)
    monkeypatch.syspath_prepend(tmp_path)
    text = rf"broken package: broken_package – plots need it, and its import fails \({cause}.*"
    with pytest.raises(MissingDependencyError, match=text + " – pip install --force-reinstall"):
        import_optional("broken_package", extra="plots", purpose="plots")


def test_an_optional_package_that_is_there_is_imported():
    assert import_optional("json", extra="plots", purpose="plots").dumps([1]) == "[1]"
