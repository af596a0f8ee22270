"""How good a cascade is: members, voting rules and the constant answers, side by side."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence

import numpy as np
from sklearn.base import clone
from sklearn.utils.validation import check_is_fitted

from skinensemble.cascade import Cascade
from skinensemble.committee import accept_all
from skinensemble.exceptions import UngroupedWarning, message
from skinensemble.identity import content_digests, group_copies, known_rows, lesion_digests
from skinensemble.metrics import (
    Figure,
    auc,
    aurc,
    confusion_figures,
    coverage_at_accuracy,
    expected_calibration_error,
    lesion_weights,
    macro_auc,
)
from skinensemble.referral import lesion_decisions
from skinensemble.report._report import Report, Row
from skinensemble.routing import joint_proba
from skinensemble.stage import Stage
from skinensemble.thresholds import lesion_scores
from skinensemble.validation import (
    check_groups,
    check_lengths,
    encode_known,
)
from skinensemble.voting import SoftVote, VotingRule, resolve_voting_rule, rule_name
from skinensemble.voting._checks import check_pooled

__all__ = ["evaluate"]

RULES = ("majority", "soft", "threshold")


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
        Lesion of each sample; None takes each for a lesion of its own, which warns.
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
        When a label is unknown to the cascade, lengths differ, a lesion is missing or has two
        diagnoses, copies of one image are said to be several lesions, or a rule is unknown.
    """
    check_is_fitted(cascade)
    # A name that is no rule's is known before the networks run.
    known = [(resolve_voting_rule(rule), rule_name(rule)) for rule in rules]
    types = encode_known(y, cascade.classes_, "the cascade")
    check_lengths(X, y=types, groups=groups)
    notes = [] if groups is not None else [_warn_ungrouped()]
    X = accept_all([*cascade.triage_.members_, *cascade.diagnosis_.members_], X)
    names, groups = groups, _lesions(X, types, groups, cascade.classes_)
    weights = lesion_weights(groups, n_resamples, random_state)
    malignant = cascade.malignant_mask_[types]
    notes += _trained_on(cascade, X, names, len(types))
    X = cascade.prepare(X)
    ballots = [stage.cast(X) for stage in (cascade.triage_, cascade.diagnosis_)]
    notes += _missing_from(cascade)
    return Report(
        triage=list(_triage_rows(cascade.triage_, ballots[0], malignant, weights, known, notes)),
        diagnosis=list(_diagnosis_rows(cascade, ballots, types, weights, known, notes)),
        n_images=len(types),
        n_lesions=len(np.unique(groups)),
        lesions=_by_lesion(cascade.triage_, ballots[0], malignant, groups),
        certainty=_certainty(cascade, ballots, types, groups, weights),
        certificate=str(cascade.certificate_) if cascade.certificate_ else None,
        counted_by=cascade.certificate_.lesion if cascade.certificate_ else "worst",
        referrals={
            name: str(referral)
            for name, referral in (
                ("triage", cascade.triage_referral_),
                ("diagnosis", cascade.diagnosis_referral_),
            )
            if referral is not None
        },
        earned={
            name: stage.earned()
            for name, stage in (("triage", cascade.triage_), ("diagnosis", cascade.diagnosis_))
            if len(stage.members_) > 1
        },
        notes=notes,
    )


def _lesions(X, types: np.ndarray, groups, classes: np.ndarray) -> np.ndarray:
    """Return the number of each sample's lesion; copies of an image are one in any case."""
    known = None if groups is None else check_groups(groups, types, classes)
    lesions = group_copies(X, types, known)
    return np.arange(len(types)) if lesions is None else lesions


def _warn_ungrouped() -> str:
    why = "images of one lesion count as several, so the intervals are too narrow"
    text = message("groups", "not given", why, "pass groups=lesion_ids")
    warnings.warn(text, UngroupedWarning, stacklevel=3)
    return f"Attention: lesions not known: {why}."


def _trained_on(cascade: Cascade, X, groups, n: int) -> list[str]:
    stage, remedy = cascade.triage_, "Judge on lesions that the cascade has never seen."
    digests = content_digests(X)
    copies = known_rows(digests, stage.digests_)
    others = np.setdiff1d(known_rows(lesion_digests(groups), stage.lesion_digests_), copies)
    return [
        f"Attention: {len(rows)} of {n} samples {what}; these figures flatter. {remedy}"
        for rows, what in (
            (copies, "were trained on"),
            (others, "show lesions that were trained on"),
            (known_rows(digests, stage._certified), "set the threshold"),
        )
        if len(rows)
    ]


def _missing_from(cascade: Cascade) -> list[str]:
    return [
        f"{member} has no vote in the {name}: {failure}"
        for name, stage in (("triage", cascade.triage_), ("diagnosis", cascade.diagnosis_))
        for member, failure in stage.failures_.items()
    ]


def _triage_rows(stage: Stage, ballots, malignant, weights, rules, notes) -> Iterator[Row]:
    for name, value in (("always benign", 0), ("always malignant", 1)):
        constant = np.full(len(malignant), value)
        yield _triage_row("constant", name, malignant, constant, constant, weights)
    for kind, name, decided, proba in _voters("triage", stage, ballots, rules, notes):
        yield _triage_row(kind, name, malignant, decided, proba[:, 1], weights)


