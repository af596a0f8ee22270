"""Where a lesion lies: its outline, its border and random places inside it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from skinensemble.datasets._lesions._fields import EXTENT, coordinates, noise, ramp

__all__ = ["Spot", "make_spot"]


@dataclass(frozen=True)
class Spot:
    """The ground plan of one lesion.

    Attributes
    ----------
    depth : ndarray of float32 of shape (side, side)
        0 at the centre, 1 on the border, more outside.
    mask : ndarray of float32 of shape (side, side)
        1 inside, 0 outside, between them where the border is soft.
    radius : float
        Mean radius, in short sides of the image.
    form : mapping of str to float
        The traits of form it was made from.
    """

    depth: np.ndarray
    mask: np.ndarray
    radius: float
    form: Mapping[str, float]

    @property
    def side(self) -> int:
        """Pixels of the canvas along one side."""
        return int(self.mask.shape[0])

    def places(
        self,
        rng: np.random.Generator,
        count: int | np.integer,
        inner: float = 0.0,
        outer: float = 1.0,
    ) -> np.ndarray:
        """Return at most `count` places (x, y) with a depth between `inner` and `outer`."""
        reach = 1.8 * self.radius
        points = rng.uniform(-reach, reach, (6 * count + 12, 2))
        cell = np.clip((points / EXTENT + 0.5) * self.side, 0, self.side - 1).astype(int)
        depth = self.depth[cell[:, 1], cell[:, 0]]
        return points[(depth >= inner) & (depth <= outer)][:count]


def _lobe(
    u: np.ndarray, v: np.ndarray, rng: np.random.Generator, radius: float, far: float
) -> np.ndarray:
    angle, turn = rng.uniform(0, 2 * np.pi), rng.uniform(0, np.pi)
    stretch = 1 + abs(rng.normal(0, 0.22))
    c, s = np.float32(np.cos(turn)), np.float32(np.sin(turn))
    p = u - np.float32(far * radius * np.cos(angle))
    q = v - np.float32(far * radius * np.sin(angle))
    a, b = (c * p + s * q) / np.float32(stretch), (c * q - s * p) * np.float32(stretch)
    return np.sqrt(a * a + b * b) / np.float32(radius)


def make_spot(rng: np.random.Generator, side: int, form: Mapping[str, float]) -> Spot:
    """Draw the outline of a lesion.

    Parameters
    ----------
    rng : numpy.random.Generator
        Source of chance; what is taken from it does not depend on `side`.
    side : int
        Pixels of the canvas along one side.
    form : mapping of str to float
        Uses ``radius``, ``irregularity``, ``lobes`` (asymmetry) and ``softness`` (of the border).

    Returns
    -------
    Spot
    """
    x, y = coordinates(side)
    radius, rough = form["radius"], form["irregularity"]
    reach = np.float32(rough * radius)
    u = x + reach * (0.25 * noise(rng, side, 4) + 0.22 * noise(rng, side, 12, octaves=3))
    v = y + reach * (0.25 * noise(rng, side, 4) + 0.22 * noise(rng, side, 12, octaves=3))
    depth = _lobe(u, v, rng, radius, 0.0)
    sizes, reaches = rng.uniform(0.45, 0.8, 3), rng.uniform(0.9, 1.4, 3)
    chosen = rng.random(3) < form["lobes"]
    for size, far, wanted in zip(sizes, reaches, chosen, strict=True):
        lobe = _lobe(u, v, rng, radius * size, far)
        if wanted:
            depth = -np.logaddexp(-8 * depth, -8 * lobe) / np.float32(8)
    fade = np.float32(form["softness"]) * np.exp(0.5 * noise(rng, side, 4))
    mask = ramp((np.float32(1) - depth) / fade, -0.9, 0.9)
    return Spot(np.maximum(depth, 0), mask, radius, form)
