"""What networks computed, kept by the content of the image and the identity of the network."""

from __future__ import annotations

import functools
import os
import re
import threading
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import Any
from weakref import WeakValueDictionary

import numpy as np

from skinensemble.exceptions import InputError, message
from skinensemble.features._memory import MemoryRows, Reader
from skinensemble.features._recipe import travels
from skinensemble.features._shards import ShardRows, in_words

__all__ = ["FeatureStore", "default_store", "resolve_store", "temporary_store"]

_FINGERPRINT = re.compile(r"[0-9a-f]{16,128}")


class FeatureStore:
    """Rows of features, found again by image content and network fingerprint.

    A row is whatever a network made of one image: a feature vector, or the activations at a cut.
    Images are known by their content, so a file that was renamed or copied is found, and one that
    changed is not. Copies, :func:`sklearn.base.clone` included, are the same store. A pickled store
    on disk opens the same folder again; a pickled store in memory comes back empty.

    Parameters
    ----------
    path : path-like, optional
        Folder of the store, made when the first rows are put; in memory by default. Several
        processes may use one folder at once.
    max_bytes : int, default=None
        Bytes kept. In memory None is 2**30, and the least recently used rows leave first. On disk
        None is what the disk holds, all files of the store count, whoever wrote them, and rows
        beyond `max_bytes` are refused.

    Raises
    ------
    InputError
        When `path` is no folder, or `max_bytes` no positive number.

    Notes
    -----
    On disk, ``<path>/<fingerprint>/`` holds pairs of files: the rows as ``.npy``, read by memory
    map, and a ``.json`` with the keys and the SHA-256 of the former. A damaged pair is set aside
    with a :class:`StoreWarning`, and its rows count as missing. One that cannot be read now is
    missing with the same warning, but stays where it is.

    Examples
    --------
    >>> import numpy as np
    >>> store = FeatureStore()
    >>> store.put("0123456789abcdef", [b"a", b"b"], np.eye(2, dtype="float32"))
    >>> rows, missing = store.get("0123456789abcdef", [b"b", b"c"])
    >>> rows, missing
    (array([[0., 1.]], dtype=float32), array([False,  True]))
    >>> store
    FeatureStore(2 rows of 1 network, 16 B of 1.1 GB)
    """

    def __init__(
        self, path: str | os.PathLike[str] | None = None, *, max_bytes: int | None = None
    ) -> None:
        if max_bytes is None:
            max_bytes = 2**30 if path is None else 2**63
        if not hasattr(max_bytes, "__index__") or isinstance(max_bytes, bool) or max_bytes <= 0:
            why = "it is no positive number of bytes"
            raise InputError(message("max_bytes", repr(max_bytes), why, "pass 2**30 for 1 GiB"))
        self._path = None if path is None else _folder(path)
        self._max_bytes = int(max_bytes)
        self._lock = threading.RLock()
        self._token = uuid.uuid4().hex
        _known[self._token] = self
        self._rows: MemoryRows | ShardRows = (
            MemoryRows(self._max_bytes)
            if self._path is None
            else ShardRows(self._path, self._max_bytes)
        )

    @property
    def path(self) -> Path | None:
        """Folder of the store; None in memory."""
        return self._path

    @property
    def max_bytes(self) -> int:
        """Bytes of rows that the store keeps at most."""
        return self._max_bytes

    @property
    def nbytes(self) -> int:
        """Bytes of all rows."""
        return sum(nbytes for _, nbytes in self._sizes())

    def get(self, fingerprint: str, digests: Sequence[bytes]) -> tuple[np.ndarray, np.ndarray]:
        """Look rows up.

        Parameters
        ----------
        fingerprint : str
            Which network, in hexadecimal.
        digests : sequence of bytes
            Which images; a digest may be asked for more than once.

        Returns
        -------
        rows : ndarray of shape (n_found, ...)
            The rows that are there, in the order of `digests`; of shape (0,) where there are none.
        missing : ndarray of bool of shape (n_digests,)
            True where there is no row.

        Raises
        ------
        InputError
            When the folder cannot be read.

        Warns
        -----
        StoreWarning
            Naming the damaged files, whose rows count as missing.
        """
        with self._lock:
            return self._rows.find(_check_fingerprint(fingerprint), list(digests))

    def reader(
        self, fingerprint: str, digests: Sequence[bytes]
    ) -> tuple[Reader | None, np.ndarray]:
        """Return a way to read rows when they are needed, without taking them all into memory.

        Parameters
        ----------
        fingerprint : str
            Which network, in hexadecimal.
        digests : sequence of bytes
            Which images.

        Returns
        -------
        read : callable or None
            From an array of positions in `digests` to their rows; None while any are missing.
        missing : ndarray of bool of shape (n_digests,)
            True where there is no row.

        Raises
        ------
        InputError
            When the folder cannot be read; from `read`, also when rows went missing meanwhile.

        Warns
        -----
        StoreWarning
            Naming the damaged files, whose rows count as missing.
        """
        digests = list(digests)
        with self._lock:
            read, missing = self._rows.reader(_check_fingerprint(fingerprint), digests)
        return read and functools.partial(self._locked, read), missing

    def missing(self, fingerprint: str, digests: Sequence[bytes]) -> np.ndarray:
        """Return which images have no row, booleans of shape (n_digests,)."""
        return self.reader(fingerprint, digests)[1]

    def _locked(self, read: Reader, positions: np.ndarray) -> np.ndarray:
        with self._lock:
            return read(positions)

    def put(self, fingerprint: str, digests: Sequence[bytes], rows: np.ndarray) -> None:
        """Keep rows; on disk those that are not there yet are one new pair of files.

        Parameters
        ----------
        fingerprint : str
            Which network, in hexadecimal.
        digests : sequence of bytes
            Which images.
        rows : ndarray of shape (n_digests, ...)
            One row of numbers for each image, all rows of a network of one shape and dtype.

        Raises
        ------
        InputError
            When `rows` do not fit `digests`, or the rows that this network already has.
        SaveError
            When the folder cannot be written or is full; what was stored before is still there.
        """
        digests, rows = list(digests), np.asarray(rows)
        with self._lock:
            self._check(_check_fingerprint(fingerprint), digests, rows)
            if digests:
                self._rows.add(fingerprint, digests, rows)

    def check_writable(self, fingerprint: str) -> None:
        """Find out before a long computation that its rows could not be kept.

        Raises
        ------
        SaveError
            When the folder cannot be made or written.
        """
        with self._lock:
            self._rows.check_writable(_check_fingerprint(fingerprint))

    def check_room(self, nbytes: int) -> None:
        """Find out whether so many more bytes could be kept on disk; in memory older ones leave.

        Raises
        ------
        SaveError
            When they would exceed `max_bytes`, or the disk has too little room.
        """
        with self._lock:
            self._rows.check_room(nbytes)

    def clear(self) -> None:
        """Forget all rows; on disk, remove the files of the store and no others."""
        with self._lock:
            self._rows.clear()

    def _check(self, fingerprint: str, digests: list[bytes], rows: np.ndarray) -> None:
        if rows.ndim == 0 or len(rows) != len(digests):
            why = f"rows of shape {rows.shape} for {len(digests)} digests"
            raise InputError(message("rows", fingerprint[:16], why, "pass one row for each"))
        if rows.dtype.kind not in "fiub":
            why = f"rows of dtype {rows.dtype}"
            raise InputError(message("rows", fingerprint[:16], why, "pass numbers"))
        known = self._rows.like(fingerprint)
        if digests and known not in (None, (rows.shape[1:], rows.dtype)):
            why = f"rows of shape {rows.shape[1:]} and {rows.dtype}, where it has {known}"
            raise InputError(message("rows", fingerprint[:16], why, "use another fingerprint"))

    def _sizes(self) -> list[tuple[int, int]]:
        with self._lock:
            return list(self._rows.sizes().values())

    def __len__(self) -> int:
        return sum(rows for rows, _ in self._sizes())

    def __repr__(self) -> str:
        sizes = self._sizes()
        rows, nbytes = (sum(column) for column in zip((0, 0), *sizes, strict=True))
        networks = f"{len(sizes)} network{'' if len(sizes) == 1 else 's'}"
        where = "" if self._path is None else f"{str(self._path)!r}, "
        limit = f" of {in_words(self._max_bytes)}" if self._path is None else ""
        return f"FeatureStore({where}{rows} rows of {networks}, {in_words(nbytes)}{limit})"

    def __copy__(self) -> FeatureStore:
        return self

    def __deepcopy__(self, memo: dict[int, Any]) -> FeatureStore:
        return self

    def __sklearn_clone__(self) -> FeatureStore:
        return self

    def __reduce__(self) -> tuple[Any, ...]:
        return _reopen, (self._path, self._max_bytes, self._token if travels() else "")


