"""The small network of a head: how it is built, fed and, once trained, folded flat."""

from __future__ import annotations

import functools
import threading
from collections import OrderedDict

import numpy as np

_MOST_TWINS = 8
# Batches that one call trains on: enough to forget what the call costs, and no fold's own number.
_STEPS = 16
# One cache a thread: a network can be trained by one thread at a time only.
_TWINS = threading.local()


def build_head(head, n_features: int, n_classes: int, seed: int):
    """Return the untrained Keras model of a head's parameters: features to probabilities."""
    import keras
    from keras import layers

    seeds = iter(np.random.SeedSequence(seed).generate_state(4 * len(head.units) + 4))

    def dense(n, activation=None):
        start = keras.initializers.GlorotUniform(seed=int(next(seeds)))
        decay = keras.regularizers.L2(head.l2) if head.l2 else None
        return layers.Dense(n, activation, kernel_initializer=start, kernel_regularizer=decay)

    stack = [layers.Input((n_features,)), layers.Dropout(head.dropout, seed=int(next(seeds)))]
    for n_units in head.units:
        stack.append(dense(n_units))
        if head.batch_normalization:
            stack.append(layers.BatchNormalization())
        stack.append(layers.Activation(head.activation))
        stack.append(layers.Dropout(head.dropout, seed=int(next(seeds))))
    return keras.Sequential([*stack, dense(n_classes, "softmax")])


def compiled_twin(head, model):
    """Return a compiled model like `model`, from a small cache, in the same untrained state.

    Tracing a graph takes longer than training a small head, and every traced graph stays in
    memory: the heads of all folds and stages with the same shape are trained in one network.
    """
    import keras

    shape = (*model.input_shape, *model.output_shape)
    key = repr((shape, head.units, head.dropout, head.batch_normalization, head.activation))
    key += repr((head.l2, head.learning_rate))
    cache = _TWINS.__dict__.setdefault("compiled", OrderedDict())
    if key not in cache:
        cache[key] = build_head(head, shape[1], model.output_shape[1], seed=0)
        cache[key].compile(
            keras.optimizers.Adam(head.learning_rate),
            "sparse_categorical_crossentropy",
            weighted_metrics=["accuracy"],
            # XLA takes longer to compile a small head than to train it.
            jit_compile=False,
            steps_per_execution=_STEPS,
        )
        while len(cache) > _MOST_TWINS:
            cache.popitem(last=False)
    cache.move_to_end(key)
    twin = cache[key]
    # Dropout's random state is a variable too; the optimizer starts from nothing again.
    for variable, start in zip(twin.variables, model.variables, strict=True):
        variable.assign(start)
    for variable in twin.optimizer.variables:
        variable.assign(keras.ops.zeros_like(variable))
    # A callback may have changed it, and it is one of the variables set to zero.
    twin.optimizer.learning_rate = head.learning_rate
    twin.stop_training = False
    return twin


def fold_scaling(model, mean: np.ndarray, scale: np.ndarray) -> None:
    """Put the standardisation of the inputs into the first Dense layer, in place.

    The trained model then takes features as they are, and its weights are all there is to store.
    """
    first = next(layer for layer in model.layers if hasattr(layer, "kernel"))
    kernel, bias = (np.asarray(weight, dtype=np.float64) for weight in first.get_weights())
    kernel = kernel / scale[:, None]
    first.set_weights([kernel, bias - mean @ kernel])


@functools.cache
def batches_class():
    """Return the Keras data set of a head; made late, so that Keras is loaded when it is needed."""
    import keras

    class Batches(keras.utils.PyDataset):
        """Shuffled batches whose order is a function of the seed and the epoch alone."""

        def __init__(self, arrays, batch_size: int, seed: int):
            super().__init__()
            self.arrays, self.batch_size, self.seed = arrays, batch_size, seed
            self.n_samples = len(arrays[0])
            self.epoch = -1
            self.on_epoch_end()

        def __len__(self):
            return -(-self.n_samples // self.batch_size)

        def __getitem__(self, i):
            rows = self.order[i * self.batch_size : (i + 1) * self.batch_size]
            return tuple(array[rows] for array in self.arrays)

        def on_epoch_end(self):
            self.epoch += 1
            self.order = np.random.default_rng([self.seed, self.epoch]).permutation(self.n_samples)

        def close(self):
            """Let go of the arrays: TensorFlow keeps every data set that it has read from."""
            self.arrays = ()

    return Batches
