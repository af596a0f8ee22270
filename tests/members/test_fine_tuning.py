from __future__ import annotations

import errno
import functools
import gc
import pickle
import shutil
import weakref
from types import SimpleNamespace
from unittest.mock import Mock

import keras
import numpy as np
import pytest
from PIL import Image
from scipy import special
from sklearn.base import clone
from taking_part import taking_part
from tiny_backbone import TINY

from skinensemble import (
    DenseHead,
    FeatureStore,
    Stage,
    TransferClassifier,
    config_context,
    load,
    register_backbone,
)
from skinensemble.engines import _upper
from skinensemble.exceptions import (
    ImageReadError,
    InputError,
    MemberError,
    ModelFileError,
    SaveError,
    WeightsError,
)
from skinensemble.features import Activations, Extractor, default_store
from skinensemble.images import dihedral
from skinensemble.members import CheckpointWarning, _checkpoint
from skinensemble.members._early_stopping import early_stopping
from skinensemble.members._fine_tuning import _loss, _rates
from skinensemble.members._lesson import Lesson, mix
from skinensemble.persistence import save
from skinensemble.persistence.container import read_container, write_container

TOP = {"unfreeze": 1, "views": 3, "epochs": 2, "batch_size": 16, "random_state": 0}


@pytest.fixture(scope="module")
def data():
    """Images whose diagnosis is their colour, two of each lesion."""
    rng = np.random.default_rng(0)
    y = np.repeat(["bkl", "mel", "nv"], 16)
    shade = np.repeat([[200, 60, 60], [60, 200, 60], [60, 60, 200]], 16, axis=0)
    noise = rng.integers(-50, 50, (48, 32, 32, 3))
    return (shade[:, None, None] + noise).astype(np.uint8), y, np.arange(48) // 2


def member(**options) -> TransferClassifier:
    return TransferClassifier(**TINY | TOP | {"store": FeatureStore()} | options)


def weights(classifier) -> list[np.ndarray]:
    return classifier.head_.model_.get_weights()


def assert_equal_weights(one, other):
    for ours, theirs in zip(weights(one), weights(other), strict=True):
        np.testing.assert_array_equal(ours, theirs)


@pytest.fixture(scope="module")
def fitted(data):
    return member(epochs=12, learning_rate=0.02).fit(data[0], data[1])


@pytest.fixture(scope="module")
def plain(data):
    return member().fit(*data[:2])


@pytest.fixture(scope="module")
def deep(data):
    return member(unfreeze="all", learning_rate=0.05).fit(*data[:2])


@pytest.fixture(scope="module")
def kept(data, tmp_path_factory):
    folder = tmp_path_factory.mktemp("kept")
    return folder, member(checkpoint=folder).fit(*data[:2])


@pytest.fixture
def first(kept, tmp_path):
    """One that was trained, with a copy of its checkpoint in `tmp_path`."""
    shutil.copytree(kept[0], tmp_path, dirs_exist_ok=True)
    return kept[1]


@pytest.fixture
def passes(monkeypatch):
    """How many images went through a network, from now on."""
    counted = []
    real = Extractor._predict
    monkeypatch.setattr(
        Extractor,
        "_predict",
        lambda self, batch: (
            counted.extend(image.tobytes() for image in batch if image.any()) or real(self, batch)
        ),
    )
    return counted


def test_it_learns(data, fitted):
    assert fitted.score(data[0], data[1]) > 0.8
    assert fitted.history_["loss"][-1] < fitted.history_["loss"][0]
    np.testing.assert_allclose(fitted.predict_proba(data[0]).sum(axis=1), 1, atol=1e-5)


def test_what_lies_above_the_cut_is_trained_and_what_lies_below_is_not(fitted, plain):
    network = fitted.body_.network
    start = network.upper.get_weights()
    moved = [np.abs(a - b).max() for a, b in zip(start, weights(fitted), strict=False)]
    assert max(moved) > 1e-3
    assert plain.body_.network is network  # shared, so it must not have been trained
    for layer in network.lower.model.layers:
        assert not layer.trainable


