"""The small network of a head: how it is built and, once trained, folded flat."""

from __future__ import annotations

import numpy as np

from skinensemble.engines._fork import refuse_forked


def build_head(head, n_features: int, n_classes: int, seed: int | None):
    """Return the untrained Keras model of a head's parameters: features to probabilities.

    Without a seed it is not fit to be trained, only to be given weights.
    """
    import keras
    from keras import layers

    refuse_forked()
    # Not every backend of Keras takes a seed above 2**31.
    none = np.zeros(4 * len(head.units) + 4, np.uint32)
    seeds = iter(none if seed is None else np.random.SeedSequence(seed).generate_state(len(none)))

    def dropout():
        layer = layers.Dropout(head.dropout, seed=0)
        seed_layer(layer, next(seeds))
        return layer

    def dense(n, activation=None):
        start = keras.initializers.GlorotUniform(seed=int(next(seeds)))
        decay = keras.regularizers.L2(head.l2) if head.l2 else None
        return layers.Dense(n, activation, kernel_initializer=start, kernel_regularizer=decay)

    stack = [layers.Input((n_features,)), dropout()]
    for n_units in head.units:
        stack.append(dense(n_units))
        if head.batch_normalization:
            stack.append(layers.BatchNormalization())
        stack.append(layers.Activation(head.activation))
        stack.append(dropout())
    return keras.Sequential([*stack, dense(n_classes, "softmax")])


def seed_layer(layer, number: int) -> None:
    """Start the random numbers of a layer, if it draws any, at a number of 32 bits."""
    generator = getattr(layer, "seed_generator", None)
    if generator is not None:
        # Each backend of Keras keeps these bits in integers of its own kind.
        start = np.array([number, 0], np.uint32).astype(generator.state.dtype)
        generator.state.assign(start)


def build_metrics(model, y, predicted) -> None:
    """Make the variables of a compiled model's metrics, which its training sets to zero.

    Made by the first step of a training, they would have TensorFlow trace that step twice.
    """
    from keras import ops

    weight = np.ones(len(predicted), np.float32)
    model.compute_metrics(None, *map(ops.convert_to_tensor, (y, predicted, weight)))


def fold_scaling(weights: list[np.ndarray], mean: np.ndarray, scale: np.ndarray) -> list:
    """Return a head's weights with the standardisation of its inputs put into the first layer.

    The trained head then takes features as they are, and its weights are all there is to store.
    """
    kernel, bias = (weight.astype(np.float64) for weight in weights[:2])
    kernel /= scale[:, None]
    first = [kernel, bias - mean @ kernel]
    return [*(weight.astype(np.float32) for weight in first), *weights[2:]]
