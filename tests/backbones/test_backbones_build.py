"""Building backbones: sizes, pooling, random weights, networks that users bring, saving."""

from __future__ import annotations

import copy
import os
import random
import subprocess
import sys
import threading

import numpy as np
import pytest
from sklearn.base import clone

from skinensemble import BackboneFeatures
from skinensemble.backbones import _registry, get_backbone, register_backbone
from skinensemble.exceptions import InputError, WeightsError

# Keras 3.15 converts its own variables in a way that NumPy 2 warns of.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")
IMAGES = np.random.default_rng(0).integers(0, 256, (2, 32, 32, 3), dtype=np.uint8)


@pytest.fixture(autouse=True)
def _own_registry(monkeypatch):
    monkeypatch.setattr(_registry, "_REGISTRY", dict(_registry._REGISTRY))


def _tiny(input_shape):
    import keras

    return keras.Sequential(
        [
            keras.Input(input_shape),
            keras.layers.Conv2D(4, 3, strides=2, activation="relu"),
            keras.layers.BatchNormalization(),
            keras.layers.Conv2D(6, 3, name="last"),
        ]
    )


def _branched(input_shape):
    import keras

    images = keras.Input(input_shape)
    shared = keras.layers.Conv2D(3, 1, name="shared")
    x = shared(shared(images * 2.0)) + images
    return keras.Model(images, keras.layers.Conv2D(5, 3)(x))


def _register(builder=_tiny, **options):
    return register_backbone("tiny", builder, **{"input_size": 32, "min_size": 16} | options)


