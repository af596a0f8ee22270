"""Members that fail: they are named and left out, and the others vote as if they had not been."""

from __future__ import annotations

import os
import signal
import sys
import time
import warnings
from unittest.mock import Mock

import numpy as np
import pytest
from committees import Recorder, Scripted, committee, lesion_table, notebook
from hypothesis import given
from hypothesis import strategies as st
from joblib import parallel_config
from sklearn.base import clone
from sklearn.naive_bayes import GaussianNB

from skinensemble import Cascade, Stage, WeightedMajorityVote, evaluate, load
from skinensemble.committee import MemberFailure, _watch
from skinensemble.exceptions import (
    ImageReadError,
    InputError,
    MemberError,
    MemberWarning,
    SaveError,
    TimeLimitError,
)
from skinensemble.persistence import save


class Clock:
    """Time that passes only where a member says so: a busy machine is no reason to fail."""

    now = 0.0

    def monotonic(self) -> float:
        return self.now


CLOCK = Clock()


@pytest.fixture
def clock(monkeypatch):
    monkeypatch.setattr("skinensemble._deadline.time", CLOCK)


BOTH = ("SIGKILL", "SIGSEGV")


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
        if self.act in BOTH:
            os.kill(os.getpid(), getattr(signal, self.act))
        if self.act == "slow":
            CLOCK.now += 1.5
        if self.act == "refuses":
            raise InputError("parameters: odd – cannot be used – correct it")
        super().fit(X, y)
        if self.act == "classless":
            del self.classes_
        return self

    def predict_proba(self, X):
        proba = super().predict_proba(X)
        if self.act == "inf":
            proba[0, 0] = np.inf
        if self.act == "late":
            raise FloatingPointError("overflow")
        if self.act == "type":
            raise TypeError("unsupported operand")
        if self.act == "refuses when asked":
            raise InputError("parameters: odd – cannot be used – correct it")
        return proba[:, 1:] if self.act == "shape" else proba


class Unprepared(Scripted):
    """Naive Bayes whose shared work fails."""

    def prepare(self, X):
        raise OSError("weights cannot be had")


class Unbuilt(Recorder):
    """Somebody whose network cannot be built, which it says before anybody is trained."""

    def prepare(self, X):
        return X

    def build_network(self):
        raise InputError("unfreeze: 'block_9_add' – no such layer – cut it elsewhere")


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
    "no probabilities": (
        Faulty("scores"),
        "predict_proba",
        "predict_proba gave no probabilities .*not summing",
    ),
    "shape": (Faulty("shape"), "predict_proba", r"predict_proba gave the shape \(\d+, 4\), not"),
    "raises when asked": (Faulty("late"), "predict_proba", "FloatingPointError in predict_proba"),
    "a TypeError when asked": (Faulty("type"), "predict_proba", "unsupported operand"),
    "no classes_": (Faulty("classless"), "fit", "it has no classes_, so nobody knows"),
    "parameters": (Faulty("refuses"), "fit", "parameters: odd – cannot be used"),
    "an InputError when asked": (
        Faulty("refuses when asked"),
        "predict_proba",
        "parameters: odd – cannot be used",
    ),
    "a network": (Unbuilt(), "prepare", "unfreeze: 'block_9_add' – no such layer"),
    "prepare": (Unprepared(), "prepare", "OSError in prepare: weights cannot be had"),
    "over its time": (Faulty("slow"), "time limit", r"the 1 s for each member were over at tr"),
}


@pytest.mark.parametrize(("member", "where", "reason"), FAULTS.values(), ids=FAULTS)
def test_a_member_that_fails_is_left_out_and_nobody_else_notices(
    data, sound, clock, member, where, reason
):
    X, y, lesions = data
    members = [committee()[0], ("odd", member), *committee()[1:]]
    limit = 1 if where == "time limit" else None
    stage = Stage(members, cv=3, random_state=0, on_error="drop", member_time_limit=limit)
    with pytest.warns(MemberWarning, match=rf"^members: odd – left out, 3 of 4 .*{reason}"):
        stage.fit(X, y, groups=lesions)
    (failure,) = stage.failures_.values()
    assert list(stage.failures_) == ["odd"] and failure.where == where
    assert list(stage.named_members_) == [name for name, _ in committee()]
    assert stage.ballots_.tobytes() == sound.ballots_.tobytes()
    assert stage.predict_proba(X).tobytes() == sound.predict_proba(X).tobytes()
    assert [*stage.votes(stage.ballots(X[:1]))[0]] == list(stage.named_members_)
    with pytest.raises(Exception, match=rf"{reason}|^ballots: sample 0 of|^weights cannot be had"):
        stage.set_params(on_error="raise").fit(X, y, groups=lesions)


