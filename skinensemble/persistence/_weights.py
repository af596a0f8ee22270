"""Arrays into Keras models, with all that layers derive from them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import keras

__all__ = ["assign_weights", "settle"]


def assign_weights(model: keras.Model, arrays: Sequence[np.ndarray]) -> None:
    """Give a model its weights; Keras' ``set_weights`` alone leaves a Normalization as it was.

    Parameters
    ----------
    model : keras.Model or keras.layers.Layer
    arrays : list of ndarray
        In the order of its weights.
    """
    model.set_weights(list(arrays))
    settle(model)


def settle(model: keras.Model) -> None:
    """Let layers that compute with constants made of their weights make them anew."""
    for layer in model._flatten_layers():
        if hasattr(layer, "finalize_state"):
            layer.finalize_state()
