"""One photograph of a lesion: placing, light, lens and sensor."""

from __future__ import annotations

import numpy as np
from PIL import Image, ImageFilter

from skinensemble.datasets._lesions._artefacts import paint_artefacts
from skinensemble.datasets._lesions._fields import EXTENT, coordinates

__all__ = ["develop", "photograph"]

# White balances of dermatoscopes: neutral, pink, violet, warm.
_BALANCES = np.array(
    [[1.00, 1.00, 1.00], [1.05, 0.94, 0.98], [0.96, 0.97, 1.06], [1.05, 0.99, 0.90]], np.float32
)


def develop(light: np.ndarray) -> list[Image.Image]:
    """Return the three colours of a canvas, continued by reflection beyond its edges."""
    margin = light.shape[0] // 3
    padded = np.pad(light, ((margin, margin), (margin, margin), (0, 0)), mode="reflect")
    return [Image.fromarray(np.ascontiguousarray(padded[..., c])) for c in range(3)]


def _place(canvas: list[Image.Image], rng: np.random.Generator, side: int) -> np.ndarray:
    """Turn, scale and shift the canvas and cut a square of `side` pixels out of it."""
    turn, zoom = rng.uniform(0, 2 * np.pi), np.exp(rng.normal(0, 0.10))
    shift, mirrored = rng.normal(0, 0.05, 2), rng.random() < 0.5
    unit = round(EXTENT * side) / EXTENT
    centre = canvas[0].width / 2
    c, s = np.cos(turn) / zoom * unit / side, np.sin(turn) / zoom * unit / side
    flip = -1 if mirrored else 1
    a, b, d, e = c * flip, -s, s * flip, c
    x0 = centre + shift[0] * unit - (a + b) * side / 2
    y0 = centre + shift[1] * unit - (d + e) * side / 2
    out = np.empty((side, side, 3), np.float32)
    for channel, source in enumerate(canvas):
        moved = source.transform(
            (side, side), Image.Transform.AFFINE, (a, b, x0, d, e, y0), Image.Resampling.BICUBIC
        )
        out[..., channel] = np.asarray(moved)
    return out


def _illuminate(light: np.ndarray, rng: np.random.Generator) -> None:
    """Apply the lamp's gradient, the vignette, the white balance and the exposure."""
    side = light.shape[0]
    x, y = coordinates(side)
    x, y = x / np.float32(EXTENT), y / np.float32(EXTENT)
    angle, slope = rng.uniform(0, 2 * np.pi), rng.uniform(0, 0.16)
    lamp = 1 + np.float32(slope * np.cos(angle)) * x + np.float32(slope * np.sin(angle)) * y
    square = (x - np.float32(rng.normal(0, 0.03))) ** 2 + (y - np.float32(rng.normal(0, 0.03))) ** 2
    lamp -= np.float32(rng.uniform(0.05, 0.55)) * square
    rim, tube = np.float32(rng.uniform(0.5, 0.6)), rng.random() < 0.06
    if tube:
        lamp *= np.clip((rim - np.sqrt(square)) / np.float32(0.025), 0.04, 1)
    balance = _BALANCES[rng.integers(len(_BALANCES))] * np.exp(rng.normal(0, 0.02, 3))
    exposure = rng.uniform(0.90, 1.12)
    light *= lamp[..., None] * np.float32(exposure) * balance.astype(np.float32)


def _expose(light: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Turn light into 8-bit values: tone curve, focus, sensor noise."""
    gamma, focus = np.float32(np.exp(rng.normal(0, 0.08))), rng.gamma(2.0, 0.0011)
    side = light.shape[0]
    np.clip(light, 0, 1, out=light)
    image = Image.fromarray(np.uint8(light**gamma * np.float32(255) + np.float32(0.5)))
    if focus * side > 0.3:
        image = image.filter(ImageFilter.GaussianBlur(focus * side))
    grain = rng.standard_normal((side, side, 3), dtype=np.float32) * np.float32(
        rng.uniform(0.6, 2.5)
    )
    values = np.asarray(image, np.float32) + grain + np.float32(0.5)
    return np.clip(values, 0, 255).astype(np.uint8)


def photograph(
    canvas: list[Image.Image], rng: np.random.Generator, side: int, hairiness: float
) -> np.ndarray:
    """Take one image of a lesion.

    Parameters
    ----------
    canvas : list of PIL.Image.Image
        The lesion and the skin around it, from :func:`develop`.
    rng : numpy.random.Generator
        Source of chance: another one gives another image of the same lesion.
    side : int
        Pixels of the image along one side.
    hairiness : float
        Expected number of dark hairs.

    Returns
    -------
    ndarray of uint8 of shape (side, side, 3)
    """
    image = _place(canvas, rng, side)
    paint_artefacts(image, rng, hairiness)
    _illuminate(image, rng)
    return _expose(image, rng)
