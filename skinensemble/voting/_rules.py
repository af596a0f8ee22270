"""Rules that count votes: majority, weighted majority and quorum."""

from __future__ import annotations

import numpy as np
from sklearn.utils.validation import check_is_fitted

from skinensemble.exceptions import InputError, message
from skinensemble.persistence._codec import dump_params
from skinensemble.voting._ballots import BLOCK, check_ballots, last_argmax
from skinensemble.voting._base import VotingRule
from skinensemble.voting._checks import (
    check_committee,
    check_training,
    check_weights,
    load_weights,
)
from skinensemble.voting._scores import recalls


class MajorityVote(VotingRule):
    """Every member has one vote, for its most probable class (plurality, "hard" voting).

    :meth:`combine` gives the share of the votes. An even vote is broken by the mean probability,
    then toward the positive class; a member that is itself undecided votes for the last of its
    best classes.

    Examples
    --------
    >>> ballots = np.array([[[0.6, 0.4], [0.6, 0.4], [0.0, 1.0]]])
    >>> MajorityVote().combine(ballots).round(3), MajorityVote().decide(ballots)
    (array([[0.667, 0.333]]), array([0]))
    """

    def is_monotone(self, n_classes):
        """Tell that votes are added up; see :meth:`VotingRule.is_monotone`."""
        return True

    def combine(self, ballots):
        """Return the share of the members' votes, shape (n_samples, n_classes)."""
        ballots = check_ballots(ballots)
        return tally(last_argmax(ballots), ballots.shape[2]) / ballots.shape[1]


class WeightedMajorityVote(VotingRule):
    """Every member votes for its most probable class, and counts by its weight.

    Left to learn them, the weights are the log-odds of being right, which are optimal for
    independent members [1]_: with *K* classes and the accuracy *p*, ``log((K − 1) p / (1 − p))``,
    at least 0. The accuracy is balanced over the classes, lest a member that always says the
    commonest one is rewarded, and drawn toward chance by one sample right in *K*, so that none is
    ever certain. Members that all do no better than chance count alike.

    Parameters
    ----------
    weights : array-like of shape (n_members,), default=None
        Not negative, not all zero. None: learn them.

    Attributes
    ----------
    weights_ : ndarray of shape (n_members,)
        The weights in use, summing to 1.

    References
    ----------
    .. [1] S. Nitzan, J. Paroush, "Optimal decision rules in uncertain dichotomous choice
       situations", International Economic Review 23(2), 289–297, 1982. doi:10.2307/2526438

    Examples
    --------
    >>> ballots = np.array([[[0.6, 0.4], [0.6, 0.4], [0.0, 1.0]]])
    >>> WeightedMajorityVote([1, 1, 3]).fit(ballots, [1]).combine(ballots)
    array([[0.4, 0.6]])
    """

    def __init__(self, weights=None):
        self.weights = weights

    @property
    def learns(self) -> bool:
        """Whether the weights are learnt, and not given."""
        return self.weights is None

    def check_params(self, n_members=None):
        """Refuse weights that are not one number per member, negative, or all zero."""
        if self.weights is not None:
            check_weights(self.weights, n_members)

    def fit(self, ballots, y, *, sample_weight=None, groups=None):
        """Learn the weights where none are given; see :meth:`VotingRule.fit`.

        Raises
        ------
        InputError
            When ballots, labels or weights cannot be used.
        """
        ballots, y, sample_weight, _ = check_training(ballots, y, sample_weight, groups)
        if self.weights is None:
            self.weights_ = _log_odds(self.votes(ballots), y, sample_weight, ballots.shape[2])
        else:
            self.weights_ = check_weights(self.weights, ballots.shape[1])
        return self

    def is_monotone(self, n_classes):
        """Tell that votes are added up; see :meth:`VotingRule.is_monotone`."""
        return True

    def combine(self, ballots):
        """Return the weighted share of the votes, shape (n_samples, n_classes)."""
        check_is_fitted(self)
        ballots = check_ballots(ballots)
        check_committee(ballots, self.weights_.shape)
        return tally(last_argmax(ballots), ballots.shape[2], self.weights_)

    def _dump(self, out):
        return {"params": dump_params(self), "weights": out.array("weights", self.weights_)}

    def _load(self, state):
        self._load_params(state)
        self.weights_ = load_weights(state)


