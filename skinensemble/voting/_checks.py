"""Checks that the rules share: weights, and what a rule is asked to learn from."""

from __future__ import annotations

import numpy as np
from sklearn.base import clone

from skinensemble.exceptions import InputError, first_few, message
from skinensemble.validation import check_groups, lesion_folds
from skinensemble.voting._ballots import SUM_TOLERANCE, check_ballots


def check_weights(weights, length=None, *, name="weights", unit="member") -> np.ndarray:
    """Check weights and scale them to sum to 1.

    Parameters
    ----------
    weights : array-like of shape (length,)
    length : int, default=None
        How many there must be, where it is known.
    name, unit : str, default="weights", "member"
        What the message calls them, and what each belongs to.

    Returns
    -------
    ndarray of float64 of shape (length,)

    Raises
    ------
    InputError
        When they are not that many numbers, negative, not finite, or all zero.

    Examples
    --------
    >>> check_weights([3, 1], 2)
    array([0.75, 0.25])
    """
    values = _numbers(weights, name, unit)
    if length is not None and len(values) != length:
        why = f"there are {length} {unit}s"
        raise InputError(message(name, f"{len(values)} given", why, f"pass one per {unit}"))
    odd = np.flatnonzero(~(np.isfinite(values) & (values >= 0)))
    if len(odd):
        shown = first_few(f"{values[i]:g} of {unit} {i}" for i in odd)
        raise InputError(message(name, shown, "negative or not finite", "pass numbers from 0 up"))
    if not values.any():
        why = f"no {unit} would count"
        raise InputError(message(name, "all zero", why, "make at least one positive"))
    values = values / values.max()  # so that their sum cannot overflow
    return values / values.sum()


def _numbers(weights, name: str, unit: str) -> np.ndarray:
    try:
        values = np.asarray(weights)
    except ValueError:  # lists of unlike lengths
        values = np.asarray(None)
    if values.ndim != 1 or values.dtype.kind not in "iufb" or not len(values):
        why = f"expected one number per {unit}"
        raise InputError(message(name, f"{weights!r:.60}", why, "pass a list of numbers"))
    return values.astype(np.float64)


def check_training(ballots, y, sample_weight=None, groups=None):
    """Check what a rule is to learn from, at the price of a few passes over it.

    Parameters
    ----------
    ballots, y, sample_weight, groups
        As in :meth:`VotingRule.fit`.

    Returns
    -------
    ballots : ndarray of float64 of shape (n_samples, n_members, n_classes)
    y : ndarray of int of shape (n_samples,)
    sample_weight : ndarray of float64 of shape (n_samples,)
        Summing to 1.
    groups : ndarray of int of shape (n_samples,)

    Raises
    ------
    InputError
        When one of them has another length or shape, ballots are no probabilities, `y` holds no
        class indices, or a lesion has several labels.
    """
    ballots = check_ballots(ballots)
    n_samples, _, n_classes = ballots.shape
    y = np.asarray(y)
    if y.shape != (n_samples,):
        why = f"there are ballots on {n_samples} samples"
        raise InputError(message("y", f"shape {y.shape}", why, "pass one class index per sample"))
    odd = y if y.dtype.kind not in "iu" else y[(y < 0) | (y >= n_classes)]
    if len(odd):
        why = f"not a class index from 0 to {n_classes - 1}"
        shown = first_few(np.unique(odd).tolist())
        raise InputError(message("y", shown, why, "number the labels first"))
    weight = np.ones(n_samples) if sample_weight is None else sample_weight
    weight = check_weights(weight, n_samples, name="sample_weight", unit="sample")
    if groups is None:
        return ballots, y, weight, np.arange(n_samples)
    return ballots, y, weight, check_groups(groups, y, np.arange(n_classes))


def of_some_weight(sample_weight, lesions, n_samples: int) -> np.ndarray:
    """Tell which samples are of lesions that count: not all of their images have weight 0.

    Parameters
    ----------
    sample_weight : array-like of shape (n_samples,), or None
    lesions : ndarray of shape (n_samples,), or None
    n_samples : int

    Returns
    -------
    ndarray of bool of shape (n_samples,)
    """
    if sample_weight is None:
        return np.ones(n_samples, dtype=bool)
    if lesions is None:
        return np.asarray(sample_weight) > 0
    _, number = np.unique(lesions, return_inverse=True)
    return np.bincount(number, np.asarray(sample_weight) > 0)[number] > 0


def check_committee(ballots: np.ndarray, shape: tuple[int | None, ...]) -> None:
    """Refuse ballots of another committee than the one a rule was fitted on.

    Parameters
    ----------
    ballots : ndarray of shape (n_samples, n_members, n_classes)
    shape : tuple of int or None
        Number of members, or of members and classes, when the rule was fitted; None: not known.

    Raises
    ------
    InputError
        When they differ.
    """
    given = ballots.shape[1 : 1 + len(shape)]
    if shape != (None,) and given != shape:
        why = f"the rule learnt from {_sizes(shape)}"
        remedy = "let the same members vote, or fit the rule again"
        raise InputError(message("ballots", f"of {_sizes(given)}", why, remedy))


