from __future__ import annotations

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.tree import DecisionTreeClassifier

from skinensemble import (
    CalibratedVote,
    EarlyExitVote,
    MajorityVote,
    SoftVote,
    StackingVote,
    ThresholdVote,
    VotingRule,
    WeightedMajorityVote,
)
from skinensemble.exceptions import CertificateError, InputError
from skinensemble.thresholds import certify_threshold, lesion_scores
from skinensemble.voting import _checks
from skinensemble.voting._threshold import without_threshold


def clinic(n_benign: int, n_malignant: int, views: int = 1, seed: int = 0):
    """Ballots of three members on lesions of a clinic, with truth and lesions."""
    rng = np.random.default_rng(seed)
    y = np.repeat([0, 1], [n_benign, n_malignant]).repeat(views)
    p = 1 / (1 + np.exp(-(2 * y[:, None] - 1 + rng.standard_normal((len(y), 3)))))
    return np.stack([1 - p, p], axis=2), y, np.arange(len(y)) // views


def test_it_learns_the_certified_threshold_of_the_pooled_score():
    ballots, y, lesions = clinic(300, 200, views=2)
    rule = ThresholdVote(min_sensitivity=0.9, confidence=0.99).fit(ballots, y, groups=lesions)
    expected = certify_threshold(
        ballots[:, :, 1].mean(axis=1),
        y == 1,
        groups=lesions,
        minimum=0.9,
        confidence=0.99,
        kind="cross-fitted",
    )
    assert rule.certificate_ == expected
    assert (expected.n_malignant, expected.n_benign) == (200, 300)


def test_it_decides_by_the_threshold_and_pools_as_its_base():
    ballots, y, _ = clinic(300, 200)
    rule = ThresholdVote().fit(ballots, y)
    np.testing.assert_array_equal(rule.combine(ballots), SoftVote().combine(ballots))
    decided, threshold = rule.decide(ballots), rule.certificate_.threshold
    np.testing.assert_array_equal(decided, rule.combine(ballots)[:, 1] >= threshold)
    assert np.sum((decided == 0) & (y == 1)) == rule.certificate_.misses == 4
    assert np.sum((decided == 1) & (y == 0)) == rule.certificate_.false_alarms
    # A tuned threshold is lower than one half, so some decisions differ from the larger share.
    assert (decided != rule.combine(ballots).argmax(axis=1)).any()


def test_a_score_at_the_threshold_is_positive():
    ballots, y, _ = clinic(100, 100)
    rule = ThresholdVote().fit(ballots, y)
    at = ballots[rule.combine(ballots)[:, 1] == rule.certificate_.threshold]
    below = at + np.array([1e-9, -1e-9])
    assert len(at) == 1
    assert (rule.decide(at)[0], rule.decide(below)[0]) == (1, 0)


def test_the_base_may_be_an_instance_and_stays_unfitted():
    ballots, y, _ = clinic(100, 100)
    base = MajorityVote()
    rule = ThresholdVote(base).fit(ballots, y)
    assert rule.base is base
    assert rule.base_ is not base
    assert isinstance(rule.base_, MajorityVote)
    assert set(np.unique(rule.combine(ballots)[:, 1]).round(3)) <= {0, 0.333, 0.667, 1}


def test_held_out_sets_a_new_threshold_on_a_fitted_rule():
    rule = ThresholdVote("majority").fit(*clinic(200, 200, seed=1)[:2])
    ballots, y, lesions = clinic(80, 120, views=2, seed=2)
    fresh = ThresholdVote.held_out(rule, ballots, y, groups=lesions, min_sensitivity=0.9)
    assert fresh is not rule
    assert fresh.base_ is rule.base_
    assert fresh.certificate_.kind == "held-out"
    assert rule.certificate_.kind == "cross-fitted"
    assert (fresh.certificate_.n_malignant, fresh.min_sensitivity) == (120, 0.9)


def test_held_out_takes_a_rule_without_a_threshold():
    ballots, y, _ = clinic(80, 120)
    fresh = ThresholdVote.held_out(SoftVote(), ballots, y)
    assert fresh.certificate_ == certify_threshold(ballots[:, :, 1].mean(axis=1), y == 1)


def test_too_few_lesions_say_how_many_are_missing():
    ballots, y, lesions = clinic(100, 40, views=3)
    with pytest.raises(CertificateError, match=r"40 malignant lesions .* 59 are needed \(19 more"):
        ThresholdVote().fit(ballots, y, groups=lesions)
    ThresholdVote(min_sensitivity=0.9).fit(ballots, y, groups=lesions)


def test_three_classes_are_refused():
    ballots = np.full((90, 2, 3), 1 / 3)
    text = r"voting rule: ThresholdVote – .* between two classes, here are 3 – use it for triage"
    with pytest.raises(InputError, match=text):
        ThresholdVote().fit(ballots, np.arange(90) % 3)


@pytest.mark.parametrize("name", ["min_sensitivity", "confidence"])
@pytest.mark.parametrize("value", [0, 1, -0.5, 1.5, float("nan")])
def test_impossible_promises_are_refused(name, value):
    ballots, y, _ = clinic(100, 100)
    with pytest.raises(InputError, match=rf"^{name}: {value} – .+ – choose a number between 0 and"):
        ThresholdVote(**{name: value}).fit(ballots, y)


