"""Means, medians and quorums against independent references, and parameters that cannot work."""

from __future__ import annotations

import numpy as np
import pytest
from ballots import many
from scipy import stats
from sklearn.base import clone

from skinensemble import (
    GreedyVote,
    MedianVote,
    PowerMeanVote,
    QuorumVote,
    SoftVote,
    StackingVote,
    TrimmedMeanVote,
    WeightedMajorityVote,
)
from skinensemble.exceptions import InputError
from skinensemble.voting import resolve_voting_rule


def scaled(scores: np.ndarray) -> np.ndarray:
    return scores / scores.sum(axis=1, keepdims=True)


def assert_pools(rule, scores: np.ndarray, ballots: np.ndarray) -> None:
    np.testing.assert_allclose(rule.combine(ballots), scaled(scores), rtol=1e-9, atol=1e-12)


BALLOTS = {n_classes: many(300, 5, n_classes) for n_classes in (2, 7)}
sizes = pytest.mark.parametrize("ballots", BALLOTS.values(), ids=BALLOTS)


@sizes
@pytest.mark.parametrize("power", [-30, -1, -0.5, -1e-3, 1e-3, 0.5, 1, 2, 30])
def test_the_power_mean_is_that_of_scipy(ballots, power):
    assert_pools(PowerMeanVote(power), stats.pmean(ballots, power, axis=1), ballots)


@sizes
def test_the_geometric_mean_is_that_of_scipy(ballots):
    expected = stats.gmean(ballots, axis=1)
    assert_pools(PowerMeanVote(0), expected, ballots)
    assert_pools(resolve_voting_rule("geometric"), expected, ballots)


@sizes
@pytest.mark.parametrize("power", [1e-7, -1e-7, 2e-6, -2e-6, 5e-324])
def test_a_small_power_is_nearly_the_geometric_mean(ballots, power):
    expected = PowerMeanVote(0).combine(ballots)
    np.testing.assert_allclose(PowerMeanVote(power).combine(ballots), expected, atol=1e-4)


@sizes
@pytest.mark.parametrize(("power", "extreme"), [(1e6, np.max), (1e308, np.max), (-1e6, np.min)])
def test_a_large_power_is_nearly_the_extreme(ballots, power, extreme):
    pooled = PowerMeanVote(power).combine(ballots)
    np.testing.assert_allclose(pooled, scaled(extreme(ballots, axis=1)), atol=1e-5)


def test_probabilities_near_zero_neither_overflow_nor_vanish():
    tiny = np.array([[[1 - 1e-300, 1e-300, 0.0]] * 40 + [[0.0, 1.0, 0.0]]])
    for power in (-700, -1, 0, 1e-3, 700):
        pooled = PowerMeanVote(power).combine(tiny)
        np.testing.assert_allclose(pooled.sum(axis=1), 1)
        assert pooled[0, 2] == 0
    assert PowerMeanVote(0).combine(tiny)[0].tolist() == [0, 1, 0]


@sizes
@pytest.mark.parametrize("proportion", [0, 0.1, 0.2, 0.25, 0.45])
def test_the_trimmed_mean_is_that_of_scipy(ballots, proportion):
    expected = stats.trim_mean(ballots, proportion, axis=1)
    assert_pools(TrimmedMeanVote(proportion), expected, ballots)


@sizes
def test_the_median_is_the_middle_one(ballots):
    assert_pools(MedianVote(), np.sort(ballots, axis=1)[:, 2], ballots)
    even = np.sort(ballots[:, :4], axis=1)
    assert_pools(MedianVote(), (even[:, 1] + even[:, 2]) / 2, ballots[:, :4])


@pytest.mark.parametrize("quorum", ["any", "all", 1, 2, 5, np.int64(3)])
def test_a_quorum_counts_voices(quorum):
    ballots = np.concatenate([BALLOTS[2], np.full((1, 5, 2), 0.5)])
    needed = {"any": 1, "all": 5}.get(quorum, quorum)
    rule = QuorumVote(quorum).fit(ballots, np.zeros(301, int))
    voices = (ballots[:, :, 1] >= 0.5).sum(axis=1)
    np.testing.assert_array_equal(rule.decide(ballots), voices >= needed)
    ranked = np.sort(ballots[:, :, 1], axis=1)[:, ::-1]
    np.testing.assert_array_equal(rule.combine(ballots)[:, 1], ranked[:, needed - 1])


def test_a_quorum_is_for_two_classes():
    text = r"^voting rule: QuorumVote – it decides between two classes, here are 7 – use it for tr"
    rule, ballots = QuorumVote(), BALLOTS[7]
    with pytest.raises(InputError, match=text):
        rule.check_targets(np.arange(7))
    with pytest.raises(InputError, match=text):
        rule.fit(ballots, np.arange(300) % 7)
    with pytest.raises(InputError, match=text):
        rule.combine(ballots)