def _same(got, wanted):
    np.testing.assert_allclose(np.asarray(got), np.asarray(wanted), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("size", [24, (24, 32), [24, 32], np.int64(24)])
def test_image_size(size):
    model = _register().build(weights=None, image_size=size)
    wanted = (24, 32) if isinstance(size, tuple | list) else (24, 24)
    assert model.input_shape == (None, *wanted, 3)


@pytest.mark.parametrize(
    ("size", "text"),
    [
        (15, "image_size: 15 – tiny needs at least 16 × 16 pixels – pass 16 or more"),
        ((32, 8), r"image_size: \(32, 8\) – tiny needs at least"),
        (32.0, "image_size: 32.0 – it is not a size in pixels"),
        (True, "image_size: True – it is not a size"),
        ((32, 32, 3), r"image_size: \(32, 32, 3\) – it is not a size"),
        ("32", "image_size: '32' – it is not a size"),
    ],
)
def test_image_size_refused(size, text):
    with pytest.raises(InputError, match=text):
        _register().build(weights=None, image_size=size)


def test_pooling():
    backbone = _register()
    maps = np.asarray(backbone.build(weights=None, pooling=None)(IMAGES))
    assert maps.shape == (2, 13, 13, 6)
    _same(backbone.build(weights=None, pooling="avg")(IMAGES), maps.mean((1, 2)))
    _same(backbone.build(weights=None, pooling="max")(IMAGES), maps.max((1, 2)))
    with pytest.raises(InputError, match="pooling: 'mean' – unknown – pass 'avg', 'max' or None"):
        backbone.build(weights=None, pooling="mean")


def test_integers_and_floats_give_the_same():
    model = _register(preprocess="caffe").build(weights=None)
    given = IMAGES.astype(np.float32)
    wanted = np.asarray(model(given))
    assert np.array_equal(model(IMAGES), wanted)
    _same(model.predict(IMAGES, verbose=0), wanted)
    assert np.array_equal(given, IMAGES)


def test_random_weights_are_the_same_every_time():
    backbone = get_backbone("mobilenet_025")
    random.seed(1)
    first = backbone.build(weights=None, image_size=32)
    random.seed(2)
    second = backbone.build(weights=None, image_size=32)
    for one, other in zip(first.weights, second.weights, strict=True):
        assert np.array_equal(one.numpy(), other.numpy())


@pytest.mark.slow
def test_random_weights_are_the_same_in_another_process(capsys):
    code = (
        "import hashlib; from skinensemble.backbones import get_backbone;"
        "model = get_backbone('mobilenet_v3_small').build(weights=None, image_size=32);"
        "print(hashlib.sha256(b''.join(w.numpy().tobytes() for w in model.weights)).hexdigest())"
    )
    other = "2" if os.environ.get("PYTHONHASHSEED") == "1" else "1"
    done = subprocess.run(
        [sys.executable, "-c", code],
        check=True,
        capture_output=True,
        text=True,
        env=os.environ | {"PYTHONHASHSEED": other},
    )
    exec(code, {})
    assert capsys.readouterr().out == done.stdout


def test_random_weights_are_the_same_beside_a_thread_that_draws():
    """As in a Dask worker, whose event loop has a thread of its own."""

    def build(shape):
        thread = threading.Thread(target=random.randint, args=(1, 9))
        thread.start()
        thread.join()
        return _tiny(shape)

    alone, beside = (
        _register(one, overwrite=True).build(weights=None).get_weights() for one in (_tiny, build)
    )
    assert all(map(np.array_equal, beside, alone))


@pytest.mark.parametrize("fails", [False, True])
def test_building_leaves_the_random_generators_alone(fails):
    import keras

    def draw():
        return random.random(), np.random.random(), np.asarray(keras.random.normal((3,))).tolist()  # noqa: NPY002

    def build(shape):
        np.random.random()  # noqa: NPY002
        if fails:
            raise RuntimeError("on purpose")
        return _tiny(shape)

    keras.utils.set_random_seed(5)
    wanted = draw()
    keras.utils.set_random_seed(5)
    backbone = _register(build)
    if fails:
        with pytest.raises(InputError, match="RuntimeError: on purpose"):
            backbone.build(weights=None)
    else:
        backbone.build(weights=None)
    assert draw() == wanted


@pytest.mark.parametrize("builder", [_tiny, _branched])
@pytest.mark.parametrize("preprocess", [None, "tf", "caffe"])
def test_own_network_is_laid_open_and_computes_the_same(builder, preprocess):
    import keras

    made = []

    def build(shape):
        network = builder(shape)
        # Other values than the seeded ones, so that weights which are not carried over show.
        network.set_weights([weight * 1.5 + 0.1 for weight in network.get_weights()])
        made.append(network)
        return network

    model = _register(build, preprocess=preprocess).build(weights=None, pooling=None)
    given = IMAGES.astype(np.float32)
    if preprocess is not None:
        given = keras.applications.imagenet_utils.preprocess_input(given, mode=preprocess)
    np.testing.assert_allclose(model(IMAGES), made[0](given), rtol=1e-4, atol=1e-4)
    assert {layer.name for layer in made[0].layers if layer.weights} <= {
        layer.name for layer in model.layers
    }
    if builder is _tiny:
        assert keras.Model(model.input, model.get_layer("last").output).output_shape[-1] == 6


def test_own_preprocessing():
    model = _register(preprocess=lambda images: images / 255.0).build(weights=None)
    wanted = _register(overwrite=True).build(weights=None)
    _same(model(IMAGES), wanted(IMAGES / np.float32(255)))


def test_own_network_that_was_not_built_yet():
    import keras

    model = _register(
        lambda shape: keras.Sequential([keras.layers.Conv2D(3, 3, name="only")])
    ).build(weights=None)
    assert model.get_layer("only").output.shape == (None, 30, 30, 3)


def test_own_network_that_cannot_be_cloned_is_nested():
    import keras

    class Net(keras.Model):
        def __init__(self):
            super().__init__()
            self.conv = keras.layers.Conv2D(3, 3)

        def call(self, images):
            return self.conv(images)

    def build(shape):
        network = Net()
        network(keras.Input(shape))
        return network

    model = _register(build, preprocess="tf").build(weights=None)
    assert model.output_shape == (None, 3)
    assert np.isfinite(model(IMAGES)).all()


def test_what_a_normalization_was_adapted_to_comes_along():
    import keras

    given = IMAGES.astype(np.float32)

    def build(shape):
        normal = keras.layers.Normalization()
        normal.adapt(given)
        return keras.Sequential([keras.Input(shape), normal])

    model = _register(build).build(weights=None, pooling=None)
    _same(model(IMAGES), build((32, 32, 3))(given))


@pytest.mark.parametrize(
    ("builder", "text"),
    [
        (lambda shape: None, "backbone: tiny – its builder returned NoneType – return a keras.M"),
        (
            lambda shape: __import__("keras").Sequential(
                [__import__("keras").Input(shape), __import__("keras").layers.Flatten()]
            ),
            r"returned a model with output shape \(None, 3072\)",
        ),
    ],
)
def test_own_builder_returns_something_else(builder, text):
    with pytest.raises(InputError, match=text):
        _register(builder).build(weights=None)


def test_own_network_and_its_imagenet_weights(tmp_path):
    trained = _tiny((32, 32, 3))
    trained.set_weights([weight + 0.5 for weight in trained.get_weights()])
    path = tmp_path / "tiny.weights.h5"
    trained.save_weights(path)
    model = _register(weights=path).build(pooling=None)
    _same(model(IMAGES), trained(IMAGES.astype(np.float32)))
    without = _register(overwrite=True)
    with pytest.raises(WeightsError, match=r"tiny – it was registered without .* weights=None"):
        without.build()


def _round_trip(model, images, path):
    import keras

    model.save(path)
    loaded = keras.models.load_model(path, safe_mode=True)
    assert np.array_equal(loaded(images), model(images))


@pytest.mark.parametrize("preprocess", [None, "tf", "torch", "caffe", "lite"])
def test_saved_model_keeps_its_preprocessing(preprocess, tmp_path):
    model = _register(preprocess=preprocess).build(weights=None)
    _round_trip(model, IMAGES, tmp_path / "model.keras")


@pytest.mark.slow
@pytest.mark.parametrize(
    "name", ["vgg16", "mobilenet_v2_035", "densenet121", "efficientnet_b0", "efficientnet_lite0"]
)
def test_saved_backbone_round_trips(name, tmp_path):
    model = get_backbone(name).build(weights=None, image_size=32)
    _round_trip(model, IMAGES, tmp_path / "model.keras")


@pytest.mark.parametrize("name", ["images", "input_rescaling", "pooled"])
def test_a_layer_may_be_called_as_one_of_ours(name):
    import keras

    model = _register(
        lambda shape: keras.Sequential([keras.Input(shape), keras.layers.Conv2D(3, 3, name=name)]),
        preprocess="tf",
    ).build(weights=None)
    assert model.get_layer(f"own_{name}").output.shape == (None, 30, 30, 3)


@pytest.mark.parametrize("copied", [copy.copy, copy.deepcopy, clone])
def test_a_copy_is_the_backbone_itself(copied):
    backbone = _register()
    assert copied(backbone) is backbone
    assert clone(BackboneFeatures(backbone)).backbone is backbone
