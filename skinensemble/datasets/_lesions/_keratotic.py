"""Structures of keratin and fibrosis: cysts, openings, ridges, scale, follicles, white patches."""

from __future__ import annotations

import numpy as np

from skinensemble.datasets._lesions._fields import (
    Brush,
    blob,
    coordinates,
    curve,
    noise,
    ramp,
)
from skinensemble.datasets._lesions._optics import Layers
from skinensemble.datasets._lesions._outline import Spot

__all__ = [
    "paint_comedos",
    "paint_fingerprint",
    "paint_follicles",
    "paint_gyri",
    "paint_milia",
    "paint_moth_eaten",
    "paint_patch",
    "paint_scale",
    "paint_shiny_lines",
]


def paint_milia(layers: Layers, spot: Spot, rng: np.random.Generator, strength: float) -> None:
    """Milia-like cysts: small round whitish spots, some with a hazy border."""
    sharp, hazy = Brush(spot.side), Brush(spot.side)
    for x, y in spot.places(rng, rng.integers(5, 24), 0.0, 0.95):
        brush = hazy if rng.random() < 0.4 else sharp
        brush.disc(x, y, rng.uniform(0.004, 0.013), rng.uniform(0.5, 0.95))
    cysts = np.maximum(sharp.field(0.002), hazy.field(0.008))
    layers.white += np.float32(0.75 * strength) * cysts
    layers.keratin += np.float32(0.5 * strength) * cysts


def paint_comedos(layers: Layers, spot: Spot, rng: np.random.Generator, strength: float) -> None:
    """Comedo-like openings: sharp, dark, irregular plugs of keratin."""
    brush = Brush(spot.side)
    for x, y in spot.places(rng, rng.integers(4, 18), 0.0, 0.92):
        radius = 0.005 + 0.013 * rng.random() ** 2
        brush.polygon(blob(rng, x, y, radius, 0.25, rng.uniform(1, 1.8)), rng.uniform(0.5, 1))
    plugs = brush.field(0.003)
    layers.melanin += np.float32(2.0 * strength) * plugs
    layers.keratin += np.float32(0.8 * strength) * plugs


def paint_gyri(layers: Layers, spot: Spot, rng: np.random.Generator, strength: float) -> None:
    """Cerebriform surface: light ridges between dark, winding furrows."""
    waves = noise(rng, spot.side, rng.uniform(24, 36)) + 0.3 * noise(rng, spot.side, 50)
    furrows = ramp(np.abs(waves), 0.9, 0.05) * spot.mask
    layers.melanin += np.float32(0.42 * strength) * furrows
    layers.white += np.float32(0.10 * strength) * (1 - furrows) * spot.mask


def paint_fingerprint(
    layers: Layers, spot: Spot, rng: np.random.Generator, strength: float
) -> None:
    """Thin parallel brown lines, as in a flat seborrhoeic keratosis or a solar lentigo."""
    x, y = coordinates(spot.side)
    turn, wave = rng.uniform(0, np.pi), np.float32(2 * np.pi * rng.uniform(40, 60))
    across = np.float32(np.cos(turn)) * x + np.float32(np.sin(turn)) * y
    across = (
        across
        + np.float32(0.05) * noise(rng, spot.side, 5)
        + np.float32(0.006) * noise(rng, spot.side, 20)
    )
    lines = ramp(np.cos(wave * across), -0.2, 0.8)
    where = np.float32(strength) * spot.mask * ramp(noise(rng, spot.side, 6, octaves=2), -0.8, 0.9)
    layers.melanin += np.float32(0.18) * lines * where
    layers.melanin *= 1 - np.float32(0.18) * (1 - lines) * where


def paint_moth_eaten(layers: Layers, spot: Spot, rng: np.random.Generator, strength: float) -> None:
    """Bites out of a sharp border: pigment is missing in round notches."""
    brush = Brush(spot.side)
    for x, y in spot.places(rng, rng.integers(6, 16), 0.86, 1.1):
        brush.polygon(blob(rng, x, y, spot.radius * rng.uniform(0.08, 0.2), 0.2))
    bites = brush.field(0.005)
    layers.melanin += np.float32(0.9 * strength) * bites * (layers.skin - layers.melanin)


def paint_follicles(layers: Layers, spot: Spot, rng: np.random.Generator, strength: float) -> None:
    """Strawberry pattern: white-yellow follicles with a red network between them."""
    step = rng.uniform(0.026, 0.042)
    axis = np.arange(-1.3 * spot.radius, 1.3 * spot.radius, step)
    grid = np.stack(np.meshgrid(axis, axis), axis=-1).reshape(-1, 2)
    brush = Brush(spot.side)
    for x, y in grid + rng.normal(0, 0.24 * step, grid.shape):
        brush.disc(x, y, step * rng.uniform(0.10, 0.34), rng.uniform(0.2, 1.0))
    patchy = ramp(noise(rng, spot.side, 5, octaves=2), -1.0, 0.6)
    plugs = brush.field(0.003) * patchy
    amount = np.float32(strength) * ramp(spot.depth, 1.1, 0.6)
    layers.white += np.float32(0.55) * amount * plugs
    layers.keratin += np.float32(0.15) * amount * plugs
    web = (1 - plugs) * patchy * (1 + np.float32(0.3) * noise(rng, spot.side, 40, octaves=2))
    layers.blood += np.float32(0.30) * amount * web


def paint_scale(layers: Layers, spot: Spot, rng: np.random.Generator, strength: float) -> None:
    """White to yellow scale lying on the surface in flakes."""
    flakes = ramp(noise(rng, spot.side, 18, octaves=4), 0.5, 1.3)
    near = ramp(noise(rng, spot.side, 4), -0.3, 0.8) * ramp(spot.depth, 1.05, 0.6)
    shade = 0.75 + 0.25 * noise(rng, spot.side, 70)
    layers.white += np.float32(0.75 * strength) * flakes * near * shade
    layers.keratin += np.float32(rng.uniform(0.0, 0.4) * strength) * flakes * near


def paint_patch(layers: Layers, spot: Spot, rng: np.random.Generator, strength: float) -> None:
    """Central white scar-like patch of a dermatofibroma, with arms between the pigment."""
    size = rng.uniform(0.3, 0.55)
    arms = np.float32(0.16) * noise(rng, spot.side, 12, octaves=3)
    where = ramp(spot.depth + arms, size + 0.35, size - 0.30)
    grain = 1 + np.float32(0.25) * noise(rng, spot.side, 30, octaves=2)
    layers.white += np.float32(rng.uniform(0.3, 0.6) * strength) * where * grain
    layers.melanin *= 1 - np.float32(0.75 * strength) * where
    layers.blood += np.float32(0.22 * strength) * where


def paint_shiny_lines(
    layers: Layers, spot: Spot, rng: np.random.Generator, strength: float
) -> None:
    """Shiny white lines, short and parallel or at right angles, which polarised light shows."""
    brush, turn = Brush(spot.side), rng.uniform(0, np.pi)
    for x, y in spot.places(rng, rng.integers(8, 26), 0.0, 0.7):
        heading = turn + rng.choice([0, np.pi / 2]) + rng.normal(0, 0.12)
        path = curve(rng, (x, y), heading, spot.radius * rng.uniform(0.12, 0.4), 0.06, 4)
        brush.line(path, rng.uniform(0.003, 0.006), rng.uniform(0.4, 0.9))
    layers.white += np.float32(0.6 * strength) * brush.field(0.0015)
