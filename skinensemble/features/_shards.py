"""Rows on disk: memory-mapped shards with checksums, written by any number of processes at once.

A shard is two files, ``<name>.npy`` and ``<name>.json``. The second is written last and names the
SHA-256 of the first, so a shard is there whole or not at all, and damage is found before a row is
used. Names are random: two processes never write to one file, and rows stored twice do no harm.
"""

from __future__ import annotations

import contextlib
import os
import re
import secrets
import shutil
import tempfile
import time
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar

import numpy as np

from skinensemble.exceptions import InputError, SaveError, first_few, message
from skinensemble.features._maps import NO_ROOM, Maps, with_files
from skinensemble.features._memory import Reader
from skinensemble.features._sidecar import Sidecar, UnusableShard, encode_rows, read_sidecar
from skinensemble.persistence._atomic import replace_file, write_all

__all__ = ["ShardRows", "StoreWarning"]

_SIDECAR = re.compile(r"[0-9a-f]{16}\.json")
_OURS = re.compile(r"[0-9a-f]{16}\.(npy|json)(\.damaged)?")
_FOLDER = re.compile(r"[0-9a-f]{16,128}")
_STALE_SECONDS = 86_400

_Result = TypeVar("_Result")


class StoreWarning(UserWarning):
    """Stored features that are damaged or foreign, and are computed again."""


class ShardRows:
    """The rows below one folder: a folder for each fingerprint."""

    def __init__(self, path: Path, max_bytes: int) -> None:
        try:
            if path.exists() and not path.is_dir():
                raise InputError(message("feature store", path, "it is no folder", "pass a folder"))
        except OSError as error:
            raise _unreadable(path, error) from error
        self._path, self._max_bytes = path, max_bytes
        self._folders: dict[str, _Folder] = {}

    def find(self, fingerprint: str, keys: Sequence[bytes]) -> tuple[np.ndarray, np.ndarray]:
        """Return the rows that are there, in the order of `keys`, and the mask of the others."""
        return self._folder(fingerprint).find(keys)

    def reader(self, fingerprint: str, keys: Sequence[bytes]) -> tuple[Reader | None, np.ndarray]:
        """Return a function from positions in `keys` to rows, and the mask of those missing.

        There is no function while any are missing. It reads from the maps what it is asked for.
        """
        return self._folder(fingerprint).reader(keys)

    def like(self, fingerprint: str) -> tuple[tuple[int, ...], np.dtype] | None:
        """Return shape and dtype of the rows of a fingerprint, or None without any."""
        return self._folder(fingerprint).like()

    def add(self, fingerprint: str, keys: Sequence[bytes], rows: np.ndarray) -> None:
        """Write the rows that are not there yet as one new shard."""
        folder = self._folder(fingerprint)
        new = folder.new(keys)
        if new:
            own = rows if len(new) == len(keys) else rows[new]
            data, sidecar = encode_rows([keys[at] for at in new], own)
            text = sidecar.encode(fingerprint)
            self.check_room(len(data) + len(text))
            folder.add(data, sidecar, text)

    def check_room(self, nbytes: int) -> None:
        """Raise a SaveError where so many more bytes would exceed the budget or the disk."""
        try:
            there = next(p for p in (self._path, *self._path.parents) if p.exists())
            left = shutil.disk_usage(there).free
            if self._max_bytes < 2**63:  # to count is to look at every file
                used = sum(self._folder(name).used() for name in self._fingerprints())
                left = max(min(left, self._max_bytes - used), 0)
        except OSError as error:
            raise _failure(self._path, error) from error
        if nbytes > left:
            why = f"{in_words(nbytes)} more are needed, and there is room for {in_words(left)}"
            remedy = "free some, raise max_bytes, choose another folder, a later cut or fewer views"
            raise SaveError(message("feature store", self._path, why, remedy))

    def check_writable(self, fingerprint: str) -> None:
        """Raise a SaveError where the folder cannot be made or written."""
        self._folder(fingerprint).check_writable()

    def clear(self) -> None:
        """Remove the files of the store, and folders that are empty then."""
        for fingerprint in self._fingerprints():
            self._folder(fingerprint).clear()
        self._folders.clear()

    def sizes(self) -> dict[str, tuple[int, int]]:
        """Return fingerprint → (rows, bytes)."""
        sizes = {name: self._folder(name).size() for name in self._fingerprints()}
        return {name: size for name, size in sizes.items() if size[0]}

    def _folder(self, fingerprint: str) -> _Folder:
        if fingerprint not in self._folders:
            self._folders[fingerprint] = _Folder(self._path / fingerprint)
        return self._folders[fingerprint]

    def _fingerprints(self) -> list[str]:
        return [name for name in _names_in(self._path) if _FOLDER.fullmatch(name)]


