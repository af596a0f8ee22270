from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from committees import CODES, MALIGNANT, Recorder, Scripted, lesion_table, notebook
from sklearn.base import clone
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.naive_bayes import GaussianNB
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils import get_tags

from skinensemble import CollapsedMember, Stage
from skinensemble.exceptions import InputError

X, Y, LESIONS = lesion_table()
TRUTH = np.where(np.isin(Y, MALIGNANT), "malignant", "benign")


@pytest.mark.parametrize("act", ["", "reverse"])
def test_probabilities_are_those_of_each_side_whatever_the_order_of_classes(act):
    member = CollapsedMember(Scripted(act)).fit(X, Y)
    types = member.classifier_.predict_proba(X)
    bad = np.isin(member.classifier_.classes_, MALIGNANT)
    assert member.classes_.tolist() == ["benign", "malignant"]
    assert member.malignant_.tolist() == list(MALIGNANT)
    expected = np.stack([types[:, ~bad].sum(axis=1), types[:, bad].sum(axis=1)], axis=1)
    np.testing.assert_allclose(member.predict_proba(X), expected, rtol=1e-12)
    assert np.mean(member.predict(X) == TRUTH) > 0.75


def test_a_frozen_classifier_is_not_fitted_again():
    inner = LogisticRegression().fit(X, Y)
    member = CollapsedMember(FrozenEstimator(inner)).fit(X[:9], TRUTH[:9])
    assert member.classifier_.estimator is inner
    both = make_pipeline(StandardScaler(), GaussianNB()).fit(X, Y)
    stage = Stage([("a", member), ("b", CollapsedMember(FrozenEstimator(both)))], cv=2)
    stage.fit(X, TRUTH, groups=LESIONS)
    np.testing.assert_allclose(stage.ballots_[:, 0], member.predict_proba(X))


@pytest.mark.parametrize("malignant", [["nv"], lambda classes: classes > "bz"])
def test_malignant_is_what_the_user_says(malignant):
    member = CollapsedMember(GaussianNB(), malignant).fit(X, Y)
    expected = CODES[malignant(CODES)] if callable(malignant) else malignant
    assert member.malignant_.tolist() == list(expected)


def test_weights_and_lesions_are_handed_on_to_who_takes_them():
    notes, keep = notebook()
    weight = np.linspace(0.5, 1, len(Y))
    CollapsedMember(Recorder(keep)).fit(X, Y, sample_weight=weight, groups=LESIONS)
    ((_, _, _, given),) = notes
    np.testing.assert_array_equal(given["sample_weight"], weight)
    np.testing.assert_array_equal(given["groups"], LESIONS)
    CollapsedMember(GaussianNB()).fit(X, Y, sample_weight=weight, groups=LESIONS)


class Reader(GaussianNB):
    """Does shared work once."""

    def prepare(self, X):
        return ("prepared", X)


def test_shared_work_is_done_by_what_sees_the_samples_first():
    assert not hasattr(CollapsedMember(GaussianNB()), "prepare")
    first = make_pipeline(Reader(), GaussianNB())
    for inner in (Reader(), FrozenEstimator(Reader()), FrozenEstimator(first)):
        assert CollapsedMember(inner).prepare(1) == ("prepared", 1)


def test_one_side_only_is_refused():
    with pytest.raises(InputError, match=r"^malignant: .* every class in y is benign"):
        CollapsedMember(GaussianNB()).fit(X, TRUTH)


def test_it_is_an_estimator_like_others():
    member = CollapsedMember(LogisticRegression(), malignant=["mel"])
    member.set_params(classifier__C=0.5)
    assert clone(member).get_params()["classifier__C"] == 0.5
    assert get_tags(member).input_tags == get_tags(LogisticRegression()).input_tags
    frame = pd.DataFrame(X, columns=list("abcd"))
    assert member.fit(frame, Y).feature_names_in_.tolist() == list("abcd")
    assert member.n_features_in_ == 4