class QuorumVote(VotingRule):
    """Positive when at least so many members say so; for two classes, the second is positive.

    With ``"any"`` one voice is enough, which misses least; with ``"all"`` it takes every member,
    which raises the fewest false alarms. :meth:`combine` gives the quorum's weakest voice: of a
    quorum of *k* the *k*-th largest probability, which ranks images and can carry a threshold.

    Parameters
    ----------
    quorum : {"any", "all"} or int, default="any"
        Members needed.

    Examples
    --------
    >>> ballots = np.array([[[0.9, 0.1], [0.4, 0.6], [0.7, 0.3]]])
    >>> QuorumVote("any").combine(ballots), QuorumVote(2).decide(ballots)
    (array([[0.4, 0.6]]), array([0]))
    """

    binary = True

    def __init__(self, quorum="any"):
        self.quorum = quorum

    def check_params(self, n_members=None):
        """Refuse a quorum below one member, or above the number of members."""
        whole = isinstance(self.quorum, (int, np.integer)) and not isinstance(self.quorum, bool)
        named = isinstance(self.quorum, str) and self.quorum in ("any", "all")
        if not named and not (whole and self.quorum >= 1):
            why = "not a number of members"
            remedy = 'pass "any", "all" or a whole number from 1'
            raise InputError(message("quorum", f"{self.quorum!r:.60}", why, remedy))
        if whole and n_members is not None and self.quorum > n_members:
            why = f"the committee has {n_members} members"
            raise InputError(message("quorum", self.quorum, why, f"choose 1 to {n_members}"))

    def is_monotone(self, n_classes):
        """Tell that it is for two classes; see :meth:`VotingRule.is_monotone`."""
        return n_classes == 2

    def combine(self, ballots):
        """Return the probability that a quorum reaches, shape (n_samples, 2)."""
        ballots = check_ballots(ballots)
        _, n_members, n_classes = ballots.shape
        self.check_classes(n_classes)
        self.check_params(n_members)
        needed = {"any": 1, "all": n_members}.get(self.quorum, self.quorum)
        place = n_members - needed
        positive = np.partition(ballots[:, :, 1], place, axis=1)[:, place]
        return np.stack([1 - positive, positive], axis=1)

    def decide(self, ballots):
        """Return 1 where a quorum gives class 1 a probability of a half or more, else 0."""
        return (self.combine(ballots)[:, 1] >= 0.5).astype(np.intp)


def tally(votes: np.ndarray, n_classes: int, weights: np.ndarray | None = None) -> np.ndarray:
    """Count the votes for each class.

    Parameters
    ----------
    votes : ndarray of int of shape (n_samples, n_members)
        Class indices.
    n_classes : int
    weights : ndarray of shape (n_members,), default=None
        What each member's vote counts; None: one.

    Returns
    -------
    ndarray of shape (n_samples, n_classes)

    Examples
    --------
    >>> tally(np.array([[0, 2, 2], [1, 1, 1]]), 3)
    array([[1, 0, 2],
           [0, 3, 0]], dtype=uint8)
    """
    name, n_members = np.min_scalar_type(n_classes), votes.shape[1]
    each = np.min_scalar_type(n_members) if weights is None else np.float64
    counts = np.empty((n_classes, len(votes)), dtype=each)
    # As in last_argmax, by blocks laid out by member, in the smallest type that holds a vote.
    for start in range(0, len(votes), BLOCK):
        rows = slice(start, start + BLOCK)
        block = votes[rows].T.astype(name, order="C")
        for k in range(n_classes):
            cast = block == k
            counts[k, rows] = cast.sum(axis=0, dtype=each) if weights is None else weights @ cast
    return counts.T


def _log_odds(votes, y, sample_weight, n_classes: int) -> np.ndarray:
    accuracy = recalls(votes == y[:, None], y, sample_weight).mean(axis=0)
    smoothed = (len(y) * accuracy + 1) / (len(y) + n_classes)
    odds = np.maximum(np.log((n_classes - 1) * smoothed / (1 - smoothed)), 0)
    # What exceeds chance by rounding alone must not become the only voice.
    return check_weights(odds if odds.max() > 1e-9 else np.ones(len(odds)))
