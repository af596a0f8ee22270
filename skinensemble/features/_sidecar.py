"""The two files of a shard: rows as ``.npy``, and beside it what they are and their checksum."""

from __future__ import annotations

import hashlib
import io
import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

# Raise it whenever the meaning of a shard changes: shards of another version are left alone.
STORE_VERSION = 1
_FORMAT = "skinensemble features"
_MAX_SIDECAR_BYTES = 2**28


class UnusableShard(Exception):
    """Why a shard cannot be used; `damaged` when it never will be, by any version."""

    def __init__(self, why: str, damaged: bool = True) -> None:
        super().__init__(why)
        self.damaged = damaged


@dataclass(frozen=True)
class Sidecar:
    """What the rows of one shard are."""

    keys: tuple[bytes, ...]
    shape: tuple[int, ...]
    dtype: np.dtype
    sha256: str

    def encode(self, fingerprint: str) -> bytes:
        """Return the bytes of the sidecar's file."""
        fields = {
            "format": _FORMAT,
            "version": STORE_VERSION,
            "fingerprint": fingerprint,
            "dtype": self.dtype.str,
            "shape": self.shape,
            "sha256": self.sha256,
            "keys": [key.hex() for key in self.keys],
        }
        return json.dumps(fields | {"checksum": _checksum(fields)}, indent=0).encode()

    @property
    def row_bytes(self) -> int:
        """Bytes of one row."""
        return math.prod(self.shape[1:]) * self.dtype.itemsize

    def open(self, path: Path, *, verify: bool) -> np.ndarray:
        """Map the rows into memory, their checksum compared first where `verify` says so.

        Raises
        ------
        UnusableShard
            When the rows are damaged, or not there.
        OSError
            When they cannot be read now, which says nothing about them.
        """
        try:
            if verify and _sha256(path) != self.sha256:
                raise UnusableShard("its checksum does not match")
            array = np.load(path, mmap_mode="r", allow_pickle=False)
        except (FileNotFoundError, ValueError, EOFError) as error:
            raise UnusableShard(f"its rows cannot be read: {error}") from error
        if array.shape != self.shape or array.dtype != self.dtype:
            raise UnusableShard("its rows are not what its sidecar says")
        return array


def encode_rows(keys: Sequence[bytes], rows: np.ndarray) -> tuple[memoryview, Sidecar]:
    """Return the bytes of the ``.npy`` and the sidecar that belongs to them."""
    buffer = io.BytesIO()
    np.lib.format.write_array(buffer, np.ascontiguousarray(rows), allow_pickle=False)
    data = buffer.getbuffer()
    return data, Sidecar(tuple(keys), rows.shape, rows.dtype, hashlib.sha256(data).hexdigest())


def read_sidecar(path: Path, fingerprint: str) -> Sidecar:
    """Read a sidecar strictly.

    Raises
    ------
    UnusableShard
        When it is damaged, foreign or of another version.
    OSError
        When it is not there (any more), or cannot be read now.
    """
    try:
        if path.stat().st_size > _MAX_SIDECAR_BYTES:
            raise UnusableShard("its sidecar is too large")
        fields = json.loads(path.read_bytes())
    except (ValueError, RecursionError) as error:
        raise UnusableShard(f"its sidecar cannot be read: {error}") from error
    try:
        return _parse(fields, fingerprint)
    except (LookupError, TypeError, ValueError, AttributeError, OverflowError) as error:
        raise UnusableShard(f"its sidecar is damaged: {error!r}") from error


def _parse(fields: Any, fingerprint: str) -> Sidecar:
    if fields["format"] != _FORMAT:
        raise ValueError("another format")
    if fields["version"] != STORE_VERSION:
        raise UnusableShard(
            f"written by version {fields['version']} of the store, this is {STORE_VERSION}",
            damaged=False,
        )
    if fields.pop("checksum") != _checksum(fields):
        raise ValueError("its own checksum does not match")
    if fields["fingerprint"] != fingerprint:
        raise ValueError("another fingerprint")
    keys = tuple(bytes.fromhex(key) for key in fields["keys"])
    shape = tuple(int(side) for side in fields["shape"])
    dtype = np.dtype(fields["dtype"])
    if len(keys) != shape[0] or min(shape) < 0 or dtype.kind not in "fiub":
        raise ValueError("its fields contradict each other")
    return Sidecar(keys, shape, dtype, str(fields["sha256"]))


def _checksum(fields: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(fields, sort_keys=True).encode()).hexdigest()


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
