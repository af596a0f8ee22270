from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from committees import committee, lesion_table

from skinensemble import SoftVote, Stage, ThresholdVote, load
from skinensemble.exceptions import CertificateError, CertificateWarning, InputError
from skinensemble.persistence import save

TWO = np.array(["benign", "malignant"])


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
