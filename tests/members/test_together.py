"""Heads on one backbone answer together: once for all, and as each would alone."""

from __future__ import annotations

import numpy as np
import pytest
from test_transfer import member
from tiny_backbone import TINY

from skinensemble import Cascade, Stage
from skinensemble.cascade._early import ask_all
from skinensemble.members import _together
from skinensemble.members._together import heads_together

CODES = ["bkl", "mel", "nv"]
MEMBERS = {"one": {}, "other": {"units": (6,)}, "twin": {"backbone": "tiny_twin"}}


@pytest.fixture(scope="module")
def images():
    return np.random.default_rng(0).integers(0, 256, (48, 32, 32, 3), dtype=np.uint8)


def fitted(images, triage=None, **options):
    members = [(name, member(**TINY | params)) for name, params in MEMBERS.items()]
    stage = Stage(members, cv=2, **options)
    cascade = Cascade(triage or stage, stage, malignant=["mel"], random_state=0)
    return cascade.fit(images, np.repeat(CODES, 16), groups=np.arange(48))


@pytest.fixture
def asked(monkeypatch):
    """How many heads answered at once, each time."""
    counts: list[int] = []
    real = _together.run_heads
    monkeypatch.setattr(
        _together, "run_heads", lambda heads, rows: counts.append(len(heads)) or real(heads, rows)
    )
    return counts


def assert_as_alone(stage, ballots, X):
    for one, ballot in zip(stage.members_, ballots.swapaxes(0, 1), strict=True):
        np.testing.assert_array_equal(one.predict_proba(X), ballot.astype(np.float32))


def test_those_of_both_stages_of_a_cascade(images, asked):
    cascade = fitted(images)
    fresh = cascade.prepare(255 - images[:20])
    asked.clear()
    triage, diagnosis = ask_all(cascade, fresh)
    assert asked == [4, 2]
    assert_as_alone(cascade.triage_, triage, fresh)
    assert_as_alone(cascade.diagnosis_, diagnosis, fresh)
    cascade.predict_malignant(fresh)
    assert asked == [4, 2, 2, 1]


def test_those_that_vote_in_both_stages_are_asked_once(images, asked):
    cascade = fitted(images, triage="soft")
    fresh = cascade.prepare(255 - images[:20])
    asked.clear()
    triage, diagnosis = ask_all(cascade, fresh)
    assert asked == [2, 1]
    np.testing.assert_allclose(triage[..., 1], diagnosis[..., 1], atol=1e-7)


def test_those_of_all_folds(images, asked):
    stage = fitted(images, refit=False).diagnosis_
    asked.clear()
    ballots = stage.ballots(images)
    assert asked == [2, 2, 2]
    alone = [one.predict_proba(images) for one in stage.members_[0].members_]
    np.testing.assert_allclose(ballots[:, 0], np.mean(alone, axis=0), atol=1e-7)


def test_other_images_are_nobodys_business(images, asked):
    members = fitted(images).triage_.members_
    asked.clear()
    with pytest.raises(KeyError), heads_together(members[:2], images):
        members[0].predict_proba(images[:3])  # others
        members[2].predict_proba(images)  # not one of them
        assert asked == []
        with heads_together(members, images):  # within the same, it is the same
            members[0].predict_proba(images)
        assert asked == [2]
        with heads_together(members, images[:5]):
            members[0].predict_proba(images)
        assert members[1].predict_proba(images).shape == (48, 2)
        assert asked == [2]
        raise KeyError
    members[0].predict_proba(images)
    assert asked == [2]
