"""Which verdicts of a cascade are sure enough to be given."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
from sklearn.base import clone

from skinensemble.referral import Referral, resolve_referral
from skinensemble.routing import joint_proba

__all__ = ["accepted", "best_malignant", "learn_referrals"]


def learn_referrals(cascade) -> tuple[Referral | None, Referral | None]:
    """Learn what to refer in both stages, from the out-of-fold ballots of a fitted cascade."""
    if cascade.refer is None:
        return None, None
    rule, stage, types = resolve_referral(cascade.refer), cascade.triage_, cascade.diagnosis_
    sides, decided = (ask(stage.ballots_) for ask in (stage.voting_.combine, stage.voting_.decide))
    right = decided == stage.targets_
    with _saying("triage"):
        triage = clone(rule).fit(_sure(sides, decided == 1), right, stage.lesions_)
    rows = np.flatnonzero(decided == 1)
    if not len(rows):
        return triage, None
    best, given = best_malignant(cascade, types.ballots_[rows])
    # A false alarm has the wrong type whatever the type: the side counts as well.
    sure, right = given * sides[rows, 1], best == types.targets_[rows]
    lesions = None if stage.lesions_ is None else stage.lesions_[rows]
    with _saying("diagnosis of what is found malignant"):
        return triage, clone(rule).fit(sure, right, lesions)


@contextmanager
def _saying(stage: str) -> Iterator[None]:
    """Put the name of a stage before the warnings of its referral."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        yield
    for one in caught:
        warnings.warn(one.category(f"{stage}: {one.message}"), stacklevel=7)


def best_malignant(cascade, ballots) -> tuple[np.ndarray, np.ndarray]:
    """Best malignant diagnosis of each sample, and its probability given that it is malignant."""
    best = cascade.decide_types(ballots, np.ones(len(ballots), dtype=bool))
    certain = np.tile([0.0, 1.0], (len(ballots), 1))
    types = cascade.diagnosis_.voting_.combine(ballots)
    given = joint_proba(certain, types, cascade.malignant_mask_)
    return best, given[np.arange(len(best)), best]


def accepted(referral: Referral | None, sides, malignant=None) -> np.ndarray:
    """Whether each decision is kept; `sides` is its probability, or the probabilities of both."""
    sure = sides if malignant is None else _sure(sides, malignant)
    return np.ones(len(sure), dtype=bool) if referral is None else referral.accepts(sure)


def _sure(sides, malignant) -> np.ndarray:
    return np.where(malignant, sides[:, 1], sides[:, 0])
