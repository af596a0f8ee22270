"""Data sets of dermatoscopic images: readers of public ones and of one's own, and synthetic ones.

Each reader returns a scikit-learn ``Bunch`` with ``images``, ``target`` (diagnosis codes),
``groups`` (which lesion an image shows: keep them together when you split), ``frame``, ``DESCR``
and ``problems``, or ``(images, target)``.
"""

from __future__ import annotations

from typing import Any

from skinensemble.datasets._dermamnist import load_dermamnist
from skinensemble.datasets._folder import load_image_folder
from skinensemble.datasets._ham10000 import load_ham10000
from skinensemble.datasets._isic import load_isic
from skinensemble.datasets._problems import DatasetProblem

__all__ = [
    "DatasetProblem",
    "load_dermamnist",
    "load_ham10000",
    "load_image_folder",
    "load_isic",
    "make_lesions",
]


def __getattr__(name: str) -> Any:
    # Drawing lesions needs more modules than reading tables: they are loaded when asked for.
    if name == "make_lesions":
        from skinensemble.datasets._lesions import make_lesions

        return make_lesions
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
