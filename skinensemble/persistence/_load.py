"""Take the bytes of an ordinary file into memory, and never wait for anything else."""

from __future__ import annotations

import contextlib
import io
import os
import stat
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

from skinensemble.exceptions import ModelFileError, message
from skinensemble.persistence._foreign import looks_like_special
from skinensemble.persistence._header import HEAD, damaged, foreign

__all__ = ["load_bytes"]

_CHUNK = 2**23


def load_bytes(path: str, check: Callable[[str, bytes, int], object] | None = None) -> np.ndarray:
    """Read a whole file.

    Parameters
    ----------
    path : str
        The file. Folders, pipes and devices are refused without being opened.
    check : callable, optional
        Called with the path, the first bytes and the size before the rest is read, so that a
        large foreign file is refused at once.

    Returns
    -------
    ndarray of uint8 of shape (size,)

    Raises
    ------
    ModelFileError
        When the file is missing or cannot be read, or `check` raises it.
    """
    with _explained(path):
        _refuse_special(path, Path(path).stat().st_mode)
        with io.FileIO(path, opener=_open_without_waiting) as file:
            status = os.fstat(file.fileno())
            _refuse_special(path, status.st_mode)  # it may have been swapped meanwhile
            if check is not None:
                check(path, file.read(HEAD), status.st_size)
                file.seek(0)
            return _read_all(path, file, status.st_size)


@contextlib.contextmanager
def _explained(path: str) -> Iterator[None]:
    try:
        yield
    except ModelFileError:
        raise
    except (OSError, ValueError) as error:  # ValueError: a NUL character in the path
        why = getattr(error, "strerror", None) or str(error)
        there = isinstance(error, OSError) and not isinstance(error, FileNotFoundError)
        given = "give the path of a file that save() wrote"
        remedy = "see that it can be read, and load it again" if there else given
        raise ModelFileError(message("cannot load", path, why, remedy)) from error
    except MemoryError as error:
        remedy = "load it on a machine with more memory"
        raise ModelFileError(message("cannot load", path, "too large", remedy)) from error


def _refuse_special(path: str, mode: int) -> None:
    if not stat.S_ISREG(mode):
        raise foreign(path, looks_like_special(path, mode))


def _open_without_waiting(path: str, flags: int) -> int:
    return os.open(path, flags | getattr(os, "O_NONBLOCK", 0))


def _read_all(path: str, file: io.FileIO, size: int) -> np.ndarray:
    data = np.empty(size, np.uint8)
    done = 0
    while done < size:
        count = file.readinto(data.data[done : done + _CHUNK])
        if not count:
            raise damaged(path, f"cut off at {done:,} of {size:,} bytes while it was read")
        done += count
    return data
