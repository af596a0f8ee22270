"""Referral: a third answer, so that what is decided is decided well.

An image whose decision is not sure enough is referred to a human. The confidence that a decision
must have is found on out-of-fold ballots, so that the decided part keeps a stated accuracy with
confidence (selective classification with guaranteed risk [1]_), or so that a stated share is
decided. A lesion with several images counts once: it is decided when every image of it is, and
decided right when every image of it is.

References
----------
.. [1] Y. Geifman, R. El-Yaniv, "Selective classification for deep neural networks", NeurIPS 2017.
   arXiv:1705.08500
"""

from __future__ import annotations

import warnings
from numbers import Real

import numpy as np
from scipy import special
from sklearn.base import BaseEstimator, clone

from skinensemble.exceptions import InputError, ReferralWarning, message
from skinensemble.persistence._codec import dump_params, load_params
from skinensemble.thresholds import lesions_needed
from skinensemble.validation import as_lesions

__all__ = ["Referral", "lesion_decisions", "resolve_referral"]

# Shares of the lesions that are tested, and how many of these tests have a level of their own.
_TESTS, _STARTS = 100, 5


class Referral(BaseEstimator):
    """Refer what is not decided with enough confidence.

    Give `min_accuracy` or `coverage`, not both.

    Parameters
    ----------
    min_accuracy : float, default=None
        Accuracy of the decided lesions that is to be proved; 1 minus it is the maximal error.
    confidence : float, default=0.95
        Confidence of that proof.
    coverage : float, default=None
        Instead: the share of the lesions to be decided, whatever the accuracy.

    Attributes
    ----------
    threshold_ : float
        Confidence that a decision must have; infinite when everything is referred, because no
        part of the lesions proves the accuracy.
    n_lesions_, n_decided_, n_errors_ : int
        Lesions it was learnt on, how many of them are decided, and how many of these wrongly.

    Notes
    -----
    With `min_accuracy`, shares of the lesions are tested from the surest few to all, each by its
    exact binomial tail, and the largest that passes is decided. The tests are a fixed sequence with
    five fresh starts (fallback procedure [2]_): where one passes, the next is tested at the same
    level and more, so that all together hold at `confidence`. The binary search of [1]_ decided 0
    to 9 points less in simulations.

    References
    ----------
    .. [1] Y. Geifman, R. El-Yaniv, "Selective classification for deep neural networks", NeurIPS
       2017. arXiv:1705.08500
    .. [2] B. L. Wiens, A. Dmitrienko, "The fallback procedure for evaluating a single family of
       hypotheses", Journal of Biopharmaceutical Statistics 15(6), 2005.
       doi:10.1080/10543400500265660

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> confidence = rng.uniform(0.5, 1, 2000)
    >>> correct = rng.random(2000) < confidence
    >>> print(Referral(0.9).fit(confidence, correct))
    decides 32 % of 2000 lesions, at least 90 % of them right with 95 % confidence (593 of 637)
    >>> print(Referral(coverage=0.8).fit(confidence, correct))
    decides 80 % of 2000 lesions, 79.8 % of them right (1277 of 1600)
    """

    def __init__(self, min_accuracy=None, *, confidence=0.95, coverage=None):
        self.min_accuracy = min_accuracy
        self.confidence = confidence
        self.coverage = coverage

    def check(self) -> None:
        """Refuse parameters that cannot be used; raises InputError."""
        if (self.min_accuracy is None) == (self.coverage is None):
            given = f"min_accuracy={self.min_accuracy!r}, coverage={self.coverage!r}"
            remedy = "pass min_accuracy=0.95, or coverage=0.8"
            raise InputError(message("referral", given, "one of the two is needed", remedy))
        for name in ("min_accuracy", "confidence", "coverage"):
            value = getattr(self, name)
            if value is not None and not (isinstance(value, Real) and 0 < float(value) < 1):
                why = "not a number between 0 and 1"
                raise InputError(message("referral", f"{name}={value!r}", why, "pass 0.95"))

    def fit(self, confidence, correct, groups=None):
        """Learn the confidence that a decision must have.

        Parameters
        ----------
        confidence : array-like of shape (n_images,)
            Probability of the decision, or any score that grows with how sure it is.
        correct : array-like of bool of shape (n_images,)
            Whether the decision was right.
        groups : array-like of shape (n_images,), default=None
            Lesion of each image.

        Returns
        -------
        self
        """
        self.check()
        sure, right = lesion_decisions(confidence, correct, groups)
        order = np.argsort(-sure, kind="stable")
        sure, errors = sure[order], np.cumsum(~right[order])
        # A threshold takes all lesions of equal confidence, or none of them.
        last = np.flatnonzero(np.append(sure[1:] != sure[:-1], True))
        ends = sure[last], errors[last], last + 1
        at = self._prove(*ends[1:]) if self.coverage is None else self._share(ends[2])
        self.threshold_ = float(ends[0][at]) if at >= 0 else float("inf")
        self.n_lesions_ = len(sure)
        self.n_decided_ = int(ends[2][at]) if at >= 0 else 0
        self.n_errors_ = int(ends[1][at]) if at >= 0 else 0
        return self

    def refer_everything(self):
        """Accept no decision, where there are none to learn from; return self."""
        self.threshold_ = float("inf")
        self.n_lesions_ = self.n_decided_ = self.n_errors_ = 0
        return self

    def accepts(self, confidence) -> np.ndarray:
        """Whether each decision is sure enough, booleans of shape (n_images,)."""
        return np.asarray(confidence) >= self.threshold_

    def _share(self, decided) -> int:
        """Return the place that comes nearest to the coverage."""
        return int(np.argmin(np.abs(decided / decided[-1] - self.coverage)))

    def _prove(self, errors, decided) -> int:
        """Return the last place that proves the accuracy; -1 when none does."""
        level = (1 - self.confidence) / _STARTS
        first = min(lesions_needed(self.min_accuracy, 1 - level), decided[-1])
        counts = np.linspace(first, decided[-1], _TESTS)
        best, left, passed = -1, 0.0, False
        for test, at in enumerate(np.searchsorted(decided, counts)):
            left = (left if passed else 0) + (level if test % (_TESTS // _STARTS) == 0 else 0)
            passed = special.bdtr(errors[at], decided[at], 1 - self.min_accuracy) <= left
            best = int(at) if passed else best
        if best < 0:
            asked = f"accuracy ≥ {self.min_accuracy:g} with confidence {self.confidence:g}"
            remedy = "lower min_accuracy or confidence, add lesions, or train better members"
            text = message("referral", asked, "no share of the lesions proves it", remedy)
            warnings.warn(f"{text}; until then every decision is referred", ReferralWarning, 4)
        return best

    def __str__(self):
        if not self.n_decided_:
            asked = (
                "" if self.coverage else f": {100 * self.min_accuracy:g} % cannot be proved here"
            )
            return f"refers everything{asked}"
        right = self.n_decided_ - self.n_errors_
        counted = f"({right} of {self.n_decided_})"
        percent = f"{100 * self.n_decided_ / self.n_lesions_:.0f} %"
        share = f"decides {percent} of {self.n_lesions_} lesions"
        if self.coverage is not None:
            return f"{share}, {100 * right / self.n_decided_:.1f} % of them right {counted}"
        return (
            f"{share}, at least {100 * self.min_accuracy:g} % of them right with"
            f" {100 * self.confidence:g} % confidence {counted}"
        )

    def _dump(self, out):
        fitted = {
            "threshold": self.threshold_ if np.isfinite(self.threshold_) else None,
            "n_lesions": self.n_lesions_,
            "n_decided": self.n_decided_,
            "n_errors": self.n_errors_,
        }
        return {"params": dump_params(self), **fitted}

    def _load(self, state):
        load_params(self, state)
        self.check()
        number = state.raw("threshold", (int, float, type(None)))
        self.threshold_ = float("inf") if number is None else float(number)
        self.n_lesions_ = int(state.number("n_lesions", 0, 2**53))
        self.n_decided_ = int(state.number("n_decided", 0, self.n_lesions_))
        self.n_errors_ = int(state.number("n_errors", 0, self.n_decided_))


def resolve_referral(refer) -> Referral:
    """Return a fresh, checked referral for an accuracy or an instance.

    Parameters
    ----------
    refer : float or Referral

    Returns
    -------
    Referral

    Raises
    ------
    InputError
        When it is neither, or its parameters cannot be used.

    Examples
    --------
    >>> resolve_referral(0.95)
    Referral(min_accuracy=0.95)
    """
    if not isinstance(refer, Real | Referral) or isinstance(refer, bool):
        remedy = "pass an accuracy such as 0.95, or Referral(coverage=0.8)"
        raise InputError(message("refer", repr(refer), "not a number or a Referral", remedy))
    found = clone(refer) if isinstance(refer, Referral) else Referral(float(refer))
    found.check()
    return found


def lesion_decisions(confidence, correct, groups=None) -> tuple[np.ndarray, np.ndarray]:
    """Reduce decisions on images to one a lesion.

    Parameters
    ----------
    confidence, correct, groups : array-like of shape (n_images,)
        As in :meth:`Referral.fit`.

    Returns
    -------
    confidence : ndarray of shape (n_lesions,)
        Of the least sure image.
    correct : ndarray of bool of shape (n_lesions,)
        Whether every image is decided right.

    Examples
    --------
    >>> lesion_decisions([0.9, 0.6, 0.8], [True, True, False], ["a", "a", "b"])
    (array([0.6, 0.8]), array([ True, False]))
    """
    confidence, correct = np.asarray(confidence, dtype=float), np.asarray(correct, dtype=bool)
    groups = np.arange(len(confidence)) if groups is None else as_lesions(groups)
    if not confidence.shape == correct.shape == groups.shape or confidence.ndim != 1:
        why = f"shapes {confidence.shape}, {correct.shape} and {groups.shape} are not one"
        raise InputError(message("lengths", "confidence, correct, groups", why, "pass one of each"))
    if not len(confidence) or not np.isfinite(confidence).all():
        raise InputError(message("confidence", "values", "none, or not finite", "pass numbers"))
    names, lesion = np.unique(groups, return_inverse=True)
    sure, right = np.full(len(names), np.inf), np.ones(len(names), dtype=bool)
    np.minimum.at(sure, lesion, confidence)
    np.logical_and.at(right, lesion, correct)
    return sure, right
