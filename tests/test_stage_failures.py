"""Members that fail: they are named and left out, and the others vote as if they had not been."""

from __future__ import annotations

import os
import signal
import sys
import time

import numpy as np
import pytest
from committees import Scripted, committee, lesion_table
from hypothesis import given
from hypothesis import strategies as st
from joblib import parallel_config
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.ensemble import VotingClassifier
from sklearn.naive_bayes import GaussianNB

from skinensemble import Cascade, MajorityVote, Stage, load
from skinensemble.committee import MemberFailure
from skinensemble.exceptions import InputError, MemberError, MemberWarning, TimeLimitError
from skinensemble.persistence import save


class Faulty(Scripted):
    """Naive Bayes that fails in one way, in every training or from one on of so many samples."""

    def __init__(self, act="", least=0):
        super().__init__(act)
        self.least = least

    def fit(self, X, y):
        if len(y) < self.least:
            return GaussianNB().fit(X, y)
        if self.act == "import":
            import no_such_package_at_all  # noqa: F401
        if self.act == "memory":
            raise MemoryError("no room for 2 TB")
        if self.act in ("SIGKILL", "SIGSEGV"):
            os.kill(os.getpid(), getattr(signal, self.act))
        if self.act == "slow":
            time.sleep(1.05)
        return super().fit(X, y)

    def predict_proba(self, X):
        proba = super().predict_proba(X)
        if self.act == "inf":
            proba[0, 0] = np.inf
        if self.act == "late":
            raise FloatingPointError("overflow")
        return proba[:, 1:] if self.act == "shape" else proba


class Unprepared(Scripted):
    """Naive Bayes whose shared work fails."""

    def prepare(self, X):
        raise OSError("weights cannot be had")


@pytest.fixture(scope="module")
def data():
    return lesion_table()


@pytest.fixture(scope="module")
def sound(data):
    X, y, lesions = data
    return Stage(committee(), cv=3, random_state=0).fit(X, y, groups=lesions)


FAULTS = {
    "raises": (Faulty("raise"), "fit", "ZeroDivisionError in fit: no such luck"),
    "raises later": (Faulty("raise", least=250), "fit", "ZeroDivisionError in fit"),
    "out of memory": (Faulty("memory"), "fit", "MemoryError in fit: no room for 2 TB"),
    "import": (Faulty("import"), "fit", "ModuleNotFoundError in fit: No module named 'no_such"),
    "stranger": (Faulty("stranger"), "fit", "it votes for zebra, which the stage does not know"),
    "NaN": (Faulty("nan"), "predict_proba", "predict_proba gave NaN for "),
    "infinite": (Faulty("inf"), "predict_proba", "predict_proba gave NaN for "),
    "no probabilities": (Faulty("scores"), "predict_proba", "predict_proba gave no probabilities .*not summing"),
    "shape": (Faulty("shape"), "predict_proba", r"predict_proba gave the shape \(\d+, 4\), not"),
    "raises when asked": (Faulty("late"), "predict_proba", "FloatingPointError in predict_proba"),
    "prepare": (Unprepared(), "prepare", "OSError in prepare: weights cannot be had"),
    "over its time": (Faulty("slow"), "time limit", r"the 1 s for each member were over at tr"),
}


@pytest.mark.parametrize(("member", "where", "reason"), FAULTS.values(), ids=FAULTS)
def test_a_member_that_fails_is_left_out_and_nobody_else_notices(
    data, sound, member, where, reason
):
    X, y, lesions = data
    members = [committee()[0], ("odd", member), *committee()[1:]]
    limit = 1 if where == "time limit" else None
    stage = Stage(members, cv=3, random_state=0, on_error="drop", member_time_limit=limit)
    with pytest.warns(MemberWarning, match=rf"^members: odd – left out, the other 3 of 4 .*{reason}"):
        stage.fit(X, y, groups=lesions)
    (failure,) = stage.failures_.values()
    assert list(stage.failures_) == ["odd"] and failure.where == where
    assert list(stage.named_members_) == [name for name, _ in committee()]
    assert stage.ballots_.tobytes() == sound.ballots_.tobytes()
    assert stage.predict_proba(X).tobytes() == sound.predict_proba(X).tobytes()
    assert [*stage.votes(stage.ballots(X[:1]))[0]] == list(stage.named_members_)
    with pytest.raises(Exception, match=rf"{reason}|^ballots: sample 0 of|^weights cannot be had"):
        stage.set_params(on_error="raise").fit(X, y, groups=lesions)
