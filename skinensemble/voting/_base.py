"""What a voting rule is, and how ties are broken."""

from __future__ import annotations

from abc import ABC, abstractmethod

import numpy as np
from sklearn.base import BaseEstimator

from skinensemble.exceptions import InputError, first_few, message
from skinensemble.persistence._codec import dump_params, load_params

# Ballots come from float32 networks: their rows miss one by about 1e-7 times the classes.
SUM_TOLERANCE = 1e-3
# Two scores nearer than this are a tie; sums of members in another order differ by about 1e-16.
TIE_TOLERANCE = 1e-9
# Rows that are compared at once: their copy by class stays in the processor's cache.
BLOCK = 8192


class VotingRule(BaseEstimator, ABC):
    """How the ballots of a committee become one probability and one decision.

    Subclass it and write :meth:`combine`; write :meth:`fit` too when the rule learns something,
    and :meth:`decide` when its decision is not the most probable class. Ballots are arrays of
    shape (n_samples, n_members, n_classes), checked by :func:`check_ballots` before they reach
    the rule inside a :class:`~skinensemble.Stage`.

    Examples
    --------
    >>> class MinimumVote(VotingRule):
    ...     '''A class is as probable as its most doubtful member says.'''
    ...     def combine(self, ballots):
    ...         lowest = ballots.min(axis=1) + 1e-12
    ...         return lowest / lowest.sum(axis=1, keepdims=True)
    >>> ballots = np.array([[[0.9, 0.1], [0.4, 0.6]]])
    >>> MinimumVote().combine(ballots).round(2)
    array([[0.8, 0.2]])
    >>> MinimumVote().decide(ballots)
    array([0])
    """

    binary = False
    """Whether the rule decides between two classes only."""

    @property
    def learns(self) -> bool:
        """Whether `fit` learns from the answers, and so knows them; a `fit` of one's own does."""
        return type(self).fit is not VotingRule.fit

    def check_params(self, n_members=None):
        """Refuse parameters that cannot work; by default there is nothing to refuse.

        Parameters
        ----------
        n_members : int, default=None
            Size of the committee, where it is known.
        """

    def check_targets(self, y, groups=None):
        """Refuse, before anything is trained, what the rule could not learn from.

        Parameters
        ----------
        y : ndarray of int of shape (n_samples,)
            Class indices.
        groups : ndarray of shape (n_samples,), default=None
            Lesion of each sample.
        """
        self.check_params()

    def fit(self, ballots, y, *, sample_weight=None, groups=None):
        """Learn from out-of-fold ballots; by default only the parameters are checked.

        Parameters
        ----------
        ballots : ndarray of shape (n_samples, n_members, n_classes)
            Each row by members that did not see the sample.
        y : ndarray of int of shape (n_samples,)
            Class indices.
        sample_weight : ndarray of shape (n_samples,), default=None
        groups : ndarray of shape (n_samples,), default=None
            Lesion of each sample.

        Returns
        -------
        self
        """
        self.check_params(np.shape(ballots)[1])
        return self

    @abstractmethod
    def combine(self, ballots):
        """Pool the ballots of each sample.

        Parameters
        ----------
        ballots : ndarray of shape (n_samples, n_members, n_classes)

        Returns
        -------
        ndarray of shape (n_samples, n_classes)
            Rows sum to 1.
        """

    def decide(self, ballots):
        """Choose a class for each sample: the highest of :meth:`combine`, with safe ties.

        Parameters
        ----------
        ballots : ndarray of shape (n_samples, n_members, n_classes)

        Returns
        -------
        ndarray of int of shape (n_samples,)
            Class indices.
        """
        return break_ties(self.combine(ballots), ballots)

    def votes(self, ballots):
        """Return what each member would decide by itself: its most probable class, ties as above.

        Parameters
        ----------
        ballots : ndarray of shape (n_samples, n_members, n_classes)

        Returns
        -------
        ndarray of int of shape (n_samples, n_members)
            Class indices.
        """
        return last_argmax(ballots)

    def _dump(self, out):
        return {"params": dump_params(self)}

    def _load(self, state):
        self._load_params(state)

    def _load_params(self, state, *, without=()):
        load_params(self, state, without=without)
        try:
            self.check_params()
        except InputError as error:
            raise state.fault("params", str(error)) from None


