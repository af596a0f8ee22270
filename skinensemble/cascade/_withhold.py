"""Which verdicts of a cascade are sure enough to be given."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
from sklearn.base import clone

from skinensemble.exceptions import ReferralWarning, message
from skinensemble.referral import Referral, resolve_referral
from skinensemble.routing import best_on_side, joint_proba
from skinensemble.voting._checks import learnt_without_each, of_some_weight
from skinensemble.voting._threshold import without_threshold

__all__ = ["accepted", "accepted_sides", "best_malignant", "learn_referrals"]


def learn_referrals(cascade) -> tuple[Referral | None, Referral | None]:
    """Learn what to refer in both stages, from the out-of-fold ballots of a fitted cascade."""
    if cascade.refer is None:
        return None, None
    rule, stage, types = resolve_referral(cascade.refer), cascade.triage_, cascade.diagnosis_
    sides, decided = _unseen(stage)
    # A lesion without any weight proves nothing.
    counts = of_some_weight(stage.sample_weight_, stage.lesions_, len(decided))
    right, lesions = decided == stage.targets_, stage.lesions_
    with _saying("triage"):
        own = None if lesions is None else lesions[counts]
        triage = clone(rule).fit(_sure(sides, decided == 1)[counts], right[counts], own)
    rows = np.flatnonzero((decided == 1) & counts)
    if not len(rows):
        why = "nothing is found malignant out of fold, so no type can be proved"
        remedy = "every type is referred; lower the threshold, or add malignant lesions"
        warnings.warn(message("referral", repr(rule), why, remedy), ReferralWarning, stacklevel=5)
        return triage, clone(rule).refer_everything()
    pooled, _ = _unseen(types)
    best, given = best_malignant(cascade, types.ballots_[rows], pooled[rows])
    # A false alarm has the wrong type whatever the type: the side counts as well.
    sure, right = given * sides[rows, 1], best == types.targets_[rows]
    own = None if lesions is None else lesions[rows]
    with _saying("diagnosis of what is found malignant"):
        return triage, clone(rule).fit(sure, right, own)


@contextmanager
def _saying(stage: str) -> Iterator[None]:
    """Put the name of a stage before the warnings of its referral."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        yield
    for one in caught:
        warnings.warn(one.category(f"{stage}: {one.message}"), stacklevel=7)


def _unseen(stage) -> tuple[np.ndarray, np.ndarray]:
    """Return what the rule pools and decides of the out-of-fold ballots, as if they were new.

    A rule that learns has seen their answers: each fold is left to one that was learnt without it.
    """
    rule, ballots = stage.voting_, stage.ballots_
    # What a certificate proves is not learnt again; a threshold that was tuned is part of the rule.
    proved = getattr(rule, "certificate_", None) is not None
    plain = without_threshold(rule) if proved else rule
    if not plain.learns:
        return rule.combine(ballots), rule.decide(ballots)
    pooled, decided = np.empty(ballots.shape[::2]), np.empty(len(ballots), np.intp)
    known = stage.targets_, stage.folds_
    extra = {"sample_weight": stage.sample_weight_, "groups": stage.lesions_}
    for held, learnt in learnt_without_each(plain, ballots, *known, **extra):
        pooled[held], decided[held] = learnt.combine(ballots[held]), learnt.decide(ballots[held])
    if proved:
        decided = (pooled[:, 1] >= rule.threshold_).astype(np.intp)
    return pooled, decided


def best_malignant(cascade, ballots, types=None) -> tuple[np.ndarray, np.ndarray]:
    """Best malignant diagnosis of each sample, and its probability given that it is malignant.

    `types` are the pooled probabilities, where they are not to be those of the fitted rule.
    """
    types = cascade.diagnosis_.pool(ballots) if types is None else types
    everything, mask = np.ones(len(ballots), dtype=bool), cascade.malignant_mask_
    best = best_on_side(types, ballots, everything, mask)
    given = joint_proba(np.tile([0.0, 1.0], (len(ballots), 1)), types, mask)
    return best, given[np.arange(len(best)), best]


def accepted(referral: Referral | None, sure) -> np.ndarray:
    """Whether each decision, by its probability, is kept."""
    return np.ones(len(sure), dtype=bool) if referral is None else referral.accepts(sure)


def accepted_sides(referral: Referral | None, sides, malignant, stated) -> np.ndarray:
    """Whether each decision of the triage is kept.

    The referral learnt how sure it is of `malignant`. Where a prevalence makes it say something
    else (`stated`), nothing is known about that.
    """
    kept = accepted(referral, _sure(sides, malignant))
    return kept if referral is None else kept & (malignant == stated)


def _sure(sides, malignant) -> np.ndarray:
    return np.where(malignant, sides[:, 1], sides[:, 0])
