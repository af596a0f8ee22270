"""Keras layers and metric of a stack of heads; made late, for Keras loads slowly.

Inside a stack numbers have the shape (n_heads, n_samples, width).
"""

from __future__ import annotations

import functools


@functools.cache
def stacked_layers():
    """Return the classes of the layers: dense, and batch normalisation."""
    import keras
    from keras import ops

    class StackedDense(keras.layers.Layer):
        """A dense layer for each head."""

        def __init__(self, units):
            super().__init__()
            self.units = units

        def build(self, shape):
            self.kernel = self.add_weight(shape=(shape[0], shape[2], self.units))
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

    class Gather(keras.layers.Layer):
        """The entry: from numbers of rows, of all heads below each other, to standardised features.

        It holds the features, once for all heads and steps: to pass them in batches took longer
        than all products.
        """

        def __init__(self, heads, n_samples, n_features):
            super().__init__(trainable=False)
            self.heads, self.shape = heads, (n_samples, n_features)

        def build(self, _):
            self.features = self.add_weight(shape=self.shape, initializer="zeros")
            self.mean = self.add_weight(shape=(self.heads, self.shape[1]))
            self.inverse = self.add_weight(shape=(self.heads, self.shape[1]))

        def compute_output_shape(self, _):
            # Not to be inferred: an unknown number of rows need not divide evenly.
            return (self.heads, None, self.shape[1])

        def call(self, rows):
            x = ops.take(self.features, ops.reshape(rows, (self.heads, -1)), axis=0)
            return (x - self.mean[:, None]) * self.inverse[:, None]

    class Join(keras.layers.Layer):
        """The way out: rows of all heads below each other again."""

        def call(self, x):
            return ops.reshape(x, (-1, x.shape[2]))

    return Gather, Join


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
