"""How far a long computation is: Keras' bar on a terminal, plain lines elsewhere."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable

import numpy as np

LINE_EVERY = 15.0
"""Seconds between two lines, at least."""


class Progress:
    """Progress over a number of images.

    Parameters
    ----------
    name : str
        What is running.
    total : int
        Images to come.
    verbose : {0, 1, 2}
        Nothing; a bar, or a line now and then where standard output is no terminal; one line at
        the end.
    """

    def __init__(self, name: str, total: int, verbose: int) -> None:
        self._name, self._total, self._verbose = name, total, verbose
        self._done = 0
        self._start = self._said = time.monotonic()
        self._bar = self._make_bar() if verbose == 1 and total and sys.stdout.isatty() else None

    def _make_bar(self):
        import keras

        print(f"{self._name}: features of {self._total} images", flush=True)
        return keras.utils.Progbar(
            self._total, unit_name="image", stateful_metrics=["images/s"], interval=0.5
        )

    def advance(self, images: int) -> None:
        """Say that so many more images are done."""
        self._done += images
        now = time.monotonic()
        rate = self._done / max(now - self._start, 1e-9)
        if self._bar is not None:
            self._bar.update(self._done, [("images/s", rate)])
        elif self._verbose and self._done == self._total:
            print(f"{self._name}: {self._done} images, {rate:.1f} images/s", flush=True)
        elif self._verbose == 1 and now - self._said > LINE_EVERY:
            self._said = now
            left = (self._total - self._done) / rate
            text = f"{self._done} of {self._total} images, {rate:.1f} images/s, {left:.0f} s left"
            print(f"{self._name}: {text}", flush=True)


def count_distinct(digests: list[bytes], missing: Iterable[np.ndarray]) -> int:
    """Return how many images pass networks, where each has a mask of those that are missing."""
    return sum(len({digests[row] for row in np.flatnonzero(one)}) for one in missing)
