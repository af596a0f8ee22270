"""Probabilities for a clinic where the classes are not as common as in training.

A probability holds for the class shares it was learnt with: a malignant share of 20 % in training
makes everything look more malignant than a practice with 2 % should believe. Where only the shares
differ, not the look of each class, Bayes' rule restates the probabilities, and the shares of
unlabelled images can be estimated from the probabilities themselves. Both need calibrated
probabilities.
"""

from __future__ import annotations

import warnings

import numpy as np

from skinensemble.exceptions import InputError, first_few, message

__all__ = ["estimate_prevalence", "restate"]

# Probabilities come from float32 networks; shares are written down by hand.
_PROBA_TOLERANCE, _SHARE_TOLERANCE = 1e-3, 1e-6


def restate(proba: np.ndarray, trained, stated) -> np.ndarray:
    """Restate class probabilities for other class shares.

    Each probability is multiplied by the stated share of its class over the trained one, and the
    rows are scaled to 1 again: equation 4 of [1]_.

    Parameters
    ----------
    proba : array-like of shape (n_images, n_classes)
        Calibrated probabilities, such as those of a stage.
    trained : array-like of shape (n_classes,), or float
        Share of each class where the probabilities were learnt, summing to 1; of two classes the
        share of the second, positive one is enough.
    stated : array-like of shape (n_classes,), or float
        Share of each class where they are to hold.

    Returns
    -------
    ndarray of shape (n_images, n_classes)
        Rows sum to 1.

    Raises
    ------
    InputError
        When shares are not between 0 and 1, do not sum to 1, are not one for each class, are
        stated for a class that was never trained, or leave an image without a possible class.

    References
    ----------
    .. [1] M. Saerens, P. Latinne, C. Decaestecker, "Adjusting the outputs of a classifier to new a
       priori probabilities: a simple procedure", Neural Computation 14(1), 2002.
       doi:10.1162/089976602753284446

    Examples
    --------
    A finding that is even among 20 % malignant lesions is no cause for alarm among 2 %:

    >>> restate([[0.5, 0.5]], 0.20, 0.02).round(3)
    array([[0.925, 0.075]])
    """
    proba = _checked_proba(proba)
    trained, stated = (
        _checked_shares(name, shares, proba.shape[1])
        for name, shares in (("trained", trained), ("stated", stated))
    )
    unseen = np.flatnonzero((trained == 0) & (stated > 0))
    if len(unseen):
        why = "stated to occur, but never trained"
        remedy = "state 0 for them, or train on some"
        raise InputError(message("shares", f"classes {first_few(unseen)}", why, remedy))
    return _restated(proba, np.divide(stated, trained, out=np.zeros_like(stated), where=stated > 0))


def estimate_prevalence(
    proba: np.ndarray, trained, *, tol: float = 1e-7, max_iter: int = 10_000
) -> np.ndarray:
    """Estimate the class shares of unlabelled images from their probabilities.

    Expectation maximisation [1]_: the probabilities are restated for the present estimate of the
    shares, their mean is the next one. It climbs to the shares that make the images most likely.

    Parameters
    ----------
    proba : array-like of shape (n_images, n_classes)
        Calibrated probabilities of the new images; one image a lesion counts lesions.
    trained : array-like of shape (n_classes,), or float
        As in :func:`restate`. A class with a share of 0 keeps it.
    tol : float, default=1e-7
        The shares are found when none changes by more than this in a step.
    max_iter : int, default=10000
        Steps after which a ``ConvergenceWarning`` is given.

    Returns
    -------
    ndarray of shape (n_classes,)
        Shares that sum to 1, for ``stated`` of :func:`restate`.

    Raises
    ------
    InputError
        As in :func:`restate`.

    References
    ----------
    .. [1] M. Saerens, P. Latinne, C. Decaestecker, "Adjusting the outputs of a classifier to new a
       priori probabilities: a simple procedure", Neural Computation 14(1), 2002.
       doi:10.1162/089976602753284446

    Examples
    --------
    Images of two kinds, one seen three times as often as the other in benign lesions, and the
    other way round in malignant ones; both were as common in training. Here 60 of 100 images are
    of the benign kind, as where 70 % are benign (0.75 · 0.7 + 0.25 · 0.3 = 0.6):

    >>> proba = np.repeat([[0.75, 0.25], [0.25, 0.75]], [60, 40], axis=0)
    >>> estimate_prevalence(proba, 0.5).round(3)
    array([0.7, 0.3])
    """
    proba = _checked_proba(proba)
    trained = _checked_shares("trained", trained, proba.shape[1])
    shares = trained
    for _ in range(max_iter):
        ratio = np.divide(shares, trained, out=np.zeros_like(shares), where=trained > 0)
        before, shares = shares, _restated(proba, ratio).mean(axis=0)
        if np.abs(shares - before).max() <= tol:
            return shares
    _warn_unfinished(max_iter)
    return shares


def _restated(proba: np.ndarray, ratio: np.ndarray) -> np.ndarray:
    weighed = proba * ratio
    sums = weighed.sum(axis=1, keepdims=True)
    if not sums.all():
        rows = f"rows {first_few(np.flatnonzero(sums == 0))}"
        why = "only classes with a share of 0 are possible"
        remedy = "state a share above 0 for them"
        raise InputError(message("proba", rows, why, remedy))
    return weighed / sums


def _checked_proba(proba) -> np.ndarray:
    proba = np.asarray(proba, dtype=float)
    if proba.ndim != 2 or not proba.size:
        why = "expected (n_images, n_classes), one image or more"
        raise InputError(message("proba", f"shape {proba.shape}", why, "pass predict_proba(X)"))
    good = (proba >= 0).all(axis=1) & (np.abs(proba.sum(axis=1) - 1) <= _PROBA_TOLERANCE)
    if not good.all():
        why = "not finite, negative, or not summing to 1"
        rows = f"rows {first_few(np.flatnonzero(~good))}"
        raise InputError(message("proba", rows, why, "pass probabilities, not scores or logits"))
    return proba


def _checked_shares(name: str, shares, n_classes: int) -> np.ndarray:
    shares = np.asarray(shares, dtype=float)
    if shares.ndim == 0 and n_classes == 2:
        shares = np.array([1 - shares, shares])
    if shares.shape != (n_classes,):
        why = f"not one share for each of {n_classes} classes"
        raise InputError(message(name, shares.tolist(), why, "pass them in the order of classes_"))
    if not ((shares >= 0) & (shares <= 1)).all() or abs(shares.sum() - 1) > _SHARE_TOLERANCE:
        why = "not shares between 0 and 1 that sum to 1"
        raise InputError(message(name, shares.tolist(), why, "divide the counts by their sum"))
    return shares


def _warn_unfinished(max_iter: int) -> None:
    from sklearn.exceptions import ConvergenceWarning

    why = "the shares still change"
    text = message("prevalence", f"{max_iter} steps", why, "raise max_iter or tol")
    warnings.warn(text, ConvergenceWarning, stacklevel=3)
