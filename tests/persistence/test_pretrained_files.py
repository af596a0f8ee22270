"""A finished Keras model in a saved file: it comes back bit by bit, and nothing else is built."""

from __future__ import annotations

import json
from pathlib import Path

import keras
import numpy as np
import pytest
from codec_edits import edited
from container_files import run_python
from keras import layers
from pretrained_edits import PRETRAINED

from skinensemble import PretrainedMember, Stage, load
from skinensemble.cli.info import describe
from skinensemble.exceptions import InputError
from skinensemble.persistence import save
from skinensemble.persistence.container import read_container

CHILD = Path(__file__).with_name("codec_reader.py")
LABELS = ["nv", "bkl", "mel"]


@pytest.fixture(scope="module")
def data():
    rng = np.random.default_rng(0)
    X = rng.integers(0, 256, (24, 10, 10, 3)).astype(np.uint8)
    return X, np.tile(sorted(LABELS), 8), np.arange(24)


def graph():
    """Functional, with operations, a nested model, and all that concerns its training."""
    keras.utils.set_random_seed(1)
    images = keras.Input((8, 8, 3), name="images")
    normal = layers.Normalization(name="normal")
    normal.adapt(np.random.default_rng(2).uniform(0, 255, (50, 8, 8, 3)).astype(np.float32))
    x = layers.Conv2D(
        4, 3, activation="relu", name="conv", kernel_regularizer="l2", kernel_constraint="max_norm"
    )(normal(images))
    x = layers.Add()([x, layers.BatchNormalization()(x)])
    x = keras.ops.multiply(x, 0.5)
    head = [layers.Dropout(0.3, seed=7), layers.GlobalAveragePooling2D()]
    head = keras.Sequential([*head, layers.Dense(3, name="dense")])
    model = keras.Model(images, keras.ops.softmax(head(x), axis=-1))
    model.compile("adam", "categorical_crossentropy", metrics=["accuracy"])
    return model


def caffe():
    """As a model that was made with Keras' own ``preprocess_input``."""
    keras.utils.set_random_seed(2)
    images = keras.Input((10, 10, 3))
    x = keras.applications.vgg16.preprocess_input(images)
    x = layers.SeparableConv2D(3, 3, activation="gelu")(x)
    return keras.Model(images, layers.Dense(3, "softmax")(layers.Flatten()(x / 255)))


def half():
    """In mixed precision, and built late."""
    keras.utils.set_random_seed(3)
    model = keras.Sequential(
        [
            layers.RandomFlip(seed=1),
            layers.Rescaling(1 / 127.5, -1),
            layers.Conv2D(4, 3, dtype="mixed_float16"),
            layers.GlobalMaxPooling2D(),
            layers.Dense(3, "softmax"),
        ]
    )
    model.build((None, 6, 6, 3))
    return model


MODELS = {"graph": graph, "caffe": caffe, "half": half}


def member(model, **options) -> PretrainedMember:
    return PretrainedMember(model, LABELS, **options)


@pytest.fixture(scope="module")
def fitted(data):
    X, y, _ = data
    return {name: member(make()).fit(X, y) for name, make in MODELS.items()}


@pytest.fixture(scope="module")
def stage(data, fitted):
    X, y, lesions = data
    members = [(name, one) for name, one in fitted.items()]
    twice = member(fitted["graph"].model, preprocess="lite")
    return Stage([*members, ("twice", twice)], cv=2).fit(X, y, groups=lesions)


@pytest.fixture(scope="module")
def child(tmp_path_factory, data, fitted, stage):
    """What a new process says of sound and of edited files."""
    sound, hostile = (tmp_path_factory.mktemp(name) for name in ("sound", "hostile"))
    for name, estimator in {**fitted, "stage": stage}.items():
        save(estimator, sound / f"{name}.h5")
        said = {method: getattr(estimator, method)(data[0]) for method in METHODS}
        np.savez(sound / f"{name}.npz", X=data[0], **said)
    save(fitted["graph"], hostile / "sound.h5")
    (hostile / "edited").mkdir()
    labels = {}
    for label, path in edited(hostile / "sound.h5", PRETRAINED, hostile):
        path.rename(hostile / "edited" / path.name)
        labels[path.stem] = label
    found = json.loads(run_python(CHILD, sound, hostile, timeout=600))
    found["refused"] = {labels[name]: text for name, text in found["refused"].items()}
    return found


METHODS = ("predict_proba", "predict")


@pytest.mark.parametrize("name", [*MODELS, "stage"])
def test_it_predicts_the_same_bit_by_bit_in_a_new_process(child, name):
    assert child["same"][name] == dict.fromkeys(METHODS, True)


@pytest.mark.parametrize("label", PRETRAINED)
def test_a_file_that_says_something_wrong_is_refused(child, label):
    text = child["refused"][label]
    assert text.startswith("ModelFileError cannot load: ")
    assert text.count(" – ") >= 2


def test_refusing_imports_runs_and_opens_nothing(child):
    assert child["events"] == []


