from __future__ import annotations

import warnings

import numpy as np
import pytest
from committees import MALIGNANT, committee, lesion_table
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats
from sklearn.dummy import DummyClassifier
from sklearn.ensemble import RandomForestClassifier

from skinensemble import (
    Cascade,
    Referral,
    StackingVote,
    Stage,
    ThresholdVote,
    cascade_around,
    load,
)
from skinensemble.exceptions import InputError, ReferralWarning, UngroupedWarning
from skinensemble.referral import resolve_referral


def clinic(n: int, seed: int = 0):
    """Confidences, and whether each decision was right: as often as the confidence says."""
    rng = np.random.default_rng(seed)
    confidence = rng.uniform(0.5, 1, n)
    return confidence, rng.random(n) < confidence


def test_over_a_thousand_clinics_the_accuracy_fails_in_at_most_five_per_cent():
    failed, naive = 0, 0
    for seed in range(1000):
        confidence, correct = clinic(600, seed)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ReferralWarning)
            threshold = Referral(0.85).fit(confidence, correct).threshold_
        # Above t, confidences are uniform: their mean is the true accuracy of the decided part.
        failed += (1 + min(threshold, 1)) / 2 < 0.85
        order = np.argsort(-confidence)
        shares = np.cumsum(correct[order]) / np.arange(1, 601)
        last = np.flatnonzero(shares >= 0.85).max(initial=0)
        naive += (1 + confidence[order][last]) / 2 < 0.85
    assert stats.binomtest(failed, 1000, 0.05, alternative="greater").pvalue > 0.01
    assert naive > 300


def test_more_lesions_decide_more():
    shares = [
        found.n_decided_ / found.n_lesions_
        for found in (Referral(0.8).fit(*clinic(n, 1)) for n in (500, 5_000, 50_000))
    ]
    # With all lesions in the world it would be 80 %: the mean of (0.6, 1) is 0.8.
    assert shares == sorted(shares)
    assert 0.75 < shares[-1] < 0.8


@given(seed=st.integers(0, 10_000), coverage=st.floats(0.05, 0.95))
def test_what_is_accepted_is_what_was_counted(seed, coverage):
    confidence, correct = clinic(200, seed)
    confidence = confidence.round(2)
    found = Referral(coverage=coverage).fit(confidence, correct)
    accepted = found.accepts(confidence)
    assert accepted.sum() == found.n_decided_
    assert np.sum(accepted & ~correct) == found.n_errors_
    # No threshold comes nearer to the coverage.
    distance = abs(found.n_decided_ / 200 - coverage)
    assert all(
        abs(np.mean(confidence >= t) - coverage) >= distance - 1e-12 for t in np.unique(confidence)
    )


def test_a_lesion_counts_once_and_by_its_worst_image():
    confidence = np.array([0.9, 0.6, 0.8, 0.7])
    correct = np.array([True, True, False, True])
    found = Referral(coverage=0.5).fit(confidence, correct, groups=[1, 1, 2, 2])
    assert (found.n_lesions_, found.n_decided_, found.n_errors_) == (2, 1, 1)
    assert found.threshold_ == 0.7


def test_what_cannot_be_proved_refers_everything_and_says_so():
    confidence, correct = clinic(30)
    with pytest.warns(ReferralWarning, match=r"accuracy ≥ 0.99 .* no share .* every decision is"):
        found = Referral(0.99).fit(confidence, correct)
    assert found.threshold_ == np.inf
    assert not found.accepts(confidence).any()
    assert str(found) == "refers everything: 99 % cannot be proved here"


def test_it_prints_what_it_does():
    found = Referral(0.9).fit(*clinic(2000))
    right = found.n_decided_ - found.n_errors_
    ending = f", at least 90 % of them right with 95 % confidence ({right} of {found.n_decided_})"
    assert str(found).endswith(ending)
    assert str(Referral(coverage=0.5).fit(*clinic(10))).startswith("decides 50 % of ")


@pytest.mark.parametrize(
    ("given_", "text"),
    [
        ({}, "one of the two is needed"),
        ({"min_accuracy": 0.9, "coverage": 0.9}, "one of the two is needed"),
        ({"min_accuracy": 1}, "min_accuracy=1 – not a number between 0 and 1"),
        ({"coverage": 0}, "coverage=0 – not a number between 0 and 1"),
        ({"min_accuracy": 0.9, "confidence": 2}, "confidence=2 – not a number between"),
    ],
)
def test_bad_parameters_are_refused(given_, text):
    with pytest.raises(InputError, match=f"^referral: .*{text}"):
        Referral(**given_).fit(*clinic(50))


@pytest.mark.parametrize("bad", ["yes", True, [0.9]])
def test_only_a_number_or_a_referral_is_taken(bad):
    with pytest.raises(InputError, match=r"^refer: .* – not a number or a Referral – pass an acc"):
        resolve_referral(bad)


