"""The precision in which a stage's ballots were cast, in a saved file."""

from __future__ import annotations

import pytest
from codec_edits import edited, put
from committees import committee, lesion_table

from skinensemble import Stage, load
from skinensemble.cli import main
from skinensemble.cli.info import describe
from skinensemble.exceptions import ModelFileError
from skinensemble.persistence import save
from skinensemble.stage import _stage

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
    assert describe(str(path))["training"]["precision"] == stage.precision_
    assert main(["info", str(path)]) == 0
    assert f"2 folds, in {stage.precision_}\n" in capsys.readouterr().out


@pytest.mark.parametrize(
    "value", ["float8", "", "\x1b]0;owned\x07", 16, None, ["float32"]], ids=repr
)
def test_what_is_no_precision_is_refused(saved, value, tmp_path):
    ((_, path),) = edited(saved[1], {"no precision": put("root/precision", value)}, tmp_path)
    with pytest.raises(ModelFileError, match=r"root\.precision"):
        load(path)
    with pytest.raises(ModelFileError, match=r"\.precision"):
        describe(str(path))
