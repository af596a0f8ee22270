"""Smooth random fields and drawn shapes on a square canvas, the same at every resolution."""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

__all__ = ["EXTENT", "Brush", "blob", "coordinates", "curve", "honeycomb", "noise", "ramp"]

EXTENT = 1.5
"""Side of the canvas, in short sides of the final image: room to turn and to shift."""


@lru_cache(maxsize=8)
def coordinates(side: int) -> tuple[np.ndarray, np.ndarray]:
    """Return x and y of the pixel centres, from ``-EXTENT / 2`` to ``EXTENT / 2``."""
    axis = ((np.arange(side, dtype=np.float32) + 0.5) / side - 0.5) * np.float32(EXTENT)
    x, y = np.meshgrid(axis, axis)
    x.setflags(write=False)
    y.setflags(write=False)
    return x, y


@lru_cache(maxsize=256)
def _weights(side: int, cells: int) -> np.ndarray:
    """Return the matrix that interpolates `cells` + 3 numbers, cubically, at `side` places."""
    at = (np.arange(side) + 0.5) * cells / side
    first = np.floor(at).astype(int)
    distance = np.abs(at[:, None] - first[:, None] + 1 - np.arange(4))
    near = 1 - 2.5 * distance**2 + 1.5 * distance**3
    far = 2 - 4 * distance + 2.5 * distance**2 - 0.5 * distance**3
    kernel = np.where(distance < 1, near, np.where(distance < 2, far, 0))
    matrix = np.zeros((side, cells + 3))
    np.put_along_axis(matrix, first[:, None] + np.arange(4), kernel, axis=1)
    # Unit variance; and what the pixels cannot resolve fades instead of turning into grain.
    matrix *= min(1.0, 0.7 * side / cells) / np.sqrt(np.mean(np.sum(kernel**2, axis=1)))
    return matrix.astype(np.float32)


def noise(
    rng: np.random.Generator, side: int, cells: float, *, octaves: int = 1, stretch: float = 1.0
) -> np.ndarray:
    """Draw a smooth field of about zero mean and unit variance.

    Parameters
    ----------
    rng : numpy.random.Generator
        The numbers taken from it do not depend on `side`.
    side : int
        Pixels of the canvas along one side.
    cells : float
        Bumps along one side in the coarsest octave.
    octaves : int, default=1
        Each octave halves the bumps' size and their height.
    stretch : float, default=1.0
        How much longer than high the bumps are.

    Returns
    -------
    ndarray of float32 of shape (side, side)
    """
    total = np.zeros((side, side), np.float32)
    for octave in range(octaves):
        down = _weights(side, max(2, round(cells * 2**octave)))
        across = _weights(side, max(2, round(cells * 2**octave / stretch)))
        lattice = rng.standard_normal((down.shape[1], across.shape[1]), dtype=np.float32)
        total += down @ lattice @ across.T * np.float32(0.5**octave)
    return total / np.float32(np.sqrt(sum(0.25**k for k in range(octaves))))


def honeycomb(rng: np.random.Generator, side: int, cells: float, disorder: float) -> np.ndarray:
    """Return a warped honeycomb: about 1 in the cells, 0 on the lines between them.

    Three plane waves at 120 degrees have the maxima of a hexagonal lattice; a smooth displacement
    of `disorder` cells makes it an irregular one.
    """
    x, y = coordinates(side)
    wave = np.float32(2 * np.pi * cells / EXTENT)
    reach = np.float32(disorder * EXTENT / cells)
    u = x + reach * (noise(rng, side, cells * 0.6) + 2 * noise(rng, side, cells * 0.15))
    v = y + reach * (noise(rng, side, cells * 0.6) + 2 * noise(rng, side, cells * 0.15))
    start, shift = rng.uniform(0, np.pi), rng.uniform(0, 2 * np.pi, 3)
    shift[2] = -shift[0] - shift[1]
    total = np.zeros((side, side), np.float32)
    for k in range(3):
        angle = start + k * 2 * np.pi / 3
        c, s = np.float32(np.cos(angle) * wave), np.float32(np.sin(angle) * wave)
        total += np.cos(c * u + s * v + np.float32(shift[k]))
    total += np.float32(0.5 + 1.2 * disorder) * noise(rng, side, cells * 0.8)
    return (total + np.float32(1.5)) / np.float32(4.5)


