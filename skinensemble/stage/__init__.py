"""One committee and its vote."""

from __future__ import annotations

from skinensemble.stage._early import EarlyDecision
from skinensemble.stage._stage import Stage

__all__ = ["EarlyDecision", "Stage"]
