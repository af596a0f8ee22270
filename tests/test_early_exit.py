"""Members who speak in turn, until the rest cannot change what a stage or cascade says."""

from __future__ import annotations

import copy
import warnings
from dataclasses import replace

import numpy as np
import pytest
from committees import Recorder, Scripted, lesion_table, notebook
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.naive_bayes import GaussianNB
from sklearn.pipeline import make_pipeline

from skinensemble import (
    Cascade,
    CollapsedMember,
    EarlyExitVote,
    Referral,
    SoftVote,
    Stage,
    ThresholdVote,
    Verdict,
    evaluate,
    load,
    make_cascade,
)
from skinensemble.committee import FoldMembers, cheapest_first
from skinensemble.exceptions import InputError, MemberError

TWO = np.array(["benign", "malignant"])
RULES = ["majority", "soft", "weighted_majority", "median", "threshold", "quorum", "stacking"]


def five(share=None) -> list:
    """Members that differ; with a notebook's function, each notes what it is asked."""
    members = [
        ("lda", LinearDiscriminantAnalysis()),
        ("bayes", GaussianNB()),
        ("logistic", LogisticRegression(max_iter=500)),
        ("smooth", GaussianNB(var_smoothing=0.1)),
        ("doubtful", LogisticRegression(C=0.01)),
    ]
    return [(n, Recorder(share, m)) for n, m in members] if share else members


@pytest.fixture(scope="module")
def data():
    return lesion_table(120)


@pytest.fixture(scope="module")
def fresh():
    return lesion_table(120, seed=5)[0]


def two_sides(seed=0):
    return lesion_table(120, codes=TWO, seed=seed)


@pytest.mark.parametrize("voting", RULES)
def test_a_stage_decides_the_same_and_asks_fewer(voting):
    X, y, lesions = two_sides()
    fresh = two_sides(seed=5)[0]
    stage = Stage(five(), voting=voting, cv=2, random_state=0).fit(X, y, groups=lesions)
    found = stage.predict_early(fresh)
    np.testing.assert_array_equal(found.labels, stage.predict(fresh))
    np.testing.assert_array_equal(stage.predict(fresh, early_exit=True), found.labels)
    assert found.asked.shape == (len(fresh), 5)
    if voting == "stacking":
        assert (found.n_asked == 5).all()
    else:
        assert found.n_asked.mean() < 4
        assert found.n_asked.min() >= 1


@pytest.mark.parametrize("voting", ["majority", "soft"])
@pytest.mark.parametrize("calibration", [None, "temperature"])
def test_a_stage_of_several_classes_decides_the_same(data, fresh, voting, calibration):
    X, y, lesions = data
    stage = Stage(five(), voting=voting, calibration=calibration, cv=2, random_state=0)
    stage.fit(X, y, groups=lesions)
    found = stage.predict_early(fresh)
    np.testing.assert_array_equal(found.labels, stage.predict(fresh))
    assert found.n_asked.mean() < 4


def test_a_member_sees_only_the_samples_that_are_open(data, fresh):
    X, y, lesions = data
    notes, share = notebook()
    stage = Stage(five(share), voting="majority", cv=2).fit(X, y, groups=lesions)
    notes.clear()
    found = stage.predict_early(fresh)
    shown = [asked for what, asked in notes if what == "predict_proba"]
    assert [len(rows) for rows in shown] == found.asked.sum(axis=0).tolist()
    for rows, asked in zip(shown, found.asked.T, strict=True):
        np.testing.assert_array_equal(rows, fresh[asked])


def test_nobody_is_called_about_nothing(data):
    X, y, lesions = data
    notes, share = notebook()
    stage = Stage(five(share), voting="majority", cv=2).fit(X, y, groups=lesions)
    sure = X[stage.predict_early(X).n_asked == 3]
    notes.clear()
    assert (stage.predict_early(sure).n_asked == 3).all()
    assert len(notes) == 3


def test_ballots_of_those_not_asked_are_the_mean_of_the_others(data, fresh):
    X, y, lesions = data
    stage = Stage(five(), voting="majority", cv=2).fit(X, y, groups=lesions)
    ballots, asked = stage.ask_early(fresh)
    full = stage.ballots(fresh)
    np.testing.assert_allclose(ballots[asked], full[asked], rtol=0, atol=1e-12)
    for row in np.flatnonzero(~asked.all(axis=1)):
        mean = full[row, asked[row]].mean(axis=0) * np.ones((np.sum(~asked[row]), 1))
        np.testing.assert_allclose(ballots[row, ~asked[row]], mean, rtol=0, atol=1e-12)


