"""How good a cascade is: each member, each rule and the constant answers, side by side."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field

import numpy as np
from sklearn.utils.validation import check_consistent_length, check_is_fitted

from skinensemble.cascade import Cascade
from skinensemble.exceptions import CertificateError, InputError, first_few, message
from skinensemble.metrics import Figure, auc, confusion_figures, lesion_weights, macro_auc
from skinensemble.routing import joint_proba
from skinensemble.stage import Stage
from skinensemble.tables import text_table
from skinensemble.thresholds import lesion_scores, sensitivity_bound
from skinensemble.validation import content_digests
from skinensemble.voting import SoftVote, VotingRule, resolve_voting_rule

__all__ = ["Report", "Row", "evaluate"]

RULES = ("majority", "soft", "threshold")


@dataclass(frozen=True)
class Row:
    """Figures of one member, rule or constant answer.

    Attributes
    ----------
    kind : {"member", "rule", "constant"}
    name : str
    figures : dict of str to Figure
        Accuracy, balanced accuracy and AUC; for the triage sensitivity and specificity as well.
    misses, false_alarms : int or None
        Malignant images called benign, and benign ones called malignant; None for the diagnosis.
    """

    kind: str
    name: str
    figures: dict[str, Figure]
    misses: int | None = None
    false_alarms: int | None = None


@dataclass(frozen=True)
class Report:
    """Figures of a cascade on labelled images; prints as two tables.

    Attributes
    ----------
    triage, diagnosis : list of Row
    n_images, n_lesions : int
    lesions : dict
        What the cascade's own decision does lesion by lesion, each counted by its worst image:
        ``n_malignant``, ``misses``, ``n_benign``, ``false_alarms``.
    certificate : str or None
        What was promised when the cascade was fitted or certified.
    notes : list of str
        What could not be computed, and why.
    """

    triage: list[Row]
    diagnosis: list[Row]
    n_images: int
    n_lesions: int
    lesions: dict[str, int]
    certificate: str | None = None
    notes: list[str] = field(default_factory=list)

    def to_dict(self) -> dict:
        """Return the report as plain dicts, lists and numbers."""
        return asdict(self)

    def __str__(self):
        per, of = "95 % intervals by bootstrap of lesions", f"{self.n_images} images"
        parts = [
            *self.notes,
            f"Triage: malignant or benign ({of} of {self.n_lesions} lesions; {per})",
            _table(self.triage),
            "Diagnosis: all types",
            _table(self.diagnosis),
            self._by_lesion(),
            *([f"Promised: {self.certificate}"] if self.certificate else []),
        ]
        return "\n\n".join(parts)

    def _by_lesion(self) -> str:
        found = self.lesions
        n, misses = found["n_malignant"], found["misses"]
        bound = sensitivity_bound(misses, n) if n else float("nan")
        specificity = 1 - found["false_alarms"] / found["n_benign"] if found["n_benign"] else np.nan
        return (
            f"The cascade itself, lesion by lesion (worst image): {misses} of {n} malignant lesions"
            f" missed, sensitivity {1 - misses / n if n else np.nan:.3f}"
            f" (≥ {np.floor(1000 * bound) / 1000:.3f} with 95 % confidence),"
            f" specificity {specificity:.3f}"
        )


def evaluate(
    cascade: Cascade,
    X,
    y,
    *,
    groups=None,
    rules: Sequence[str | VotingRule] = RULES,
    n_resamples: int = 1000,
    random_state: int = 0,
) -> Report:
    """Judge a fitted cascade on labelled samples it has not seen.

    Every rule is learnt on the out-of-fold ballots of the training and applied to the same ballots
    of the new samples: comparing rules costs no training.

    Parameters
    ----------
    cascade : Cascade
        Fitted.
    X : images, or whatever the members take, of length n_samples
    y : array-like of shape (n_samples,)
        Diagnoses.
    groups : array-like of shape (n_samples,), default=None
        Lesion of each sample; None takes each for a lesion of its own.
    rules : sequence of str or VotingRule, default=("majority", "soft", "threshold")
        Rules to compare, beside the cascade's own.
    n_resamples : int, default=1000
        Bootstrap resamples of the lesions.
    random_state : int, default=0

    Returns
    -------
    Report

    Raises
    ------
    InputError
        When a label is unknown to the cascade, or lengths differ.
    """
    check_is_fitted(cascade)
    y = np.asarray(y)
    groups = np.arange(len(y)) if groups is None else np.asarray(groups)
    check_consistent_length(X, y, groups)
    unknown = np.setdiff1d(y, cascade.classes_)
    if len(unknown):
        why = f"the cascade knows {first_few(cascade.classes_.tolist())}"
        raise InputError(message("labels", first_few(unknown), why, "map or remove them"))
    types, malignant = np.searchsorted(cascade.classes_, y), np.isin(y, cascade.malignant_)
    weights = lesion_weights(groups, n_resamples, random_state)
    X = cascade.prepare(X)
    ballots = [stage.ballots(X) for stage in (cascade.triage_, cascade.diagnosis_)]
    notes = _notes_on(cascade, X)
    decided = cascade.triage_.voting_.decide(ballots[0]) == 1
    return Report(
        triage=list(_triage_rows(cascade.triage_, ballots[0], malignant, weights, rules, notes)),
        diagnosis=list(_diagnosis_rows(cascade, ballots, types, weights, rules)),
        n_images=len(y),
        n_lesions=len(np.unique(groups)),
        lesions=_by_lesion(decided, malignant, groups),
        certificate=str(cascade.certificate_) if cascade.certificate_ else None,
        notes=notes,
    )


def _notes_on(cascade: Cascade, X) -> list[str]:
    known, own = cascade.triage_.digests_, content_digests(X)
    if known is None or own is None or not np.isin(own, known).any():
        return []
    n = int(np.isin(own, known).sum())
    remedy = "Judge on lesions that the cascade has never seen."
    return [
        f"Attention: {n} of {len(own)} samples were trained on; these figures flatter. {remedy}"
    ]


def _triage_rows(stage: Stage, ballots, malignant, weights, rules, notes) -> Iterator[Row]:
    for name, value in (("always benign", 0), ("always malignant", 1)):
        constant = np.full(len(malignant), value)
        yield _triage_row("constant", name, malignant, constant, constant, weights)
    for kind, name, rule, cast in _voters(stage, ballots, rules, notes):
        proba = rule.combine(cast)[:, 1]
        yield _triage_row(kind, name, malignant, rule.decide(cast), proba, weights)


def _diagnosis_rows(cascade: Cascade, ballots, types, weights, rules) -> Iterator[Row]:
    stage, n = cascade.diagnosis_, len(cascade.classes_)
    commonest = int(np.bincount(stage.targets_).argmax())
    constant = np.full(len(types), commonest)
    name = f"always {cascade.classes_[commonest]}"
    yield _row("constant", name, types, constant, np.eye(n)[constant], weights)
    # A threshold decides between two classes only, so the diagnosis has nothing to say of it.
    multiclass = [rule for rule in rules if not _is_binary(rule)]
    for kind, name, rule, cast in _voters(stage, ballots[1], multiclass, []):
        yield _row(kind, name, types, rule.decide(cast), rule.combine(cast), weights)
    sides = cascade.triage_.voting_.combine(ballots[0])
    joint = joint_proba(sides, stage.voting_.combine(ballots[1]), cascade.malignant_mask_)
    chosen = cascade.decide_types(ballots[1], cascade.triage_.voting_.decide(ballots[0]) == 1)
    yield _row("rule", "cascade (both stages)", types, chosen, joint, weights)


def _is_binary(rule) -> bool:
    return rule == "threshold" or hasattr(rule, "min_sensitivity")


def _voters(stage: Stage, ballots, rules, notes):
    """Each member alone, then each rule learnt on the stage's out-of-fold ballots."""
    for i, (name, _) in enumerate(stage.members):
        yield "member", name, SoftVote(), ballots[:, [i]]
    for name in rules:
        rule = resolve_voting_rule(name)
        try:
            rule.fit(stage.ballots_, stage.targets_, groups=stage.lesions_)
        except CertificateError as error:
            notes.append(f"The rule {name} could not be compared. {error}")
            continue
        yield "rule", name if isinstance(name, str) else repr(name), rule, ballots


