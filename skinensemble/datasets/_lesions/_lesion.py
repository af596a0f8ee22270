"""One lesion from its seed: skin, body, structures, and its images."""

from __future__ import annotations

import numpy as np

from skinensemble.datasets._lesions._camera import develop, photograph
from skinensemble.datasets._lesions._fields import EXTENT, noise, ramp
from skinensemble.datasets._lesions._optics import Layers, colour
from skinensemble.datasets._lesions._outline import Spot, make_spot
from skinensemble.datasets._lesions._recipes import STRUCTURES, draw_traits
from skinensemble.datasets._lesions._skin import paint_skin

__all__ = ["photograph_lesion"]


def _paint_body(layers: Layers, spot: Spot, rng: np.random.Generator) -> None:
    """Paint the diffuse colours of the lesion: brown, red and the yellow of keratin."""
    form, side = spot.form, spot.side
    uneven = 1 + np.float32(form["variegation"]) * noise(rng, side, 5, octaves=5)
    lean, angle = form["variegation"] * rng.uniform(0, 0.6), rng.uniform(-0.5, 0.5)
    bowl = 1 + np.float32(angle) * (1 - 2 * np.minimum(spot.depth, 1))
    brown = spot.mask * np.maximum(uneven, 0.12) * bowl
    brown *= 1 + np.float32(lean) * ramp(noise(rng, side, 3), -0.5, 0.5)
    layers.melanin += np.float32(form["melanin"]) * brown
    halo = ramp(spot.depth, 1.5, 0.8)
    layers.blood += np.float32(form["blood"]) * halo * np.exp(0.3 * noise(rng, side, 6, octaves=2))
    layers.keratin += np.float32(form["keratin"]) * spot.mask * np.exp(0.5 * noise(rng, side, 7))


def photograph_lesion(
    seed: np.random.SeedSequence, dx: str, difficulty: float, n_images: int, side: int
) -> np.ndarray:
    """Draw one lesion and take images of it.

    Parameters
    ----------
    seed : numpy.random.SeedSequence
        Everything about the lesion follows from it.
    dx : str
        Diagnosis code.
    difficulty : float
        From 0 to 1.
    n_images : int
        How many images to take.
    side : int
        Pixels of an image along one side.

    Returns
    -------
    ndarray of uint8 of shape (n_images, side, side, 3)
    """
    lesion, *views = (np.random.default_rng(s) for s in seed.spawn(1 + n_images))
    traits = draw_traits(lesion, dx, difficulty)
    hairiness = lesion.choice(
        [0.0, lesion.uniform(1, 7), lesion.uniform(7, 25)], p=[0.65, 0.27, 0.08]
    )
    layers = Layers.empty(round(EXTENT * side))
    tone = lesion.choice([lesion.uniform(0.06, 0.35), lesion.uniform(0.5, 1.3)], p=[0.9, 0.1])
    paint_skin(layers, lesion, tone, traits.form)
    spot = make_spot(lesion, layers.melanin.shape[0], traits.form)
    _paint_body(layers, spot, lesion)
    own = lesion.spawn(len(traits.structures))
    for (name, strength), chance in zip(traits.structures.items(), own, strict=True):
        STRUCTURES[name][0](layers, spot, chance, strength)
    canvas = develop(colour(layers))
    return np.stack([photograph(canvas, view, side, hairiness) for view in views])
