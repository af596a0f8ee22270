"""Activations at a cut, on their way to a training and to a prediction."""

from __future__ import annotations

import gc

import numpy as np
import pytest
from PIL import Image

from skinensemble.exceptions import ImageReadError
from skinensemble.features import Extractor, FeatureStore, _activations, load_cut
from skinensemble.features._activations import cut_network
from skinensemble.features._memory import EACH
from skinensemble.images import as_images
from skinensemble.images._views import lay_out

VIEWS = lay_out(2, 1.0, 0.0)
EVERY = np.repeat(np.arange(12), 2), np.tile([0, 1], 12)


@pytest.fixture
def network(tiny):
    return load_cut("tiny_features", None, None, "crop", 1)


@pytest.fixture
def expected(network, images):
    return network.activations(as_images(images), FeatureStore(), VIEWS).take(*EVERY)


def test_a_store_of_just_the_size_of_the_rows_is_enough(network, images, expected):
    just = FeatureStore(max_bytes=12 * 2 * 2 * int(np.prod(network.lower.row_shape)))
    found = network.activations(as_images(images), just, VIEWS)
    np.testing.assert_array_equal(found.take(*EVERY), expected)


def test_rows_that_left_the_store_before_they_were_read_are_no_failure(
    network, images, expected, monkeypatch
):
    store = FeatureStore(max_bytes=network._bytes(12 * 2))
    real = FeatureStore.reader

    def late(self, key, digests):
        """Let another thread fill the store as soon as everything is in it."""
        if self is store and not real(self, key, digests)[1].any():
            self.put("ab" * 32, [bytes([9, n]) for n in range(4)], np.ones((4, 9), np.float32))
        return real(self, key, digests)

    monkeypatch.setattr(FeatureStore, "reader", late)
    found = network.activations(as_images(images), store, VIEWS)
    np.testing.assert_array_equal(found.take(*EVERY), expected)


def test_progress_ends_where_images_have_copies(network, images, capsys, tmp_path):
    twice = as_images(np.concatenate([images, images]))
    row = 2 * int(np.prod(network.lower.row_shape)) + EACH
    store = FeatureStore(tmp_path, max_bytes=12 * 2 * row)
    network.activations(twice, store, VIEWS, verbose=2)
    assert "tiny_features: 24 images, " in capsys.readouterr().out
    assert len(store) == 24


def test_all_images_that_a_stream_cannot_read_are_named(network, damaged, monkeypatch):
    monkeypatch.setattr(_activations, "_CHUNK", 5)
    given = []
    with pytest.raises(ImageReadError, match=r"2 of 12 – \S*06\.png .*, \S*11\.png ") as error:
        given.extend(network.stream(as_images(damaged), FeatureStore(), VIEWS))
    assert [problem.index for problem in error.value.problems] == [6, 11]
    assert [len(view) for views in given for view in views] == [5, 5]


@pytest.fixture
def parts(network, monkeypatch):
    """How many images the part below the cut was given at a time, of a network of large rows."""
    sizes = []
    real = Extractor.__call__

    def call(self, source, *args, **kwargs):
        sizes.append(len(source))
        return real(self, source, *args, **kwargs)

    monkeypatch.setattr(Extractor, "__call__", call)
    monkeypatch.setattr(network.lower, "batch_size", 2)
    monkeypatch.setattr(_activations, "_BYTES", network._bytes(11))
    return sizes


def test_what_is_held_at_a_time_is_bounded_in_bytes(network, images, expected, parts):
    source = as_images(images)
    found = network.activations(source, FeatureStore(), VIEWS)
    assert set(parts) == {2}  # 11 rows, each of them held four times, in whole batches
    np.testing.assert_array_equal(found.take(*EVERY), expected)
    del parts[:]
    streamed = list(network.stream(source, FeatureStore(), VIEWS))
    assert set(parts) == {4}  # 11 rows, in two views
    np.testing.assert_array_equal(np.concatenate([one[1] for one in streamed]), expected[1::2])


def test_rows_so_large_that_none_would_fit_pass_in_batches(network, images, parts, monkeypatch):
    monkeypatch.setattr(_activations, "_BYTES", 1)
    network.activations(as_images(images), FeatureStore(), VIEWS)
    assert set(parts) == {2}


def test_networks_above_a_cut_share_what_is_held_and_no_more(network, images, passed):
    source, store = as_images(255 - images), FeatureStore()
    list(network.stream(source, store, VIEWS))
    once = len(passed)
    list(network.stream(source, store, VIEWS))
    assert len(passed) == once > 0
    list(network.stream(source, store, VIEWS[:1]))
    assert len(passed) > once


def test_of_more_than_is_held_at_a_time_nothing_stays(network, images, parts):
    _activations._latest.clear()
    list(network.stream(as_images(images), FeatureStore(), VIEWS))
    assert not len(_activations._latest)


def test_what_is_held_goes_with_its_network(tiny, images):
    network = cut_network(tiny.build(None, pooling=None), "crop", None)
    list(network.stream(as_images(images), FeatureStore(), VIEWS))
    held = len(_activations._latest)
    del network
    gc.collect()
    assert len(_activations._latest) < held


@pytest.fixture
def damaged(images, tmp_path):
    """Files, of which the seventh and the last are damaged."""
    files = [tmp_path / f"{row:02d}.png" for row in range(len(images))]
    for row, (file, image) in enumerate(zip(files, images, strict=True)):
        Image.fromarray(image).save(file)
        if row in (6, 11):
            data = bytearray(file.read_bytes())
            data[2000] ^= 255
            file.write_bytes(data)
    return files
