"""One committee and its vote: the classifier that each of the two stages is."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from sklearn.base import ClassifierMixin
from sklearn.utils import Bunch
from sklearn.utils.metaestimators import _BaseComposition
from sklearn.utils.validation import check_is_fitted

from skinensemble._afresh import afresh
from skinensemble._deadline import time_limit
from skinensemble.committee import (
    accept_all,
    build_all,
    cast_ballot,
    cross_fit,
    prepare_all,
    stack_ballots,
)
from skinensemble.engines import get_config
from skinensemble.exceptions import InputError, message
from skinensemble.identity import (
    content_digests,
    group_copies,
    lesion_digests,
    note_use,
    refuse_trained,
)
from skinensemble.members._together import heads_together
from skinensemble.stage._checked import CheckedStage
from skinensemble.stage._compared import ComparedStage
from skinensemble.stage._described import DescribedStage
from skinensemble.stage._early import EarlyStage
from skinensemble.stage._saved import SavedStage
from skinensemble.stage._trust import name_trusted
from skinensemble.thresholds import Certificate
from skinensemble.validation import (
    check_groups,
    check_labels,
    check_lengths,
    encode_known,
    lesion_folds,
    unequal_weights,
)
from skinensemble.voting import (
    ThresholdVote,
    calibrated,
    resolve_voting_rule,
)
from skinensemble.voting._checks import check_pooled

__all__ = ["Stage"]


class Stage(
    SavedStage,
    CheckedStage,
    ComparedStage,
    DescribedStage,
    EarlyStage,
    ClassifierMixin,
    _BaseComposition,
):
    """A committee of classifiers that votes.

    Every member is trained once on each fold's training lesions, to vote on lesions it has not
    seen, and once on all of them. The voting rule learns from the out-of-fold ballots only; the
    members trained on everything vote on new samples, or with ``refit=False`` those of the folds.

    Parameters
    ----------
    members : list of (str, classifier)
        Named classifiers with ``predict_proba``. They see whatever `X` is.
    voting : str or VotingRule, default="soft"
        How ballots become a decision: a name (see :func:`~skinensemble.list_voting_rules`) or a
        rule.
    calibration : {"temperature", "isotonic", "platt"}, default=None
        How the pooled probabilities are calibrated, on the out-of-fold ballots; a threshold is then
        set on the calibrated ones. See :class:`CalibratedVote`.
    cv : int or splitter or iterable, default=None
        Folds of the out-of-fold ballots; None is 5. Grouped by lesion and stratified by class.
    refit : bool, default=True
        Whether each member is trained once more on everything. If not, its clones that were trained
        on the folds stay, and their mean is its ballot: no further training, an ensemble by itself,
        and as many networks to run as there are folds.
    n_jobs : int, default=None
        Members trained at once, in threads unless a ``joblib.parallel_config`` says otherwise.
    random_state : int or RandomState, default=None
        Seeds the folds and every member whose own ``random_state`` is None, by its name, so that
        neither the order nor the number of members matters.
    verbose : int, default=0
        1 prints a line for each member.
    on_error : {"raise", "drop"}, default="raise"
        What becomes of a member that fails in ``fit``: its training diverges, it raises, its
        probabilities are invalid, its process dies, its time is over. "drop": a warning names it,
        ``failures_`` says what happened, and the others vote, each exactly as it would without it.
    min_members : int, default=1
        With ``on_error="drop"``: members that must be left.
    time_limit : float, default=None
        Seconds for the whole training. With ``on_error="drop"`` the members that finished all their
        folds by then vote.
    member_time_limit : float, default=None
        Seconds for all trainings of each member, with the features it needs. Networks stop within a
        batch, other classifiers after the fold that they are at.

    Attributes
    ----------
    classes_ : ndarray of shape (n_classes,)
        Labels, sorted; of two, the second is the positive one.
    members_ : list of classifiers
        Those that vote on new samples, in the order of `members`.
    named_members_ : Bunch
        The same by name.
    failures_ : dict of str to MemberFailure
        By name, the members that have no vote: ``where`` they failed and the ``reason``.
    voting_ : VotingRule
        The fitted rule; a threshold rule holds its ``certificate_``.
    ballots_ : ndarray of shape (n_samples, n_members, n_classes)
        Out-of-fold ballots of the training samples.
    folds_ : ndarray of int of shape (n_samples,)
        The fold in which each training sample was held out.
    targets_ : ndarray of int of shape (n_samples,)
        Class index of each training sample.
    sample_weight_ : ndarray of shape (n_samples,), or None
        Weight of each training sample, where not all are equal.
    shares_ : ndarray of shape (n_classes,)
        Share of each class in the training samples, by their weight.
    lesions_ : ndarray of int of shape (n_samples,), or None
        Lesion of each training sample, numbered.
    digests_, lesion_digests_ : ndarray of uint64 of shape (n_samples,), or None
        Digests of the content of the training samples, and of the names of their lesions.
    precision_ : {"float32", "bfloat16"}
        In which networks ran when the ballots were cast that the rule has learnt from; what it has
        learnt, such as a certified threshold, holds for predictions in the same.

    Examples
    --------
    >>> from sklearn.datasets import load_breast_cancer
    >>> from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
    >>> from sklearn.naive_bayes import GaussianNB
    >>> X, y = load_breast_cancer(return_X_y=True)
    >>> members = [("bayes", GaussianNB()), ("linear", LinearDiscriminantAnalysis())]
    >>> stage = Stage(members, voting="soft", random_state=0)
    >>> stage.fit(X, y, groups=np.arange(len(y))).ballots(X[:3]).shape
    (3, 2, 2)
    """

    def __init__(
        self,
        members,
        *,
        voting="soft",
        calibration=None,
        cv=None,
        refit=True,
        n_jobs=None,
        random_state=None,
        verbose=0,
        on_error="raise",
        min_members=1,
        time_limit=None,
        member_time_limit=None,
    ):
        self.members = members
        self.voting = voting
        self.calibration = calibration
        self.cv = cv
        self.refit = refit
        self.n_jobs = n_jobs
        self.random_state = random_state
        self.verbose = verbose
        self.on_error = on_error
        self.min_members = min_members
        self.time_limit = time_limit
        self.member_time_limit = member_time_limit

    def get_params(self, deep=True):
        """Return the parameters; members and their parameters are reached by name."""
        return self._get_params("members", deep=deep)

    def set_params(self, **params):
        """Set parameters, members by name, or parameters of members (``name__parameter``)."""
        return self._set_params("members", **params)

    def voting_rule(self):
        """Return the rule of the parameters `voting` and `calibration`, not yet fitted."""
        return calibrated(resolve_voting_rule(self.voting), self.calibration)

    def prepare(self, X):
        """Let members that share work between fits do it once, such as reading the images.

        Parameters
        ----------
        X : any indexable of length n_samples

        Returns
        -------
        X, or an object that indexes like it
        """
        if hasattr(self, "members_"):
            return prepare_all(self.members_, X)
        tolerance = self.tolerance()
        if not tolerance.drops:
            build_all(self.members, tolerance)
        return self._start(self.members, X)

    def _start(self, named, X):
        members = [member for _, member in named]
        # Where a member may fail, each does it when its turn comes.
        return (accept_all if self.tolerance().watchful else prepare_all)(members, X)

    def fit(self, X, y, *, sample_weight=None, groups=None):
        """Train the members, collect their out-of-fold ballots and learn the voting rule.

        Parameters
        ----------
        X : array-like or list of length n_samples
            Whatever the members take: features, images, paths.
        y : array-like of shape (n_samples,)
            Labels.
        sample_weight : array-like of shape (n_samples,), default=None
        groups : array-like of shape (n_samples,), default=None
            Lesion of each sample; without it a warning says what that risks.

        Returns
        -------
        self

        Raises
        ------
        InputError
            When labels, groups, folds or member names cannot be used.
        MemberError
            When a member fails, or with ``on_error="drop"`` so many that fewer than `min_members`
            are left; it names them and what they raised.
        TimeLimitError
            The same, when it was for want of time; a MemberError.
        CertificateError
            When the voting rule promises more than the lesions can prove.

        Warns
        -----
        MemberWarning
            When members were left out, or were trained without one of the classes.
        """
        self.check_members()
        check_lengths(X, y=y)
        with afresh(self), time_limit(self.time_limit, "the stage"):
            return self._fit(X, y, sample_weight, groups)

    def _fit(self, X, y, sample_weight, groups):
        self.classes_, encoded = check_labels(y)
        lesions = check_groups(groups, encoded, self.classes_)
        self.lesion_digests_ = lesion_digests(groups)
        sample_weight = self.check_weighting(sample_weight, X)
        seed = self.check_seed()
        # What cannot work must fail now, not after hours of training.
        self.check_rule(encoded, lesions, sample_weight)
        cv = list(self.cv) if isinstance(self.cv, Iterator) else self.cv  # it is asked twice
        lesion_folds(encoded, lesions, cv, classes=self.classes_)
        failures = build_all(self.members, self.tolerance())
        members = [(name, member) for name, member in self.members if name not in failures]
        X = self._start(members, X)
        lesions = group_copies(X, encoded, lesions)
        self.folds_ = lesion_folds(encoded, lesions, cv, classes=self.classes_, random_state=seed)
        data = (X, self.classes_[encoded], sample_weight, lesions)
        voters, ballots, self.failures_ = cross_fit(
            members,
            data,
            self.folds_,
            self.classes_,
            refit=self.refit,
            n_jobs=self.n_jobs,
            seed=seed,
            verbose=self.verbose,
            tolerance=self.tolerance(),
            failures=failures,
        )
        self.lesions_, self.digests_ = lesions, content_digests(X)
        self.precision_ = get_config()["precision"]
        return self._learn(voters, ballots, encoded, sample_weight)

    def adopt(self, voters, ballots, classes, targets, other, sample_weight=None):
        """Take fitted members and their out-of-fold ballots over; only the rule has to learn.

        Parameters
        ----------
        voters : dict of str to classifier
            Fitted, by name.
        ballots : ndarray of shape (n_samples, n_members, n_classes)
        classes : ndarray of shape (n_classes,)
        targets : ndarray of int of shape (n_samples,)
            Class indices.
        other : Stage
            The fitted stage whose samples, folds, lesions, failures and precision these are.
        sample_weight : array-like of shape (n_samples,), default=None

        Returns
        -------
        self
        """
        self.classes_ = np.asarray(classes)
        self.folds_, self.lesions_, self.digests_ = other.folds_, other.lesions_, other.digests_
        self.lesion_digests_ = other.lesion_digests_
        self.failures_, self.precision_ = dict(other.failures_), other.precision_
        return self._learn(voters, ballots, targets, sample_weight)

    def _learn(self, voters, ballots, targets, sample_weight):
        """Let the voting rule learn from the out-of-fold ballots."""
        self._name_members(voters)
        self.ballots_, self.targets_ = ballots, targets
        self.sample_weight_ = unequal_weights(sample_weight)
        weights = np.bincount(targets, sample_weight, len(self.classes_))
        self.shares_ = weights / weights.sum()
        known = {"sample_weight": sample_weight, "groups": self.lesions_}
        self.voting_ = self.voting_rule().fit(ballots, targets, **known)
        name_trusted(self.voting_, voters)
        self.pool(ballots)
        self._certified = None
        if self.verbose and len(voters) > 1:
            print(self.earned(), flush=True)
        return self

    def ballots(self, X):
        """Return each member's probabilities.

        Parameters
        ----------
        X : array-like or list of length n_samples

        Returns
        -------
        ndarray of shape (n_samples, n_members, n_classes)
        """
        return self.cast(self.prepare(X))

    def cast(self, X):
        """Return the :meth:`ballots` on what :meth:`prepare` gave, here or in the cascade."""
        check_is_fitted(self)
        named = self.named_members_.items()
        with heads_together(self.members_, X):
            ballots = [cast_ballot(name, member, X, self.classes_) for name, member in named]
        return stack_ballots(ballots, self._names)

    def pool(self, ballots):
        """Return what the voting rule makes of ballots, shape (n_samples, n_classes).

        Raises
        ------
        InputError
            When a rule of the user's own gives anything but probabilities.
        """
        return check_pooled(self.voting_.combine(ballots), ballots, self.voting_)

    def votes(self, ballots):
        """Return what each member would say alone, at the stage's threshold if it has one.

        Parameters
        ----------
        ballots : ndarray of shape (n_samples, n_members, n_classes)

        Returns
        -------
        list of dict of str to label
            One per sample, by member name.
        """
        labels = self.classes_[self.voting_.votes(ballots)].tolist()
        return [dict(zip(self._names, row, strict=True)) for row in labels]

    def predict_proba(self, X):
        """Return the pooled probabilities, shape (n_samples, n_classes)."""
        check_is_fitted(self)
        return self.pool(self.ballots(X))

    def predict(self, X, *, early_exit=False):
        """Return the decisions of the rule; with `early_exit` those of :meth:`predict_early`."""
        check_is_fitted(self)
        if early_exit:
            return self.predict_early(X).labels
        return self.classes_[self.voting_.decide(self.ballots(X))]

    def certify(self, X, y, *, groups, min_sensitivity=0.95, confidence=0.95) -> Certificate:
        """Set a new threshold, proved on labelled lesions that the members have not seen.

        Parameters
        ----------
        X : array-like or list of length n_samples
        y : array-like of shape (n_samples,)
            Labels; the second of ``classes_`` is positive.
        groups : array-like of shape (n_samples,)
            Lesion of each sample.
        min_sensitivity, confidence : float, default=0.95
            The promise.

        Returns
        -------
        Certificate
            Also kept as ``voting_.certificate_``.

        Raises
        ------
        InputError
            When samples were trained on, or other images of their lesions (recognised by their
            names; numbers are not compared), labels are unknown, there are not two classes, or
            copies of one image are said to be several lesions.
        CertificateError
            When the positive lesions are too few.

        Warns
        -----
        CertificateWarning
            When samples were used for a certificate of this stage before.
        """
        check_is_fitted(self)
        check_lengths(X, y=y)
        encoded = encode_known(y, self.classes_, "the stage")
        if groups is None:
            why, remedy = "a proof counts lesions", "pass groups=lesion_ids, an id for each image"
            raise InputError(message("groups", None, why, remedy))
        lesions = check_groups(groups, encoded, self.classes_)
        # Whatever the threshold was tuned by before.
        promise = {"criterion": "sensitivity", "min_sensitivity": min_sensitivity}
        promise["confidence"] = confidence
        # What proves nothing is known before the networks run.
        ThresholdVote(**promise).check_targets(encoded, lesions)
        X = accept_all(self.members_, X)
        refuse_trained(X, groups, self)
        lesions = group_copies(X, encoded, lesions)
        X = self.prepare(X)
        self.voting_ = ThresholdVote.held_out(
            self.voting_, self.cast(X), encoded, groups=lesions, **promise
        )
        name_trusted(self.voting_, self.named_members_)
        self._certified, self.precision_ = note_use(X, self._certified), get_config()["precision"]
        return self.voting_.certificate_

    @property
    def _names(self) -> list[str]:
        """Names of those that vote."""
        return list(self.named_members_)

    def _name_members(self, voters: dict) -> None:
        self.members_, self.named_members_ = list(voters.values()), Bunch(**voters)
        for attribute in ("n_features_in_", "feature_names_in_"):
            if hasattr(self.members_[0], attribute):
                setattr(self, attribute, getattr(self.members_[0], attribute))
