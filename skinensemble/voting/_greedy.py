"""Weights learnt by greedy ensemble selection."""

from __future__ import annotations

import hashlib
import numbers

import numpy as np
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted

from skinensemble.exceptions import InputError, message
from skinensemble.persistence._codec import dump_params
from skinensemble.voting._ballots import check_ballots
from skinensemble.voting._base import VotingRule
from skinensemble.voting._checks import (
    check_committee,
    check_training,
    load_weights,
    weighted_mean,
)
from skinensemble.voting._scores import SCORES, log_loss


class GreedyVote(VotingRule):
    """The mean of the probabilities, each member as often as greedy selection takes it.

    Ensemble selection with replacement [1]_: round after round the member is added whose addition
    makes the mean best by the metric, and the best of all rounds is kept. This is done on several
    bags, each a bootstrap of the lesions within their class (committees are too small to draw
    members), and the weights are averaged. They are then compared, on all out-of-fold ballots, with
    equal weights and with each member alone, and the best is taken: a committee that does not earn
    its keep is reduced to its best member, visibly in `weights_`.

    Parameters
    ----------
    metric : str or callable, default="log_loss"
        What to be best by: "log_loss", "brier", "accuracy", "balanced_accuracy" or "roc_auc" (of
        several classes the mean of each against the rest), or ``metric(y, proba) -> float``, higher
        is better, which `sample_weight` does not reach. Ties are broken by the log loss. A file
        keeps only the name of a callable: a loaded rule votes as before, to fit it again set the
        metric first.
    n_rounds : int, default=25
        Members to add in each bag.
    n_bags : int, default=10
    random_state : int or RandomState, default=0
        Draws the bags.

    Attributes
    ----------
    weights_ : ndarray of shape (n_members,)
        Summing to 1.

    References
    ----------
    .. [1] R. Caruana, A. Niculescu-Mizil, G. Crew, A. Ksikes, "Ensemble selection from libraries of
       models", ICML 2004. doi:10.1145/1015330.1015432

    Examples
    --------
    The third member says the opposite of the truth, so it is left out:

    >>> rng = np.random.default_rng(0)
    >>> y = np.repeat([0, 1], 50)
    >>> p = rng.beta(2 + 4 * y[:, None], 6 - 4 * y[:, None], (100, 3))
    >>> p[:, 2] = 1 - p[:, 2]
    >>> GreedyVote().fit(np.stack([1 - p, p], axis=2), y).weights_.round(1)
    array([0.6, 0.4, 0. ])
    """

    def __init__(self, metric="log_loss", *, n_rounds=25, n_bags=10, random_state=0):
        self.metric = metric
        self.n_rounds = n_rounds
        self.n_bags = n_bags
        self.random_state = random_state

    def check_params(self, n_members=None):
        """Refuse an unknown metric, and less than one round or bag."""
        if not callable(self.metric) and str(self.metric) not in SCORES:
            why = f"not a metric: the names are {', '.join(SCORES)}"
            remedy = "pass one of them or a callable metric(y, proba)"
            raise InputError(message("metric", f"{self.metric!r:.60}", why, remedy))
        for name in ("n_rounds", "n_bags"):
            value = getattr(self, name)
            if not isinstance(value, numbers.Integral) or value < 1:
                why = "not a whole number from 1"
                raise InputError(message(name, f"{value!r:.60}", why, "pass one such as 10"))

    def fit(self, ballots, y, *, sample_weight=None, groups=None):
        """Learn the weights; see :meth:`VotingRule.fit`.

        Raises
        ------
        InputError
            When ballots, labels or parameters cannot be used, or the metric gives no number.
        """
        self.check_params()
        ballots, y, weight, lesions = check_training(ballots, y, sample_weight, groups)
        # In an order of their own, so that the order they came in decides no tie and no rounding.
        order = sorted(range(ballots.shape[1]), key=lambda m: _digest(ballots[:, m]))
        kept = weight > 0
        ballots, y, weight, lesions = ballots[kept][:, order], y[kept], weight[kept], lesions[kept]
        rng = check_random_state(self.random_state)
        bags = [_bootstrap(y, lesions, rng) for _ in range(self.n_bags)]
        found = [self._select(ballots[bag], y[bag], weight[bag]) for bag in bags]
        self.weights_ = np.empty(len(order))
        self.weights_[order] = self._best(np.mean(found, axis=0), ballots, y, weight)
        return self

    def _select(self, ballots, y, weight) -> np.ndarray:
        """Return the weights of the best round on one bag."""
        total, counts = np.zeros(ballots[:, 0].shape), np.zeros(ballots.shape[1])
        best, kept = (-np.inf, -np.inf), counts
        for size in range(1, self.n_rounds + 1):
            tried = [
                self._judge(y, (total + ballots[:, m]) / size, weight) for m in range(len(counts))
            ]
            pick = max(range(len(counts)), key=tried.__getitem__)
            total += ballots[:, pick]
            counts[pick] += 1
            if tried[pick] > best:
                best, kept = tried[pick], counts / size
        return kept

    def _best(self, learnt, ballots, y, weight) -> np.ndarray:
        """Return the best on all ballots: the learnt weights, equal ones or a single member."""
        n_members = len(learnt)
        candidates = [learnt, np.full(n_members, 1 / n_members), *np.eye(n_members)]
        return max(candidates, key=lambda w: self._judge(y, weighted_mean(ballots, w), weight))

    def _judge(self, y, proba, weight) -> tuple[float, float]:
        """Return the metric and, for ties, the log loss; digits that are rounding are cut."""
        tie_break = round(log_loss(y, proba, weight), 12)
        if not callable(self.metric):
            return round(SCORES[self.metric](y, proba, weight), 12), tie_break
        score = self.metric(y, proba)
        if not isinstance(score, numbers.Real) or not np.isfinite(float(score)):
            shown, why = f"{_name(self.metric)} = {score!r:.60}", "it is to return a finite number"
            raise InputError(message("metric", shown, why, "mend it"))
        return round(float(score), 12), tie_break

    def is_monotone(self, n_classes):
        """Tell that probabilities are added up; see :meth:`VotingRule.is_monotone`."""
        return True

    def combine(self, ballots):
        """Return the weighted mean probabilities, shape (n_samples, n_classes)."""
        check_is_fitted(self)
        ballots = check_ballots(ballots)
        check_committee(ballots, self.weights_.shape)
        return weighted_mean(ballots, self.weights_)

    def _dump(self, out):
        # The brackets keep a function called "accuracy" from coming back as the built-in one.
        metric = f"{_name(self.metric)}()" if callable(self.metric) else self.metric
        params = dump_params(self, without=["metric"])
        weights = out.array("weights", self.weights_)
        return {"params": params, "metric": metric, "weights": weights}

    def _load(self, state):
        self.metric = "log_loss"  # while the rest is checked: the file may name one that is gone
        self._load_params(state, without=["metric"])
        self.metric = state.raw("metric", str)
        self.weights_ = load_weights(state)


def _digest(ballots: np.ndarray) -> bytes:
    return hashlib.blake2b(np.ascontiguousarray(ballots).tobytes(), digest_size=16).digest()


def _bootstrap(y: np.ndarray, lesions: np.ndarray, rng) -> np.ndarray:
    """Rows of as many lesions of each class, drawn with replacement."""
    _, first, lesion = np.unique(lesions, return_index=True, return_inverse=True)
    of_class = [np.flatnonzero(y[first] == k) for k in np.unique(y)]
    drawn = np.concatenate([rng.choice(known, len(known)) for known in of_class])
    return np.repeat(np.arange(len(y)), np.bincount(drawn, minlength=len(first))[lesion])


def _name(metric) -> str:
    return getattr(metric, "__name__", type(metric).__name__)
