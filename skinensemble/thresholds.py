"""Thresholds with a finite-sample promise: the exact binomial certificate of sensitivity.

A threshold that misses 5 % of the malignant lesions it was tuned on breaks the promise of 95 %
sensitivity more than half of the time on the next ones. The umbrella rule [1]_ picks the largest
threshold whose misses among *m* malignant lesions still prove the promise at a stated confidence.

References
----------
.. [1] X. Tong, Y. Feng, J. J. Li, "Neyman-Pearson classification algorithms and NP receiver
   operating characteristics", Science Advances 4(2), 2018. doi:10.1126/sciadv.aao1659
.. [2] C. J. Clopper, E. S. Pearson, "The use of confidence or fiducial limits illustrated in the
   case of the binomial", Biometrika 26(4), 1934. doi:10.1093/biomet/26.4.404
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from scipy import special

from skinensemble.exceptions import CertificateError, InputError, first_few, message

__all__ = [
    "Certificate",
    "allowed_misses",
    "certify_threshold",
    "lesion_scores",
    "lesions_needed",
    "sensitivity_bound",
]

_ORIGIN = {
    "cross-fitted": "out-of-fold ballots of the training lesions; approximate",
    "held-out": "lesions the members never saw; exact",
}


@dataclass(frozen=True)
class Certificate:
    """What is proved about the sensitivity of a threshold, and on which lesions.

    Attributes
    ----------
    kind : {"cross-fitted", "held-out"}
        Whether the threshold was set on out-of-fold ballots of the training lesions (approximate:
        the members that will be used saw all of them) or on lesions no member ever saw (exact).
    threshold : float
        A lesion is called malignant when its score is at least this.
    n_malignant, misses : int
        Malignant lesions, and how many of them score below the threshold.
    n_benign, false_alarms : int
        Benign lesions, and how many of them score at or above it.
    min_sensitivity, confidence : float
        What was asked for.

    Examples
    --------
    >>> certificate = Certificate("held-out", 0.125, 200, 4, 800, 200, 0.95, 0.95)
    >>> print(certificate)
    sensitivity ≥ 0.954 with 95 % confidence: 4 of 200 malignant lesions missed at threshold 0.125,
    specificity 0.750 on 800 benign lesions (held-out: lesions the members never saw; exact)
    """

    kind: Literal["cross-fitted", "held-out"]
    threshold: float
    n_malignant: int
    misses: int
    n_benign: int
    false_alarms: int
    min_sensitivity: float
    confidence: float

    @property
    def bound(self) -> float:
        """Exact lower confidence bound of the sensitivity (Clopper–Pearson)."""
        return sensitivity_bound(self.misses, self.n_malignant, self.confidence)

    @property
    def specificity(self) -> float:
        """Share of the benign lesions below the threshold; NaN when there were none."""
        return 1 - self.false_alarms / self.n_benign if self.n_benign else float("nan")

    def __str__(self):
        # Cut, not rounded: a bound of 0.9499 must not read as 0.95.
        return (
            f"sensitivity ≥ {np.floor(self.bound * 1000) / 1000:.3f} with"
            f" {100 * self.confidence:g} % confidence:"
            f" {self.misses} of {self.n_malignant} malignant lesions missed at threshold"
            f" {self.threshold:.3g}, specificity {self.specificity:.3f} on {self.n_benign}"
            f" benign lesions ({self.kind}: {_ORIGIN[self.kind]})"
        )


def sensitivity_bound(misses: int, n_lesions: int, confidence: float = 0.95) -> float:
    """Lower confidence bound of the sensitivity (one-sided, Clopper–Pearson).

    The exact binomial bound of [2]_.

    Parameters
    ----------
    misses, n_lesions : int
        Malignant lesions missed, and how many there were.
    confidence : float, default=0.95

    Returns
    -------
    float

    References
    ----------
    .. [2] C. J. Clopper, E. S. Pearson, "The use of confidence or fiducial limits illustrated in
       the case of the binomial", Biometrika 26(4), 1934. doi:10.1093/biomet/26.4.404

    Examples
    --------
    >>> round(sensitivity_bound(4, 200), 4)
    0.9548
    """
    if misses == n_lesions:
        return 0.0
    return float(special.betaincinv(n_lesions - misses, misses + 1, 1 - confidence))


def lesions_needed(min_sensitivity: float = 0.95, confidence: float = 0.95) -> int:
    """Smallest number of malignant lesions that can prove `min_sensitivity`, without a miss.

    Examples
    --------
    >>> lesions_needed(0.95, 0.95)
    59
    """
    _check_promise(min_sensitivity, confidence)
    return int(np.ceil(np.log1p(-confidence) / np.log(min_sensitivity)))


def allowed_misses(n_lesions: int, min_sensitivity: float = 0.95, confidence: float = 0.95) -> int:
    """Return how many of `n_lesions` malignant lesions may be missed while the promise holds.

    Parameters
    ----------
    n_lesions : int
        Malignant lesions at hand.
    min_sensitivity, confidence : float, default=0.95
        The promise: P(sensitivity ≥ `min_sensitivity`) ≥ `confidence`.

    Returns
    -------
    int

    Raises
    ------
    CertificateError
        When the lesions are too few to prove it even without a miss.

    Examples
    --------
    >>> [allowed_misses(m) for m in (59, 100, 200, 400, 1169)]
    [0, 1, 4, 12, 45]
    """
    needed = lesions_needed(min_sensitivity, confidence)
    if n_lesions < needed:
        why = (
            f"{n_lesions} malignant lesions cannot prove it, {needed} are needed"
            f" ({needed - n_lesions} more)"
        )
        remedy = "add malignant lesions, lower min_sensitivity or confidence, or use another rule"
        asked = f"sensitivity ≥ {min_sensitivity:g} with confidence {confidence:g}"
        raise CertificateError(message("certificate", asked, why, remedy))
    violation = special.bdtr(np.arange(n_lesions), n_lesions, 1 - min_sensitivity)
    return int(np.searchsorted(violation, 1 - confidence, side="right")) - 1


def certify_threshold(
    scores: np.ndarray,
    malignant: np.ndarray,
    *,
    groups: np.ndarray | None = None,
    min_sensitivity: float = 0.95,
    confidence: float = 0.95,
    kind: Literal["cross-fitted", "held-out"] = "held-out",
) -> Certificate:
    """Find the largest threshold that still proves the sensitivity, and certify it.

    A lesion with several images counts once, by its worst image: a malignant lesion is found only
    if every image of it is, a benign one is passed only if every image of it is.

    Parameters
    ----------
    scores : array-like of shape (n_images,)
        Probability of malignancy, or any score that grows with it.
    malignant : array-like of bool of shape (n_images,)
        The truth.
    groups : array-like of shape (n_images,), default=None
        Lesion of each image; None: each image is a lesion of its own.
    min_sensitivity, confidence : float, default=0.95
        The promise: P(sensitivity ≥ `min_sensitivity`) ≥ `confidence`.
    kind : {"cross-fitted", "held-out"}, default="held-out"
        Where the scores come from; recorded, not checked.

    Returns
    -------
    Certificate

    Raises
    ------
    CertificateError
        When the malignant lesions are too few.
    InputError
        When a score is NaN or infinite, or lengths differ.

    Notes
    -----
    With *c* misses allowed, the threshold is the (c + 1)-th smallest score of the malignant
    lesions. Ties lower the number of misses, never raise it.

    Examples
    --------
    >>> scores = np.linspace(0, 1, 200)
    >>> certify_threshold(scores, scores > 0.4).misses
    1
    """
    lesions, truth = lesion_scores(scores, malignant, groups)
    positives, negatives = np.sort(lesions[truth]), lesions[~truth]
    threshold = positives[allowed_misses(len(positives), min_sensitivity, confidence)]
    return Certificate(
        kind=kind,
        threshold=float(threshold),
        n_malignant=len(positives),
        misses=int(np.sum(positives < threshold)),
        n_benign=len(negatives),
        false_alarms=int(np.sum(negatives >= threshold)),
        min_sensitivity=float(min_sensitivity),
        confidence=float(confidence),
    )


def lesion_scores(
    scores: np.ndarray, malignant: np.ndarray, groups: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Reduce the scores of images to one score a lesion, that of its worst image.

    Parameters
    ----------
    scores, malignant, groups : array-like of shape (n_images,)
        As in :func:`certify_threshold`.

    Returns
    -------
    scores : ndarray of shape (n_lesions,)
        The lowest score of a malignant lesion's images, the highest of a benign one's.
    malignant : ndarray of bool of shape (n_lesions,)

    Examples
    --------
    >>> lesion_scores([0.9, 0.2, 0.1, 0.3], [True, True, False, False], ["a", "a", "b", "b"])
    (array([0.2, 0.3]), array([ True, False]))
    """
    scores, malignant = np.asarray(scores, dtype=float), np.asarray(malignant, dtype=bool)
    groups = np.arange(len(scores)) if groups is None else np.asarray(groups)
    if not scores.shape == malignant.shape == groups.shape or scores.ndim != 1:
        why = f"shapes {scores.shape}, {malignant.shape} and {groups.shape} are not one (n_images,)"
        raise InputError(message("lengths", "scores, truth, groups", why, "pass one of each"))
    if not np.isfinite(scores).all():
        rows = first_few(np.flatnonzero(~np.isfinite(scores)))
        raise InputError(message("scores", f"rows {rows}", "not finite", "remove these images"))
    names, lesion = np.unique(groups, return_inverse=True)
    lowest, highest = np.full(len(names), np.inf), np.full(len(names), -np.inf)
    np.minimum.at(lowest, lesion, scores)
    np.maximum.at(highest, lesion, scores)
    share = np.bincount(lesion, malignant) / np.bincount(lesion)
    mixed = (share > 0) & (share < 1)
    if mixed.any():
        why = "images of one lesion are labelled both benign and malignant"
        remedy = "correct the labels or the groups"
        raise InputError(message("lesions", first_few(names[mixed]), why, remedy))
    truth = share == 1
    return np.where(truth, lowest, highest), truth


def _check_promise(min_sensitivity: float, confidence: float) -> None:
    for name, value in (("min_sensitivity", min_sensitivity), ("confidence", confidence)):
        if not 0 < value < 1:
            why = (
                "no finite number of lesions can prove it" if value >= 1 else "it promises nothing"
            )
            raise InputError(
                message(name, value, why, "choose a number between 0 and 1, such as 0.95")
            )
