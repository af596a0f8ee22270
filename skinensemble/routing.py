"""How the probabilities of two stages become those of one procedure."""

from __future__ import annotations

import numpy as np

from skinensemble.voting import break_ties

__all__ = ["best_on_side", "joint_proba"]


def joint_proba(sides: np.ndarray, types: np.ndarray, malignant: np.ndarray) -> np.ndarray:
    """Return p(type) = p(side) · p(type | side).

    Parameters
    ----------
    sides : ndarray of shape (n_samples, 2)
        Probabilities of benign and malignant.
    types : ndarray of shape (n_samples, n_types)
        Probabilities of the types, by a stage that knows nothing of the sides.
    malignant : ndarray of bool of shape (n_types,)
        Which types are malignant.

    Returns
    -------
    ndarray of shape (n_samples, n_types)
        Rows sum to 1; the malignant columns sum to the probability of malignant.

    Examples
    --------
    >>> types = np.array([[0.2, 0.2, 0.6]])
    >>> joint_proba(np.array([[0.5, 0.5]]), types, np.array([False, True, True]))
    array([[0.5  , 0.125, 0.375]])
    """
    joint = np.empty_like(types)
    for side, mask in enumerate((~malignant, malignant)):
        total = types[:, mask].sum(axis=1, keepdims=True)
        # A side on which the types have no probability at all is shared out evenly.
        even = np.full(mask.sum(), 1 / mask.sum())
        given = np.divide(
            types[:, mask], total, out=np.tile(even, (len(types), 1)), where=total > 0
        )
        joint[:, mask] = sides[:, [side]] * given
    return joint


def best_on_side(
    types: np.ndarray, ballots: np.ndarray, side: np.ndarray, malignant: np.ndarray
) -> np.ndarray:
    """Return the index of the best type on the side that was chosen.

    Parameters
    ----------
    types : ndarray of shape (n_samples, n_types)
        Pooled probabilities of the types.
    ballots : ndarray of shape (n_samples, n_members, n_types)
        What they were pooled from; it breaks ties.
    side : ndarray of bool of shape (n_samples,)
        Whether the sample was found malignant.
    malignant : ndarray of bool of shape (n_types,)

    Returns
    -------
    ndarray of int of shape (n_samples,)
    """
    allowed = np.stack([~malignant, malignant])[np.asarray(side, dtype=int)]
    return break_ties(np.where(allowed, types, -1.0), np.where(allowed[:, None], ballots, -1.0))
