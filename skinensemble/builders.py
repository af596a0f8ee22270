"""Stages built from the names of their backbones, and one built after another."""

from __future__ import annotations

from sklearn.base import clone

from skinensemble.exceptions import InputError, first_few, message
from skinensemble.members import TransferClassifier
from skinensemble.stage import Stage

__all__ = ["DEFAULT_BACKBONES", "make_diagnosis", "make_stage", "weights_of"]

DEFAULT_BACKBONES = ("efficientnet_lite0", "efficientnet_lite1", "efficientnet_lite2")
"""Backbones whose ImageNet weights need no weights host (extra ``offline``)."""


def make_stage(
    *backbones,
    weights="imagenet",
    voting="soft",
    cv=None,
    refit=True,
    n_jobs=None,
    on_error="raise",
    min_members=1,
    time_limit=None,
    member_time_limit=None,
    **options,
) -> Stage:
    """Build a stage of transfer-learned members.

    Parameters
    ----------
    *backbones : str or (str, classifier)
        Names of backbones, each a member of that name; or named members of your own.
    weights : {"imagenet", None}, path, or dict of backbone name to one of these
        A dict leaves the others at ``"imagenet"``.
    voting : str or VotingRule, default="soft"
    cv : int, default=None
        Folds; None is 5.
    refit, n_jobs, on_error, min_members, time_limit, member_time_limit
        As in :class:`Stage`.
    **options
        Parameters of every :class:`TransferClassifier`.

    Returns
    -------
    Stage

    Raises
    ------
    InputError
        When `weights` names a backbone that is not used, or there are options and no backbone.
    """
    names = [name for name in backbones if isinstance(name, str)]
    given = weights_of(names, weights)
    idle = sorted(set(options) - {"verbose"})
    if idle and not names:
        why = "they are of backbones, and none is named"
        raise InputError(message("options", first_few(idle), why, "give them to your members"))
    members = [
        backbone
        if isinstance(backbone, tuple)
        else (
            backbone,
            TransferClassifier(backbone, weights=given[backbone], **options),
        )
        for backbone in backbones
    ]
    return Stage(
        members,
        voting=voting,
        cv=cv,
        refit=refit,
        n_jobs=n_jobs,
        verbose=options.get("verbose", 0),
        on_error=on_error,
        min_members=min_members,
        time_limit=time_limit,
        member_time_limit=member_time_limit,
    )


def weights_of(backbones, weights) -> dict:
    """Return the weights of each backbone, in the order of the backbones.

    Parameters
    ----------
    backbones : sequence of str
    weights : {"imagenet", None}, path, or dict of backbone name to one of these
        A dict leaves the others at ``"imagenet"``.

    Raises
    ------
    InputError
        When the dict names a backbone that is not among them.
    """
    given = weights if isinstance(weights, dict) else dict.fromkeys(backbones, weights)
    unknown = sorted(set(given) - set(backbones))
    if unknown:
        why = f"not among the backbones {first_few(backbones)}"
        raise InputError(message("weights", first_few(unknown), why, "correct the names"))
    return {name: given.get(name, "imagenet") for name in backbones}


def make_diagnosis(triage: Stage, voting="soft") -> Stage:
    """Build the stage that diagnoses, with the members of a triage.

    Parameters
    ----------
    triage : Stage
    voting : str or VotingRule, default="soft"

    Returns
    -------
    Stage
        Not fitted. If the triage is calibrated it is by temperature, the one method that any
        number of classes can have.
    """
    calibration = None if triage.calibration is None else "temperature"
    return clone(triage).set_params(voting=voting, calibration=calibration)