def _diagnosis_rows(cascade: Cascade, ballots, types, weights, rules, notes) -> Iterator[Row]:
    stage, n = cascade.diagnosis_, len(cascade.classes_)
    commonest = int(np.bincount(stage.targets_).argmax())
    constant = np.full(len(types), commonest)
    name = f"always {cascade.classes_[commonest]}"
    yield _row("constant", name, types, constant, np.eye(n)[constant], weights)
    # A threshold decides between two classes only, so the diagnosis has nothing to say of it.
    multiclass = [(rule, name) for rule, name in rules if not rule.binary]
    for kind, name, decided, proba in _voters("diagnosis", stage, ballots[1], multiclass, notes):
        yield _row(kind, name, types, decided, proba, weights)
    pooled, malignant = stage.voting_.combine(ballots[1]), cascade.decide_sides(ballots[0])
    sides = cascade.triage_.voting_.combine(ballots[0])
    chosen = cascade.decide_types(ballots[1], malignant)
    joint = joint_proba(sides, pooled, cascade.malignant_mask_)
    yield _row("cascade", "soft route", types, chosen, joint, weights)
    chosen = np.where(malignant, chosen, cascade.commonest_benign_)
    joint = cascade.hard_proba(pooled, malignant)
    yield _row("cascade", "hard route", types, chosen, joint, weights)


def _voters(where: str, stage: Stage, ballots, rules, notes):
    """Each member alone, then each rule learnt on the stage's out-of-fold ballots; what they say.

    Yields
    ------
    kind, name : str
    decided : ndarray of int of shape (n_samples,)
    proba : ndarray of shape (n_samples, n_classes)
    """
    for i, name in enumerate(stage.named_members_):
        yield "member", name, *_say(SoftVote(), ballots[:, [i]])
    own, same, as_trained = stage.voting_, None, _say(stage.voting_, ballots)
    for rule, name in rules:
        try:
            learnt = clone(rule).fit(stage.ballots_, stage.targets_, groups=stage.lesions_)
            said = _say(learnt, ballots)
        except Exception as error:  # of any kind: the others are judged all the same
            notes.append(f"The rule {name} could not be compared in the {where}. {error}")
            continue
        same = said if name == rule_name(own) else same
        yield "rule", name, *said
    certificate = getattr(own, "certificate_", None)
    held_out = certificate is not None and certificate.kind == "held-out"
    # A rule that learnt from weighted samples may say something else than the same without.
    if held_out or same is None or not all(map(np.array_equal, same, as_trained)):
        yield "vote", "as trained", *as_trained


def _say(rule: VotingRule, ballots) -> tuple[np.ndarray, np.ndarray]:
    return rule.decide(ballots), check_pooled(rule.combine(ballots), ballots, rule)


def _triage_row(kind, name, malignant, decided, scores, weights) -> Row:
    truth = malignant.astype(int)
    figures = confusion_figures(truth, decided, 2, weights)
    values = {
        "accuracy": figures["accuracy"],
        "balanced accuracy": figures["balanced_accuracy"],
        "AUC": auc(malignant, scores, weights),
        "ECE": expected_calibration_error(truth, np.stack([1 - scores, scores], axis=1), weights),
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
        "ECE": expected_calibration_error(types, proba, weights),
    }
    return Row(kind, name, {key: Figure.from_resamples(value) for key, value in values.items()})


def _certainty(cascade: Cascade, ballots, types, groups, weights) -> dict[str, dict[str, Figure]]:
    """How much of each stage's answers could be given, by lesion; of the diagnosis, all types."""
    _, first = np.unique(groups, return_index=True)
    truths = cascade.malignant_mask_[types].astype(int), types
    found = {}
    for name, stage, cast, truth, referral in zip(
        ("triage", "diagnosis"),
        (cascade.triage_, cascade.diagnosis_),
        ballots,
        truths,
        (cascade.triage_referral_, None),
        strict=True,
    ):
        decided, proba = stage.voting_.decide(cast), stage.voting_.combine(cast)
        sure = proba[np.arange(len(truth)), decided]
        by_lesion = lesion_decisions(sure, decided == truth, groups)
        values = _certainty_values(*by_lesion, referral, weights[:, first])
        found[name] = {key: Figure.from_resamples(value) for key, value in values.items()}
    return found


def _certainty_values(sure, right, referral, weights) -> dict[str, np.ndarray]:
    values = {
        "AURC": aurc(right, sure, weights),
        "coverage at 95 % accuracy": coverage_at_accuracy(right, sure, 0.95, weights),
    }
    if referral is not None:
        kept = referral.accepts(sure)
        values["decided"] = weights @ kept / weights.sum(axis=1)
        with np.errstate(invalid="ignore"):
            values["right of these"] = weights @ (kept & right) / (weights @ kept)
    return values


def _by_lesion(stage: Stage, ballots, malignant, groups) -> dict[str, int]:
    """Count lesions in the way that the certificate, if there is one, does."""
    certificate = getattr(stage.voting_, "certificate_", None)
    if certificate is None:
        decided = stage.voting_.decide(ballots).astype(float)
        found, truth = lesion_scores(decided, malignant, groups)
    else:
        scores = stage.pool(ballots)[:, 1]
        found, truth = lesion_scores(scores, malignant, groups, certificate.lesion)
        found = found >= certificate.threshold
    return {
        "n_malignant": int(truth.sum()),
        "misses": int(np.sum(truth & (found == 0))),
        "n_benign": int(np.sum(~truth)),
        "false_alarms": int(np.sum(~truth & (found == 1))),
    }