@pytest.mark.skipif(sys.platform == "win32", reason="no such signals")
@pytest.mark.slow
def test_members_that_kill_their_processes_are_the_only_ones_missing(data):
    X, y, lesions = data
    one, other, _ = committee()
    members = [one, *((name.lower(), Faulty(name)) for name in BOTH), other]
    stage = Stage(members, cv=2, random_state=0, on_error="drop")
    with parallel_config(backend="loky", n_jobs=2), pytest.warns(MemberWarning, match="killed"):
        stage.fit(X, y, groups=lesions)
    start, end = "the process that trained it was killed by ", ", perhaps for want of memory"
    assert stage.failures_ == {
        name.lower(): MemberFailure("worker", f"{start}{name}{end}") for name in BOTH
    }
    sound = Stage([one, other], cv=2, random_state=0).fit(X, y, groups=lesions)
    assert stage.ballots_.tobytes() == sound.ballots_.tobytes()
    assert stage.predict_proba(X).tobytes() == sound.predict_proba(X).tobytes()


@given(st.text(max_size=700))
def test_a_reason_is_one_line_that_a_terminal_can_show(text):
    reason = MemberFailure.of("fit", f"\x1b[1mRank\x1b[0m {text}").reason
    assert reason.startswith("Rank") and reason.isprintable() and len(reason) <= 500
    assert MemberFailure.of("fit", reason).reason == reason


FAULT = st.sampled_from(["", "", "raise", "nan", "stranger", "shape"])


@given(st.lists(FAULT, min_size=1, max_size=4), st.integers(1, 4), st.booleans())
def test_those_that_vote_are_those_that_do_not_fail(acts, least, refit):
    X, y, lesions = lesion_table(40)
    members = [(f"m{i}", Faulty(act)) for i, act in enumerate(acts)]
    stage = Stage(members, cv=2, random_state=0, refit=refit, on_error="drop")
    stage.set_params(min_members=min(least, len(acts)))
    sound = [name for name, member in members if not member.act]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", MemberWarning)
        if len(sound) < stage.min_members:
            with pytest.raises(
                MemberError, match=rf"{len(sound)} of {len(acts)} members"
            ) as caught:
                stage.fit(X, y, groups=lesions)
            assert sorted([*caught.value.failures, *sound]) == [name for name, _ in members]
            return
        stage.fit(X, y, groups=lesions)
    assert list(stage.named_members_) == sound
    assert sorted([*stage.failures_, *sound]) == [name for name, _ in members]
    assert stage.ballots_.shape[1] == stage.ballots(X[:3]).shape[1] == len(sound)
    np.testing.assert_allclose(stage.predict_proba(X).sum(axis=1), 1)


def test_too_few_that_are_left_are_an_error_that_lists_all(data):
    X, y, lesions = data
    members = [*committee()[:1], ("odd", Faulty("raise")), ("even", Faulty("nan"))]
    stage = Stage(members, cv=2, on_error="drop", min_members=2)
    text = (
        r"^members: odd: ZeroDivisionError in fit: no such luck, even: predict_proba gave NaN for"
        r" .* – 1 of 3 members could be trained, 2 must be – correct what is named, or lower"
    )
    with pytest.raises(MemberError, match=text) as caught:
        stage.fit(X, y, groups=lesions)
    assert {name: one.where for name, one in caught.value.failures.items()} == {
        "odd": "fit",
        "even": "predict_proba",
    }


class Blind(GaussianNB):
    """Somebody who finds that an image cannot be read."""

    def fit(self, X, y):
        raise ImageReadError("images: a.jpg – damaged – repair it")


def test_what_is_about_the_samples_is_an_error_in_any_case(data):
    X, y, lesions = data
    stage = Stage([*committee(), ("blind", Blind())], cv=2, on_error="drop")
    with pytest.raises(ImageReadError, match=r"^images: a\.jpg – damaged"):
        stage.fit(X, y, groups=lesions)


@pytest.mark.parametrize("on_error", ["raise", "drop"])
def test_weights_that_a_member_does_not_take_are_refused_before_any_training(data, on_error):
    X, y, lesions = data
    notes, book = notebook()
    stage = Stage([("one", Recorder(book)), *committee()], cv=2, on_error=on_error)
    with pytest.raises(InputError, match=r"^member: lda – .* takes no sample_weight"):
        stage.fit(X, y, groups=lesions, sample_weight=np.ones(len(y)))
    assert notes == []


