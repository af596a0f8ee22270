"""Skin as layers of chromophores, and the colour that light has after passing them twice.

Each layer is a map of how much of an absorber (or of a scatterer) lies where. Melanin high in the
skin looks brown to black, melanin deep in it grey-blue (Tyndall effect), blood in capillaries pink
to red, blood in wide spaces red to purple, fibrosis and keratin white to yellow.
"""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np

__all__ = ["Layers", "colour"]

# Optical density per unit in red, green and blue.
_MELANIN = np.array([0.40, 0.70, 0.82], np.float32)
_BLOOD = np.array([0.09, 0.68, 0.46], np.float32)
_PURPLE = np.array([0.36, 1.25, 0.50], np.float32)
_KERATIN = np.array([0.03, 0.17, 0.62], np.float32)
_DERMIS = np.array([0.97, 0.87, 0.90], np.float32)
_DEEP = np.array([0.40, 0.42, 0.52], np.float32)
_WHITE = np.array([0.97, 0.92, 0.91], np.float32)


@dataclass
class Layers:
    """Maps of shape (side, side), float32, 0 where there is nothing.

    Attributes
    ----------
    melanin : epidermal melanin; 1 is light brown, 4 black.
    dermal : melanin deep in the dermis; 1 is blue-grey.
    blood : blood in capillaries and vessels; 1 is red.
    purple : blood in wide spaces; 1 is red-purple.
    keratin : yellow keratin and serum at the surface.
    white : fibrosis, cysts and scale, as an opacity from 0 to 1.
    skin : melanin of the skin without the lesion, which pigment-free structures return to.
    """

    melanin: np.ndarray
    dermal: np.ndarray
    blood: np.ndarray
    purple: np.ndarray
    keratin: np.ndarray
    white: np.ndarray
    skin: np.ndarray

    @classmethod
    def empty(cls, side: int) -> Layers:
        """Return layers with nothing in them."""
        return cls(*(np.zeros((side, side), np.float32) for _ in fields(cls)))


def colour(layers: Layers) -> np.ndarray:
    """Return the reflected light, float32 of shape (side, side, 3), 1 for a white surface."""
    m, b, p = layers.melanin, layers.blood, layers.purple
    haze = 1 - np.exp(-layers.dermal)
    white = np.clip(layers.white, 0, 1)
    light = np.empty((*m.shape, 3), np.float32)
    for c in range(3):
        deep = _DERMIS[c] * np.exp(-(_BLOOD[c] * b + _PURPLE[c] * p))
        deep += haze * (_DEEP[c] * np.exp(-0.25 * _BLOOD[c] * b) - deep)
        deep *= np.exp(-_MELANIN[c] * m)
        deep += white * (_WHITE[c] - deep)
        light[..., c] = deep * np.exp(-_KERATIN[c] * layers.keratin)
    return light
