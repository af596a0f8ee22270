"""The images that were decoded last: the next network, or the next view, wants the same."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from threading import Lock

import numpy as np

__all__ = ["LastDecoded", "last_decoded"]


class LastDecoded:
    """Images by what they show and how they are wanted; the oldest leave when there are too many.

    Parameters
    ----------
    max_bytes : int
        Of all images that are kept.
    """

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._images: dict[Hashable, np.ndarray] = {}
        self._nbytes = 0
        self._lock = Lock()

    def holds(self, size: tuple[int, int]) -> int:
        """Return how many images of a height and width are kept."""
        return self._max_bytes // (3 * size[0] * size[1])

    def get(self, key: Hashable, make: Callable[[], np.ndarray]) -> np.ndarray:
        """Return the image of a key, made now unless it is here; it cannot be written to."""
        found = self._images.get(key)
        if found is None:
            found = make()
            found.flags.writeable = False
            self._keep(key, found)
        return found

    def clear(self) -> None:
        """Forget all of them."""
        with self._lock:
            self._images.clear()
            self._nbytes = 0

    def _keep(self, key: Hashable, image: np.ndarray) -> None:
        with self._lock:
            if key in self._images or image.nbytes > self._max_bytes:
                return
            self._images[key] = image
            self._nbytes += image.nbytes
            while self._nbytes > self._max_bytes:
                self._nbytes -= self._images.pop(next(iter(self._images))).nbytes


# 1,783 of 224 × 224 pixels, 1,000 of 299 × 299: what is worked on at a time, not all that there is.
last_decoded = LastDecoded(256 * 2**20)
