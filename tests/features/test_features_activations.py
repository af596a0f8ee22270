"""Activations at a cut, on their way to a training and to a prediction."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from skinensemble.exceptions import ImageReadError
from skinensemble.features import FeatureStore, _activations, load_cut
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
