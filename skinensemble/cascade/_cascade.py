"""The cascade: triage, then diagnosis."""

from __future__ import annotations

import numpy as np
from sklearn.base import BaseEstimator, ClassifierMixin, clone
from sklearn.utils import get_tags
from sklearn.utils.validation import check_is_fitted

from skinensemble._afresh import afresh
from skinensemble._deadline import check_seconds, remaining, time_limit
from skinensemble.builders import DEFAULT_BACKBONES, make_diagnosis, make_stage
from skinensemble.cascade._decide import BallotDecisions, warn_uncalibrated
from skinensemble.cascade._early import ask_all, ask_triage, check_early, decide, get_ready
from skinensemble.cascade._saved import ROUTES, SavedCascade
from skinensemble.cascade._stages import (
    adopt_members,
    collapse_finished,
    common_folds,
    shared_triage,
)
from skinensemble.cascade._stream import stream
from skinensemble.cascade._verdicts import follow
from skinensemble.cascade._withhold import learn_referrals
from skinensemble.exceptions import InputError, check_choice, message
from skinensemble.identity import group_copies
from skinensemble.referral import resolve_referral
from skinensemble.stage import EarlyDecision, Stage
from skinensemble.taxonomy import MALIGNANT, SIDES, malignant_mask
from skinensemble.thresholds import Certificate
from skinensemble.validation import (
    check_generator,
    check_groups,
    check_labels,
    check_lengths,
    encode_known,
)
from skinensemble.voting import VotingRule

__all__ = ["Cascade"]

_FOR_TRIAGE = 0.75