@pytest.mark.parametrize(
    "base",
    [
        pytest.param("greedy", marks=pytest.mark.slow),
        "stacking",
        StackingVote(DecisionTreeClassifier()),
    ],
)
def test_a_rule_that_learns_keeps_the_promise_too(base):
    """Set on ballots whose answers the rule has seen, a threshold over a tree fails every time."""
    broken = 0
    for seed in range(12):
        ballots, y, lesions = clinic(150, 150, views=2, seed=seed)
        rule = ThresholdVote(base, min_sensitivity=0.8).fit(ballots, y, groups=lesions)
        fresh, truth, names = clinic(0, 4000, views=2, seed=1000 + seed)
        found, _ = lesion_scores(rule.decide(fresh).astype(float), truth == 1, names)
        broken += found.mean() < 0.8
    assert broken <= 3


@pytest.mark.parametrize(
    "spoil", [lambda b: b * np.nan, lambda b: -b, lambda b: b * 2], ids=["NaN", "negative", "sums"]
)
@pytest.mark.parametrize("rule", [ThresholdVote(), CalibratedVote()], ids=repr)
def test_ballots_that_are_none_are_refused_in_fit(rule, spoil):
    ballots, y, _ = clinic(100, 100)
    with pytest.raises(InputError, match=r"^ballots: .* – not finite, negative, or not summing to"):
        clone(rule).fit(spoil(ballots), y)


class Undefined(VotingRule):
    """Gives no number where its members are of one mind."""

    def combine(self, ballots):
        return np.where(ballots.std(axis=1) > 0, ballots.mean(axis=1), np.nan)


@pytest.mark.parametrize("kind", [ThresholdVote, CalibratedVote])
def test_what_is_not_a_number_is_never_read_as_benign(kind):
    ballots, y, _ = clinic(100, 100)
    rule = kind(Undefined()).fit(ballots, y)
    with pytest.raises(InputError, match=r"^ballots: rows 1 – the pooled probability is not a num"):
        rule.combine(np.stack([ballots[0], ballots[1, [0, 0, 0]]]))


@pytest.mark.parametrize("rule", [ThresholdVote(), CalibratedVote()], ids=repr)
def test_without_one_of_its_members_it_promises_nothing(rule):
    ballots, y, _ = clinic(100, 100)
    rule = clone(rule).fit(ballots, y)
    text = r"^ballots: of 2 members – the rule learnt from 3 members – let the same members vote"
    for ask in (rule.combine, rule.decide):
        with pytest.raises(InputError, match=text):
            ask(ballots[:, :2])
    held_out = ThresholdVote.held_out(SoftVote(), ballots, y)
    with pytest.raises(InputError, match=text):
        held_out.decide(ballots[:, :2])


def test_what_learns_nothing_is_not_cross_fitted(monkeypatch):
    monkeypatch.setattr(_checks, "lesion_folds", None)
    ballots, y, _ = clinic(100, 100)
    for base in ("soft", "quorum", "median", WeightedMajorityVote([1, 2, 3])):
        for kind in (ThresholdVote, CalibratedVote):
            kind(base).fit(ballots, y)
    with pytest.raises(TypeError, match="not callable"):
        ThresholdVote(WeightedMajorityVote()).fit(ballots, y)


def test_before_fit_it_says_so():
    for rule in (ThresholdVote(), CalibratedVote()):
        with pytest.raises(NotFittedError):
            rule.combine(clinic(5, 5)[0])


def test_an_unknown_way_to_put_images_together_is_known_before_anything_is_trained():
    with pytest.raises(InputError, match="lesion: 'wurst' – not one of 'worst', 'highest', 'mean'"):
        ThresholdVote(lesion="wurst").check_targets(np.arange(200) % 2)


def test_a_threshold_within_lends_how_it_puts_images_together():
    rng = np.random.default_rng(0)
    y = np.repeat([0, 1], 100)
    p = np.clip(0.3 + 0.4 * y[:, None] + 0.2 * rng.standard_normal((200, 3)), 0, 1)
    ballots = np.stack([1 - p, p], axis=2)
    rule = EarlyExitVote(ThresholdVote(lesion="mean")).fit(ballots, y)
    assert ThresholdVote.held_out(rule, ballots, y).lesion == "mean"


@pytest.mark.parametrize("inner", [EarlyExitVote("threshold"), ThresholdVote(ThresholdVote())])
def test_without_its_threshold_a_rule_has_none_further_in(inner):
    def thresholds(rule):
        base = rule.base_rule() if hasattr(rule, "base_rule") else None
        return isinstance(rule, ThresholdVote) + (thresholds(base) if base else 0)

    rule = ThresholdVote(inner)
    assert thresholds(rule) > 1
    assert thresholds(without_threshold(rule)) == 0


@pytest.mark.parametrize("criterion", ["sensitivity", "specificity", "youden"])
@pytest.mark.parametrize("grouped", [True, False])
def test_a_lesion_without_weight_proves_nothing(criterion, grouped):
    ballots, y, lesions = clinic(150, 150, views=2)
    rng = np.random.default_rng(0)
    counts = rng.random(300) < 0.7
    weight = np.where(counts[lesions], 1.0, 0.0)
    weight[np.flatnonzero(counts[lesions])[0]] = 0.0  # of a lesion whose other image counts
    groups = lesions if grouped else None
    rows = counts[lesions] if grouped else weight > 0
    rule = ThresholdVote(criterion=criterion, min_sensitivity=0.8, min_specificity=0.8)
    found = clone(rule).fit(ballots, y, sample_weight=weight, groups=groups)
    expected = clone(rule).fit(ballots[rows], y[rows], groups=lesions[rows] if grouped else None)
    assert (found.threshold_, found.certificate_) == (expected.threshold_, expected.certificate_)
