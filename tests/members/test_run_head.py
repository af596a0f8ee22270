from __future__ import annotations

import numpy as np
import pytest

from skinensemble.engines import run_small
from skinensemble.members import DenseHead
from skinensemble.members._run_head import run_head

HEADS = [
    {"units": ()},
    {"units": (8,)},
    {"units": (8, 4), "batch_normalization": True},
    {"units": (8,), "activation": "tanh"},
    {"units": (8,), "activation": "linear", "dropout": 0.0},
    {"units": (8,), "activation": "gelu"},
]


def features(n: int) -> np.ndarray:
    return np.random.default_rng(n).normal(size=(n, 40)).astype(np.float32)


@pytest.fixture(scope="module", params=HEADS, ids=str)
def model(request):
    y = np.arange(90) % 3
    head = DenseHead(**request.param, epochs=3, random_state=0)
    return head.fit(features(90) + y[:, None], y).model_


@pytest.mark.parametrize("n", [1, 31, 32, 100])
def test_it_is_what_keras_says(model, n):
    found = run_head(model, features(n))
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, run_small(model, features(n)), atol=1e-6)


def test_an_image_gets_the_same_probabilities_in_any_company():
    # As wide as the features of real networks, where the order of a sum depends on the rows.
    rows = np.random.default_rng(0).normal(size=(64, 1280)).astype(np.float32)
    model = DenseHead(epochs=1, random_state=0).fit(rows, np.arange(64) % 3).model_
    together = run_head(model, rows)
    for n in (1, 2, 5, 48):
        np.testing.assert_array_equal(run_head(model, rows[:n]), together[:n])
        np.testing.assert_array_equal(run_head(model, rows[n:]), together[n:])


def test_keras_runs_what_numpy_does_not_have(monkeypatch):
    asked = []
    monkeypatch.setattr("skinensemble.members._run_head.run_small", lambda *a: asked.append(a))
    for activation in ("relu", "gelu", lambda x: x / 2):
        run_head(
            DenseHead(activation=activation, epochs=1).fit(features(9), [0, 1, 2] * 3).model_,
            features(1),
        )
    assert len(asked) == 2


def test_huge_features_are_taken_without_a_warning(model):
    assert run_head(model, np.full((1, 40), 3e38, np.float32)).shape == (1, 3)
