"""The documentation is true: its examples run, and its reference names all there is."""

from __future__ import annotations

import doctest
import importlib
import re
from pathlib import Path

import pytest

import skinensemble
from skinensemble import voting

DOCS = Path(__file__).parents[1] / "docs"
FLAGS = doctest.NORMALIZE_WHITESPACE | doctest.ELLIPSIS
# These train networks; the other pages take a second or two.
SLOW = {"index", "way_of_the_data"}
PUBLIC = (
    "backbones",
    "comparison",
    "datasets",
    "engines",
    "exceptions",
    "features",
    "images",
    "members",
    "metrics",
    "persistence.container",
    "plots",
    "prevalence",
    "report",
    "taxonomy",
    "thresholds",
    "trials",
    "voting",
)
PAGES = sorted(page.stem for page in DOCS.glob("*.rst") if ">>> " in page.read_text("utf-8"))


class ProbabilityChecker(doctest.OutputChecker):
    """Compares probabilities as such: their digits depend on the machine that trained."""

    # As a verdict writes them, small ones with their power of ten.
    probability = re.compile(r"(\bp (?:malignant )?= )(?:[01]\.\d{3,}|\d(?:\.\d+)?e-\d+)")

    def check_output(self, want, got, optionflags):
        want, got = (self.probability.sub(r"\1#", text) for text in (want, got))
        return super().check_output(want, got, optionflags)


@pytest.mark.parametrize(
    "page",
    [pytest.param(page, marks=[pytest.mark.slow] if page in SLOW else []) for page in PAGES],
)
def test_examples_run(page, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(voting, "_RULES", dict(voting._RULES))
    text = (DOCS / f"{page}.rst").read_text("utf-8")
    test = doctest.DocTestParser().get_doctest(text, {}, page, f"{page}.rst", 0)
    report: list[str] = []
    results = doctest.DocTestRunner(ProbabilityChecker(), optionflags=FLAGS).run(
        test, out=report.append
    )
    assert results.attempted
    assert not results.failed, "".join(report)


def reference() -> dict[str, object]:
    """Entries of the autosummaries in the API reference, and what they stand for."""
    entries = re.findall(r"^   ([A-Za-z_][\w.]*)$", (DOCS / "api.rst").read_text("utf-8"), re.M)
    return {entry: find(entry) for entry in entries}


def find(entry: str) -> object:
    module, _, name = entry.rpartition(".")
    home = importlib.import_module(f"skinensemble.{module}" if module else "skinensemble")
    return getattr(home, name, None)


def test_every_entry_of_the_reference_exists():
    assert not [entry for entry, thing in reference().items() if thing is None]


def test_every_public_name_is_in_the_reference():
    # What two modules export is listed once, under either.
    listed = {(entry.rpartition(".")[2], id(thing)) for entry, thing in reference().items()}
    expected = [name for name in skinensemble.__all__ if name != "__version__"]
    for module in PUBLIC:
        names = importlib.import_module(f"skinensemble.{module}").__all__
        expected += [f"{module}.{name}" for name in names]
    missing = [one for one in expected if (one.rpartition(".")[2], id(find(one))) not in listed]
    assert not missing, f"add to docs/api.rst: {missing}"
