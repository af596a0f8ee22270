"""On real lesions and real weights the engines give the same verdicts."""

from __future__ import annotations

import numpy as np
import pytest
from test_engines_openvino import has_bfloat16

from skinensemble import FeatureStore, config_context, make_cascade
from skinensemble.datasets import load_ham10000

NAMES = ("efficientnet_lite0", "mobilenet_v2")


@pytest.fixture(scope="module")
def lesions(ham10000):
    """Images of about 12 lesions of each type to train on, and 200 others."""
    data = load_ham10000(ham10000)
    images, y, groups = map(np.asarray, (data.images, data.target, data.groups))
    rng = np.random.default_rng(0)
    chosen = np.concatenate([rng.permutation(np.unique(groups[y == k]))[:12] for k in np.unique(y)])
    train = np.isin(groups, chosen)
    others = rng.permutation(np.flatnonzero(~train))[:200]
    return (images[train], y[train], groups[train]), images[others]


@pytest.fixture(scope="module")
def cascade(lesions, imagenet_weights):
    weights = {"mobilenet_v2": imagenet_weights / "mobilenet_v2_1.0_224_notop.weights.h5"}
    X, y, groups = lesions[0]
    built = make_cascade(*NAMES, weights=weights, cv=2, random_state=0)
    return built.fit(X, y, groups=groups)


def answers(cascade, images, **config):
    store = FeatureStore()  # both stages': each network passes the images once
    for stage in (cascade.triage_, cascade.diagnosis_):
        for member in stage.members_:
            member.body_.store = store
    with config_context(**config):
        images = cascade.prepare(images)
        found = [(one.malignant, one.diagnosis) for one in cascade.verdicts(images)]
        return cascade.predict_proba(images), found


@pytest.mark.slow
def test_the_engines_agree_on_real_lesions(cascade, lesions):
    exact, verdicts = answers(cascade, lesions[1], engine="keras")
    proba, found = answers(cascade, lesions[1], engine="openvino")
    np.testing.assert_allclose(proba, exact, atol=1e-4)
    assert found == verdicts
    if has_bfloat16():
        proba, found = answers(cascade, lesions[1], engine="openvino", precision="bfloat16")
        changed = sum(one != other for one, other in zip(found, verdicts, strict=True))
        print(f"bfloat16: {changed} of {len(found)} verdicts, up to {abs(proba - exact).max():.3f}")
        assert changed <= len(found) / 10