def _folder(path: str | os.PathLike[str]) -> Path:
    why = "it can be the name of no folder"
    try:
        if {*Path(path).parts} and "\0" not in os.fspath(path):
            return Path(path).expanduser().absolute()
    except (RuntimeError, TypeError) as error:
        why = str(error).rstrip(".")
    raise InputError(message("feature store", repr(path), why, "pass a folder"))


_known: WeakValueDictionary[str, FeatureStore] = WeakValueDictionary()


def _reopen(path: Path | None, max_bytes: int, token: str) -> FeatureStore:
    """Open a store anew; one that travels is the same one each time it comes to a process."""
    store = _known.get(token)
    if store is None:
        store = FeatureStore(path, max_bytes=max_bytes)
    if token:
        store._token = token
        _known[token] = store
    return store


def _check_fingerprint(fingerprint: str) -> str:
    # It becomes the name of a folder.
    if not isinstance(fingerprint, str) or not _FINGERPRINT.fullmatch(fingerprint):
        why = "it is not 16 to 128 hexadecimal digits"
        remedy = "pass the fingerprint of an extractor"
        raise InputError(message("fingerprint", repr(fingerprint), why, remedy))
    return fingerprint


_DEFAULT = FeatureStore()
_temporary: ContextVar[FeatureStore | None] = ContextVar("temporary_store", default=None)


