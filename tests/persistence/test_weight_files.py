"""The weights of a stage's samples, in a saved file."""

from __future__ import annotations

import numpy as np
import pytest
from codec_edits import REMOVE, both, change, drop, edited, put, spoil
from committees import committee, lesion_table

from skinensemble import Stage, cascade_around, load
from skinensemble.exceptions import ModelFileError
from skinensemble.persistence import save
from skinensemble.persistence.container import read_container

X, Y, LESIONS = lesion_table()
WEIGHT = np.where(Y == "mel", 4.0, 1.0)


@pytest.fixture(scope="module")
def stage():
    return fitted(WEIGHT)


def fitted(sample_weight):
    stage = Stage(committee()[:2], voting="stacking", cv=2, random_state=0)
    return stage.fit(X, Y, groups=LESIONS, sample_weight=sample_weight)


def test_they_come_back(stage, tmp_path):
    digest = save(stage, tmp_path / "stage.h5")
    back = load(tmp_path / "stage.h5")
    np.testing.assert_array_equal(back.sample_weight_, WEIGHT)
    assert save(back, tmp_path / "again.h5") == digest
    found, expected = (str(one.compare(rules=(), n_resamples=20)) for one in (back, stage))
    assert found == expected


@pytest.mark.parametrize("alike", [None, np.full(len(Y), 3.0)], ids=["none", "all alike"])
def test_where_none_differs_the_file_says_nothing_of_them(alike, tmp_path):
    save(fitted(alike), tmp_path / "stage.h5")
    assert not [name for name in read_container(tmp_path / "stage.h5").specs if "weight" in name]
    assert load(tmp_path / "stage.h5").sample_weight_ is None


def test_a_file_without_them_loads_as_before(stage, tmp_path):
    save(stage, tmp_path / "stage.h5")
    without = [put("root/training/sample_weight", REMOVE), drop("sample_weight")]
    ((_, path),) = edited(tmp_path / "stage.h5", {"old": both(*without)}, tmp_path)
    back = load(path)
    assert back.sample_weight_ is None
    np.testing.assert_array_equal(back.shares_, stage.shares_)


@pytest.mark.parametrize("value", [np.nan, np.inf, -1.0])
def test_what_is_no_weight_is_refused(stage, value, tmp_path):
    save(stage, tmp_path / "stage.h5")
    edits = {"odd": change("sample_weight", spoil(value))}
    edits["none"] = change("sample_weight", np.zeros_like)
    edits["short"] = change("sample_weight", lambda values: values[1:])
    for _, path in edited(tmp_path / "stage.h5", edits, tmp_path):
        with pytest.raises(ModelFileError, match="sample_weight"):
            load(path)


def test_a_triage_of_the_same_members_learns_by_them(stage):
    cascade = cascade_around(stage, malignant=["mel"], voting="stacking")
    np.testing.assert_array_equal(cascade.triage_.sample_weight_, WEIGHT)
    share = WEIGHT[Y == "mel"].sum() / WEIGHT.sum()
    np.testing.assert_allclose(cascade.triage_.shares_, [1 - share, share])
