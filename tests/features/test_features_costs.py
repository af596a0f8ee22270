from __future__ import annotations

import numpy as np
import pytest

from skinensemble import PretrainedMember, TransferClassifier
from skinensemble.features import load_extractor
from skinensemble.features._costs import multiply_adds


@pytest.mark.parametrize(
    # Published, of the whole network; the last layer, from features to 1,000 classes, is not ours.
    ("backbone", "published", "features"),
    [("mobilenet_v2", 300e6, 1280), ("mobilenet_v2_035", 59e6, 1280)],
)
def test_networks_cost_what_was_published(backbone, published, features):
    (cost,) = load_extractor(backbone, None).costs().values()
    assert cost + 1000 * features == pytest.approx(published, rel=0.01)


def test_convolutions_of_every_kind_are_counted():
    import keras

    layers = keras.layers
    model = keras.Sequential(
        [
            keras.Input((8, 8, 4)),
            layers.Conv2D(6, 3, strides=2, padding="same", groups=2, use_bias=True),
            keras.Sequential([layers.DepthwiseConv2D(3, padding="valid", depth_multiplier=2)]),
            layers.SeparableConv2D(5, 1),
            layers.BatchNormalization(),
            layers.GlobalAveragePooling2D(),
            layers.Dense(3),
        ]
    )
    grouped, depthwise = 4 * 4 * 3 * 3 * 2 * 6, 2 * 2 * 3 * 3 * 6 * 2
    separable = 2 * 2 * (12 + 12 * 5)
    assert multiply_adds(model) == grouped + depthwise + separable + 5 * 3


def test_a_model_that_is_no_graph_has_a_cost_too():
    import keras

    class Own(keras.Model):
        def __init__(self):
            super().__init__()
            self.dense = keras.layers.Dense(3)

        def call(self, x):
            return self.dense(x)

    model = Own()
    model(np.zeros((1, 5), np.float32))
    assert multiply_adds(model) == 15


def test_heads_on_one_backbone_share_its_cost(tiny, images):
    y = np.arange(12) % 2
    shared = {"weights": None, "epochs": 1, "random_state": 0}
    one, other, tuned = (
        TransferClassifier(tiny.name, **shared, **own).fit(images, y)
        for own in ({"units": (4,)}, {"units": ()}, {"unfreeze": 1, "views": 2})
    )
    (key,) = one.costs()
    assert one.costs() == other.costs()
    assert one.costs()[key] == 15 * 15 * 3 * 3 * 3 * 8 + 7 * 7 * 3 * 3 * 8 * 16
    assert not tuned.costs().keys() & one.costs().keys()
    # Everything in two views, and the head of one of 16 features and two classes.
    assert sum(tuned.costs().values()) == 2 * (one.costs()[key] + 16 * 2)


def test_a_finished_model_costs_what_its_network_does(images):
    import keras

    layers = [
        keras.Input((32, 32, 3)),
        keras.layers.GlobalAveragePooling2D(),
        keras.layers.Dense(2, activation="softmax"),
    ]
    member = PretrainedMember(keras.Sequential(layers), ["a", "b"], preprocess="tf")
    assert list(member.fit(images, np.array(["a", "b"] * 6)).costs().values()) == [6]
