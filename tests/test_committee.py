"""Members from outside: those that fail when asked, and estimators that were fitted before."""

from __future__ import annotations

import numpy as np
import pytest
from committees import Scripted, committee, lesion_table
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skinensemble import Stage, TransferClassifier, load, register_backbone
from skinensemble.backbones import _registry, get_backbone
from skinensemble.committee import cast_ballot
from skinensemble.committee._travel import _backbones
from skinensemble.exceptions import ImageReadError, InputError, MemberError
from skinensemble.persistence import save


class Mute(ClassifierMixin, BaseEstimator):
    """A classifier that is fitted, and fails when it is asked."""

    def __init__(self, error=None, columns=2):
        self.error = error
        self.columns = columns

    def fit(self, X, y):
        self.classes_ = np.unique(y)
        return self

    def predict_proba(self, X):
        if self.error is not None:
            raise self.error
        return np.full((len(X), self.columns), 0.5)


@pytest.fixture(scope="module")
def data():
    return lesion_table()


def test_a_member_that_fails_when_asked_is_named(data):
    X, y, lesions = data
    stage = Stage([*committee(), ("odd", Mute(ZeroDivisionError("no luck")))], cv=2)
    text = "^member: odd – ZeroDivisionError in predict_proba: no luck – correct what it names, or"
    with pytest.raises(MemberError, match=text) as caught:
        stage.fit(X, y, groups=lesions)
    assert isinstance(caught.value.__cause__, ZeroDivisionError)


@pytest.mark.parametrize("error", [InputError("images: none"), ImageReadError("image: a.jpg")])
def test_what_is_about_the_samples_passes_as_it_is(data, error):
    X, y, _ = data
    with pytest.raises(type(error)) as caught:
        cast_ballot("odd", Mute(error).fit(X, y), X, np.unique(y))
    assert caught.value is error


@pytest.mark.parametrize("columns", [1, 2])
def test_columns_that_are_not_its_classes_are_refused(data, columns):
    X, y, _ = data
    text = rf"^member: odd – predict_proba gave the shape \(\d+, {columns}\), not \(\d+, 5\) – give"
    with pytest.raises(MemberError, match=text):
        cast_ballot("odd", Mute(columns=columns).fit(X, y), X, np.unique(y))


@pytest.fixture(scope="module")
def elsewhere():
    """Lesions that the frozen estimators were trained on, and the stage never sees."""
    X, y, _ = lesion_table(80, seed=7)
    return X, y


def frozen(elsewhere) -> list:
    X, y = elsewhere
    pipeline = make_pipeline(StandardScaler(), LogisticRegression()).fit(X, y)
    return [
        ("lda", FrozenEstimator(LinearDiscriminantAnalysis().fit(X, y))),
        ("pipeline", FrozenEstimator(pipeline)),
    ]


def test_frozen_estimators_vote_as_they_are(data, elsewhere):
    X, y, lesions = data
    named = frozen(elsewhere)
    stage = Stage([*named, *committee()[:1]], cv=3, random_state=0)
    stage.fit(X, y, groups=lesions, sample_weight=np.ones(len(y)))
    for at, (_, member) in enumerate(named):
        assert stage.members_[at] is member
        np.testing.assert_allclose(stage.ballots_[:, at], member.predict_proba(X))


class Together(LogisticRegression):
    """A classifier that the library could train for all folds at once."""

    def fit_each(self, X, y, parts):
        raise AssertionError("trained")


@pytest.mark.parametrize("on_error", ["raise", "drop"])
def test_a_frozen_estimator_that_could_train_for_all_folds_at_once_stays(data, elsewhere, on_error):
    X, y, lesions = data
    finished = FrozenEstimator(Together().fit(*elsewhere))
    stage = Stage([("finished", finished)], cv=2, random_state=0, on_error=on_error)
    stage.fit(X, y, groups=lesions)
    assert stage.members_ == [finished]
    np.testing.assert_array_equal(stage.ballots_[:, 0], finished.predict_proba(X))


def test_a_frozen_estimator_with_labels_in_another_order_gives_the_same_verdict(data, elsewhere):
    X, y, lesions = data
    orders = ("", "reverse")
    members = [FrozenEstimator(Scripted(act).fit(*elsewhere)) for act in orders]
    assert members[0].classes_.tolist() == members[1].classes_.tolist()[::-1]
    one, other = (
        Stage([("scripted", member)], cv=2).fit(X, y, groups=lesions) for member in members
    )
    np.testing.assert_array_equal(one.ballots_, other.ballots_)
    np.testing.assert_array_equal(one.predict(X), other.predict(X))


def test_a_frozen_estimator_that_was_not_fitted_is_named(data):
    X, y, lesions = data
    stage = Stage([("cold", FrozenEstimator(LogisticRegression()))], cv=2)
    with pytest.raises(MemberError, match=r"^member: cold – NotFittedError in fit: "):
        stage.fit(X, y, groups=lesions)


def test_a_frozen_estimator_of_other_labels_is_named(data, elsewhere):
    X, y, lesions = data
    alien = LogisticRegression().fit(elsewhere[0], np.where(elsewhere[1] == "nv", "nv", "other"))
    with pytest.raises(MemberError, match=r"^member: alien – it votes for other, which the stage"):
        Stage([("alien", FrozenEstimator(alien))], cv=2).fit(X, y, groups=lesions)


def test_frozen_estimators_are_saved_and_stay_frozen(data, elsewhere, tmp_path):
    X, y, lesions = data
    stage = Stage(frozen(elsewhere), cv=2, random_state=0).fit(X, y, groups=lesions)
    digest = save(stage, tmp_path / "stage.h5")
    back = load(tmp_path / "stage.h5")
    assert back.ballots(X).tobytes() == stage.ballots(X).tobytes()
    assert all(type(member) is FrozenEstimator for member in back.members_)
    assert save(back, tmp_path / "again.h5") == digest
    again = back.fit(X, y, groups=lesions)
    assert again.ballots(X).tobytes() == stage.ballots(X).tobytes()


def test_a_frozen_member_takes_a_registered_backbone_along(monkeypatch):
    monkeypatch.setattr(_registry, "_REGISTRY", dict(_registry._REGISTRY))
    name = "tiny_for_travel"
    register_backbone(name, get_backbone("mobilenet_v2").builder, input_size=32, preprocess="tf")
    member = TransferClassifier(name, weights=None)
    for around in (member, FrozenEstimator(member), make_pipeline(FrozenEstimator(member))):
        assert list(_backbones(around)) == [name]