@pytest.mark.parametrize(
    ("params", "error", "text"),
    [
        ({}, InputError, "^unfreeze: 'block_9_add' – no such layer"),
        ({"time_limit": 100}, InputError, "^unfreeze: 'block_9_add' – no such layer"),
        (
            {"on_error": "drop", "min_members": 2},
            MemberError,
            "^members: odd: InputError in prepare: unfreeze: .* – 1 of 2 members could be trained",
        ),
    ],
)
def test_a_network_that_cannot_be_built_is_known_before_any_training(data, params, error, text):
    X, y, lesions = data
    notes, book = notebook()
    stage = Stage([("one", Recorder(book)), ("odd", Unbuilt(book))], cv=2, **params)
    with pytest.raises(error, match=text):
        stage.fit(X, y, groups=lesions)
    with pytest.raises(error, match=text):
        Cascade(stage, Stage(committee(), cv=2)).fit(X, y, groups=lesions)
    assert notes == []


def test_a_member_that_fails_after_training_is_an_error_not_a_smaller_vote(data):
    X, y, lesions = data
    stage = Stage([*committee(), ("odd", Faulty())], cv=2, on_error="drop")
    stage.fit(X, y, groups=lesions).named_members_["odd"].act = "late"
    with pytest.raises(MemberError, match=r"^member: odd – FloatingPointError in predict_proba: "):
        stage.predict(X)


@pytest.mark.parametrize(
    ("params", "text"),
    [
        ({"on_error": "skip"}, r"on_error: 'skip' – not one of 'raise', 'drop' – "),
        ({"min_members": 0}, r"min_members: 0 – not a number of members, of which there are 3"),
        ({"min_members": 4}, r"min_members: 4 – .* – pass 1 to 3"),
        ({"min_members": True}, r"min_members: True – "),
        ({"time_limit": 0}, r"time_limit: 0 – not a positive number of seconds – pass such as"),
        ({"time_limit": "90m"}, r"time_limit: '90m' – not a positive"),
        ({"member_time_limit": float("inf")}, r"member_time_limit: inf – not a positive"),
        (
            {"on_error": "drop", "voting": WeightedMajorityVote(weights=[1, 1, 2])},
            r"on_error: drop – the vote could not do with 1 of 3 members \(weights: 3 given .*"
            r" – raise min_members, up to 3, or choose another voting rule",
        ),
    ],
)
def test_what_cannot_be_asked_for_is_refused_before_any_training(data, params, text):
    X, y, lesions = data
    notes, book = notebook()
    stage = Stage([(f"m{i}", Recorder(book)) for i in range(3)], **params)
    with pytest.raises(InputError, match=rf"^{text}"):
        stage.fit(X, y, groups=lesions)
    assert notes == []


class Dawdler(GaussianNB):
    """Naive Bayes that takes its time over each training."""

    def __init__(self, seconds=0.0, really=False):
        super().__init__()
        self.seconds = seconds
        self.really = really

    def fit(self, X, y):
        if self.really:
            time.sleep(self.seconds)
        else:
            CLOCK.now += self.seconds
        return super().fit(X, y)


def dawdlers(*seconds: float, really: bool = False) -> list:
    return [(f"d{i}", Dawdler(one, really)) for i, one in enumerate(seconds)]


def test_those_that_finished_in_time_vote(data, clock):
    X, y, lesions = data
    stage = Stage(dawdlers(0, 0.1, 2, 0), cv=3, random_state=0, on_error="drop", time_limit=2)
    start = CLOCK.now
    with pytest.warns(MemberWarning, match=r"^members: d2, d3 – left out, 2 of 4"):
        stage.fit(X, y, groups=lesions)
    assert CLOCK.now - start == pytest.approx(0.4 + 2)  # the fold that it is at is the last
    assert stage.failures_ == {
        "d2": MemberFailure("time limit", "the 2 s for the stage were over at training 2 of 4"),
        "d3": MemberFailure("time limit", "the 2 s for the stage were over at its start"),
    }
    alone = Stage(dawdlers(0, 0.1), cv=3, random_state=0).fit(X, y, groups=lesions)
    assert stage.predict_proba(X).tobytes() == alone.predict_proba(X).tobytes()


