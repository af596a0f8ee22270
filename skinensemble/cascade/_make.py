"""A cascade from the names of its backbones."""

from __future__ import annotations

from sklearn.base import clone
from sklearn.utils.validation import check_is_fitted

from skinensemble.builders import (
    DEFAULT_BACKBONES,
    check_options,
    make_diagnosis,
    make_stage,
    named_backbones,
)
from skinensemble.cascade._cascade import Cascade
from skinensemble.cascade._stages import adopt_members, shared_triage
from skinensemble.exceptions import InputError, message
from skinensemble.stage import Stage
from skinensemble.taxonomy import MALIGNANT, malignant_mask
from skinensemble.voting import EarlyExitVote, ThresholdVote, VotingRule, resolve_voting_rule

__all__ = ["cascade_around", "make_cascade"]


def make_cascade(
    *backbones,
    voting: str | VotingRule = "soft",
    diagnosis_voting: str | VotingRule | None = None,
    calibration: str | None = None,
    min_sensitivity: float | None = None,
    confidence: float | None = None,
    weights="imagenet",
    malignant=MALIGNANT,
    route="soft",
    refer=None,
    cv=None,
    shared_members=None,
    random_state=None,
    verbose=0,
    time_limit=None,
    **options,
) -> Cascade:
    """Build a cascade whose stages have one transfer-learned member per backbone.

    Parameters
    ----------
    *backbones : str or (str, classifier)
        Names from :func:`~skinensemble.list_backbones`, or named members of your own; without
        any, EfficientNet-Lite0, 1 and 2.
    voting : str or VotingRule, default="soft"
        Rule of the triage.
    diagnosis_voting : str or VotingRule, default=None
        Rule of the diagnosis. None: the same rule, or soft vote when that is a threshold, which
        only two classes can have; of an :class:`EarlyExitVote` its base.
    calibration : {"temperature", "isotonic", "platt"}, default=None
        As in :class:`Stage`, for the triage; any of them calibrates the diagnosis by temperature.
    min_sensitivity : float, default=None
        Sensitivity that the triage threshold must prove, for ``voting="threshold"`` (0.95 there).
    confidence : float, default=None
        Confidence of that proof (0.95 there).
    weights, cv, **options
        As in :class:`TransferClassifier` and :class:`Stage`, `refit`, `n_jobs`, `on_error`,
        `min_members` and `member_time_limit` among them; `weights` may be a dict from backbone to
        weights.
    shared_members : bool, default=None
        Whether the members of the diagnosis vote in the triage too, instead of some of its own;
        see :class:`Cascade`. None: with `unfreeze`, where it halves the training.
    malignant, route, refer, random_state, time_limit
        As in :class:`Cascade`.
    verbose : {0, 1, 2}, default=0
        1 shows the images passing each backbone and the training of each member; 2 each epoch.

    Returns
    -------
    Cascade

    Raises
    ------
    InputError
        When `min_sensitivity` or `confidence` is given to a rule that promises nothing, `weights`
        names a backbone that is not used, an option is not known, or there are options or weights
        and no backbone to have them.

    Examples
    --------
    >>> cascade = make_cascade("inception_v3", "resnet50", "vgg16", voting="threshold")
    >>> [name for name, _ in cascade.triage.members]
    ['inception_v3', 'resnet50', 'vgg16']
    >>> cascade.triage.voting, cascade.diagnosis.voting
    (ThresholdVote(), 'soft')
    """
    asked = {"min_sensitivity": min_sensitivity, "confidence": confidence}
    asked = {name: value for name, value in asked.items() if value is not None}
    if voting == "threshold":
        voting = ThresholdVote(**asked)
    elif asked:
        (name, value), *_ = asked.items()
        why = f'it is for voting="threshold", not for voting={voting!r}'
        remedy = 'use voting="threshold", or give it to a ThresholdVote of your own'
        raise InputError(message(name, value, why, remedy))
    backbones = backbones or DEFAULT_BACKBONES
    if named_backbones(backbones, "make_cascade"):
        check_options(options, make_cascade, make_stage)
    shared = {"weights": weights, "cv": cv, "verbose": verbose, **options}
    triage = make_stage(*backbones, voting=voting, **shared).set_params(calibration=calibration)
    of_types = _for_types(voting) if diagnosis_voting is None else diagnosis_voting
    share = options.get("unfreeze") not in (None, 0) if shared_members is None else shared_members
    return Cascade(
        triage.voting_rule() if share else triage,
        make_diagnosis(triage, of_types),
        malignant=malignant,
        route=route,
        refer=refer,
        # Folds that are others each time would never find their checkpoints.
        random_state=0 if random_state is None and options.get("checkpoint") else random_state,
        verbose=verbose,
        time_limit=time_limit,
    )


def cascade_around(
    diagnosis: Stage, voting: str | VotingRule = "soft", *, malignant=MALIGNANT, refer=None
) -> Cascade:
    """Build a fitted cascade around a fitted stage of diagnoses, whose members vote in the triage.

    Nothing is trained: the probabilities of the types, added up by side, are the ballots of the
    triage, and only its rule learns from those that are out of fold.

    Parameters
    ----------
    diagnosis : Stage
        Fitted, such as the committee of a :func:`~skinensemble.search`. It becomes part of the
        cascade.
    voting : str or VotingRule, default="soft"
        Rule of the triage.
    malignant, refer
        As in :class:`Cascade`.

    Returns
    -------
    Cascade
        What ``Cascade(voting, diagnosis).fit`` gives on the same folds.

    Raises
    ------
    InputError
        When the labels are of one side only, or a parameter cannot be used.
    CertificateError
        When the rule promises more than the lesions can prove.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.datasets import load_wine
    >>> from sklearn.naive_bayes import GaussianNB
    >>> X, y = load_wine(return_X_y=True)
    >>> stage = Stage([("bayes", GaussianNB())]).fit(X, y, groups=np.arange(len(y)))
    >>> cascade_around(stage, malignant=[2]).predict_malignant(X[-3:])
    array([ True,  True,  True])
    """
    check_is_fitted(diagnosis)
    cascade = Cascade(voting, clone(diagnosis), malignant=malignant, refer=refer)
    cascade._check_params()
    mask = malignant_mask(diagnosis.classes_, malignant)
    cascade.classes_, cascade.malignant_ = diagnosis.classes_, diagnosis.classes_[mask]
    cascade.diagnosis_ = diagnosis
    triage = shared_triage(cascade.diagnosis, cascade.classes_, cascade.malignant_, voting)
    cascade.triage_ = adopt_members(triage, diagnosis, mask)
    cascade._learn_referral()
    return cascade._copy_feature_names()


def _for_types(voting: str | VotingRule) -> str | VotingRule:
    """Return the same rule, or soft vote instead of one that is for two classes."""
    rule = resolve_voting_rule(voting)
    if not rule.binary:
        return voting
    return rule.set_params(base="soft") if isinstance(rule, EarlyExitVote) else "soft"
