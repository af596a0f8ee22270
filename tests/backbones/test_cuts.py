from __future__ import annotations

import numpy as np
import pytest

from skinensemble.backbones import (
    block_cuts,
    get_backbone,
    possible_cuts,
    resolve_cut,
    split_at,
)
from skinensemble.exceptions import InputError

# One of each kind of graph, with the smallest images it takes.
FAMILIES = {
    "vgg16": 32,  # a sequence
    "resnet50": 32,  # residual
    "mobilenet_v2": 32,  # inverted residual
    "efficientnet_lite0": 32,
    "inception_v3": 75,  # parallel branches
    "densenet121": 32,  # dense blocks
    "xception": 71,
    "efficientnet_b0": 32,  # squeeze and excitation
    "convnext_tiny": 32,  # additions that are no layers
}


QUICK = ("vgg16", "mobilenet_v2")


@pytest.fixture(
    scope="module",
    params=[
        pytest.param(name, marks=() if name in QUICK else pytest.mark.slow) for name in FAMILIES
    ],
)
def model(request):
    name = request.param
    return get_backbone(name).build(None, FAMILIES[name], pooling=None)


def directly(model):
    """Return what computes rows without a graph, whose making takes long."""
    import keras

    return lambda images: keras.ops.convert_to_numpy(model(images))


def test_the_two_parts_are_the_network(model):
    images = np.random.default_rng(0).integers(0, 256, (2, *model.input_shape[1:])).astype("f4")
    rows_of = (lambda part: part.predict_on_batch) if model.name == "vgg16" else directly
    whole, blocks = rows_of(model)(images), block_cuts(model)
    for cut in (blocks[0], blocks[len(blocks) // 2], blocks[-1]):
        lower, upper = split_at(model, cut)
        assert lower.output_shape[1:] == cut.shape
        halfway = rows_of(lower)(images)
        np.testing.assert_allclose(rows_of(upper)(halfway), whole, atol=1e-5)


def test_every_possible_cut_divides_the_weights(model):
    total = len(model.weights)
    cuts = possible_cuts(model)
    below = [len(split_at(model, cut)[0].weights) for cut in cuts[:: max(1, len(cuts) // 8)]]
    assert below == sorted(below)
    assert below[0] > 0
    assert below[-1] < total


def test_blocks_are_possible_cuts_in_order(model):
    places = [cut.place for cut in block_cuts(model)]
    assert places == sorted(set(places))
    assert {cut.place for cut in possible_cuts(model)} >= set(places)


@pytest.fixture(scope="module")
def mobilenet():
    return get_backbone("mobilenet_v2").build(None, 96, pooling=None)


def test_blocks_of_a_known_network(mobilenet):
    names = [cut.name for cut in block_cuts(mobilenet)]
    assert names[-4:] == ["block_12_add", "block_13_project_BN", "block_14_add", "block_15_add"]
    assert "block_9_add" in names


@pytest.mark.parametrize(
    ("unfreeze", "cut"),
    [
        ("block_9_add", "block_9_add"),
        (1, "block_15_add"),
        (4, "block_12_add"),
        (np.int64(2), "block_14_add"),
        (0.25, "block_12_add"),
        (0.01, "block_15_add"),
        ("all", None),
    ],
)
def test_a_cut_is_named_counted_or_a_share(mobilenet, unfreeze, cut):
    found = resolve_cut(mobilenet, unfreeze)
    assert (found and found.name) == cut


@pytest.mark.parametrize("unfreeze", [0, -1, 99, 1.5, 0.0, float("nan"), True, None, [1], 4.0])
def test_numbers_that_are_no_cut(mobilenet, unfreeze):
    why = r"unfreeze: .* – mobilenet_v2 has 16 blocks – pass an int from 1 to 15, a share such"
    with pytest.raises(InputError, match=why):
        resolve_cut(mobilenet, unfreeze)


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("block_9_ad", "no such layer – cut it at one of .* such as block_9_add"),
        ("block_9_expand", "other paths lead past this layer"),
        ("Conv_1_bn", "nothing to train lies above it, or it is used twice"),
        ("nonsense", "no such layer – cut it at one of .* such as .*block_15_add"),
    ],
)
def test_layers_that_are_no_cut(mobilenet, name, why):
    with pytest.raises(InputError, match=f"unfreeze: '{name}' – .*{why}"):
        resolve_cut(mobilenet, name)


@pytest.mark.slow
def test_a_network_that_can_hardly_be_cut_says_where():
    model = get_backbone("nasnet_mobile").build(None, 32, pooling=None)
    assert [cut.name for cut in block_cuts(model)] == ["stem_bn1"]
    with pytest.raises(InputError, match="nasnet_mobile has 2 blocks – pass an int from 1 to 1, a"):
        resolve_cut(model, 3)


def test_a_layer_that_is_used_twice_is_no_cut():
    import keras

    images = keras.Input((32, 32, 3))
    relu, pool, x = keras.layers.ReLU(name="relu"), keras.layers.MaxPooling2D(name="pool"), images
    for number in range(3):
        x = pool(relu(keras.layers.Conv2D(4, 3, padding="same", name=f"conv{number}")(x)))
    model = keras.Model(images, x, name="shared")
    assert [cut.name for cut in possible_cuts(model)] == ["conv0", "conv1"]
    given = np.random.default_rng(0).uniform(size=(2, 32, 32, 3)).astype("f4")
    lower, upper = split_at(model, resolve_cut(model, 1))
    np.testing.assert_allclose(directly(upper)(directly(lower)(given)), directly(model)(given))
    with pytest.raises(InputError, match=r"'relu' – .* or it is used twice – cut it at one of 2"):
        resolve_cut(model, "relu")


@pytest.mark.parametrize("unfreeze", [1, 0.3, "conv"])
def test_a_network_that_cannot_be_cut_says_so(unfreeze):
    import keras

    images = keras.Input((8, 8, 3))
    model = keras.Model(images, keras.layers.Conv2D(4, 3, name="conv")(images), name="single")
    with pytest.raises(InputError, match=r'^unfreeze: .* – pass "all"'):
        resolve_cut(model, unfreeze)
