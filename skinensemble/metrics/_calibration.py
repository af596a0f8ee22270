"""Whether probabilities mean what they say: calibration error and proper scores."""

from __future__ import annotations

import numpy as np

from skinensemble.exceptions import InputError, message


def expected_calibration_error(
    y: np.ndarray, proba: np.ndarray, weights: np.ndarray, *, n_bins: int = 15
) -> np.ndarray:
    """Mean distance between confidence and its truth over equal bins, for every row of weights.

    Of two classes it is the probability of the positive (second) one that is judged, against how
    often that class is right [1]_; of more it is the highest probability, against how often the
    most probable class is right [2]_.

    Parameters
    ----------
    y : ndarray of int of shape (n_images,)
        Class indices.
    proba : ndarray of shape (n_images, n_classes)
    weights : ndarray of shape (n_rows, n_images)
    n_bins : int, default=15
        Bins of equal width, each with its upper edge.

    Returns
    -------
    ndarray of shape (n_rows,)
        Between 0 and 1; 0 is perfect. Grows with `n_bins` on few images, so compare like with like.

    Raises
    ------
    InputError
        When `n_bins` is less than 1.

    References
    ----------
    .. [1] M. P. Naeini, G. F. Cooper, M. Hauskrecht, "Obtaining well calibrated probabilities using
       Bayesian binning", AAAI 2015. doi:10.1609/aaai.v29i1.9602
    .. [2] C. Guo, G. Pleiss, Y. Sun, K. Q. Weinberger, "On calibration of modern neural networks",
       ICML 2017. arXiv:1706.04599

    Examples
    --------
    >>> proba = np.array([[0.2, 0.8], [0.2, 0.8]])
    >>> expected_calibration_error(np.array([1, 0]), proba, np.ones((1, 2))).round(3)
    array([0.3])
    """
    if n_bins < 1:
        raise InputError(message("n_bins", n_bins, "no bin", "pass 1 or more, such as 15"))
    if proba.shape[1] == 2:
        confidence, right = proba[:, 1], y == 1
    else:
        confidence, right = proba.max(axis=1), y == proba.argmax(axis=1)
    inner = np.arange(1, n_bins) / n_bins
    shares = np.eye(n_bins)[np.searchsorted(inner, confidence)]
    gaps = weights @ (shares * (confidence - right)[:, None])
    return np.abs(gaps).sum(axis=1) / weights.sum(axis=1)


def brier(y: np.ndarray, proba: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Mean squared distance of the probabilities from the truth, for every row of weights.

    Summed over the classes; for two classes half of that, so that it is the squared error of the
    positive one [1]_.

    Parameters
    ----------
    y : ndarray of int of shape (n_images,)
    proba : ndarray of shape (n_images, n_classes)
    weights : ndarray of shape (n_rows, n_images)

    Returns
    -------
    ndarray of shape (n_rows,)

    References
    ----------
    .. [1] G. W. Brier, "Verification of forecasts expressed in terms of probability", Monthly
       Weather Review 78(1), 1950. doi:10.1175/1520-0493(1950)078<0001:VOFEIT>2.0.CO;2

    Examples
    --------
    >>> brier(np.array([1]), np.array([[0.3, 0.7]]), np.ones((1, 1))).round(2)
    array([0.09])
    """
    n_classes = proba.shape[1]
    losses = ((proba - np.eye(n_classes)[y]) ** 2).sum(axis=1)
    return _mean(losses / 2 if n_classes == 2 else losses, weights)


def log_loss(y: np.ndarray, proba: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Mean negative logarithm of the right class's probability, for every row of weights.

    Parameters
    ----------
    y : ndarray of int of shape (n_images,)
    proba : ndarray of shape (n_images, n_classes)
        A probability of 0 counts as 2e-16.
    weights : ndarray of shape (n_rows, n_images)

    Returns
    -------
    ndarray of shape (n_rows,)

    Examples
    --------
    >>> log_loss(np.array([1]), np.array([[0.5, 0.5]]), np.ones((1, 1))).round(4)
    array([0.6931])
    """
    right = proba[np.arange(len(y)), y]
    return _mean(-np.log(np.maximum(right, np.finfo(float).eps)), weights)


def _mean(losses: np.ndarray, weights: np.ndarray) -> np.ndarray:
    return weights @ losses / weights.sum(axis=1)
