"""A time budget leads through every rung, and says what it left out."""

from __future__ import annotations

import time

import numpy as np
import pytest
from committees import Scripted, committee, lesion_table
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.naive_bayes import GaussianNB

from skinensemble import search
from skinensemble._deadline import check_deadline
from skinensemble.exceptions import InputError
from skinensemble.trials import _search, _trial

X, Y, LESIONS = lesion_table(120)


class Clockwork:
    """A clock that moves when something is trained: by a second for each hundred rows."""

    def __init__(self):
        self.now = 0.0

    def monotonic(self) -> float:
        return self.now


class Slow(ClassifierMixin, BaseEstimator):
    def __init__(self, clock=None, smoothing=1e-9, later=0):
        self.clock = clock
        self.smoothing = smoothing
        self.later = later

    def fit(self, X, y):
        self.clock().now += len(X) / 100 + (self.later if self.clock().now else 0)
        self.fitted_ = GaussianNB(var_smoothing=self.smoothing).fit(X, y)
        self.classes_ = self.fitted_.classes_
        return self

    def predict_proba(self, X):
        return self.fitted_.predict_proba(X)


@pytest.fixture
def clock(monkeypatch):
    clock = Clockwork()
    monkeypatch.setattr(_search, "time", clock)
    monkeypatch.setattr(_trial, "time", clock)
    return clock


def candidates(clock, later=0) -> list:
    return [(f"s{i}", Slow(lambda: clock, 10.0 ** (i - 9), later)) for i in range(12)]


def seconds(found, share) -> float:
    return sum(trial.seconds for trial in found.trials if trial.share == share)


def longest(found) -> float:
    return max(trial.seconds for trial in found.trials)


@pytest.mark.parametrize("budget", [12.0, 20.0, 30.0])
def test_each_rung_has_its_part_and_the_last_is_reached(clock, budget):
    whole = search(candidates(clock), X, Y, groups=LESIONS, n_finalists=3)
    assert not whole.notes
    clock.now = 0.0
    found = search(candidates(clock), X, Y, groups=LESIONS, n_finalists=3, time_budget=budget)
    # What was begun is finished, nothing is begun afterwards.
    assert clock.now <= budget + longest(found)
    assert seconds(found, 1 / 3) <= budget / 2 + min(trial.seconds for trial in found.trials)
    assert found.finalists
    tried = len({trial.name for trial in found.trials})
    if tried < 12:
        assert f"Out of time: {tried} of 12 were tried on 33 % of the lesions." in found.notes
    if len(found.finalists) < min(3, tried):
        shown = f"{len(found.finalists)} of 3 were tried on all folds."
        assert f"Out of time: {shown}" in found.notes
    assert all(note in str(found) for note in found.notes)
    untried = [place for place in found.leaderboard if place.outcome == "not tried"]
    assert len(untried) == 12 - tried


def test_the_best_of_a_rung_are_the_first_of_the_next(clock):
    whole = search(candidates(clock), X, Y, groups=LESIONS, n_finalists=3)
    best = max(
        (trial for trial in whole.trials if trial.share < 1),
        key=lambda trial: whole.data.score(trial, "log_loss"),
    )
    enough = seconds(whole, 1 / 3) * 2 + 0.1
    clock.now = 0.0
    found = search(candidates(clock), X, Y, groups=LESIONS, n_finalists=3, time_budget=enough)
    assert best.name in found.finalists


def test_a_budget_too_short_for_one_trial_is_an_error(clock, tmp_path):
    given = {"groups": LESIONS, "n_finalists": 3, "folder": tmp_path}
    text = r"time_budget: 0\.1 s – the first trial \(s\d+\) took 0\."
    with pytest.warns(UserWarning, match="not kept"), pytest.raises(InputError, match=text):
        search(candidates(clock), X, Y, time_budget=0.1, **given)


def test_a_budget_that_is_over_before_anything_is_an_error(clock):
    def late(*args):
        clock.now += 5
        return np.zeros(0)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(_search, "content_digests", late)
        with pytest.raises(
            InputError, match=r"time_budget: 3 s – over before the first trial was fin"
        ):
            search(committee(), X, Y, groups=LESIONS, time_budget=3)


def test_what_a_short_budget_finished_is_kept(tmp_path):
    given = {"groups": LESIONS, "folder": tmp_path}
    with pytest.raises(InputError, match=r"with folder= what was finished is kept"):
        search(committee(), X, Y, time_budget=1e-3, **given)
    assert len(list(tmp_path.iterdir())) <= 1
    assert len(search(committee(), X, Y, **given).finalists) == 3


def test_no_finalist_no_committee(clock):
    found = search(candidates(clock, 99), X, Y, groups=LESIONS, n_finalists=3, time_budget=9)
    assert len(found.trials) == 2
    assert found.finalists == []
    assert found.best_name == found.leaderboard[0].name
    assert "No committee: no candidate was tried on all folds; allow more time" in str(found)
    with pytest.raises(InputError, match="committee: no finalist – no candidate was tried on all"):
        found.committee()


def test_finalists_that_all_fail_leave_a_leaderboard():
    class Late(Scripted):
        def fit(self, X, y):
            if len(X) > 100:
                raise MemoryError
            return super().fit(X, y)

    found = search([("one", Late()), ("two", Late())], X, Y, groups=LESIONS, n_finalists=1)
    assert found.finalists == []
    assert sorted(place.outcome for place in found.leaderboard) == ["failed", "out"]


class Patient(Slow):
    """Asks how much time is left, as networks do."""

    def fit(self, X, y):
        for _ in range(1000):
            time.sleep(0.01)
            check_deadline("its training")
        return super().fit(X, y)


@pytest.mark.parametrize("n_jobs", [1, 2])
def test_a_training_that_asks_is_stopped_and_is_no_failure(n_jobs):
    clock = Clockwork()
    candidates = [("quick", GaussianNB()), *((f"p{i}", Patient(lambda: clock)) for i in range(3))]
    first = next(s for s in range(99) if np.random.default_rng(s).permutation(4)[0] == 0)
    options = {"n_finalists": 1, "n_jobs": n_jobs, "random_state": first}
    began = time.monotonic()
    found = search(candidates, X, Y, groups=LESIONS, time_budget=3, **options)
    assert time.monotonic() - began < 8
    outcomes = {place.name: place.outcome for place in found.leaderboard}
    assert outcomes == {"quick": "finalist"} | {f"p{i}": "not tried" for i in range(3)}
    with pytest.raises(InputError, match=r"0\.05 s – over before the first trial was finished"):
        search(candidates[1:], X, Y, groups=LESIONS, time_budget=0.05, n_jobs=n_jobs)
