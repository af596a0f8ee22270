"""Rows on their way from a network to a store."""

from __future__ import annotations

import numpy as np

from skinensemble.features._store import FeatureStore

__all__ = ["Keeper"]

# Rows that a killed process loses at most.
_CHUNK = 1024


class Keeper:
    """Rows on their way to the store, in chunks."""

    def __init__(
        self, store: FeatureStore | None, fingerprint: str, digests: list[bytes], rows: np.ndarray
    ) -> None:
        self._store, self._fingerprint = store, fingerprint
        self._digests, self._rows = digests, rows
        self._done = 0
        self._ready: list[int] = []
        self._doubtful: list[int] = []

    def add(self, images: np.ndarray, rows: np.ndarray) -> None:
        """Take the rows of the next images."""
        self._rows[self._done : self._done + len(rows)] = rows
        # All zeros stands for an image that could not be read, until it is known to be black.
        for at, image in enumerate(images, start=self._done):
            (self._ready if image.any() else self._doubtful).append(at)
        self._done += len(rows)
        if len(self._ready) >= _CHUNK:
            self.flush()

    def release(self) -> None:
        """Say that every image could be read."""
        self._ready += self._doubtful
        self._doubtful = []

    def flush(self) -> None:
        """Put what is ready into the store."""
        ready, self._ready = self._ready, []
        if ready and self._store is not None:
            digests = [self._digests[at] for at in ready]
            self._store.put(self._fingerprint, digests, self._rows[ready])
