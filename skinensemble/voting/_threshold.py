"""A vote whose decision keeps a promise about sensitivity."""

from __future__ import annotations

from dataclasses import asdict

import numpy as np
from sklearn.base import clone

from skinensemble.exceptions import InputError, message
from skinensemble.persistence._codec import dump_params, load_params
from skinensemble.thresholds import Certificate, allowed_misses, certify_threshold
from skinensemble.voting._base import VotingRule


class ThresholdVote(VotingRule):
    """Pool by another rule; call positive whatever reaches a certified threshold.

    Learns, on out-of-fold ballots, the largest threshold at which the misses among the malignant
    *lesions* still prove ``sensitivity ≥ min_sensitivity`` with the stated confidence (exact
    binomial, Neyman–Pearson umbrella [1]_). For two classes; the second one is positive.

    Parameters
    ----------
    base : str or VotingRule, default="soft"
        The rule that pools the ballots.
    min_sensitivity : float, default=0.95
        Sensitivity to be proved, at lesion level.
    confidence : float, default=0.95
        Confidence of the proof.

    Attributes
    ----------
    base_ : VotingRule
        The fitted pooling rule.
    certificate_ : Certificate
        What is proved, on how many lesions, and the threshold.

    References
    ----------
    .. [1] X. Tong, Y. Feng, J. J. Li, "Neyman-Pearson classification algorithms and NP receiver
       operating characteristics", Science Advances 4(2), 2018. doi:10.1126/sciadv.aao1659

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> y = np.repeat([0, 1], 100)
    >>> p = np.clip(0.3 + 0.4 * y[:, None] + 0.2 * rng.standard_normal((200, 3)), 0, 1)
    >>> rule = ThresholdVote().fit(np.stack([1 - p, p], axis=2), y)
    >>> rule.certificate_.misses, round(rule.certificate_.bound, 3)
    (1, 0.953)
    """

    def __init__(self, base="soft", *, min_sensitivity=0.95, confidence=0.95):
        self.base = base
        self.min_sensitivity = min_sensitivity
        self.confidence = confidence

    def check_targets(self, y, groups=None):
        """Refuse more than two classes, and fewer positive lesions than the proof needs."""
        _refuse_multiclass(int(y.max()) + 1)
        positive = np.unique((np.arange(len(y)) if groups is None else groups)[y == 1])
        allowed_misses(len(positive), self.min_sensitivity, self.confidence)

    def fit(self, ballots, y, *, sample_weight=None, groups=None):
        """Learn the pooling rule, then the threshold; see :meth:`VotingRule.fit`.

        Raises
        ------
        CertificateError
            When the malignant lesions are too few to prove the sensitivity.
        InputError
            When there are not exactly two classes.
        """
        from skinensemble.voting import resolve_voting_rule

        base = resolve_voting_rule(self.base)
        base.fit(ballots, y, sample_weight=sample_weight, groups=groups)
        return self._certify(base, ballots, y, groups, "cross-fitted")

    @classmethod
    def held_out(cls, rule, ballots, y, *, groups=None, min_sensitivity=0.95, confidence=0.95):
        """Put a threshold on a fitted rule, proved on ballots of lesions it has never seen.

        Parameters
        ----------
        rule : VotingRule
            Fitted; a ThresholdVote lends its pooling rule.
        ballots, y, groups
            As in :meth:`VotingRule.fit`, of fresh lesions.
        min_sensitivity, confidence : float, default=0.95
            The promise.

        Returns
        -------
        ThresholdVote
            Fitted, with a certificate of kind ``"held-out"``.
        """
        base = rule.base_ if isinstance(rule, cls) else rule
        fresh = cls(clone(base), min_sensitivity=min_sensitivity, confidence=confidence)
        return fresh._certify(base, ballots, y, groups, "held-out")

    def _certify(self, base, ballots, y, groups, kind):
        _refuse_multiclass(ballots.shape[2])
        self.certificate_: Certificate = certify_threshold(
            base.combine(ballots)[:, 1],
            np.asarray(y) == 1,
            groups=groups,
            min_sensitivity=self.min_sensitivity,
            confidence=self.confidence,
            kind=kind,
        )
        self.base_ = base
        return self

    def combine(self, ballots):
        """Return the pooled probabilities of the base rule; the threshold does not change them."""
        return self.base_.combine(ballots)

    def decide(self, ballots):
        """Return 1 where the pooled probability of class 1 reaches the threshold, else 0."""
        return (self.combine(ballots)[:, 1] >= self.certificate_.threshold).astype(np.intp)

    def votes(self, ballots):
        """Return 1 where a member's own probability of class 1 reaches the threshold, else 0."""
        return (ballots[..., 1] >= self.certificate_.threshold).astype(np.intp)

    def _dump(self, out):
        return {
            "params": dump_params(self, without=["base"]),
            "base": out.estimator("base", self.base_),
            "certificate": asdict(self.certificate_),
        }

    def _load(self, state):
        load_params(self, state, without=["base"])
        self.base_ = state.estimator("base")
        self.base = clone(self.base_)
        self.certificate_ = _load_certificate(state.nested("certificate"))


def _refuse_multiclass(n_classes: int) -> None:
    if n_classes != 2:
        why = f"a threshold decides between two classes, here are {n_classes}"
        remedy = 'use it for triage, and "soft" or "majority" for the diagnosis'
        raise InputError(message("voting rule", "threshold", why, remedy))


def _load_certificate(state) -> Certificate:
    n_malignant = int(state.number("n_malignant", 1, 2**53))
    n_benign = int(state.number("n_benign", 0, 2**53))
    kind = state.raw("kind", str)
    if kind not in ("cross-fitted", "held-out"):
        raise state.fault("kind", f"{kind!r:.40} is not a kind of certificate")
    certificate = Certificate(
        kind=kind,
        threshold=float(state.number("threshold", 0, 1)),
        n_malignant=n_malignant,
        misses=int(state.number("misses", 0, n_malignant)),
        n_benign=n_benign,
        false_alarms=int(state.number("false_alarms", 0, n_benign)),
        min_sensitivity=float(state.number("min_sensitivity", 0, 1)),
        confidence=float(state.number("confidence", 0, 1)),
    )
    if certificate.bound < certificate.min_sensitivity - 1e-9:
        raise state.fault("misses", f"{certificate.misses} of {n_malignant} do not prove it")
    return certificate
