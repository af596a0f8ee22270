"""100,000 images, drawn as they are asked for: is the last as fast as the first, and memory flat?

The baseline is the stream itself: its second tenth, for the first one compiles and fills caches.
"""

from __future__ import annotations

import time

import numpy as np
import psutil

from skinensemble import config_context, make_cascade
from skinensemble.datasets import make_lesions
from tests.benchmarks.predict import possible_engines

IMAGES, PARTS, SIZE = 100_000, 10, 64


def run(args):
    """Images per second and resident memory of each tenth, and their ratios to the second."""
    lesions = make_lesions(70, size=SIZE, weights="balanced", random_state=0)
    few = {"weights": None, "image_size": SIZE, "epochs": 2, "cv": 2, "random_state": 0}
    cascade = make_cascade("mobilenet_v2_035", **few)
    cascade.fit(lesions.images, lesions.target, groups=lesions.groups)
    engine, precision = [one for one in possible_engines() if one[1] == "float32"][-1]
    with config_context(engine=engine, precision=precision):
        figures = list(_tenths(cascade.predict_stream(_drawn(np.asarray(lesions.images)))))
    (rate, memory) = figures[1]
    table = [
        [
            f"{(part + 1) * IMAGES // PARTS:,}",
            f"{own_rate:.0f}",
            f"{own_rate / rate:.2f}",
            f"{own_memory / 2**20:.0f} MiB",
            f"{own_memory / memory:.3f}",
        ]
        for part, (own_rate, own_memory) in enumerate(figures)
    ]
    return [f"images, {engine}", "images/s", "× second", "resident", "× second"], table


def _drawn(images: np.ndarray):
    """Yield images that are all different, from a few: shifted, and in another light."""
    rng = np.random.default_rng(0)
    for _ in range(IMAGES):
        image = np.roll(images[rng.integers(len(images))], rng.integers(SIZE, size=2), (0, 1))
        yield (image * rng.uniform(0.5, 1, 3)).astype(np.uint8)


def _tenths(answers):
    process, start = psutil.Process(), time.perf_counter()
    for count, answer in enumerate(answers, 1):
        assert answer.status == "ok"
        if count % (IMAGES // PARTS) == 0:
            seconds = time.perf_counter() - start
            yield IMAGES / PARTS / seconds, process.memory_info().rss
            start = time.perf_counter()
