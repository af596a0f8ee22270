"""Figures of a classifier, each with an interval that respects lesions.

Images of one lesion resemble each other, so the bootstrap draws lesions, not images [1]_. Every
figure is a function of weights: one pass computes it for all resamples at once.

References
----------
.. [1] C. A. Field, A. H. Welsh, "Bootstrapping clustered data", Journal of the Royal Statistical
   Society B 69(3), 2007. doi:10.1111/j.1467-9868.2007.00593.x
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

__all__ = ["Figure", "auc", "confusion_figures", "lesion_weights", "macro_auc"]


@dataclass(frozen=True)
class Figure:
    """A figure with its 95 % interval.

    Attributes
    ----------
    value, low, high : float
        NaN where the figure is not defined, as the AUC of a constant class.

    Examples
    --------
    >>> print(Figure(0.853, 0.841, 0.865))
    0.853 (0.841–0.865)
    """

    value: float
    low: float
    high: float

    @classmethod
    def from_resamples(cls, values: np.ndarray) -> Figure:
        """First entry: the figure itself; the rest: its resamples (percentile interval)."""
        defined = values[1:][np.isfinite(values[1:])]
        low, high = np.percentile(defined, [2.5, 97.5]) if len(defined) else (np.nan, np.nan)
        return cls(float(values[0]), float(low), float(high))

    def __str__(self):
        return f"{self.value:.3f} ({self.low:.3f}–{self.high:.3f})"


def lesion_weights(groups: np.ndarray, n_resamples: int, random_state=None) -> np.ndarray:
    """Weights of each image in each bootstrap resample of the lesions.

    Parameters
    ----------
    groups : array-like of shape (n_images,)
        Lesion of each image.
    n_resamples : int
    random_state : int, default=None

    Returns
    -------
    ndarray of shape (1 + n_resamples, n_images)
        Row 0 is all ones: the sample itself.

    Examples
    --------
    >>> lesion_weights(["a", "a", "b"], 1, random_state=4)
    array([[1., 1., 1.],
           [2., 2., 0.]])
    """
    names, lesion = np.unique(groups, return_inverse=True)
    draws = np.random.default_rng(random_state).multinomial(
        len(names), np.full(len(names), 1 / len(names)), size=n_resamples
    )
    return np.vstack([np.ones(len(lesion)), draws[:, lesion]])


def confusion_figures(
    y: np.ndarray, predicted: np.ndarray, n_classes: int, weights: np.ndarray
) -> dict[str, np.ndarray]:
    """Accuracy, balanced accuracy and the recall of each class, for every row of weights.

    Parameters
    ----------
    y, predicted : ndarray of int of shape (n_images,)
        Class indices.
    n_classes : int
    weights : ndarray of shape (n_rows, n_images)

    Returns
    -------
    dict
        ``"accuracy"``, ``"balanced_accuracy"`` (classes that do not occur are left out) of shape
        (n_rows,), and ``"recall"`` of shape (n_rows, n_classes).

    Examples
    --------
    >>> figures = confusion_figures(np.array([0, 0, 1]), np.array([0, 1, 1]), 2, np.ones((1, 3)))
    >>> figures["balanced_accuracy"]
    array([0.75])
    """
    truth = np.eye(n_classes)[y]
    hits = weights * (y == predicted)
    present = weights @ truth
    with np.errstate(invalid="ignore"):
        recall = (hits @ truth) / present
    occurring = present > 0
    balanced = np.where(occurring, recall, 0).sum(axis=1) / occurring.sum(axis=1)
    accuracy = hits.sum(axis=1) / weights.sum(axis=1)
    return {"accuracy": accuracy, "balanced_accuracy": balanced, "recall": recall}


def auc(positive: np.ndarray, scores: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Area under the ROC curve, for every row of weights at once.

    Parameters
    ----------
    positive : ndarray of bool of shape (n_images,)
    scores : ndarray of shape (n_images,)
    weights : ndarray of shape (n_rows, n_images)

    Returns
    -------
    ndarray of shape (n_rows,)
        NaN where only one class has weight.

    Examples
    --------
    >>> auc(np.array([False, True, True]), np.array([0.2, 0.1, 0.9]), np.ones((1, 3)))
    array([0.5])
    """
    order = np.argsort(scores, kind="stable")
    starts = np.flatnonzero(np.diff(scores[order], prepend=-np.inf))
    up = np.add.reduceat((weights * positive)[:, order], starts, axis=1)
    down = np.add.reduceat((weights * ~positive)[:, order], starts, axis=1)
    # A positive beats all negatives below it, and half of those at the same score.
    beaten = np.cumsum(down, axis=1) - down / 2
    with np.errstate(invalid="ignore"):
        return (up * beaten).sum(axis=1) / (up.sum(axis=1) * down.sum(axis=1))


def macro_auc(y: np.ndarray, proba: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Mean over the classes of the AUC of one against the rest, for every row of weights.

    Parameters
    ----------
    y : ndarray of int of shape (n_images,)
    proba : ndarray of shape (n_images, n_classes)
    weights : ndarray of shape (n_rows, n_images)

    Returns
    -------
    ndarray of shape (n_rows,)
        Classes that do not occur in a row are left out of its mean.
    """
    areas = np.stack([auc(y == k, proba[:, k], weights) for k in range(proba.shape[1])])
    defined = np.isfinite(areas)
    with np.errstate(invalid="ignore"):
        return np.where(defined, areas, 0).sum(axis=0) / defined.sum(axis=0)
