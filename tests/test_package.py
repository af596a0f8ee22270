from __future__ import annotations

import ast
import importlib
import json
import os
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest

import skinensemble

ROOT = Path(skinensemble.__file__).parent

# The way of the data: a room imports from rooms above it, from its own, or from leaves.
LEAVES = (
    "exceptions",
    "_optional",
    "_afresh",
    "_deadline",
    "_threads",
    "_paths",
    "taxonomy",
    "validation",
    "identity",
    "thresholds",
    "prevalence",
    "persistence",
    "tables",
)
ROOMS = (
    *("images", "backbones", "engines", "features", "members", "voting", "metrics", "comparison"),
    *(
        "committee",
        "stage",
        "builders",
        "trials",
        "routing",
        "referral",
        "verdict",
        "cascade",
        "report",
    ),
    *("plots", "datasets", "demo", "cli"),
)
# Among themselves, leaves may use those before them.
ORDER = {name: place for place, name in enumerate((*LEAVES, *ROOMS))}

# Imports inside functions that look down: (module, what it imports) and why they have to.
LOOKS_DOWN = {
    ("persistence._voting", "voting"): "saved rules are resolved by the name they registered",
}
# Rooms that work where Keras is not installed; they may import it inside functions only.
WITHOUT_KERAS = {
    *(*LEAVES, "images", "voting", "metrics", "comparison", "datasets"),
    *("routing", "referral", "verdict", "report"),
}


def modules() -> dict[str, Path]:
    """Name below the package → file, of every module."""
    found = {}
    for path in sorted(ROOT.rglob("*.py")):
        parts = path.relative_to(ROOT).with_suffix("").parts
        found[".".join(part for part in parts if part != "__init__")] = path
    return found


def room_of(module: str) -> str:
    return module.split(".")[0]


