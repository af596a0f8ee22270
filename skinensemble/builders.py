"""Stages built from the names of their backbones, and one built after another."""

from __future__ import annotations

import difflib
import inspect

from sklearn.base import clone

from skinensemble.exceptions import InputError, first_few, message
from skinensemble.members import TransferClassifier
from skinensemble.stage import Stage

__all__ = [
    "DEFAULT_BACKBONES",
    "check_options",
    "make_diagnosis",
    "make_stage",
    "named_backbones",
    "weights_of",
]

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
        When `weights` names a backbone that is not used, an option is not known, or there are
        options or weights and no backbone to have them.
    """
    names = named_backbones(backbones, "make_stage")
    given = weights_of(names, weights)
    idle = sorted(set(options) - {"verbose"}) + ["weights"] * (weights != "imagenet")
    if idle and not names:
        why = "they are of backbones, and none is named"
        raise InputError(message("options", first_few(idle), why, "give them to your members"))
    check_options(options, make_stage)
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


def named_backbones(backbones, maker: str) -> list[str]:
    """Return the names among backbones and members of the user's own.

    Raises
    ------
    InputError
        When one is neither, such as a list of several.
    """
    odd = [
        one
        for one in backbones
        if not isinstance(one, str)
        and not (isinstance(one, tuple) and len(one) == 2 and not isinstance(one[1], str))
    ]
    if odd:
        shown = first_few(odd, show=lambda one: f"{one!r:.60}")
        why = "neither the name of a backbone nor a pair of name and classifier"
        remedy = f'pass one by one, as in {maker}("vgg16", "resnet50"), or *names'
        raise InputError(message("backbones", shown, why, remedy))
    return [name for name in backbones if isinstance(name, str)]


def check_options(options: dict, *makers) -> None:
    """Refuse options that nobody knows, and name the nearest ones.

    Parameters
    ----------
    options : dict
        To be parameters of a :class:`TransferClassifier`.
    *makers : function
        Whose own parameters a name may be meant for.

    Raises
    ------
    InputError
    """
    parameters = [one for maker in makers for one in inspect.signature(maker).parameters.values()]
    known = {one.name for one in parameters if one.kind is one.KEYWORD_ONLY}
    known |= set(TransferClassifier().get_params())
    unknown = sorted(set(options) - known)
    if unknown:
        near = [one for name in unknown for one in difflib.get_close_matches(name, known, n=1)]
        hint = f"did you mean {first_few(near)}? " if near else ""
        remedy = f"{hint}see the docstring of TransferClassifier"
        raise InputError(message("options", first_few(unknown), "no such parameter", remedy))
    if "backbone" in options:
        why = "backbones have no keyword"
        remedy = f'write {makers[0].__name__}("vgg16", "resnet50")'
        raise InputError(message("options", "backbone", why, remedy))


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
