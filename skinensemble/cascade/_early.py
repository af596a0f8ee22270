"""Whom a cascade asks: everybody, or in turn until the rest cannot change what it says."""

from __future__ import annotations

import numpy as np
from sklearn.utils import _safe_indexing

from skinensemble.cascade._withhold import accepted_sides
from skinensemble.committee import accept_all, prepare_all
from skinensemble.exceptions import InputError, message
from skinensemble.members._together import heads_together
from skinensemble.stage import EarlyDecision
from skinensemble.voting._settled import equal_ends, has_lead

__all__ = [
    "ask_all",
    "ask_diagnosis",
    "ask_triage",
    "by_all",
    "check_early",
    "decide",
    "get_ready",
]


def check_early(early_exit: bool, prevalence) -> None:
    """Refuse an early exit where the probabilities of all images have to be known."""
    if early_exit and isinstance(prevalence, str):
        why = "it is estimated from the probabilities that an early exit does not work out"
        remedy = "pass a share, or early_exit=False"
        raise InputError(message("prevalence", repr(prevalence), why, remedy))


def get_ready(cascade, X, early_exit: bool = False, *, types: bool):
    """Let the members do their shared work on `X`; with an early exit no network runs yet.

    Those of the diagnosis do theirs only if all its `types` are wanted; else when they are asked.
    """
    triage, diagnosis = cascade.triage_.members_, cascade.diagnosis_.members_
    X = accept_all([*triage, *diagnosis], X)
    if early_exit:
        return X
    return prepare_all([*triage, *diagnosis] if types else triage, X)


def ask_all(cascade, X, prevalence=None):
    """Return the ballots of both stages, from all members.

    On the hard route those of the diagnosis are equal shares for what the triage found benign.
    """
    stage = cascade.diagnosis_
    if cascade.route == "soft":
        with heads_together([*cascade.triage_.members_, *stage.members_], X):
            return cascade.triage_.cast(X), stage.cast(X)
    triage = cascade.triage_.cast(X)
    n_classes = len(stage.classes_)
    diagnosis = np.full((len(triage), len(stage.members_), n_classes), 1 / n_classes)
    rows = np.flatnonzero(cascade._sides(triage, prevalence)[1])
    if len(rows):
        diagnosis[rows] = stage.cast(_safe_indexing(X, rows))
    return triage, diagnosis


def ask_triage(cascade, X, early_exit=False, *, prevalence=None, withhold=False):
    """Return the ballots of the triage, and who was asked.

    Parameters
    ----------
    cascade : Cascade
        Fitted.
    X : from :func:`get_ready`
    early_exit : bool, default=False
    prevalence : float, default=None
        As in :meth:`Cascade.malignant_proba`.
    withhold : bool, default=False
        Whether it has to be settled, too, which verdicts are referred.

    Returns
    -------
    ballots : ndarray of shape (n_samples, n_members, 2)
    asked : ndarray of bool of shape (n_samples, n_members)
    """
    stage = cascade.triage_
    if not early_exit:
        return by_all(stage.cast(X))

    def outcome(ballots):
        sides, malignant = cascade._sides(ballots)
        stated = malignant if prevalence is None else cascade._sides(ballots, prevalence)[1]
        referral = cascade.triage_referral_ if withhold else None
        kept = accepted_sides(referral, sides, malignant, stated)
        # Each of these numbers belongs to one interval of the pooled probability.
        return stated + 2 * malignant + 4 * kept

    def settled(ballots, asked, _):
        if asked.all() or not stage.voting_.is_monotone(2):
            return stage.voting_.settled(ballots, asked)
        same = equal_ends(outcome, ballots, asked)
        if withhold and cascade.diagnosis_referral_ is not None:
            # Whether the diagnosis is sure enough depends on the very probability.
            same &= outcome(ballots) % 2 == 0
        return same

    return stage.ask_early(X, settled)


def ask_diagnosis(cascade, X, malignant, early_exit=False, *, withhold=False):
    """Return the ballots of the diagnosis, and who was asked.

    Parameters
    ----------
    cascade, X, early_exit
        As in :func:`ask_triage`.
    malignant : ndarray of bool of shape (n_samples,)
        Decisions of the triage: only diagnoses of that side stand for election.
    withhold : bool, default=False
        Whether it has to be settled, too, which diagnoses are referred.
    """
    stage = cascade.diagnosis_
    if not early_exit:
        return by_all(stage.cast(X))
    mask = cascade.malignant_mask_
    allowed = np.stack([~mask, mask])[malignant.astype(int)]

    def settled(ballots, asked, rows):
        if asked.all() or not stage.voting_.is_monotone(len(mask)):
            return stage.voting_.settled(ballots, asked)
        if withhold and cascade.diagnosis_referral_ is not None:
            return np.zeros(len(rows), dtype=bool)
        return has_lead(stage.pool, ballots, asked, allowed[rows])

    return stage.ask_early(X, settled)


def decide(cascade, X, prevalence, early_exit: bool) -> EarlyDecision:
    """Return what :meth:`Cascade.predict` gives, and who was asked."""
    check_early(early_exit, prevalence)
    X = get_ready(cascade, X, early_exit, types=cascade.route == "soft")
    ballots, asked = ask_triage(cascade, X, early_exit, prevalence=prevalence)
    malignant = cascade._sides(ballots, prevalence)[1]
    n, n_members = len(malignant), len(cascade.diagnosis_.members_)
    rows = np.arange(n) if cascade.route == "soft" else np.flatnonzero(malignant)
    found, later = np.full(n, cascade.commonest_benign_), np.zeros((n, n_members), dtype=bool)
    if len(rows):
        part, side = _safe_indexing(X, rows), malignant[rows]
        types, later[rows] = ask_diagnosis(cascade, part, side, early_exit)
        found[rows] = cascade.decide_types(types, side)
    return EarlyDecision(cascade.classes_[found], np.hstack([asked, later]))


def by_all(ballots):
    """Return ballots, and that every member was asked for them."""
    return ballots, np.ones(ballots.shape[:2], dtype=bool)