class _Folder:
    """The shards of one fingerprint."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._shards: dict[str, Sidecar] = {}
        self._index: dict[bytes, tuple[str, int]] = {}
        self._seen: set[str] = set()
        self._verified: set[str] = set()
        self._maps = Maps()
        self._swept = False

    def find(self, keys: Sequence[bytes]) -> tuple[np.ndarray, np.ndarray]:
        problems: list[str] = []
        if any(key not in self._index for key in keys):
            self._scan(problems)
        while (found := self._gather(keys, problems)) is None:
            continue
        self._report(problems)
        return found

    def reader(self, keys: Sequence[bytes]) -> tuple[Reader | None, np.ndarray]:
        problems: list[str] = []
        if any(key not in self._index for key in keys):
            self._scan(problems)
        # Opened once here, so that damage is found before training and not in its middle.
        for name in {self._index[key][0] for key in keys if key in self._index}:
            self._open(name, problems)
        self._report(problems)
        missing = np.fromiter((key not in self._index for key in keys), bool, len(keys))
        if missing.any():
            return None, missing
        return lambda positions: self._read([keys[at] for at in positions]), missing

    def _read(self, keys: Sequence[bytes]) -> np.ndarray:
        rows, missing = self.find(keys)
        if missing.any():
            why = f"{int(missing.sum())} rows went missing while they were in use"
            raise InputError(message("feature store", self._path, why, "run it again"))
        return rows

    def _report(self, problems: list[str]) -> None:
        if problems:
            remedy = "the rows in them are computed again"
            text = message("feature store", self._path, first_few(problems), remedy)
            warnings.warn(text, StoreWarning, stacklevel=6)

    def like(self) -> tuple[tuple[int, ...], np.dtype] | None:
        if not self._shards:
            problems: list[str] = []
            self._scan(problems)
            self._report(problems)
        return self._known()

    def _known(self) -> tuple[tuple[int, ...], np.dtype] | None:
        return next(((one.shape[1:], one.dtype) for one in self._shards.values()), None)

    def new(self, keys: Sequence[bytes]) -> list[int]:
        """Return the positions of keys without a row, by this or another process."""
        problems: list[str] = []
        names = self._scan(problems)
        self._report(problems)
        # Another process may have cleared what was here.
        places = [self._index.get(key, ("", 0)) for key in keys]
        return [at for at, (name, _) in enumerate(places) if f"{name}.json" not in names]

    def used(self) -> int:
        """Return the bytes of all files of the store, also of those that nobody can read."""
        nbytes = 0
        for name in _names_in(self._path):
            if _OURS.fullmatch(name):
                with contextlib.suppress(FileNotFoundError):
                    nbytes += (self._path / name).stat().st_size
        return nbytes

    def add(self, data: bytes | memoryview, sidecar: Sidecar, text: bytes) -> None:
        name = secrets.token_hex(8)
        self._make()
        array = self._path / f"{name}.npy"
        try:
            with_files(_write, array, data)
            with_files(_write, array.with_suffix(".json"), text)
        except BaseException:
            with contextlib.suppress(OSError):
                array.unlink()
            raise
        self._seen.add(f"{name}.json")
        problems: list[str] = []
        self._take_alike(name, sidecar, problems)
        self._report(problems)

    def check_writable(self) -> None:
        self._make()
        try:
            with_files(lambda: tempfile.TemporaryFile(dir=self._path).close())
        except OSError as error:
            raise _failure(self._path, error) from error

    def clear(self) -> None:
        names = [name for name in _names_in(self._path) if _OURS.fullmatch(name)]
        self._shards.clear()
        self._index.clear()
        self._seen.clear()
        self._verified.clear()
        self._maps.clear()
        # Sidecars first: a shard without one is not there for anybody.
        try:
            for name in sorted(names, key=lambda name: ".json" not in name):
                (self._path / name).unlink(missing_ok=True)
        except OSError as error:
            raise _failure(self._path, error) from error
        with contextlib.suppress(OSError):
            self._path.rmdir()

    def size(self) -> tuple[int, int]:
        problems: list[str] = []
        self._scan(problems)
        self._report(problems)
        nbytes = sum(self._shards[name].row_bytes for name, _ in self._index.values())
        return len(self._index), nbytes

    def _scan(self, problems: list[str]) -> set[str]:
        """Take notice of shards that are new, by this or another process, and return all names."""
        names = set(_names_in(self._path))
        for name in sorted(names - self._seen):
            if not _SIDECAR.fullmatch(name):
                continue
            self._seen.add(name)
            try:
                sidecar = self._read_now(read_sidecar, self._path / name, self._path.name)
            except FileNotFoundError:
                continue
            except UnusableShard as error:
                self._set_aside(name, error, problems)
            else:
                self._take_alike(name.removesuffix(".json"), sidecar, problems)
        return names

    def _read_now(self, read: Callable[..., _Result], *args: object) -> _Result:
        """Call what reads a file; one that cannot be read now may be whole, so it stays."""
        try:
            return with_files(read, *args)
        except FileNotFoundError:
            raise
        except OSError as error:
            if error.errno in NO_ROOM:
                why = f"its files cannot be opened ({error.strerror})"
                remedy = "raise the limits of the process, such as by ulimit -n"
                raise InputError(message("feature store", self._path, why, remedy)) from error
            raise UnusableShard(f"it cannot be read: {error}", damaged=False) from error

    def _take_alike(self, name: str, sidecar: Sidecar, problems: list[str]) -> None:
        """Take a shard, unless another process has put rows of another kind before it."""
        known = self._known()
        if known in (None, (sidecar.shape[1:], sidecar.dtype)):
            self._take(name, sidecar)
        else:
            problems.append(f"{name} (rows of another shape or dtype than {known})")

    def _take(self, name: str, sidecar: Sidecar) -> None:
        self._shards[name] = sidecar
        for row, key in enumerate(sidecar.keys):
            self._index[key] = (name, row)

    def _gather(
        self, keys: Sequence[bytes], problems: list[str]
    ) -> tuple[np.ndarray, np.ndarray] | None:
        """Return rows and mask, or None when a shard proved unusable and the index has changed."""
        places = [self._index.get(key) for key in keys]
        missing = np.fromiter((place is None for place in places), bool, len(places))
        wanted: dict[str, list[tuple[int, int]]] = {}
        for position, place in enumerate(place for place in places if place is not None):
            wanted.setdefault(place[0], []).append((position, place[1]))
        rows = np.empty(0, (self._known() or ((), np.float32))[1])
        for name, pairs in wanted.items():
            array = self._open(name, problems)
            if array is None:
                return None
            if not len(rows):  # of a shape that a file has, not only a sidecar
                rows = np.empty((len(places) - int(missing.sum()), *array.shape[1:]), array.dtype)
            positions, sources = zip(*pairs, strict=True)
            rows[list(positions)] = array[list(sources)]
        return rows, missing

    def _open(self, name: str, problems: list[str]) -> np.ndarray | None:
        array = self._maps.get(name)
        if array is not None:
            return array
        path, known = self._path / f"{name}.npy", name in self._verified
        try:
            array = self._read_now(lambda: self._shards[name].open(path, verify=not known))
        except UnusableShard as error:
            self._drop(name)
            # Without its sidecar it was cleared by another process, which is no damage.
            if f"{name}.json" in _names_in(self._path):
                self._set_aside(f"{name}.json", error, problems)
            return None
        self._verified.add(name)
        self._maps.add(name, array)
        return array

    def _drop(self, name: str) -> None:
        del self._shards[name]
        self._index.clear()
        for other, sidecar in self._shards.items():
            self._take(other, sidecar)

    def _set_aside(self, name: str, error: UnusableShard, problems: list[str]) -> None:
        problems.append(f"{name.removesuffix('.json')} ({error})")
        if error.damaged:
            with contextlib.suppress(OSError):
                (self._path / name).replace(self._path / f"{name}.damaged")

    def _make(self) -> None:
        try:
            self._path.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise _failure(self._path, error) from error
        if not self._swept:
            self._swept = True
            self._sweep()

    def _sweep(self) -> None:
        """Remove what processes left behind that were killed while they wrote."""
        names = set(_names_in(self._path))
        for name in names:
            orphan = name.endswith(".npy") and f"{name[:-4]}.json" not in names
            if not orphan or not _OURS.fullmatch(name):
                continue
            with contextlib.suppress(OSError):
                path = self._path / name
                if time.time() - path.stat().st_mtime > _STALE_SECONDS:
                    path.unlink()


def _names_in(folder: Path) -> list[str]:
    try:
        return with_files(os.listdir, folder)  # names are enough, and faster
    except (FileNotFoundError, NotADirectoryError):
        return []
    except OSError as error:
        raise _unreadable(folder, error) from error


def _write(path: Path, data: bytes | memoryview) -> None:
    replace_file(path, len(data), lambda file: write_all(file, data))


def _unreadable(folder: Path, error: OSError) -> InputError:
    why = f"it cannot be read ({error.strerror or error})"
    return InputError(message("feature store", folder, why, "pass a folder that can be read"))


def _failure(folder: Path, error: OSError) -> SaveError:
    why = f"it cannot be written ({error.strerror or error})"
    return SaveError(message("feature store", folder, why, "pass another folder, or none"))


def in_words(nbytes: float) -> str:
    """Return bytes as people say them."""
    units = ["B", "kB", "MB", "GB", "TB"]
    while nbytes >= 1000 and len(units) > 1:
        nbytes /= 1000
        del units[0]
    return f"{nbytes:.0f} B" if units[0] == "B" else f"{nbytes:.1f} {units[0]}"
