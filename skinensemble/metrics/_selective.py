"""What a classifier that may abstain gains: risk against coverage."""

from __future__ import annotations

import numpy as np

from skinensemble.exceptions import InputError, first_few, message


def risk_coverage(
    correct: np.ndarray, confidence: np.ndarray, weights: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Share that is decided, and share of errors in it, from the surest image downward.

    Images of equal confidence are decided together: they are one step of the curve [1]_, [2]_.

    Parameters
    ----------
    correct : array-like of bool of shape (n_images,)
        Whether each decision is right.
    confidence : array-like of shape (n_images,)
        Any score that grows with how sure the decision is.
    weights : ndarray of shape (n_images,) or (n_rows, n_images), default=None
        None: every image counts once.

    Returns
    -------
    coverage, risk : ndarray of shape (n_steps,) or (n_rows, n_steps)
        One step for each distinct confidence; the last covers all. The risk of a step that covers
        nothing yet is 0.

    Raises
    ------
    InputError
        When there is no image, lengths differ, or a confidence is not finite.

    References
    ----------
    .. [1] R. El-Yaniv, Y. Wiener, "On the foundations of noise-free selective classification",
       Journal of Machine Learning Research 11, 2010. https://jmlr.org/papers/v11/el-yaniv10a.html
    .. [2] Y. Geifman, R. El-Yaniv, "Selective classification for deep neural networks", NeurIPS
       2017. arXiv:1705.08500

    Examples
    --------
    >>> coverage, risk = risk_coverage([True, True, False, True], [0.9, 0.8, 0.6, 0.6])
    >>> coverage, risk
    (array([0.25, 0.5 , 1.  ]), array([0.  , 0.  , 0.25]))
    """
    correct, confidence = np.asarray(correct, dtype=bool), np.asarray(confidence, dtype=float)
    weights = np.ones(correct.shape) if weights is None else np.asarray(weights, dtype=float)
    _check(correct, confidence, weights)
    order = np.argsort(-confidence, kind="stable")
    ends = np.append(np.flatnonzero(np.diff(confidence[order])), len(order) - 1)
    decided = np.cumsum(weights[..., order], axis=-1)[..., ends]
    wrong = np.cumsum((weights * ~correct)[..., order], axis=-1)[..., ends]
    risk = np.divide(wrong, decided, out=np.zeros_like(wrong), where=decided > 0)
    return decided / decided[..., -1:], risk


def aurc(
    correct: np.ndarray, confidence: np.ndarray, weights: np.ndarray | None = None
) -> np.ndarray:
    """Area under the risk–coverage curve: the mean risk over all coverages; less is better.

    Parameters
    ----------
    correct, confidence, weights
        As in :func:`risk_coverage`, with the same errors.

    Returns
    -------
    float, or ndarray of shape (n_rows,)

    Examples
    --------
    >>> print(aurc([True, True, False, True], [0.9, 0.8, 0.6, 0.6]))
    0.125
    """
    coverage, risk = risk_coverage(correct, confidence, weights)
    return (np.diff(coverage, prepend=0.0, axis=-1) * risk).sum(axis=-1)


def coverage_at_accuracy(
    correct: np.ndarray,
    confidence: np.ndarray,
    accuracy: float,
    weights: np.ndarray | None = None,
) -> np.ndarray:
    """Largest share that can be decided at an accuracy; 0 where none can.

    A figure, not a promise: it is found with the answers at hand.

    Parameters
    ----------
    correct, confidence, weights
        As in :func:`risk_coverage`, with the same errors.
    accuracy : float
        Accuracy of the decided part, above 0 and up to 1.

    Returns
    -------
    float, or ndarray of shape (n_rows,)

    Raises
    ------
    InputError
        When `accuracy` is not in (0, 1].

    Examples
    --------
    >>> print(coverage_at_accuracy([True, True, False, True], [0.9, 0.8, 0.6, 0.6], 0.95))
    0.5
    """
    if not 0 < accuracy <= 1:
        why = "not above 0 and up to 1"
        raise InputError(message("accuracy", accuracy, why, "pass a share, such as 0.95"))
    coverage, risk = risk_coverage(correct, confidence, weights)
    return np.where(risk <= 1 - accuracy + 1e-12, coverage, 0.0).max(axis=-1)


def _check(correct: np.ndarray, confidence: np.ndarray, weights: np.ndarray) -> None:
    alike = correct.shape == confidence.shape == weights.shape[-1:]
    if not alike or correct.ndim != 1 or not len(correct):
        why = f"shapes {correct.shape}, {confidence.shape} and {weights.shape} do not fit"
        remedy = "pass one of each for each image, and one image or more"
        raise InputError(message("lengths", "correct, confidence, weights", why, remedy))
    if not np.isfinite(confidence).all():
        rows = f"rows {first_few(np.flatnonzero(~np.isfinite(confidence)))}"
        raise InputError(message("confidence", rows, "not finite", "remove these images"))
