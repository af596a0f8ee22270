"""The precision in which a stage's ballots were cast, in a saved file."""

from __future__ import annotations

import pytest
from codec_edits import edited, put
from committees import committee, lesion_table

from skinensemble import Stage, cascade_around, load, search
from skinensemble.cli import main
from skinensemble.cli.info import describe
from skinensemble.exceptions import ModelFileError
from skinensemble.persistence import save
from skinensemble.stage import _stage
from skinensemble.trials import _result, _trial

X, Y, LESIONS = lesion_table()


@pytest.fixture(params=["float32", "bfloat16"])
def saved(request, monkeypatch, tmp_path):
    """Return a stage, and its file; its members run no network, so any processor will do."""
    monkeypatch.setattr(_stage, "get_config", lambda: {"precision": request.param})
    stage = Stage(committee(), cv=2, random_state=0).fit(X, Y, groups=LESIONS)
    save(stage, tmp_path / "stage.h5")
    assert stage.precision_ == request.param
    return stage, tmp_path / "stage.h5"


def test_it_comes_back_and_is_told(saved, capsys):
    stage, path = saved
    assert load(path).precision_ == stage.precision_
    assert describe(str(path))["stages"]["stage"]["precision"] == stage.precision_
    assert main(["info", str(path)]) == 0
    said = "ballots cast in bfloat16: predict in it too" in capsys.readouterr().out
    assert said == (stage.precision_ == "bfloat16")


def test_who_takes_ballots_over_takes_their_precision_over(saved, monkeypatch):
    stage, _ = saved
    monkeypatch.setattr(_stage, "get_config", lambda: {"precision": "another"})
    cascade = cascade_around(stage, malignant=["mel"])
    assert cascade.triage_.precision_ == cascade.diagnosis_.precision_ == stage.precision_


def test_a_search_keeps_it_for_its_committee(monkeypatch):
    monkeypatch.setattr(_trial, "get_config", lambda: {"precision": "bfloat16"})
    monkeypatch.setattr(_result, "get_config", lambda: {"precision": "bfloat16"})
    found = search(committee(), X, Y, groups=LESIONS, n_finalists=2, random_state=0)
    assert found.committee().precision_ == "bfloat16"


def test_a_certificate_has_the_precision_of_its_own_ballots(monkeypatch):
    sides = ("benign", "malignant")
    X, y, lesions = lesion_table(codes=sides)
    triage = Stage(committee(), cv=2, random_state=0).fit(X, y, groups=lesions)
    assert triage.precision_ == "float32"
    monkeypatch.setattr(_stage, "get_config", lambda: {"precision": "bfloat16"})
    X, y, lesions = lesion_table(200, codes=sides, seed=9)
    triage.certify(X, y, groups=lesions, min_sensitivity=0.9)
    assert triage.precision_ == "bfloat16"


@pytest.mark.parametrize(
    "value", ["float8", "", "\x1b]0;owned\x07", 16, None, ["float32"]], ids=repr
)
def test_what_is_no_precision_is_refused(saved, value, tmp_path):
    ((_, path),) = edited(saved[1], {"no precision": put("root/precision", value)}, tmp_path)
    with pytest.raises(ModelFileError, match=r"root\.precision"):
        load(path)
    with pytest.raises(ModelFileError, match=r"\.precision"):
        describe(str(path))
