"""What a network above a cut is trained on, and the batches of it."""

from __future__ import annotations

import functools
from dataclasses import dataclass

import numpy as np

from skinensemble.features import Activations

__all__ = ["Lesson", "batches_class"]


@dataclass
class Lesson:
    """Images with their classes and weights.

    Attributes
    ----------
    activations : Activations
    rows : ndarray of int of shape (n_rows,)
        Images to train on.
    y : ndarray of int of shape (n_rows,)
        Class indices.
    weight : ndarray of float32 of shape (n_rows,)
        Of mean 1.
    n_classes : int
    """

    activations: Activations
    rows: np.ndarray
    y: np.ndarray
    weight: np.ndarray
    n_classes: int

    def part(self, chosen: np.ndarray) -> Lesson:
        """Return the lesson of some of the rows."""
        kept = self.rows[chosen], self.y[chosen], self.weight[chosen]
        return Lesson(self.activations, *kept, self.n_classes)

    def order(self, seed: int, epoch: int, sampling: float) -> tuple[np.ndarray, np.ndarray]:
        """Return the rows of an epoch and the view of each: another one every epoch."""
        n, n_views = len(self.rows), self.activations.n_views
        rng = np.random.default_rng([seed, epoch])
        order = rng.permutation(n)
        if sampling:
            share = np.bincount(self.y)[self.y] ** -float(sampling)
            order = rng.choice(n, n, p=share / share.sum())
        first = np.random.default_rng(seed).integers(n_views, size=n)
        return order, (first[order] + epoch) % n_views

    def batch(self, order: np.ndarray, views: np.ndarray):
        """Return activations, one-hot labels and weights."""
        x = self.activations.take(self.rows[order], views)
        return x, np.eye(self.n_classes, dtype=np.float32)[self.y[order]], self.weight[order]


def mix(batch, mixup: float, rng: np.random.Generator):
    """Mix each image of a batch with another, by a share from a beta distribution."""
    x, y, weight = batch
    share = rng.beta(mixup, mixup, len(x)).astype(np.float32)
    other = rng.permutation(len(x))
    ours, theirs = share * weight, (1 - share) * weight[other]
    x = share[:, None, None, None] * x + (1 - share)[:, None, None, None] * x[other]
    total = ours + theirs
    mixed = ours[:, None] * y + theirs[:, None] * y[other]
    # Where both weigh nothing, so does the label.
    return x, mixed / np.maximum(total, np.finfo(np.float32).tiny)[:, None], total


@functools.cache
def batches_class():
    """Return the class of the data set that a network above a cut is trained on."""
    import keras

    class LessonBatches(keras.utils.PyDataset):
        """Batches of one size; order, views and mixing are functions of seed and epoch.

        Without a seed all images come once, upright and in order; the last batch is filled up with
        some that weigh nothing.
        """

        def __init__(self, lesson, params, seed, epoch):
            super().__init__()
            self.lesson, self.params, self.seed, self.epoch = lesson, params, seed, epoch
            self.n_batches = -(-len(lesson.rows) // params.batch_size)
            # Evenly shared out: a last batch of another size would be another graph.
            self.width = -(-len(lesson.rows) // self.n_batches)
            self._set_out()

        def __len__(self):
            return self.n_batches

        def __getitem__(self, i):
            places = np.arange(i * self.width, (i + 1) * self.width)
            own = places % len(self.order)
            x, y, weight = self.lesson.batch(self.order[own], self.views[own])
            if self.seed is None:
                return x, y, weight * (places < len(self.order))
            if self.params.mixup:
                rng = np.random.default_rng([self.seed, self.epoch, i])
                return mix((x, y, weight), self.params.mixup, rng)
            return x, y, weight

        def on_epoch_end(self):
            self.epoch += 1
            self._set_out()

        def _set_out(self):
            n = len(self.lesson.rows)
            self.order, self.views = np.arange(n), np.zeros(n, int)
            if self.seed is not None:
                sampling = self.params.sampling
                self.order, self.views = self.lesson.order(self.seed, self.epoch, sampling)

        def close(self):
            """Let go of the activations: TensorFlow keeps every data set that it has read from."""
            self.lesson = None

    return LessonBatches
