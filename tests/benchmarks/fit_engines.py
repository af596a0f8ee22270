"""Training both stages from a cold store on each engine, against the networks' passes alone.

Three frozen members, both stages, five folds, files read and heads trained included. The peer is
the hand-written way of ``fit``: for each stage and backbone ten epochs of ``model.fit`` on decoded
images. It does nothing but pass images, so it is timed on few of them, for three epochs after one
that compiles, and their median is that of all. The limit is each backbone once on the decoded
images.
"""

from __future__ import annotations

import statistics
import time

import numpy as np

from skinensemble import FeatureStore, config_context, get_config, make_cascade
from skinensemble.backbones import get_backbone
from skinensemble.engines import make_runner
from skinensemble.features import load_extractor
from skinensemble.images import as_images
from skinensemble.images._decoded import last_decoded
from tests.benchmarks.fit import BACKBONES, EPOCHS, FOLDS, choose_lesions
from tests.benchmarks.predict import possible_engines

STAGES = 2
PEER_IMAGES, LIMIT_IMAGES, BATCH = 96, 192, 32


def run(args):
    """Seconds, and their ratios to the peer and to the passes alone."""
    weights = {"mobilenet_v2": str(args.weights / "mobilenet_v2_1.0_224_notop.weights.h5")}
    data, _ = choose_lesions(args.data, args.images)
    n = len(data[0])
    peer = n * STAGES * EPOCHS * sum(_epoch(name, weights, data[0]) for name in BACKBONES)
    rows = [[f"keras.Model.fit, {n} images (extrapolated)", f"{peer:.0f}", "1.0", "", ""]]
    for engine, precision in possible_engines():
        with config_context(engine=engine, precision=precision):
            limit = n * sum(_pass(name, weights, data[0]) for name in BACKBONES)
            last_decoded.clear()
            options = {"weights": weights, "store": FeatureStore(), "cv": FOLDS, "random_state": 0}
            start = time.perf_counter()
            make_cascade(*BACKBONES, **options).fit(data[0], data[1], groups=data[2])
            own = time.perf_counter() - start
        figures = f"{own:.0f}", f"{peer / own:.1f}", f"{limit:.0f}", f"{own / limit:.2f}"
        rows.append([f"skinensemble, {engine} {precision}", *figures])
    return ["way", "s", "× peer", "passes alone, s", "÷ passes"], rows


def _epoch(name, weights, images) -> float:
    """Seconds that the peer takes for an image and epoch."""
    import keras

    base = get_backbone(name).build(weights.get(name, "imagenet"))
    base.trainable = False
    head = [keras.layers.Dense(128, "relu"), keras.layers.Dense(7, "softmax")]
    model = keras.Sequential([base, *head])
    model.compile("adam", "sparse_categorical_crossentropy")
    pixels = _decoded(images[:PEER_IMAGES], base.input_shape[1:3])
    labels = np.arange(len(pixels)) % 7
    seconds = []
    for _ in range(4):
        start = time.perf_counter()
        model.fit(pixels, labels, batch_size=BATCH, verbose=0)
        seconds.append(time.perf_counter() - start)
    return statistics.median(seconds[1:]) / len(pixels)


def _pass(name, weights, images) -> float:
    """Seconds that the engine in force takes for an image, at the best of three rounds."""
    extractor = load_extractor(name, weights.get(name, "imagenet"))
    runner, seconds = make_runner(extractor.model, name, **get_config()), []
    pixels = _decoded(images[:LIMIT_IMAGES], extractor.size)
    size = len(pixels) if runner.alone else extractor.batch_size
    for _ in range(3):
        start = time.perf_counter()
        for first in range(0, len(pixels), size):
            runner(pixels[first : first + size])
        seconds.append(time.perf_counter() - start)
    return min(seconds) / len(pixels)


def _decoded(images, size):
    return np.concatenate(list(as_images(images).batches(size)))
