"""Fine-tuning above a cut on stored activations, against ``keras.Model.fit`` on the images.

The peer has the same network, the same layers unfrozen, the same optimizer and batches; ``tf.data``
decodes, resizes, turns and flips its images on all cores. An epoch of each is timed, the two in
turn. Ours computes the activations of eight views first, once for however many trainings: folds,
recipes, members. What ten epochs of so many trainings cost is worked out from these figures.
"""

from __future__ import annotations

import functools
import time

import numpy as np
from sklearn.base import clone

from skinensemble import TransferClassifier, config_context
from skinensemble.datasets import load_ham10000
from skinensemble.features import FeatureStore
from tests.benchmarks.predict import possible_engines

CUTS = {
    "mobilenet_v2": "block_9_add",
    "efficientnet_lite0": "block4c_add",
    "vgg16": "block4_pool",
}
FILES = {"mobilenet_v2": "mobilenet_v2_1.0_224_notop.weights.h5", "vgg16": "vgg16_notop.weights.h5"}
BATCH, EPOCHS, TRAININGS, ROUNDS = 64, 10, (1, 3, 15), 3


def run(args):
    """Seconds of an epoch and of the activations, and of whole trainings, by either way."""
    data = load_ham10000(args.data)
    chosen = np.random.default_rng(0).permutation(len(data.images))[: args.images]
    paths, y = np.asarray(data.images)[chosen].tolist(), np.asarray(data.target)[chosen]
    configs = [{"engine": one, "precision": other} for one, other in possible_engines()]
    rows = []
    for backbone, cut in CUTS.items():
        weights = str(args.weights / FILES[backbone]) if backbone in FILES else "imagenet"
        member = TransferClassifier(backbone, unfreeze=cut, weights=weights, random_state=0)
        rows += _compare(member, paths, y, configs)
    columns = [f"{n} × {EPOCHS} epochs" for n in TRAININGS]
    return ["way", "s/epoch", "activations, s", *columns], rows


def _compare(member, paths, y, configs):
    # In float32 engines would share what is in one store.
    own = [clone(member).set_params(store=FeatureStore(max_bytes=2**34)) for _ in configs]
    once = [_prepare(*one, paths) for one in zip(own, configs, strict=True)]
    ways = [_ours(*one, paths, y) for one in zip(own, configs, strict=True)]
    ways.insert(0, _theirs(own[0], paths, y))
    epochs = np.median([[way() for way in ways] for _ in range(ROUNDS)], axis=0)
    peer = [EPOCHS * n * epochs[0] for n in TRAININGS]
    totals = [f"{t:.0f} s" for t in peer]
    yield [f"{member.backbone}, Keras (peer)", f"{epochs[0]:.1f}", "", *totals]
    for config, first, epoch in zip(configs, once, epochs[1:], strict=True):
        totals = [first + EPOCHS * n * epoch for n in TRAININGS]
        ratios = [f"{t:.0f} s, {p / t:.1f} ×" for t, p in zip(totals, peer, strict=True)]
        name = " ".join([f"{member.backbone}, ours,", *config.values()])
        yield [name, f"{epoch:.1f}", f"{first:.1f}", *ratios]


def _prepare(member, config, paths) -> float:
    """Return how long the activations take; they stay in the member's store."""
    with config_context(**config):
        member.prepare(paths[:BATCH])  # compiles
        start = time.perf_counter()
        member.prepare(paths)
    return (time.perf_counter() - start) * len(paths) / (len(paths) - BATCH)


def _ours(member, config, paths, y):
    """Return a function that trains, and returns the seconds of an epoch that traces nothing."""
    clock = clock_class()()
    member.set_params(epochs=2, batch_size=BATCH, callbacks=[clock])

    def way():
        with config_context(**config):
            member.fit(paths, y)
        return clock.seconds[-1]

    return way


def _theirs(member, paths, y):
    """Return a function that trains the same layers on images, and returns the same."""
    import keras
    import tensorflow as tf

    # What is below the cut, and all BatchNormalization, is not trainable in it.
    whole, clock = member.fit(paths, y).model_, clock_class()()
    optimizer = keras.optimizers.AdamW(1e-4, weight_decay=0.01)
    whole.compile(optimizer, keras.losses.CategoricalCrossentropy(label_smoothing=0.05))
    size = whole.input_shape[1:3]

    def read(path, label):
        image = tf.image.decode_jpeg(tf.io.read_file(path), channels=3)
        short = tf.reduce_min(tf.shape(image)[:2])
        image = tf.image.resize(tf.image.resize_with_crop_or_pad(image, short, short), size)
        image = tf.image.rot90(image, tf.random.uniform([], maxval=4, dtype=tf.int32))
        return tf.image.random_flip_left_right(image), label

    labels = np.eye(len(member.classes_), dtype=np.float32)[np.searchsorted(member.classes_, y)]
    images = tf.data.Dataset.from_tensor_slices((paths, labels)).shuffle(len(paths))
    batches = images.map(read, tf.data.AUTOTUNE).batch(BATCH).prefetch(tf.data.AUTOTUNE)

    def way():
        whole.fit(batches, epochs=2, shuffle=False, callbacks=[clock], verbose=0)
        return clock.seconds[-1]

    return way


@functools.cache
def clock_class():
    """Return the class of a callback that notes how long each epoch takes."""
    import keras

    class Clock(keras.callbacks.Callback):
        def __init__(self):
            super().__init__()
            self.seconds = []

        def on_epoch_begin(self, epoch, logs=None):
            self.start = time.perf_counter()

        def on_epoch_end(self, epoch, logs=None):
            self.seconds.append(time.perf_counter() - self.start)

        def __deepcopy__(self, memo):
            return self  # fits copy their callbacks, and its notes are wanted

    return Clock
