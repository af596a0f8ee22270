"""Structures of blood: arborising and dotted vessels, lacunae, clots, ulceration."""

from __future__ import annotations

import numpy as np

from skinensemble.datasets._lesions._fields import Brush, blob, curve, honeycomb, noise, ramp
from skinensemble.datasets._lesions._optics import Layers
from skinensemble.datasets._lesions._outline import Spot

__all__ = [
    "paint_clot",
    "paint_dotted_vessels",
    "paint_lacunae",
    "paint_tree_vessels",
    "paint_ulcer",
]


def _branch(
    brush: Brush,
    rng: np.random.Generator,
    start: np.ndarray,
    heading: float,
    length: float,
    width: float,
) -> None:
    path = curve(rng, start, heading, length, 0.28)
    brush.line(path, width, rng.uniform(0.7, 1.0))
    if width < 0.003:
        return
    for at in rng.integers(3, 11, size=3):
        turn = heading + rng.choice([-1, 1]) * rng.uniform(0.4, 1.1)
        _branch(brush, rng, path[at], turn, length * rng.uniform(0.4, 0.7), width * 0.55)


def paint_tree_vessels(
    layers: Layers, spot: Spot, rng: np.random.Generator, strength: float
) -> None:
    """Arborising vessels: bright red, in focus, thick stems that branch into thin twigs."""
    brush = Brush(spot.side)
    for x, y in spot.places(rng, rng.integers(2, 6), 0.3, 1.1):
        inward = np.arctan2(-y, -x) + rng.normal(0, 0.9)
        start, width = np.array([x, y]), rng.uniform(0.005, 0.010)
        _branch(brush, rng, start, inward, spot.radius * rng.uniform(0.7, 1.5), width)
    layers.blood += np.float32(1.5 * strength) * brush.field(0.0012)


def paint_dotted_vessels(
    layers: Layers, spot: Spot, rng: np.random.Generator, strength: float
) -> None:
    """Dotted and glomerular (coiled) vessels in clusters."""
    brush = Brush(spot.side)
    for cx, cy in spot.places(rng, rng.integers(3, 7), 0.0, 0.9):
        for dx, dy in rng.normal(0, 0.25 * spot.radius, (18, 2)):
            brush.disc(cx + dx, cy + dy, rng.uniform(0.003, 0.0075), rng.uniform(0.5, 1))
    layers.blood += np.float32(1.3 * strength) * brush.field(0.002) * ramp(spot.depth, 1.2, 0.9)


def paint_lacunae(layers: Layers, spot: Spot, rng: np.random.Generator, strength: float) -> None:
    """Red to purple lakes of blood, round, packed, with pale septa between them."""
    cells = rng.uniform(12, 32)
    comb = honeycomb(rng, spot.side, cells, 0.24)
    lakes = ramp(comb + np.float32(0.12) * noise(rng, spot.side, 7), -0.05, 0.5) * spot.mask
    shade = np.exp(np.float32(0.3) * noise(rng, spot.side, 0.5 * cells, octaves=2))
    amount = np.float32(strength * rng.uniform(0.7, 1.5))
    hue = rng.beta(1.2, 1.6)
    layers.purple += amount * np.float32(hue) * lakes * shade
    layers.blood += amount * np.float32(1.6 * (1 - hue)) * lakes * shade
    layers.purple += np.float32(0.5) * amount * spot.mask
    septa = np.float32(rng.uniform(0.05, 0.35)) * ramp(comb, 0.3, 0.0) * spot.mask
    layers.white += septa * np.float32(strength)


def paint_clot(layers: Layers, spot: Spot, rng: np.random.Generator, strength: float) -> None:
    """Thrombosed spaces: blue-black areas of dried blood."""
    brush = Brush(spot.side)
    for x, y in spot.places(rng, rng.integers(1, 6), 0.0, 0.85):
        brush.polygon(blob(rng, x, y, spot.radius * rng.uniform(0.15, 0.42), 0.25, 1.3))
    clots = brush.field(0.008) * spot.mask
    layers.purple += np.float32(1.6 * strength) * clots
    layers.melanin += np.float32(1.1 * strength) * clots


def paint_ulcer(layers: Layers, spot: Spot, rng: np.random.Generator, strength: float) -> None:
    """Ulceration: a raw red to orange area with blood and serum crust."""
    brush = Brush(spot.side)
    for x, y in spot.places(rng, rng.integers(1, 4), 0.0, 0.6):
        brush.polygon(blob(rng, x, y, spot.radius * rng.uniform(0.12, 0.3), 0.35, 1.4))
    shape = brush.field(0.012)
    raw = shape * ramp(shape + 0.12 * noise(rng, spot.side, 24, octaves=2), 0.3, 0.8)
    grain = 1 + 0.35 * noise(rng, spot.side, 25, octaves=2)
    layers.blood += np.float32(0.75 * strength) * raw * grain
    layers.keratin += np.float32(0.6 * strength) * raw
    layers.melanin += np.float32(0.45 * strength) * raw * grain
