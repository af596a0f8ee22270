"""What are no ballots: one clear error, by every rule alone and by the check itself."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
from ballots import RULES, many, trained

from skinensemble import MajorityVote, MedianVote, SoftVote, VotingRule
from skinensemble.exceptions import InputError
from skinensemble.voting import check_ballots

GOOD = many(4, 3, 2)


def spoilt(value, sample=2, member=1):
    """Good ballots but for one, whose first number is that value."""
    ballots = GOOD.copy()
    ballots[sample, member, 0] = value
    return ballots


NEGATIVE = spoilt(-0.25)
NEGATIVE[2, 1, 1] = 1.25
ROWS = r" – not finite, negative, or not summing to 1 – pass probabilities, not scores or logits"
SHAPE = (
    r" – expected \(n_samples, n_members, n_classes\) with two classes or more – stack the members'"
)
# What is no ballot for a committee of three members and two classes, and what is said.
BAD = {
    "NaN": (spoilt(np.nan), rf"sample 2 of member 1 \(NaN\){ROWS}"),
    "infinite": (spoilt(np.inf), rf"sample 2 of member 1 \(infinite\){ROWS}"),
    "infinite both ways": (
        np.full_like(GOOD, [np.inf, -np.inf]),
        rf"sample 0 of member 0 \(infinite\), .* and 2 more{ROWS}",
    ),
    "huge": (np.full_like(GOOD, 1e308), r"sample 0 of member 0 \(sums to inf\), "),
    "negative": (NEGATIVE, rf"sample 2 of member 1 \(holds -0.25\){ROWS}"),
    "sum": (0.9 * GOOD, rf"sample 0 of member 0 \(sums to 0.9\), .* and 2 more{ROWS}"),
    "sum missed by a little more": (GOOD * 1.0011, r"sample 0 of member 0 \(sums to 1.0011\), "),
    "logits": (GOOD * 8, rf"sample 0 of member 0 \(sums to 8\), .* and 2 more{ROWS}"),
    "no sample": (GOOD[:0], rf"shape \(0, 3, 2\){SHAPE}"),
    "no member": (GOOD[:, :0], rf"shape \(4, 0, 2\){SHAPE}"),
    "one class": (np.ones((4, 3, 1)), rf"shape \(4, 3, 1\){SHAPE}"),
    "two axes": (GOOD[:, 0], rf"shape \(4, 2\){SHAPE}"),
    "four axes": (GOOD[None], rf"shape \(1, 4, 3, 2\){SHAPE}"),
    "one number": (0.5, rf"shape \(\){SHAPE}"),
    "ragged": ([[[0.5, 0.5]], [[1.0]]], r".* – not numbers of one shape – stack the members'"),
    "text": ([[["nv", "mel"]]], r".* – not numbers of one shape – stack the members'"),
    "None": (None, rf"shape \(\){SHAPE}"),
}
bad = pytest.mark.parametrize(("ballots", "text"), BAD.values(), ids=BAD)
every_rule = pytest.mark.parametrize(
    "name", [name for name, case in RULES.items() if 2 in case.sizes]
)


@bad
def test_bad_ballots_are_refused_with_their_place(ballots, text):
    with pytest.raises(InputError, match=rf"^ballots: {text}"):
        check_ballots(ballots)


@every_rule
def test_every_rule_refuses_them_and_is_not_fitted_on_them(name):
    rule = trained(name, 3, 2)
    asked = (rule.combine, rule.decide, rule.votes, lambda b: RULES[name].rule.fit(b, [0, 1, 0, 1]))
    for (ballots, text), ask in product(BAD.values(), asked):
        with pytest.raises(InputError, match=rf"^ballots: {text}"):
            ask(ballots)


@every_rule
def test_one_member_and_one_sample_are_ballots(name):
    rule, one = trained(name, 1, 2), many(1, 1, 2)
    assert rule.combine(one).shape == (1, 2)
    assert rule.decide(one).shape == (1,)
    assert rule.votes(one).shape == (1, 1)
    assert rule.votes(many(5, 1, 2).tolist()).shape == (5, 1)


@every_rule
def test_ballots_of_float32_networks_are_taken(name):
    rule, exact = trained(name, 3, 2), many(40, 3, 2)
    ballots = exact.astype(np.float32) * np.float32(1 + 5e-4)
    pooled = rule.combine(ballots)
    np.testing.assert_allclose(pooled.sum(axis=1), 1, rtol=0, atol=1e-12)
    np.testing.assert_allclose(pooled, rule.combine(exact), rtol=0, atol=1e-5)


@pytest.mark.parametrize("rule", [name for name, case in RULES.items() if case.sizes == (2,)])
@pytest.mark.parametrize("ask", ["combine", "decide"])
def test_a_rule_for_two_classes_refuses_three(rule, ask):
    with pytest.raises(InputError, match=r"^voting rule: .* two classes, here are 3 – use it for"):
        getattr(trained(rule, 3, 2), ask)(many(4, 3, 3))


class FirstVote(VotingRule):
    """Listens to the first member, and checks nothing."""

    def combine(self, ballots):
        return ballots[:, 0]


@bad
def test_a_rule_of_ones_own_decides_and_fits_no_bad_ballots(ballots, text):
    for ask in (FirstVote().decide, FirstVote().votes, lambda b: FirstVote().fit(b, [0, 1, 0, 1])):
        with pytest.raises(InputError, match=rf"^ballots: {text}"):
            ask(ballots)


@pytest.mark.parametrize("total", [1 - 9e-4, 1.0, 1 + 9e-4])
def test_sums_of_float32_networks_are_scaled_to_one(total):
    ballots = check_ballots(np.array([[[0.25, 0.75]]]) * total)
    assert ballots.dtype == np.float64
    np.testing.assert_allclose(ballots, [[[0.25, 0.75]]], rtol=1e-12)


def test_sound_ballots_are_not_copied_and_checking_twice_changes_nothing():
    ballots = many(5000, 7, 7)
    assert check_ballots(ballots) is ballots
    scaled = check_ballots(ballots.astype(np.float32))
    assert check_ballots(scaled) is scaled
    turned = np.asfortranarray(ballots)
    assert check_ballots(turned) is turned


def test_what_a_sample_is_given_does_not_depend_on_the_others():
    """A threshold is the score of a lesion to the last bit."""
    ballots = many(300, 3, 7)
    ballots[::2] *= 1 + 1e-7
    whole = check_ballots(ballots)
    np.testing.assert_array_equal(whole[1::2], ballots[1::2])
    for i in range(0, 300, 13):
        np.testing.assert_array_equal(check_ballots(ballots[[i]])[0], whole[i])


@pytest.mark.parametrize("rule", [SoftVote(), MajorityVote(), MedianVote()])
def test_a_bad_ballot_late_in_a_large_array_is_found(rule):
    ballots = many(20_000, 7, 7)
    ballots[19_998, 6, 6] = np.nan
    with pytest.raises(InputError, match=r"^ballots: sample 19998 of member 6 \(NaN\) – "):
        rule.combine(ballots)
