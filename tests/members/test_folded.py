"""Frozen normalisation as part of convolutions: the same function, trained as before."""

from __future__ import annotations

import importlib

import keras
import numpy as np
import pytest

from skinensemble.members._folded import fold_frozen, folded_class

rng = np.random.default_rng(0)
_START = rng.bit_generator.state


@pytest.fixture(autouse=True)
def same_numbers():
    """Begin each test with the same, whatever ran before it: rounding is judged, not luck."""
    rng.bit_generator.state = _START
    keras.utils.set_random_seed(0)


def _shaken(model):
    """Let every number of the network matter, as after a training."""
    for layer in model.layers:
        shaken = [np.abs(w + rng.normal(0, 0.1, w.shape)) for w in layer.get_weights()]
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.set_weights(shaken)
            layer.trainable = False
    return model


def _small_densenet():
    """As DenseNet121, with an eighth of its blocks."""
    made_by = importlib.import_module(keras.applications.DenseNet121.__module__)
    options = {"include_top": False, "weights": None, "pooling": "avg"}
    return made_by.DenseNet([2, 2, 2, 2], input_shape=(32, 32, 3), **options)


def _network(name: str):
    if name == "densenet":
        return _shaken(_small_densenet())
    from skinensemble.backbones import get_backbone

    return _shaken(get_backbone(name).build(weights=None, image_size=32))


@pytest.mark.parametrize(
    ("name", "share"),
    [
        ("mobilenet_v2_035", 1),
        pytest.param("efficientnet_lite0", 1, marks=pytest.mark.slow),
        pytest.param("resnet50", 1, marks=pytest.mark.slow),
        pytest.param("densenet", 0.4, marks=pytest.mark.slow),
    ],
)
def test_it_is_the_same_function_of_the_same_variables(name, share):
    model = _network(name)
    folded = fold_frozen(model)
    norms = sum(isinstance(layer, keras.layers.BatchNormalization) for layer in model.layers)
    left = sum(isinstance(layer, folded_class()) for layer in folded.layers)
    assert left >= share * norms > 0
    images = rng.normal(size=(2, *model.input_shape[1:])).astype(np.float32)
    ours, theirs = (keras.ops.convert_to_numpy(one(images)) for one in (folded, model))
    np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-5 * np.abs(theirs).max())
    assert {id(v) for v in folded.trainable_variables} == {id(v) for v in model.trainable_variables}
    assert {id(v) for v in folded.variables} == {id(v) for v in model.variables}


def _small(layer, *others):
    """Return two equal networks that begin with these layers."""
    two = []
    for _ in range(2):
        inputs = x = keras.Input((9, 9, 4))
        layers = [type(one).from_config(one.get_config()) for one in (layer, *others)]
        head = [keras.layers.ReLU(), keras.layers.GlobalAveragePooling2D(), keras.layers.Dense(3)]
        for one in (*layers, *head):
            x = one(x)
        two.append(_shaken(keras.Model(inputs, x)))
    two[1].set_weights(two[0].get_weights())
    return two


def _train(*models) -> None:
    x = rng.normal(size=(16, 9, 9, 4)) + rng.normal(size=(16, 1, 1, 4))
    # Classes that can be learnt: gradients of noise cancel, and leave its rounding.
    y = x.mean(axis=(1, 2))[:, :3].argmax(axis=1)
    for model in models:
        loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
        model.compile(keras.optimizers.SGD(0.1), loss)
        model.fit(x, y, batch_size=8, epochs=2, shuffle=False, verbose=0)


CONVOLUTIONS = {
    "bias": keras.layers.Conv2D(6, 3, strides=2, padding="same", use_bias=True),
    "groups": keras.layers.Conv2D(8, 3, groups=2),
    "dilated": keras.layers.Conv2D(6, 3, dilation_rate=2, use_bias=False),
    "multiplied": keras.layers.DepthwiseConv2D(3, depth_multiplier=2, padding="same"),
    "depthwise": keras.layers.DepthwiseConv2D(3, strides=2, use_bias=False),
}


def _branched(options):
    """Return two equal networks in which every kind of convolution has a branch of its own."""
    two = []
    for _ in range(2):
        inputs, branches = keras.Input((9, 9, 4)), []
        for layer in CONVOLUTIONS.values():
            x = type(layer).from_config(layer.get_config())(inputs)
            x = keras.layers.BatchNormalization(**options)(x)
            branches.append(keras.layers.GlobalAveragePooling2D()(keras.layers.ReLU()(x)))
        x = keras.layers.Dense(3)(keras.layers.Concatenate()(branches))
        two.append(_shaken(keras.Model(inputs, x)))
    two[1].set_weights(two[0].get_weights())
    return two


