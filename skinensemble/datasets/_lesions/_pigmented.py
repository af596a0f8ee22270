"""Structures of melanin: network, globules, streaks, veil, regression, nests, leaf-like areas."""

from __future__ import annotations

import numpy as np

from skinensemble.datasets._lesions._fields import Brush, blob, curve, honeycomb, noise, ramp
from skinensemble.datasets._lesions._optics import Layers
from skinensemble.datasets._lesions._outline import Spot

__all__ = [
    "paint_blotch",
    "paint_globules",
    "paint_leaves",
    "paint_nests",
    "paint_network",
    "paint_peppering",
    "paint_regression",
    "paint_streaks",
    "paint_veil",
]


def paint_network(layers: Layers, spot: Spot, rng: np.random.Generator, strength: float) -> None:
    """Honeycomb of pigmented lines; ``disorder`` of the form makes it an atypical one."""
    disorder = spot.form["disorder"]
    cells = rng.uniform(48, 74) * (1 - 0.30 * min(disorder, 1))
    comb = honeycomb(rng, spot.side, cells, 0.20 + 0.22 * disorder)
    width = np.float32(0.22) + np.float32(0.07 * disorder) * noise(rng, spot.side, 6)
    lines = ramp(comb - width, 0.20, -0.14)
    patchy = ramp(noise(rng, spot.side, 4), -1.0 + 0.8 * disorder, 0.2 + 0.5 * disorder)
    amount = strength * (0.35 + 0.65 * patchy) * spot.mask
    layers.melanin += np.float32(0.70) * amount * lines
    layers.melanin *= 1 - np.float32(0.22) * amount * (1 - lines)


def paint_globules(layers: Layers, spot: Spot, rng: np.random.Generator, strength: float) -> None:
    """Round brown to black spots, in the whole lesion or gathered toward its border."""
    uneven = spot.form["disorder"]
    rim = rng.random() < 0.4
    places = spot.places(rng, rng.integers(30, 80), 0.7 if rim else 0.0, 1.05)
    brush, size = Brush(spot.side), rng.uniform(0.005, 0.010)
    for x, y in places:
        brush.disc(x, y, size * np.exp(0.45 * uneven * rng.normal()), rng.uniform(0.45, 1.0))
    layers.melanin += np.float32(1.5 * strength) * brush.field(0.002)


def paint_streaks(layers: Layers, spot: Spot, rng: np.random.Generator, strength: float) -> None:
    """Radial lines and pseudopods at the border, all around or on one side."""
    brush = Brush(spot.side)
    middle, spread = rng.uniform(0, 2 * np.pi), rng.uniform(0.4, np.pi)
    for x, y in spot.places(rng, 90, 0.72, 0.98):
        heading = np.arctan2(y, x)
        if abs((heading - middle + np.pi) % (2 * np.pi) - np.pi) > spread:
            continue
        length = spot.radius * rng.uniform(0.12, 0.36)
        path, width = curve(rng, (x, y), heading, length, 0.12, 4), rng.uniform(0.003, 0.008)
        side, value = np.array([-np.sin(heading), np.cos(heading)]) * width, rng.uniform(0.4, 1)
        brush.polygon(np.vstack([path[0] + side, path[-1], path[0] - side]), value)
        brush.line(path, 0.4 * width, value)
        if rng.random() < 0.15:
            brush.disc(path[-1, 0], path[-1, 1], 0.8 * width, value)
    layers.melanin += np.float32(1.5 * strength) * brush.field(0.0035)


def paint_blotch(layers: Layers, spot: Spot, rng: np.random.Generator, strength: float) -> None:
    """Dark areas without structure, off the centre."""
    brush = Brush(spot.side)
    for x, y in spot.places(rng, rng.integers(1, 4), 0.15, 0.85):
        brush.polygon(blob(rng, x, y, spot.radius * rng.uniform(0.2, 0.45), 0.3, 1.4), 1.0)
    edge = brush.field(0.020)
    rough = ramp(edge + np.float32(0.16) * noise(rng, spot.side, 18, octaves=4), 0.15, 0.95)
    layers.melanin += np.float32(2.4 * strength) * rough * spot.mask


