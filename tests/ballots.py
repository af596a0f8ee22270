"""Ballots for the tests of voting rules, and each registered rule with what holds for it."""

from __future__ import annotations

from functools import cache
from typing import NamedTuple

import numpy as np
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from sklearn.base import clone
from sklearn.linear_model import LogisticRegression

from skinensemble import (
    CalibratedVote,
    GreedyVote,
    LogitAdjustedVote,
    MajorityVote,
    MedianVote,
    PowerMeanVote,
    QuorumVote,
    RankVote,
    SoftVote,
    StackingVote,
    ThresholdVote,
    TrimmedMeanVote,
    VotingRule,
    WeightedMajorityVote,
)

ANY_NUMBER, TWO = (2, 3, 7), (2,)


class Case(NamedTuple):
    """A rule, the numbers of classes it decides between, and what holds for it."""

    rule: VotingRule
    sizes: tuple[int, ...] = ANY_NUMBER
    symmetric: bool = True  # treats the classes alike
    unanimous: bool = True  # a committee of one mind decides
    solo: bool = True  # pools a single ballot to itself
    atol: float = 1e-12  # what an iterative fit leaves of order


RULES = {
    "majority": Case(MajorityVote(), solo=False),
    "weighted_majority": Case(WeightedMajorityVote(), solo=False),
    "quorum": Case(QuorumVote(), TWO, symmetric=False),
    "quorum of all": Case(QuorumVote("all"), TWO, symmetric=False),
    "soft": Case(SoftVote()),
    "geometric": Case(PowerMeanVote(power=0)),
    "power_mean": Case(PowerMeanVote()),
    "harmonic mean": Case(PowerMeanVote(power=-1)),
    "median": Case(MedianVote()),
    "trimmed_mean": Case(TrimmedMeanVote()),
    # Each class has a scale of its own, on which the leading one may rank below another.
    "rank": Case(RankVote(), unanimous=False),
    # Which lesions a bag holds depends on their order within the classes, so on that of these.
    "greedy": Case(GreedyVote(n_rounds=5, n_bags=2), symmetric=False),
    # Its classifier may learn that the members err together, also when there is but one.
    "stacking": Case(
        StackingVote(LogisticRegression(C=0.1, max_iter=1000)),
        symmetric=False,
        unanimous=False,
        solo=False,
        atol=1e-4,
    ),
    # A threshold away from one half overrules a committee: that is what it is for.
    "threshold": Case(ThresholdVote("soft"), TWO, symmetric=False, unanimous=False),
    "threshold of majority": Case(
        ThresholdVote("majority"), TWO, symmetric=False, unanimous=False, solo=False
    ),
    "threshold of quorum": Case(ThresholdVote("quorum"), TWO, symmetric=False, unanimous=False),
    "calibrated": Case(CalibratedVote(), solo=False, atol=1e-4),
    # It overrules a committee that leans to a common class: that is what it is for.
    "logit_adjusted": Case(LogitAdjustedVote(), symmetric=False, unanimous=False, solo=False),
}


def many(n_samples: int, n_members: int, n_classes: int, seed: int = 0) -> np.ndarray:
    """Ballots without ties."""
    rng = np.random.default_rng(seed)
    return rng.dirichlet(np.full(n_classes, 0.7), size=(n_samples, n_members))


def informed(n_members: int, n_classes: int, n_samples: int = 140, seed: int = 0):
    """Ballots that know something of the truth, each member its own share, and the truth."""
    rng = np.random.default_rng(seed)
    y = rng.permutation(np.arange(n_samples) % n_classes)
    knows = np.eye(n_classes)[y][:, None] * np.linspace(4, 2, n_members)[:, None]
    scores = np.exp(knows + rng.standard_normal((n_samples, n_members, n_classes)))
    return scores / scores.sum(axis=2, keepdims=True), y


@cache
def trained(name: str, n_members: int, n_classes: int) -> VotingRule:
    """The rule of that name, fitted for a committee of that size."""
    return clone(RULES[name].rule).fit(*informed(n_members, n_classes))


def drawn_ballots(n_classes: int):
    """Ballots with many ties, zeros and certainties: whole numbers of votes, scaled."""
    shape = st.tuples(st.integers(1, 4), st.integers(1, 6), st.just(n_classes))
    whole = shape.flatmap(lambda s: arrays(np.int64, s, elements=st.integers(0, 4)))
    return whole.map(lambda a: _scaled(a.astype(float)))


def _scaled(ballots: np.ndarray) -> np.ndarray:
    ballots[ballots.sum(axis=2) == 0] = 1
    return ballots / ballots.sum(axis=2, keepdims=True)