def test_a_member_that_fails_is_named(data, fresh):
    X, y, lesions = data
    members = [("good", GaussianNB()), ("bad", Scripted())]
    stage = Stage(members, cv=2).fit(X, y, groups=lesions)
    stage.members_[1].act = "nan"
    with pytest.raises(MemberError, match="member: bad – predict_proba gave NaN for 2 samples"):
        stage.predict_early(fresh)


class Priced(ClassifierMixin, BaseEstimator):
    """Naive Bayes that says what it would cost."""

    def __init__(self, **costs):
        self.costs_ = costs

    def costs(self):
        return self.costs_


def test_the_cheapest_are_asked_first_and_a_network_is_paid_once():
    members = [Priced(a=300), Priced(b=100), Priced(a=300, own=1), GaussianNB(), Priced(b=100)]
    # Nothing, then the network b and who shares it, then a, on which little is left to pay.
    assert cheapest_first(members) == [3, 1, 4, 0, 2]


def test_wrappers_cost_what_they_hold():
    heavy = Priced(a=300)
    folds = FoldMembers.of(heavy, [Priced(a=300, x=1), Priced(a=300, y=2)], TWO)
    assert folds.costs() == {"a": 300, "x": 1, "y": 2}
    collapsed = CollapsedMember(FrozenEstimator(heavy), ["bcc"])
    piped = make_pipeline(Priced(a=50), GaussianNB())
    assert cheapest_first([heavy, collapsed, piped, FrozenEstimator(GaussianNB())]) == [3, 2, 0, 1]


def test_a_stage_asks_by_cost_and_an_early_exit_by_its_own_order(data):
    X, y, lesions = data
    members = [("near", Dear()), ("bayes", GaussianNB()), ("lda", LinearDiscriminantAnalysis())]
    stage = Stage(members, cv=2).fit(X, y, groups=lesions)
    assert stage.asking_order() == [1, 2, 0]
    rule = EarlyExitVote(order=[2, 0, 1])
    assert Stage(members, voting=rule, cv=2).fit(X, y, groups=lesions).asking_order() == [2, 0, 1]


class Dear(GaussianNB):
    def costs(self):
        return {"everything": 10**9}


CASCADES = {
    "majority": {"voting": "majority"},
    "soft, calibrated": {"voting": "soft", "calibration": "temperature"},
    "threshold": {"voting": "threshold"},
    "threshold, platt": {"voting": "threshold", "calibration": "platt"},
    "referral": {"voting": "soft", "refer": Referral(coverage=0.6)},
    "hard": {"voting": "soft", "route": "hard"},
    "shared": {"voting": "threshold", "shared": True},
    "folds": {"voting": "soft", "refit": False},
    "stacking": {"voting": "stacking"},
}


@pytest.fixture(scope="module", params=CASCADES.values(), ids=CASCADES)
def cascade(request, data):
    return made(data, **request.param)


def made(data, *, voting, calibration=None, shared=False, refit=True, members=None, **options):
    X, y, lesions = data
    members = five() if members is None else members
    types = "soft" if voting == "threshold" else voting
    plain = None if calibration is None else "temperature"
    diagnosis = Stage(members, voting=types, calibration=plain, cv=2, refit=refit)
    triage = Stage(members, voting=voting, calibration=calibration, cv=2, refit=refit)
    triage = voting if shared else triage
    return Cascade(triage, diagnosis, random_state=0, **options).fit(X, y, groups=lesions)


@pytest.mark.filterwarnings("ignore::skinensemble.exceptions.CalibrationWarning")
@pytest.mark.parametrize("prevalence", [None, 0.05, 0.9])
def test_a_cascade_says_the_same(cascade, fresh, prevalence):
    given = {"prevalence": prevalence}
    full, early = (cascade.predict_malignant(fresh, early_exit=e, **given) for e in (False, True))
    np.testing.assert_array_equal(early, full)
    found = cascade.predict_early(fresh, **given)
    np.testing.assert_array_equal(found.labels, cascade.predict(fresh, **given))
    np.testing.assert_array_equal(cascade.predict(fresh, early_exit=True, **given), found.labels)
    assert found.asked.shape == (len(fresh), 10)