def test_batch_normalisation_stays(deep):
    start = deep.body_.network.upper.get_weights()
    own = [w for w in deep.head_.model_.weights if "batch_normalization" in w.path]
    frozen = [
        value
        for value, w in zip(start, deep.body_.network.upper.weights, strict=True)
        if "batch_normalization" in w.path
    ]
    assert len(own) == 4
    for variable, value in zip(own, frozen, strict=True):
        np.testing.assert_array_equal(np.asarray(variable), value)


def test_it_can_be_pickled(data, fitted):
    again = pickle.loads(pickle.dumps(fitted))
    np.testing.assert_array_equal(again.predict_proba(data[0]), fitted.predict_proba(data[0]))
    assert_equal_weights(again, fitted)


@pytest.mark.parametrize("unfreeze", [1, "all"])
def test_each_view_passes_the_frozen_part_once(data, passes, unfreeze):
    one = member(unfreeze=unfreeze, epochs=1)  # its store is the next one's
    if unfreeze == 1:
        Stage([("one", one)], cv=2).fit(data[0], data[1], groups=data[2])
    else:
        one.fit(*data[:2])
    one.set_params(dropout=0.0).fit(*data[:2])
    views = 3 if unfreeze == 1 else 1
    ours = {dihedral(image, view).tobytes() for image in data[0] for view in range(views)}
    assert len([image for image in passes if image in ours]) == 48 * views


def test_the_model_goes_from_image_to_probability(data, fitted):
    direct = fitted.model_.predict_on_batch(data[0][:4].astype(np.float32))
    one_view = member(epochs=12, learning_rate=0.02).set_params(views=3)
    assert fitted.model_.input_shape == (None, 32, 32, 3)
    assert direct.shape == (4, 3)
    mean = np.mean(
        [
            fitted.model_.predict_on_batch(dihedral(data[0][:4], v).astype(np.float32))
            for v in range(one_view.views)
        ],
        axis=0,
    )
    np.testing.assert_allclose(fitted.predict_proba(data[0][:4]), mean, atol=2e-3)


def test_the_engine_runs_what_was_trained_as_well(data, fitted, monkeypatch):
    pytest.importorskip("openvino")
    default_store().clear()
    theirs = fitted.predict_proba(data[0])
    default_store().clear()
    monkeypatch.setattr("skinensemble.engines._upper.run_batch", None)
    with config_context(engine="openvino"):
        ours = fitted.predict_proba(data[0])
    np.testing.assert_allclose(ours, theirs, atol=1e-4)
    assert ours.dtype == np.float32 and (ours != theirs).any()


@pytest.mark.parametrize("which", ["plain", "deep"])
def test_probabilities_of_another_precision_are_not_taken_for_these(
    data, monkeypatch, request, which
):
    one = request.getfixturevalue(which)
    images = one.body_.transform(data[0])
    before = one.head_._key(images)
    config = {"engine": "openvino", "precision": "bfloat16"}  # on any processor
    for module in ("members._tuned_top", "features._extractor"):
        monkeypatch.setattr(f"skinensemble.{module}.get_config", lambda: config)
    assert one.head_._key(images) != before


def test_training_in_another_precision_is_another_training(data, first, monkeypatch, tmp_path):
    config = {"engine": "openvino", "precision": "bfloat16"}  # on any processor
    for module in ("_tuned_top", "_fine_tuning"):
        monkeypatch.setattr(f"skinensemble.members.{module}.get_config", lambda: config)
    fast = member(checkpoint=tmp_path).fit(*data[:2])
    assert len(list(tmp_path.glob("*.checkpoint"))) == 2
    pairs = zip(first.model_.get_weights(), fast.model_.get_weights(), strict=True)
    assert any((a != b).any() for a, b in pairs)
    assert fast.history_["loss"] == pytest.approx(first.history_["loss"], rel=0.05)


