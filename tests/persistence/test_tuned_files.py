"""Fine-tuned members in a saved file: they come back as they were, and nothing else does."""

from __future__ import annotations

from functools import partial

import numpy as np
import pytest
from codec_edits import REMOVE, edited, put
from tiny_backbone import TINY

from skinensemble import (
    Cascade,
    FeatureStore,
    Stage,
    TransferClassifier,
    load,
    register_backbone,
)
from skinensemble.cli.info import describe
from skinensemble.exceptions import ModelFileError
from skinensemble.features import temporary_store
from skinensemble.persistence import save
from skinensemble.persistence.container import read_container

CODES = ("akiec", "bkl", "mel", "nv")


@pytest.fixture(scope="module")
def images():
    return np.random.default_rng(0).integers(0, 256, (48, 32, 32, 3), dtype=np.uint8)


@pytest.fixture(scope="module")
def cascade(images):
    member = TransferClassifier(**TINY, unfreeze=1, views=2, epochs=1, store=FeatureStore())
    stage = Stage([("tuned", member)], cv=2, refit=False)
    y, lesions = np.resize(CODES, 48), np.arange(48)
    return Cascade("soft", stage, random_state=0).fit(images, y, groups=lesions)


def assert_same(one, other, images):
    """Compare what each computes itself: the store would answer for both."""
    with temporary_store():
        wanted = other.predict_proba(images)
    with temporary_store():
        np.testing.assert_array_equal(one.predict_proba(images), wanted)


def test_it_comes_back_from_a_file(cascade, images, tmp_path):
    cascade.save(tmp_path / "cascade.h5")
    back = load(tmp_path / "cascade.h5")
    assert_same(back, cascade, images)
    back.save(tmp_path / "again.h5")
    assert (tmp_path / "again.h5").read_bytes() == (tmp_path / "cascade.h5").read_bytes()


@pytest.mark.parametrize("name", ["zoom", "jitter"])
def test_views_of_a_file_are_those_of_the_training(images, tmp_path, name):
    value = {"zoom": 1.5, "jitter": 0.25}[name]
    near = TransferClassifier(**TINY, unfreeze=1, views=np.int64(3), epochs=1, **{name: value})
    near.fit(images, np.resize(CODES, 48))
    save(near, tmp_path / "near.h5")
    back = load(tmp_path / "near.h5")
    assert getattr(back, name) == value
    assert_same(back, near, images)


def test_a_file_from_before_there_were_windows_is_read(cascade, images, tmp_path):
    cascade.save(tmp_path / "new.h5")
    ((_, older),) = edited(tmp_path / "new.h5", {"without": without_windows}, tmp_path)
    assert_same(load(older), cascade, images)


def without_windows(config, arrays):
    for _, fold in config["root"]["diagnosis"]["members"][0][1]["folds"]:
        del fold["body"]["zoom"], fold["body"]["jitter"]


def test_every_network_is_stored_once(cascade, tmp_path):
    cascade.save(tmp_path / "cascade.h5")
    networks = read_container(tmp_path / "cascade.h5").config["shared"]
    # What lies below the cut, and the layers of two folds: both stages share them.
    assert len(networks) == 3
    (member,) = describe(str(tmp_path / "cascade.h5"))["stages"]["triage"]["members"]
    assert (member["backbone"], member["folds"]) == ("tiny_transfer", 2)
    assert member["cut"].startswith("batch_normalization")


