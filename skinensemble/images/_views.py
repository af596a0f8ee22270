"""The eight ways to lay a square image down: dermatoscopy has no up."""

from __future__ import annotations

import numpy as np

N_VIEWS = 8


def dihedral(images: np.ndarray, view: int) -> np.ndarray:
    """Turn and mirror square images.

    Parameters
    ----------
    images : ndarray of shape (..., side, side, channels)
    view : int
        0 to 7: the quarter turns, counted counter-clockwise, are ``view % 4``; from 4 on the image
        is mirrored left to right first.

    Returns
    -------
    ndarray of the same shape
        A view of the memory of `images`.

    Examples
    --------
    >>> dihedral(np.array([[1, 2], [3, 4]])[..., None], 1)[..., 0]
    array([[2, 4],
           [1, 3]])
    """
    mirrored = images[..., ::-1, :] if view >= 4 else images
    return np.rot90(mirrored, view % 4, axes=(-3, -2))
