"""What is settled stays so, whatever the members say who were not asked."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest
from ballots import RULES, drawn_ballots, informed, trained
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.base import clone
from sklearn.exceptions import NotFittedError

from skinensemble import (
    CalibratedVote,
    EarlyExitVote,
    GreedyVote,
    LogitAdjustedVote,
    MajorityVote,
    MedianVote,
    PowerMeanVote,
    QuorumVote,
    SoftVote,
    StackingVote,
    ThresholdVote,
    VotingRule,
    WeightedMajorityVote,
)
from skinensemble.exceptions import InputError

EXTRA = {
    "early exit": (EarlyExitVote(tolerance=0.1), (2, 3, 7)),
    "early exit at a threshold": (EarlyExitVote("threshold", tolerance=0.1), (2,)),
    "threshold of an early exit": (ThresholdVote(EarlyExitVote(tolerance=0.1)), (2,)),
    "threshold, calibrated": (ThresholdVote(CalibratedVote("soft", "platt")), (2,)),
    "calibrated majority": (CalibratedVote("majority"), (2, 3, 7)),
    "threshold of stacking": (ThresholdVote("stacking"), (2,)),
    "adjusted early exit": (LogitAdjustedVote(EarlyExitVote(tolerance=0.1)), (2, 3, 7)),
    "early exit, calibrated and adjusted": (
        LogitAdjustedVote(CalibratedVote(EarlyExitVote(tolerance=0.1)), tau=0.5),
        (2, 3),
    ),
}
CASES = [(name, k) for name, case in RULES.items() for k in case.sizes]
CASES += [(name, k) for name, (_, sizes) in EXTRA.items() for k in sizes]
# Seven classes are seven times three numbers to settle; two and three show what can go wrong.
CASES = [pytest.param(*case, marks=pytest.mark.slow if case[1] > 3 else ()) for case in CASES]


@cache
def fitted(name, n_members, n_classes):
    if name in RULES:
        return trained(name, n_members, n_classes)
    return clone(EXTRA[name][0]).fit(*informed(n_members, n_classes))


def completed(data, ballots, asked):
    """The ballots with all that was not asked replaced: at random, by one class, or by few."""
    n_samples, n_members, n_classes = ballots.shape
    rng = np.random.default_rng(data.draw(st.integers(0, 2**32 - 1)))
    sharp = data.draw(st.sampled_from([0.01, 0.3, 3.0]))
    other = rng.dirichlet(np.full(n_classes, sharp), size=(n_samples, n_members))
    certain = np.eye(n_classes)[rng.integers(0, n_classes, (n_samples, n_members))]
    other = np.where(rng.random((n_samples, n_members, 1)) < 0.5, certain, other)
    return np.where(asked[:, None], ballots, other)


@pytest.mark.parametrize(("name", "n_classes"), CASES)
@settings(max_examples=25)
@given(data=st.data())
def test_no_ballots_of_the_others_change_what_is_settled(name, n_classes, data):
    ballots = data.draw(drawn_ballots(n_classes))
    n_members = ballots.shape[1]
    rule = fitted(name, n_members, n_classes)
    asked = np.array(data.draw(st.lists(st.booleans(), min_size=n_members, max_size=n_members)))
    before = completed(data, ballots, asked)
    settled = rule.settled(before, asked)
    for _ in range(3):
        after = completed(data, ballots, asked)
        np.testing.assert_array_equal(rule.settled(after, asked), settled)
        np.testing.assert_array_equal(
            rule.decide(after)[settled], rule.decide(before)[settled], strict=True
        )


@pytest.mark.parametrize(("name", "n_classes"), CASES)
def test_everybody_settles_everything(name, n_classes):
    ballots, _ = informed(4, n_classes, seed=1)
    rule = fitted(name, 4, n_classes)
    assert rule.settled(ballots, np.ones(4, dtype=bool)).all()


def two(*positive):
    return np.array([[[1 - p, p] for p in positive]])


@pytest.mark.parametrize(
    ("rule", "positive", "n_asked", "expected"),
    [
        (MajorityVote(), (0.9, 0.8, 0.5), 2, True),
        (MajorityVote(), (0.9, 0.2, 0.5), 2, False),
        # Two of four are even, and the mean probability of the rest may be anything.
        (MajorityVote(), (0.9, 0.9, 0.5, 0.5), 2, False),
        # Even in votes at the worst, and certain members lose by no mean: toward the positive.
        (MajorityVote(), (1.0, 1.0, 0.5, 0.5), 2, True),
        (MajorityVote(), (0.0, 0.0, 0.5, 0.5), 2, False),
        (SoftVote(), (0.9, 0.9, 0.5), 2, True),
        (SoftVote(), (0.9, 0.5, 0.5), 2, False),
        # At the worst an exact tie, which is the positive class's.
        (SoftVote(), (0.75, 0.75, 0.5), 2, True),
        (SoftVote(), (0.25, 0.25, 0.5), 2, False),
        (SoftVote([5, 1, 1]), (0.9, 0.5, 0.5), 1, True),
        (SoftVote([1, 0, 1]), (0.9, 0.5, 0.5), 1, False),
        (QuorumVote("any"), (0.6, 0.5, 0.5), 1, True),
        (QuorumVote("any"), (0.4, 0.4, 0.5), 2, False),
        (QuorumVote("all"), (0.4, 0.5, 0.5), 1, True),
        (QuorumVote("all"), (0.9, 0.9, 0.5), 2, False),
        (QuorumVote(2), (0.1, 0.2, 0.5), 2, True),
        (MedianVote(), (0.9, 0.9, 0.5), 2, True),
        # One veto is enough for the geometric mean, unless it meets another.
        (PowerMeanVote(0), (0.9, 0.9, 0.5), 2, False),
    ],
)
def test_by_hand(rule, positive, n_asked, expected):
    asked = np.arange(len(positive)) < n_asked
    assert rule.settled(two(*positive), asked).tolist() == [expected]


def test_by_hand_of_several_classes():
    ballots = np.array([[[0.8, 0.1, 0.1], [0.7, 0.3, 0.0], [0.0, 0.0, 1.0]]])
    # 1.5 against 0.4 and 0.1, with one vote to come.
    assert SoftVote().settled(ballots, [True, True, False]).tolist() == [True]
    assert SoftVote().settled(ballots, [True, False, False]).tolist() == [False]
    assert MajorityVote().settled(ballots, [True, True, False]).tolist() == [True]
    weighted = WeightedMajorityVote([1, 1, 5]).fit(ballots, [0])
    assert weighted.settled(ballots, [True, True, False]).tolist() == [False]
    assert weighted.settled(ballots, [False, False, True]).tolist() == [True]


def test_soft_settles_exactly_what_no_completion_changes():
    """Of two classes nothing is missed: the open ones can still go either way."""
    rng = np.random.default_rng(0)
    ballots = rng.dirichlet([1, 1], size=(500, 5))
    asked = np.array([True, True, True, False, False])
    lowest = ballots[:, :3, 1].sum(axis=1) / 5
    expected = (lowest >= 0.5) | (lowest + 2 / 5 < 0.5)
    np.testing.assert_array_equal(SoftVote().settled(ballots, asked), expected)
    assert 0 < expected.mean() < 1


def test_a_member_without_weight_need_not_be_asked():
    ballots, y = informed(3, 2)
    noise = np.random.default_rng(3).dirichlet([1, 1], size=len(y))
    rule = GreedyVote().fit(np.concatenate([ballots[:, :2], noise[:, None]], axis=1), y)
    assert rule.weights_[2] == 0
    assert rule.settled(ballots, [True, True, False]).all()


@pytest.mark.parametrize(
    "around", [LogitAdjustedVote(tau=0.5), ThresholdVote(criterion="youden"), CalibratedVote()]
)
def test_what_is_around_an_early_exit_asks_nobody_else(around):
    ballots, y = informed(4, 2)
    rule = clone(around).set_params(base=EarlyExitVote(tolerance=0.1)).fit(ballots, y)
    asked, rule.base_.levels_[:] = np.arange(4) < 2, np.quantile(ballots.max(axis=2), 0.7)
    settled = rule.base_.settled(ballots, asked)
    assert 0 < settled.mean() < 1
    np.testing.assert_array_equal(rule.settled(ballots, asked), settled)


def test_a_tie_after_an_adjustment_waits_for_those_who_break_it():
    ballots, y = informed(3, 2)
    rule = LogitAdjustedVote(EarlyExitVote(tolerance=0.1), tau=0).fit(ballots, y)
    rule.base_.levels_[:] = 0
    even = two(0.5, 0.9, 0.9), two(0.5, 0.1, 0.1)
    assert [rule.decide(one).tolist() for one in even] == [[1], [0]]
    assert not rule.settled(even[0], [True, False, False]).any()
    assert rule.settled(two(0.6, 0.1, 0.1), [True, False, False]).all()


def test_rules_of_which_nothing_is_known_wait_for_everybody():
    class Last(VotingRule):
        """The last member alone."""

        def combine(self, ballots):
            return ballots[:, -1]

    ballots, y = informed(3, 2)
    for rule in (Last(), StackingVote().fit(ballots, y), ThresholdVote("stacking").fit(ballots, y)):
        assert not rule.settled(ballots, [True, True, False]).any()
        assert rule.settled(ballots, [True, True, True]).all()


def test_a_rule_of_ones_own_says_that_it_is_monotone():
    class Weakest(VotingRule):
        """Positive when everybody is."""

        def combine(self, ballots):
            lowest = ballots[..., 1].min(axis=1)
            return np.stack([1 - lowest, lowest], axis=1)

        def is_monotone(self, n_classes):
            return n_classes == 2

    assert Weakest().settled(two(0.1, 0.9), [True, False]).tolist() == [True]
    assert Weakest().settled(two(0.9, 0.9), [True, False]).tolist() == [False]


@pytest.mark.parametrize(
    ("temperature", "usable"), [(1e-3, False), (0.1, False), (0.3, True), (1, True), (100, True)]
)
def test_leads_are_not_judged_where_a_temperature_may_make_ties_of_them(temperature, usable):
    rule = CalibratedVote().fit(*informed(3, 7))
    rule.temperature_ = temperature
    assert rule.is_monotone(7) is usable
    assert rule.is_monotone(2)


@pytest.mark.parametrize("asked", [[True, False], [1, 0, 1], True])
def test_asked_is_a_mask_of_the_members(asked):
    with pytest.raises(InputError, match=r"asked: .* expected one boolean for each of 3 members –"):
        SoftVote().settled(two(0.1, 0.2, 0.3), asked)


@pytest.mark.parametrize("rule", [ThresholdVote(), CalibratedVote(), EarlyExitVote()])
def test_a_rule_that_learns_has_to_be_fitted(rule):
    with pytest.raises(NotFittedError, match=f"This {type(rule).__name__} instance is not fitted"):
        rule.settled(two(0.1, 0.2), [True, False])


def test_a_leader_over_all_types_settles_no_side_at_an_extreme_temperature():
    ballots = np.array([[[0.02, 0.9, 0.01, 0.01, 0.02, 0.02, 0.02]] * 3])
    rule = CalibratedVote("soft")
    rule.fit(np.full((7, 3, 7), 1 / 7), np.arange(7))
    for temperature, settled in ((1.0, True), (0.1, False)):
        rule.temperature_ = temperature
        assert rule.is_monotone(7) is settled
        assert rule.settled(ballots, [True, True, False]).tolist() == [settled]
        assert rule.settled(ballots, [True, True, True]).all()