@pytest.mark.parametrize("backend", ["threading", "loky"])
def test_the_limit_holds_in_every_worker(data, backend):
    X, y, lesions = data
    members = dawdlers(0, 2.1, really=True)
    stage = Stage(members, cv=2, on_error="drop", n_jobs=2, member_time_limit=2)
    with parallel_config(backend=backend), pytest.warns(MemberWarning, match="d1 – left out"):
        stage.fit(X, y, groups=lesions)


def test_a_limit_that_nobody_meets_is_an_error_that_says_what_was_under_way(data, clock):
    X, y, lesions = data
    stage = Stage(dawdlers(0.3, 0), cv=2, on_error="drop", time_limit=0.25)
    text = (
        r"^members: d0: the 0\.25 s for the stage were over at training 2 of 3, d1: the 0\.25 s"
        r" for the stage were over at its start – 0 of 2 members could be trained, 1 must be – "
    )
    with pytest.raises(TimeLimitError, match=text):
        stage.fit(X, y, groups=lesions)
    text = r"^member: d0 – the 0\.25 s for the stage were over at training 2 of 3 – allow more"
    with pytest.raises(TimeLimitError, match=text):
        stage.set_params(on_error="raise").fit(X, y, groups=lesions)


def test_a_stage_that_is_a_member_fails_as_any_other(data, clock):
    X, y, lesions = data
    inner = Stage(dawdlers(0, 3), cv=2, time_limit=2)
    stage = Stage([*committee(), ("inner", inner)], cv=2, random_state=0, on_error="drop")
    with pytest.warns(MemberWarning, match=r"^members: inner – left out") as said:
        stage.fit(X, y, groups=lesions)
    assert said[0].filename == __file__
    reason = "the 2 s for the stage were over at training 2 of 3"
    assert stage.failures_ == {"inner": MemberFailure("time limit", reason)}
    with pytest.warns(MemberWarning, match=r"^members: inner – left out"):
        stage.set_params(inner__on_error="drop", inner__min_members=2).fit(X, y, groups=lesions)
    assert stage.failures_ == {"inner": MemberFailure("time limit", f"d1: {reason}")}


@pytest.mark.parametrize("shared", [True, False])
def test_a_cascade_goes_on_without_members_that_fail(data, shared, tmp_path):
    X, y, lesions = data
    odd = ("odd", Faulty("raise"))
    cascades = []
    for members in ([*committee(), odd], committee()):
        stage = Stage(members, cv=3, on_error="drop")
        triage = "soft" if shared else clone(stage).set_params(voting="majority")
        cascades.append(Cascade(triage, stage, random_state=0))
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always", MemberWarning)
        one, other = (cascade.fit(X, y, groups=lesions) for cascade in cascades)
    assert len([w for w in said if w.category is MemberWarning]) == (1 if shared else 2)
    assert one.predict_proba(X).tobytes() == other.predict_proba(X).tobytes()
    for stage in (one.triage_, one.diagnosis_):
        assert [*stage.failures_] == ["odd"]
        assert len(stage.compare(rules=()).rows) >= 3
    path = tmp_path / "cascade.h5"
    save(one, path)
    back = load(path)
    assert back.predict_proba(X).tobytes() == one.predict_proba(X).tobytes()
    assert back.verdicts(X[:2]) == one.verdicts(X[:2])
    for stage in ("triage_", "diagnosis_"):
        assert getattr(back, stage).failures_ == getattr(one, stage).failures_
    report = evaluate(back, X, y, groups=lesions, n_resamples=20)
    text = "odd has no vote in the {}: ZeroDivisionError in fit: no such luck"
    assert report.notes[-2:] == [text.format("triage"), text.format("diagnosis")]


def test_the_triage_leaves_time_to_the_diagnosis(data, clock):
    X, y, lesions = data
    triage = Stage(dawdlers(0, 3), cv=2, on_error="drop")
    cascade = Cascade(triage, Stage(dawdlers(0, 0), cv=2), random_state=0, time_limit=4)
    text = r"d1: the 3 s for the triage were over at training 2 of 3"
    with pytest.warns(MemberWarning, match=text):
        cascade.fit(X, y, groups=lesions)
    assert list(cascade.diagnosis_.named_members_) == ["d0", "d1"]
    strict = clone(cascade).set_params(triage__on_error="raise")
    # Two threads share the clock: the one that waits in vain may be either's.
    text = r"^member: d[01] – the 3 s for the triage were over at (training \d of 3|its start) – al"
    with pytest.raises(TimeLimitError, match=text), parallel_config("threading", n_jobs=2):
        strict.fit(X, y, groups=lesions)
    with pytest.raises(InputError, match=r"^time_limit: -1 – not a positive number"):
        cascade.set_params(time_limit=-1).fit(X, y, groups=lesions)


