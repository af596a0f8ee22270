from __future__ import annotations

import numpy as np
import pytest
from ballots import RULES, drawn_ballots, informed, many, trained
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.base import clone
from sklearn.dummy import DummyClassifier
from sklearn.ensemble import VotingClassifier

from skinensemble import (
    CalibratedVote,
    MajorityVote,
    MedianVote,
    PowerMeanVote,
    QuorumVote,
    SoftVote,
    ThresholdVote,
    TrimmedMeanVote,
    WeightedMajorityVote,
    list_voting_rules,
)
from skinensemble.voting import break_ties, last_argmax, resolve_voting_rule, rule_name


def cases(holds=lambda case: True):
    """Parametrise by name and number of classes, of the rules for which something holds."""
    listed = [(name, n) for name, case in RULES.items() if holds(case) for n in case.sizes]
    return pytest.mark.parametrize(("name", "n_classes"), listed)


def test_the_table_holds_every_registered_rule():
    assert {type(case.rule).__name__ for case in RULES.values()} == {
        type(resolve_voting_rule(name)).__name__ for name in list_voting_rules()
    }


@cases()
@settings(max_examples=15)
@given(data=st.data())
def test_combine_gives_probabilities(name, n_classes, data):
    ballots = data.draw(drawn_ballots(n_classes))
    pooled = trained(name, ballots.shape[1], n_classes).combine(ballots)
    assert pooled.shape == (len(ballots), n_classes)
    assert (pooled >= 0).all()
    np.testing.assert_allclose(pooled.sum(axis=1), 1, rtol=0, atol=1e-12)


@cases()
@settings(max_examples=10)
@given(data=st.data())
def test_the_order_of_members_does_not_matter(name, n_classes, data):
    ballots = data.draw(drawn_ballots(n_classes))
    n_members = ballots.shape[1]
    order = data.draw(st.permutations(range(n_members)))
    rule, learned, y = trained(name, n_members, n_classes), *informed(n_members, n_classes)
    turned = clone(rule).fit(learned[:, order], y)
    pooled = turned.combine(ballots[:, order])
    np.testing.assert_allclose(pooled, rule.combine(ballots), rtol=0, atol=RULES[name].atol)
    np.testing.assert_array_equal(turned.decide(ballots[:, order]), rule.decide(ballots))


@cases(lambda case: case.symmetric)
@settings(max_examples=10)
@given(data=st.data())
def test_the_order_of_classes_is_followed(name, n_classes, data):
    ballots = many(5, 4, n_classes, data.draw(st.integers(0, 2**31)))
    order = np.array(data.draw(st.permutations(range(n_classes))))
    rule, learned, y = trained(name, 4, n_classes), *informed(4, n_classes)
    turned = clone(rule).fit(learned[:, :, order], np.argsort(order)[y])
    pooled = turned.combine(ballots[:, :, order])
    expected = rule.combine(ballots)[:, order]
    np.testing.assert_allclose(pooled, expected, rtol=0, atol=RULES[name].atol)
    np.testing.assert_array_equal(order[turned.decide(ballots[:, :, order])], rule.decide(ballots))


@cases(lambda case: case.unanimous)
@settings(max_examples=15)
@given(data=st.data())
def test_a_unanimous_vote_wins(name, n_classes, data):
    rule = trained(name, 5, n_classes)
    ballots = many(4, 5, n_classes, data.draw(st.integers(0, 2**31)))
    winner = data.draw(st.integers(0, n_classes - 1))
    sure = np.eye(n_classes)[np.full(ballots.shape[:2], winner)]
    for agreed in (sure, 0.5 * sure + 0.5 * ballots):
        assert (rule.decide(agreed) == winner).all()
        assert (rule.combine(agreed).argmax(axis=1) == winner).all()


@cases(lambda case: case.solo)
@settings(max_examples=15)
@given(data=st.data())
def test_one_member_alone_is_heard_as_it_speaks(name, n_classes, data):
    ballots = data.draw(drawn_ballots(n_classes))[:, :1]
    pooled = trained(name, 1, n_classes).combine(ballots)
    np.testing.assert_allclose(pooled, ballots[:, 0], rtol=0, atol=1e-12)


@pytest.mark.parametrize("name", ["majority", "weighted_majority"])
def test_a_single_vote_is_the_majority(name):
    ballots = many(20, 1, 3)
    np.testing.assert_array_equal(trained(name, 1, 3).decide(ballots), ballots[:, 0].argmax(axis=1))


