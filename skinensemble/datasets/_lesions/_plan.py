"""Which lesions a data set has: their types, numbers of images and seeds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from numbers import Integral, Real
from typing import Any

import numpy as np

from skinensemble.exceptions import InputError, first_few, message
from skinensemble.taxonomy import DIAGNOSES

__all__ = ["check_range", "lesion_types", "type_weights"]

_WEIGHTS: dict[str, tuple[float, ...]] = {
    "mild": (0.10, 0.12, 0.14, 0.08, 0.16, 0.30, 0.10),
    "balanced": (1.0,) * 7,
    # Lesions, not images, of each type in HAM10000.
    "ham10000": (228, 327, 727, 73, 614, 5403, 98),
}


def _named(weights: Mapping[str, float]) -> list[float]:
    unknown = sorted(set(map(str, weights)) - set(DIAGNOSES))
    if unknown:
        why, remedy = "these are no diagnosis codes", f"use some of {', '.join(DIAGNOSES)}"
        raise InputError(message("weights", first_few(unknown), why, remedy))
    return [float(weights.get(code, 0.0)) for code in DIAGNOSES]


def type_weights(
    weights: str | Mapping[str, float] | Sequence[float] | None,
) -> np.ndarray:
    """Return the share of each type, in the order of the codes, summing to 1.

    Raises
    ------
    InputError
        For an unknown name or code, a wrong number of weights, or weights that are no shares.
    """
    given: Any = "mild" if weights is None else weights
    if isinstance(given, str):
        if given not in _WEIGHTS:
            remedy = f"use one of {', '.join(_WEIGHTS)}, a dict or seven numbers"
            raise InputError(message("weights", repr(given), "no such proportions", remedy))
        given = _WEIGHTS[given]
    values = _named(given) if isinstance(given, Mapping) else given
    shares = np.asarray(values, dtype=float)
    if shares.shape != (len(DIAGNOSES),):
        why = f"shape {shares.shape} for {len(DIAGNOSES)} types"
        raise InputError(message("weights", first_few(shares.ravel()), why, "give one per type"))
    if not np.isfinite(shares).all() or (shares < 0).any() or shares.sum() <= 0:
        why = "shares must be finite, not negative, and not all zero"
        raise InputError(message("weights", first_few(shares), why, "give such numbers"))
    return shares / shares.sum()


def lesion_types(seed: np.random.SeedSequence, n_lesions: int, shares: np.ndarray) -> np.ndarray:
    """Return the type of each lesion as an index.

    A type of share *w* gets one lesion in each successive stretch of *1 / w* lesions, at a random
    place in it. So the counts are as near to the shares as whole numbers allow, and more lesions
    leave the first ones as they are.

    Parameters
    ----------
    seed : numpy.random.SeedSequence
        Source of chance.
    n_lesions : int
        How many lesions.
    shares : ndarray of shape (n_types,)
        Share of each type, summing to 1; below 1e-12 it counts as none.

    Returns
    -------
    ndarray of int of shape (n_lesions,)
    """
    times, types = [], []
    for kind, (share, own) in enumerate(zip(shares, seed.spawn(len(shares)), strict=True)):
        if share > 1e-12:
            teeth = int(np.ceil((n_lesions + len(shares)) * share)) + 1
            times.append((np.arange(teeth) + np.random.default_rng(own).random(teeth)) / share)
            types.append(np.full(teeth, kind))
    order = np.argsort(np.concatenate(times), kind="stable")
    return np.concatenate(types)[order][:n_lesions]


def check_whole(name: str, value: Any, minimum: int) -> int:
    """Return `value` as an int, or raise InputError when it is not a whole number ≥ `minimum`."""
    if isinstance(value, bool) or not isinstance(value, Integral) or value < minimum:
        why = f"must be a whole number of at least {minimum}"
        raise InputError(message(name, repr(value), why, "give such a number"))
    return int(value)


def check_range(name: str, value: Any) -> tuple[int, int]:
    """Return (least, most) from one whole number or a pair of them, both at least 1.

    Raises
    ------
    InputError
        When it is neither, or the first is above the second.
    """
    pair = tuple(value) if isinstance(value, Sequence | np.ndarray) else (value, value)
    if len(pair) != 2:
        raise InputError(message(name, repr(value), "neither a number nor a pair", "give (1, 3)"))
    low, high = (check_whole(name, v, 1) for v in pair)
    if low > high:
        raise InputError(message(name, repr(value), "the least is above the most", "swap them"))
    return low, high


def check_share(name: str, value: Any) -> float:
    """Return `value` as a float, or raise InputError when it does not lie in 0–1."""
    number = isinstance(value, Real) and not isinstance(value, bool)
    if not (number and 0 <= float(value) <= 1):
        why = "must be a number from 0 to 1"
        raise InputError(message(name, repr(value), why, "give such a number"))
    return float(value)
