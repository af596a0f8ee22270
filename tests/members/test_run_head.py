from __future__ import annotations

import numpy as np
import pytest

from skinensemble.engines import run_small
from skinensemble.members import DenseHead, _run_head
from skinensemble.members._run_head import run_heads
from skinensemble.persistence import load, save

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


@pytest.fixture(scope="module")
def heads():
    y = np.arange(90) % 3
    X = features(90) + y[:, None]
    return [DenseHead(**params, epochs=3, random_state=0).fit(X, y) for params in HEADS]


@pytest.fixture(scope="module")
def wide():
    """Features as many as real networks make, where the order of a sum depends on the rows."""
    rows = np.random.default_rng(0).normal(size=(64, 1280)).astype(np.float32)
    return rows, DenseHead(epochs=1, random_state=0).fit_each(
        rows, np.arange(64) % 3, [np.arange(64), np.arange(9, 64)]
    )


@pytest.mark.parametrize("n", [1, 31, 32, 100])
def test_each_says_what_keras_says(heads, n):
    for head, found in zip(heads, run_heads(heads, features(n)), strict=True):
        assert found.dtype == np.float32
        np.testing.assert_allclose(found, run_small(head.model_, features(n)), atol=1e-6)


def test_an_image_gets_the_same_probabilities_in_any_company(wide):
    rows, heads = wide
    together = run_heads(heads, rows)
    for n in (1, 2, 5, 48):
        for head, known in zip(heads, together, strict=True):
            np.testing.assert_array_equal(head.predict_proba(rows[:n]), known[:n])
            np.testing.assert_array_equal(head.predict_proba(rows[n:]), known[n:])
        for found, known in zip(run_heads(heads[::-1], rows[:n]), together[::-1], strict=True):
            np.testing.assert_array_equal(found, known[:n])


def test_their_kernels_are_put_side_by_side_once(wide, monkeypatch):
    rows, heads = wide
    run_heads(heads, rows)
    monkeypatch.setattr(np, "concatenate", lambda *_, **__: pytest.fail("copied again"))
    _run_head._run([_run_head._runner(head) for head in heads], rows)


def test_a_head_that_is_fitted_again_answers_anew(heads):
    y, X = np.arange(90) % 3, features(90)
    again = DenseHead(epochs=3, random_state=0).fit(X + y[:, None], y)
    before = again.predict_proba(X)
    again.fit(X - y[:, None], y)
    assert np.abs(again.predict_proba(X) - before).max() > 0.01
    np.testing.assert_allclose(again.predict_proba(X), run_small(again.model_, X), atol=1e-6)
    with pytest.raises(ValueError, match="read-only"):
        again.weights_[0][0] = 1


def test_what_is_set_after_the_fit_waits_for_the_next(tmp_path):
    y, X = np.arange(90) % 3, features(90)
    other = {"units": (), "batch_normalization": True, "activation": "tanh"}
    head = DenseHead(epochs=1, random_state=0).fit(X, y)
    before = head.predict_proba(X)
    head = DenseHead(epochs=1, random_state=0).fit(X, y).set_params(**other)
    np.testing.assert_array_equal(head.predict_proba(X), before)
    np.testing.assert_allclose(run_small(head.model_, X), before, atol=1e-6)
    save(head, tmp_path / "head.h5")
    np.testing.assert_array_equal(load(tmp_path / "head.h5").predict_proba(X), before)
    assert head.get_params()["units"] == ()


def test_keras_runs_what_numpy_does_not_have(heads, monkeypatch):
    asked = []
    monkeypatch.setattr(_run_head, "run_small", lambda model, rows: asked.append(model) or rows)
    run_heads(heads, features(1))
    assert [one.layers[2].activation.__name__ for one in asked] == ["gelu"]


def test_huge_features_are_taken_without_a_warning(heads):
    for found in run_heads(heads, np.full((1, 40), 3e38, np.float32)):
        assert found.shape == (1, 3)
