"""Synthetic dermatoscopy-like lesions: one file each for fields, optics, structures, camera."""

from __future__ import annotations

from skinensemble.datasets._lesions._make import make_lesions

__all__ = ["make_lesions"]
