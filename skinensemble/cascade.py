"""Two stages, one procedure: malignant or benign, then which of the diagnoses."""

from __future__ import annotations

import numpy as np
from sklearn.base import BaseEstimator, ClassifierMixin, clone
from sklearn.utils import _safe_indexing, check_consistent_length, check_random_state, get_tags
from sklearn.utils.validation import _num_samples, check_is_fitted

from skinensemble.builders import DEFAULT_BACKBONES, make_stage
from skinensemble.exceptions import InputError, first_few, message
from skinensemble.routing import best_on_side, joint_proba
from skinensemble.stage import Stage
from skinensemble.taxonomy import MALIGNANT, malignant_mask
from skinensemble.thresholds import Certificate
from skinensemble.validation import check_groups, check_labels, group_copies, lesion_folds
from skinensemble.verdict import SIDES, Verdict
from skinensemble.voting import ThresholdVote, VotingRule, resolve_voting_rule

__all__ = ["Cascade", "Verdict", "make_cascade"]


class Cascade(ClassifierMixin, BaseEstimator):
    """Triage, then diagnosis, each by the vote of a committee.

    The triage stage decides between benign and malignant. The diagnosis stage gives probabilities
    over all diagnoses, of which the cascade uses those on the side the triage chose:
    p(type) = p(side) · p(type | side).

    Parameters
    ----------
    triage : Stage, default=None
        None: three EfficientNet-Lite members, as :func:`make_cascade` builds them.
    diagnosis : Stage, default=None
        None: the members of `triage`, by soft vote.
    malignant : sequence of labels or callable, default=("akiec", "bcc", "mel")
        Labels that count as malignant, or a function from the classes to a boolean mask. Public
        code does not agree on actinic keratoses (akiec); look before you compare figures.
    random_state : int or RandomState, default=None
        Seeds both stages where they have no seed of their own.
    verbose : int, default=0
        1 prints a line for each stage.

    Attributes
    ----------
    classes_ : ndarray of shape (n_classes,)
        Diagnoses, sorted.
    malignant_ : ndarray of shape (n_malignant,)
        Those that count as malignant.
    triage_, diagnosis_ : Stage
        The fitted stages, with the same folds.

    Examples
    --------
    >>> from sklearn.datasets import load_wine
    >>> from sklearn.ensemble import RandomForestClassifier
    >>> from sklearn.naive_bayes import GaussianNB
    >>> X, y = load_wine(return_X_y=True)
    >>> members = [("bayes", GaussianNB()), ("forest", RandomForestClassifier(20))]
    >>> cascade = Cascade(Stage(members, voting="majority"), malignant=[2], random_state=0)
    >>> print(cascade.fit(X, y, groups=np.arange(len(y))).verdicts(X[-1:])[0])
    malignant (p = 1.000, 100% of the members agree): 2 (p = 1.000)
    """

    def __init__(
        self, triage=None, diagnosis=None, *, malignant=MALIGNANT, random_state=None, verbose=0
    ):
        self.triage = triage
        self.diagnosis = diagnosis
        self.malignant = malignant
        self.random_state = random_state
        self.verbose = verbose

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
            When a member fails; it names the member and what it raised.
        CertificateError
            When the voting rule promises more than the lesions can prove.
        """
        check_consistent_length(X, y)
        self.classes_, encoded = check_labels(y)
        mask = malignant_mask(self.classes_, self.malignant)
        self.malignant_ = self.classes_[mask]
        lesions = check_groups(groups, encoded, self.classes_)
        triage, diagnosis = self._stages()
        # What cannot work must fail now, not after every image has passed every backbone.
        resolve_voting_rule(triage.voting).check_targets(mask[encoded].astype(int), lesions)
        lesion_folds(encoded, lesions, diagnosis.cv, classes=self.classes_)
        X = diagnosis.prepare(triage.prepare(X))
        lesions = group_copies(X, encoded, lesions)
        if lesions is None:
            lesions = np.arange(len(encoded))  # said once above, not again by each stage
        self._share_folds((triage, diagnosis), encoded, lesions)
        extra = {"sample_weight": sample_weight, "groups": lesions}
        self._say("triage", SIDES)
        self.triage_ = triage.fit(X, SIDES[mask[encoded].astype(int)], **extra)
        self._say("diagnosis", self.classes_)
        self.diagnosis_ = diagnosis.fit(X, self.classes_[encoded], **extra)
        return self._copy_feature_names()

    def prepare(self, X):
        """Let the members of both stages do their shared work on `X` once; see `Stage`."""
        check_is_fitted(self)
        return self.diagnosis_.prepare(self.triage_.prepare(X))

    def malignant_proba(self, X):
        """Return the pooled probability of malignancy, shape (n_samples,)."""
        check_is_fitted(self)
        return self.triage_.predict_proba(X)[:, 1]

    def predict_malignant(self, X):
        """Return the decision of the triage, booleans of shape (n_samples,)."""
        check_is_fitted(self)
        return self.triage_.predict(X) == SIDES[1]

    def predict_proba(self, X):
        """Return p(side) · p(type | side) over ``classes_``, shape (n_samples, n_classes)."""
        check_is_fitted(self)
        X = self.prepare(X)
        return joint_proba(
            self.triage_.predict_proba(X), self.diagnosis_.predict_proba(X), self.malignant_mask_
        )

    def predict(self, X):
        """Return the best diagnosis on the side that the triage chose, shape (n_samples,).

        It never contradicts the triage, so it may differ from the largest ``predict_proba``.
        """
        check_is_fitted(self)
        X = self.prepare(X)
        return self.classes_[
            self.decide_types(self.diagnosis_.ballots(X), self.predict_malignant(X))
        ]

    def decide_types(self, ballots, malignant):
        """Choose a diagnosis on the side that the triage chose.

        Parameters
        ----------
        ballots : ndarray of shape (n_samples, n_members, n_classes)
            Of the diagnosis stage.
        malignant : ndarray of bool of shape (n_samples,)
            Decisions of the triage.

        Returns
        -------
        ndarray of int of shape (n_samples,)
            Indices into ``classes_``.
        """
        types = self.diagnosis_.voting_.combine(ballots)
        return best_on_side(types, ballots, malignant, self.malignant_mask_)

    def verdicts(self, X):
        """Follow the two-stage procedure: benign stops, malignant goes on to a diagnosis.

        Parameters
        ----------
        X : images, or whatever the members take, of length n_samples

        Returns
        -------
        list of Verdict
            One per sample, in order.
        """
        check_is_fitted(self)
        X = self.prepare(X)
        ballots = self.triage_.ballots(X)
        malignant = self.triage_.voting_.decide(ballots) == 1
        p_malignant = self.triage_.voting_.combine(ballots)[:, 1]
        votes = self.triage_.votes(ballots)
        found = iter(self._diagnoses(X, np.flatnonzero(malignant)))
        return [
            Verdict(
                malignant=bool(malignant[i]),
                p_malignant=float(p_malignant[i]),
                threshold=self.certificate_.threshold if self.certificate_ else None,
                triage_votes=votes[i],
                agreement=float(
                    np.mean([v == SIDES[int(malignant[i])] for v in votes[i].values()])
                ),
                **(next(found) if malignant[i] else {}),
            )
            for i in range(_num_samples(X))
        ]

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
            When samples were trained on, or labels are unknown.
        CertificateError
            When the malignant lesions are too few.
        """
        check_is_fitted(self)
        y = np.asarray(y)
        unknown = np.setdiff1d(y, self.classes_)
        if len(unknown):
            why = f"the cascade knows {first_few(self.classes_.tolist())}"
            raise InputError(message("labels", first_few(unknown), why, "map or remove them"))
        sides = SIDES[np.isin(y, self.malignant_).astype(int)]
        promise = {"min_sensitivity": min_sensitivity, "confidence": confidence}
        return self.triage_.certify(X, sides, groups=groups, **promise)

    @property
    def certificate_(self) -> Certificate | None:
        """What is proved about the sensitivity of the triage; None without a threshold rule."""
        check_is_fitted(self)
        return getattr(self.triage_.voting_, "certificate_", None)

    def save(self, path):
        """Write the fitted cascade to one HDF5 file; see :func:`~skinensemble.load`."""
        from skinensemble.persistence import save

        save(self, path)

    def _dump(self, out):
        return {
            "classes": out.labels(self.classes_),
            "malignant": out.labels(self.malignant_),
            "triage": out.estimator("triage", self.triage_),
            "diagnosis": out.estimator("diagnosis", self.diagnosis_),
        }

    def _load(self, state):
        self.classes_ = state.labels("classes")
        self.malignant_ = state.labels("malignant", least=1)
        malignant_mask(self.classes_, self.malignant_.tolist())
        self.triage_, self.diagnosis_ = state.estimator("triage"), state.estimator("diagnosis")
        for name, stage, classes in (
            ("triage", self.triage_, SIDES),
            ("diagnosis", self.diagnosis_, self.classes_),
        ):
            if not isinstance(stage, Stage) or not np.array_equal(stage.classes_, classes):
                raise state.fault(name, f"not a stage over {first_few(classes)}")
        malignant = tuple(self.malignant_.tolist())
        Cascade.__init__(self, clone(self.triage_), clone(self.diagnosis_), malignant=malignant)
        self._copy_feature_names()

    def _stages(self) -> tuple[Stage, Stage]:
        triage = make_stage(*DEFAULT_BACKBONES) if self.triage is None else clone(self.triage)
        if self.diagnosis is None:
            diagnosis = clone(triage).set_params(voting="soft")
        else:
            diagnosis = clone(self.diagnosis)
        return triage, diagnosis

    def _diagnoses(self, X, rows):
        """Second stage: the diagnosis and its votes, for the samples found malignant."""
        if not len(rows):
            return []
        ballots = self.diagnosis_.ballots(_safe_indexing(X, rows))
        best = self.decide_types(ballots, np.ones(len(rows), dtype=bool))
        certain = np.tile([0.0, 1.0], (len(rows), 1))
        types = self.diagnosis_.voting_.combine(ballots)
        given = joint_proba(certain, types, self.malignant_mask_)
        return [
            {
                "diagnosis": self.classes_[k].item(),
                "p_diagnosis": float(given[i, k]),
                "diagnosis_votes": votes,
            }
            for i, (k, votes) in enumerate(zip(best, self.diagnosis_.votes(ballots), strict=True))
        ]

    def _say(self, stage: str, classes) -> None:
        if self.verbose:
            print(f"{stage}: {' · '.join(map(str, classes))}", flush=True)

    def _share_folds(self, stages, encoded, lesions) -> None:
        """Let both stages hold out the same lesions, so that their ballots can be joined."""
        seeds = check_random_state(self.random_state).randint(2**31 - 1, size=1 + len(stages))
        for stage, seed in zip(stages, seeds[1:], strict=True):
            if stage.random_state is None and self.random_state is not None:
                stage.set_params(random_state=int(seed))
            if stage.cv is None or isinstance(stage.cv, (int, np.integer)):
                shared = {"classes": self.classes_, "random_state": int(seeds[0])}
                folds = lesion_folds(encoded, lesions, stage.cv, **shared)
                held_out = [folds == k for k in range(folds.max() + 1)]
                stage.set_params(cv=[(np.flatnonzero(~k), np.flatnonzero(k)) for k in held_out])

    def _copy_feature_names(self):
        for attribute in ("n_features_in_", "feature_names_in_"):
            if hasattr(self.triage_, attribute):
                setattr(self, attribute, getattr(self.triage_, attribute))
        return self

    @property
    def malignant_mask_(self) -> np.ndarray:
        """Which of ``classes_`` are malignant, booleans of shape (n_classes,)."""
        return np.isin(self.classes_, self.malignant_)

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        stages = [stage for stage in (self.triage, self.diagnosis) if stage is not None]
        inputs = [get_tags(stage).input_tags for stage in stages]
        tags.input_tags.two_d_array = bool(inputs) and all(tag.two_d_array for tag in inputs)
        tags.input_tags.sparse = bool(inputs) and all(tag.sparse for tag in inputs)
        tags.input_tags.allow_nan = bool(inputs) and all(tag.allow_nan for tag in inputs)
        return tags


