"""What it costs to run a network on one image."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

__all__ = ["multiply_adds"]


def multiply_adds(model: Any) -> int:
    """Count the multiplications of a Keras model's kernels on one input, each with its addition.

    A kernel is used once at each place of its layer's output. Normalisations, activations and sums
    are not counted.

    Parameters
    ----------
    model : keras.Model

    Returns
    -------
    int

    Examples
    --------
    >>> import keras
    >>> layers = [keras.Input((8, 8, 3)), keras.layers.Conv2D(5, 3, padding="same")]
    >>> multiply_adds(keras.Sequential(layers)) == 8 * 8 * (3 * 3 * 3 * 5)
    True
    """
    return sum(
        _places(layer) * math.prod(weight.shape)
        for layer in _layers(model)
        for weight in layer.weights
        if len(weight.shape) > 1
    )


def _layers(model: Any) -> Iterator[Any]:
    for layer in model.layers:
        yield from _layers(layer) if hasattr(layer, "layers") else (layer,)


def _places(layer: Any) -> int:
    try:
        shape = layer.output.shape
    except (AttributeError, ValueError):  # inside a model that is no graph of layers
        return 1
    return math.prod(size or 1 for size in shape[1:-1])
