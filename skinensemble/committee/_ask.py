"""What a stage does with each of its members: seed it, fit it, take its ballot."""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from contextvars import copy_context

import numpy as np
from sklearn.base import clone
from sklearn.frozen import FrozenEstimator
from sklearn.utils import _safe_indexing, indexable
from sklearn.utils.validation import _num_samples

from skinensemble._deadline import remaining
from skinensemble._paths import refuse_path
from skinensemble._threads import n_threads
from skinensemble.committee._failures import MemberFailure, late_error, member_error
from skinensemble.exceptions import (
    InputError,
    MemberError,
    SaveError,
    TimeLimitError,
    first_few,
    message,
)
from skinensemble.features._together import pass_together
from skinensemble.members import CollapsedMember, PretrainedMember
from skinensemble.validation import fit_key
from skinensemble.voting import check_ballots

__all__ = [
    "accept_all",
    "blamed",
    "build_all",
    "came_trained",
    "cast_ballot",
    "fit_member",
    "knows_classes",
    "prepare_all",
    "prepare_alone",
    "refuse_weighting",
    "seeded",
    "stack_ballots",
    "trains_together",
]

# About what the user gave, or where things are kept, and they say so themselves.
_NOT_ITS_OWN = (InputError, SaveError)


@contextmanager
def blamed(name: str, method: str, spared: tuple[type[Exception], ...]) -> Iterator[None]:
    """Name the member in what a ``with`` block raises, but for errors that say themselves."""
    try:
        yield
    except spared:
        raise
    except Exception as error:
        raise _failed(name, method, error) from error


def prepare_all(members, X):
    """Let each member do its shared work on `X` once, and pass on what it makes of it."""
    refuse_path(X)
    (X,) = indexable(X)
    steps = [_first_step(member) for member in members]
    if _num_samples(X) < n_threads() and all(hasattr(step, "accept") for step in steps):
        return _prepare_at_once(members, X)
    pass_together([s.frozen_features() for s in steps if hasattr(s, "frozen_features")], X)
    for member in members:
        X = _prepare(member, X)
    return X


def _prepare_at_once(members, X):
    """Do the same, several members at a time: few samples keep no more than one core busy."""
    X = accept_all(members, X)
    with ThreadPoolExecutor(min(len(members), n_threads())) as pool:
        done = [pool.submit(copy_context().run, _prepare, member, X) for member in members]
    return [one.result() for one in done][-1]


def accept_all(members, X):
    """Let the members say what stands for `X`, such as images for paths; no network runs."""
    refuse_path(X)
    (X,) = indexable(X)
    for first in map(_first_step, members):
        X = first.accept(X) if hasattr(first, "accept") else X
    return X


def build_all(members, tolerance) -> dict[str, MemberFailure]:
    """Let the members build their networks before any is trained.

    Parameters
    ----------
    members : list of (str, classifier)
    tolerance : Tolerance

    Returns
    -------
    dict of str to MemberFailure
        Members that cannot, where members may be missing and enough are left.
    """
    failures: dict[str, MemberFailure] = {}
    for name, member in members:
        first = _first_step(member)
        if remaining() == 0 or not hasattr(first, "build_network"):
            continue
        if not tolerance.drops:
            first.build_network()
            continue
        try:
            with blamed(name, "prepare", tolerance.spared):
                first.build_network()
        except MemberError as error:
            failures |= error.failures
    if len(members) - len(failures) < tolerance.min_members:
        tolerance.settle(failures, len(members))
    return failures


def prepare_alone(name: str, member, X, spared):
    """Let a member do its shared work on `X`; name it when it fails."""
    with blamed(name, "prepare", spared):
        return _prepare(member, X)


def _prepare(member, X):
    first = _first_step(member)
    return first.prepare(X) if hasattr(first, "prepare") else X


def _first_step(member):
    # In a pipeline it is the first step that sees the samples.
    while not hasattr(member, "prepare") and hasattr(member, "steps"):
        member = member.steps[0][1]
    return member


def seeded(member, name: str, seed: int | None):
    """Return a clone whose unset ``random_state`` follows from the seed and the name alone."""
    member = clone(member)
    if seed is None:
        return member
    own = np.random.SeedSequence([seed, zlib.crc32(name.encode())]).generate_state(1)[0] % 2**31
    unset = {
        key: int(own)
        for key, value in member.get_params().items()
        if value is None and (key == "random_state" or key.endswith("__random_state"))
    }
    # Not returned: a frozen estimator's set_params returns nothing.
    member.set_params(**unset)
    return member


