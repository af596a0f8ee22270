"""Keras layers, metric and data set of a stack of heads; made late, for Keras loads slowly.

Inside a stack numbers have the shape (n_heads, n_samples, width).
"""

from __future__ import annotations

import functools

import numpy as np


@functools.cache
def stacked_layers():
    """Return the classes of the layers: dense, and batch normalisation."""
    import keras
    from keras import ops

    class StackedDense(keras.layers.Layer):
        """A dense layer for each head."""

        def __init__(self, units, l2):
            super().__init__()
            self.units, self.l2 = units, l2

        def build(self, shape):
            decay = keras.regularizers.L2(self.l2) if self.l2 else None
            kernel = (shape[0], shape[2], self.units)
            self.kernel = self.add_weight(shape=kernel, regularizer=decay)
            self.bias = self.add_weight(shape=(shape[0], self.units))

        def call(self, x):
            return ops.matmul(x, self.kernel) + self.bias[:, None]

    class StackedBatchNormalization(keras.layers.BatchNormalization):
        """Batch normalisation for each head: to Keras, one of n_heads × width features."""

        def build(self, shape):
            self.heads, _, self.width = shape
            super().build((None, self.heads * self.width))
            # It is what comes in that has three axes.
            self.input_spec = None

        def call(self, x, training=None):
            rows = ops.reshape(ops.swapaxes(x, 0, 1), (-1, self.heads * self.width))
            rows = super().call(rows, training=training)
            return ops.swapaxes(ops.reshape(rows, (-1, self.heads, self.width)), 0, 1)

    return StackedDense, StackedBatchNormalization


@functools.cache
def stack_ends():
    """Return the classes of the layers at both ends of the stack."""
    import keras
    from keras import ops

    class Standardize(keras.layers.Layer):
        """The entry: rows of all heads below each other, each head's standardised its own way."""

        def __init__(self, heads):
            super().__init__(trainable=False)
            self.heads = heads

        def build(self, shape):
            self.mean = self.add_weight(shape=(self.heads, shape[1]))
            self.inverse = self.add_weight(shape=(self.heads, shape[1]))

        def compute_output_shape(self, shape):
            # Not to be inferred: an unknown number of rows need not divide evenly.
            return (self.heads, None, shape[1])

        def call(self, rows):
            x = ops.reshape(rows, (self.heads, -1, rows.shape[1]))
            return (x - self.mean[:, None]) * self.inverse[:, None]

    class Join(keras.layers.Layer):
        """The way out: rows of all heads below each other again."""

        def call(self, x):
            return ops.reshape(x, (-1, x.shape[2]))

    return Standardize, Join


@functools.cache
def metric_class():
    """Return the class of a weighted mean for each head."""
    import keras
    from keras import ops

    class PerHead(keras.metrics.Metric):
        """Weighted cross-entropy or accuracy of each head, shape (n_heads,)."""

        def __init__(self, heads, name):
            super().__init__(name=name)
            self.heads = heads
            self.total = self.add_variable((heads,), "zeros")
            self.weight = self.add_variable((heads,), "zeros")

        def update_state(self, y, logits, sample_weight):
            if self.name == "accuracy":
                values = ops.cast(ops.equal(y, ops.cast(ops.argmax(logits, 1), y.dtype)), "float32")
            else:
                values = ops.sparse_categorical_crossentropy(y, logits, from_logits=True)
            self.total.assign_add(self._by_head(values * sample_weight))
            self.weight.assign_add(self._by_head(sample_weight))

        def _by_head(self, values):
            return ops.sum(ops.reshape(values, (self.heads, -1)), axis=1)

        def result(self):
            return self.total / self.weight

    return PerHead


@functools.cache
def batches_class():
    """Return the class of the data set that a stack is trained on."""
    import keras

    class Batches(keras.utils.PyDataset):
        """Batches with as many rows of each head, in orders that are functions of seed and epoch.

        Heads with fewer samples have fewer in each batch, filled up with more of their own, which
        weigh nothing: an epoch has the same number of batches for all.
        """

        def __init__(self, X, parts, batch_size: int, seed: int):
            super().__init__()
            self.X, self.parts, self.seed = X, parts, seed
            longest = max(len(part.rows) for part in parts)
            self.n_batches = -(-longest // batch_size)
            self.width = -(-longest // self.n_batches)
            self.epoch = -1
            self.on_epoch_end()

        def __len__(self):
            return self.n_batches

        def __getitem__(self, i):
            rows, y, weight = (
                np.concatenate(values)
                for values in zip(
                    *(self._of_head(j, i) for j in range(len(self.parts))), strict=True
                )
            )
            return self.X[rows], y, weight

        def on_epoch_end(self):
            self.epoch += 1
            self.orders = [
                np.random.default_rng([self.seed, self.epoch]).permutation(len(part.rows))
                for part in self.parts
            ]

        def close(self):
            """Let go of the arrays: TensorFlow keeps every data set that it has read from."""
            self.X, self.parts = self.X[:0], []

        def _of_head(self, j, i):
            part, order = self.parts[j], self.orders[j]
            start, stop = (len(order) * at // self.n_batches for at in (i, i + 1))
            own = order.take(np.arange(start, start + self.width), mode="wrap")
            weight = part.weight[own] / max(stop - start, 1)
            weight[stop - start :] = 0
            return part.rows[own], part.y[own], weight

    return Batches
