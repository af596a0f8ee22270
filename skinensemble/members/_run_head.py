"""A trained head, evaluated by NumPy: a call of Keras costs more than all its products.

In float64: how many rows there are decides in which order a product of matrices adds up, and so
its last bits. Rounding to float32 loses them: an image gets the same probabilities in any company.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from skinensemble.engines import run_small
from skinensemble.engines._fork import refuse_forked

__all__ = ["run_head"]

_Step = Callable[[np.ndarray], np.ndarray]


def run_head(model, rows: np.ndarray) -> np.ndarray:
    """Return the probabilities of a head that :func:`build_head` made.

    Parameters
    ----------
    model : keras.Sequential
        With an activation that NumPy does not have, Keras runs it.
    rows : float32 ndarray of shape (n, n_features)

    Returns
    -------
    float32 ndarray of shape (n, n_classes)
    """
    refuse_forked()
    steps = [step for layer in model.layers if (step := _step(layer))]
    if len(steps) < len(model.layers):
        return run_small(model, rows)
    with np.errstate(over="ignore", invalid="ignore"):  # as quietly as in Keras
        rows = rows.astype(np.float64)
        for step in steps:
            rows = step(rows)
        return rows.astype(np.float32)


def _step(layer) -> _Step | None:
    """Return what a layer does to rows, or None where only Keras knows."""
    from keras import activations, layers

    if isinstance(layer, layers.Dropout):
        return _linear
    weights = [weight.astype(np.float64) for weight in layer.get_weights()]
    if isinstance(layer, layers.BatchNormalization):
        gamma, beta, mean, variance = weights
        scale = gamma / np.sqrt(variance + layer.epsilon)
        return lambda x: (x - mean) * scale + beta
    same = (run for name, run in _OWN.items() if getattr(activations, name) is layer.activation)
    activation = next(same, None)
    if not weights or activation is None:
        return activation
    kernel, bias = weights
    return lambda x: activation(x @ kernel + bias)


def _linear(x: np.ndarray) -> np.ndarray:
    return x


def _relu(x: np.ndarray) -> np.ndarray:
    return np.maximum(x, 0)


def _softmax(x: np.ndarray) -> np.ndarray:
    shifted = np.exp(x - x.max(axis=1, keepdims=True))
    return shifted / shifted.sum(axis=1, keepdims=True)


_OWN: dict[str, _Step] = {"linear": _linear, "relu": _relu, "softmax": _softmax, "tanh": np.tanh}
