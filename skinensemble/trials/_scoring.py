"""What candidates are ranked by: the scores that greedy selection knows."""

from __future__ import annotations

import numbers

import numpy as np

from skinensemble.exceptions import InputError, message
from skinensemble.voting._scores import SCORES

__all__ = ["check_scoring", "judge", "scoring_name", "try_scoring"]

_LOSSES = ("brier", "log_loss")


def check_scoring(scoring) -> None:
    """Refuse a name that is not known."""
    if not callable(scoring) and str(scoring) not in SCORES:
        why = f"not a score: the names are {', '.join(SCORES)}"
        remedy = "pass one of them or a callable scoring(y, proba)"
        raise InputError(message("scoring", f"{scoring!r:.60}", why, remedy))


def try_scoring(scoring, y: np.ndarray) -> None:
    """Refuse a function that fails on these targets before anything is trained for it."""
    if callable(scoring):
        n_classes = int(y.max()) + 1
        judge(scoring, y, np.random.default_rng(0).dirichlet(np.ones(n_classes), len(y)))


def judge(scoring, y: np.ndarray, proba: np.ndarray, weight: np.ndarray | None = None) -> float:
    """Return the score of probabilities; whole weights count a sample so many times.

    Raises
    ------
    InputError
        When a callable raises, or gives no finite number.
    """
    if not callable(scoring):
        return SCORES[scoring](y, proba, np.ones(len(y)) if weight is None else weight)
    rows = np.repeat(np.arange(len(y)), 1 if weight is None else weight.astype(int))
    try:
        score = scoring(y[rows], proba[rows])  # copies: it may work in place
    except Exception as error:  # of any kind: it is the user's own
        why = f"it raised {type(error).__name__}: {error}"
        remedy = "it takes class indices, and probabilities of shape (n_samples, n_classes)"
        raise InputError(message("scoring", scoring_name(scoring), why, remedy)) from error
    if not isinstance(score, numbers.Real) or not np.isfinite(float(score)):
        shown, why = f"{scoring_name(scoring)} = {score!r:.60}", "it is to return a finite number"
        raise InputError(message("scoring", shown, why, "mend it"))
    return float(score)


def scoring_name(scoring) -> str:
    """Return how a score is called; of losses the sign is turned, and the name says so."""
    if callable(scoring):
        return str(getattr(scoring, "__name__", type(scoring).__name__))
    return f"neg_{scoring}" if scoring in _LOSSES else str(scoring)
