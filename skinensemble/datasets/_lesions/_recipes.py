"""What dermatoscopy says about the seven types, as numbers, and the drawing of a lesion from it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from skinensemble.datasets._lesions import _keratotic, _pigmented, _vascular
from skinensemble.datasets._lesions._optics import Layers
from skinensemble.datasets._lesions._outline import Spot
from skinensemble.taxonomy import DIAGNOSES

__all__ = ["FORM", "STRUCTURES", "Traits", "draw_traits"]

Painter = Callable[[Layers, Spot, np.random.Generator, float], None]

# Means per type, in the order of the codes, and the relative spread between lesions of one type.
FORM: dict[str, tuple[tuple[float, ...], float]] = {
    #                akiec  bcc   bkl   df    mel   nv    vasc
    "radius":       ((0.25, 0.24, 0.25, 0.24, 0.29, 0.22, 0.17), 0.24),
    "irregularity": ((0.42, 0.35, 0.30, 0.15, 0.48, 0.20, 0.24), 0.30),
    "lobes":        ((0.35, 0.30, 0.35, 0.05, 0.55, 0.15, 0.30), 0.40),
    "softness":     ((0.50, 0.45, 0.14, 0.60, 0.20, 0.26, 0.11), 0.35),
    "melanin":      ((0.46, 0.26, 0.80, 0.40, 1.40, 1.15, 0.10), 0.35),
    "variegation":  ((0.70, 0.55, 0.40, 0.25, 0.75, 0.35, 0.20), 0.30),
    "disorder":     ((0.50, 0.50, 0.50, 0.20, 0.85, 0.25, 0.30), 0.35),
    "blood":        ((0.30, 0.24, 0.14, 0.22, 0.20, 0.12, 0.50), 0.45),
    "keratin":      ((0.15, 0.05, 0.28, 0.05, 0.05, 0.04, 0.02), 0.60),
    "sun":          ((0.60, 0.50, 0.40, 0.12, 0.35, 0.18, 0.20), 0.60),
}  # fmt: skip

# How often a textbook lesion of each type shows the structure; painted in this order.
STRUCTURES: dict[str, tuple[Painter, tuple[float, ...]]] = {
    #                                               akiec  bcc   bkl   df    mel   nv    vasc
    "leaf-like areas": (_pigmented.paint_leaves,    (0.00, 0.30, 0.00, 0.00, 0.03, 0.00, 0.00)),
    "network": (_pigmented.paint_network,           (0.06, 0.04, 0.12, 0.65, 0.60, 0.65, 0.00)),
    "globules": (_pigmented.paint_globules,         (0.03, 0.08, 0.08, 0.08, 0.50, 0.40, 0.00)),
    "streaks": (_pigmented.paint_streaks,           (0.00, 0.02, 0.02, 0.02, 0.32, 0.05, 0.00)),
    "blotch": (_pigmented.paint_blotch,             (0.03, 0.06, 0.12, 0.02, 0.55, 0.18, 0.03)),
    "fingerprint": (_keratotic.paint_fingerprint,   (0.06, 0.00, 0.28, 0.00, 0.02, 0.02, 0.00)),
    "gyri": (_keratotic.paint_gyri,                 (0.03, 0.00, 0.40, 0.02, 0.02, 0.04, 0.00)),
    "moth-eaten border": (_keratotic.paint_moth_eaten, (0.06, 0, 0.40, 0.00, 0.05, 0.02, 0.00)),
    "regression": (_pigmented.paint_regression,     (0.03, 0.03, 0.10, 0.03, 0.42, 0.03, 0.00)),
    "veil": (_pigmented.paint_veil,                 (0.00, 0.10, 0.04, 0.00, 0.45, 0.03, 0.10)),
    "peppering": (_pigmented.paint_peppering,       (0.35, 0.10, 0.12, 0.00, 0.20, 0.02, 0.00)),
    "nests": (_pigmented.paint_nests,               (0.00, 0.65, 0.02, 0.00, 0.04, 0.01, 0.00)),
    "comedo-like openings": (_keratotic.paint_comedos, (0.04, 0.02, 0.50, 0, 0.02, 0.03, 0.00)),
    "lacunae": (_vascular.paint_lacunae,            (0.00, 0.01, 0.00, 0.00, 0.01, 0.00, 0.92)),
    "clot": (_vascular.paint_clot,                  (0.00, 0.00, 0.00, 0.00, 0.00, 0.00, 0.18)),
    "white patch": (_keratotic.paint_patch,         (0.02, 0.04, 0.03, 0.78, 0.04, 0.02, 0.03)),
    "follicles": (_keratotic.paint_follicles,       (0.55, 0.02, 0.04, 0.00, 0.01, 0.00, 0.00)),
    "tree vessels": (_vascular.paint_tree_vessels,  (0.08, 0.62, 0.03, 0.04, 0.06, 0.04, 0.02)),
    "dotted vessels": (_vascular.paint_dotted_vessels, (0.4, 0.06, 0.06, 0.15, 0.15, 0.03, 0.02)),
    "ulcer": (_vascular.paint_ulcer,                (0.15, 0.28, 0.02, 0.00, 0.08, 0.01, 0.04)),
    "milia-like cysts": (_keratotic.paint_milia,    (0.03, 0.03, 0.55, 0.02, 0.03, 0.06, 0.00)),
    "shiny white lines": (_keratotic.paint_shiny_lines, (0.03, 0.3, 0.02, 0.3, 0.18, 0.02, 0.00)),
    "scale": (_keratotic.paint_scale,               (0.55, 0.15, 0.12, 0.04, 0.02, 0.01, 0.03)),
}  # fmt: skip

_MIMICS: dict[str, tuple[str, ...]] = {
    "akiec": ("bkl", "bcc", "bkl"),
    "bcc": ("akiec", "mel", "df", "vasc"),
    "bkl": ("mel", "nv", "akiec", "nv"),
    "df": ("nv", "nv", "bcc", "bkl"),
    "mel": ("nv", "nv", "bkl", "bcc"),
    "nv": ("mel", "mel", "bkl", "df"),
    "vasc": ("mel", "bcc", "nv"),
}


@dataclass(frozen=True)
class Traits:
    """The latent parameters of one lesion.

    Attributes
    ----------
    form : dict of str to float
        Size, outline, border and base colours.
    structures : dict of str to float
        Strength of each structure that is present, from 0.4 to 1.
    """

    form: dict[str, float]
    structures: dict[str, float]


def draw_traits(rng: np.random.Generator, dx: str, difficulty: float) -> Traits:
    """Draw the latent parameters of a lesion of type `dx`.

    Parameters
    ----------
    rng : numpy.random.Generator
        Source of chance.
    dx : str
        Diagnosis code.
    difficulty : float
        From 0 to 1: how often, and how much, a lesion takes after another type.

    Returns
    -------
    Traits
    """
    codes, difficulty = list(DIAGNOSES), difficulty / 2
    own, other = codes.index(dx), codes.index(str(rng.choice(_MIMICS[dx])))
    likeness = rng.uniform(0.35, 0.35 + 0.6 * difficulty) * (rng.random() < difficulty)
    form = {}
    for name, (means, spread) in FORM.items():
        mean = (1 - likeness) * means[own] + likeness * means[other]
        form[name] = float(mean * np.exp(spread * (0.6 + 0.8 * difficulty) * rng.normal()))
    structures = {}
    for name, (_, rates) in STRUCTURES.items():
        rate = (1 - likeness) * rates[own] + likeness * rates[other]
        shown, strength = rng.random() < rate, rng.uniform(0.9 - 0.6 * difficulty, 1.0)
        if shown:
            structures[name] = float(strength)
    form["radius"] = float(np.clip(form["radius"], 0.07, 0.42))
    form["disorder"], form["sun"] = min(form["disorder"], 1.3), min(form["sun"], 1.0)
    return Traits(form, structures)
