"""Two stages, one procedure: malignant or benign, then which of the diagnoses."""

from __future__ import annotations

from skinensemble.cascade._cascade import Cascade
from skinensemble.cascade._make import make_cascade
from skinensemble.verdict import Verdict

__all__ = ["Cascade", "Verdict", "make_cascade"]
