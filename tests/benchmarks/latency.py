"""One image: warm, against the pure engine; and a fresh ``skinensemble predict``, by engine.

Warm, a cascade of three backbones and two stages answers one file at a time, in a process that has
loaded it and trained nothing: what a training leaves in memory, Python's garbage collector looks at
again and again. The limit is each backbone once on the decoded image and nothing else. Both
alternate, image by image. Cold, a new process loads the saved cascade and answers one file; the
baseline is the same with ``--engine keras``.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import numpy as np

from skinensemble import config_context, load
from skinensemble.engines import make_runner
from skinensemble.images import as_images
from skinensemble.images._decoded import last_decoded
from tests.benchmarks.predict import members, possible_engines, trained

REPEATS, COLD = 40, 5


def run(args):
    """Milliseconds, and their ratios to the limit or to Keras."""
    cascade, _, paths = trained(args, peer=False)
    engines, rows = list(possible_engines()), []
    with tempfile.TemporaryDirectory() as folder:
        model = Path(folder, "cascade.h5")
        cascade.save(model)
        for engine in engines:
            with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as apart:
                rows += apart.submit(_warm, model, paths, *engine).result()
        rows += _cold(model, paths[0], [engine for engine, kind in engines if kind == "float32"])
    return ["one image", "median ms", "spread", "ratio"], rows


def _warm(model, paths, engine, precision):
    cascade = load(model)
    config = {"engine": engine, "precision": precision}
    networks = {m.body_._extractor().fingerprint: m.body_._extractor() for m in members(cascade)}
    runners = [(make_runner(e.model, e.name, **config), e.size) for e in networks.values()]
    own, limit = [], []
    for repeat in range(REPEATS + 5):
        path = paths[repeat % len(paths)]
        decoded = {size: next(as_images([path]).batches(size)) for _, size in runners}
        last_decoded.clear()  # every image is new
        start = time.perf_counter()
        for runner, size in runners:
            runner(decoded[size])
        between = time.perf_counter()
        with config_context(**config):
            list(cascade.predict_stream([path]))
        if repeat >= 5:  # the first compile
            limit.append(between - start)
            own.append(time.perf_counter() - between)
    ratio = statistics.median(a / b for a, b in zip(own, limit, strict=True))
    kind = f"{engine} {precision}"
    return [_row(f"pure {kind} (limit)", limit, 1), _row(f"warm, {kind}", own, ratio)]


def _cold(model, path, engines):
    seconds: dict[str, list[float]] = {engine: [] for engine in engines}
    for _ in range(COLD):
        for engine, own in seconds.items():
            command = [sys.executable, "-m", "skinensemble", "predict", model, path]
            start = time.perf_counter()
            subprocess.run([*command, "--engine", engine], check=True, capture_output=True)
            own.append(time.perf_counter() - start)
    base = seconds["keras"]
    for engine, own in seconds.items():
        ratio = statistics.median(a / b for a, b in zip(own, base, strict=True))
        yield _row(f"skinensemble predict, {engine}", own, ratio)


def _row(name: str, seconds: list[float], ratio: float) -> list[str]:
    low, middle, high = np.percentile(seconds, [25, 50, 75]) * 1000
    return [name, f"{middle:.1f}", f"{low:.1f}–{high:.1f}", f"{ratio:.2f}"]