@cases()
def test_the_ballots_are_left_as_they_were(name, n_classes):
    ballots, (learned, y) = many(6, 3, n_classes), informed(3, n_classes)
    before, learned_before = ballots.copy(), learned.copy()
    rule = clone(RULES[name].rule).fit(learned, y)
    rule.combine(ballots), rule.decide(ballots), rule.votes(ballots)
    np.testing.assert_array_equal(ballots, before)
    np.testing.assert_array_equal(learned, learned_before)


@cases()
def test_each_sample_is_decided_alone(name, n_classes):
    ballots, rule = many(20, 3, n_classes), trained(name, 3, n_classes)
    pooled, decided = rule.combine(ballots), rule.decide(ballots)
    for part in ([7], [3, 19], slice(5, 12)):
        np.testing.assert_allclose(rule.combine(ballots[part]), pooled[part], rtol=0, atol=1e-12)
        np.testing.assert_array_equal(rule.decide(ballots[part]), decided[part])


@cases()
def test_fitting_again_changes_nothing(name, n_classes):
    ballots, rule = many(20, 3, n_classes), clone(RULES[name].rule)
    params = rule.get_params(deep=False)
    first, second = (rule.fit(*informed(3, n_classes)).combine(ballots) for _ in range(2))
    np.testing.assert_array_equal(first, second)
    assert rule.get_params(deep=False) == params


@pytest.mark.parametrize(
    ("rule", "ballots", "winner"),
    [
        # Two votes each: the mean probability decides, for either side.
        (MajorityVote(), [[0.9, 0.1], [0.8, 0.2], [0.4, 0.6], [0.4, 0.6]], 0),
        (MajorityVote(), [[0.6, 0.4], [0.6, 0.4], [0.2, 0.8], [0.1, 0.9]], 1),
        # Even in votes and in probability: positive, whoever says it first.
        (MajorityVote(), [[0.7, 0.3], [0.3, 0.7]], 1),
        (MajorityVote(), [[0.3, 0.7], [0.7, 0.3]], 1),
        (MajorityVote(), [[0.5, 0.5]], 1),
        (SoftVote(), [[0.7, 0.3], [0.3, 0.7]], 1),
        (SoftVote(), [[0.1, 0.9], [0.7, 0.3], [0.7, 0.3]], 1),
        # Sums of tenths miss a half by 1e-17, differently in each order.
        (SoftVote(), [[0.1, 0.9], [0.2, 0.8], [0.7, 0.3], [1.0, 0.0]], 1),
        (SoftVote(), [[1.0, 0.0], [0.7, 0.3], [0.2, 0.8], [0.1, 0.9]], 1),
        # Three classes; the first has no vote, so its high mean does not help it.
        (MajorityVote(), [[0.48, 0.52, 0.0], [0.48, 0.0, 0.52]], 2),
        (MajorityVote(), [[0.40, 0.60, 0.0], [0.48, 0.0, 0.52]], 1),
        # A member that says an even half is one of those who say positive.
        (QuorumVote("all"), [[0.5, 0.5], [0.2, 0.8]], 1),
        (QuorumVote("any"), [[0.5, 0.5], [0.9, 0.1]], 1),
        (QuorumVote(2), [[0.5, 0.5], [0.6, 0.4], [0.1, 0.9]], 1),
        (QuorumVote(3), [[0.5, 0.5], [0.6, 0.4], [0.1, 0.9]], 0),
        # Every class is vetoed, or has a median of 0: the mean probability decides, then place.
        (PowerMeanVote(power=0), [[1.0, 0.0], [0.0, 1.0]], 1),
        (PowerMeanVote(power=0), [[1.0, 0.0], [0.7, 0.3], [0.0, 1.0]], 0),
        (PowerMeanVote(power=-2), [[1.0, 0.0], [0.0, 1.0]], 1),
        (MedianVote(), [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]], 2),
        (MedianVote(), [[0.7, 0.3], [0.3, 0.7]], 1),
        (TrimmedMeanVote(), [[0.9, 0.1], [0.7, 0.3], [0.3, 0.7], [0.1, 0.9]], 1),
        (WeightedMajorityVote([1, 1, 2]), [[0.6, 0.4], [0.7, 0.3], [0.3, 0.7]], 0),
        (WeightedMajorityVote([1, 1, 2]), [[0.6, 0.4], [0.7, 0.3], [0.1, 0.9]], 1),
    ],
)
def test_ties(rule, ballots, winner):
    ballots = np.array([ballots])
    assert rule.fit(ballots, [0]).decide(ballots) == [winner]


def test_break_ties_prefers_score_to_mean_and_mean_to_place():
    ballots = np.array([[[0.2, 0.5, 0.3]]])
    assert break_ties(np.array([[0.4, 0.3, 0.3]]), ballots) == [0]
    assert break_ties(np.array([[0.3, 0.35, 0.35]]), ballots) == [1]
    assert break_ties(np.array([[0.3, 0.35, 0.35]]), np.full((1, 1, 3), 1 / 3)) == [2]
    assert last_argmax(np.array([[1, 3, 3, 0], [2, 2, 2, 2]])).tolist() == [2, 3]