@cache
def imports(path: Path) -> tuple[tuple[str, bool], ...]:
    """Everything a file imports, by absolute name, and whether at its top level."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    inner = {
        node
        for function in ast.walk(tree)
        if isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
        for node in ast.walk(function)
    }
    typing = {
        node
        for block in ast.walk(tree)
        if isinstance(block, ast.If) and ast.unparse(block.test).endswith("TYPE_CHECKING")
        for node in ast.walk(block)
    }
    found = []
    for node in ast.walk(tree):
        if node in typing:
            continue
        if isinstance(node, ast.Import):
            found += [(alias.name, node not in inner) for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: a relative import"
            found.append((node.module, node not in inner))
            if node.module == "skinensemble":
                found += [(f"skinensemble.{alias.name}", node not in inner) for alias in node.names]
    return tuple(found)


def inside(path: Path) -> list[tuple[str, bool]]:
    """What of the package a file imports, by names below it; lazy names by their home."""
    below = [(n.split(".", 1)[1], top) for n, top in imports(path) if n.startswith("skinensemble.")]
    return [(skinensemble._HOME.get(name, name), top) for name, top in below]


MODULES = {name: path for name, path in modules().items() if name not in ("", "__main__")}


def test_every_room_has_its_place():
    assert {room_of(module) for module in MODULES} == set(ORDER)


def below(module: str) -> set[str]:
    """What a module imports that does not stand above it."""
    room, names = room_of(module), {name for name, _ in inside(MODULES[module])} - {"__version__"}
    # `datasets` stands apart: nothing of the way of the data may need it, nor it the rest.
    if room == "datasets":
        return {name for name in names if room_of(name) not in {*LEAVES, "datasets"}}
    return {
        name
        for name in names
        if room_of(name) != room
        and ORDER[room_of(name)] >= ORDER[room]
        and (module, room_of(name)) not in LOOKS_DOWN
    }


def test_a_module_imports_only_what_stands_above_it():
    assert not {module: wrong for module in MODULES if (wrong := below(module))}


def test_exceptions_to_the_order_are_needed_and_inside_functions():
    for module, room in LOOKS_DOWN:
        found = [top for name, top in inside(MODULES[module]) if room_of(name) == room]
        assert found
        assert not any(found)


def packages(module: str, *, top: bool = False) -> set[str]:
    """The packages a module imports, anywhere or at its top level."""
    return {name.split(".")[0] for name, eager in imports(MODULES[module]) if eager or not top}


def test_keras_is_imported_inside_functions_only():
    heavy = {"keras", "tensorflow", "matplotlib", "pandas", "h5py", "torch", "jax", "openvino"}
    assert not {
        module: eager for module in MODULES if (eager := packages(module, top=True) & heavy)
    }


def test_nothing_imports_an_engine_or_runs_code_from_files():
    refused = {"tensorflow", "torch", "jax", "pickle", "marshal", "shelve", "dill"}
    used = {module: found for module in MODULES if (found := packages(module) & refused)}
    # Weights that come as PyTorch files are read by an unpickler that builds arrays only.
    assert used == {"backbones._torch_weights": {"pickle"}}
    keras = {
        module
        for module in MODULES
        if room_of(module) in WITHOUT_KERAS and "keras" in packages(module)
    }
    assert keras == {"datasets._download"}


def test_the_exported_names_are_the_lazy_table():
    assert sorted(skinensemble.__all__) == sorted([*skinensemble._HOME, "__version__"])
    assert set(skinensemble.__all__) <= set(dir(skinensemble))


def test_every_exported_name_is_there_and_public_at_home():
    for name, module in skinensemble._HOME.items():
        home = importlib.import_module(f"skinensemble.{module}")
        assert getattr(skinensemble, name) is getattr(home, name)
        assert name in home.__all__
        assert getattr(home, name).__doc__, name


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="module 'skinensemble' has no attribute 'Cascode'"):
        _ = skinensemble.Cascode


@pytest.mark.parametrize("module", [name for name in MODULES if "._" not in f".{name}"])
def test_the_public_names_of_a_module_are_those_it_lists(module):
    loaded = importlib.import_module(f"skinensemble.{module}")
    if not hasattr(loaded, "__all__"):
        assert module.startswith("cli.")  # commands are found by the names they register
        return
    listed = loaded.__all__
    assert len(set(listed)) == len(listed)
    assert all(hasattr(loaded, name) for name in listed)
    own = {
        name
        for name, value in vars(loaded).items()
        if getattr(value, "__module__", "") == loaded.__name__ and not name.startswith("_")
    }
    if MODULES[module].name != "__init__.py":
        assert own <= set(listed) | {"message", "first_few", "check_choice"}


HEAVY = {"tensorflow", "keras", "sklearn", "scipy", "numpy", "PIL", "h5py", "matplotlib", "pandas"}
NETWORKS = {"tensorflow", "keras", "h5py"}
# What each must not load, nor those before it: one process runs them all.
IMPORTS = {
    "import skinensemble": HEAVY,
    "dir(skinensemble); skinensemble.__version__": HEAVY,
    "import skinensemble.exceptions, skinensemble.tables": HEAVY,
    "import skinensemble.persistence.container": NETWORKS | {"sklearn"},
    "import skinensemble.images": NETWORKS | {"sklearn"},
    "from skinensemble import MajorityVote, evaluate": NETWORKS,
    "import skinensemble.datasets": NETWORKS,
    "from skinensemble import Cascade, load, make_cascade": NETWORKS,
}
RUN = """
import json, sys
for code in sys.argv[1:]:
    exec(code)
    print(json.dumps(sorted({name.split(".")[0] for name in sys.modules})))
"""


@pytest.fixture(scope="module")
def loaded() -> dict[str, set[str]]:
    """Top-level packages that a fresh interpreter has loaded after each of these."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT.parent)}
    command = [sys.executable, "-c", RUN, *IMPORTS]
    lines = subprocess.check_output(command, env=environment, text=True).splitlines()
    return {code: set(json.loads(line)) for code, line in zip(IMPORTS, lines, strict=True)}


@pytest.mark.parametrize("code", IMPORTS)
def test_an_import_loads_no_more_than_it_needs(loaded, code):
    assert "skinensemble" in loaded[code]
    assert not loaded[code] & IMPORTS[code]


def test_types_are_shipped():
    assert (ROOT / "py.typed").is_file()
    assert "skinensemble = py.typed" in (ROOT.parent / "setup.cfg").read_text(encoding="utf-8")


def length(function: ast.FunctionDef) -> int:
    """Number of lines of the body, without its docstring."""
    body = function.body[bool(ast.get_docstring(function)) :]
    return sum(statement.end_lineno - statement.lineno + 1 for statement in body)


def test_modules_are_short_and_explained():
    for module, path in MODULES.items():
        text = path.read_text(encoding="utf-8")
        assert text.count("\n") <= 450, module
        tree = ast.parse(text)
        assert ast.get_docstring(tree), module
        functions = [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)]
        assert not [node.name for node in functions if length(node) > 50], module