@pytest.mark.filterwarnings("ignore::skinensemble.exceptions.CalibrationWarning")
@pytest.mark.parametrize("prevalence", [None, 0.05, 0.9])
def test_the_verdicts_are_the_same(cascade, fresh, prevalence):
    full = cascade.verdicts(fresh, prevalence=prevalence)
    early = cascade.verdicts(fresh, prevalence=prevalence, early_exit=True)
    said = [
        [(v.malignant, v.answer, v.diagnosis, v.referred, v.threshold) for v in each]
        for each in (full, early)
    ]
    assert said[0] == said[1]
    assert (cascade.refer is not None) == any(v.referred for v in full)
    for one, other in zip(full, early, strict=True):
        # Who was asked says what they say in the full vote.
        assert other.triage_votes.items() <= one.triage_votes.items()
        assert other.diagnosis_votes.items() <= one.diagnosis_votes.items()
        assert other.n_asked <= one.n_asked


@pytest.fixture(scope="module")
def strict(data):
    return made(data, voting="threshold")


def test_verdicts_ask_fewer(strict, fresh):
    full, early = strict.verdicts(fresh), strict.verdicts(fresh, early_exit=True)
    assert sum(v.n_asked for v in early) < 0.75 * sum(v.n_asked for v in full)


def test_the_estimate_is_on_the_side_of_the_decision(strict, fresh):
    for verdict in strict.verdicts(fresh, early_exit=True):
        assert (verdict.p_malignant >= verdict.threshold) == verdict.malignant


def test_the_diagnosis_is_asked_only_about_what_is_found_malignant(data, fresh):
    X, y, lesions = data
    notes, share = notebook()
    stages = Stage(five(), voting="threshold", cv=2), Stage(five(share), cv=2)
    cascade = Cascade(*stages, random_state=0).fit(X, y, groups=lesions)
    malignant = cascade.predict_malignant(fresh)
    notes.clear()
    cascade.verdicts(fresh, early_exit=True)
    np.testing.assert_array_equal(notes[0][1], fresh[malignant])
    assert len(notes[-1][1]) < malignant.sum()


def test_an_early_verdict_says_so():
    votes = {"lda": "malignant", "bayes": "benign"}
    shared = {"malignant": True, "p_malignant": 0.75, "diagnosis": "mel", "p_diagnosis": 0.5}
    full = Verdict(**shared, triage_votes=votes, diagnosis_votes={"lda": "mel"}, agreement=0.5)
    early = replace(full, early=True)
    said = (
        "malignant (p malignant {} 0.750, 1 of 2 {} say malignant): mel (p {} 0.500 if malignant)"
    )
    assert full.n_asked == early.n_asked == 3
    assert str(full) == said.format("=", "members", "=")
    assert str(early) == said.format("≈", "members asked", "≈")


def test_a_threshold_that_nobody_can_miss_asks_nobody(strict, fresh):
    cascade = copy.deepcopy(strict)
    cascade.triage_.voting_.threshold_ = 0.0
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        verdicts = cascade.verdicts(fresh[:3], early_exit=True)
    assert [(v.malignant, v.triage_votes, v.agreement) for v in verdicts] == [(True, {}, 1.0)] * 3


def test_a_side_with_one_diagnosis_needs_no_diagnosis():
    X, y, lesions = lesion_table(120, codes=np.array(["mel", "bkl", "nv"]))
    cascade = Cascade(Stage(five(), cv=2), random_state=0).fit(X, y, groups=lesions)
    found = cascade.predict_early(X)
    assert not found.asked[found.labels == "mel", 5:].any()
    assert found.asked[found.labels != "mel", 5:].any()


@pytest.mark.filterwarnings("ignore::skinensemble.exceptions.CalibrationWarning")
@pytest.mark.parametrize("method", ["predict", "predict_malignant", "verdicts"])
def test_a_prevalence_is_not_estimated_from_some_of_the_ballots(strict, fresh, method):
    with pytest.raises(InputError, match=r"prevalence: 'estimate' – .* – pass a share, or early_"):
        getattr(strict, method)(fresh, prevalence="estimate", early_exit=True)