def came_trained(member) -> bool:
    """Tell whether somebody else trained a member, or a part of it such as a pipeline's step."""
    parts = [member, *member.get_params().values()]
    return any(isinstance(part, FrozenEstimator | PretrainedMember) for part in parts)


def refuse_weighting(members) -> None:
    """Refuse sample weights where one of the named members could not heed them."""
    for name, member in members:
        own = member.classifier if isinstance(member, CollapsedMember) else member
        weighted = isinstance(own, FrozenEstimator)
        if not weighted and fit_key(own, "sample_weight") is None:
            why = f"fit of {type(own).__name__} takes no sample_weight"
            raise InputError(message("member", name, why, "leave out the weights or the member"))


def fit_member(name: str, member, X, y, parts, extra, *, spared=_NOT_ITS_OWN) -> list:
    """Fit a clone of a member on each part of the rows; name it when it fails.

    Of `extra` it gets what its ``fit`` takes.
    """
    with blamed(name, "fit", spared):
        keys = {what: fit_key(member, what) for what in extra}
        known = {key: extra[what] for what, key in keys.items() if key is not None}
        if len(parts) > 1 and trains_together(member):
            return member.fit_each(X, y, parts, **known)
        return [_fit_part(member, X, y, rows, known) for rows in parts]


def trains_together(member) -> bool:
    """Whether a member trains for several parts of the rows at once, by its ``fit_each``."""
    # A frozen estimator hands on every attribute, and must not train by any of them.
    return hasattr(member, "fit_each") and not isinstance(member, FrozenEstimator)


def _failed(name: str, method: str, error: Exception) -> MemberError:
    if isinstance(error, TimeLimitError):
        return late_error(name, error)
    why = f"{type(error).__name__} in {method}: {error}"
    other = "leave it out" if method == "fit" else "pass such samples as it was trained on"
    return member_error(name, method, why, f"correct what it names, or {other}")


def _fit_part(member, X, y, rows, extra):
    extra = {key: value[rows] for key, value in extra.items()}
    return clone(member).fit(_safe_indexing(X, rows), y[rows], **extra)


def knows_classes(classes, member) -> bool:
    """Whether a member says for what it votes, and the stage has all of it."""
    own = getattr(member, "classes_", None)
    return own is not None and bool(np.isin(own, classes).all())


def cast_ballot(name, member, X, classes, *, spared=_NOT_ITS_OWN):
    """Return a member's probabilities, its columns mapped to `classes` by label."""
    if not hasattr(member, "classes_"):
        why = "it has no classes_, so nobody knows what its columns stand for"
        raise member_error(name, "fit", why, "let its fit set them")
    if not knows_classes(classes, member):
        shown = first_few(np.setdiff1d(member.classes_, classes).tolist())
        why = f"it votes for {shown}, which the stage does not know"
        raise member_error(name, "fit", why, "train it on the labels of the stage")
    # Where an InputError may be about what the user gave, a TypeError may be so too.
    spared = (*spared, TypeError) if InputError in spared else spared
    with blamed(name, "predict_proba", spared):
        proba = np.asarray(member.predict_proba(X), dtype=np.float64)
    shape = (_num_samples(X), len(member.classes_))
    if proba.shape != shape:
        why = f"predict_proba gave the shape {proba.shape}, not {shape}"
        remedy = "give one column for each of its classes"
        raise member_error(name, "predict_proba", why, remedy)
    ballot = np.zeros((len(proba), len(classes)))
    ballot[:, np.searchsorted(classes, member.classes_)] = proba
    return ballot


def stack_ballots(ballots, names):
    """Stack the members' ballots along axis 1, checked; name the member whose ballot is NaN."""
    for name, ballot in zip(names, ballots, strict=True):
        if not np.isfinite(ballot).all():
            why = f"predict_proba gave NaN for {np.sum(~np.isfinite(ballot).all(axis=1))} samples"
            remedy = "lower its learning rate, check the images, or leave the member out"
            raise member_error(name, "predict_proba", why, remedy)
    return check_ballots(np.stack(ballots, axis=1))
