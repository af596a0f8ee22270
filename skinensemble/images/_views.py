"""The ways to look at an image: dermatoscopy has no up, no fixed distance and no fixed light."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from skinensemble.images._source import ImageSource

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


@dataclass(frozen=True)
class View:
    """One way to look at an image.

    Parameters
    ----------
    turn : int, default=0
        How it is laid down, as in :func:`dihedral`.
    zoom : float, default=1.0
        Magnification: the side of the window that is seen is the image's divided by it.
    corner : (float, float), default=(0.5, 0.5)
        Where the window lies, down and to the right, as shares of the room there is.
    gains : (float, float, float), default=(1.0, 1.0, 1.0)
        Factors of red, green and blue.

    Examples
    --------
    >>> View(), View(3).name, View(3).turned_only
    (View(turn=0, zoom=1.0, corner=(0.5, 0.5), gains=(1.0, 1.0, 1.0)), 'view 3', True)
    """

    turn: int = 0
    zoom: float = 1.0
    corner: tuple[float, float] = (0.5, 0.5)
    gains: tuple[float, float, float] = (1.0, 1.0, 1.0)

    @property
    def turned_only(self) -> bool:
        """Whether it shows what the upright image shows."""
        return self == View(self.turn)

    @property
    def name(self) -> str:
        """What tells it from other views."""
        plain = f"view {self.turn}"
        return plain if self.turned_only else f"{plain} {self.zoom} {self.corner} {self.gains}"

    def batches(
        self, source: ImageSource, size: tuple[int, int], fit: str, batch_size: int
    ) -> Iterator[np.ndarray]:
        """Iterate over images as they look in this view; see :meth:`ImageSource.batches`."""
        # Read at the size at which the window needs no further scaling.
        larger = round(size[0] * self.zoom), round(size[1] * self.zoom)
        down, right = (
            round((whole - part) * share)
            for whole, part, share in zip(larger, size, self.corner, strict=True)
        )
        for batch in source.batches(larger, fit, batch_size):
            window = batch[:, down : down + size[0], right : right + size[1]]
            yield dihedral(self._lit(window), self.turn)

    def _lit(self, images: np.ndarray) -> np.ndarray:
        if self.gains == (1.0, 1.0, 1.0):
            return images
        # A table for each channel: 256 products instead of millions.
        tables = np.rint(np.arange(256)[:, None] * self.gains).clip(0, 255).astype(np.uint8)
        return np.stack([tables[images[..., c], c] for c in range(3)], axis=-1)


def lay_out(n_views: int, zoom: float = 1.0, jitter: float = 0.0) -> tuple[View, ...]:
    """Return so many views, the first of them plain.

    Each of the others is laid down in another way, and differs in magnification, window and light
    as the points of a Sobol sequence do, which fills the space evenly [1]_.

    Parameters
    ----------
    n_views : int
        1 to 8.
    zoom : float, default=1.0
        Highest magnification.
    jitter : float, default=0.0
        Largest relative change of a channel's brightness.

    Returns
    -------
    tuple of View

    References
    ----------
    .. [1] I. M. Sobol', "On the distribution of points in a cube and the approximate evaluation of
       integrals", USSR Comput. Math. Math. Phys. 7(4), 1967. doi:10.1016/0041-5553(67)90144-9

    Examples
    --------
    >>> [view.turn for view in lay_out(3)]
    [0, 1, 2]
    >>> [round(view.zoom, 2) for view in lay_out(4, zoom=1.5)]
    [1.0, 1.22, 1.36, 1.11]
    """
    if zoom == 1 and not jitter:
        return tuple(View(turn) for turn in range(n_views))
    from scipy.stats.qmc import Sobol

    shares = Sobol(6, scramble=False).random(N_VIEWS)[1:n_views]
    others = (_view(turn, row, zoom, jitter) for turn, row in enumerate(shares, start=1))
    return (View(), *others)


def _view(turn: int, shares: np.ndarray, zoom: float, jitter: float) -> View:
    """Return the view of a point of the unit cube of six dimensions."""
    near, down, right, *light = shares.tolist()
    gains = tuple(1 + jitter * (2 * share - 1) for share in light)
    corner = (down, right) if zoom > 1 else (0.5, 0.5)
    return View(turn, float(zoom**near), corner, gains)
