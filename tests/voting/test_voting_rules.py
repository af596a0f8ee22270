from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from sklearn.base import clone
from sklearn.dummy import DummyClassifier
from sklearn.ensemble import VotingClassifier

from skinensemble import MajorityVote, SoftVote, ThresholdVote, list_voting_rules
from skinensemble.exceptions import InputError
from skinensemble.voting import break_ties, check_ballots, last_argmax, resolve_voting_rule


def many(n_samples: int, n_members: int, n_classes: int, seed: int = 0) -> np.ndarray:
    """Ballots without ties."""
    rng = np.random.default_rng(seed)
    return rng.dirichlet(np.full(n_classes, 0.7), size=(n_samples, n_members))


def certified(base: str) -> ThresholdVote:
    """A threshold rule over `base`, fitted on ballots that 300 lesions cast."""
    rng = np.random.default_rng(1)
    y = np.repeat([0, 1], 150)
    p = np.clip(0.2 + 0.6 * y[:, None] + 0.2 * rng.standard_normal((300, 4)), 0, 1)
    return ThresholdVote(base).fit(np.stack([1 - p, p], axis=2), y)


# Every rule, and the numbers of classes it decides between: the properties below hold for each.
RULES = {
    "majority": (MajorityVote(), (2, 3, 7)),
    "soft": (SoftVote(), (2, 3, 7)),
    "threshold of soft": (certified("soft"), (2,)),
    "threshold of majority": (certified("majority"), (2,)),
}
CASES = [
    pytest.param(rule, n, id=f"{name}, {n} classes")
    for name, (rule, sizes) in RULES.items()
    for n in sizes
]
SYMMETRIC = [
    pytest.param(RULES[name][0], n, id=f"{name}, {n}")
    for name in ("majority", "soft")
    for n in (2, 3, 7)
]
every_rule = pytest.mark.parametrize(("rule", "n_classes"), CASES)


def drawn_ballots(n_classes: int):
    """Ballots with many ties, zeros and certainties: whole numbers of votes, scaled."""
    shape = st.tuples(st.integers(1, 4), st.integers(1, 6), st.just(n_classes))
    whole = shape.flatmap(lambda s: arrays(np.int64, s, elements=st.integers(0, 4)))
    return whole.map(lambda a: _scaled(a.astype(float)))


def _scaled(ballots: np.ndarray) -> np.ndarray:
    ballots[ballots.sum(axis=2) == 0] = 1
    return ballots / ballots.sum(axis=2, keepdims=True)


def test_the_table_holds_every_registered_rule():
    assert {type(rule).__name__ for rule, _ in RULES.values()} == {
        type(resolve_voting_rule(name)).__name__ for name in list_voting_rules()
    }


@every_rule
@settings(max_examples=20)
@given(data=st.data())
def test_combine_gives_probabilities(rule, n_classes, data):
    ballots = data.draw(drawn_ballots(n_classes))
    pooled = rule.combine(ballots)
    assert pooled.shape == (len(ballots), n_classes)
    assert (pooled >= 0).all()
    np.testing.assert_allclose(pooled.sum(axis=1), 1, rtol=0, atol=1e-12)


@every_rule
@settings(max_examples=20)
@given(data=st.data())
def test_the_order_of_members_does_not_matter(rule, n_classes, data):
    ballots = data.draw(drawn_ballots(n_classes))
    order = data.draw(st.permutations(range(ballots.shape[1])))
    np.testing.assert_allclose(rule.combine(ballots[:, order]), rule.combine(ballots), atol=1e-12)
    np.testing.assert_array_equal(rule.decide(ballots[:, order]), rule.decide(ballots))


