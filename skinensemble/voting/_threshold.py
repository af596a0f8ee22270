"""A vote whose decision is made at a threshold, by default one that keeps a promise."""

from __future__ import annotations

from dataclasses import asdict

import numpy as np
from sklearn.base import clone
from sklearn.utils.validation import check_is_fitted

from skinensemble.persistence._codec import dump_params, load_params
from skinensemble.thresholds import Certificate, allowed_misses, certify_threshold, tune_threshold
from skinensemble.thresholds._lesions import WAYS, check_lesion
from skinensemble.thresholds._tune import check_criterion
from skinensemble.voting._base import VotingRule
from skinensemble.voting._checks import (
    check_training,
    fit_and_pool,
    load_committee,
    of_some_weight,
    refuse_undefined,
)
from skinensemble.voting._over import RuleOverBase

_PROMISES = ("sensitivity", "specificity")


class ThresholdVote(RuleOverBase):
    """Pool by another rule; call positive whatever reaches a tuned threshold.

    By default the threshold is *certified*: the largest one at which the misses among the malignant
    *lesions* of the out-of-fold ballots still prove ``sensitivity ≥ min_sensitivity`` with the
    stated confidence (exact binomial, Neyman–Pearson umbrella [1]_). For two classes; the second
    one is positive. Sample weights reach the pooling rule; the threshold counts lesions, each once,
    but none whose images all have a weight of 0.

    Parameters
    ----------
    base : str or VotingRule, default="soft"
        The rule that pools the ballots.
    criterion : str, array-like of shape (2, 2) or callable, default="sensitivity"
        "sensitivity" and "specificity" are certified. "youden", "f1", "f2" …, a matrix of costs or
        a function, as in :func:`~skinensemble.thresholds.tune_threshold`, give the best threshold
        by that criterion, and no promise.
    min_sensitivity, min_specificity : float, default=0.95
        What is to be proved, at lesion level; only that of the criterion counts.
    confidence : float, default=0.95
        Confidence of the proof.
    lesion : {"worst", "highest", "mean"}, default="worst"
        Which score stands for a lesion of several images; see
        :func:`~skinensemble.thresholds.lesion_scores`.

    Attributes
    ----------
    base_ : VotingRule
        The fitted pooling rule.
    threshold_ : float
        Probability of the positive class from which on it is the decision.
    certificate_ : Certificate or None
        What is proved, and on how many lesions; None when the criterion proves nothing.
    n_members_ : int
        Size of the committee. The threshold is that of these members: without one of them it would
        promise nothing.

    References
    ----------
    .. [1] X. Tong, Y. Feng, J. J. Li, "Neyman-Pearson classification algorithms and NP receiver
       operating characteristics", Science Advances 4(2), 2018. doi:10.1126/sciadv.aao1659

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> y = np.repeat([0, 1], 100)
    >>> p = np.clip(0.3 + 0.4 * y[:, None] + 0.2 * rng.standard_normal((200, 3)), 0, 1)
    >>> ballots = np.stack([1 - p, p], axis=2)
    >>> rule = ThresholdVote().fit(ballots, y)
    >>> rule.certificate_.misses, round(rule.certificate_.bound, 3)
    (1, 0.953)
    >>> round(ThresholdVote(criterion="youden").fit(ballots, y).threshold_, 3)
    0.481
    """

    binary = True

    def __init__(
        self,
        base="soft",
        *,
        criterion="sensitivity",
        min_sensitivity=0.95,
        min_specificity=0.95,
        confidence=0.95,
        lesion="worst",
    ):
        self.base = base
        self.criterion = criterion
        self.min_sensitivity = min_sensitivity
        self.min_specificity = min_specificity
        self.confidence = confidence
        self.lesion = lesion

    def check_params(self, n_members=None):
        """Refuse an unknown way to put images together, and what the base refuses."""
        check_lesion(self.lesion)
        super().check_params(n_members)

    def check_targets(self, y, groups=None):
        """Refuse more than two classes, and fewer lesions than the proof needs."""
        super().check_targets(y, groups)
        if not self._promises():
            check_criterion(self.criterion)
            return
        counted = y == int(self.criterion == "sensitivity")
        lesions = np.unique((np.arange(len(y)) if groups is None else groups)[counted])
        allowed_misses(len(lesions), self._minimum(), self.confidence, promised=self.criterion)

    def fit(self, ballots, y, *, sample_weight=None, groups=None):
        """Learn the pooling rule, then the threshold; see :meth:`VotingRule.fit`.

        Raises
        ------
        CertificateError
            When the lesions are too few to prove what was asked for.
        InputError
            When there are not exactly two classes, or the criterion is unknown.
        """
        ballots, y, _, lesions = check_training(ballots, y, sample_weight, groups)
        self.check_classes(ballots.shape[2])
        base = self.base_rule()
        extra = {"sample_weight": sample_weight, "groups": None if groups is None else lesions}
        pooled = fit_and_pool(base, ballots, y, **extra)
        self.n_members_ = ballots.shape[1]
        rows = of_some_weight(sample_weight, lesions, len(y))
        return self._tune(base, pooled[rows], y[rows], lesions[rows], "cross-fitted")

    @classmethod
    def held_out(cls, rule, ballots, y, *, groups=None, **promise):
        """Put a threshold on a fitted rule, proved on ballots of lesions it has never seen.

        Parameters
        ----------
        rule : VotingRule
            Fitted; a ThresholdVote lends its pooling rule and its parameters.
        ballots, y, groups
            As in :meth:`VotingRule.fit`, of fresh lesions.
        **promise
            Parameters of the new rule, such as `min_sensitivity` and `confidence`.

        Returns
        -------
        ThresholdVote
            Fitted, with a certificate of kind ``"held-out"``.
        """
        own = isinstance(rule, cls)
        fresh = clone(rule) if own else cls(clone(rule), lesion=_lesion_of(rule))
        base = rule.base_ if own else rule
        ballots, y, _, _ = check_training(ballots, y, None, groups)
        fresh.check_classes(ballots.shape[2])
        fresh.n_members_ = ballots.shape[1]
        pooled = base.combine(ballots)
        return fresh.set_params(**promise)._tune(base, pooled, y, groups, "held-out")

    def _promises(self) -> bool:
        return isinstance(self.criterion, str) and self.criterion in _PROMISES

    def _minimum(self) -> float:
        return getattr(self, f"min_{self.criterion}")

    def _tune(self, base, pooled, y, groups, kind):
        scores, malignant = pooled[:, 1], y == 1
        shared = {"groups": groups, "lesion": self.lesion}
        self.certificate_: Certificate | None = None
        if self._promises():
            self.certificate_ = certify_threshold(
                scores,
                malignant,
                promised=self.criterion,
                minimum=self._minimum(),
                confidence=self.confidence,
                kind=kind,
                **shared,
            )
            self.threshold_ = self.certificate_.threshold
        else:
            self.threshold_ = tune_threshold(scores, malignant, self.criterion, **shared)
        self.base_ = base
        return self

    def combine(self, ballots):
        """Return the pooled probabilities of the base rule; the threshold does not change them."""
        ballots = self._checked(ballots)
        return refuse_undefined(self.base_.combine(ballots))

    def decide(self, ballots):
        """Return 1 where the pooled probability of class 1 reaches the threshold, else 0."""
        return (self.combine(ballots)[:, 1] >= self.threshold_).astype(np.intp)

    def is_monotone(self, n_classes):
        """Tell whether the pooling rule is; see :meth:`VotingRule.is_monotone`."""
        check_is_fitted(self)
        return self.base_.is_monotone(n_classes)

    def votes(self, ballots):
        """Return 1 where a member's own probability of class 1 reaches the threshold, else 0.

        Where the pooled probabilities are calibrated, the member's are read in the same way.
        """
        return (self._restated(ballots)[..., 1] >= self.threshold_).astype(np.intp)

    def _dump(self, out):
        # A function stays behind: its name says what the threshold was tuned by.
        named = (
            getattr(self.criterion, "__name__", "a function") if callable(self.criterion) else None
        )
        keep = self if named is None else clone(self).set_params(criterion=named)
        return {
            "params": dump_params(keep, without=["base"]),
            "base": out.estimator("base", self.base_),
            "threshold": self.threshold_,
            "n_members": self.n_members_,
            "certificate": _dump_certificate(self.certificate_),
        }

    def _load(self, state):
        load_params(self, state, without=["base"])
        self.base_ = state.estimator("base")
        self.base = clone(self.base_)
        self.threshold_ = float(state.number("threshold", 0, _ABOVE_ONE))
        self.n_members_ = load_committee(state)
        self.certificate_ = None
        if state.raw("certificate", (dict, type(None))) is not None:
            self.certificate_ = _load_certificate(state.nested("certificate"))
            if self.certificate_.threshold != self.threshold_:
                raise state.fault("threshold", "not that of the certificate")