FOLDS = "root/diagnosis/members/0/1/folds"
FIRST = f"{FOLDS}/0/1"
HOSTILE = {
    "no folds": put(FOLDS, []),
    "views": put(f"{FIRST}/body/views", 9),
    "a zoom that shows nothing": put(f"{FIRST}/body/zoom", 40.0),
    "a jitter that is none": put(f"{FIRST}/body/jitter", "much"),
    "another network": put(f"{FIRST}/body/network", "0" * 64),
    "no parameters": put(f"{FIRST}/params", REMOVE),
    "units that do not fit": put(f"{FIRST}/params/units", {"tuple": [7]}),
    "units beyond any memory": put(f"{FIRST}/params/units", {"tuple": [10**9]}),
    "batches beyond any memory": put(f"{FIRST}/params/batch_size", 10**9),
    "no number of units": put(f"{FIRST}/params/units", "many"),
    "a loss that is none": put(f"{FIRST}/params/loss", "hinge"),
    "a pooling that is none": put(f"{FIRST}/params/pooling", "median"),
    "a head of another kind": put(f"{FIRST}/head/type", "DenseHead"),
    "a rule for a head": put(f"{FIRST}/head", {"type": "SoftVote", "params": {"weights": None}}),
    "sharing that is no boolean": put("root/shared_members", "yes"),
}


@pytest.mark.parametrize("edit", HOSTILE)
def test_a_file_that_says_something_wrong_is_refused(cascade, tmp_path, edit):
    cascade.save(tmp_path / "sound.h5")
    for _, path in edited(tmp_path / "sound.h5", {edit: HOSTILE[edit]}, tmp_path):
        with pytest.raises(ModelFileError, match=r"^cannot load: .* – .* – "):
            load(path)


def test_a_file_without_folds_is_not_described(cascade, tmp_path):
    cascade.save(tmp_path / "sound.h5")
    for _, path in edited(tmp_path / "sound.h5", {"": HOSTILE["no folds"]}, tmp_path):
        with pytest.raises(ModelFileError, match=r"folds – there is none"):
            describe(str(path))


@pytest.mark.parametrize(("name", "value"), [("cut", 99), ("cut", -1), ("cut", None), ("cut", "x")])
def test_a_cut_that_is_none_is_refused(cascade, tmp_path, name, value):
    cascade.save(tmp_path / "sound.h5")
    shared = read_container(tmp_path / "sound.h5").config["shared"]
    (key,) = [key for key, network in shared.items() if "cut" in network]
    edit = {"cut": put(f"shared/{key}/{name}", value)}
    for _, path in edited(tmp_path / "sound.h5", edit, tmp_path):
        with pytest.raises(ModelFileError, match=r"^cannot load: .* – .* – "):
            load(path)


def test_what_a_normalization_was_adapted_to_is_used_above_a_cut_too(images, tmp_path):
    import keras

    def build(shape):
        normal = keras.layers.Normalization()
        normal.adapt(images.astype(np.float32))
        return keras.Sequential([keras.Input(shape), normal, keras.layers.Conv2D(4, 3)])

    register_backbone("normalized", build, input_size=32, overwrite=True)
    member = TransferClassifier("normalized", weights=None, unfreeze="all", views=1, epochs=1)
    save(member.fit(images, np.resize(CODES, 48)), tmp_path / "member.h5")
    for one in (member, load(tmp_path / "member.h5")):
        (normal,) = [la for la in one.model_._flatten_layers() if hasattr(la, "finalize_state")]
        np.testing.assert_allclose(np.ravel(normal.mean), images.mean((0, 1, 2)), rtol=1e-4)


def test_predictions_of_another_network_with_the_same_weights_are_not_its_own(images):
    import keras

    def build(slope, shape):
        conv, relu = keras.layers.Conv2D, keras.layers.LeakyReLU
        return keras.Sequential([keras.Input(shape), conv(4, 3), relu(slope), conv(4, 3)])

    answers = []
    for slope in (0.0, 1.0):
        builder = partial(build, slope)
        backbone = register_backbone("sloped", builder, input_size=32, overwrite=True)
        member = TransferClassifier(backbone, weights=None, unfreeze="all", views=1, epochs=1)
        member.set_params(learning_rate=1e-60, random_state=0)
        answers.append(member.fit(images, np.resize(CODES, 48)).predict_proba(images))
    assert np.abs(answers[0] - answers[1]).max() > 1e-3
