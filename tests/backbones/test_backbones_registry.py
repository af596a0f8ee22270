"""The table of backbones: names, preprocessing, and a build of every one."""

from __future__ import annotations

import dataclasses
import inspect
import subprocess
import sys

import numpy as np
import pytest

from skinensemble.backbones import _registry, get_backbone, list_backbones, register_backbone
from skinensemble.exceptions import InputError

QUICK = ["mobilenet_025", "mobilenet_v3_small", "vgg16"]
# Other tests register theirs when they are collected.
OURS = [name for name in list_backbones() if get_backbone(name).family != "user"]
ALL = [name if name in QUICK else pytest.param(name, marks=pytest.mark.slow) for name in OURS]
IMAGES = np.random.default_rng(0).integers(0, 256, (2, 75, 75, 3)).astype(np.float32)


@pytest.fixture(autouse=True)
def _own_registry(monkeypatch):
    monkeypatch.setattr(_registry, "_REGISTRY", dict(_registry._REGISTRY))


def _as_is(images, weights):
    return images


def test_listing_needs_no_keras():
    code = (
        "import sys; from skinensemble.backbones import list_backbones; "
        "assert len(list_backbones()) > 50; "
        "assert not {'keras', 'tensorflow', 'sklearn', 'h5py'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_table_covers_every_keras_application():
    import keras

    offered = {
        name
        for name, value in vars(keras.applications).items()
        if inspect.isfunction(value) and name[0].isupper()
    }
    builders = [get_backbone(name).builder for name in list_backbones()]
    used = {
        builder.keywords["function"]
        for builder in builders
        if hasattr(builder, "keywords") and "function" in builder.keywords
    }
    assert len(offered) >= 38
    assert used == offered


@pytest.mark.parametrize("name", OURS)
def test_every_backbone_says_where_it_comes_from(name):
    backbone = get_backbone(name)
    assert backbone.name == name
    assert "doi:10." in backbone.citation or "arXiv:" in backbone.citation
    assert backbone.licence
    assert backbone.min_size <= backbone.input_size


@pytest.mark.parametrize("name", OURS)
def test_preprocessing_equals_that_of_keras(name):
    import keras

    backbone = dataclasses.replace(get_backbone(name), builder=_as_is)
    model = backbone.build(weights=None, image_size=75, pooling=None)
    got = np.asarray(model(IMAGES))
    if name.startswith("efficientnet_lite"):
        wanted = (IMAGES - 127) / 128
    else:  # by the module that Keras builds the network in, not by our word for the family
        function = getattr(keras.applications, get_backbone(name).builder.keywords["function"])
        wanted = sys.modules[function.__module__].preprocess_input(IMAGES.copy())
    np.testing.assert_allclose(got, wanted, atol=2e-6)


@pytest.mark.parametrize("name", ALL)
def test_builds_at_its_smallest_size(name):
    import keras

    backbone = get_backbone(name)
    size = backbone.min_size
    model = backbone.build(weights=None, image_size=size)
    features = np.asarray(model(IMAGES[:, :size, :size]))
    assert model.name == name
    assert model.input_shape == (None, size, size, 3)
    assert features.shape == (2, model.output_shape[1])
    assert np.isfinite(features).all()
    assert np.abs(features[0] - features[1]).max() > 0
    keras.backend.clear_session()


@pytest.mark.parametrize(
    ("wrong", "right"),
    [
        ("resnet50v2", "resnet50_v2"),
        ("VGG-16", "vgg16"),
        ("efficientnetlite0", "efficientnet_lite0"),
    ],
)
def test_unknown_name_suggests_the_nearest(wrong, right):
    with pytest.raises(InputError, match=f"backbone: '{wrong}' – .*did you mean .*{right}"):
        get_backbone(wrong)


def test_unknown_name_unlike_any():
    with pytest.raises(InputError, match=r"none of that name – list_backbones\(\) names them all"):
        get_backbone("zzzz")
    with pytest.raises(InputError, match="backbone: 7 – "):
        get_backbone(7)


def test_duplicate_needs_overwrite():
    with pytest.raises(InputError, match=r"'vgg16' – the name is taken – .*overwrite=True"):
        register_backbone("vgg16", lambda shape: None, input_size=32)
    backbone = register_backbone("vgg16", lambda shape: None, input_size=32, overwrite=True)
    assert get_backbone("vgg16") is backbone
    assert list_backbones().count("vgg16") == 1


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"name": "a/b"}, "backbone: 'a/b' – this cannot be a name"),
        ({"name": ""}, "this cannot be a name"),
        ({"builder": 3}, "builder: 3 – it cannot be called"),
        ({"preprocess": "imagenet"}, "preprocess: 'imagenet' – unknown mode – .*'tf', 'torch'"),
        ({"input_size": 0}, "input_size=0 and min_size=1"),
        ({"input_size": 32.0}, "pass whole numbers"),
        ({"min_size": 64}, "input_size=32 and min_size=64"),
    ],
)
def test_registration_refuses(change, text):
    before = list_backbones()
    options = {"name": "mine", "builder": lambda shape: None, "input_size": 32} | change
    with pytest.raises(InputError, match=text):
        register_backbone(**options)
    assert list_backbones() == before


def test_a_builder_that_raises_is_named_with_what_it_raised():
    def broken(input_shape):
        raise KeyError("conv9")

    backbone = register_backbone("mine", broken, input_size=32, overwrite=True)
    text = "^backbone: mine – its builder raised KeyError: 'conv9' – mend it, and register it again"
    with pytest.raises(InputError, match=text) as caught:
        backbone.build(weights=None)
    assert isinstance(caught.value.__cause__, KeyError)
