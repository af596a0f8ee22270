"""How well classes are told apart: accuracies, recalls, areas under the ROC curve."""

from __future__ import annotations

import numpy as np

from skinensemble.exceptions import InputError, message


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
        ``"accuracy"``, ``"balanced_accuracy"`` of shape (n_rows,), and ``"recall"`` of shape
        (n_rows, n_classes). Classes that do not occur in `y` are left out of the balanced
        accuracy, which is NaN in rows in which one that does has no weight.

    Examples
    --------
    >>> figures = confusion_figures(np.array([0, 0, 1]), np.array([0, 1, 1]), 2, np.ones((1, 3)))
    >>> figures["balanced_accuracy"]
    array([0.75])
    """
    truth = np.eye(n_classes)[y]
    present = weights @ truth
    found = weights @ (truth * (y == predicted)[:, None])
    with np.errstate(invalid="ignore"):
        recall = found / present
        balanced = recall[:, truth.any(axis=0)].mean(axis=1)
    accuracy = found.sum(axis=1) / weights.sum(axis=1)
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
    positive = np.asarray(positive, dtype=bool)
    if 2 * positive.sum() > len(positive):
        # The same area from the other side, where the fewer are looked up among the more.
        positive, scores = ~positive, -scores
    up, down = np.flatnonzero(positive), np.flatnonzero(~positive)
    down = down[np.argsort(scores[down])]
    below = np.zeros((len(weights), len(down) + 1))
    np.cumsum(weights[:, down], axis=1, out=below[:, 1:])
    # A positive beats all negatives below it, and half of those at the same score.
    first, last = (np.searchsorted(scores[down], scores[up], side) for side in ("left", "right"))
    beaten = (below[:, first] + below[:, last]) / 2
    with np.errstate(invalid="ignore"):
        area = np.einsum("rp,rp->r", weights[:, up], beaten)
        return area / (weights[:, up].sum(axis=1) * below[:, -1])


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
        Classes that do not occur in `y` are left out; NaN where one that does has no weight.
    """
    areas = [auc(y == k, proba[:, k], weights) for k in np.unique(y)]
    return np.mean(areas, axis=0)


def predictive_values(sensitivity, specificity, prevalence) -> tuple[np.ndarray, np.ndarray]:
    """How far an answer can be believed where a disease is this common (Bayes) [1]_.

    Parameters
    ----------
    sensitivity, specificity, prevalence : float or array-like
        Each between 0 and 1; arrays are broadcast against each other.

    Returns
    -------
    positive, negative : float or ndarray
        Share of the malignant among those called malignant, and of the benign among those called
        benign; NaN where nobody is called so.

    Raises
    ------
    InputError
        When a value is not between 0 and 1.

    References
    ----------
    .. [1] D. G. Altman, J. M. Bland, "Diagnostic tests 2: predictive values", BMJ 309, 1994.
       doi:10.1136/bmj.309.6947.102

    Examples
    --------
    >>> positive, negative = predictive_values(0.95, 0.80, [0.2, 0.02])
    >>> positive.round(3), negative.round(3)
    (array([0.543, 0.088]), array([0.985, 0.999]))
    """
    named = {"sensitivity": sensitivity, "specificity": specificity, "prevalence": prevalence}
    for name, value in named.items():
        if not np.all((np.asarray(value) >= 0) & (np.asarray(value) <= 1)):
            remedy = "pass shares between 0 and 1, not per cent"
            raise InputError(message(name, value, "not a share", remedy))
    hit, passed, ill = (np.asarray(value, dtype=float) for value in named.values())
    found, alarms = hit * ill, (1 - passed) * (1 - ill)
    cleared, missed = passed * (1 - ill), (1 - hit) * ill
    with np.errstate(invalid="ignore"):
        return found / (found + alarms), cleared / (cleared + missed)