@pytest.mark.parametrize(
    ("label", "text"),
    [
        ("Lambda", "structure – 'Lambda' is not a layer that is allowed – get the file again"),
        ("entry module", "is not described as it should be: class_name, config, inbound_nodes, mo"),
        ("activation function", "the activation {'class_name': 'function', "),
        ("initializer", "layer 'conv' (Conv2D) says kernel_initializer, which is about training"),
        ("setting an object", "padding of layer 'conv' (Conv2D) is a dict, no plain value"),
        ("lambda as an argument", "(ops.Multiply) is a '__lambda__'"),
        ("units beyond any memory", "its weights are larger than those in the file"),
        ("a scale beyond any memory", "its weights are larger than those in the file"),
        ("units a little wider", "larger than those in the file"),
        ("a weight fewer", "its weights are larger than those in the file"),
        ("a weight transposed", "do not fit its layers ((4, 3, 3, 3) of float32 for (3, 3, 3, 4)"),
        ("a weight NaN", "it holds NaN or infinite values"),
        ("moments of one number", "mean of layer 'normal' (Normalization) is not a list of two"),
        ("a label fewer", "the model has 3 outputs"),
    ],
)
def test_the_text_names_the_place(child, label, text):
    assert text in child["refused"][label]


def test_a_network_that_two_members_share_is_in_the_file_once(stage, tmp_path):
    digest = save(stage, tmp_path / "one.h5")
    container = read_container(tmp_path / "one.h5")
    assert len(container.config["shared"]) == 3
    back = load(tmp_path / "one.h5")
    assert back.members_[0].model is back.members_[3].model
    assert save(back, tmp_path / "two.h5") == digest


def test_nothing_of_the_training_and_no_module_is_in_the_file(fitted, tmp_path):
    save(fitted["graph"], tmp_path / "member.h5")
    (network,) = read_container(tmp_path / "member.h5").config["shared"].values()
    text = json.dumps(network["structure"])
    for word in ("module", "registered_name", "initializer", "regularizer", "optimizer", "keras."):
        assert word not in text


def test_what_was_loaded_can_be_kept_by_keras_too(fitted, data, tmp_path):
    save(fitted["graph"], tmp_path / "member.h5")
    model = load(tmp_path / "member.h5").model
    model.save(tmp_path / "model.keras")
    again = PretrainedMember.from_keras(tmp_path / "model.keras", LABELS).fit(*data[:2])
    np.testing.assert_array_equal(
        again.predict_proba(data[0]), fitted["graph"].predict_proba(data[0])
    )


def test_info_tells_what_is_in_it(stage, fitted, tmp_path):
    save(stage, tmp_path / "stage.h5")
    found = describe(str(tmp_path / "stage.h5"))
    assert [one["type"] for one in found["stages"]["stage"]["members"]] == ["PretrainedMember"] * 4
    save(fitted["graph"], tmp_path / "member.h5")
    assert describe(str(tmp_path / "member.h5"))["member"]["type"] == "PretrainedMember"


class Halve(layers.Layer):
    """A layer of the user's own."""

    def call(self, inputs):
        return inputs / 2


def halve(x):
    return x / 2


class Own(keras.Model):
    """A model that no configuration describes."""

    def __init__(self):
        super().__init__()
        self.pool, self.dense = layers.GlobalAveragePooling2D(), layers.Dense(3, "softmax")

    def call(self, inputs):
        return self.dense(self.pool(inputs))


def with_layer(layer):
    return keras.Sequential(
        [keras.Input((8, 8, 3)), layer, layers.GlobalAveragePooling2D(), layers.Dense(3, "softmax")]
    )


UNSAVABLE = {
    "own layer": (lambda: with_layer(Halve(name="mine")), "layer 'mine' is a Halve; a file holds"),
    "Lambda": (lambda: with_layer(layers.Lambda(lambda x: x / 2, name="code")), "'code' is a Lam"),
    "own activation": (
        lambda: with_layer(layers.Activation(halve, name="act")),
        r"the activation .* of layer 'act' \(Activation\) is not allowed",
    ),
    "own model": (Own, r"is a Own; a file holds built-in Keras layers only – leave the member out"),
}


@pytest.mark.parametrize("case", UNSAVABLE)
def test_a_model_that_cannot_be_stored_names_the_layer_and_writes_nothing(case, data, tmp_path):
    make, text = UNSAVABLE[case]
    one = member(make(), image_size=8).fit(*data[:2])
    assert one.predict_proba(data[0]).shape == (24, 3)
    with pytest.raises(InputError, match=rf"^save: model .* – .*{text}"):
        save(one, tmp_path / "member.h5")
    assert not list(tmp_path.iterdir())


def test_a_function_that_preprocesses_cannot_be_saved(data, tmp_path):
    one = member(half(), preprocess=lambda pixels: pixels / 2).fit(*data[:2])
    with pytest.raises(
        InputError, match=r"^preprocess: .* without pickle – pass the name of a pre"
    ):
        save(one, tmp_path / "member.h5")
    assert not list(tmp_path.iterdir())
