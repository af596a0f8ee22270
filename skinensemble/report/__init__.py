"""How good a cascade is: figures on lesions that it has not seen."""

from __future__ import annotations

from skinensemble.report._evaluate import evaluate
from skinensemble.report._report import Report, Row

__all__ = ["Report", "Row", "evaluate"]
