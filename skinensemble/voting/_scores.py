"""How good pooled probabilities are: what learnt weights are chosen by. Higher is better."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from skinensemble.voting._ballots import TIE_TOLERANCE, last_argmax

Score = Callable[[np.ndarray, np.ndarray, np.ndarray], float]


def recalls(right: np.ndarray, y: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """Share of each class that is right.

    Parameters
    ----------
    right : ndarray of bool of shape (n_samples, …)
    y : ndarray of int of shape (n_samples,)
        Class indices.
    weight : ndarray of shape (n_samples,)

    Returns
    -------
    ndarray of shape (n_classes, …)
        A row for each class of which there is any weight.
    """
    classes = [y == k for k in np.unique(y[weight > 0])]
    return np.array([np.average(right[k], axis=0, weights=weight[k]) for k in classes])


def log_loss(y: np.ndarray, proba: np.ndarray, weight: np.ndarray) -> float:
    """Mean logarithm of the probability of the true class: the negative log loss."""
    true = np.clip(proba[np.arange(len(y)), y], np.finfo(float).eps, 1)
    return float(np.average(np.log(true), weights=weight))


def brier(y: np.ndarray, proba: np.ndarray, weight: np.ndarray) -> float:
    """Negative mean squared distance to the truth, summed over the classes."""
    distance = np.sum((proba - np.eye(proba.shape[1])[y]) ** 2, axis=1)
    return -float(np.average(distance, weights=weight))


def accuracy(y: np.ndarray, proba: np.ndarray, weight: np.ndarray) -> float:
    """Share of the samples that are right."""
    return float(np.average(_decided(proba) == y, weights=weight))


def balanced_accuracy(y: np.ndarray, proba: np.ndarray, weight: np.ndarray) -> float:
    """Mean over the classes of the share that is right."""
    return float(recalls(_decided(proba) == y, y, weight).mean())


def roc_auc(y: np.ndarray, proba: np.ndarray, weight: np.ndarray) -> float:
    """Area under the ROC curve; of more than two classes the mean of each against the rest."""
    known = np.unique(y[weight > 0])
    if len(known) < 2:
        return 0.5
    positive = known[1:] if proba.shape[1] == 2 else known
    return float(np.mean([_area(y == k, proba[:, k], weight) for k in positive]))


SCORES: dict[str, Score] = {
    "accuracy": accuracy,
    "balanced_accuracy": balanced_accuracy,
    "brier": brier,
    "log_loss": log_loss,
    "roc_auc": roc_auc,
}


def _area(positive: np.ndarray, scores: np.ndarray, weight: np.ndarray) -> float:
    # scikit-learn's own takes five times as long, and selection asks for thousands.
    order = np.argsort(scores)
    first = np.flatnonzero(np.diff(scores[order], prepend=-np.inf))
    above, below = (
        np.add.reduceat((weight * side)[order], first) for side in (positive, ~positive)
    )
    won = above @ (np.cumsum(below) - below / 2)
    return won / (above.sum() * below.sum())


def _decided(proba: np.ndarray) -> np.ndarray:
    return last_argmax(proba >= proba.max(axis=1, keepdims=True) - TIE_TOLERANCE)