def _triage_row(kind, name, malignant, decided, scores, weights) -> Row:
    truth = malignant.astype(int)
    figures = confusion_figures(truth, decided, 2, weights)
    values = {
        "accuracy": figures["accuracy"],
        "balanced accuracy": figures["balanced_accuracy"],
        "AUC": auc(malignant, scores, weights),
        "sensitivity": figures["recall"][:, 1],
        "specificity": figures["recall"][:, 0],
    }
    return Row(
        kind,
        name,
        {key: Figure.from_resamples(value) for key, value in values.items()},
        misses=int(np.sum(malignant & (decided == 0))),
        false_alarms=int(np.sum(~malignant & (decided == 1))),
    )


def _row(kind, name, types, decided, proba, weights) -> Row:
    figures = confusion_figures(types, decided, proba.shape[1], weights)
    values = {
        "accuracy": figures["accuracy"],
        "balanced accuracy": figures["balanced_accuracy"],
        "AUC": macro_auc(types, proba, weights),
    }
    return Row(kind, name, {key: Figure.from_resamples(value) for key, value in values.items()})


def _by_lesion(decided, malignant, groups) -> dict[str, int]:
    found, truth = lesion_scores(decided.astype(float), malignant, groups)
    return {
        "n_malignant": int(truth.sum()),
        "misses": int(np.sum(truth & (found == 0))),
        "n_benign": int(np.sum(~truth)),
        "false_alarms": int(np.sum(~truth & (found == 1))),
    }


def _table(rows: list[Row]) -> str:
    counts = rows[0].misses is not None
    header = ["", *rows[0].figures, *(["misses", "false alarms"] if counts else [])]
    body = [
        [f"{row.kind}: {row.name}", *row.figures.values()]
        + ([row.misses, row.false_alarms] if counts else [])
        for row in rows
    ]
    return text_table(header, body)