def default_store() -> FeatureStore:
    """Return the store in memory that everything in this process shares.

    Examples
    --------
    >>> default_store() is default_store()
    True
    """
    chosen = _temporary.get()
    return _DEFAULT if chosen is None else chosen


@contextmanager
def temporary_store(max_bytes: int = 2**28) -> Iterator[FeatureStore]:
    """Use an empty store in memory as the default inside a ``with`` block, and forget it.

    Parameters
    ----------
    max_bytes : int, default=2**28
        As in :class:`FeatureStore`.

    Examples
    --------
    >>> with temporary_store() as store:
    ...     default_store() is store
    True
    """
    store = FeatureStore(max_bytes=max_bytes)
    token = _temporary.set(store)
    try:
        yield store
    finally:
        _temporary.reset(token)


@functools.lru_cache(maxsize=32)
def _opened(path: Path) -> FeatureStore:
    # Opened once in a process: its checksums are compared once.
    return FeatureStore(path)


def resolve_store(store: FeatureStore | str | os.PathLike[str] | None) -> FeatureStore:
    """Turn the parameter ``store`` of an estimator into a store.

    Parameters
    ----------
    store : FeatureStore, path-like or None
        A store, the folder of one, or None for the one that the process shares.

    Raises
    ------
    InputError
        When it is none of these.

    Examples
    --------
    >>> resolve_store(None) is default_store()
    True
    """
    if store is None:
        return default_store()
    if isinstance(store, FeatureStore):
        return store
    if isinstance(store, str | os.PathLike):
        return _opened(_folder(store))
    why = "it is neither a FeatureStore, nor a path, nor None"
    raise InputError(message("store", repr(store), why, "pass the folder of the store"))
