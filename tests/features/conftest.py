from __future__ import annotations

import numpy as np
import pytest

from skinensemble.backbones import register_backbone


def _tiny(input_shape):
    import keras

    return keras.Sequential(
        [
            keras.Input(input_shape),
            keras.layers.Conv2D(8, 3, strides=2, activation="relu"),
            keras.layers.BatchNormalization(),
            keras.layers.Conv2D(16, 3, strides=2, activation="relu"),
        ]
    )


@pytest.fixture(scope="session")
def tiny():
    """A backbone of two convolutions on 32 × 32 pixels, 16 features."""
    return register_backbone("tiny_features", _tiny, input_size=32, preprocess="tf", overwrite=True)


@pytest.fixture
def images():
    return np.random.default_rng(0).integers(0, 256, (12, 36, 32, 3), dtype=np.uint8)


@pytest.fixture
def passed(tiny, monkeypatch):
    """The batches that the tiny network saw, from now on."""
    import keras

    seen = []
    real = keras.Model.predict_on_batch

    def count(self, batch):
        seen.append(np.array(batch))
        return real(self, batch)

    monkeypatch.setattr(keras.Model, "predict_on_batch", count)
    return seen