def test_what_was_compiled_goes_with_its_model(data):
    pytest.importorskip("openvino")
    one = member().fit(*data[:2])
    for engine in ("keras", "openvino"):
        default_store().clear()
        with config_context(engine=engine):
            one.predict_proba(data[0][:2])
    model = weakref.ref(one.head_.model_)
    assert len(_upper._runners) >= 1
    del one
    gc.collect()
    assert model() is None


def test_what_was_compiled_is_not_taken_for_weights_of_later(data, plain):
    pytest.importorskip("openvino")
    one = pickle.loads(pickle.dumps(plain))
    with config_context(engine="openvino"):
        before = one.predict_proba(data[0][:4])
        top = one.head_.model_
        top.set_weights([value + 0.1 for value in top.get_weights()])
        after = one.predict_proba(data[0][:4])
    assert (after != before).any()
    default_store().clear()
    np.testing.assert_allclose(after, one.predict_proba(data[0][:4]), atol=1e-4)


@pytest.mark.parametrize("unfreeze", [1, "all"])
def test_a_saved_classifier_predicts_the_same(data, tmp_path, deep, unfreeze):
    before = deep if unfreeze == "all" else member(view_mean="log").fit(*data[:2])
    save(before, tmp_path / "one.h5")
    after = load(tmp_path / "one.h5")
    np.testing.assert_array_equal(after.predict_proba(data[0]), before.predict_proba(data[0]))
    save(after, tmp_path / "two.h5")
    assert (tmp_path / "one.h5").read_bytes() == (tmp_path / "two.h5").read_bytes()
    with pytest.raises(WeightsError, match="set weights to 'imagenet'"):
        clone(after).fit(*data[:2])


def test_two_fits_are_equal_and_leave_the_network_that_they_share(data, plain):
    network = plain.body_.network
    start = network.upper.get_weights()
    same = member().fit(*data[:2])
    assert_equal_weights(plain, same)
    assert same.body_.network is network
    for before, after in zip(start, network.upper.get_weights(), strict=True):
        np.testing.assert_array_equal(after, before)


def test_a_step_is_traced_once(data, monkeypatch):
    keras = pytest.importorskip("keras")
    traced, real = [], keras.Model.compute_loss

    @functools.wraps(real)
    def compute_loss(*args, **kwargs):
        traced.append(args)
        return real(*args, **kwargs)

    monkeypatch.setattr(keras.Model, "compute_loss", compute_loss)
    member(epochs=1).fit(*data[:2])
    assert len(traced) == 1
    DenseHead(epochs=1, batch_normalization=True).fit(np.eye(48, dtype=np.float32), data[1])
    assert len(traced) == 2


@pytest.mark.slow
@pytest.mark.parametrize(
    "options",
    [
        {"loss": "focal"},
        {"loss": "logit_adjustment", "class_weight": None},
        {"sampling": 1.0},
        {"mixup": 0.2},
        {"ema": 0.5},
        {"layer_decay": 0.1},
        {"warmup": 0.0},
        {"head_warmup": 1},
        {"label_smoothing": 0.0},
        {"weight_decay": 0.5},
        {"weight_decay": 0.0},
        {"units": (8,), "batch_normalization": True},
        {"pooling": "max"},
    ],
    ids=str,
)
def test_each_parameter_changes_what_is_learnt(data, plain, options):
    other = member(**options).fit(*data[:2])
    pairs = zip(weights(plain), weights(other), strict=False)
    assert any(a.shape != b.shape or (a != b).any() for a, b in pairs) or "pooling" in options
    assert (plain.predict_proba(data[0]) != other.predict_proba(data[0])).any()


