"""A vote that gives rare classes back what their rarity costs them, as far as that pays."""

from __future__ import annotations

import numbers

import numpy as np
from sklearn.base import clone
from sklearn.utils.validation import check_is_fitted

from skinensemble.exceptions import InputError, message
from skinensemble.persistence._codec import dump_params
from skinensemble.voting._ballots import TIE_TOLERANCE, last_argmax, normalise
from skinensemble.voting._checks import (
    check_committee,
    check_training,
    fit_and_pool,
    load_committee,
    refuse_undefined,
)
from skinensemble.voting._over import RuleOverBase
from skinensemble.voting._rules import MajorityVote, QuorumVote, WeightedMajorityVote
from skinensemble.voting._scores import accuracy, balanced_accuracy
from skinensemble.voting._settled import LEAD
from skinensemble.voting._threshold import ThresholdVote

# What "auto" chooses from; the first of equals, so that nothing is adjusted without need.
_POWERS = np.linspace(0, 1, 21).round(2)


class LogitAdjustedVote(RuleOverBase):
    """Pool by another rule, then divide by the classes' shares to a power, as learnt to pay.

    Where one class has two thirds of the lesions, the most probable class is right most often, and
    the rare classes pay for it. Subtracting `tau` times the logarithm of each class's share from
    its log-probability [1]_ shifts the decisions toward them: 0 changes nothing, 1 decides as if
    all classes were equally common. What balanced accuracy gains, accuracy loses in part: on
    HAM10000, with three fine-tuned members, "auto" gained 3.2 points of the one and lost 1.3 of the
    other. The probabilities are those of the shifted prevalence, where they are calibrated at the
    training's, and no estimates of what a lesion is.

    Parameters
    ----------
    base : str or VotingRule, default="soft"
        The rule that pools the ballots: one of probabilities, not of votes.
    tau : "auto" or float, default="auto"
        The power, from 0 to 1. "auto": of 0, 0.05, … 1 that with the highest mean of accuracy and
        balanced accuracy on the out-of-fold ballots.

    Attributes
    ----------
    base_ : VotingRule
        The fitted pooling rule.
    shares_ : ndarray of shape (n_classes,)
        Of each class among the training samples, by weight; a class without any counts as the
        rarest of the others.
    tau_ : float
        The power.
    n_members_ : int
        Size of the committee.

    References
    ----------
    .. [1] A. K. Menon, S. Jayasumana, A. S. Rawat, H. Jain, A. Veit, S. Kumar, "Long-tail learning
       via logit adjustment", ICLR 2021. arXiv:2007.07314

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> y = (rng.random(2000) < 0.05).astype(int)
    >>> p = 1 / (1 + np.exp(4 - 2 * y[:, None] - rng.standard_normal((2000, 3))))
    >>> ballots = np.stack([1 - p, p], axis=2)
    >>> rule = LogitAdjustedVote().fit(ballots, y)
    >>> rule.tau_, rule.shares_.round(2)
    (0.85, array([0.94, 0.06]))
    >>> votes = rule.base_, LogitAdjustedVote(tau=0.5).fit(ballots, y), rule
    >>> [int(vote.decide(ballots)[y == 1].sum()) for vote in votes], int(y.sum())
    ([0, 28, 99], 110)
    """

    def __init__(self, base="soft", tau="auto"):
        self.base = base
        self.tau = tau

    @property
    def cross_fits(self) -> bool:  # type: ignore[override]
        """Whether the power is to be learnt."""
        return isinstance(self.tau, str)

    @property
    def learns(self) -> bool:
        """Whether the base does; the shares and one number flatter nobody."""
        return self.base_rule().learns

    def check_params(self, n_members=None):
        """Refuse a power that is none, and what the base refuses."""
        number = isinstance(self.tau, numbers.Real) and not isinstance(self.tau, bool)
        chosen = isinstance(self.tau, str) and self.tau == "auto"
        if not chosen and not (number and 0 <= self.tau <= 1):
            why, remedy = "no number from 0 to 1", 'pass one, or "auto"'
            raise InputError(message("tau", f"{self.tau!r:.60}", why, remedy))
        if _decides(self.base_rule()):
            why, remedy = (
                "it pools decisions, which have no odds to adjust",
                'use one such as "soft"',
            )
            raise InputError(message("base", f"{self.base!r:.60}", why, remedy))
        super().check_params(n_members)

    def fit(self, ballots, y, *, sample_weight=None, groups=None):
        """Learn the pooling rule, the shares and the power; see :meth:`VotingRule.fit`.

        Raises
        ------
        InputError
            When ballots, labels or parameters cannot be used.
        """
        ballots, y, weight, _ = check_training(ballots, y, sample_weight, groups)
        self.check_params(ballots.shape[1])
        self.check_classes(ballots.shape[2])
        self.n_members_ = ballots.shape[1]
        self.shares_ = _shares(y, weight, ballots.shape[2])
        self.base_ = self.base_rule()
        extra = {"sample_weight": sample_weight, "groups": groups}
        if self.tau == "auto":
            pooled = fit_and_pool(self.base_, ballots, y, **extra)
            merits = [_merit(y, self._adjusted(pooled, tau), weight) for tau in _POWERS]
            self.tau_ = float(_POWERS[np.argmax(merits)])
        else:
            self.base_.fit(ballots, y, **extra)
            self.tau_ = float(self.tau)
        return self

    def combine(self, ballots):
        """Return the adjusted probabilities, shape (n_samples, n_classes)."""
        ballots = self._checked(ballots)
        check_committee(ballots, (self.n_members_, len(self.shares_)))
        return self._adjusted(refuse_undefined(self.base_.combine(ballots)), self.tau_)

    def restate(self, pooled):
        """Return pooled probabilities adjusted, as :meth:`combine` does."""
        return self._adjusted(super().restate(pooled), self.tau_)

    def prior(self, shares):
        """Return the class shares for which the adjusted probabilities stand."""
        return self._adjusted(super().prior(shares)[None], self.tau_)[0]

    def is_monotone(self, n_classes):
        """Tell whether the base is; of several classes, with no extreme adjustment."""
        check_is_fitted(self)
        # By the ratio of the outermost factors a lead may shrink, from one sharing to another.
        ratio = (self.shares_.max() / self.shares_.min()) ** self.tau_
        bearable = n_classes == 2 or ratio <= LEAD / TIE_TOLERANCE
        return self.base_.is_monotone(n_classes) and bool(bearable)

    def settled(self, ballots, asked):
        """Tell which decisions are settled; see :meth:`VotingRule.settled`."""
        found = super().settled(ballots, asked)
        if np.all(asked) or self.base_.is_monotone(len(self.shares_)):
            return found
        # A tie is broken by the ballots of all, whatever the probabilities of the base are of.
        second, first = np.sort(self.combine(ballots), axis=1)[:, -2:].T
        return found & (first - second > TIE_TOLERANCE)

    def votes(self, ballots):
        """Return what each member would decide by itself, adjusted in the same way."""
        return last_argmax(self._restated(ballots))

    def _adjusted(self, pooled: np.ndarray, tau: float) -> np.ndarray:
        return normalise(pooled * (self.shares_.min() / self.shares_) ** tau)

    def _dump(self, out):
        return {
            "params": dump_params(self, without=["base"]),
            "base": out.estimator("base", self.base_),
            "shares": out.array("shares", self.shares_),
            "tau": self.tau_,
            "n_members": self.n_members_,
        }

    def _load(self, state):
        self.base_ = state.estimator("base")
        self.base = clone(self.base_)
        self._load_params(state, without=["base"])
        self.shares_ = state.array("shares", shape=(None,), dtype=np.float64)
        if not (self.shares_ > 0).all() or abs(self.shares_.sum() - 1) > 1e-9:
            raise state.fault("shares", "not positive, or not summing to 1")
        self.tau_ = float(state.number("tau", 0, 1))
        self.n_members_ = load_committee(state)


def _decides(rule) -> bool:
    """Whether a rule, or one below it, counts votes or decides by more than probabilities."""
    if isinstance(rule, MajorityVote | WeightedMajorityVote | QuorumVote | ThresholdVote):
        return True
    return isinstance(rule, RuleOverBase) and _decides(rule.base_rule())


def _shares(y: np.ndarray, weight: np.ndarray, n_classes: int) -> np.ndarray:
    """Return what each class has of the samples; one without any counts as the rarest other."""
    shares = np.bincount(y, weight, minlength=n_classes)
    shares = np.where(shares > 0, shares, shares[shares > 0].min())
    return shares / shares.sum()


def _merit(y: np.ndarray, proba: np.ndarray, weight: np.ndarray) -> float:
    return accuracy(y, proba, weight) + balanced_accuracy(y, proba, weight)
