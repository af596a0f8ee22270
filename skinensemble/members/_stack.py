"""Heads of one shape that are trained side by side, as one network.

Every head has its own samples, weights and standardisation: none sees a number of another. Side by
side they cost little more than their matrix products; one after the other, each would wait for
Python, the optimizer and the graph between many small ones.
"""

from __future__ import annotations

import math
import threading
from collections import OrderedDict
from dataclasses import dataclass

import numpy as np

from skinensemble.members._batches import Shape, arguments
from skinensemble.members._in_time import stop_in_time
from skinensemble.members._layers import metric_class, stack_ends, stacked_layers
from skinensemble.members._network import build_metrics, seed_layer
from skinensemble.members._optimizers import penalised_adam_class

__all__ = ["Part", "train_side_by_side"]

# Kept for the next heads of the same shape, with the features that they hold.
_MOST_STACKS = 8
_MOST_BYTES = 2**28
# One cache a thread: a network can be trained by one thread at a time only.
_STACKS = threading.local()


@dataclass
class Part:
    """One head of a stack, and what it is trained on.

    Attributes
    ----------
    weights : list of ndarray
        Of the untrained head, then of the trained one, for standardised features.
    rows : ndarray of int of shape (n_rows,)
        Samples to train on.
    y : ndarray of int of shape (n_rows,)
        Class indices.
    weight : ndarray of float32 of shape (n_rows,)
    mean, scale : ndarray of float32 of shape (n_features,)
        Of the features of these samples, and of those set aside for early stopping.
    """

    weights: list[np.ndarray]
    rows: np.ndarray
    y: np.ndarray
    weight: np.ndarray
    mean: np.ndarray
    scale: np.ndarray


def train_side_by_side(head, parts, X, batch_size, seed, *, callbacks=(), validation=None):
    """Train the heads of `parts`, in place; return the history of each.

    Parameters
    ----------
    head : DenseHead
        Their parameters.
    parts : list of Part
    X : ndarray of float32 of shape (n_samples, n_features)
    batch_size : int
        Samples of each head in a batch, at most.
    seed : int
        Of the order of the samples and of dropout.
    callbacks : sequence of keras.callbacks.Callback
    validation : tuple of rows, class indices and weights, optional
        For a stack of one.

    Returns
    -------
    list of dict of str to list of float
        Weighted cross-entropy ("loss") and accuracy of each epoch.
    """
    shape = Shape.of(parts, batch_size)
    sizes = len(parts), _roomy(len(X)), X.shape[1], len(parts[0].weights[-1])
    of_batches = shape.steps, shape.width, len(validation[0]) if validation else 0
    key, stack = _compiled(head, sizes, of_batches)
    _start(stack, head.learning_rate, X, parts, seed)
    with arguments(parts, shape, seed, int(head.epochs)) as batches:
        history = stack.fit(
            **batches,
            epochs=int(head.epochs),
            validation_data=validation,
            validation_batch_size=len(validation[0]) if validation else None,
            callbacks=[*callbacks, *stop_in_time()],
            shuffle=False,
            verbose=head.verbose,
        ).history
    trained = [variable.numpy() for variable in stack.weights[3:]]
    for at, part in enumerate(parts):
        part.weights = [
            values.reshape(len(parts), *start.shape)[at].copy()
            for values, start in zip(trained, part.weights, strict=True)
        ]
    if not head.callbacks:  # which may have done anything to it
        _keep(key, stack)
    return [_history_of(history, at) for at in range(len(parts))]


def _roomy(n_samples: int) -> int:
    """Round up, by a quarter at most: numbers of samples that differ a little share a network."""
    step = 1 << max(n_samples.bit_length() - 3, 0)
    return -(-n_samples // step) * step


def _compiled(head, sizes: tuple[int, int, int, int], batches: tuple[int, int, int]):
    """Return its key and a network, from a small cache: to trace one takes a second.

    Of the sizes are heads, samples, features and classes; of the batches those of a call, rows of a
    head in one, and rows of the validation.
    """
    import keras

    (n_heads, _, _, n_classes), (steps, *_) = sizes, batches
    key = repr((sizes, head.units, head.dropout, head.batch_normalization, head.activation))
    # Traced for batches of another size as well, it would add up in another order.
    key += repr((head.l2, batches))
    # Taken out while it is trained, for a callback may train another.
    stack = _cache().pop(key, None)
    if stack is None:
        stack = _build(head, *sizes)
        stack.compile(
            penalised_adam_class()(head.learning_rate, head.l2),
            # Weights are divided by the size of the batch already, of each head its own.
            keras.losses.SparseCategoricalCrossentropy(from_logits=True, reduction="sum"),
            weighted_metrics=[
                metric_class()(n_heads, name) for name in ("cross_entropy", "accuracy")
            ],
            # PyTorch runs them one by one, so that they save nothing.
            steps_per_execution=1 if keras.backend.backend() == "torch" else steps,
        )
        stack.optimizer.build(stack.trainable_variables)
        build_metrics(stack, np.zeros(n_heads, np.int32), np.zeros((n_heads, n_classes), "float32"))
    return key, stack


def _cache() -> OrderedDict:
    return _STACKS.__dict__.setdefault("compiled", OrderedDict())


def _keep(key: str, stack) -> None:
    cache = _cache()
    if _n_bytes(stack) <= _MOST_BYTES:
        cache[key] = stack
    while len(cache) > _MOST_STACKS or sum(map(_n_bytes, cache.values())) > _MOST_BYTES:
        cache.popitem(last=False)


def _n_bytes(stack) -> int:
    return 4 * math.prod(stack.weights[0].shape)


def _build(head, n_heads: int, n_samples: int, n_features: int, n_classes: int):
    """Return the network: rows of all heads below each other, (b,) to logits (b, k)."""
    import keras

    (dense, norm), (gather, join) = stacked_layers(), stack_ends()

    def dropout():
        # One mask for all heads: random numbers cost more than the product they precede.
        return keras.layers.Dropout(head.dropout, noise_shape=(1, None, None))

    entry = keras.layers.Input((), dtype="int32"), gather(n_heads, n_samples, n_features)
    stack = [*entry, dropout()]
    for n_units in head.units:
        stack.append(dense(n_units))
        if head.batch_normalization:
            stack.append(norm())
        stack += [keras.layers.Activation(head.activation), dropout()]
    return keras.Sequential([*stack, dense(n_classes), join()])


def _start(stack, learning_rate: float, X, parts: list[Part], seed: int) -> None:
    """Give the network the untrained weights of the parts, and forget what it trained before."""
    features = np.zeros(stack.weights[0].shape, np.float32)
    features[: len(X)] = X
    stack.weights[0].assign(features)
    own = [[part.mean, 1 / part.scale, *part.weights] for part in parts]
    for variable, values in zip(stack.weights[1:], zip(*own, strict=True), strict=True):
        variable.assign(np.stack(values).reshape(variable.shape))
    seeds = np.random.SeedSequence(seed).generate_state(len(stack.layers))
    for layer, number in zip(stack.layers, seeds, strict=True):
        seed_layer(layer, number)
    for variable in stack.optimizer.variables:
        variable.assign(np.zeros(variable.shape, variable.dtype))
    # It is one of the variables set to zero.
    stack.optimizer.learning_rate = learning_rate
    stack.stop_training = False


def _history_of(history: dict, at: int) -> dict[str, list[float]]:
    names = {"cross_entropy": "loss", "accuracy": "accuracy"}
    return {
        prefix + name: [float(np.ravel(values)[at]) for values in history[prefix + key]]
        for prefix in ("", "val_")
        for key, name in names.items()
        if prefix + key in history
    }