def test_the_adjusted_loss_is_that_of_logits_with_their_log_prior_added():
    rng, counts = np.random.default_rng(0), np.array([5, 30, 65])
    p = rng.dirichlet(np.ones(3), 20).astype(np.float32)
    y = np.eye(3, dtype=np.float32)[rng.integers(0, 3, 20)]
    params = SimpleNamespace(loss="logit_adjustment", label_smoothing=0.1)
    found = np.asarray(_loss(params, counts)(y, p))
    shares = special.log_softmax(np.log(p) + np.log(counts / 100), axis=1)
    np.testing.assert_allclose(found, -((0.9 * y + 0.1 / 3) * shares).sum(axis=1), rtol=1e-5)


def test_deeper_layers_learn_more_slowly():
    import keras

    layers = [
        keras.layers.Conv2D(2, 1),
        keras.layers.BatchNormalization(trainable=False),
        keras.layers.Conv2D(2, 1, use_bias=False),
        keras.layers.ReLU(),
        keras.layers.Dense(2),
    ]
    model = keras.Sequential([keras.Input((4, 4, 3)), *layers])
    assert _rates(model, 0.25) == [0.25, 0.25, 0.5, 1, 1]


class EndAfter(keras.callbacks.Callback):
    """Ends a training after so many epochs."""

    def __init__(self, epochs):
        super().__init__()
        self.epochs = epochs

    def on_epoch_end(self, epoch, logs=None):
        self.model.stop_training = epoch + 1 == self.epochs


def test_the_head_learns_alone_as_long_as_it_is_told_to(data, plain):
    start = plain.body_.network.upper.get_weights()
    # All but the last of its epochs.
    alone = member(head_warmup=5, epochs=6, learning_rate=0.05, callbacks=[EndAfter(5)])
    alone.fit(*data[:2])
    for ours, before in zip(weights(alone), start, strict=False):
        np.testing.assert_array_equal(ours, before)
    assert alone.history_["loss"][-1] < alone.history_["loss"][0]
    joined = member(head_warmup=1, learning_rate=0.05).fit(*data[:2])
    assert any((a != b).any() for a, b in zip(weights(joined), start, strict=False))


def test_early_stopping_looks_at_other_lesions(data):
    tuned = member(patience=1, epochs=30, validation_fraction=0.3, learning_rate=0.05)
    tuned.fit(data[0], data[1], groups=data[2])
    assert "val_loss" in tuned.history_
    assert len(tuned.history_["loss"]) < 30


# --- a training that is killed


class Stop(Exception):
    pass


def stopping_after(epoch):
    class StopAfter(keras.callbacks.Callback):
        def on_epoch_begin(self, at, logs=None):
            if at == epoch:
                raise Stop

        def on_train_end(self, logs=None):
            if epoch == "last":
                raise Stop

    return taking_part(StopAfter())


def test_a_training_goes_on_where_it_stood(data, tmp_path):
    options = {"mixup": 0.2, "ema": 0.9}
    undisturbed = member(epochs=4, **options).fit(*data[:2])
    kept = member(epochs=4, checkpoint=tmp_path, **options)
    with pytest.raises(Stop), stopping_after(2):
        clone(kept).fit(*data[:2])
    resumed = kept.fit(*data[:2])
    assert_equal_weights(resumed, undisturbed)
    assert resumed.history_ == undisturbed.history_


EARLY = {"patience": 2, "validation_fraction": 0.3, "epochs": 12, "learning_rate": 0.05}


@pytest.mark.slow
def test_early_stopping_goes_on_where_it_stood(data, tmp_path):
    # Labels without meaning: the validation loss is lowest soon.
    X, y = data[0], np.random.default_rng(0).permutation(data[1])
    undisturbed = member(**EARLY).fit(X, y)
    losses = undisturbed.history_["val_loss"]
    assert 4 <= len(losses) < 12
    kept = member(**EARLY, checkpoint=tmp_path)
    for epoch in (1, 2, 3, "last"):
        with pytest.raises(Stop), stopping_after(epoch):
            clone(kept).fit(X, y)
    resumed = kept.fit(X, y)
    assert_equal_weights(resumed, undisturbed)
    assert resumed.history_ == undisturbed.history_


