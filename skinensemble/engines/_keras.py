"""The engine that is always there."""

from __future__ import annotations

from typing import Any

import numpy as np

__all__ = ["KerasRunner"]


class KerasRunner:
    """A network that Keras runs, on whatever backend it has."""

    # Sums are split between threads and vector registers differently at the end of a batch.
    alone = False

    def __init__(self, network: Any) -> None:
        self._network = network

    def __call__(self, images: np.ndarray) -> np.ndarray:
        return np.asarray(self._network.predict_on_batch(images), np.float32)
