"""Thresholds that are best by a criterion; they promise nothing."""

from __future__ import annotations

import re

import numpy as np

from skinensemble.exceptions import InputError, message
from skinensemble.thresholds._lesions import lesion_scores

__all__ = ["check_criterion", "tune_threshold"]

# Thresholds that a criterion of the user's own is asked about, at most.
_MOST_CALLS = 200
_F_BETA = re.compile(r"f(?!0+(\.0+)?$)(\d+(\.\d+)?)")


def tune_threshold(
    scores: np.ndarray,
    malignant: np.ndarray,
    criterion="youden",
    *,
    groups: np.ndarray | None = None,
    lesion: str = "worst",
) -> float:
    """Return the threshold that is best by a criterion on these lesions.

    Parameters
    ----------
    scores : array-like of shape (n_images,)
        Probability of malignancy, or any score that grows with it.
    malignant : array-like of bool of shape (n_images,)
        The truth.
    criterion : str, array-like of shape (2, 2) or callable, default="youden"
        - "youden": sensitivity + specificity − 1 [1]_;
        - "f1", "f2", "f0.5", …: the F-measure that holds recall so many times as important as
          precision;
        - a matrix of costs, ``[[true benign, false alarm], [miss, true malignant]]``;
        - a function of the true and the predicted labels of the lesions (1 is malignant), such as
          a metric of scikit-learn; higher is better, and NaN is worst. It is asked about thresholds
          at which some lesion is malignant.
    groups : array-like of shape (n_images,), default=None
        Lesion of each image; None: each image is a lesion of its own.
    lesion : {"worst", "highest", "mean"}, default="worst"
        Which score stands for a lesion; see :func:`lesion_scores`.

    Returns
    -------
    float
        A lesion is called malignant when its score is at least this. Of several that are equally
        good the lowest, which misses least.

    Raises
    ------
    InputError
        When the criterion is unknown, a side is missing, or scores are not finite.

    References
    ----------
    .. [1] W. J. Youden, "Index for rating diagnostic tests", Cancer 3(1), 1950.
       doi:10.1002/1097-0142(1950)3:1<32::AID-CNCR2820030106>3.0.CO;2-3

    Examples
    --------
    >>> scores, malignant = [0.1, 0.3, 0.4, 0.8], [False, True, False, True]
    >>> tune_threshold(scores, malignant, "youden")
    0.3
    >>> tune_threshold(scores, malignant, [[0, 5], [1, 0]])  # a false alarm costs five misses
    0.8
    """
    check_criterion(criterion)
    reduced, truth = lesion_scores(scores, malignant, groups, lesion)
    if truth.all() or not truth.any():
        why = "a threshold lies between malignant and benign lesions"
        raise InputError(message("lesions", "of one side only", why, "add lesions of the other"))
    candidates = np.unique(reduced)
    if callable(criterion):
        candidates = np.unique(
            np.quantile(candidates, np.linspace(0, 1, _MOST_CALLS), method="nearest")
        )
        labels = truth.astype(int)
        found = [(reduced >= t).astype(int) for t in candidates]
        values = np.array([criterion(labels, each) for each in found], dtype=float)
    else:
        # Where false alarms are dear, to call none malignant may be best.
        candidates = np.append(candidates, np.nextafter(candidates[-1], np.inf))
        values = _value(criterion, *_counts(reduced, truth, candidates))
    if np.isnan(values).all():
        why, remedy = "it gives a number for no threshold", "mend it"
        raise InputError(message("criterion", f"{criterion!r:.80}", why, remedy))
    # Such as a share of those found malignant where none is.
    values = np.where(np.isnan(values), -np.inf, values)
    # Two thresholds of the same worth differ by rounding.
    return float(candidates[np.argmax(np.round(values, 12))])


def check_criterion(criterion) -> None:
    """Refuse what is no criterion of :func:`tune_threshold`."""
    if callable(criterion):
        return
    if isinstance(criterion, str):
        if criterion == "youden" or _F_BETA.fullmatch(criterion):
            return
    else:
        try:
            costs = np.asarray(criterion, dtype=float)
        except (TypeError, ValueError):
            costs = np.empty(0)
        if costs.shape == (2, 2) and np.isfinite(costs).all():
            return
    why = 'not "youden", "f1", "f2" …, a 2 × 2 matrix of costs, or a function'
    remedy = 'pass one of these, or "sensitivity" or "specificity" for a certificate'
    raise InputError(message("criterion", f"{criterion!r:.80}", why, remedy))


def _counts(scores, truth, candidates):
    """Count true negatives, false alarms, misses and hits at each candidate."""
    misses = np.searchsorted(np.sort(scores[truth]), candidates)
    passed = np.searchsorted(np.sort(scores[~truth]), candidates)
    return passed, np.sum(~truth) - passed, misses, truth.sum() - misses


def _value(criterion, passed, alarms, misses, hits) -> np.ndarray:
    if isinstance(criterion, str) and criterion == "youden":
        return hits / (hits + misses) - alarms / (alarms + passed)
    if isinstance(criterion, str):
        weight = float(criterion[1:]) ** 2
        return (1 + weight) * hits / ((1 + weight) * hits + weight * misses + alarms)
    (c_passed, c_alarm), (c_miss, c_hit) = np.asarray(criterion, dtype=float)
    return -(c_passed * passed + c_alarm * alarms + c_miss * misses + c_hit * hits)