def test_a_training_that_diverges_says_so_with_a_checkpoint_as_well(data, tmp_path):
    wild = member(learning_rate=1e30, checkpoint=tmp_path)
    for _ in range(2):
        with pytest.raises(MemberError, match="the loss is not finite in epoch 1 – lower learn"):
            wild.fit(*data[:2])


def test_a_finished_training_is_not_repeated(data, first, tmp_path):
    with stopping_after(0):
        again = member(checkpoint=tmp_path).fit(*data[:2])
    assert_equal_weights(first, again)


def test_a_checkpoint_is_found_without_a_seed(data, tmp_path):
    first, again = (member(checkpoint=tmp_path, random_state=None) for _ in range(2))
    assert_equal_weights(first.fit(*data[:2]), again.fit(*data[:2]))
    assert len(list(tmp_path.glob("*.checkpoint"))) == 1


@pytest.mark.parametrize("change", ["seed", "epochs", "labels", "images", "weights"])
def test_other_trainings_do_not_meet(data, first, tmp_path, change):
    X, y, _ = data
    other, weight = member(checkpoint=tmp_path), None
    if change == "seed":
        other.set_params(random_state=1)
    elif change == "epochs":
        other.set_params(epochs=3)
    elif change == "labels":
        y = y[::-1]
    elif change == "images":
        X = X[::-1].copy()
    else:
        weight = np.linspace(1, 2, len(y))
    # What meets nobody begins with the first epoch.
    with pytest.raises(Stop), stopping_after(0):
        other.fit(X, y, sample_weight=weight)


def test_other_trainings_are_kept_beside_each_other(data, first, tmp_path):
    other = member(checkpoint=tmp_path, random_state=1).fit(*data[:2])
    assert len(list(tmp_path.glob("*.checkpoint"))) == 2
    assert any((a != b).any() for a, b in zip(weights(first), weights(other), strict=True))