# Rules that cannot work for any committee, or for one of four; and what is said.
ODD = {
    "weights negative": (
        SoftVote([1, -1, 2, np.nan]),
        "weights: -1 of member 1, nan of member 3 –",
    ),
    "weights infinite": (SoftVote([1, np.inf, 0, 0]), "weights: inf of member 1 – negative or not"),
    "weights all zero": (SoftVote(np.zeros(4)), "weights: all zero – no member would count – make"),
    "weights a text": (SoftVote("1111"), "weights: '1111' – expected one number per member – pass"),
    "weights texts": (SoftVote(["1", "2"]), "weights: .* – expected one number per member"),
    "weights a number": (SoftVote(2.0), "weights: 2.0 – expected one number per member"),
    "weights ragged": (SoftVote([[1, 2], [3]]), "weights: .* – expected one number per member"),
    "weights beyond floats": (SoftVote([10**400]), "weights: .* – expected one number per member"),
    "no weights": (SoftVote([]), r"weights: \[\] – expected one number per member"),
    "votes' weights": (WeightedMajorityVote([0] * 4), "weights: all zero – "),
    "quorum of none": (QuorumVote(0), 'quorum: 0 – not a number of members – pass "any", "all"'),
    "quorum a share": (QuorumVote(0.5), "quorum: 0.5 – not a number of members"),
    "quorum a word": (QuorumVote("most"), "quorum: 'most' – not a number of members"),
    "quorum true": (QuorumVote(True), "quorum: True – not a number of members"),
    "quorum a list": (QuorumVote([1]), r"quorum: \[1\] – not a number of members"),
    "quorum an array": (QuorumVote(np.ones(2)), r"quorum: array.* – not a number of members"),
    "power infinite": (PowerMeanVote(np.inf), "power: inf – not a finite number – pass a number"),
    "power beyond floats": (PowerMeanVote(10**400), "power: 1000.* – not a finite number"),
    "power a text": (PowerMeanVote("0.5"), "power: '0.5' – not a finite number"),
    "power None": (PowerMeanVote(None), "power: None – not a finite number"),
    "half trimmed": (TrimmedMeanVote(0.5), "proportion: 0.5 – not from 0 to less than a half –"),
    "negative trimmed": (TrimmedMeanVote(-0.1), "proportion: -0.1 – not from 0 to less than a"),
    "NaN trimmed": (TrimmedMeanVote(np.nan), "proportion: nan – not from 0 to less than a half"),
    "metric unknown": (GreedyVote("f1"), "metric: 'f1' – not a metric: the names are accuracy, "),
    "metric a list": (GreedyVote(["brier"]), r"metric: \['brier'\] – not a metric: "),
    "no rounds": (GreedyVote(n_rounds=0), "n_rounds: 0 – not a whole number from 1 – pass one"),
    "half a bag": (GreedyVote(n_bags=0.5), "n_bags: 0.5 – not a whole number from 1"),
    "estimator a class": (
        StackingVote(SoftVote),
        "estimator: .*SoftVote.* – not a classifier with",
    ),
    "estimator mute": (
        StackingVote(SoftVote()),
        r"estimator: SoftVote\(\) – not a classifier with",
    ),
}
FOR_FOUR = {
    "too few weights": (
        SoftVote([1, 2, 3]),
        "weights: 3 given – there are 4 members – pass one per",
    ),
    "too many votes' weights": (WeightedMajorityVote([1] * 5), "weights: 5 given – there are 4"),
    "quorum of too many": (
        QuorumVote(5),
        "quorum: 5 – the committee has 4 members – choose 1 to 4",
    ),
}


@pytest.mark.parametrize(
    ("rule", "text"), [*ODD.values(), *FOR_FOUR.values()], ids=[*ODD, *FOR_FOUR]
)
def test_parameters_that_cannot_work_are_refused_by_fit(rule, text):
    ballots, y = many(20, 4, 2), np.arange(20) % 2
    with pytest.raises(InputError, match=f"^{text}"):
        clone(rule, safe=False).fit(ballots, y)


@pytest.mark.parametrize(("rule", "text"), ODD.values(), ids=ODD)
def test_and_before_anything_is_trained(rule, text):
    with pytest.raises(InputError, match=f"^{text}"):
        rule.check_targets(np.arange(20) % 2)


@pytest.mark.parametrize(("rule", "text"), FOR_FOUR.values(), ids=FOR_FOUR)
def test_and_for_a_committee_of_another_size(rule, text):
    rule.check_params()
    with pytest.raises(InputError, match=f"^{text}"):
        rule.check_params(4)


@pytest.mark.parametrize("rule", [SoftVote([1, 2, 3]), QuorumVote(5), TrimmedMeanVote(0.7)])
def test_rules_without_a_fit_check_when_they_pool(rule):
    with pytest.raises(InputError, match=r"^(weights|quorum|proportion): "):
        rule.combine(many(20, 4, 2))
