"""Fine-tuning above a cut on stored activations, against ``keras.Model.fit`` on the images.

The peer has the same network, the same layers unfrozen, the same optimizer and batches; ``tf.data``
decodes, resizes, turns and flips its images on all cores. An epoch of each is timed, the two in
turn. Ours computes the activations of eight views first, once for however many trainings: folds,
recipes, members. What ten epochs of so many trainings cost is worked out from these figures.
"""

from __future__ import annotations

import functools
import statistics
import time

import numpy as np

from skinensemble import TransferClassifier, config_context
from skinensemble.datasets import load_ham10000
from skinensemble.features import FeatureStore
from tests.benchmarks.predict import possible_engines

CUTS = {"mobilenet_v2": "block_9_add", "efficientnet_lite0": "block4c_add"}
BATCH, EPOCHS, TRAININGS, ROUNDS = 64, 10, (1, 3, 15), 3


def run(args):
    """Seconds of an epoch and of the activations, and of whole trainings, by either way."""
    data = load_ham10000(args.data)
    chosen = np.random.default_rng(0).permutation(len(data.images))[: args.images]
    paths, y = np.asarray(data.images)[chosen].tolist(), np.asarray(data.target)[chosen]
    mobilenet = str(args.weights / "mobilenet_v2_1.0_224_notop.weights.h5")
    engines = [engine for engine, precision in possible_engines() if precision == "float32"]
    rows = []
    for backbone, cut in CUTS.items():
        weights = mobilenet if backbone == "mobilenet_v2" else "imagenet"
        member = TransferClassifier(backbone, unfreeze=cut, weights=weights, random_state=0)
        rows += _compare(member, paths, y, engines)
    columns = [f"{n} × {EPOCHS} epochs" for n in TRAININGS]
    return ["way", "s/epoch", "activations, s", *columns], rows


def _compare(member, paths, y, engines):
    seconds = {engine: _prepare(member, paths, engine) for engine in engines}
    ways = {"ours": _ours(member, paths, y), "theirs": _theirs(member, paths, y)}
    epochs = {name: [] for name in ways}
    for _ in range(ROUNDS):
        for name, way in ways.items():
            epochs[name].append(way())
    theirs, ours = (statistics.median(epochs[name]) for name in ("theirs", "ours"))
    peer = [EPOCHS * n * theirs for n in TRAININGS]
    yield [f"{member.backbone}, Keras (peer)", f"{theirs:.1f}", "", *(f"{t:.0f} s" for t in peer)]
    for engine, once in seconds.items():
        totals = [once + EPOCHS * n * ours for n in TRAININGS]
        ratios = [f"{t:.0f} s, {p / t:.1f} ×" for t, p in zip(totals, peer, strict=True)]
        yield [f"{member.backbone}, ours, {engine}", f"{ours:.1f}", f"{once:.1f}", *ratios]


def _prepare(member, paths, engine) -> float:
    """Return how long the activations take on an engine; they stay in the member's store."""
    member.store = FeatureStore(max_bytes=2**34)
    with config_context(engine=engine):
        member.prepare(paths[:BATCH])  # compiles
        start = time.perf_counter()
        member.prepare(paths)
    return (time.perf_counter() - start) * len(paths) / (len(paths) - BATCH)


def _ours(member, paths, y):
    """Return a function that trains, and returns the seconds of an epoch that traces nothing."""
    clock = clock_class()()
    member.set_params(epochs=2, batch_size=BATCH, callbacks=[clock])

    def way():
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