@pytest.mark.parametrize("damage", ["cut", "flip", "empty", "foreign", "another kind"])
def test_a_damaged_checkpoint_is_set_aside(data, first, tmp_path, damage):
    (path,) = tmp_path.glob("*.checkpoint")
    content = bytearray(path.read_bytes())
    if damage == "flip":
        content[len(content) // 2] ^= 1
    path.write_bytes(
        {"cut": content[:-9], "empty": b"", "foreign": b"PK" * 99}.get(damage, content)
    )
    if damage == "another kind":
        write_container(path, {"root": {}}, {})
    again = member(checkpoint=tmp_path)
    with (
        pytest.warns(CheckpointWarning, match="the training starts again"),
        pytest.raises(Stop),
        stopping_after(0),
    ):
        again.fit(*data[:2])
    assert len(list(tmp_path.glob("*.damaged"))) == 1
    if damage == "flip":
        assert_equal_weights(first, again.fit(*data[:2]))


def test_a_checkpoint_that_cannot_be_read_now_stays(data, first, tmp_path, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr("io.FileIO", Mock(side_effect=OSError(errno.EMFILE, "Too many open files")))
        with pytest.raises(ModelFileError, match="Too many open files – see that it can be read"):
            member(checkpoint=tmp_path).fit(*data[:2])
    assert not list(tmp_path.glob("*.damaged"))
    with stopping_after(0):
        again = member(checkpoint=tmp_path).fit(*data[:2])
    assert_equal_weights(first, again)


def test_a_disk_that_fills_up_in_training_costs_no_more_than_an_epoch(
    data, tmp_path, monkeypatch, plain
):
    real, kept = _checkpoint.write_container, []

    def write(*args):
        if kept:
            full = OSError(errno.ENOSPC, "No space left on device")
            patch.setattr("skinensemble.persistence._write.write_all", Mock(side_effect=full))
        kept.append(real(*args))

    with monkeypatch.context() as patch:
        patch.setattr(_checkpoint, "write_container", write)
        with pytest.raises(SaveError, match="full"):
            member(checkpoint=tmp_path).fit(*data[:2])
    (path,) = tmp_path.glob("*.checkpoint")
    assert read_container(path).config["epoch"] == 1
    assert_equal_weights(plain, member(checkpoint=tmp_path).fit(*data[:2]))


def test_class_weights_of_labels_that_are_numbers(data):
    y = np.unique(data[1], return_inverse=True)[1]
    weight = dict.fromkeys(np.unique(y), 1.0)
    assert member(class_weight=weight, epochs=1).fit(data[0], y).classes_.dtype.kind == "i"


# --- bad input


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"unfreeze": "conv9"}, "unfreeze: 'conv9' – tiny_transfer has no such layer"),
        ({"unfreeze": 7}, "tiny_transfer has 2 blocks"),
        ({"unfreeze": False}, "tiny_transfer has 2 blocks"),
        ({"unfreeze": True}, "unfreeze: True – tiny_transfer has 2 blocks"),
        ({"unfreeze": 1.0}, r"unfreeze: 1\.0 – tiny_transfer has 2 blocks"),
        ({"unfreeze": [1]}, r"unfreeze: \[1\] – tiny_transfer has 2 blocks"),
        ({"views": 0}, "views: 0 – there are eight ways"),
        ({"views": 9}, "views: 9 – there are eight ways"),
        ({"image_size": (32, 48)}, "images of 32 × 48 pixels cannot be turned"),
        ({"epochs": 0}, r"epochs=0 \(an integer, at least 1\)"),
        ({"epochs": 2.0, "batch_size": 8.0}, r"epochs=2\.0 \(an int.*, batch_size=8\.0 \(an int"),
        ({"loss": "hinge", "ema": 1.0}, r"loss='hinge' .*ema=1.0"),
        ({"ema": 0.9, "patience": 2}, "ema, patience – early stopping keeps the best weights"),
        pytest.param(
            {"callbacks": [EndAfter(1)], "checkpoint": "kept"},
            "parameters: callbacks, checkpoint – what a callback does to a training no checkpoint "
            "can tell – use patience, or leave the checkpoint out",
            id="callbacks with a checkpoint",
        ),
        ({"mixup": -1, "layer_decay": 0}, r"layer_decay=0 .*mixup=-1"),
        ({"head_warmup": True}, r"head_warmup=True \(a number of epochs\)"),
        (
            {"head_warmup": 3, "epochs": 3},
            "head_warmup: 3 – of 3 epochs none is left",
        ),
        ({"view_mean": "median"}, "view_mean='median'"),
        ({"pooling": "mean"}, r"pooling='mean' \(avg or max\)"),
        ({"checkpoint": 3}, r"checkpoint=3 \(a folder, or None\)"),
    ],
    ids=str,
)
def test_parameters_that_cannot_be_used(data, fitted, options, match):
    # `fitted` has asked for one block: what equals 1 is not taken for that.
    with pytest.raises(InputError, match=match):
        member(**options).fit(*data[:2])


def test_a_loss_that_is_not_finite_names_the_remedy(data):
    with pytest.raises(MemberError, match=r"the loss is not finite .* lower learning_rate"):
        member(learning_rate=1e30, epochs=3, warmup=0.0).fit(*data[:2])


# --- batches


def lesson(n=20, n_views=3) -> Lesson:
    y = np.arange(n) % 4 % 3
    readers = [
        lambda at, v=v: np.full((len(at), 2, 2, 1), at[:, None, None, None] + 100.0 * v)
        for v in range(n_views)
    ]
    return Lesson(Activations(readers, n, n_views), np.arange(n), y, np.ones(n, np.float32), 3)


