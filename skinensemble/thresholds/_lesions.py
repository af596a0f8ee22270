"""One score a lesion: several images of it are one piece of evidence."""

from __future__ import annotations

import numpy as np

from skinensemble.exceptions import InputError, check_choice, first_few, message
from skinensemble.validation import as_lesions

__all__ = ["WAYS", "check_lesion", "lesion_scores"]

WAYS = ("worst", "highest", "mean")


def lesion_scores(
    scores: np.ndarray,
    malignant: np.ndarray,
    groups: np.ndarray | None = None,
    lesion: str = "worst",
) -> tuple[np.ndarray, np.ndarray]:
    """Reduce the scores of images to one score a lesion.

    Parameters
    ----------
    scores, malignant, groups : array-like of shape (n_images,)
        As in :func:`certify_threshold`.
    lesion : {"worst", "highest", "mean"}, default="worst"
        Which score stands for a lesion of several images. "worst" assumes nothing about how a
        clinic puts the images of a lesion together: the lowest score of a malignant lesion, the
        highest of a benign one. "highest" is for a clinic that acts when any image is called
        malignant, "mean" for one that averages the scores first.

    Returns
    -------
    scores : ndarray of shape (n_lesions,)
    malignant : ndarray of bool of shape (n_lesions,)

    Examples
    --------
    >>> lesion_scores([0.9, 0.2, 0.1, 0.3], [True, True, False, False], ["a", "a", "b", "b"])
    (array([0.2, 0.3]), array([ True, False]))
    """
    scores, malignant = np.asarray(scores, dtype=float), np.asarray(malignant, dtype=bool)
    groups = np.arange(len(scores)) if groups is None else as_lesions(groups)
    if not scores.shape == malignant.shape == groups.shape or scores.ndim != 1:
        why = f"shapes {scores.shape}, {malignant.shape} and {groups.shape} are not one (n_images,)"
        raise InputError(message("lengths", "scores, truth, groups", why, "pass one of each"))
    if not np.isfinite(scores).all():
        rows = first_few(np.flatnonzero(~np.isfinite(scores)))
        raise InputError(message("scores", f"rows {rows}", "not finite", "remove these images"))
    check_lesion(lesion)
    names, index = np.unique(groups, return_inverse=True)
    share = np.bincount(index, malignant) / np.bincount(index)
    mixed = (share > 0) & (share < 1)
    if mixed.any():
        why = "images of one lesion are labelled both benign and malignant"
        remedy = "correct the labels or the groups"
        raise InputError(message("lesions", first_few(names[mixed]), why, remedy))
    truth = share == 1
    return _reduce(scores, index, truth, lesion), truth


def _reduce(scores, index, truth, lesion: str) -> np.ndarray:
    if lesion == "mean":
        return np.bincount(index, scores) / np.bincount(index)
    lowest, highest = np.full(len(truth), np.inf), np.full(len(truth), -np.inf)
    np.minimum.at(lowest, index, scores)
    np.maximum.at(highest, index, scores)
    return highest if lesion == "highest" else np.where(truth, lowest, highest)


def check_lesion(lesion) -> None:
    """Refuse an unknown way to put the images of a lesion together."""
    check_choice("lesion", lesion, WAYS)