def make_cascade(
    *backbones,
    voting: str | VotingRule = "soft",
    min_sensitivity: float | None = None,
    confidence: float = 0.95,
    weights="imagenet",
    malignant=MALIGNANT,
    cv=None,
    random_state=None,
    verbose=0,
    **options,
) -> Cascade:
    """Build a cascade whose stages have one transfer-learned member per backbone.

    Parameters
    ----------
    *backbones : str or (str, classifier)
        Names from :func:`~skinensemble.list_backbones`, or named members of your own; without
        any, EfficientNet-Lite0, 1 and 2.
    voting : str or VotingRule, default="soft"
        Rule of the triage. The diagnosis uses the same rule, or soft vote when that is a
        threshold, which only two classes can have.
    min_sensitivity : float, default=None
        Sensitivity that the triage threshold must prove, for ``voting="threshold"`` (0.95 there).
    confidence : float, default=0.95
        Confidence of that proof.
    weights, cv, **options
        As in :class:`TransferClassifier` and :class:`Stage`; `weights` may be a dict from
        backbone to weights.
    malignant, random_state
        As in :class:`Cascade`.
    verbose : {0, 1, 2}, default=0
        1 shows the images passing each backbone and the training of each member; 2 each epoch.

    Returns
    -------
    Cascade

    Raises
    ------
    InputError
        When `min_sensitivity` is given to a rule that promises none, or `weights` names a backbone
        that is not used.

    Examples
    --------
    >>> cascade = make_cascade("inception_v3", "resnet50", "vgg16", voting="threshold")
    >>> [name for name, _ in cascade.triage.members]
    ['inception_v3', 'resnet50', 'vgg16']
    >>> cascade.triage.voting, cascade.diagnosis.voting
    (ThresholdVote(), 'soft')
    """
    if voting == "threshold":
        asked = 0.95 if min_sensitivity is None else min_sensitivity
        voting = ThresholdVote(min_sensitivity=asked, confidence=confidence)
    elif min_sensitivity is not None:
        why = f"voting={voting!r} promises no sensitivity"
        raise InputError(message("min_sensitivity", min_sensitivity, why, 'use voting="threshold"'))
    backbones = backbones or DEFAULT_BACKBONES
    shared = {"weights": weights, "cv": cv, "verbose": verbose, **options}
    return Cascade(
        make_stage(*backbones, voting=voting, **shared),
        make_stage(
            *backbones, voting="soft" if isinstance(voting, ThresholdVote) else voting, **shared
        ),
        malignant=malignant,
        random_state=random_state,
        verbose=verbose,
    )
