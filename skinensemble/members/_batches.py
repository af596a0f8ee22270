"""The batches that a stack of heads is trained on: numbers of rows, with classes and weights.

Each has as many rows of every head. Heads with fewer samples have fewer in each batch, filled up
with more of their own, which weigh nothing in the loss: an epoch has the same number of batches for
all.
"""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

__all__ = ["Shape", "arguments"]

# Batches that one call trains on: enough to forget what it costs, and few enough to stop in time.
_MOST_STEPS = 20
# Bytes that are drawn before the training, so that no step waits for Python.
_IN_ADVANCE = 2**26


class Shape(NamedTuple):
    """Of the batches of an epoch.

    Attributes
    ----------
    n_batches, steps : int
        Batches of an epoch, and of a call, of which that is a multiple.
    width : int
        Rows of each head in a batch.
    """

    n_batches: int
    steps: int
    width: int

    @classmethod
    def of(cls, parts, batch_size: int) -> Shape:
        """Share the rows of the longest part out evenly, at most so many to a batch."""
        longest = max(len(part.rows) for part in parts)
        least = -(-longest // batch_size)
        calls = -(-least // _MOST_STEPS)
        steps = -(-least // calls)
        return cls(calls * steps, steps, -(-longest // (calls * steps)))


@contextlib.contextmanager
def arguments(parts, shape: Shape, seed: int, epochs: int) -> Iterator[dict]:
    """Lend what ``fit`` takes: arrays of all batches, or where these are large, a data set.

    Parameters
    ----------
    parts : list of Part
    shape : Shape
    seed, epochs : int
        The orders are functions of the seed and the epoch, counted from 1.
    """
    if epochs * shape.n_batches * shape.width * len(parts) * 12 > _IN_ADVANCE:
        with contextlib.closing(batches_class()(parts, shape, seed)) as batches:
            yield {"x": batches}
        return
    drawn = zip(*(draw(parts, shape, [seed, epoch]) for epoch in range(1, epochs + 1)), strict=True)
    x, y, sample_weight = (np.concatenate(values).ravel() for values in drawn)
    size = shape.width * len(parts)
    own = {"batch_size": size, "steps_per_epoch": shape.n_batches}
    yield {"x": x, "y": y, "sample_weight": sample_weight, **own}


def draw(parts, shape: Shape, seed) -> list[np.ndarray]:
    """Return rows, classes and weights of an epoch, each (n_batches, n_heads * width)."""
    of_heads = (_of_head(part, shape, np.random.default_rng(seed)) for part in parts)
    return [np.concatenate(values, axis=1) for values in zip(*of_heads, strict=True)]


def _of_head(part, shape: Shape, rng):
    order = rng.permutation(len(part.rows))
    ends = len(order) * np.arange(shape.n_batches + 1) // shape.n_batches
    sizes, place = np.diff(ends)[:, None], np.arange(shape.width)
    own = order.take(ends[:-1, None] + place, mode="wrap")
    # Divided by their number: they make the loss a mean over the head's own rows.
    weight = np.where(place < sizes, part.weight[own], 0) / np.maximum(sizes, 1)
    return part.rows[own].astype(np.int32), part.y[own].astype(np.int32), weight.astype(np.float32)


@functools.cache
def batches_class():
    """Return the class of the data set that draws each epoch in its time."""
    import keras

    class Batches(keras.utils.PyDataset):
        """All batches of one epoch, then of the next."""

        def __init__(self, parts, shape: Shape, seed: int):
            super().__init__()
            # Keras looks into the first epoch, and ends that before it begins.
            self.parts, self.shape, self.seed, self.epoch = parts, shape, seed, 0
            self.drawn = draw(parts, shape, [seed, 0])

        def __len__(self):
            return self.shape.n_batches

        def __getitem__(self, i):
            return tuple(values[i] for values in self.drawn)

        def on_epoch_end(self):
            self.epoch += 1
            self.drawn = draw(self.parts, self.shape, [self.seed, self.epoch])

        def close(self):
            """Let go of the arrays: TensorFlow keeps every data set that it has read from."""
            self.parts, self.drawn = [], []

    return Batches
