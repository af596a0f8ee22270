"""Files that are mapped into memory: a few in the whole process, as each of them stays open."""

from __future__ import annotations

import errno
from collections import OrderedDict
from collections.abc import Callable
from threading import Lock
from typing import Any, TypeVar
from weakref import ReferenceType, ref

import numpy as np

__all__ = ["NO_ROOM", "Maps", "with_files"]

# Each map holds a file descriptor, of which a process may have no more than 256.
_MOST = 128
NO_ROOM = {errno.EMFILE, errno.ENFILE, errno.ENOMEM}
"""Numbers of errors that say nothing about a file: the process has too many open."""

_Result = TypeVar("_Result")
_lock = Lock()
_recent: OrderedDict[tuple[ReferenceType[Maps], str], None] = OrderedDict()


class Maps:
    """Open maps of one folder, by name; the least recently used of the process are closed."""

    def __init__(self) -> None:
        self._open: dict[str, np.ndarray] = {}

    def get(self, name: str) -> np.ndarray | None:
        """Return a map, if it is open."""
        found = self._open.get(name)
        if found is not None:
            self.add(name, found)
        return found

    def add(self, name: str, array: np.ndarray) -> None:
        """Keep a map open, as the one that was used last."""
        self._open[name] = array
        with _lock:
            _recent[ref(self), name] = None
            _recent.move_to_end((ref(self), name))
        _close(_MOST)

    def clear(self) -> None:
        """Close all of them."""
        self._open.clear()

    def __len__(self) -> int:
        return len(self._open)


def with_files(function: Callable[..., _Result], *args: Any) -> _Result:
    """Call what opens files, and again without any maps where the process has too many open."""
    try:
        return function(*args)
    except OSError as error:
        if error.errno not in NO_ROOM:
            raise
    _close(0)
    return function(*args)


def _close(most: int) -> None:
    """Let the maps go that were not used for longest, until there are no more than `most`."""
    with _lock:
        while len(_recent) > most:
            (owner, name), _ = _recent.popitem(last=False)
            maps = owner()
            if maps is not None:
                maps._open.pop(name, None)
