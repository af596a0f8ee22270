from __future__ import annotations

import gc
import threading
from types import SimpleNamespace

import numpy as np
import psutil
import pytest
from sklearn.base import clone
from sklearn.preprocessing import StandardScaler

from skinensemble import DenseHead
from skinensemble.exceptions import MemberError
from skinensemble.members import _batches, _stack
from skinensemble.members._batches import Shape, arguments
from skinensemble.members._dense_head import _moments

HEAD = {"units": (8,), "epochs": 8, "learning_rate": 0.03, "dropout": 0.0, "random_state": 0}


@pytest.fixture(scope="module")
def data():
    rng = np.random.default_rng(0)
    y = rng.permutation(np.arange(240) % 3)
    X = 2 * np.eye(5)[y] + rng.standard_normal((240, 5))
    return X.astype(np.float32) * [1, 100, 0.01, 1, 1], np.array(["bkl", "mel", "nv"])[y]


def parts_of(n: int, lengths):
    return [np.random.default_rng(j).permutation(n)[:length] for j, length in enumerate(lengths)]


def batches_of(lengths, batch_size, seed=0, epochs=2):
    parts = [
        SimpleNamespace(rows=rows, y=rows % 3, weight=np.ones(len(rows), np.float32))
        for rows in parts_of(100, lengths)
    ]
    shape = Shape.of(parts, batch_size)
    assert shape.n_batches % shape.steps == 0
    with arguments(parts, shape, seed, epochs) as given:
        assert given["steps_per_epoch"] == shape.n_batches
        drawn = [given[key].reshape(-1, given["batch_size"]) for key in ("x", "y", "sample_weight")]
    return shape.n_batches, list(zip(*drawn, strict=True)), parts


