"""A vote whose probabilities are calibrated after pooling; its decisions stay what they were."""

from __future__ import annotations

import numpy as np
from scipy.special import expit, logit, softmax
from sklearn.base import clone
from sklearn.utils.validation import check_is_fitted

from skinensemble.exceptions import InputError, check_choice, message
from skinensemble.persistence._codec import dump_params, load_params
from skinensemble.voting._ballots import TIE_TOLERANCE
from skinensemble.voting._base import VotingRule
from skinensemble.voting._checks import (
    check_training,
    fit_and_pool,
    load_committee,
    refuse_undefined,
)
from skinensemble.voting._over import RuleOverBase
from skinensemble.voting._settled import LEAD, check_asked
from skinensemble.voting._threshold import without_threshold

METHODS = ("temperature", "isotonic", "platt")
# Probabilities of 0 and 1 have no logarithm.
_SMALLEST = 1e-12


class CalibratedVote(RuleOverBase):
    """Pool by another rule, then calibrate the pooled probabilities on out-of-fold ballots.

    Calibrating each member and pooling afterwards is known to be worse: an average of calibrated
    probabilities is underconfident [1]_. The decisions are those of the pooling rule: calibration
    says how much a probability is worth and changes no verdict.

    Parameters
    ----------
    base : str or VotingRule, default="soft"
        The rule that pools the ballots.
    method : {"temperature", "isotonic", "platt"}, default="temperature"
        "temperature" divides the log-probabilities by one number [2]_, for any number of classes.
        For two classes also "isotonic", the best non-decreasing step function [3]_, which wants a
        thousand lesions, and "platt", a logistic curve of the log-odds with Platt's smoothed
        targets [4]_.

    Attributes
    ----------
    base_ : VotingRule
        The fitted pooling rule.
    temperature_ : float
        For "temperature": above 1, the pooled probabilities were overconfident.
    curve_ : ndarray of shape (2, n_points)
        For "isotonic": probabilities, and what they became.
    slope_, intercept_ : float
        For "platt", of the log-odds.
    n_members_ : int
        Size of the committee.

    References
    ----------
    .. [1] X. Wu, M. Gales, "Should ensemble members be calibrated?", 2021. arXiv:2101.05397
    .. [2] C. Guo, G. Pleiss, Y. Sun, K. Q. Weinberger, "On calibration of modern neural networks",
       ICML 2017. arXiv:1706.04599
    .. [3] B. Zadrozny, C. Elkan, "Transforming classifier scores into accurate multiclass
       probability estimates", KDD 2002. doi:10.1145/775047.775151
    .. [4] J. Platt, "Probabilistic outputs for support vector machines", Advances in Large Margin
       Classifiers, 1999.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> p = rng.random(2000)
    >>> y = (rng.random(2000) < p).astype(int)
    >>> sharp = p**3 / (p**3 + (1 - p) ** 3)  # overconfident: the log-odds are three times too high
    >>> ballots = np.stack([1 - sharp, sharp], axis=1)[:, None]
    >>> round(CalibratedVote().fit(ballots, y).temperature_, 1)
    2.9
    """

    def __init__(self, base="soft", method="temperature"):
        self.base = base
        self.method = method

    @property
    def learns(self) -> bool:
        """Whether the pooling rule does, or a curve; one or two numbers flatter nobody."""
        return self.method == "isotonic" or self.base_rule().learns

    @property
    def binary(self) -> bool:  # type: ignore[override]
        """Whether the method or the pooling rule is for two classes only."""
        return self.method != "temperature" or self.base_rule().binary

    def check_classes(self, n_classes):
        """Refuse an unknown method, and more classes than it or the pooling rule is for."""
        _check_method(self.method, n_classes)
        if without_threshold(self) is not self:
            why = "it decides at a threshold, of which nothing would be said any more"
            remedy = "put the threshold outside: ThresholdVote(CalibratedVote(…))"
            raise InputError(message("base", f"{self.base!r:.60}", why, remedy))
        super().check_classes(n_classes)

    def fit(self, ballots, y, *, sample_weight=None, groups=None):
        """Learn the pooling rule, then the calibration; see :meth:`VotingRule.fit`.

        Raises
        ------
        InputError
            When the method is unknown, or is for two classes and there are more.
        """
        ballots, y, weight, _ = check_training(ballots, y, sample_weight, groups)
        self.check_classes(ballots.shape[2])
        weight = weight * np.count_nonzero(weight)
        self.n_members_ = ballots.shape[1]
        self.base_ = self.base_rule()
        extra = {"sample_weight": sample_weight, "groups": groups}
        pooled = fit_and_pool(self.base_, ballots, y, **extra)
        learn = {
            "temperature": self._fit_temperature,
            "isotonic": self._fit_curve,
            "platt": self._fit_platt,
        }[self.method]
        learn(pooled, y, weight)
        return self

    def combine(self, ballots):
        """Return the calibrated probabilities, shape (n_samples, n_classes)."""
        ballots = self._checked(ballots)
        return self.calibrate(refuse_undefined(self.base_.combine(ballots)))

    def calibrate(self, pooled):
        """Return what pooled probabilities are worth.

        Parameters
        ----------
        pooled : ndarray of shape (n_samples, n_classes)

        Returns
        -------
        ndarray of shape (n_samples, n_classes)
        """
        if self.method == "temperature":
            return softmax(_logs(pooled) / self.temperature_, axis=1)
        if self.method == "isotonic":
            positive = np.interp(pooled[:, 1], *self.curve_)
        else:
            odds = self.slope_ * _log_odds(pooled) + self.intercept_
            positive = expit(odds)
        return np.stack([1 - positive, positive], axis=1)

    def restate(self, pooled):
        """Return what pooled probabilities are worth, as :meth:`calibrate` has it."""
        return self.calibrate(super().restate(pooled))

    def decide(self, ballots):
        """Return the decisions of the pooling rule, shape (n_samples,)."""
        ballots = self._checked(ballots)
        return self.base_.decide(ballots)

    def is_monotone(self, n_classes):
        """Tell whether the pooling rule is; of several classes, at no extreme temperature."""
        check_is_fitted(self)
        if n_classes == 2:
            return self.base_.is_monotone(2)
        # By n_classes to this power a lead may shrink, from one sharing of the rest to another.
        power = abs(1 - 1 / self.temperature_)
        bearable = power * np.log(n_classes) <= np.log(LEAD / TIE_TOLERANCE)
        return self.base_.is_monotone(n_classes) and bool(bearable)

    def settled(self, ballots, asked):
        """Tell which decisions are settled: those of the pooling rule."""
        ballots = self._checked(ballots)
        n_samples, n_members, n_classes = ballots.shape
        if self.base_.is_monotone(n_classes) and not self.is_monotone(n_classes):
            # Then its probabilities, which it leaves open, must not change either.
            return np.full(n_samples, check_asked(asked, n_members).all())
        return self.base_.settled(ballots, asked)

    def prior(self, shares):
        """Return the class shares for which the probabilities stand.

        A curve learnt from the answers brings them back to those of the training.
        """
        return super().prior(shares) if self.method == "temperature" else shares

    def _fit_temperature(self, pooled, y, weight):
        from scipy.optimize import minimize_scalar

        logs = _logs(pooled)

        def loss(log_temperature):
            proba = softmax(logs / np.exp(log_temperature), axis=1)
            return -np.average(np.log(proba[np.arange(len(y)), y] + _SMALLEST), weights=weight)

        found = minimize_scalar(loss, bounds=(np.log(0.01), np.log(100)), method="bounded")
        self.temperature_ = float(np.exp(found.x))

    def _fit_curve(self, pooled, y, weight):
        from sklearn.isotonic import IsotonicRegression

        steps = IsotonicRegression(y_min=0, y_max=1, out_of_bounds="clip")
        steps.fit(pooled[:, 1], y == 1, sample_weight=weight)
        self.curve_ = np.stack([steps.X_thresholds_, steps.y_thresholds_]).astype(np.float64)

    def _fit_platt(self, pooled, y, weight):
        from sklearn.linear_model import LogisticRegression

        positives, negatives = weight[y == 1].sum(), weight[y == 0].sum()
        target = np.where(y == 1, (positives + 1) / (positives + 2), 1 / (negatives + 2))
        # A fractional target is a sample of each class, weighted.
        odds = np.tile(_log_odds(pooled), 2)[:, None]
        truth = np.repeat([1, 0], len(y))
        shares = np.concatenate([target, 1 - target]) * np.tile(weight, 2)
        logistic = LogisticRegression(C=np.inf).fit(odds, truth, sample_weight=shares)
        self.slope_, self.intercept_ = float(logistic.coef_[0, 0]), float(logistic.intercept_[0])

    def _dump(self, out):
        fitted = {
            name: out.array(name, value) if name == "curve" else value
            for name in ("temperature", "curve", "slope", "intercept")
            if (value := getattr(self, f"{name}_", None)) is not None
        }
        params = dump_params(self, without=["base"])
        base = out.estimator("base", self.base_)
        return {"params": params, "base": base, "n_members": self.n_members_, **fitted}

    def _load(self, state):
        load_params(self, state, without=["base"])
        if self.method not in METHODS:
            raise state.fault("params.method", f"{self.method!r:.40} is no method")
        self.base_ = state.estimator("base")
        self.base = clone(self.base_)
        self.n_members_ = load_committee(state)
        if self.method == "temperature":
            self.temperature_ = float(state.number("temperature", 1e-3, 1e3))
        elif self.method == "isotonic":
            self.curve_ = state.array("curve", shape=(2, None), dtype=np.float64)
            within = (self.curve_ >= 0).all() and (self.curve_ <= 1).all()
            if not (self.curve_.size and within and (np.diff(self.curve_) >= 0).all()):
                raise state.fault("curve", "not a rising curve between 0 and 1")
        else:
            self.slope_ = float(state.number("slope", -1e6, 1e6))
            self.intercept_ = float(state.number("intercept", -1e6, 1e6))


