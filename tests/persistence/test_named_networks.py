"""Networks that a saved file names: the one that was saved comes back, or none."""

from __future__ import annotations

import dataclasses
import functools
import pickle

import numpy as np
import pytest
from codec_edits import REMOVE, edited, put

from skinensemble import (
    BackboneFeatures,
    Cascade,
    Stage,
    TransferClassifier,
    load,
    register_backbone,
)
from skinensemble.backbones import _registry, get_backbone
from skinensemble.exceptions import InputError, ModelFileError
from skinensemble.features import temporary_store
from skinensemble.persistence import save
from skinensemble.persistence.container import read_container

IMAGES = np.random.default_rng(0).integers(0, 256, (24, 32, 32, 3), dtype=np.uint8)
CODES = np.resize(("bcc", "bkl", "mel", "nv"), 24)


def tiny(shape):
    import keras

    conv = keras.layers.Conv2D
    return keras.Sequential(
        [keras.Input(shape), conv(4, 3, strides=2, activation="relu"), conv(4, 3, strides=2)]
    )


@pytest.fixture(autouse=True)
def _own_registry(monkeypatch):
    monkeypatch.setattr(_registry, "_REGISTRY", dict(_registry._REGISTRY))
    register("named")


def register(name, builder=tiny, preprocess="tf"):
    return register_backbone(
        name, builder, preprocess=preprocess, input_size=32, min_size=16, overwrite=True
    )


def tuned(backbone, unfreeze="all"):
    options = {"views": 1, "epochs": 1, "learning_rate": 0.02, "random_state": 0}
    return TransferClassifier(backbone, weights=None, unfreeze=unfreeze, **options)


def features(backbone):
    return BackboneFeatures(backbone, weights=None)


def test_two_backbones_that_are_trained_whole_come_back_as_two(tmp_path):
    register("other", preprocess="torch")
    one, other = (Stage([("only", tuned(name))], cv=2) for name in ("named", "other"))
    cascade = Cascade(one, other, malignant=("bcc", "mel"), random_state=0)
    cascade.fit(IMAGES, CODES, groups=np.arange(24)).save(tmp_path / "cascade.h5")
    back = load(tmp_path / "cascade.h5")
    stages = back.triage_, back.diagnosis_
    assert [stage.members_[0].backbone for stage in stages] == ["named", "other"]
    with temporary_store():
        wanted = cascade.predict_proba(IMAGES)
    with temporary_store():
        np.testing.assert_array_equal(back.predict_proba(IMAGES), wanted)
    back.save(tmp_path / "again.h5")
    assert (tmp_path / "again.h5").read_bytes() == (tmp_path / "cascade.h5").read_bytes()


@functools.cache
def fitted(kind, backbone):
    """One that was trained; nobody changes it."""
    if kind == "frozen":
        return features(backbone).fit(IMAGES)
    return tuned(backbone, kind).fit(IMAGES, CODES)


def wider(shape):
    import keras

    return keras.Sequential(
        [keras.Input(shape), *tiny(shape).layers[:1], keras.layers.Conv2D(5, 3)]
    )


def otherwise(**options):
    def build(shape):
        import keras

        conv = keras.layers.Conv2D
        first = {"strides": 2, "activation": "relu"} | options
        return keras.Sequential([keras.Input(shape), conv(4, 3, **first), conv(4, 3, strides=2)])

    return build


OTHERS = {
    "preprocess": {"preprocess": "caffe"},
    "builder": {"builder": wider},
    "activation": {"builder": otherwise(activation="tanh")},
    "padding": {"builder": otherwise(padding="same")},
}
KINDS = pytest.mark.parametrize("kind", ["frozen", 1, "all"])


@KINDS
@pytest.mark.parametrize("other", OTHERS)
def test_a_name_that_stands_for_another_network_is_not_saved(kind, other, tmp_path):
    member = fitted(kind, "named")
    register("named", **OTHERS[other])
    with pytest.raises(InputError, match=r"^save: backbone: named – .* another .* – register"):
        save(member, tmp_path / "member.h5")
    assert not list(tmp_path.iterdir())


@KINDS
def test_a_backbone_that_is_not_the_registered_one_is_not_saved(kind, tmp_path):
    other = dataclasses.replace(get_backbone("named"), preprocess="caffe")
    with pytest.raises(InputError, match=r"^save: backbone: named – "):
        save(fitted(kind, other), tmp_path / "member.h5")


@KINDS
def test_a_file_does_not_come_back_as_another_network(kind, tmp_path):
    save(fitted(kind, "named"), tmp_path / "member.h5")
    register("named", preprocess="caffe")
    text = r"^cannot load: .*member.h5: backbone named – .* is not the one that was saved – reg"
    with pytest.raises(ModelFileError, match=text):
        load(tmp_path / "member.h5")


@KINDS
def test_the_same_network_is_saved_and_loaded_whoever_registered_it(kind, tmp_path):
    member = fitted(kind, get_backbone("named"))
    save(member, tmp_path / "first.h5")
    register("named")
    save(pickle.loads(pickle.dumps(member)), tmp_path / "second.h5")
    save(load(tmp_path / "first.h5"), tmp_path / "third.h5")
    first, *others = (one.read_bytes() for one in sorted(tmp_path.glob("*.h5")))
    assert others == [first, first]


@KINDS
def test_a_file_from_before_there_were_outlines_is_read(kind, tmp_path):
    save(fitted(kind, "named"), tmp_path / "new.h5")
    shared = read_container(tmp_path / "new.h5").config["shared"]
    (key,) = [key for key, network in shared.items() if "outline" in network]
    edit = {"older": put(f"shared/{key}/outline", REMOVE)}
    ((_, older),) = edited(tmp_path / "new.h5", edit, tmp_path)
    assert load(older).backbone == "named"


@KINDS
def test_layers_of_ones_own_count_by_their_settings(kind, tmp_path):
    import keras

    @keras.saving.register_keras_serializable("tests")
    class Times(keras.layers.Layer):
        def __init__(self, factor, **options):
            super().__init__(**options)
            self.factor = factor

        def call(self, x):
            return self.factor * x

        def get_config(self):
            return super().get_config() | {"factor": self.factor}

    def times(factor):
        def build(shape):
            first, last = tiny(shape).layers
            return keras.Sequential([keras.Input(shape), first, Times(factor), last])

        return build

    register("named", times(2.0))
    save(fitted(kind, get_backbone("named")), tmp_path / "member.h5")
    register("named", times(2.0))
    save(load(tmp_path / "member.h5"), tmp_path / "again.h5")
    assert (tmp_path / "again.h5").read_bytes() == (tmp_path / "member.h5").read_bytes()
    register("named", times(5.0))
    with pytest.raises(ModelFileError, match="is not the one that was saved"):
        load(tmp_path / "member.h5")


@pytest.mark.parametrize("kind", [features, tuned])
def test_a_backbone_that_is_not_registered_here_is_to_be_registered(kind, tmp_path):
    save(kind("named").fit(IMAGES, CODES), tmp_path / "file.h5")
    del _registry._REGISTRY["named"]
    text = (
        r"^cannot load: .*backbone – there is no backbone 'named' here – register it with "
        r"register_backbone\('named', …\) before loading$"
    )
    with pytest.raises(ModelFileError, match=text):
        load(tmp_path / "file.h5")
    register("named")
    load(tmp_path / "file.h5")
