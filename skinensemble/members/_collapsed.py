"""A classifier of diagnoses, as a member that answers benign or malignant."""

from __future__ import annotations

import numpy as np
from sklearn.base import BaseEstimator, ClassifierMixin, clone
from sklearn.utils import get_tags
from sklearn.utils.metaestimators import available_if
from sklearn.utils.validation import check_is_fitted

from skinensemble.taxonomy import MALIGNANT, SIDES, malignant_mask
from skinensemble.validation import fit_key

__all__ = ["CollapsedMember"]


def _first(member):
    """Return what sees the samples first, where it can do shared work on them."""
    first = _first_step(member)
    return first if hasattr(first, "prepare") else None


def _first_step(member):
    inner = getattr(member, "classifier_", member.classifier)
    while hasattr(inner, "steps"):
        inner = inner.steps[0][1]
    return inner


class CollapsedMember(ClassifierMixin, BaseEstimator):
    """A classifier of diagnoses that votes on the side: the sum over the diagnoses of each.

    So a network of seven types can vote in a triage. A :class:`~skinensemble.Cascade` does this by
    itself with finished members of its triage that name diagnoses.

    Parameters
    ----------
    classifier : classifier
        Over diagnoses. A ``FrozenEstimator`` is left as it is.
    malignant : sequence of labels or callable, default=("akiec", "bcc", "mel")
        Labels that count as malignant, or a function from the classes to a boolean mask.

    Attributes
    ----------
    classifier_ : classifier
        Fitted.
    classes_ : ndarray of shape (2,)
        "benign" and "malignant".
    malignant_ : ndarray of shape (n_malignant,)
        Diagnoses that count as malignant.

    See Also
    --------
    PretrainedMember : Adds up the outputs of a Keras model that have the same label.

    Examples
    --------
    >>> from sklearn.datasets import load_wine
    >>> from sklearn.naive_bayes import GaussianNB
    >>> X, y = load_wine(return_X_y=True)
    >>> member = CollapsedMember(GaussianNB(), malignant=[1, 2]).fit(X, y)
    >>> member.predict(X[[0, 100]])
    array(['benign', 'malignant'], dtype='<U9')
    """

    def __init__(self, classifier, malignant=MALIGNANT):
        self.classifier = classifier
        self.malignant = malignant

    @classmethod
    def around(cls, fitted, malignant) -> CollapsedMember:
        """Return the member of a classifier that is fitted already.

        Parameters
        ----------
        fitted : classifier
        malignant : sequence of labels or callable
            As in the constructor.
        """
        member = cls(clone(fitted), malignant)
        member.classifier_ = fitted
        return member._learn_sides()

    @available_if(lambda self: hasattr(_first(self), "accept"))
    def accept(self, X):
        """Return what stands for `X`, such as images for paths; no network runs."""
        return _first(self).accept(X)

    @available_if(_first)
    def prepare(self, X):
        """Let the classifier do its shared work on `X` once; see :class:`~skinensemble.Stage`."""
        return _first(self).prepare(X)

    @available_if(lambda self: hasattr(_first_step(self), "frozen_features"))
    def frozen_features(self):
        """Return what makes features of images for the classifier."""
        return _first_step(self).frozen_features()

    @available_if(lambda self: hasattr(self.classifier_, "frozen_heads"))
    def frozen_heads(self):
        """Return the heads of the classifier, each after what makes its features."""
        return self.classifier_.frozen_heads()

    @available_if(lambda self: hasattr(_first_step(self), "build_network"))
    def build_network(self):
        """Let the classifier build its network; no image passes it."""
        _first_step(self).build_network()

    @available_if(lambda self: hasattr(_first_step(self), "costs"))
    def costs(self):
        """Return the multiply-adds per sample of all that the classifier runs."""
        return _first_step(self).costs()

    @available_if(lambda self: hasattr(_first_step(self), "rows_at_hand"))
    def rows_at_hand(self, X):
        """Return what stores in memory have of `X`, for a process without them."""
        return _first_step(self).rows_at_hand(X)

    def fit(self, X, y, *, sample_weight=None, groups=None):
        """Fit the classifier.

        Parameters
        ----------
        X : whatever the classifier takes
        y : array-like of shape (n_samples,)
            Diagnoses. A frozen classifier does not look at them, so in a triage they may be sides.
        sample_weight, groups : array-like of shape (n_samples,), default=None
            Handed on; `groups` only to a classifier that takes them.

        Returns
        -------
        self

        Raises
        ------
        InputError
            When the classifier knows diagnoses of one side only.
        """
        weight_key = fit_key(self.classifier, "sample_weight") or "sample_weight"
        given = {} if sample_weight is None else {weight_key: sample_weight}
        if groups is not None and (key := fit_key(self.classifier, "groups")):
            given[key] = groups
        self.classifier_ = clone(self.classifier).fit(X, y, **given)
        return self._learn_sides()

    def _learn_sides(self):
        known = np.asarray(self.classifier_.classes_)
        self.malignant_ = np.sort(known[malignant_mask(known, self.malignant)])
        return self._name_features()

    def predict_proba(self, X):
        """Return the probabilities of benign and malignant, shape (n_samples, 2)."""
        check_is_fitted(self)
        mask = np.isin(self.classifier_.classes_, self.malignant_)
        proba = np.asarray(self.classifier_.predict_proba(X))
        return np.stack([proba[:, ~mask].sum(axis=1), proba[:, mask].sum(axis=1)], axis=1)

    def predict(self, X):
        """Return the more probable side of each sample; of two alike the malignant one."""
        proba = self.predict_proba(X)
        return self.classes_[(proba[:, 1] >= proba[:, 0]).astype(int)]

    def _name_features(self):
        self.classes_ = SIDES.copy()
        for attribute in ("n_features_in_", "feature_names_in_"):
            if hasattr(self.classifier_, attribute):
                setattr(self, attribute, getattr(self.classifier_, attribute))
        return self

    def _dump(self, out):
        return {
            "classifier": out.estimator("classifier", self.classifier_),
            "malignant": out.labels(self.malignant_),
        }

    def _load(self, state):
        self.classifier_ = state.estimator("classifier")
        self.malignant_ = state.labels("malignant", least=1)
        known = set(np.asarray(getattr(self.classifier_, "classes_", [])).tolist())
        if (
            not hasattr(self.classifier_, "predict_proba")
            or not set(self.malignant_.tolist()) < known
        ):
            raise state.fault("malignant", "not some, but not all, of the classifier's labels")
        self.classifier = clone(self.classifier_)
        self.malignant = self.malignant_.tolist()
        self._name_features()

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags = get_tags(self.classifier).input_tags
        return tags