def calibrated(rule: VotingRule, method: str | None) -> VotingRule:
    """Return the rule with its pooled probabilities calibrated; decisions stay outermost.

    Parameters
    ----------
    rule : VotingRule
        Not fitted.
    method : {"temperature", "isotonic", "platt"} or None

    Returns
    -------
    VotingRule

    Examples
    --------
    >>> from skinensemble.voting import SoftVote, ThresholdVote
    >>> calibrated(ThresholdVote(SoftVote()), "platt")
    ThresholdVote(base=CalibratedVote(base=SoftVote(), method='platt'))
    """
    if method is None:
        return rule
    if isinstance(rule, RuleOverBase) and not isinstance(rule, CalibratedVote):
        return clone(rule).set_params(base=calibrated(rule.base_rule(), method))
    return CalibratedVote(rule, method)


def _check_method(method: str, n_classes: int) -> None:
    check_choice("calibration", method, METHODS)
    if method != "temperature" and n_classes != 2:
        why = f"it calibrates two classes, here are {n_classes}"
        raise InputError(message("calibration", method, why, 'use "temperature"'))


def _logs(pooled: np.ndarray) -> np.ndarray:
    return np.log(np.maximum(pooled, _SMALLEST))


def _log_odds(pooled: np.ndarray) -> np.ndarray:
    return logit(np.clip(pooled[:, 1], _SMALLEST, 1 - _SMALLEST))
