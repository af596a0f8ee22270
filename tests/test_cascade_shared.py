"""A triage in which the members of the diagnosis vote."""

from __future__ import annotations

import numpy as np
import pytest
import sklearn
from committees import MALIGNANT, Recorder, committee, lesion_table, notebook
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import GridSearchCV, GroupKFold

from skinensemble import Cascade, CollapsedMember, SoftVote, Stage, ThresholdVote, load
from skinensemble.cascade import cascade_around, make_cascade
from skinensemble.exceptions import InputError
from skinensemble.persistence import save


@pytest.fixture(scope="module")
def data():
    return lesion_table(400)


@pytest.fixture(scope="module")
def cascade(data):
    X, y, lesions = data
    stage = Stage(committee(), cv=3)
    rule = ThresholdVote(min_sensitivity=0.9)
    return Cascade(rule, stage, random_state=0).fit(X, y, groups=lesions)


def test_the_ballots_of_the_triage_are_those_of_the_diagnosis_by_side(data, cascade):
    mask = np.isin(cascade.classes_, MALIGNANT)
    for triage, diagnosis in (
        (cascade.triage_.ballots_, cascade.diagnosis_.ballots_),
        (cascade.triage_.ballots(data[0]), cascade.diagnosis_.ballots(data[0])),
    ):
        np.testing.assert_allclose(triage[..., 1], diagnosis[..., mask].sum(axis=2), atol=1e-12)
        np.testing.assert_allclose(triage.sum(axis=2), 1, atol=1e-12)


def test_nothing_is_trained_twice(data):
    X, y, lesions = data
    notes, share = notebook()
    stage = Stage([("noted", Recorder(share))], cv=3)
    Cascade("soft", stage, random_state=0).fit(X, y, groups=lesions)
    assert len([note for note in notes if note[0] == "fit"]) == 4


def test_the_threshold_is_certified_on_lesions(data, cascade):
    certificate = cascade.certificate_
    malignant = len(np.unique(data[2][np.isin(data[1], MALIGNANT)]))
    assert certificate.n_malignant == malignant
    assert certificate.bound >= 0.9
    assert cascade.predict_malignant(data[0]).mean() > 0.4


def test_it_keeps_the_promises_of_a_cascade(data, cascade):
    X = data[0]
    proba, malignant = cascade.predict_proba(X), cascade.predict_malignant(X)
    mask = np.isin(cascade.classes_, MALIGNANT)
    np.testing.assert_allclose(proba[:, mask].sum(axis=1), cascade.malignant_proba(X), atol=1e-12)
    np.testing.assert_array_equal(np.isin(cascade.predict(X), MALIGNANT), malignant)
    assert set(cascade.verdicts(X[:1])[0].triage_votes) == {"linear", "bayes", "lda"}


def test_it_is_saved_and_can_be_fitted_again(data, cascade, tmp_path):
    X, y, lesions = data
    save(cascade, tmp_path / "cascade.h5")
    loaded = load(tmp_path / "cascade.h5")
    np.testing.assert_array_equal(loaded.predict_proba(X), cascade.predict_proba(X))
    assert isinstance(loaded.triage, ThresholdVote)
    assert all(isinstance(member, CollapsedMember) for member in loaded.triage_.members_)
    again = clone(loaded).set_params(random_state=0).fit(X, y, groups=lesions)
    assert again.triage_.ballots_.shape == cascade.triage_.ballots_.shape


def test_parameters_of_the_rule_are_searched(data):
    X, y, lesions = data
    with sklearn.config_context(enable_metadata_routing=True):
        cascade = Cascade(ThresholdVote(), Stage(committee(), cv=2), random_state=0)
        grid = {"triage__min_sensitivity": [0.5, 0.9]}
        search = GridSearchCV(
            cascade.set_fit_request(groups=True), grid, cv=GroupKFold(2), error_score="raise"
        )
        search.fit(X, y, groups=lesions)
    assert search.best_params_["triage__min_sensitivity"] in (0.5, 0.9)


def test_the_comparison_of_the_triage_works_on_it(cascade):
    assert "vote" in cascade.triage_.compare(rules=(), n_resamples=50).sentence


@pytest.mark.parametrize(
    ("options", "shared", "refit"),
    [
        ({}, False, True),
        ({"shared_members": True}, True, True),
        ({"unfreeze": 2}, True, True),
        ({"unfreeze": 2, "shared_members": False, "refit": False}, False, False),
    ],
    ids=str,
)
def test_a_cascade_of_names_shares_where_training_takes_minutes(options, shared, refit):
    cascade = make_cascade("vgg16", weights=None, **options)
    assert isinstance(cascade.triage, SoftVote) == shared
    assert cascade.diagnosis.refit is refit


def test_a_checkpoint_asks_for_a_seed():
    assert make_cascade("vgg16", unfreeze=2, checkpoint="folder").random_state == 0
    assert make_cascade("vgg16", unfreeze=2).random_state is None
    assert make_cascade("vgg16", unfreeze=2, checkpoint="folder", random_state=3).random_state == 3


def test_an_unknown_rule_is_named(data):
    X, y, lesions = data
    with pytest.raises(InputError, match="voting: 'sofd' – not one of"):
        Cascade("sofd", Stage(committee(), cv=2)).fit(X, y, groups=lesions)


@pytest.mark.parametrize("refer", [None, 0.8])
def test_around_a_stage_it_is_what_fitting_it_gives(data, cascade, refer):
    X, y, lesions = data
    rule = ThresholdVote(min_sensitivity=0.9)
    fitted = Cascade(rule, Stage(committee(), cv=3), refer=refer, random_state=0)
    fitted.fit(X, y, groups=lesions)
    around = cascade_around(fitted.diagnosis_, rule, refer=refer)
    np.testing.assert_array_equal(around.predict_proba(X), fitted.predict_proba(X))
    assert around.verdicts(X) == fitted.verdicts(X)
    assert around.certificate_ == fitted.certificate_ is not None
    assert around.n_features_in_ == X.shape[1]


def test_around_a_stage_it_is_saved_and_certified_anew(data, cascade, tmp_path):
    X, _, _ = data
    around = cascade_around(cascade.diagnosis_)
    around.save(tmp_path / "around.h5")
    again = load(tmp_path / "around.h5")
    np.testing.assert_array_equal(again.predict_proba(X), around.predict_proba(X))
    new = lesion_table(300, seed=5)
    assert around.certify(*new[:2], groups=new[2], min_sensitivity=0.8).minimum == 0.8


def test_only_a_fitted_stage_of_both_sides_has_a_cascade_around_it(cascade):
    with pytest.raises(NotFittedError):
        cascade_around(Stage(committee()))
    with pytest.raises(InputError, match="malignant"):
        cascade_around(cascade.diagnosis_, malignant=("akiec", "bcc", "bkl", "mel", "nv"))
    with pytest.raises(InputError, match="voting: 'loudest'"):
        cascade_around(cascade.diagnosis_, "loudest")