def test_unlike_lengths_and_numbers_that_are_none_are_refused():
    with pytest.raises(InputError, match=r"^lengths: confidence, correct, groups – shapes"):
        Referral(0.9).fit([0.9, 0.8], [True])
    with pytest.raises(InputError, match=r"^confidence: values – none, or not finite"):
        Referral(0.9).fit([np.nan], [True])


def test_a_cascade_around_a_stage_without_lesions_refers_too():
    X, y, _ = lesion_table(200)
    with pytest.warns(UngroupedWarning):
        stage = Stage(committee(), cv=3).fit(X, y)
    cascade = cascade_around(stage, malignant=MALIGNANT, refer=0.6)
    assert cascade.diagnosis_referral_.n_lesions_ > 0


@pytest.mark.parametrize("number", [np.float32(0.75), np.float64(0.75)])
def test_numbers_of_numpy_are_numbers(number):
    assert resolve_referral(number).min_accuracy == 0.75
    with pytest.raises(InputError, match=r"min_accuracy='0\.95'"):
        Referral("0.95").check()


def test_a_rule_that_learns_refers_by_lesions_it_has_not_learnt_from():
    def hard(n, seed):
        X, y, _ = lesion_table(n, seed=seed)
        return X + 2 * np.random.default_rng(seed).standard_normal(X.shape), y

    X, y = hard(200, 0)
    learnt = StackingVote(RandomForestClassifier(20, random_state=0))
    stages = Stage(committee(), voting=learnt, cv=3), Stage(committee(), cv=3)
    cascade = Cascade(*stages, random_state=0, refer=Referral(coverage=0.5))
    cascade.fit(X, y, groups=np.arange(len(y)))
    new, truth = hard(2000, 5)
    given = [one for one in zip(cascade.verdicts(new), truth, strict=True) if not one[0].referred]
    right = np.mean([verdict.malignant == (code in MALIGNANT) for verdict, code in given])
    referral = cascade.triage_referral_
    said = 1 - referral.n_errors_ / referral.n_decided_
    # Its own ballots it knows by heart: all that it decides of them is right.
    assert said < 0.95
    assert said == pytest.approx(right, abs=0.1)


def test_a_tuned_threshold_is_tuned_again_without_each_fold():
    tuned_on = []

    def accuracy(truth, found):
        tuned_on.append(len(truth))
        return np.mean(truth == found)

    X, y, lesions = lesion_table(150)
    rule = ThresholdVote(criterion=accuracy)
    stages = Stage(committee()[:2], voting=rule, cv=3), Stage(committee()[:2], cv=3)
    cascade = Cascade(*stages, random_state=0, refer=Referral(coverage=0.5))
    cascade.fit(X, y, groups=lesions)
    folds = cascade.triage_.folds_
    n = len(np.unique(lesions))
    assert set(tuned_on) == {n, *(n - np.unique(lesions[folds == k]).size for k in range(3))}


def test_a_rule_that_learns_by_weights_refers_by_the_same_weights(tmp_path):
    def hard(n, seed):
        X, y, _ = lesion_table(n, seed=seed)
        return X + 2 * np.random.default_rng(seed).standard_normal(X.shape), y

    X, y = hard(600, 0)
    weight = np.where(y == "nv", 4.0, 1.0)
    stages = Stage(committee()[:2], voting="stacking", cv=3), Stage(committee()[:2], cv=3)
    cascade = Cascade(*stages, random_state=0, refer=Referral(coverage=0.8))
    cascade.fit(X, y, groups=np.arange(len(y)), sample_weight=weight)
    new, truth = hard(2000, 5)
    given = [one for one in zip(cascade.verdicts(new), truth, strict=True) if not one[0].referred]
    right = np.mean([verdict.malignant == (code in MALIGNANT) for verdict, code in given])
    referral = cascade.triage_referral_
    assert 1 - referral.n_errors_ / referral.n_decided_ == pytest.approx(right, abs=0.03)
    cascade.save(tmp_path / "weighted.h5")
    back = load(tmp_path / "weighted.h5")
    back._learn_referral()
    assert str(back.triage_referral_) == str(referral)


def test_where_nothing_is_found_malignant_every_type_is_referred(tmp_path):
    X, y, lesions = lesion_table(150)
    blind = Stage([("dummy", DummyClassifier(strategy="constant", constant="benign"))], cv=3)
    cascade = Cascade(blind, Stage(committee(), cv=3), refer=Referral(coverage=0.9))
    with pytest.warns(ReferralWarning, match="nothing is found malignant out of fold"):
        cascade.fit(X, y, groups=lesions)
    assert str(cascade.diagnosis_referral_) == "refers everything"
    assert not cascade.diagnosis_referral_.accepts([0.5, 1.0]).any()
