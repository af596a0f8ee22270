"""What candidates are ranked by: the scores that greedy selection knows."""

from __future__ import annotations

import numbers

import numpy as np

from skinensemble.exceptions import InputError, message
from skinensemble.voting._scores import SCORES

__all__ = ["check_scoring", "judge", "scoring_name"]

_LOSSES = ("brier", "log_loss")


def check_scoring(scoring) -> None:
    """Refuse a name that is not known."""
    if not callable(scoring) and str(scoring) not in SCORES:
        why = f"not a score: the names are {', '.join(SCORES)}"
        remedy = "pass one of them or a callable scoring(y, proba)"
        raise InputError(message("scoring", f"{scoring!r:.60}", why, remedy))


def judge(scoring, y: np.ndarray, proba: np.ndarray, weight: np.ndarray | None = None) -> float:
    """Return the score of probabilities; whole weights count a sample so many times.

    Raises
    ------
    InputError
        When a callable gives no finite number.
    """
    if not callable(scoring):
        return SCORES[scoring](y, proba, np.ones(len(y)) if weight is None else weight)
    if weight is not None:
        rows = np.repeat(np.arange(len(y)), weight.astype(int))
        y, proba = y[rows], proba[rows]
    score = scoring(y, proba)
    if not isinstance(score, numbers.Real) or not np.isfinite(float(score)):
        shown, why = f"{scoring_name(scoring)} = {score!r:.60}", "it is to return a finite number"
        raise InputError(message("scoring", shown, why, "mend it"))
    return float(score)


def scoring_name(scoring) -> str:
    """Return how a score is called; of losses the sign is turned, and the name says so."""
    if callable(scoring):
        return str(getattr(scoring, "__name__", type(scoring).__name__))
    return f"neg_{scoring}" if scoring in _LOSSES else str(scoring)