def ramp(field: np.ndarray, low: float, high: float) -> np.ndarray:
    """Rise smoothly from 0 where `field` is `low` to 1 where it is `high` (`low` may be above)."""
    t = np.clip((field - np.float32(low)) / np.float32(high - low), 0, 1)
    return t * t * (3 - 2 * t)


class Brush:
    """Draws shapes given in canvas units at twice the resolution, so that edges are smooth.

    Parameters
    ----------
    side : int
        Pixels of the canvas along one side.
    extent : float, default=EXTENT
        Length of that side in canvas units.
    """

    def __init__(self, side: int, extent: float = EXTENT):
        self.side = side
        self.scale = 2 * side / extent
        self.image = Image.new("L", (2 * side, 2 * side))
        self.draw = ImageDraw.Draw(self.image)

    def _place(self, points: np.ndarray) -> list[tuple[float, float]]:
        return [tuple(p) for p in (np.asarray(points) * self.scale + self.side).tolist()]

    def disc(self, x: float, y: float, radius: float, value: float = 1.0) -> None:
        """Fill a disc, at least a pixel wide so that small dots do not vanish."""
        cx, cy = x * self.scale + self.side, y * self.scale + self.side
        r = max(radius * self.scale, 0.9)
        self.draw.ellipse((cx - r, cy - r, cx + r, cy + r), fill=round(255 * value))

    def polygon(self, points: np.ndarray, value: float = 1.0) -> None:
        """Fill a polygon of shape (n, 2)."""
        self.draw.polygon(self._place(points), fill=round(255 * value))

    def line(self, points: np.ndarray, width: float, value: float = 1.0) -> None:
        """Draw a curve of shape (n, 2)."""
        pixels = max(1, round(width * self.scale))
        # A line thinner than a pixel is drawn fainter, as a lens would show it.
        faint = min(1.0, max(0.35, width * self.scale))
        self.draw.line(self._place(points), round(255 * value * faint), pixels, joint="curve")

    def field(self, soften: float = 0.0) -> np.ndarray:
        """Return what was drawn, float32 in 0–1, blurred by `soften` canvas units."""
        image = self.image.reduce(2)
        pixels = soften * self.scale / 2
        if pixels >= 0.25:
            image = image.filter(ImageFilter.GaussianBlur(pixels))
        return np.asarray(image, np.float32) / np.float32(255)


def blob(
    rng: np.random.Generator,
    x: float,
    y: float,
    radius: float,
    rough: float = 0.15,
    aspect: float = 1.0,
    angle: float | None = None,
) -> np.ndarray:
    """Return the outline, of shape (18, 2), of a roundish spot around (x, y)."""
    theta = np.linspace(0, 2 * np.pi, 18, endpoint=False)
    phase = rng.uniform(0, 2 * np.pi, 3)
    waves = sum(np.cos((k + 2) * theta + phase[k]) / (k + 1) for k in range(3))
    r = radius * (1 + rough * waves)
    p, q = r * np.cos(theta) * np.sqrt(aspect), r * np.sin(theta) / np.sqrt(aspect)
    turn = rng.uniform(0, np.pi) if angle is None else angle
    c, s = np.cos(turn), np.sin(turn)
    return np.stack([x + c * p - s * q, y + s * p + c * q], axis=1)


def curve(
    rng: np.random.Generator,
    start: Iterable[float],
    heading: float,
    length: float,
    bend: float,
    steps: int = 10,
) -> np.ndarray:
    """Return a wandering curve of shape (steps + 1, 2) from `start`."""
    turns = heading + np.cumsum(rng.normal(0, bend, steps))
    moves = np.stack([np.cos(turns), np.sin(turns)], axis=1) * (length / steps)
    origin = np.asarray(list(start), float)
    return np.vstack([origin, origin + np.cumsum(moves, axis=0)])