@pytest.mark.parametrize("lengths", [(100,), (80, 80, 100), (7, 100), (1, 2, 3)])
@pytest.mark.parametrize("batch_size", [1, 7, 32, 1000])
def test_every_head_sees_each_of_its_rows_once_an_epoch_and_no_other(lengths, batch_size):
    n_batches, batches, parts = batches_of(lengths, batch_size)
    found = [[[], []] for _ in parts]
    for at, (rows, y, weight) in enumerate(batches):
        assert len(rows) == len(y) == len(weight) <= batch_size * len(parts)
        np.testing.assert_array_equal(rows % 3, y)
        for j, seen in enumerate(np.split(rows, len(parts))):
            own = np.split(weight, len(parts))[j]
            assert set(seen) <= set(parts[j].rows)
            # Weights are those of a mean over the head's own batch.
            assert own.sum() == pytest.approx(1) or not own.any()
            found[j][at // n_batches] += seen[own > 0].tolist()
    for epochs, part in zip(found, parts, strict=True):
        assert [sorted(seen) for seen in epochs] == 2 * [sorted(part.rows)]


def test_the_order_of_the_data_is_a_function_of_seed_and_epoch():
    def orders(seed):
        _, batches, _ = batches_of((10,), 10, seed, epochs=3)
        return [str(rows) for rows, _, _ in batches]

    assert orders(0) == orders(0)
    assert len({*orders(0), *orders(1)}) == 6


def test_batches_drawn_in_time_teach_the_same(data, monkeypatch):
    X, y = data
    head, parts = DenseHead(**HEAD), parts_of(len(y), (150, 100))
    in_advance = head.fit_each(X, y, parts)
    monkeypatch.setattr(_batches, "_IN_ADVANCE", 0)
    for one, other in zip(in_advance, head.fit_each(X, y, parts), strict=True):
        np.testing.assert_allclose(one.history_["loss"], other.history_["loss"], rtol=1e-5)
        assert len(other.history_["loss"]) == head.epochs


def test_what_was_drawn_in_time_is_let_go_of(monkeypatch):
    monkeypatch.setattr(_batches, "_IN_ADVANCE", 0)
    parts = [SimpleNamespace(rows=np.arange(9), y=np.arange(9) % 3, weight=np.ones(9))]
    with arguments(parts, Shape.of(parts, 4), 0, 1) as given:
        assert len(given["x"][0][0]) == 3
    assert not given["x"].parts
    assert not given["x"].drawn


def test_a_callback_may_train_another_head(data):
    import keras

    class Other(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            DenseHead(**HEAD | {"epochs": 1}).fit(*data)

    alone = DenseHead(**HEAD | {"epochs": 2}).fit(*data)
    disturbed = DenseHead(**HEAD | {"epochs": 2, "callbacks": [Other()]}).fit(*data)
    np.testing.assert_array_equal(alone.predict_proba(data[0]), disturbed.predict_proba(data[0]))


@pytest.mark.parametrize("scaling", ["feature", "common"])
def test_the_moments_are_those_of_each_part(scaling):
    rng = np.random.default_rng(0)
    X = rng.standard_normal((2500, 3)).astype(np.float32) * [1, 1e-3, 1e3] + [0, 5, -1e4]
    X = np.column_stack([X, np.full(2500, 7.1)]).astype(np.float32)
    parts = parts_of(2500, (2500, 1700, 3))
    for (mean, scale), rows in zip(_moments(X, parts, scaling), parts, strict=True):
        scaler = StandardScaler().fit(X[rows].astype(np.float64))
        np.testing.assert_allclose(mean, scaler.mean_, rtol=1e-6, atol=1e-7)
        expected = scaler.scale_ if scaling == "feature" else np.sqrt(scaler.var_.mean())
        np.testing.assert_allclose(scale, np.broadcast_to(expected, scale.shape), rtol=1e-5)


def test_the_penalty_and_the_steps_are_those_of_keras(data, monkeypatch):
    """With the gradient of the penalty in one operation, and as a loss under Keras' own Adam."""
    import keras

    def plain(learning_rate, l2):
        return keras.optimizers.Adam(learning_rate)

    def penalised(head, *shape):
        stack = build(head, *shape)
        for layer in stack.layers:
            if hasattr(layer, "kernel"):
                layer.kernel.regularizer = keras.regularizers.L2(head.l2)
        return stack

    X, y = data
    head, parts = DenseHead(**HEAD | {"l2": 0.1, "epochs": 3}), parts_of(len(y), (150, 150))
    own = head.fit_each(X, y, parts)
    build = _stack._build
    monkeypatch.setattr(_stack, "_STACKS", threading.local())
    monkeypatch.setattr(_stack, "_build", penalised)
    monkeypatch.setattr(_stack, "penalised_adam_class", lambda: plain)
    for one, other in zip(own, head.fit_each(X, y, parts), strict=True):
        np.testing.assert_allclose(one.predict_proba(X), other.predict_proba(X), atol=1e-5)


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
    parts = parts_of(len(y), (150, 150))
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
    # Both of 160 rows of room: alone they share a network.
    parts, lesions = parts_of(len(y), (150, 140)), np.arange(len(y)) // 2
    head = DenseHead(**HEAD | {"epochs": 4} | options)
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


@pytest.mark.parametrize("n", [1, 7, 8, 9, 240, 1000, 8012, 10015])
def test_numbers_of_samples_that_differ_a_little_share_a_network(n):
    assert n <= _stack._roomy(n) < 1.25 * n + 1
    assert len({_stack._roomy(m) for m in range(n, n + n // 8)}) <= 2


def test_no_more_networks_are_kept_than_their_features_are_worth(data, monkeypatch):
    monkeypatch.setattr(_stack, "_STACKS", threading.local())
    monkeypatch.setattr(_stack, "_MOST_BYTES", 2 * 256 * 5 * 4)
    for units in (2, 3, 4):
        DenseHead(**HEAD | {"units": (units,), "epochs": 1}).fit(*data)
    assert len(_stack._cache()) == 2
    monkeypatch.setattr(_stack, "_MOST_BYTES", 0)
    DenseHead(**HEAD | {"units": (4,), "epochs": 1}).fit(*data)
    assert not _stack._cache()


@pytest.mark.slow
def test_what_was_trained_with_a_network_is_let_go_of(monkeypatch):
    """Keras on TensorFlow kept the features of each, 32 MB here, as long as the process lived."""
    monkeypatch.setattr(_stack, "_MOST_BYTES", 0)
    X, y = np.ones((8192, 1024), np.float32), np.arange(8192) % 2
    used = []
    for _ in range(4):
        DenseHead(units=(), epochs=1, batch_size=4096).fit(X, y)
        gc.collect()
        used.append(psutil.Process().memory_info().rss / X.nbytes)
    assert used[-1] - used[1] < 1.5


def test_the_moments_count_a_row_as_often_as_it_is_there():
    X = np.arange(5.0, dtype=np.float32)[:, None]
    ((mean, scale),) = _moments(X, [np.array([0, 0, 4, 4, 4])], "feature")
    drawn = X[[0, 0, 4, 4, 4]]
    np.testing.assert_allclose([mean[0], scale[0]], [drawn.mean(), drawn.std()], rtol=1e-6)


def test_one_that_diverges_is_a_members_failure(data):
    X, y = data
    with pytest.raises(MemberError, match="the loss is not finite"):
        DenseHead(**HEAD | {"learning_rate": 1e38}).fit_each(X, y, parts_of(len(y), (90, 90)))
