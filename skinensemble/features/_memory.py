"""Rows in memory; the least recently used leave when the budget is spent."""

from __future__ import annotations

from collections import Counter, OrderedDict
from collections.abc import Callable, Sequence

import numpy as np

# Bytes that a row takes besides its numbers: an array and a key.
EACH = 250

Reader = Callable[[np.ndarray], np.ndarray]


class MemoryRows:
    """Rows by fingerprint and key, at most `max_bytes` of them."""

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._rows: OrderedDict[tuple[str, bytes], np.ndarray] = OrderedDict()
        self._kinds: dict[str, tuple[tuple[int, ...], np.dtype]] = {}
        self._nbytes = 0

    def find(self, fingerprint: str, keys: Sequence[bytes]) -> tuple[np.ndarray, np.ndarray]:
        """Return the rows that are there, in the order of `keys`, and the mask of the others."""
        found = [self._rows.get((fingerprint, key)) for key in keys]
        missing = np.fromiter((row is None for row in found), bool, len(keys))
        rows = [row for row in found if row is not None]
        for key, row in zip(keys, found, strict=True):
            if row is not None:
                self._rows.move_to_end((fingerprint, key))
        return (np.stack(rows) if rows else np.empty((0,), np.float32)), missing

    def reader(self, fingerprint: str, keys: Sequence[bytes]) -> tuple[Reader | None, np.ndarray]:
        """Return a function from positions in `keys` to rows, and the mask of those missing.

        There is no function while any are missing. It holds the rows: they may leave meanwhile.
        """
        found = [self._rows.get((fingerprint, key)) for key in keys]
        missing = np.fromiter((row is None for row in found), bool, len(keys))
        for key, row in zip(keys, found, strict=True):
            if row is not None:
                self._rows.move_to_end((fingerprint, key))
        if missing.any():
            return None, missing
        return lambda positions: np.stack([found[at] for at in positions]), missing

    def like(self, fingerprint: str) -> tuple[tuple[int, ...], np.dtype] | None:
        """Return shape and dtype of the rows of a fingerprint, or None without any."""
        return self._kinds.get(fingerprint)

    def add(self, fingerprint: str, keys: Sequence[bytes], rows: np.ndarray) -> None:
        """Take the rows in, then let the oldest go while there are too many."""
        self._kinds[fingerprint] = rows.shape[1:], rows.dtype
        for key, row in zip(keys, rows, strict=True):
            old = self._rows.pop((fingerprint, key), None)
            # A copy of its own: a view would keep the whole batch alive.
            self._rows[fingerprint, key] = np.array(row)
            self._nbytes += row.nbytes + (EACH if old is None else -old.nbytes)
        while self._nbytes > self._max_bytes:
            _, row = self._rows.popitem(last=False)
            self._nbytes -= row.nbytes + EACH

    def clear(self) -> None:
        """Forget everything."""
        self._rows.clear()
        self._kinds.clear()
        self._nbytes = 0

    def check_room(self, nbytes: int) -> None:
        """In memory older rows leave."""

    def check_writable(self, fingerprint: str) -> None:
        """Memory can always be written."""

    def sizes(self) -> dict[str, tuple[int, int]]:
        """Return fingerprint → (rows, bytes)."""
        rows: Counter[str] = Counter()
        nbytes: Counter[str] = Counter()
        for (owner, _), row in self._rows.items():
            rows[owner] += 1
            nbytes[owner] += row.nbytes
        return {owner: (rows[owner], nbytes[owner]) for owner in rows}
