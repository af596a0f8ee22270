"""The verdicts of a cascade: its procedure, followed for each image."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from sklearn.utils import _safe_indexing

from skinensemble.cascade._early import (
    ask_all,
    ask_diagnosis,
    ask_triage,
    by_all,
    check_early,
    get_ready,
)
from skinensemble.cascade._withhold import accepted, accepted_sides, best_malignant
from skinensemble.taxonomy import SIDES
from skinensemble.verdict import Verdict

__all__ = ["follow", "follow_all"]

# Ballots, and who was asked.
Said = tuple[np.ndarray, np.ndarray]


def follow(cascade, X, prevalence, early_exit: bool) -> list[Verdict]:
    """Return the verdicts of :meth:`Cascade.verdicts`."""
    check_early(early_exit, prevalence)
    X = get_ready(cascade, X, early_exit, types=False)
    triage = ask_triage(cascade, X, early_exit, prevalence=prevalence, withhold=True)

    def ask(rows: np.ndarray) -> Said:
        part, malignant = _safe_indexing(X, rows), np.ones(len(rows), dtype=bool)
        return ask_diagnosis(cascade, part, malignant, early_exit, withhold=True)

    return _judge(cascade, triage, ask, prevalence, early_exit)


def follow_all(cascade, X, prevalence) -> tuple[list[Verdict], np.ndarray]:
    """Return the verdicts and the probabilities of all diagnoses; no member is asked twice."""
    triage, diagnosis = ask_all(cascade, X, prevalence)

    def ask(rows: np.ndarray) -> Said:
        return by_all(diagnosis[rows])

    verdicts = _judge(cascade, by_all(triage), ask, prevalence, False)
    return verdicts, cascade.join(triage, diagnosis, prevalence)


def _judge(
    cascade, triage: Said, ask: Callable[[np.ndarray], Said], prevalence, early_exit: bool
) -> list[Verdict]:
    """Return the verdicts; the diagnosis is asked about what goes on to it."""
    ballots, asked = triage
    sides, malignant = cascade._sides(ballots, prevalence)
    threshold = cascade._threshold(ballots, prevalence)
    votes = _heard(cascade.triage_.votes(cascade.restated(ballots, prevalence)), asked)
    # Whether it is sure is asked of the probabilities that the referral was learnt on.
    known, decided = cascade._sides(ballots)
    kept = accepted_sides(cascade.triage_referral_, known, decided, malignant)
    rows = np.flatnonzero(malignant & kept)
    found = iter(_diagnoses(cascade, *ask(rows), known[rows, 1]) if len(rows) else ())
    withheld: list[dict[str, Any]] = [{} if keep else {"referred": "triage"} for keep in kept]
    return [
        Verdict(
            malignant=bool(malignant[i]),
            p_malignant=float(sides[i, 1]),
            threshold=threshold,
            triage_votes=votes[i],
            agreement=_agreement(votes[i], SIDES[int(malignant[i])]),
            early=early_exit,
            **(next(found) if malignant[i] and kept[i] else withheld[i]),
        )
        for i in range(len(ballots))
    ]


def _diagnoses(cascade, ballots, asked, p_malignant) -> list[dict[str, Any]]:
    """Second stage: the diagnosis and its votes, for the samples found malignant."""
    best, given = best_malignant(cascade, ballots)
    # As in training, a false alarm is a wrong type too: the side counts as well.
    kept = accepted(cascade.diagnosis_referral_, given * p_malignant)
    votes = _heard(cascade.diagnosis_.votes(ballots), asked)
    return [
        {
            "diagnosis": cascade.classes_[k].item(),
            "p_diagnosis": float(given[i]),
            "diagnosis_votes": votes[i],
            "referred": None if kept[i] else "diagnosis",
        }
        for i, k in enumerate(best)
    ]


def _agreement(votes: dict, side) -> float:
    return sum(vote == side for vote in votes.values()) / len(votes) if votes else 1.0


def _heard(votes: list[dict], asked: np.ndarray) -> list[dict]:
    """Leave out the votes of members that were not asked."""
    return [
        {name: vote for (name, vote), was in zip(own.items(), row, strict=True) if was}
        for own, row in zip(votes, asked, strict=True)
    ]
