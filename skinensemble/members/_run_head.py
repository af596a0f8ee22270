"""Trained heads, evaluated by NumPy: a call of Keras costs more than all their products.

In float64: how many rows there are decides in which order a product of matrices adds up, and so
its last bits. Rounding to float32 loses them: an image gets the same probabilities in any company.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from itertools import accumulate, pairwise
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np

from skinensemble.engines import run_small

__all__ = ["run_heads"]

_CHUNK = 1024
_EPSILON = 1e-3  # of Keras' BatchNormalization

_Step = Callable[[np.ndarray], np.ndarray]
# What runs a head, and the weights that it was made of: made anew where a head was fitted again.
_runners: WeakKeyDictionary[Any, tuple] = WeakKeyDictionary()


def run_heads(heads: list, rows: np.ndarray) -> list[np.ndarray]:
    """Return the probabilities of heads on the same rows, their first layers in one product.

    Parameters
    ----------
    heads : list of DenseHead
        Fitted. With an activation that NumPy does not have, Keras runs a head.
    rows : float32 ndarray of shape (n, n_features)

    Returns
    -------
    list of float32 ndarray of shape (n, n_classes)
    """
    runners = [_runner(head) for head in heads]
    plain = [runner for runner in runners if isinstance(runner, _Plain)]
    chunks = [rows[start : start + _CHUNK] for start in range(0, max(len(rows), 1), _CHUNK)]
    found = iter(zip(*(_run(plain, chunk) for chunk in chunks), strict=True))
    return [
        np.concatenate(
            next(found)
            if isinstance(runner, _Plain)
            else [run_small(runner, chunk) for chunk in chunks]
        )
        for runner in runners
    ]


def _runner(head):
    weights, runner = _runners.get(head, (None, None))
    if weights is not head.weights_:
        known = head._layers["activation"] in _OWN
        runner = _Plain(head.weights_, **head._layers) if known else head.model_
        _runners[head] = head.weights_, runner
    return runner


class _Plain:
    """The layers of a head as NumPy takes them.

    Attributes
    ----------
    place : tuple of ndarray, int, int
        Array that has the kernel of the first layer in its columns, the first of these and the one
        after the last. The kernels of heads that were asked together lie beside each other.
    """

    def __init__(self, weights, **layers):
        kernel, *others = (weight.astype(np.float64) for weight in weights)
        self.place = kernel, 0, kernel.shape[1]
        self._steps = list(_after_first(iter(others), **layers))

    def finish(self, product: np.ndarray) -> np.ndarray:
        """Return the probabilities for products of rows with the first kernel."""
        for step in self._steps:
            product = step(product)
        return product.astype(np.float32)


def _after_first(weights, units, batch_normalization, activation):
    """Yield what follows the product with the first kernel."""
    for _ in units:
        yield partial(np.add, next(weights))
        if batch_normalization:
            yield partial(_normalise, *(next(weights) for _ in range(4)))
        yield _OWN[activation]
        yield partial(_multiply, next(weights))
    yield partial(np.add, next(weights))
    yield _softmax


def _run(heads: list[_Plain], rows: np.ndarray) -> list[np.ndarray]:
    if not heads:
        return []
    kernel, places = _side_by_side(heads)
    with np.errstate(over="ignore", invalid="ignore"):  # as quietly as in Keras
        product = rows.astype(np.float64) @ kernel
        return [
            head.finish(product[:, columns]) for head, columns in zip(heads, places, strict=True)
        ]


def _side_by_side(heads: list[_Plain]) -> tuple[np.ndarray, list[slice]]:
    """Return the first kernels as one array, and where in it each is; it is made once."""
    whole, starts, ends = zip(*(head.place for head in heads), strict=True)
    kernels = [array[:, start:end] for array, start, end in zip(whole, starts, ends, strict=True)]
    if len(kernels) == 1:
        return kernels[0], [slice(None)]
    edges = [0, *accumulate(kernel.shape[1] for kernel in kernels)]
    lie = all(array is whole[0] for array in whole) and [*starts, ends[-1]] == edges
    joined = whole[0] if lie else np.concatenate(kernels, axis=1)
    for head, (start, end) in zip(heads, pairwise(edges), strict=True):
        head.place = joined, start, end
    return joined, [slice(start, end) for start, end in pairwise(edges)]


def _multiply(kernel: np.ndarray, x: np.ndarray) -> np.ndarray:
    return x @ kernel


def _normalise(gamma, beta, mean, variance, x: np.ndarray) -> np.ndarray:
    return (x - mean) * (gamma / np.sqrt(variance + _EPSILON)) + beta


def _linear(x: np.ndarray) -> np.ndarray:
    return x


def _relu(x: np.ndarray) -> np.ndarray:
    return np.maximum(x, 0)


def _softmax(x: np.ndarray) -> np.ndarray:
    shifted = np.exp(x - x.max(axis=1, keepdims=True))
    return shifted / shifted.sum(axis=1, keepdims=True)


_OWN: dict[str, _Step] = {"linear": _linear, "relu": _relu, "softmax": _softmax, "tanh": np.tanh}
