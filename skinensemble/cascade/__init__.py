"""Two stages, one procedure: malignant or benign, then which of the diagnoses."""

from __future__ import annotations

from skinensemble.cascade._cascade import Cascade
from skinensemble.cascade._make import cascade_around, make_cascade
from skinensemble.verdict import Verdict

__all__ = ["Cascade", "Verdict", "cascade_around", "make_cascade"]