def test_the_html_says_who_was_left_out(data):
    X, y, lesions = data
    stage = Stage([*committee(), ("odd", Faulty("raise"))], cv=2, on_error="drop")
    with pytest.warns(MemberWarning):
        stage.fit(X, y, groups=lesions)
    assert "odd (left out)" in stage._repr_html_() and "lda (left out)" not in stage._repr_html_()


class Unwritable(GaussianNB):
    """Somebody whose store has no room."""

    def fit(self, X, y):
        raise SaveError("store: disk – it is full – make room")


def test_a_store_that_cannot_be_written_is_nobodys_fault(data):
    X, y, lesions = data
    stage = Stage([*committee(), ("odd", Unwritable())], cv=2, on_error="drop")
    with pytest.raises(SaveError, match="it is full – make room"):
        stage.fit(X, y, groups=lesions)


@pytest.mark.slow
def test_a_process_that_is_killed_is_an_error_that_names_the_members(data):
    X, y, lesions = data
    stage = Stage([*committee(), ("odd", Faulty("SIGKILL"))], cv=2, random_state=0)
    with (
        parallel_config(backend="loky", n_jobs=2),
        pytest.raises(MemberError, match=r'odd.* was killed by SIGKILL.* – on_error="drop" finds'),
    ):
        stage.fit(X, y, groups=lesions)


def died(module: str, *names: str) -> Exception:
    """An error as a cluster raises it, which need not be installed here."""
    kind: type = Exception
    for name in names:
        kind = type(name, (kind,), {"__module__": module})
    return kind("the worker is gone")


@pytest.mark.parametrize(
    "error",
    [
        died("distributed.scheduler", "KilledWorker"),
        died("ray.exceptions", "RayError", "WorkerCrashedError"),
        died("ray.exceptions", "RayError", "RayActorError", "ActorDiedError"),
        died("ray.exceptions", "RayError", "OutOfMemoryError"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_a_process_that_dies_in_a_cluster_costs_its_member_only(data, sound, monkeypatch, error):
    X, y, lesions = data
    run = _watch._run

    def deadly(train, tasks, chosen, *others):
        for at in chosen:
            if tasks[at][0][0].content[0] == "odd":
                raise error
            run(train, tasks, [at], *others)

    monkeypatch.setattr(_watch, "_run", deadly)
    members = [committee()[0], ("odd", GaussianNB()), *committee()[1:]]
    stage = Stage(members, cv=3, random_state=0, on_error="drop")
    with pytest.warns(MemberWarning, match=r"^members: odd – left out, 3 of 4 .* was killed or cr"):
        stage.fit(X, y, groups=lesions)
    assert stage.failures_["odd"].where == "worker"
    assert stage.ballots_.tobytes() == sound.ballots_.tobytes()
    stage.set_params(on_error="raise", time_limit=600)
    with pytest.raises(MemberError, match=r'^members: linear, odd, .* – on_error="drop" finds out'):
        stage.fit(X, y, groups=lesions)


def test_an_error_of_the_same_name_from_elsewhere_passes(data, monkeypatch):
    X, y, lesions = data
    error = died("elsewhere", "KilledWorker")
    monkeypatch.setattr(_watch, "_run", Mock(side_effect=error))
    with pytest.raises(type(error), match="the worker is gone"):
        Stage(committee(), cv=3, on_error="drop").fit(X, y, groups=lesions)


@pytest.mark.parametrize("left", [0, 2], ids=["none left", "lost when it starts"])
def test_a_member_that_may_kill_is_not_tried_again_in_this_process(data, monkeypatch, left):
    X, y, lesions = data
    run, notes = _watch._run, []

    def deadly(train, tasks, chosen, n_jobs, results, *home):
        notes.append(chosen)
        if not home:
            raise died("distributed.scheduler", "KilledWorker")
        run(train, tasks, chosen, n_jobs, results, *home)

    monkeypatch.setattr(_watch, "_run", deadly)
    monkeypatch.setattr(_watch, "n_workers", Mock(side_effect=[2, TimeoutError, *[left] * 1000]))
    monkeypatch.setattr(_watch, "_PATIENCE", 0.5)
    trained, book = notebook()
    members = [("one", Recorder(book)), ("other", Recorder(book))]
    with pytest.raises(MemberError, match=r"^members: one, other – .* – start more workers, and"):
        Stage(members, cv=3, on_error="drop").fit(X, y, groups=lesions)
    assert len(notes) == (2 if left else 1) and trained == []
