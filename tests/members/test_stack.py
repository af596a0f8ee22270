from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.preprocessing import StandardScaler

from skinensemble import DenseHead
from skinensemble.exceptions import MemberError
from skinensemble.members._dense_head import _moments
from skinensemble.members._layers import batches_class

HEAD = {"units": (8,), "epochs": 8, "learning_rate": 0.03, "dropout": 0.0, "random_state": 0}


@pytest.fixture(scope="module")
def data():
    rng = np.random.default_rng(0)
    y = rng.permutation(np.arange(240) % 3)
    X = 2 * np.eye(5)[y] + rng.standard_normal((240, 5))
    return X.astype(np.float32) * [1, 100, 0.01, 1, 1], np.array(["bkl", "mel", "nv"])[y]


def parts_of(n: int, lengths):
    return [np.random.default_rng(j).permutation(n)[:length] for j, length in enumerate(lengths)]


def batches_of(lengths, batch_size, seed=0):
    X = np.arange(100.0)[:, None]
    parts = [
        SimpleNamespace(rows=rows, y=rows % 3, weight=np.ones(len(rows), np.float32))
        for rows in parts_of(100, lengths)
    ]
    return batches_class()(X, parts, batch_size, seed), parts


@pytest.mark.parametrize("lengths", [(100,), (80, 80, 100), (7, 100), (1, 2, 3)])
@pytest.mark.parametrize("batch_size", [1, 7, 32, 1000])
def test_every_head_sees_each_of_its_rows_once_an_epoch_and_no_other(lengths, batch_size):
    batches, parts = batches_of(lengths, batch_size)
    found = [[] for _ in parts]
    for at in range(len(batches)):
        X, y, weight = batches[at]
        assert len(X) == len(y) == len(weight) == batches.width * len(parts)
        assert batches.width <= batch_size
        np.testing.assert_array_equal(X[:, 0] % 3, y)
        for j, rows in enumerate(np.split(X[:, 0], len(parts))):
            own = np.split(weight, len(parts))[j]
            assert set(rows) <= set(parts[j].rows)
            # Weights are those of a mean over the head's own batch.
            assert own.sum() == pytest.approx(1) or not own.any()
            found[j] += rows[own > 0].astype(int).tolist()
    for rows, part in zip(found, parts, strict=True):
        assert sorted(rows) == sorted(part.rows)


def test_the_order_of_the_data_is_a_function_of_seed_and_epoch():
    def order(seed, epochs):
        batches, _ = batches_of((10,), 4, seed)
        for _ in range(epochs):
            batches.on_epoch_end()
        return np.concatenate([batches[i][0][:, 0] for i in range(len(batches))]).tolist()

    assert order(0, 0) == order(0, 0)
    assert len({str(order(seed, epoch)) for seed in (0, 1) for epoch in (0, 1, 2)}) == 6


def test_closed_batches_hold_no_array():
    batches, _ = batches_of((10,), 4)
    batches.close()
    assert len(batches.X) == len(batches.parts) == 0


@pytest.mark.parametrize(
    "options",
    [
        {},
        pytest.param({"units": ()}, marks=pytest.mark.slow),
        pytest.param({"units": (6, 4), "l2": 0.1}, marks=pytest.mark.slow),
        {"batch_normalization": True},
    ],
    ids=str,
)
def test_side_by_side_is_as_if_alone(data, options):
    """Of equal length, so that batches are the same; no dropout, whose masks are shared."""
    X, y = data
    parts = parts_of(len(y), (150, 150, 150))
    head = DenseHead(**HEAD | options)
    together = head.fit_each(X, y, parts)
    # Batch normalisation cancels the bias before it, which Adam then moves by rounding errors.
    atol = 0.02 if head.batch_normalization else 2e-4
    for one, rows in zip(together, parts, strict=True):
        alone = clone(head).fit(X[rows], y[rows])
        np.testing.assert_allclose(one.predict_proba(X), alone.predict_proba(X), atol=atol)
        np.testing.assert_allclose(one.history_["loss"], alone.history_["loss"], atol=1e-3)
        assert one.n_features_in_ == 5
        assert set(vars(one)) == set(vars(alone))


def test_a_head_does_not_depend_on_what_the_others_see(data):
    X, y = data
    first, second, third = parts_of(len(y), (150, 150, 150))
    head = DenseHead(**HEAD | {"dropout": 0.5})
    one = head.fit_each(X, y, [first, second])[0]
    wrong = y.copy()
    wrong[np.setdiff1d(np.arange(len(y)), first)] = "nv"
    other = head.fit_each(X, wrong, [first, third])[0]
    np.testing.assert_array_equal(one.predict_proba(X), other.predict_proba(X))


@pytest.mark.parametrize("options", [{"patience": 3}, {"callbacks": [None]}], ids=str)
def test_with_patience_or_callbacks_they_are_trained_one_by_one(data, options):
    import keras

    if "callbacks" in options:
        options = {"callbacks": [keras.callbacks.ReduceLROnPlateau("loss")]}
    X, y = data
    parts, lesions = parts_of(len(y), (150, 120)), np.arange(len(y)) // 2
    head = DenseHead(**HEAD | options)
    weight = np.linspace(0.5, 1.5, len(y))
    for one, rows in zip(
        head.fit_each(X, y, parts, groups=lesions, sample_weight=weight), parts, strict=True
    ):
        alone = clone(head).fit(X[rows], y[rows], groups=lesions[rows], sample_weight=weight[rows])
        np.testing.assert_array_equal(one.predict_proba(X), alone.predict_proba(X))


def test_parts_of_other_classes_are_trained_one_by_one(data):
    X, y = data
    parts = [np.flatnonzero(y != "nv"), np.flatnonzero(y != "mel")]
    heads = DenseHead(**HEAD).fit_each(X, y, parts)
    assert [head.classes_.tolist() for head in heads] == [["bkl", "mel"], ["bkl", "nv"]]


def test_the_moments_are_those_of_each_part():
    rng = np.random.default_rng(0)
    X = rng.standard_normal((2500, 3)).astype(np.float32) * [1, 1e-3, 1e3] + [0, 5, -1e4]
    X = np.column_stack([X, np.full(2500, 7.1)]).astype(np.float32)
    parts = parts_of(2500, (2500, 1700, 3))
    for (mean, scale), rows in zip(_moments(X, parts), parts, strict=True):
        scaler = StandardScaler().fit(X[rows].astype(np.float64))
        np.testing.assert_allclose(mean, scaler.mean_, rtol=1e-6, atol=1e-7)
        np.testing.assert_allclose(scale, scaler.scale_, rtol=1e-5)


def test_one_that_diverges_is_a_members_failure(data):
    X, y = data
    with pytest.raises(MemberError, match="the loss is not finite"):
        DenseHead(**HEAD | {"learning_rate": 1e38}).fit_each(X, y, parts_of(len(y), (90, 90)))