def check_ballots(ballots) -> np.ndarray:
    """Check ballots and return them as floats whose rows sum to 1.

    Parameters
    ----------
    ballots : array-like of shape (n_samples, n_members, n_classes)
        Probabilities; rows may miss 1 by 0.001 and are scaled to it.

    Returns
    -------
    ndarray of float64, same shape

    Raises
    ------
    InputError
        When the shape is another one, there is no sample, no member or but one class, or a row is
        not finite, is negative or does not sum to 1.

    Examples
    --------
    >>> check_ballots([[[0.25, 0.75]]]).shape
    (1, 1, 2)
    """
    ballots = np.asarray(ballots, dtype=np.float64)
    if ballots.ndim != 3 or min(ballots.shape) == 0 or ballots.shape[2] < 2:
        why = "expected (n_samples, n_members, n_classes) with two classes or more"
        remedy = "stack the members' predict_proba along axis 1"
        raise InputError(message("ballots", f"shape {ballots.shape}", why, remedy))
    sums = ballots.sum(axis=2)
    with np.errstate(invalid="ignore"):
        good = (np.abs(sums - 1) <= SUM_TOLERANCE) & (ballots.min(axis=2) >= 0)
    if not good.all():
        rows, members = np.nonzero(~good)
        shown = first_few(
            f"sample {row} of member {col}" for row, col in zip(rows, members, strict=True)
        )
        why = "not finite, negative, or not summing to 1"
        raise InputError(message("ballots", shown, why, "pass probabilities, not scores or logits"))
    return ballots / sums[..., None]


def break_ties(scores: np.ndarray, ballots: np.ndarray) -> np.ndarray:
    """Index of the best class: by score, then by mean probability, then the last class.

    The last class of a binary stage is the positive one, here malignant: a vote that is even in
    every way must not be read as "benign".

    Parameters
    ----------
    scores : ndarray of shape (n_samples, n_classes)
    ballots : ndarray of shape (n_samples, n_members, n_classes)

    Returns
    -------
    ndarray of int of shape (n_samples,)

    Examples
    --------
    >>> break_ties(np.array([[0.5, 0.5]]), np.array([[[0.9, 0.1], [0.1, 0.9]]]))
    array([1])
    """
    best = scores >= scores.max(axis=1, keepdims=True) - TIE_TOLERANCE
    winner = last_argmax(best)
    tied = np.flatnonzero(best.sum(axis=1) > 1)
    mean = np.where(best[tied], ballots[tied].mean(axis=1), -1.0)
    winner[tied] = last_argmax(mean >= mean.max(axis=1, keepdims=True) - TIE_TOLERANCE)
    return winner


def last_argmax(values: np.ndarray) -> np.ndarray:
    """Return the index of the maximum along the last axis; of several equal ones the last.

    Examples
    --------
    >>> last_argmax(np.array([[1, 3, 3, 0], [2, 2, 2, 2]]))
    array([2, 3])
    """
    rows = values.reshape(-1, values.shape[-1])
    places = np.arange(rows.shape[1], dtype=np.min_scalar_type(rows.shape[1]))[:, None]
    last = np.empty(len(rows), dtype=np.intp)
    # Whole blocks at a time, laid out by class: NumPy is slow along an axis of two or seven.
    for start in range(0, len(rows), BLOCK):
        block = np.ascontiguousarray(rows[start : start + BLOCK].T)
        # Not below the maximum, rather than equal to it: what is not a number goes to the last.
        last[start : start + BLOCK] = (~(block < block.max(axis=0)) * places).max(axis=0)
    return last.reshape(values.shape[:-1])


def normalise(scores: np.ndarray) -> np.ndarray:
    """Scale rows to sum to 1; a row of zeros, which favours nobody, becomes uniform.

    Parameters
    ----------
    scores : ndarray of shape (n_samples, n_classes)
        Not negative.

    Returns
    -------
    ndarray of shape (n_samples, n_classes)

    Examples
    --------
    >>> normalise(np.array([[0.2, 0.6], [0.0, 0.0]]))
    array([[0.25, 0.75],
           [0.5 , 0.5 ]])
    """
    sums = scores.sum(axis=1, keepdims=True)
    empty = sums == 0
    return np.where(empty, 1 / scores.shape[1], scores / np.where(empty, 1, sums))