class Cascade(SavedCascade, BallotDecisions, ClassifierMixin, BaseEstimator):
    """Triage, then diagnosis, each by the vote of a committee.

    The triage stage decides between benign and malignant. The diagnosis stage gives probabilities
    over all diagnoses, of which the cascade uses those on the side the triage chose:
    p(type) = p(side) · p(type | side).

    Parameters
    ----------
    triage : Stage, VotingRule or str, default=None
        None: three EfficientNet-Lite members, as :func:`make_cascade` builds them. A voting rule,
        or its name: the members of `diagnosis` vote here too, their probabilities added up by side,
        and no others are trained. Finished members of a stage (:class:`PretrainedMember`,
        ``FrozenEstimator``) may answer benign or malignant, or name diagnoses, which are then added
        up by side as well.
    diagnosis : Stage, default=None
        None: the members of `triage`, by soft vote; calibrated by temperature if the triage is
        calibrated by any method.
    malignant : sequence of labels or callable, default=("akiec", "bcc", "mel")
        Labels that count as malignant, or a function from the classes to a boolean mask. Public
        code does not agree on actinic keratoses (akiec); look before you compare figures.
    route : {"soft", "hard"}, default="soft"
        "soft": both stages look at every sample. "hard": the diagnosis looks only at what the
        triage found malignant; what it found benign gets the shares of the benign diagnoses in the
        training data, and `predict` the commonest of them.
    refer : float or Referral, default=None
        A third answer for what is not sure enough: accuracy that the decided lesions must keep,
        such as 0.95, or a :class:`Referral`. In both stages, each by itself: an image can be
        referred, or found malignant and only its type referred. No verdict changes, some are
        withheld: a malignant lesion that is referred goes to a human and counts as found, so a
        certified sensitivity holds with referral as it does without.
    random_state : int or RandomState, default=None
        Seeds both stages where they have no seed of their own, and their folds; without it the
        seed of a stage does the latter.
    verbose : int, default=0
        1 prints a line for each stage.
    time_limit : float, default=None
        Seconds for the whole training. A triage with members of its own gets three quarters of
        them, for it computes what both stages need, and the diagnosis what is left. See
        :class:`Stage` for limits of members, and for what becomes of those that do not end in time.

    Attributes
    ----------
    classes_ : ndarray of shape (n_classes,)
        Diagnoses, sorted.
    malignant_ : ndarray of shape (n_malignant,)
        Those that count as malignant.
    triage_, diagnosis_ : Stage
        The fitted stages, with the same folds.
    triage_referral_, diagnosis_referral_ : Referral or None
        Learnt on the out-of-fold ballots; the second on what the triage found malignant there.

    Examples
    --------
    >>> from sklearn.datasets import load_wine
    >>> from sklearn.ensemble import RandomForestClassifier
    >>> from sklearn.naive_bayes import GaussianNB
    >>> X, y = load_wine(return_X_y=True)
    >>> members = [("bayes", GaussianNB()), ("forest", RandomForestClassifier(20))]
    >>> cascade = Cascade(Stage(members, voting="majority"), malignant=[2], random_state=0)
    >>> print(cascade.fit(X, y, groups=np.arange(len(y))).verdicts(X[-1:])[0])
    malignant (p malignant = 1.000, 2 of 2 members say malignant): 2 (p = 1.000 if malignant)
    """

    def __init__(
        self,
        triage=None,
        diagnosis=None,
        *,
        malignant=MALIGNANT,
        route="soft",
        refer=None,
        random_state=None,
        verbose=0,
        time_limit=None,
    ):
        self.triage = triage
        self.diagnosis = diagnosis
        self.malignant = malignant
        self.route = route
        self.refer = refer
        self.random_state = random_state
        self.verbose = verbose
        self.time_limit = time_limit

    def fit(self, X, y, *, sample_weight=None, groups=None):
        """Train both stages.

        Parameters
        ----------
        X : images, or whatever the members take, of length n_samples
        y : array-like of shape (n_samples,)
            Diagnoses.
        sample_weight : array-like of shape (n_samples,), default=None
        groups : array-like of shape (n_samples,), default=None
            Lesion of each sample; without it a warning says what that risks.

        Returns
        -------
        self

        Raises
        ------
        InputError
            When labels, groups or folds cannot be used, or only one side occurs.
        MemberError
            When a member fails, as in :meth:`Stage.fit`; it names the member and what it raised.
        CertificateError
            When the voting rule promises more than the lesions can prove.
        """
        self._check_params()
        check_lengths(X, y=y, sample_weight=sample_weight)
        with afresh(self), time_limit(self.time_limit, "the cascade"):
            return self._fit(X, y, sample_weight, groups)

    def _fit(self, X, y, sample_weight, groups):
        self.classes_, encoded = check_labels(y)
        mask = malignant_mask(self.classes_, self.malignant)
        self.malignant_ = self.classes_[mask]
        lesions = check_groups(groups, encoded, self.classes_)
        triage, diagnosis = self._stages()
        # What cannot work must fail now, not after every image has passed every backbone.
        for stage, labels in ((triage, mask[encoded].astype(int)), (diagnosis, encoded)):
            stage.check_rule(labels, lesions, stage.check_weighting(sample_weight, X))
            check_generator(stage.random_state)
        common_folds((triage, diagnosis), encoded, lesions, self.classes_)
        X = diagnosis.prepare(triage.prepare(X))
        lesions = group_copies(X, encoded, lesions)
        if lesions is None:
            lesions = np.arange(len(encoded))  # said once above, not again by each stage
        self._share_folds((triage, diagnosis), encoded, lesions)
        # Under the names that were given: by these they are known again.
        names = lesions if groups is None else groups
        extra = {"sample_weight": sample_weight, "groups": names}
        if not self._shares_members:
            self._say("triage", SIDES)
            left = remaining()
            with time_limit(None if left is None else _FOR_TRIAGE * left, "the triage"):
                self.triage_ = triage.fit(X, SIDES[mask[encoded].astype(int)], **extra)
        self._say("diagnosis", self.classes_)
        self.diagnosis_ = diagnosis.fit(X, self.classes_[encoded], **extra)
        if self._shares_members:
            self._say("triage", SIDES)
            self.triage_ = adopt_members(triage, self.diagnosis_, mask)
        self._learn_referral()
        return self._copy_feature_names()

    def prepare(self, X):
        """Let the members of both stages do their shared work on `X` once; see `Stage`.

        With ``route="hard"`` those of the triage only: what the diagnosis needs of the samples that
        are found malignant follows when they are.
        """
        check_is_fitted(self)
        return get_ready(self, X, types=self.route == "soft")

    def malignant_proba(self, X, *, prevalence=None):
        """Return the pooled probability of malignancy.

        Parameters
        ----------
        X : images, or whatever the members take, of length n_samples
        prevalence : float or "estimate", default=None
            Restates the probabilities for a clinic where this share of the images is malignant, or
            the share that `X` itself suggests
            (:func:`~skinensemble.prevalence.estimate_prevalence`). Meaningful for calibrated
            probabilities (``Stage(calibration=…)``); others give a CalibrationWarning. A threshold
            stays where it was tuned, and so do its decisions: sensitivity does not depend on
            prevalence. Rules without one decide by the restated probabilities.

        Returns
        -------
        ndarray of shape (n_samples,)
        """
        check_is_fitted(self)
        warn_uncalibrated(self, prevalence)
        return self._sides(self.triage_.ballots(X), prevalence)[0][:, 1]

    def predict_malignant(self, X, *, prevalence=None, early_exit=False):
        """Return the decision of the triage, booleans of shape (n_samples,).

        With `early_exit` no more members are asked than decide; see :meth:`predict_early`.
        """
        check_is_fitted(self)
        warn_uncalibrated(self, prevalence)
        check_early(early_exit, prevalence)
        X = X if early_exit else self.triage_.prepare(X)
        ballots, _ = ask_triage(self, X, early_exit, prevalence=prevalence)
        return self._sides(ballots, prevalence)[1]

    def predict_proba(self, X, *, prevalence=None):
        """Return p(side) · p(type | side) over ``classes_``, shape (n_samples, n_classes).

        With ``route="hard"``, p(side) is 0 or 1: what the triage decided.
        """
        check_is_fitted(self)
        warn_uncalibrated(self, prevalence)
        triage, diagnosis = ask_all(self, self.prepare(X), prevalence)
        return self.join(triage, diagnosis, prevalence)

    def predict(self, X, *, prevalence=None, early_exit=False):
        """Return the best diagnosis on the side that the triage chose, shape (n_samples,).

        It never contradicts the triage, so it may differ from the largest ``predict_proba``. With
        `early_exit` no more members are asked than decide; see :meth:`predict_early`.
        """
        check_is_fitted(self)
        warn_uncalibrated(self, prevalence)
        return decide(self, X, prevalence, early_exit).labels

    def predict_early(self, X, *, prevalence=None) -> EarlyDecision:
        """Ask members of both stages until the rest cannot change what :meth:`predict` says.

        Parameters
        ----------
        X : images, or whatever the members take, of length n_samples
        prevalence : float, default=None
            As in :meth:`malignant_proba`.

        Returns
        -------
        EarlyDecision
            The same labels, and which members were asked; see :meth:`Stage.predict_early`.
        """
        check_is_fitted(self)
        warn_uncalibrated(self, prevalence)
        return decide(self, X, prevalence, True)

    def verdicts(self, X, *, prevalence=None, early_exit=False):
        """Follow the two-stage procedure: benign stops, malignant goes on to a diagnosis.

        Parameters
        ----------
        X : images, or whatever the members take, of length n_samples
        prevalence : float or "estimate", default=None
            As in :meth:`malignant_proba`.
        early_exit : bool, default=False
            Whether to ask no more members than decide, the cheapest first: the same answers, with
            the votes of those who were asked, and probabilities that are estimates from them.

        Returns
        -------
        list of Verdict
            One per sample, in order.
        """
        check_is_fitted(self)
        warn_uncalibrated(self, prevalence)
        return follow(self, X, prevalence, early_exit)

    def predict_stream(self, images, *, prevalence=None, chunk_size=256, early_exit=False):
        """Give verdicts for any number of images in constant memory, as they come.

        Parameters
        ----------
        images : iterable of paths, arrays or PIL images
            Each as in a list that :func:`~skinensemble.images.as_images` accepts.
        prevalence : float, default=None
            As in :meth:`malignant_proba`.
        chunk_size : int, default=256
            Images read and answered together; features are forgotten after each chunk, unless the
            members have a store of their own.
        early_exit : bool, default=False
            As in :meth:`verdicts`; there are no probabilities of all diagnoses then.

        Returns
        -------
        iterator of Prediction
            One per image, in order. One that cannot be read has a status that says why, and no
            verdict; the others are what they are without it.
        """
        check_is_fitted(self)
        warn_uncalibrated(self, prevalence)
        return stream(self, images, prevalence, chunk_size, early_exit)

    def certify(self, X, y, *, groups, min_sensitivity=0.95, confidence=0.95) -> Certificate:
        """Set a new triage threshold, proved on labelled lesions no member has seen.

        Parameters
        ----------
        X : images, or whatever the members take, of length n_samples
        y : array-like of shape (n_samples,)
            Diagnoses.
        groups : array-like of shape (n_samples,)
            Lesion of each sample.
        min_sensitivity, confidence : float, default=0.95
            The promise: P(sensitivity ≥ `min_sensitivity`) ≥ `confidence`.

        Returns
        -------
        Certificate
            Of kind ``"held-out"``; also kept as ``certificate_``.

        Raises
        ------
        InputError
            When samples were trained on, or other images of their lesions, or labels are unknown;
            see :meth:`Stage.certify`.
        CertificateError
            When the malignant lesions are too few.
        """
        check_is_fitted(self)
        encoded = encode_known(y, self.classes_, "the cascade")
        sides = SIDES[self.malignant_mask_[encoded].astype(int)]
        promise = {"min_sensitivity": min_sensitivity, "confidence": confidence}
        before = dict(vars(self.triage_))
        certificate = self.triage_.certify(X, sides, groups=groups, **promise)
        try:
            # Another threshold decides otherwise, and other decisions are sure.
            self._learn_referral()
        except BaseException:
            vars(self.triage_).update(before)
            raise
        return certificate

    @property
    def certificate_(self) -> Certificate | None:
        """What is proved about the triage; None without a certified threshold."""
        check_is_fitted(self)
        return getattr(self.triage_.voting_, "certificate_", None)

    def save(self, path):
        """Write the fitted cascade to one HDF5 file; see :func:`~skinensemble.load`."""
        from skinensemble.persistence import save

        save(self, path)

    @property
    def _shares_members(self) -> bool:
        return isinstance(self.triage, (str, VotingRule))

    def _stages(self) -> tuple[Stage, Stage]:
        """Return both stages, not fitted."""
        given = self.diagnosis if self._shares_members else self.triage
        first = make_stage(*DEFAULT_BACKBONES) if given is None else clone(given)
        first.check_members()
        if self._shares_members:
            return shared_triage(first, self.classes_, self.malignant_, self.triage), first
        diagnosis = make_diagnosis(first) if self.diagnosis is None else clone(self.diagnosis)
        diagnosis.check_members()
        return collapse_finished(first, self.classes_, self.malignant_), diagnosis

    def _referrals(self):
        return self.triage_referral_, self.diagnosis_referral_

    def _learn_referral(self) -> None:
        self.triage_referral_, self.diagnosis_referral_ = learn_referrals(self)

    def _check_params(self) -> None:
        check_choice("route", self.route, ROUTES)
        if not self._shares_members:
            _check_stage("triage", self.triage, "neither a Stage nor a voting rule")
        _check_stage("diagnosis", self.diagnosis, "not a Stage")
        if self.refer is not None:
            resolve_referral(self.refer)
        check_seconds(time_limit=self.time_limit)
        check_generator(self.random_state)

    def _say(self, stage: str, classes) -> None:
        if self.verbose:
            print(f"{stage}: {' · '.join(map(str, classes))}", flush=True)

    def _share_folds(self, stages, encoded, lesions) -> None:
        """Let both stages hold out the same lesions, so that their ballots can be joined."""
        # Of seeded stages the folds are the same each time: by these, checkpoints are found again.
        given = [self.random_state, *(stage.random_state for stage in stages)]
        seed = next((one for one in given if one is not None), None)
        seeds = check_generator(seed).randint(2**31 - 1, size=1 + len(stages))
        folds = common_folds(stages, encoded, lesions, self.classes_, int(seeds[0]))
        held_out = [folds == k for k in range(folds.max() + 1)]
        for stage, seed in zip(stages, seeds[1:], strict=True):
            if stage.random_state is None and self.random_state is not None:
                stage.set_params(random_state=int(seed))
            stage.set_params(cv=[(np.flatnonzero(~k), np.flatnonzero(k)) for k in held_out])

    def _copy_feature_names(self):
        for attribute in ("n_features_in_", "feature_names_in_"):
            if hasattr(self.triage_, attribute):
                setattr(self, attribute, getattr(self.triage_, attribute))
        return self

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        stages = [one for one in (self.triage, self.diagnosis) if isinstance(one, Stage)]
        inputs = [get_tags(stage).input_tags for stage in stages]
        tags.input_tags.two_d_array = bool(inputs) and all(tag.two_d_array for tag in inputs)
        tags.input_tags.sparse = bool(inputs) and all(tag.sparse for tag in inputs)
        tags.input_tags.allow_nan = bool(inputs) and all(tag.allow_nan for tag in inputs)
        return tags


def _check_stage(name: str, given, why: str) -> None:
    if given is not None and not isinstance(given, Stage):
        remedy = 'pass such as Stage([("resnet50", TransferClassifier("resnet50"))])'
        raise InputError(message(name, f"{given!r:.60}", why, remedy))