def test_every_image_is_seen_once_an_epoch_and_in_every_view():
    own, seen = lesson(), set()
    for epoch in range(3):
        order, views = own.order(0, epoch, 0.0)
        assert sorted(order) == list(range(20))
        seen |= set(zip(order.tolist(), views.tolist(), strict=True))
    assert len(seen) == 60


def test_balanced_sampling_draws_the_classes_alike():
    own = lesson(3000)
    order, _ = own.order(0, 0, 1.0)
    assert np.bincount(own.y[order]) / 3000 == pytest.approx(np.full(3, 1 / 3), abs=0.04)


def test_rows_come_in_the_view_that_was_asked_for():
    x, y, _ = lesson().batch(np.array([5, 3, 5]), np.array([2, 0, 1]))
    assert x[:, 0, 0, 0].tolist() == [205, 3, 105]
    assert y.argmax(axis=1).tolist() == [1, 0, 1]


def test_mixup_keeps_weight_and_mass():
    batch = lesson().batch(np.arange(20), np.zeros(20, int))
    weighted = (batch[0], batch[1], np.linspace(1, 2, 20, dtype=np.float32))
    x, y, weight = mix(weighted, 0.4, np.random.default_rng(0))
    np.testing.assert_allclose(y.sum(axis=1), 1, atol=1e-6)
    assert x.shape == batch[0].shape
    assert (weight > 0.99).all()
    assert (weight < 2.01).all()


def test_views_are_the_eight_symmetries_of_the_square():
    image = np.arange(9).reshape(1, 3, 3, 1)
    views = {dihedral(image, view).tobytes() for view in range(8)}
    assert len(views) == 8
    assert dihedral(image, 0).tobytes() == image.tobytes()


@pytest.mark.parametrize("unfreeze", [1, pytest.param("all", marks=pytest.mark.slow)])
def test_views_may_be_nearer_and_in_another_light(data, plain, deep, passes, unfreeze):
    usual = plain if unfreeze == 1 else deep
    near = clone(usual).set_params(zoom=1.5, jitter=0.2, store=FeatureStore()).fit(*data[:2])
    # Each view is other pixels, so each passes the frozen part.
    assert len(passes) == 48 * 3
    images = near.body_.transform(data[0][:4])
    each = [
        near.head_.model_.predict_on_batch(rows.astype(np.float32))
        for rows in next(images.stream(np.arange(4)))
    ]
    np.testing.assert_allclose(near.predict_proba(data[0][:4]), np.mean(each, axis=0), atol=1e-5)
    assert (near.predict_proba(data[0]) != usual.predict_proba(data[0])).any()


def test_all_images_that_cannot_be_read_are_named_by_their_place(data, fitted, tmp_path):
    files = [tmp_path / f"{row:02d}.png" for row in range(48)]
    for row, (file, image) in enumerate(zip(files, data[0], strict=True)):
        Image.fromarray(image).save(file)
        if row in (3, 40, 41):
            content = bytearray(file.read_bytes())
            content[2000] ^= 255
            file.write_bytes(content)
    default_store().clear()
    fitted.predict_proba([file for file in files[:30] if file != files[3]])
    with pytest.raises(ImageReadError, match="3 of 48") as error:
        fitted.predict_proba(files)
    assert [problem.index for problem in error.value.problems] == [3, 40, 41]


@pytest.mark.parametrize(
    ("name", "value"),
    [("zoom", 0.5), ("zoom", 5), ("zoom", "far"), ("jitter", -0.1), ("jitter", 1)],
)
def test_views_that_show_nothing_are_refused(data, name, value):
    with pytest.raises(InputError, match=rf"{name}: .* – .* – pass \d to"):
        member(**{name: value}).fit(*data[:2])


def test_what_does_not_fit_into_memory_goes_to_a_folder(data, plain):
    small = FeatureStore(max_bytes=20_000)
    tight = member(store=small).fit(*data[:2])
    assert_equal_weights(plain, tight)
    assert small.nbytes <= 20_000
    np.testing.assert_array_equal(tight.predict_proba(data[0]), plain.predict_proba(data[0]))