def test_certifying_moves_the_exit_with_the_threshold(strict, fresh):
    cascade = copy.deepcopy(strict)
    X, y, lesions = lesion_table(400, seed=9)
    cascade.certify(X, y, groups=lesions, min_sensitivity=0.8)
    assert cascade.certificate_.kind == "held-out"
    early = cascade.predict_malignant(fresh, early_exit=True)
    np.testing.assert_array_equal(early, cascade.predict_malignant(fresh))


def test_by_confidence_the_full_vote_is_that_of_the_cascade(data, fresh):
    """Under an EarlyExitVote, asking everybody gives what asking in turn gives."""
    X, y, lesions = data
    side = TWO[np.isin(y, ["akiec", "bcc", "mel"]).astype(int)]
    rule = EarlyExitVote(ThresholdVote(min_sensitivity=0.9), tolerance=0.05)
    stage = Stage(five(), voting=rule, cv=2, random_state=0).fit(X, side, groups=lesions)
    found, (ballots, _) = stage.predict_early(fresh), stage.ask_early(fresh)
    np.testing.assert_array_equal(found.labels, stage.predict(fresh))
    np.testing.assert_array_equal(found.n_asked, stage.voting_.n_asked(stage.ballots(fresh)))
    np.testing.assert_allclose(stage.pool(ballots), stage.predict_proba(fresh), rtol=0, atol=1e-12)
    assert found.n_asked.mean() < 3


def test_a_cascade_by_confidence_keeps_what_it_promises(data, fresh, tmp_path):
    """Report, file and verdicts are those of the vote that stops, however it is asked."""
    X, y, lesions = data
    rule = EarlyExitVote(ThresholdVote(min_sensitivity=0.9), tolerance=0.05)
    diagnosis = Stage(five(), voting=EarlyExitVote(tolerance=0.05), cv=2)
    cascade = Cascade(Stage(five(), voting=rule, cv=2), diagnosis, random_state=0)
    cascade.fit(X, y, groups=lesions)
    assert cascade.certificate_ == cascade.triage_.voting_.base_.certificate_
    full, early = cascade.verdicts(fresh), cascade.verdicts(fresh, early_exit=True)
    for one, other in zip(full, early, strict=True):
        assert (other.answer, other.diagnosis) == (one.answer, one.diagnosis)
        # Not an estimate here: the vote that stops has no other probability.
        assert other.p_malignant == pytest.approx(one.p_malignant, abs=1e-12)
    cascade.save(tmp_path / "cascade.h5")
    found = load(tmp_path / "cascade.h5").predict_early(fresh)
    np.testing.assert_array_equal(found.labels, cascade.predict(fresh))
    np.testing.assert_array_equal(found.asked, cascade.predict_early(fresh).asked)
    assert "EarlyExitVote" in str(evaluate(cascade, X, y, groups=lesions))


def test_make_cascade_stops_early_in_both_stages():
    cascade = make_cascade(
        ("bayes", GaussianNB()), voting=EarlyExitVote("threshold", tolerance=0.1)
    )
    assert repr(cascade.triage.voting) == "EarlyExitVote(base='threshold', tolerance=0.1)"
    assert repr(cascade.diagnosis.voting) == "EarlyExitVote(tolerance=0.1)"


def test_a_fresh_certificate_on_a_vote_that_stops(data, fresh):
    X, y, lesions = data
    side = TWO[np.isin(y, ["akiec", "bcc", "mel"]).astype(int)]
    stage = Stage(five(), voting=EarlyExitVote(tolerance=0.05, order=[1, 0, 2, 3, 4]), cv=2)
    stage.fit(X, side, groups=lesions)
    X, y, lesions = lesion_table(400, seed=9)
    side = TWO[np.isin(y, ["akiec", "bcc", "mel"]).astype(int)]
    stage.certify(X, side, groups=lesions, min_sensitivity=0.9)
    assert stage.asking_order() == [1, 0, 2, 3, 4]
    found = stage.predict_early(fresh)
    np.testing.assert_array_equal(found.labels, stage.predict(fresh))
    assert found.n_asked.mean() < 3


def test_whoever_has_no_weight_is_not_asked(data, fresh):
    X, y, lesions = data
    stage = Stage(five(), voting=SoftVote(weights=[0.0, 1.0, 0.0, 2.0, 1.0]), random_state=0)
    found = stage.fit(X, y, groups=lesions).predict_early(fresh)
    np.testing.assert_array_equal(found.labels, stage.predict(fresh))
    assert found.asked[:, [0, 2]].sum() == 0
