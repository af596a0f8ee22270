"""What lies between the skin and the lens: hairs, ruler marks, bubbles in the gel, ink."""

from __future__ import annotations

import numpy as np

from skinensemble.datasets._lesions._fields import Brush, curve

__all__ = ["paint_artefacts"]

_HAIR = np.array([[0.16, 0.11, 0.10], [0.30, 0.20, 0.14], [0.42, 0.33, 0.22]], np.float32)


def _blend(light: np.ndarray, alpha: np.ndarray, tint: np.ndarray) -> None:
    light += alpha[..., None] * (tint - light)


def _hairs(light: np.ndarray, rng: np.random.Generator, density: float) -> None:
    """Draw hairs that lie roughly in one direction; `density` is their expected number."""
    side, count = light.shape[0], rng.poisson(density)
    if not count:
        return
    brush, flow, thick = Brush(side, 1.0), rng.uniform(0, 2 * np.pi), rng.uniform(0.003, 0.0075)
    short = rng.random() < 0.25
    for _ in range(count):
        start, heading = rng.uniform(-0.65, 0.65, 2), flow + rng.normal(0, 0.5)
        length = rng.uniform(0.06, 0.16) if short else rng.uniform(0.4, 1.3)
        path = curve(rng, start, heading, length, 0.03 if short else 0.10, 12)
        brush.line(path, thick * rng.uniform(0.6, 1.1), rng.uniform(0.6, 0.95))
    _blend(light, brush.field(0.0012), _HAIR[rng.integers(3)])


def _vellus(light: np.ndarray, rng: np.random.Generator) -> None:
    """Draw thin hairs that reflect the light."""
    brush = Brush(light.shape[0], 1.0)
    for _ in range(rng.integers(4, 26)):
        path = curve(
            rng, rng.uniform(-0.6, 0.6, 2), rng.uniform(0, 6.3), rng.uniform(0.1, 0.4), 0.15
        )
        brush.line(path, 0.0025, rng.uniform(0.2, 0.5))
    _blend(light, 0.6 * brush.field(0.0012), np.float32(0.95) * np.ones(3, np.float32))


def _ruler(light: np.ndarray, rng: np.random.Generator) -> None:
    """Draw the scale that some lenses carry along one edge."""
    brush, step, at = Brush(light.shape[0], 1.0), rng.uniform(0.018, 0.035), rng.uniform(0.40, 0.47)
    first, count, flip = rng.uniform(-0.45, 0.0), rng.integers(10, 22), rng.random(2) < 0.5
    for k in range(count):
        length = 0.050 if k % 10 == 0 else 0.038 if k % 5 == 0 else 0.022
        tick = np.array([[at, first + k * step], [at - length, first + k * step]])
        tick = tick * (-1 if flip[0] else 1)
        brush.line(tick[:, ::-1] if flip[1] else tick, 0.003, 0.8)
    _blend(light, brush.field(0.001), np.array([0.12, 0.12, 0.16], np.float32))


def _bubbles(light: np.ndarray, rng: np.random.Generator) -> None:
    """Draw air bubbles in the gel: a dim ring and a bright spot at one side."""
    dark, bright = Brush(light.shape[0], 1.0), Brush(light.shape[0], 1.0)
    centre, lamp = rng.uniform(-0.45, 0.45, 2), rng.uniform(0, 2 * np.pi)
    for _ in range(rng.integers(2, 12)):
        x, y = centre + rng.normal(0, 0.14, 2)
        radius = rng.uniform(0.006, 0.028)
        dark.disc(x, y, radius, 0.45)
        dark.disc(x, y, 0.80 * radius, 0.08)
        bright.disc(x + 0.6 * radius * np.cos(lamp), y + 0.6 * radius * np.sin(lamp), 0.22 * radius)
    _blend(light, dark.field(0.001), np.array([0.25, 0.20, 0.20], np.float32))
    _blend(light, 0.85 * bright.field(0.001), np.ones(3, np.float32))


def _ink(light: np.ndarray, rng: np.random.Generator) -> None:
    """Draw a stroke of the violet pen that marks a site for surgery."""
    brush, angle = Brush(light.shape[0], 1.0), rng.uniform(0, 2 * np.pi)
    start = 0.42 * np.array([np.cos(angle), np.sin(angle)])
    brush.line(curve(rng, start, angle + np.pi / 2, rng.uniform(0.2, 0.5), 0.15), 0.03, 0.6)
    _blend(light, 0.8 * brush.field(0.010), np.array([0.36, 0.27, 0.62], np.float32))


def paint_artefacts(light: np.ndarray, rng: np.random.Generator, hairiness: float) -> None:
    """Paint hairs, ruler marks, bubbles and ink over an image, each with its own rarity.

    Parameters
    ----------
    light : ndarray of float32 of shape (side, side, 3)
        Changed in place.
    rng : numpy.random.Generator
        Source of chance.
    hairiness : float
        Expected number of dark hairs; the lesion's own, so its images agree in it.
    """
    _hairs(light, rng, hairiness)
    for rarity, paint in ((0.30, _vellus), (0.10, _ruler), (0.12, _bubbles), (0.03, _ink)):
        if rng.random() < rarity:
            paint(light, rng)
