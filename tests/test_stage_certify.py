from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from committees import Recorder, committee, lesion_table, notebook
from sklearn.base import BaseEstimator, ClassifierMixin

from skinensemble import SoftVote, Stage, ThresholdVote, load
from skinensemble.exceptions import CertificateError, CertificateWarning, InputError
from skinensemble.images import as_images
from skinensemble.persistence import save

TWO = np.array(["benign", "malignant"])


class ByColour(ClassifierMixin, BaseEstimator):
    """Says what it makes of the mean of an image, without having learnt anything."""

    def fit(self, X, y):
        self.classes_ = np.unique(y)
        return self

    def predict_proba(self, X):
        p = np.array([X[row].mean() / 255 for row in range(len(X))])
        return np.stack([1 - p, p], axis=1)


@pytest.fixture(scope="module")
def two():
    return lesion_table(codes=TWO)


@pytest.fixture
def certifiable(two):
    X, y, lesions = two
    return Stage(committee(), cv=3, random_state=0).fit(X, y, groups=lesions)


def test_certify_proves_a_threshold_on_fresh_lesions(certifiable):
    X, y, lesions = lesion_table(200, codes=TWO, seed=9)
    certificate = certifiable.certify(X, y, groups=lesions, min_sensitivity=0.9)
    pooled = SoftVote().combine(certifiable.ballots(X))[:, 1]
    assert certificate.kind == "held-out"
    assert (certificate.n_malignant, certificate.n_benign) == (100, 100)
    assert certificate is certifiable.voting_.certificate_
    found = certifiable.predict(X) == "malignant"
    np.testing.assert_array_equal(found, pooled >= certificate.threshold)
    worst = [found[lesions == g].all() for g in np.unique(lesions[y == "malignant"])]
    assert certificate.misses == np.sum(~np.array(worst))


def test_certify_prepares_the_members_once(two):
    notes: list = []

    class Preparing(ByColour):
        def prepare(self, X):
            notes.append(len(X))
            return X

    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (400, 2, 2, 3), dtype=np.uint8)
    y, lesions = np.repeat(TWO, 200), np.arange(400)
    stage = Stage([("one", Preparing())], cv=2, random_state=0)
    stage.fit(images[::2], y[::2], groups=lesions[::2])
    notes.clear()
    stage.certify(images[1::2], y[1::2], groups=lesions[1::2], min_sensitivity=0.9)
    assert notes == [200]


def test_certify_again_replaces_the_threshold_and_keeps_the_pool(certifiable):
    X, y, lesions = lesion_table(200, codes=TWO, seed=9)
    before = certifiable.predict_proba(X)
    first = certifiable.certify(X, y, groups=lesions, min_sensitivity=0.95)
    with pytest.warns(
        CertificateWarning, match=rf"^certificate: {len(y)} samples were used .* – a"
    ):
        second = certifiable.certify(X, y, groups=lesions, min_sensitivity=0.8)
    assert second.threshold > first.threshold
    assert isinstance(certifiable.voting_, ThresholdVote)
    assert isinstance(certifiable.voting_.base_, SoftVote)
    np.testing.assert_array_equal(certifiable.predict_proba(X), before)


def test_a_loaded_stage_knows_what_it_was_certified_on(certifiable, tmp_path):
    X, y, lesions = lesion_table(200, codes=TWO, seed=9)
    certifiable.certify(X, y, groups=lesions)
    save(certifiable, tmp_path / "stage.h5")
    back = load(tmp_path / "stage.h5")
    with pytest.warns(CertificateWarning, match=rf"^certificate: {len(y)} samples were used"):
        back.certify(X, y, groups=lesions)


@pytest.mark.parametrize("frame", [False, True])
def test_certify_refuses_what_was_trained_on(two, certifiable, frame):
    X, y, lesions = lesion_table(200, codes=TWO, seed=9)
    X[[4, 7]], y[[4, 7]], lesions[[4, 7]] = two[0][:2], two[1][:2], ["x", "y"]
    before = certifiable.voting_
    with pytest.raises(InputError, match="samples: rows 4, 7 – the members were trained on these"):
        certifiable.certify(pd.DataFrame(X) if frame else X, y, groups=lesions)
    assert certifiable.voting_ is before