def test_a_full_disk_is_noticed_before_anything_is_computed(data, tmp_path, monkeypatch, passes):
    from collections import namedtuple

    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage(10, 9, 1))
    with pytest.raises(OSError, match=r"kB more are needed, and there is room for 1 B – free some"):
        member(store=tmp_path / "store").fit(*data[:2])
    assert not passes


def test_a_budget_on_disk_is_kept(data, tmp_path, passes):
    store = FeatureStore(tmp_path / "store", max_bytes=20_000)
    with pytest.raises(OSError, match=r"room for 20.0 kB – .* raise max_bytes"):
        member(store=store).fit(*data[:2])
    assert not passes
    member(store=store, views=1, unfreeze="all").set_params(unfreeze=None, views=8).fit(*data[:2])
    assert 0 < store.nbytes <= 20_000


def test_a_checkpoint_folder_that_cannot_be_used_is_known_before_the_training(data, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(SaveError, match=r"checkpoint: .*file – it is a file – give the name"):
        member(checkpoint=tmp_path / "file").fit(*data[:2])


def test_mixing_images_that_weigh_nothing_makes_no_nan():
    x, y, _ = lesson().batch(np.arange(20), np.zeros(20, int))
    weight = (np.arange(20) >= 15).astype(np.float32)
    _, mixed, total = mix((x, y, weight), 0.4, np.random.default_rng(0))
    assert np.isfinite(mixed).all() and np.isfinite(total).all()
    np.testing.assert_allclose(mixed[total > 0].sum(axis=1), 1, atol=1e-6)


def test_a_checkpoint_is_found_with_a_generator_in_the_same_state(data, tmp_path):
    for _ in range(2):
        member(checkpoint=tmp_path, random_state=np.random.RandomState(3)).fit(*data[:2])
    assert len(list(tmp_path.glob("*.checkpoint"))) == 1


@pytest.mark.parametrize(("losses", "over"), [([2.0, 1.0], False), ([1.0, 2.0], True)])
def test_without_patience_the_first_epoch_that_is_no_better_is_the_last(losses, over):
    assert early_stopping(0, {"val_loss": losses}, None).over is over


@pytest.mark.parametrize("limits", [{}, {"time_limit": 600}])
def test_a_cut_that_does_not_exist_is_known_before_anybody_is_trained(data, passes, limits):
    X, y, lesions = data
    members = [("good", member()), ("odd", member(unfreeze="block_9_add"))]
    stage = Stage(members, cv=2, random_state=0, **limits)
    with pytest.raises(InputError, match=r"^unfreeze: 'block_9_add' – .* has no such layer"):
        stage.fit(X, y, groups=lesions)
    assert passes == []
    stage.set_params(on_error="drop", min_members=2)
    text = r"^members: odd: InputError in prepare: unfreeze: 'block_9_add' – .* – 1 of 2 members"
    with pytest.raises(MemberError, match=text):
        stage.fit(X, y, groups=lesions)
    assert passes == []


@pytest.mark.parametrize("unfreeze", [1, "all", "first"])
def test_layers_that_cannot_be_copied_are_named(data, passes, unfreeze):
    def build(shape):
        from keras import Sequential, layers

        code = layers.Lambda(lambda x: x * 2, name="code")
        first, last = (layers.Conv2D(4, 3, name=name) for name in ("first", "last"))
        return Sequential([layers.Input(shape), first, code, last])

    register_backbone("coded", build, input_size=32, overwrite=True)
    text = (
        r"^backbone: coded – fine-tuning copies .* code \(Lambda\) cannot .* – write a layer class"
    )
    coded = member(backbone="coded", unfreeze=unfreeze)
    with pytest.raises(InputError, match=text):
        coded.fit(*data[:2])
    assert not passes
    coded.set_params(unfreeze=None, views=8).fit(*data[:2])
