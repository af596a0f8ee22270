"""A backbone of two convolutions, 32 × 32 pixels and 16 features: registered by its import."""

from __future__ import annotations

from skinensemble import register_backbone


def _build(input_shape):
    import keras

    return keras.Sequential(
        [
            keras.Input(input_shape),
            keras.layers.Conv2D(8, 3, strides=2, activation="relu"),
            keras.layers.BatchNormalization(),
            keras.layers.Conv2D(16, 3, strides=2, activation="relu"),
        ]
    )


TINY = {"backbone": "tiny_transfer", "weights": None}
register_backbone("tiny_transfer", _build, input_size=32, preprocess="tf", overwrite=True)
register_backbone("tiny_twin", _build, input_size=32, preprocess="caffe", overwrite=True)