@pytest.mark.parametrize(("rule", "n_classes"), SYMMETRIC)
@settings(max_examples=20)
@given(data=st.data())
def test_the_order_of_classes_is_followed(rule, n_classes, data):
    seed = data.draw(st.integers(0, 2**31))
    ballots = many(5, 4, n_classes, seed)
    order = np.array(data.draw(st.permutations(range(n_classes))))
    turned = ballots[:, :, order]
    np.testing.assert_allclose(rule.combine(turned), rule.combine(ballots)[:, order], atol=1e-12)
    np.testing.assert_array_equal(order[rule.decide(turned)], rule.decide(ballots))


@every_rule
@settings(max_examples=20)
@given(data=st.data())
def test_a_unanimous_vote_wins(rule, n_classes, data):
    ballots = many(4, 5, n_classes, data.draw(st.integers(0, 2**31)))
    winner = data.draw(st.integers(0, n_classes - 1))
    sure = np.eye(n_classes)[np.full(ballots.shape[:2], winner)]
    agreed = 0.9 * sure + 0.1 * ballots
    assert (rule.decide(sure) == winner).all()
    if not isinstance(rule, ThresholdVote):
        assert (rule.decide(agreed) == winner).all()
    assert (rule.combine(agreed).argmax(axis=1) == winner).all()


@every_rule
def test_the_ballots_are_left_as_they_were(rule, n_classes):
    ballots = many(6, 3, n_classes)
    before = ballots.copy()
    rule.combine(ballots), rule.decide(ballots)
    np.testing.assert_array_equal(ballots, before)


@every_rule
def test_each_sample_is_decided_alone(rule, n_classes):
    ballots = many(20, 3, n_classes)
    one_by_one = [rule.decide(ballots[[i]])[0] for i in range(20)]
    np.testing.assert_array_equal(rule.decide(ballots), one_by_one)


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
    ],
)
def test_ties(rule, ballots, winner):
    assert rule.decide(np.array([ballots])) == [winner]


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


def by_scikit_learn(ballots: np.ndarray, voting: str) -> np.ndarray:
    n_samples, n_members, n_classes = ballots.shape
    classes = np.arange(n_classes)
    members = [(f"m{i}", Fixed(ballots[:, i], classes)) for i in range(n_members)]
    X, y = np.zeros((n_classes, 1)), classes
    vote = VotingClassifier(members, voting=voting).fit(X, y)
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


BAD = {
    "NaN": ([[[np.nan, 1.0]]], "sample 0 of member 0"),
    "infinite": ([[[np.inf, 0.0]]], "sample 0 of member 0"),
    "negative": ([[[0.5, 0.5], [-0.2, 1.2]]], "sample 0 of member 1"),
    "sum": ([[[0.5, 0.5]], [[0.5, 0.4]]], "sample 1 of member 0"),
    "logits": ([[[2.0, 3.0]]] * 12, "sample 0 of member 0.* and 2 more"),
    "no sample": (np.zeros((0, 2, 2)), r"shape \(0, 2, 2\)"),
    "no member": (np.zeros((2, 0, 2)), r"shape \(2, 0, 2\)"),
    "one class": (np.ones((2, 2, 1)), r"shape \(2, 2, 1\)"),
    "two axes": ([[0.5, 0.5]], r"shape \(1, 2\)"),
}


@pytest.mark.parametrize("ballots, shown", BAD.values(), ids=BAD)
def test_bad_ballots_are_refused_with_their_place(ballots, shown):
    with pytest.raises(InputError, match=rf"^ballots: {shown} – .+ – (pass|stack) "):
        check_ballots(ballots)


@pytest.mark.parametrize("total", [1 - 9e-4, 1.0, 1 + 9e-4])
def test_sums_of_float32_networks_are_scaled_to_one(total):
    ballots = check_ballots(np.array([[[0.25, 0.75]]]) * total)
    assert ballots.dtype == np.float64
    np.testing.assert_allclose(ballots, [[[0.25, 0.75]]], rtol=1e-12)


def test_rules_are_cloned_and_printed_like_estimators():
    rule = ThresholdVote("majority", min_sensitivity=0.9)
    assert repr(clone(rule)) == repr(rule) == "ThresholdVote(base='majority', min_sensitivity=0.9)"
