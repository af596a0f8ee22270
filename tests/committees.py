"""Two-dimensional lesions and small members for the tests of stages and cascades."""

from __future__ import annotations

import os

import numpy as np
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.linear_model import LogisticRegression
from sklearn.naive_bayes import GaussianNB

CODES = np.array(["akiec", "bcc", "bkl", "mel", "nv"])
MALIGNANT = ("akiec", "bcc", "mel")


def lesion_table(n_lesions: int = 150, codes=CODES, seed: int = 0):
    """Features (n, 4), diagnoses and lesions; one to three images a lesion, in no order."""
    rng = np.random.default_rng(seed)
    kind = np.arange(n_lesions) % len(codes)
    centre = np.random.default_rng(1).standard_normal((len(codes), 4)) * 1.5
    of_lesion = centre[kind] + 0.7 * rng.standard_normal((n_lesions, 4))
    lesion = rng.permutation(np.repeat(np.arange(n_lesions), rng.integers(1, 4, n_lesions)))
    X = of_lesion[lesion] + 0.5 * rng.standard_normal((len(lesion), 4))
    return X, np.asarray(codes)[kind[lesion]], np.array([f"HAM_{seed}_{n:04d}" for n in lesion])


def committee() -> list:
    """Three members that differ."""
    return [
        ("linear", LogisticRegression(max_iter=500)),
        ("bayes", GaussianNB()),
        ("lda", LinearDiscriminantAnalysis()),
    ]


class Placed(GaussianNB):
    """Naive Bayes that says which process trained it."""

    def fit(self, X, y):
        self.process_ = os.getpid()
        return super().fit(X, y)


class Recorder(ClassifierMixin, BaseEstimator):
    """A classifier that notes what it is asked, in a list shared by its clones.

    The list is held by a function, which clones share where they would copy a list.
    """

    def __init__(self, notes=None, classifier=None):
        self.notes = notes
        self.classifier = classifier

    def fit(self, X, y, sample_weight=None, groups=None):
        given = {"sample_weight": sample_weight, "groups": groups}
        self.notes().append(("fit", np.array(X), np.array(y), given))
        self.fitted_ = (self.classifier or GaussianNB()).fit(X, y)
        self.classes_ = self.fitted_.classes_
        return self

    def predict_proba(self, X):
        self.notes().append(("predict_proba", np.array(X)))
        return self.fitted_.predict_proba(X)


def notebook():
    """Return a list, and the function that Recorder takes."""
    notes: list = []
    return notes, lambda: notes


class Scripted(ClassifierMixin, BaseEstimator):
    """Naive Bayes that misbehaves in one way, or orders its classes in its own way."""

    def __init__(self, act="", order=None):
        self.act = act
        self.order = order

    def fit(self, X, y):
        if self.act == "raise":
            raise ZeroDivisionError("no such luck")
        keep = y != self.order if self.act == "lack" else np.ones(len(y), bool)
        self.fitted_ = GaussianNB().fit(X[keep], y[keep])
        n = len(self.fitted_.classes_)
        self.turn_ = np.arange(n)[::-1] if self.act == "reverse" else np.arange(n)
        self.classes_ = self.fitted_.classes_[self.turn_]
        if self.act == "stranger":
            self.classes_ = np.append(self.classes_[:-1], "zebra")
        return self

    def predict_proba(self, X):
        proba = self.fitted_.predict_proba(X)[:, self.turn_]
        if self.act == "nan":
            proba[[1, 3]] = np.nan
        return proba * 2 if self.act == "scores" else proba