@pytest.mark.parametrize("loaded", [False, True])
def test_certify_refuses_other_images_of_lesions_that_were_trained_on(
    two, certifiable, loaded, tmp_path
):
    X, y, lesions = lesion_table(200, codes=TWO, seed=9)
    lesions = np.where(lesions == lesions[4], two[2][two[1] == y[4]][0], lesions)
    if loaded:
        save(certifiable, tmp_path / "stage.h5")
        certifiable = load(tmp_path / "stage.h5")
    rows = ", ".join(map(str, np.flatnonzero(lesions == lesions[4])[:10]))
    why = "the members were trained on these lesions, so they prove nothing"
    with pytest.raises(InputError, match=f"^lesions: rows {rows} – {why} – .* same name"):
        certifiable.certify(X, y, groups=lesions)


def test_numbers_of_lesions_may_meet(two):
    fresh = lesion_table(200, codes=TWO, seed=9)
    first, second = (np.unique(part[2], return_inverse=True)[1] for part in (two, fresh))
    stage = Stage(committee(), cv=3).fit(two[0], two[1], groups=first)
    assert stage.certify(*fresh[:2], groups=second, min_sensitivity=0.9).n_malignant == 100


def test_certify_refuses_too_few_lesions_and_unknown_labels(certifiable):
    X, y, lesions = lesion_table(60, codes=TWO, seed=9)
    before = certifiable.voting_
    with pytest.raises(CertificateError, match=r"30 malignant lesions .* \(29 more\)"):
        certifiable.certify(X, y, groups=lesions)
    y[lesions == lesions[3]] = "unclear"
    with pytest.raises(InputError, match="labels: unclear – the stage knows benign, malignant – "):
        certifiable.certify(X, y, groups=lesions)
    assert certifiable.voting_ is before


def test_certify_needs_two_classes():
    X, y, lesions = lesion_table()
    stage = Stage(committee()[:1], cv=3).fit(X, y, groups=lesions)
    X, y, lesions = lesion_table(seed=9)
    with pytest.raises(InputError, match="between two classes, here are 5 – use it for triage"):
        stage.certify(X, y, groups=lesions)


@pytest.mark.parametrize("criterion", ["youden", "specificity", [[0, 1], [5, 0]]])
def test_certify_promises_a_sensitivity_whatever_the_threshold_was_tuned_by(two, criterion):
    X, y, lesions = two
    vote = ThresholdVote(criterion=criterion, min_specificity=0.8)
    stage = Stage(committee(), voting=vote, cv=3).fit(X, y, groups=lesions)
    X, y, lesions = lesion_table(200, codes=TWO, seed=9)
    certificate = stage.certify(X, y, groups=lesions, min_sensitivity=0.9)
    assert (certificate.promised, certificate.minimum) == ("sensitivity", 0.9)
    assert certificate.bound >= 0.9


def test_copies_of_an_image_prove_nothing_twice():
    images = np.random.default_rng(0).integers(0, 256, (30, 8, 8, 3), dtype=np.uint8)
    sides = TWO[np.arange(30) % 2]
    stage = Stage([("by colour", ByColour())], cv=3).fit(
        as_images(images), sides, groups=np.arange(30)
    )
    fresh = np.random.default_rng(1).integers(0, 256, (60, 8, 8, 3), dtype=np.uint8)
    twice, y = as_images(np.concatenate([fresh, fresh])), np.tile(TWO[np.arange(60) % 2], 2)
    with pytest.raises(
        InputError, match=r"copies: rows 0 and 60, .* the same image has two lesions"
    ):
        stage.certify(twice, y, groups=np.arange(120))
    with pytest.raises(CertificateError, match="30 malignant lesions cannot prove it"):
        stage.certify(twice, y, groups=np.tile(np.arange(60), 2))


def test_what_proves_nothing_is_refused_before_a_network_runs(two):
    notes, told = notebook()
    X, y, lesions = two
    stage = Stage([("a", Recorder(told))], cv=3).fit(X, y, groups=lesions)
    notes.clear()
    few = lesion_table(60, codes=TWO, seed=9)
    with pytest.raises(CertificateError, match="30 malignant lesions"):
        stage.certify(*few[:2], groups=few[2])
    with pytest.raises(InputError, match="the members were trained on these"):
        stage.certify(X, y, groups=lesions)
    assert notes == []


def test_a_proof_without_lesions_is_none(certifiable):
    X, y, _ = lesion_table(200, codes=TWO, seed=9)
    with pytest.raises(InputError, match="groups: None – a proof counts lesions – pass groups="):
        certifiable.certify(X, y, groups=None)
