"""What a cascade makes of its two stages beside fitting them."""

from __future__ import annotations

from numbers import Integral

import numpy as np
from sklearn.base import clone
from sklearn.frozen import FrozenEstimator

from skinensemble.exceptions import InputError, MemberError, first_few, message
from skinensemble.members import CollapsedMember, PretrainedMember
from skinensemble.stage import Stage
from skinensemble.taxonomy import SIDES
from skinensemble.validation import lesion_folds

__all__ = ["adopt_members", "collapse_finished", "common_folds", "shared_triage"]


def common_folds(stages, y: np.ndarray, groups, classes, random_state=None) -> np.ndarray:
    """Return the fold in which both stages hold out each sample.

    Parameters
    ----------
    stages : pair of Stage
    y, groups, classes, random_state
        As in :func:`~skinensemble.validation.lesion_folds`, of the diagnoses.

    Returns
    -------
    ndarray of int of shape (n_samples,)

    Raises
    ------
    InputError
        When they would hold out different lesions.
    """
    # A splitter that both have is asked once: it may shuffle without a seed.
    asked = {_identity(stage.cv): stage.cv for stage in stages}
    options = {"classes": classes, "random_state": random_state}
    tables = [lesion_folds(y, groups, cv, **options) for cv in asked.values()]
    if not np.array_equal(tables[0], tables[-1]):
        why = "the ballots of both stages are joined, so they must hold out the same lesions"
        shown = " and ".join(f"cv={stage.cv!r:.60}" for stage in stages)
        raise InputError(message("folds", shown, why, "give both stages the same cv"))
    return tables[0]


def _identity(cv) -> str | int:
    # Long tables of rows that differ may read the same.
    return repr(cv) if cv is None or isinstance(cv, Integral) or hasattr(cv, "split") else id(cv)


def collapse_finished(triage: Stage, classes: np.ndarray, malignant: np.ndarray) -> Stage:
    """Let the finished members of a triage that name diagnoses answer for their sides.

    Parameters
    ----------
    triage : Stage
        Not fitted; changed in place.
    classes, malignant : ndarray of labels
        The diagnoses, and those that count as malignant.

    Returns
    -------
    Stage

    Raises
    ------
    MemberError
        When a member votes for what is neither a side nor a diagnosis, or for one side only.
    """
    known, bad = set(classes.tolist()), set(malignant.tolist())
    members = [(name, _collapsed(name, member, known, bad)) for name, member in triage.members]
    return triage.set_params(members=members)


def shared_triage(diagnosis: Stage, classes: np.ndarray, malignant: np.ndarray, voting) -> Stage:
    """Return a triage, not fitted, in which the members of the diagnosis vote.

    Parameters
    ----------
    diagnosis : Stage
        Not fitted.
    classes, malignant : ndarray of labels
        As in :func:`collapse_finished`.
    voting : str or VotingRule
        Rule of the triage.

    Raises
    ------
    MemberError
        When a finished member votes for what is no diagnosis, or for one side only.
    """
    labels = malignant.tolist()
    sides = set(classes.tolist()), set(labels)
    for name, member in diagnosis.members:
        _refuse_other_labels(name, _finished_labels(member), *sides, shared=True)
    members = [(name, CollapsedMember(member, labels)) for name, member in diagnosis.members]
    return clone(diagnosis).set_params(members=members, voting=voting, calibration=None)


def adopt_members(triage: Stage, diagnosis: Stage, malignant: np.ndarray) -> Stage:
    """Fit a triage of :func:`shared_triage` without training anything.

    Its ballots are those of the diagnosis, added up by side; only its voting rule has to learn.

    Parameters
    ----------
    triage : Stage
        Changed in place.
    diagnosis : Stage
        Fitted.
    malignant : ndarray of bool of shape (n_classes,)
        Which classes of the diagnosis are.

    Returns
    -------
    Stage
    """
    ballots = diagnosis.ballots_
    sides = [ballots[..., ~malignant].sum(axis=2), ballots[..., malignant].sum(axis=2)]
    labels = {name: one.malignant for name, one in triage.members}
    voters = {
        name: CollapsedMember.around(member, labels[name])
        for name, member in diagnosis.named_members_.items()
    }
    targets = malignant[diagnosis.targets_].astype(int)
    weight = diagnosis.sample_weight_
    return triage.adopt(voters, np.stack(sides, axis=2), SIDES, targets, diagnosis, weight)


def _collapsed(name: str, member, known: set, malignant: set):
    labels = _finished_labels(member)
    if not labels or labels <= set(SIDES.tolist()):
        return member
    _refuse_other_labels(name, labels, known, malignant)
    if isinstance(member, PretrainedMember):
        sides = SIDES[[int(label in malignant) for label in _plain(member.classes)]]
        return clone(member).set_params(classes=sides.tolist())
    return CollapsedMember(member, malignant=sorted(labels & malignant))


def _refuse_other_labels(name: str, labels: set, known: set, malignant: set, shared=False) -> None:
    """Refuse a finished member that cannot be added up by side; one to be trained has no labels."""
    also = "" if shared else ", or in benign and malignant"
    if labels - known:
        why = f"it votes for {first_few(sorted(labels - known, key=str))}, which y does not hold"
        remedy = f"let it answer in {first_few(sorted(known))}{also}"
        raise MemberError(message("member", name, why, remedy))
    if labels and (not labels & malignant or labels <= malignant):
        why = f"all it knows ({first_few(sorted(labels))}) is of one side"
        remedy = "give the triage members of its own" if shared else "leave it out of the triage"
        raise MemberError(message("member", name, why, remedy))


def _finished_labels(member) -> set:
    """Labels of a member that is not to be trained; of any other, none."""
    if isinstance(member, PretrainedMember):
        return set(_plain(member.classes))
    return (
        set(_plain(getattr(member, "classes_", None)))
        if isinstance(member, FrozenEstimator)
        else set()
    )


def _plain(labels) -> list:
    return [] if labels is None else np.asarray(labels).tolist()
