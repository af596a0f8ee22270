"""Write the file that a cascade is saved in."""

from __future__ import annotations

import hashlib
import io
import os
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from skinensemble.exceptions import ModelFileError, first_few, message
from skinensemble.persistence._atomic import replace_file, write_all
from skinensemble.persistence._header import (
    DIGEST,
    FIRST_RELEASE,
    FORMAT_VERSION,
    HEADER,
    MAGIC,
    Header,
)
from skinensemble.persistence._index import (
    DTYPES,
    MAX_INDEX,
    IndexFault,
    bad_names,
    format_index,
    parse_index,
)
from skinensemble.persistence._layout import Layout, plan_layout

__all__ = ["write_container"]


def write_container(
    path: str | os.PathLike[str], index: Mapping[str, Any], arrays: Mapping[str, npt.ArrayLike]
) -> str:
    """Save a configuration and arrays in one HDF5 file, all or nothing.

    The file is written beside the target, synced and renamed over it: whatever happens, the old
    or the new one is there, whole. No more memory is needed than the arrays already take, unless
    they are not C-contiguous.

    Parameters
    ----------
    path : str or path-like
        The file. A symbolic link is followed; permissions of a file already there are kept.
    index : mapping
        The configuration: strings, finite numbers, booleans, None, lists and dicts with string
        keys (no tuples: it must come back equal), nested at most 63 deep.
    arrays : mapping of str to array
        float16, float32, float64, any integers, or booleans (stored as uint8). Names are
        printable ASCII; "/" makes groups.

    Returns
    -------
    str
        SHA-256 of the file in hex digits: what ``sha256sum`` prints, and what
        ``read_container(path, sha256=…)`` takes.

    Raises
    ------
    ModelFileError
        When the configuration, a name or a type cannot be stored.
    SaveError
        An `OSError`: the disk is full, the folder is missing or not writable.

    Examples
    --------
    >>> import tempfile
    >>> from skinensemble.persistence.container import read_container
    >>> folder = tempfile.TemporaryDirectory()
    >>> path = folder.name + "/model.h5"
    >>> digest = write_container(path, {"rule": "soft"}, {"head/weights": np.ones((2, 3))})
    >>> read_container(path, sha256=digest).read("head/weights", shape=(2, 3))
    array([[1., 1., 1.],
           [1., 1., 1.]])
    >>> folder.cleanup()
    """
    path = os.fsdecode(path)
    stored = {name: np.asarray(array) for name, array in arrays.items()}
    try:
        _check_arrays(stored)
        block, text, layout = _fit(dict(index), stored)
        config, _ = parse_index(text, version=FORMAT_VERSION, start=block, end=layout.size)
        if config != dict(index):
            raise IndexFault("the configuration would not come back equal: no tuples, string keys")
    except IndexFault as fault:
        remedy = "change what is saved (long lists belong into arrays)"
        raise ModelFileError(message("cannot save", path, str(fault), remedy)) from fault
    return replace_file(path, layout.size, lambda file: _write(file, block, text, layout, stored))


def _check_arrays(arrays: Mapping[str, np.ndarray]) -> None:
    problems = bad_names(arrays)
    problems += [
        f"{name!r} has the type {array.dtype}"
        for name, array in arrays.items()
        if array.dtype != bool and array.dtype.name not in DTYPES
    ]
    if problems:
        raise IndexFault("arrays that cannot be stored: " + first_few(problems, limit=5))


def _fit(config: dict[str, Any], arrays: Mapping[str, np.ndarray]) -> tuple[int, bytes, Layout]:
    """Find the smallest user block that holds the index, whose offsets depend on it."""
    shapes = {name: (_stored_dtype(array), array.shape) for name, array in arrays.items()}
    block = 512
    while True:
        layout = plan_layout(shapes, block)
        text = format_index(FORMAT_VERSION, config, layout.specs)
        if len(text) > MAX_INDEX:
            raise IndexFault(f"the index has {len(text):,} bytes; {MAX_INDEX:,} are allowed")
        if HEADER.size + len(text) <= block:
            return block, text, layout
        block = 1 << (HEADER.size + len(text) - 1).bit_length()


def _stored_dtype(array: np.ndarray) -> np.dtype:
    return np.dtype(np.uint8) if array.dtype == bool else array.dtype.newbyteorder("=")


def _write(
    file: io.FileIO, block: int, text: bytes, layout: Layout, arrays: Mapping[str, np.ndarray]
) -> str:
    """Write the whole file and return the SHA-256 of what the system then reads back."""
    release = FIRST_RELEASE[FORMAT_VERSION].encode()
    header = Header(MAGIC, FORMAT_VERSION, block, layout.size, len(text), release, b"")
    head = (HEADER.pack(*header) + text).ljust(block, b"\0")
    digest = hashlib.sha256(head[: DIGEST.start] + head[DIGEST.stop :])
    write_all(file, head)
    for piece in _pieces(block, layout, arrays):
        digest.update(piece)
        write_all(file, piece)
    file.seek(DIGEST.start)
    write_all(file, digest.digest())
    file.seek(0)
    return hashlib.file_digest(file, "sha256").hexdigest()


def _pieces(
    start: int, layout: Layout, arrays: Mapping[str, np.ndarray]
) -> Iterator[bytes | memoryview]:
    """Yield what follows the user block: HDF5's metadata and the arrays, by offset."""
    places = sorted((spec.offset, name) for name, spec in layout.specs.items() if spec.nbytes)
    for offset, name in places:
        spec = layout.specs[name]
        yield layout.metadata(start, offset)
        stored = np.asarray(arrays[name], spec.dtype.newbyteorder("<"), order="C")
        yield stored.reshape(-1).view(np.uint8).data
        start = offset + spec.nbytes
    yield layout.metadata(start, layout.size)
