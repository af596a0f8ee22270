"""The skin around a lesion: tone, mottling, furrows, freckles and fine vessels."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from skinensemble.datasets._lesions._fields import EXTENT, Brush, blob, noise, ramp
from skinensemble.datasets._lesions._optics import Layers

__all__ = ["paint_skin"]


def _furrows(rng: np.random.Generator, side: int) -> np.ndarray:
    """Return the fine criss-cross lines of the skin, about 0 on average."""
    u = noise(rng, side, 60, stretch=2.5) + noise(rng, side, 60, stretch=2.5).T
    creases = ramp(np.abs(noise(rng, side, 32) + np.float32(0.5) * u), 0.5, 0.0)
    return u * np.float32(0.35) + np.float32(0.8) * creases - np.float32(0.3)


def _freckles(rng: np.random.Generator, side: int, amount: float) -> np.ndarray:
    """Return the melanin of freckles and lentigines on sun-damaged skin."""
    brush = Brush(side)
    for _ in range(rng.poisson(22 * amount)):
        x, y = rng.uniform(-EXTENT / 2, EXTENT / 2, 2)
        radius = 0.012 + 0.05 * rng.random() ** 2
        brush.polygon(blob(rng, x, y, radius, 0.3, rng.uniform(1, 1.7)), rng.uniform(0.1, 0.5))
    return brush.field(0.008) * (0.8 + 0.2 * noise(rng, side, 30))


def paint_skin(
    layers: Layers, rng: np.random.Generator, tone: float, form: Mapping[str, float]
) -> None:
    """Paint the surrounding skin.

    Parameters
    ----------
    layers : Layers
        Changed in place.
    rng : numpy.random.Generator
        Source of chance.
    tone : float
        Epidermal melanin, from 0.05 (very fair) to 1.3 (dark).
    form : mapping of str to float
        Uses ``sun`` (0–1, freckles, mottling and telangiectasia of sun-damaged skin).
    """
    side, sun = layers.melanin.shape[0], form["sun"]
    furrows = _furrows(rng, side)
    clouds = noise(rng, side, 4, octaves=3)
    layers.melanin += np.float32(tone) * (1 + np.float32(0.10 + 0.25 * sun) * clouds)
    layers.melanin += np.float32(0.025 + 0.05 * tone) * furrows
    layers.melanin += np.float32(0.9 * sun) * _freckles(rng, side, sun)
    flush = noise(rng, side, 3, octaves=3)
    layers.blood += np.float32(rng.uniform(0.04, 0.26)) * (1 + np.float32(0.3) * flush)
    layers.blood += np.float32(0.03) * furrows
    ridge = ramp(np.abs(noise(rng, side, 9, octaves=3)), 0.16, 0.0)
    layers.blood += np.float32(0.30 * sun) * ridge * ramp(noise(rng, side, 3), -0.4, 1.2)
    np.maximum(layers.melanin, 0, out=layers.melanin)
    layers.skin += layers.melanin
    np.maximum(layers.blood, 0, out=layers.blood)
