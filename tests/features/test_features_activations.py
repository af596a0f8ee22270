"""Activations at a cut, on their way to a training and to a prediction."""

from __future__ import annotations

import numpy as np
import pytest

from skinensemble.features import FeatureStore, load_cut
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
