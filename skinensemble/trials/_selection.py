"""Greedy selection of as many members as are wanted at most."""

from __future__ import annotations

import numpy as np
from sklearn.base import clone

from skinensemble.voting import GreedyVote, VotingRule
from skinensemble.voting._checks import weighted_mean

__all__ = ["SelectedVote"]


class SelectedVote(VotingRule):
    """Greedy selection whose weights are those that the selected learn among themselves.

    Where they are too many, the one is left out, again and again, without which the others score
    best: the heaviest of a committee may be bad alone.

    Parameters
    ----------
    base : GreedyVote
    max_members : int, default=None
        None: as many as help.

    Attributes
    ----------
    weights_ : ndarray of shape (n_members,)
        Summing to 1; of those that are not selected 0.
    """

    def __init__(self, base: GreedyVote, max_members: int | None = None) -> None:
        self.base = base
        self.max_members = max_members

    def fit(self, ballots, y, *, sample_weight=None, groups=None):
        """Learn who is selected, and the weights; see :meth:`VotingRule.fit`."""
        kept = np.arange(ballots.shape[1])
        while True:
            among = ballots[:, kept]
            rule = clone(self.base).fit(among, y, sample_weight=sample_weight, groups=groups)
            left = self._few(rule.weights_, among, y)
            if len(left) == len(kept):
                break
            kept = kept[left]
        weights = np.zeros(ballots.shape[1])
        weights[kept] = rule.weights_
        alone = max(np.eye(len(weights)), key=lambda one: self._merit(one, ballots, y))
        self.weights_ = max(weights, alone, key=lambda one: self._merit(one, ballots, y))
        return self

    def combine(self, ballots):
        """Return the weighted mean probabilities, shape (n_samples, n_classes)."""
        return weighted_mean(ballots, self.weights_)

    def _few(self, weights, ballots, y) -> np.ndarray:
        """Return who stays of those with a weight."""
        left = weights.copy()
        while np.count_nonzero(left) > (self.max_members or len(left)):
            # To learn the weights again for each that may go would take minutes.
            without = [np.where(np.arange(len(left)) == m, 0, left) for m in np.flatnonzero(left)]
            tried = (one / one.sum() for one in without)
            left = max(tried, key=lambda one: self._merit(one, ballots, y))
        return np.flatnonzero(left)

    def _merit(self, weights, ballots, y) -> tuple[float, float]:
        return self.base._judge(y, weighted_mean(ballots, weights), np.ones(len(y)))
