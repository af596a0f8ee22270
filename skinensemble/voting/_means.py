"""Rules that average probabilities: arithmetic, power, geometric, median and trimmed mean."""

from __future__ import annotations

import numbers
import sys

import numpy as np

from skinensemble.exceptions import InputError, message
from skinensemble.voting._ballots import check_ballots, normalise
from skinensemble.voting._base import VotingRule
from skinensemble.voting._checks import check_weights, weighted_mean

# Nearer to 0 than this a power mean is the geometric one, and its root would be all rounding.
_NO_POWER = 1e-6


class SoftVote(VotingRule):
    """The mean of the members' probabilities.

    Parameters
    ----------
    weights : array-like of shape (n_members,), default=None
        What each member counts: not negative, not all zero. None: all the same.

    Examples
    --------
    >>> ballots = np.array([[[0.6, 0.4], [0.6, 0.4], [0.0, 1.0]]])
    >>> SoftVote().combine(ballots), SoftVote().decide(ballots)
    (array([[0.4, 0.6]]), array([1]))
    >>> SoftVote(weights=[1, 1, 0]).combine(ballots)
    array([[0.6, 0.4]])
    """

    def __init__(self, weights=None):
        self.weights = weights

    def check_params(self, n_members=None):
        """Refuse weights that are not one number per member, negative, or all zero."""
        if self.weights is not None:
            check_weights(self.weights, n_members)

    def is_monotone(self, n_classes):
        """Tell that probabilities are added up; see :meth:`VotingRule.is_monotone`."""
        return True

    def combine(self, ballots):
        """Return the mean probabilities, shape (n_samples, n_classes)."""
        ballots = check_ballots(ballots)
        if self.weights is None:
            return ballots.mean(axis=1)
        return weighted_mean(ballots, check_weights(self.weights, ballots.shape[1]))


class PowerMeanVote(VotingRule):
    """The power mean of the members' probabilities, scaled to sum to 1.

    A power of 1 is the arithmetic mean, 0 the geometric mean (``voting="geometric"``, the mean of
    the logarithms [1]_), −1 the harmonic mean. The lower the power, the more a member that holds a
    class for improbable is heard; at 0 and below one that gives it 0 vetoes it. Where every class
    is vetoed all are equally probable, and the tie is broken by the mean probability.

    Parameters
    ----------
    power : float, default=0.5
        Any finite number.

    References
    ----------
    .. [1] G. E. Hinton, "Training products of experts by minimizing contrastive divergence",
       Neural Computation 14(8), 1771–1800, 2002. doi:10.1162/089976602760128018

    Examples
    --------
    >>> ballots = np.array([[[0.9, 0.1], [0.5, 0.5]]])
    >>> PowerMeanVote(power=0).combine(ballots), PowerMeanVote(power=1).combine(ballots)
    (array([[0.75, 0.25]]), array([[0.7, 0.3]]))
    """

    def __init__(self, power=0.5):
        self.power = power

    def check_params(self, n_members=None):
        """Refuse a power that is not a finite number."""
        # A whole number may be beyond what a float can hold.
        if not _is_number(self.power) or not abs(self.power) <= sys.float_info.max:
            why, remedy = "not a finite number", "pass a number such as 0.5"
            raise InputError(message("power", f"{self.power!r:.60}", why, remedy))

    def is_monotone(self, n_classes):
        """Tell that it is for two classes; see :meth:`VotingRule.is_monotone`."""
        return n_classes == 2

    def combine(self, ballots):
        """Return the power means, shape (n_samples, n_classes)."""
        self.check_params()
        ballots = check_ballots(ballots)
        if abs(self.power) < _NO_POWER:
            return normalise(_geometric_mean(ballots))
        return normalise(_power_mean(ballots, self.power))


class MedianVote(VotingRule):
    """The median of the members' probabilities for each class, scaled to sum to 1.

    Fewer than half of the members, however wrong and however sure, cannot carry it off. Where each
    class has a median of 0 all are equally probable, and the tie is broken by the mean probability.

    Examples
    --------
    >>> ballots = np.array([[[0.6, 0.4], [0.6, 0.4], [0.0, 1.0]]])
    >>> MedianVote().combine(ballots), MedianVote().decide(ballots)
    (array([[0.6, 0.4]]), array([0]))
    """

    def is_monotone(self, n_classes):
        """Tell that it is for two classes; see :meth:`VotingRule.is_monotone`."""
        return n_classes == 2

    def combine(self, ballots):
        """Return the medians, shape (n_samples, n_classes)."""
        return normalise(np.median(check_ballots(ballots), axis=1))


class TrimmedMeanVote(VotingRule):
    """The mean without the extremes of each class, scaled to sum to 1.

    For each class the highest and the lowest ``int(proportion * n_members)`` probabilities are left
    out: none in a committee of three with the default, one at either end of four to seven members.

    Parameters
    ----------
    proportion : float, default=0.25
        Share to leave out at either end, from 0 to less than a half.

    Examples
    --------
    >>> ballots = np.array([[[0.6, 0.4], [0.6, 0.4], [0.5, 0.5], [0.0, 1.0]]])
    >>> TrimmedMeanVote().combine(ballots)
    array([[0.55, 0.45]])
    """

    def __init__(self, proportion=0.25):
        self.proportion = proportion

    def check_params(self, n_members=None):
        """Refuse a proportion that is negative, or that leaves nobody."""
        if not _is_number(self.proportion) or not 0 <= self.proportion < 0.5:
            why, remedy = "not from 0 to less than a half", "pass a number such as 0.25"
            raise InputError(message("proportion", f"{self.proportion!r:.60}", why, remedy))

    def is_monotone(self, n_classes):
        """Tell that it is for two classes; see :meth:`VotingRule.is_monotone`."""
        return n_classes == 2

    def combine(self, ballots):
        """Return the trimmed means, shape (n_samples, n_classes)."""
        self.check_params()
        ballots = check_ballots(ballots)
        n_members = ballots.shape[1]
        first = int(self.proportion * n_members)
        last = n_members - first - 1
        middle = np.partition(ballots, (first, last), axis=1)[:, first : last + 1]
        return normalise(middle.mean(axis=1))


def _is_number(value) -> bool:
    return isinstance(value, numbers.Real) and not isinstance(value, bool)


def _geometric_mean(ballots: np.ndarray) -> np.ndarray:
    with np.errstate(divide="ignore"):
        logs = np.log(ballots).mean(axis=1)
    highest = logs.max(axis=1, keepdims=True)
    return np.exp(logs - np.where(np.isfinite(highest), highest, 0))


def _power_mean(ballots: np.ndarray, power: float) -> np.ndarray:
    # Divided by the largest term, so that no power overflows and not all of them underflow.
    largest = ballots.max(axis=1) if power > 0 else ballots.min(axis=1)
    safe = np.where(largest > 0, largest, 1)
    with np.errstate(divide="ignore", over="ignore", under="ignore"):
        mean = ((ballots / safe[:, None]) ** power).mean(axis=1) ** (1 / power)
    return np.where(largest > 0, largest * mean, 0)
