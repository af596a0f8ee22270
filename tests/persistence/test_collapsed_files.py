"""A collapsed member in a saved file: it comes back as it was, and nothing else does."""

from __future__ import annotations

import numpy as np
import pytest
from codec_edits import REMOVE, edited, put
from committees import CODES, MALIGNANT, committee, lesion_table
from sklearn.base import clone
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression

from skinensemble import Cascade, CollapsedMember, Stage, load
from skinensemble.cli.info import describe
from skinensemble.exceptions import ModelFileError

X, Y, LESIONS = lesion_table(200)
FRESH = lesion_table(60, seed=5)[0]


@pytest.fixture(scope="module")
def cascade():
    elsewhere = lesion_table(200, seed=9)
    theirs = FrozenEstimator(LogisticRegression().fit(*elsewhere[:2]))
    stage = Stage([("theirs", theirs), *committee()], cv=2)
    return Cascade(stage, random_state=0).fit(X, Y, groups=LESIONS)


def test_it_comes_back_from_a_file(cascade, tmp_path):
    cascade.save(tmp_path / "cascade.h5")
    back = load(tmp_path / "cascade.h5")
    member = back.triage_.members_[0]
    assert type(member) is CollapsedMember
    assert member.malignant == list(MALIGNANT)
    np.testing.assert_array_equal(back.predict_proba(FRESH), cascade.predict_proba(FRESH))
    back.save(tmp_path / "again.h5")
    assert (tmp_path / "again.h5").read_bytes() == (tmp_path / "cascade.h5").read_bytes()
    again = clone(back).fit(X, Y, groups=LESIONS)
    np.testing.assert_array_equal(again.triage_.ballots(FRESH), cascade.triage_.ballots(FRESH))
    (kind, *_) = describe(str(tmp_path / "cascade.h5"))["stages"]["triage"]["members"]
    assert kind["type"] == "CollapsedMember"


MEMBER = "root/triage/members/0/1"
HOSTILE = {
    "nothing malignant": put(f"{MEMBER}/malignant", []),
    "everything malignant": put(f"{MEMBER}/malignant", CODES.tolist()),
    "another label": put(f"{MEMBER}/malignant", ["melanoma"]),
    "labels twice": put(f"{MEMBER}/malignant", ["mel", "mel"]),
    "labels missing": put(f"{MEMBER}/malignant", REMOVE),
    "classifier missing": put(f"{MEMBER}/classifier", REMOVE),
    "a rule for a classifier": put(
        f"{MEMBER}/classifier", {"type": "SoftVote", "params": {"weights": None}}
    ),
}


def test_a_file_that_says_something_wrong_is_refused(cascade, tmp_path):
    cascade.save(tmp_path / "sound.h5")
    for _, path in edited(tmp_path / "sound.h5", HOSTILE, tmp_path):
        with pytest.raises(ModelFileError, match=r"^cannot load: .* – .* – "):
            load(path)