@pytest.mark.parametrize("options", [{}, {"scale": False}, {"center": False, "epsilon": 0.1}])
def test_a_step_of_training_changes_it_as_it_would_change_the_other(options):
    plain, other = _branched(options)
    folded = fold_frozen(other)
    left = sum(isinstance(one, folded_class()) for one in folded.layers)
    assert left == len(CONVOLUTIONS)
    before = plain.get_weights()
    _train(plain, folded)
    # Each of them learns: what stands still would be equal in any case.
    frozen = {id(v) for v in plain.non_trainable_variables}
    for variable, start in zip(plain.variables, before, strict=True):
        moved = np.abs(np.asarray(variable) - start).max()
        assert id(variable) in frozen or moved > 1e-3
    for ours, theirs in zip(other.get_weights(), plain.get_weights(), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize(
    "layers",
    [
        [keras.layers.Conv2D(6, 1, use_bias=False), keras.layers.BatchNormalization()],
        *(
            pytest.param(layers, marks=pytest.mark.slow)
            for layers in (
                [
                    keras.layers.Conv2D(6, 1, strides=2),
                    keras.layers.BatchNormalization(scale=False),
                ],
                [keras.layers.Conv2D(6, 3, padding="same", activation="relu")],
                [keras.layers.Conv2D(6, (1, 3), use_bias=False)],
                [keras.layers.Conv2D(8, 3, groups=2), keras.layers.BatchNormalization()],
            )
        ),
        [keras.layers.Conv2D(8, 1, groups=2), keras.layers.BatchNormalization()],
    ],
    ids=["pointwise", "strided", "no normalisation", "wide", "groups", "pointwise groups"],
)
def test_products_in_bfloat16_train_nearly_the_same(layers):
    # What comes first is only trained by what passes the others on the way back.
    plain, other = _small(keras.layers.DepthwiseConv2D(1), *layers)
    before = plain.get_weights()
    exact, fast = fold_frozen(plain), fold_frozen(other, "bfloat16")
    assert any(isinstance(one, folded_class()) for one in fast.layers)
    assert all(variable.dtype == "float32" for variable in fast.variables)
    x = rng.normal(size=(4, 9, 9, 4)).astype(np.float32)
    theirs, ours = exact.predict(x, verbose=0), fast.predict(x, verbose=0)
    assert 1e-5 < np.abs(ours - theirs).max() / np.abs(theirs).max() < 0.03
    _train(exact, fast)
    moved = list(zip(before, plain.get_weights(), other.get_weights(), strict=True))
    for start, exactly, nearly in [moved[0], max(moved, key=lambda three: three[0].size)]:
        theirs, ours = (exactly - start).ravel(), (nearly - start).ravel()
        assert theirs @ ours / np.linalg.norm(theirs) / np.linalg.norm(ours) > 0.999
        assert np.linalg.norm(ours) == pytest.approx(np.linalg.norm(theirs), rel=0.1)


def test_products_by_channel_stay_in_float32():
    layers = keras.layers.DepthwiseConv2D(3), keras.layers.BatchNormalization()
    plain, other = _small(*layers)
    exact, fast = fold_frozen(plain), fold_frozen(other, "bfloat16")
    x = rng.normal(size=(4, 9, 9, 4)).astype(np.float32)
    np.testing.assert_array_equal(exact.predict(x, verbose=0), fast.predict(x, verbose=0))


def test_what_cannot_be_part_of_a_convolution_stays():
    inputs = keras.Input((8, 8, 3))
    shared = keras.layers.Conv2D(4, 1, name="shared")(inputs)
    bent = keras.layers.Conv2D(4, 1, activation="relu", name="bent")(inputs)
    learning = keras.layers.Conv2D(4, 1, name="learning")(inputs)
    turned = keras.layers.Conv2D(4, 1, name="turned")(inputs)
    norms = [keras.layers.BatchNormalization() for _ in range(3)]
    norms.append(keras.layers.BatchNormalization(axis=2))  # of columns, not of channels
    maps = shared, bent, learning, turned
    normalised = [norm(x) for norm, x in zip(norms, maps, strict=True)]
    model = keras.Model(inputs, keras.layers.add([*normalised, shared]))
    norms[0].trainable = norms[1].trainable = norms[3].trainable = False
    folded = fold_frozen(model)
    assert not any(isinstance(layer, folded_class()) for layer in folded.layers)
    assert len(folded.layers) == len(model.layers)
