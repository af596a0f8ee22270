"""Rank average: members whose probabilities are not on one scale."""

from __future__ import annotations

import numpy as np
from sklearn.utils.validation import check_is_fitted

from skinensemble.persistence._codec import dump_params
from skinensemble.voting._ballots import check_ballots, normalise
from skinensemble.voting._base import VotingRule
from skinensemble.voting._checks import check_committee, check_training

N_QUANTILES = 1001


class RankVote(VotingRule):
    """The mean of the ballots' ranks, brought back to the scale of probabilities.

    A member that says 0.4 where it hardly ever says more is heard as one that is nearly sure. Each
    probability becomes its rank among the out-of-fold ballots of its member for that class (ties
    have their mean rank, values between two known ones a rank between theirs). The ranks are
    averaged over the members, and the mean becomes a probability by the members' mean quantile
    function, as in quantile normalisation [1]_; rows are scaled to sum to 1.

    The ranks are those of the ballots it was fitted on, never of the batch at hand: what an image
    is given does not depend on its company. The labels and `sample_weight` are not used.

    Attributes
    ----------
    grids_ : ndarray of shape (n_quantiles, n_members, n_classes)
        Sorted out-of-fold probabilities; of more than 1,001 samples, as many quantiles.

    References
    ----------
    .. [1] B. M. Bolstad et al., "A comparison of normalization methods for high density
       oligonucleotide array data based on variance and bias", Bioinformatics 19(2), 185–193, 2003.
       doi:10.1093/bioinformatics/19.2.185

    Examples
    --------
    The second member never goes beyond 0.5, so its 0.5 means more than the 0.6 of the first:

    >>> p = np.linspace(0, 1, 11)[:, None] * [1, 0.5]
    >>> rule = RankVote().fit(np.stack([1 - p, p], axis=2), np.arange(11) % 2)
    >>> rule.combine(np.array([[[0.4, 0.6], [0.5, 0.5]]])).round(2)
    array([[0.4, 0.6]])
    """

    def fit(self, ballots, y, *, sample_weight=None, groups=None):
        """Keep the distribution of each member's ballots; see :meth:`VotingRule.fit`.

        Samples count alike whatever they weigh, but for those that weigh nothing.

        Raises
        ------
        InputError
            When ballots or labels cannot be used.
        """
        ballots, _, weight, _ = check_training(ballots, y, sample_weight, groups)
        ballots = ballots[weight > 0]
        n_samples = len(ballots)
        places = np.linspace(0, n_samples - 1, min(n_samples, N_QUANTILES))
        self.grids_ = np.sort(ballots, axis=0)[np.round(places).astype(int)]
        return self

    def is_monotone(self, n_classes):
        """Tell that it is for two classes; see :meth:`VotingRule.is_monotone`."""
        return n_classes == 2

    def combine(self, ballots):
        """Return the averaged ranks as probabilities, shape (n_samples, n_classes)."""
        check_is_fitted(self)
        ballots = check_ballots(ballots)
        check_committee(ballots, self.grids_.shape[1:])
        columns = zip(ballots.transpose(2, 1, 0), self.grids_.transpose(2, 1, 0), strict=True)
        return normalise(np.stack([_pooled(values, grids) for values, grids in columns], axis=1))

    def _dump(self, out):
        return {"params": dump_params(self), "grids": out.array("grids", self.grids_)}

    def _load(self, state):
        self._load_params(state)
        grids = state.array("grids", shape=(None, None, None), dtype=np.float64)
        if grids.size == 0 or grids.shape[0] > N_QUANTILES or grids.shape[2] < 2:
            raise state.fault("grids", f"its shape is {grids.shape}")
        if grids.min() < 0 or grids.max() > 1 or (np.diff(grids, axis=0) < 0).any():
            raise state.fault("grids", "not probabilities in ascending order")
        self.grids_ = grids


def _pooled(values: np.ndarray, grids: np.ndarray) -> np.ndarray:
    """Pool one class: values (n_members, n_samples), grids (n_members, n_quantiles)."""
    curves = [_rank_curve(grid) for grid in grids]
    ranked = [np.interp(v, *curve) for v, curve in zip(values, curves, strict=True)]
    # Every knot of every curve lies on a half step, so the mean quantile function is exact there.
    steps = np.arange(2 * grids.shape[1] + 1) / (2 * grids.shape[1])
    quantiles = np.mean([np.interp(steps, rank, known) for known, rank in curves], axis=0)
    return np.asarray(np.interp(np.mean(ranked, axis=0), steps, quantiles))


def _rank_curve(grid: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Distinct probabilities of a sorted grid and their mid-ranks, from (0, 0) to (1, 1)."""
    values, first, count = np.unique(grid, return_index=True, return_counts=True)
    ranks = (first + count / 2) / len(grid)
    if values[0] > 0:
        values, ranks = np.append(0.0, values), np.append(0.0, ranks)
    if values[-1] < 1:
        values, ranks = np.append(values, 1.0), np.append(ranks, 1.0)
    return values, ranks