class Fixed(DummyClassifier):
    """Says what it was built with."""

    def __init__(self, proba=None, classes=None):
        super().__init__()
        self.proba, self.classes = proba, classes

    def predict_proba(self, X):
        return self.proba

    def predict(self, X):
        return self.classes[self.proba.argmax(axis=1)]


def by_scikit_learn(ballots: np.ndarray, voting: str, weights=None) -> np.ndarray:
    n_samples, n_members, n_classes = ballots.shape
    classes = np.arange(n_classes)
    members = [(f"m{i}", Fixed(ballots[:, i], classes)) for i in range(n_members)]
    X, y = np.zeros((n_classes, 1)), classes
    vote = VotingClassifier(members, voting=voting, weights=weights).fit(X, y)
    for member, (_, ours) in zip(vote.estimators_, members, strict=True):
        member.proba = ours.proba
    return vote.predict(np.zeros((n_samples, 1)))


@pytest.mark.parametrize("n_classes", [2, 3, 7])
@pytest.mark.parametrize("seed", range(4))
def test_soft_vote_is_that_of_scikit_learn(n_classes, seed):
    ballots = many(500, 4, n_classes, seed)
    np.testing.assert_array_equal(SoftVote().decide(ballots), by_scikit_learn(ballots, "soft"))


@pytest.mark.parametrize("n_classes", [2, 3, 7])
@pytest.mark.parametrize("seed", range(4))
def test_majority_vote_is_that_of_scikit_learn_where_there_is_one(n_classes, seed):
    ballots = many(500, 5, n_classes, seed)
    share = np.sort(MajorityVote().combine(ballots), axis=1)
    clear = share[:, -1] > share[:, -2]
    assert clear.sum() > 200
    ours, theirs = MajorityVote().decide(ballots), by_scikit_learn(ballots, "hard")
    np.testing.assert_array_equal(ours[clear], theirs[clear])


@pytest.mark.parametrize("n_classes", [2, 7])
def test_weights_are_those_of_scikit_learn(n_classes):
    ballots, weights = many(500, 4, n_classes), [0.5, 2.0, 1.0, 0.75]
    soft, votes = SoftVote(weights), WeightedMajorityVote(weights).fit(ballots, np.zeros(500, int))
    np.testing.assert_array_equal(soft.decide(ballots), by_scikit_learn(ballots, "soft", weights))
    share = np.sort(votes.combine(ballots), axis=1)
    clear = share[:, -1] > share[:, -2] + 1e-9
    assert clear.sum() > 200
    theirs = by_scikit_learn(ballots, "hard", weights)
    np.testing.assert_array_equal(votes.decide(ballots)[clear], theirs[clear])


@pytest.mark.parametrize("weights", [np.ones(4), (1, 1, 1, 1), [5e-324] * 4, [1e308] * 4])
def test_equal_weights_are_none(weights):
    ballots = many(50, 4, 3)
    pooled = SoftVote(weights).combine(ballots)
    np.testing.assert_allclose(pooled, SoftVote().combine(ballots), rtol=1e-12)


@pytest.mark.parametrize(
    ("rule", "name"),
    [
        *((resolve_voting_rule(name), name) for name in list_voting_rules()),
        ("soft", "soft"),
        (PowerMeanVote(power=0), "geometric"),
        (PowerMeanVote(np.float64(0.5)), "power_mean"),
        (PowerMeanVote(2), "PowerMeanVote(power=2)"),
        (CalibratedVote(SoftVote()), "calibrated"),
        (ThresholdVote(SoftVote(), min_sensitivity=0.95), "threshold"),
        (CalibratedVote(MedianVote(), "platt"), "CalibratedVote(base='median', method='platt')"),
        (ThresholdVote(SoftVote([1, 2])), "ThresholdVote(base=SoftVote(weights=[1, 2]))"),
        (
            ThresholdVote(CalibratedVote(SoftVote()), min_sensitivity=0.9),
            "ThresholdVote(base='calibrated', min_sensitivity=0.9)",
        ),
    ],
)
def test_a_rule_has_its_short_name_however_it_is_written(rule, name):
    before = repr(rule)
    assert rule_name(rule) == name
    assert repr(rule) == before


def test_rules_are_cloned_and_printed_like_estimators():
    rule = ThresholdVote("majority", min_sensitivity=0.9)
    assert repr(clone(rule)) == repr(rule) == "ThresholdVote(base='majority', min_sensitivity=0.9)"
