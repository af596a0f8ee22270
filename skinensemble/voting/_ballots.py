"""Ballots: what they must be, how ties are broken, and reductions of them that are quick."""

from __future__ import annotations

import numpy as np

from skinensemble.exceptions import InputError, first_few, message

# Ballots come from float32 networks: their rows miss one by about 1e-7 times the classes.
SUM_TOLERANCE = 1e-3
# Rows that miss one by less are left alone: scaled, they would miss it by as much.
ROUNDING = 1e-12
# Two scores nearer than this are a tie; sums of members in another order differ by about 1e-16.
TIE_TOLERANCE = 1e-9
# Rows that are compared at once: their copy by class stays in the processor's cache.
BLOCK = 8192
# Numbers that are summed at once, for the same reason; of more, BLAS starts threads that wait.
NUMBERS = 2**16


def check_ballots(ballots) -> np.ndarray:
    """Check ballots and return them as floats whose rows sum to 1.

    Every rule of the library does so first. Sound ballots of float64 are returned as they are, at
    the price of one pass over them.

    Parameters
    ----------
    ballots : array-like of shape (n_samples, n_members, n_classes)
        Probabilities; rows may miss 1 by 0.001 and are scaled to it.

    Returns
    -------
    ndarray of float64, same shape

    Raises
    ------
    InputError
        When the shape is another one, there is no sample, no member or but one class, or a row is
        not finite, is negative or does not sum to 1.

    Examples
    --------
    >>> check_ballots([[[0.25, 0.75]]]).shape
    (1, 1, 2)
    >>> check_ballots([[[0.25, 0.25]]])
    Traceback (most recent call last):
    skinensemble.exceptions.InputError: ballots: sample 0 of member 0 (sums to 0.5) – not finite,
    negative, or not summing to 1 – pass probabilities, not scores or logits
    """
    ballots = _as_floats(ballots)
    with np.errstate(invalid="ignore", over="ignore"):
        return ballots if _is_sound(ballots) else _scaled(ballots)


def _as_floats(ballots) -> np.ndarray:
    try:
        ballots = np.asarray(ballots, dtype=np.float64)
    except (TypeError, ValueError) as error:
        remedy = "stack the members' predict_proba along axis 1"
        why = "not numbers of one shape"
        raise InputError(message("ballots", f"{error}", why, remedy)) from None
    if ballots.ndim != 3 or min(ballots.shape) == 0 or ballots.shape[2] < 2:
        why = "expected (n_samples, n_members, n_classes) with two classes or more"
        remedy = "stack the members' predict_proba along axis 1"
        raise InputError(message("ballots", f"shape {ballots.shape}", why, remedy))
    return ballots


def _is_sound(ballots: np.ndarray) -> bool:
    """Whether every row holds probabilities that sum to 1 but for rounding."""
    _, n_members, n_classes = ballots.shape
    ones, step = np.ones(n_classes), max(1, NUMBERS // (n_members * n_classes))
    for start in range(0, len(ballots), step):
        rows = ballots[start : start + step].reshape(-1, n_classes)
        # A product with ones is the quickest sum along a short axis.
        sums = rows @ ones
        # Written so that NaN fails: it compares false with everything.
        if not (rows.min() >= 0 and 1 - ROUNDING <= sums.min() <= sums.max() <= 1 + ROUNDING):
            return False
    return True


def _scaled(ballots: np.ndarray) -> np.ndarray:
    """Scale the rows that miss 1 by more than rounding; refuse what are no probabilities."""
    sums = ballots.sum(axis=2)
    missed = np.abs(sums - 1)
    good = (missed <= SUM_TOLERANCE) & (ballots.min(axis=2) >= 0)
    if not good.all():
        raise _no_probabilities(ballots, np.argwhere(~good))
    # Row by row: what a sample is given must not depend on the rounding of another.
    return np.where((missed > ROUNDING)[..., None], ballots / sums[..., None], ballots)


def _no_probabilities(ballots: np.ndarray, places: np.ndarray) -> InputError:
    def show(place) -> str:
        sample, member = place
        return f"sample {sample} of member {member} ({_fault(ballots[sample, member])})"

    why = "not finite, negative, or not summing to 1"
    remedy = "pass probabilities, not scores or logits"
    return InputError(message("ballots", first_few(places, show=show), why, remedy))


def _fault(row: np.ndarray) -> str:
    if not np.isfinite(row).all():
        return "NaN" if np.isnan(row).any() else "infinite"
    return f"holds {row.min():g}" if row.min() < 0 else f"sums to {row.sum():g}"


def break_ties(scores: np.ndarray, ballots: np.ndarray) -> np.ndarray:
    """Index of the best class: by score, then by mean probability, then the last class.

    The last class of a binary stage is the positive one, here malignant: a vote that is even in
    every way must not be read as "benign".

    Parameters
    ----------
    scores : ndarray of shape (n_samples, n_classes)
    ballots : ndarray of shape (n_samples, n_members, n_classes)

    Returns
    -------
    ndarray of int of shape (n_samples,)

    Examples
    --------
    >>> break_ties(np.array([[0.5, 0.5]]), np.array([[[0.9, 0.1], [0.1, 0.9]]]))
    array([1])
    """
    best = scores >= scores.max(axis=1, keepdims=True) - TIE_TOLERANCE
    winner = last_argmax(best)
    tied = np.flatnonzero(best.sum(axis=1) > 1)
    mean = np.where(best[tied], ballots[tied].mean(axis=1), -1.0)
    winner[tied] = last_argmax(mean >= mean.max(axis=1, keepdims=True) - TIE_TOLERANCE)
    return winner


def last_argmax(values: np.ndarray) -> np.ndarray:
    """Return the index of the maximum along the last axis; of several equal ones the last.

    Examples
    --------
    >>> last_argmax(np.array([[1, 3, 3, 0], [2, 2, 2, 2]]))
    array([2, 3])
    """
    rows = values.reshape(-1, values.shape[-1])
    places = np.arange(rows.shape[1], dtype=np.min_scalar_type(rows.shape[1]))[:, None]
    last = np.empty(len(rows), dtype=np.intp)
    # Whole blocks at a time, laid out by class: NumPy is slow along an axis of two or seven.
    for start in range(0, len(rows), BLOCK):
        block = np.ascontiguousarray(rows[start : start + BLOCK].T)
        # Not below the maximum, rather than equal to it: what is not a number goes to the last.
        last[start : start + BLOCK] = (~(block < block.max(axis=0)) * places).max(axis=0)
    return last.reshape(values.shape[:-1])


def normalise(scores: np.ndarray) -> np.ndarray:
    """Scale rows to sum to 1; a row of zeros, which favours nobody, becomes uniform.

    Parameters
    ----------
    scores : ndarray of shape (n_samples, n_classes)
        Not negative.

    Returns
    -------
    ndarray of shape (n_samples, n_classes)

    Examples
    --------
    >>> normalise(np.array([[0.2, 0.6], [0.0, 0.0]]))
    array([[0.25, 0.75],
           [0.5 , 0.5 ]])
    """
    sums = scores.sum(axis=1, keepdims=True)
    empty = sums == 0
    return np.where(empty, 1 / scores.shape[1], scores / np.where(empty, 1, sums))
