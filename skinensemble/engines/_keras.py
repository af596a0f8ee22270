"""The engine that is always there."""

from __future__ import annotations

import contextlib
import threading
from typing import Any

import numpy as np

__all__ = ["KerasRunner", "run_batch"]

_LOCK = threading.Lock()


class KerasRunner:
    """A network that Keras runs, on whatever backend it has."""

    # Sums are split between threads and vector registers differently at the end of a batch.
    alone = False

    def __init__(self, network: Any) -> None:
        self._network = network

    def __call__(self, images: np.ndarray) -> np.ndarray:
        return np.asarray(run_batch(self._network, images), np.float32)


def run_batch(network: Any, batch: np.ndarray) -> np.ndarray:
    """Return what a network predicts for a batch; several threads may call this at once.

    Parameters
    ----------
    network : keras.Model, or an object like it
        It has ``predict_on_batch``.
    batch : ndarray of shape (b, ...)

    Returns
    -------
    ndarray of shape (b, ...)
    """
    import keras

    # On JAX a model gives its weights away for as long as it predicts: a second call finds none.
    one_by_one = keras.backend.backend() == "jax"
    with _LOCK if one_by_one else contextlib.nullcontext():
        return network.predict_on_batch(batch)