def _lesion_of(rule) -> str:
    """Return how a threshold within a rule puts the images of a lesion together."""
    while isinstance(rule, RuleOverBase) and not isinstance(rule, ThresholdVote):
        rule = rule.base_rule()
    return rule.lesion if isinstance(rule, ThresholdVote) else "worst"


def without_threshold(rule: VotingRule) -> VotingRule:
    """Return what a rule does before it decides at a threshold; itself where it has none."""
    if not isinstance(rule, RuleOverBase):
        return rule
    base = rule.base_rule()
    if isinstance(rule, ThresholdVote):
        # A new certificate on a vote that stops at a threshold is around the old one.
        return without_threshold(base)
    plain = without_threshold(base)
    return rule if plain is base else clone(rule).set_params(base=plain)


# A certified specificity may need a threshold just above every score.
_ABOVE_ONE = float(np.nextafter(1, 2))


def _dump_certificate(certificate: Certificate | None) -> dict | None:
    if certificate is None:
        return None
    return {
        name: list(value) if isinstance(value, tuple) else value
        for name, value in asdict(certificate).items()
    }


def _load_certificate(state) -> Certificate:
    n_malignant = int(state.number("n_malignant", 0, 2**53))
    n_benign = int(state.number("n_benign", 0, 2**53))
    for name, choices in (("kind", ("cross-fitted", "held-out")), ("promised", _PROMISES)):
        if state.raw(name, str) not in choices:
            raise state.fault(name, f"{state.raw(name)!r:.40} is not one of {', '.join(choices)}")
    interval = state.raw("threshold_interval", list)
    if len(interval) != 2 or not all(isinstance(end, (int, float)) for end in interval):
        raise state.fault("threshold_interval", "not two numbers")
    # Files from before it have none.
    on_trust = state.raw("on_trust", list) if "on_trust" in state.keys() else []  # noqa: SIM118
    if not all(isinstance(name, str) for name in on_trust):
        raise state.fault("on_trust", "not names")
    certificate = Certificate(
        kind=state.raw("kind"),
        threshold=float(state.number("threshold", 0, _ABOVE_ONE)),
        threshold_interval=(float(interval[0]), float(interval[1])),
        n_malignant=n_malignant,
        misses=int(state.number("misses", 0, n_malignant)),
        n_benign=n_benign,
        false_alarms=int(state.number("false_alarms", 0, n_benign)),
        promised=state.raw("promised"),
        minimum=float(state.number("minimum", 0, 1)),
        confidence=float(state.number("confidence", 0, 1)),
        lesion=state.choice("lesion", WAYS),
        on_trust=tuple(on_trust),
    )
    if certificate.bound < certificate.minimum - 1e-9:
        raise state.fault("misses", f"its counts do not prove {certificate.minimum}")
    return certificate
