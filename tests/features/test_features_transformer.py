from __future__ import annotations

import pickle

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import cross_val_score
from sklearn.pipeline import make_pipeline, make_union
from sklearn.preprocessing import StandardScaler
from sklearn.utils import get_tags

from skinensemble.backbones import register_backbone
from skinensemble.exceptions import InputError
from skinensemble.features import (
    BackboneFeatures,
    FeatureStore,
    StoreWarning,
    load_cut,
    load_extractor,
)
from skinensemble.images import ImageSource, as_images


@pytest.fixture
def features(tiny):
    load_extractor(tiny, None)._equal_places(32)
    return BackboneFeatures("tiny_features", weights=None, store=FeatureStore())


@pytest.fixture
def dark_and_light():
    rng = np.random.default_rng(0)
    y = np.arange(30) % 2
    images = rng.integers(0, 80, (30, 32, 32, 3), dtype=np.uint8)
    images[y == 1, :, :, 0] += 150
    return images, np.where(y == 1, "red", "dark")


def test_features_of_the_extractor(features, images, tiny):
    rows = features.fit_transform(images)
    expected = load_extractor(tiny, None)(as_images(images), FeatureStore())
    np.testing.assert_array_equal(rows, expected)
    assert features.n_features_out_ == rows.shape[1] == 16


def test_parameters_reach_the_extractor(tiny, images):
    features = BackboneFeatures(
        tiny, weights=None, image_size=(36, 48), pooling="max", image_fit="squash", batch_size=4
    )
    store = FeatureStore()
    expected = load_extractor(tiny, None, (36, 48), "max", "squash")(as_images(images), store)
    np.testing.assert_array_equal(
        features.set_params(store=FeatureStore()).transform(images), expected
    )


def test_each_image_passes_once_in_cross_validation(features, dark_and_light, passed):
    images, y = dark_and_light
    model = make_pipeline(features, StandardScaler(), LogisticRegression())
    source = features.prepare(images)
    assert isinstance(source, ImageSource)
    count = len(passed)
    scores = cross_val_score(model, source, y, cv=5)
    scores = np.concatenate([scores, cross_val_score(model, images, y, cv=3)])
    assert len(passed) == count
    assert sum(batch.any(axis=(1, 2, 3)).sum() for batch in passed) == 30
    assert scores.mean() > 0.9


def test_clone_and_pickle(features, images, tmp_path):
    copy = clone(features)
    assert copy.store is features.store
    assert copy.get_params() == features.get_params()
    rows = features.transform(images)
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(features)).transform(images), rows)
    assert len(pickle.dumps(features)) < 2000
    on_disk = clone(features).set_params(store=FeatureStore(tmp_path))
    on_disk.transform(images)
    assert len(pickle.loads(pickle.dumps(on_disk)).store) == 12


def test_store_by_path(features, images, tmp_path, passed):
    first = clone(features).set_params(store=tmp_path).transform(images)
    count = len(passed)
    again = clone(features).set_params(store=str(tmp_path)).transform(images)
    np.testing.assert_array_equal(again, first)
    assert len(passed) == count


def test_names_and_pandas(features, images):
    pandas = pytest.importorskip("pandas")
    frame = clone(features).set_output(transform="pandas").fit_transform(images)
    assert isinstance(frame, pandas.DataFrame)
    assert frame.columns[[0, -1]].tolist() == ["tiny_features_0", "tiny_features_15"]


def test_union_of_poolings(features, images):
    union = make_union(features, clone(features).set_params(pooling="max"))
    assert union.fit_transform(images).shape == (12, 32)


def test_tags():
    tags = get_tags(BackboneFeatures())
    assert not tags.input_tags.two_d_array
    assert tags.input_tags.string
    assert not tags.requires_fit
    assert not tags.target_tags.required


def test_bad_parameters(features, images):
    with pytest.raises(InputError, match="pooling: None – features have to be rows"):
        clone(features).set_params(pooling=None).fit(images)
    with pytest.raises(InputError, match="store: 3 – it is neither"):
        clone(features).set_params(store=3).fit(images)
    with pytest.raises(InputError, match="image_size: 'big'"):
        clone(features).set_params(image_size="big").fit(images)
    with pytest.raises(InputError, match=r"pass X\[None\]"):
        features.fit(images[0])


def test_prepare_warns_of_a_store_that_is_too_small(features, images):
    small = clone(features).set_params(store=FeatureStore(max_bytes=100))
    with pytest.warns(StoreWarning, match=r"the features of 12 images have 768 bytes"):
        small.prepare(images)


def test_a_file_that_was_registered_is_read_anew_when_it_changed(tmp_path, monkeypatch):
    import keras

    def build(shape):
        return keras.Sequential([keras.Input(shape), keras.layers.Conv2D(4, 3)])

    def write(value):
        network = build((32, 32, 3))
        network.set_weights([np.full_like(array, value) for array in network.get_weights()])
        network.save_weights(tmp_path / "own.weights.h5", overwrite=True)

    write(1.0)
    monkeypatch.chdir(tmp_path)
    register_backbone("watched", build, input_size=32, weights="own.weights.h5", overwrite=True)
    monkeypatch.chdir("/")
    first = load_extractor("watched")
    assert load_extractor("watched", tmp_path / "own.weights.h5") is first
    assert load_cut("watched", "imagenet", None, "crop", "all").upper.get_weights()[1].max() == 1
    write(2.5)
    assert load_extractor("watched").model.get_weights()[1].max() == 2.5
    assert load_cut("watched", "imagenet", None, "crop", "all").upper.get_weights()[1].max() == 2.5


def test_what_is_no_path_is_not_registered():
    with pytest.raises(InputError, match=r"^weights: 3 – it is no path – pass the path of a \.wei"):
        register_backbone("watched", lambda shape: None, input_size=32, weights=3, overwrite=True)