def _sizes(shape: tuple[int | None, ...]) -> str:
    units = ("members", "classes")[: len(shape)]
    return " and ".join(f"{n} {unit}" for n, unit in zip(shape, units, strict=True))


def load_weights(state) -> np.ndarray:
    """Return the members' learnt weights from a saved file, checked."""
    weights = state.array("weights", shape=(None,), dtype=np.float64)
    if not (weights >= 0).all() or abs(weights.sum() - 1) > 1e-9:
        raise state.fault("weights", "negative, or not summing to 1")
    return weights


def load_committee(state) -> int | None:
    """Return the size of the committee from a saved file; the first ones did not tell it."""
    known = state.keys()
    if "n_members" not in known or state.raw("n_members", (int, type(None))) is None:
        return None
    return int(state.number("n_members", 1, 2**31))


def weighted_mean(ballots: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Mean of the ballots by weights that sum to 1, shape (n_samples, n_classes)."""
    return np.einsum("smk,m->sk", ballots, weights)


def fit_and_pool(rule, ballots, y, *, sample_weight=None, groups=None):
    """Fit a rule, and pool the same ballots as if they were new.

    A rule that learns has seen the answers of the ballots it learnt from: what it makes of them is
    too good to set a threshold or a calibration on. Such a rule is learnt again without each fifth
    of the lesions, and pools that fifth.

    Parameters
    ----------
    rule : VotingRule
        Fitted in place, on everything.
    ballots, y, sample_weight, groups
        As in :meth:`VotingRule.fit`.

    Returns
    -------
    ndarray of shape (n_samples, n_classes)
    """
    extra = {"sample_weight": sample_weight, "groups": groups}
    rule.fit(ballots, y, **extra)
    if not rule.learns:
        return rule.combine(ballots)
    n_folds = inner_folds(rule, y, groups)
    folds = lesion_folds(np.unique(y, return_inverse=True)[1], groups, n_folds, random_state=0)
    pooled = np.empty((len(y), ballots.shape[2]))
    for held, learnt in learnt_without_each(rule, ballots, y, folds, **extra):
        pooled[held] = learnt.combine(ballots[held])
    return pooled


def learnt_without_each(rule, ballots, y, folds, **extra):
    """Learn a rule again without each fold.

    Parameters
    ----------
    rule, ballots, y
        As in :func:`fit_and_pool`; the rule itself is not touched.
    folds : ndarray of int of shape (n_samples,)
    **extra : array-like of shape (n_samples,), or None
        What else `fit` takes.

    Yields
    ------
    held : ndarray of bool of shape (n_samples,)
        The fold.
    VotingRule
        Learnt from the others.
    """
    for fold in np.unique(folds):
        held, rest = folds == fold, folds != fold
        part = {k: None if v is None else np.asarray(v)[rest] for k, v in extra.items()}
        yield held, clone(rule).fit(ballots[rest], y[rest], **part)


def inner_folds(rule, y, groups) -> int:
    """Return in how many folds a rule is learnt again; refuse lesions that are too few for two."""
    lesions = np.arange(len(y)) if groups is None else groups
    rarest = np.bincount(y[np.unique(lesions, return_index=True)[1]])
    n_folds = min(5, int(rarest[rarest > 0].min()))
    if n_folds < 2:
        why = "a rule that learns, below another that does, needs two lesions of each class"
        raise InputError(message("lesions", type(rule).__name__, why, "use a rule such as soft"))
    return n_folds


def check_pooled(pooled, ballots: np.ndarray, rule) -> np.ndarray:
    """Return what a rule made of ballots, if they are probabilities.

    Parameters
    ----------
    pooled : ndarray
        From ``rule.combine(ballots)``.
    ballots : ndarray of shape (n_samples, n_members, n_classes)
    rule : VotingRule

    Returns
    -------
    ndarray of float64 of shape (n_samples, n_classes)

    Raises
    ------
    InputError
        When the shape is another one, or rows are not finite, negative or do not sum to 1.
    """
    pooled, expected = np.asarray(pooled, dtype=np.float64), ballots.shape[::2]
    why = ""
    if pooled.shape != expected:
        why = f"combine gave the shape {pooled.shape}, not {expected}"
    elif not (np.abs(pooled.sum(axis=1) - 1) <= SUM_TOLERANCE).all() or pooled.min() < 0:
        why = "combine gave rows that are negative, not finite, or do not sum to 1"
    if why:
        remedy = "let it return one probability per class, such as scores / scores.sum(axis=1)"
        raise InputError(message("voting rule", type(rule).__name__, why, remedy))
    return pooled


def refuse_undefined(pooled: np.ndarray) -> np.ndarray:
    """Return pooled probabilities; NaN, which would read as a verdict, is refused."""
    if np.isnan(pooled).any():
        rows = first_few(np.flatnonzero(np.isnan(pooled).any(axis=1)))
        why = "the pooled probability is not a number"
        raise InputError(message("ballots", f"rows {rows}", why, "check them by check_ballots"))
    return pooled