def paint_veil(layers: Layers, spot: Spot, rng: np.random.Generator, strength: float) -> None:
    """Blue-white veil: melanin deep in the skin under a whitish haze, in part of the lesion."""
    where = ramp(noise(rng, spot.side, 5, octaves=4), -0.4, 1.5) * ramp(spot.depth, 1.0, 0.3)
    layers.dermal += np.float32(1.9 * strength) * where
    layers.melanin *= 1 - np.float32(0.55 * strength) * where
    haze = ramp(noise(rng, spot.side, 9, octaves=2), 0.0, 1.5)
    layers.white += np.float32(0.30 * strength) * where * haze


def paint_regression(layers: Layers, spot: Spot, rng: np.random.Generator, strength: float) -> None:
    """White scar-like areas where the pigment has gone, with grey-blue grains in and around."""
    where = ramp(noise(rng, spot.side, 5, octaves=4), -0.1, 1.5) * ramp(spot.depth, 1.05, 0.6)
    layers.melanin *= 1 - np.float32(0.9 * strength) * where
    layers.white += np.float32(0.30 * strength) * where
    layers.blood += np.float32(0.12 * strength) * where
    paint_peppering(layers, spot, rng, strength)


def paint_peppering(layers: Layers, spot: Spot, rng: np.random.Generator, strength: float) -> None:
    """Fine grey-blue grains: melanin that macrophages have carried into the dermis."""
    brush = Brush(spot.side)
    cluster = spot.places(rng, 4, 0.1, 0.9)
    for cx, cy in cluster:
        for dx, dy in rng.normal(0, 0.22 * spot.radius, (28, 2)):
            brush.disc(cx + dx, cy + dy, 0.0035, rng.uniform(0.4, 0.9))
    layers.dermal += np.float32(1.1 * strength) * brush.field(0.002) * spot.mask


def paint_nests(layers: Layers, spot: Spot, rng: np.random.Generator, strength: float) -> None:
    """Blue-grey ovoid nests and dots of a basal cell carcinoma."""
    brush = Brush(spot.side)
    for x, y in spot.places(rng, rng.integers(2, 8), 0.0, 0.95):
        radius = spot.radius * rng.uniform(0.09, 0.26)
        brush.polygon(blob(rng, x, y, radius, 0.15, rng.uniform(1.0, 2.2)), rng.uniform(0.6, 1))
    for x, y in spot.places(rng, rng.integers(4, 18), 0.0, 1.0):
        brush.disc(x, y, rng.uniform(0.003, 0.008), rng.uniform(0.5, 1))
    nests = brush.field(0.010) * (1 + np.float32(0.2) * noise(rng, spot.side, 18, octaves=2))
    layers.dermal += np.float32(1.5 * strength) * nests
    layers.melanin += np.float32(rng.uniform(0.1, 0.8) * strength) * nests


def paint_leaves(layers: Layers, spot: Spot, rng: np.random.Generator, strength: float) -> None:
    """Leaf-like areas: brown to grey bulbs that share a base at the border."""
    brush = Brush(spot.side)
    for x, y in spot.places(rng, rng.integers(2, 5), 0.55, 0.92):
        outward = np.arctan2(y, x)
        for turn in rng.normal(outward, 0.6, 5):
            reach = spot.radius * rng.uniform(0.14, 0.34)
            tip = (x + reach * np.cos(turn), y + reach * np.sin(turn))
            brush.polygon(blob(rng, *tip, 0.45 * reach, 0.1, 2.2, turn))
    leaves = brush.field(0.009) * (1 + 0.25 * noise(rng, spot.side, 24, octaves=2))
    layers.melanin += np.float32(0.9 * strength) * leaves
    layers.dermal += np.float32(0.5 * strength) * leaves
