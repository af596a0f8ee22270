"""The file a cascade is saved in: one HDF5 file that is read without HDF5's library.

``h5py.File(path)`` opens it and shows every array as a plain dataset. Its *user block*, the space
that HDF5 leaves to applications, holds all that :func:`read_container` needs, so reading takes
NumPy and the standard library only, and trusts nothing before the checksum agrees:

====== ====== ==========================================================================
offset bytes  content (little-endian)
====== ====== ==========================================================================
0      16     magic, which a transfer in text mode would damage visibly
16     4      format version
20     4      size of the user block: a power of two, at least 512
24     8      length of the whole file
32     8      length of the JSON index
40     16     first release of skinensemble that reads this format version (ASCII)
56     32     SHA-256 of all bytes of the file except these
88            JSON index, in UTF-8; zeros up to the end of the user block
====== ====== ==========================================================================

The index is ``{"format_version": …, "config": {…}, "arrays": [{"name", "dtype", "shape",
"offset", "nbytes"}, …]}``; offsets count from the start of the file. Datasets are contiguous and
little-endian, without filters, attributes or times: the same content gives the same bytes.

To change the format: raise `FORMAT_VERSION`, add the release to `FIRST_RELEASE`, keep reading
every older version, and store a small file of the old version among the tests. Bytes 0–20 and
40–56 keep their meaning for ever, so that an old library can say what a new file needs.
"""

from __future__ import annotations

import hashlib
import os
import re
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from skinensemble.exceptions import ModelFileError, SaveError, first_few, message
from skinensemble.persistence._header import (
    DIGEST,
    FORMAT_VERSION,
    HEAD,
    HEADER,
    Header,
    check_header,
    damaged,
)
from skinensemble.persistence._index import MAX_INDEX, ArraySpec, IndexFault, parse_index
from skinensemble.persistence._load import load_bytes
from skinensemble.persistence._write import write_container

__all__ = [
    "FORMAT_VERSION",
    "ArraySpec",
    "Container",
    "SaveError",
    "read_config",
    "read_container",
    "write_container",
]


@dataclass(frozen=True, repr=False, eq=False)
class Container:
    """A saved file, checked and in memory.

    Attributes
    ----------
    path : str
        Where it was read from.
    version : int
        Format version of the file.
    config : dict
        The JSON object it was saved with.
    specs : dict
        Name → :class:`ArraySpec` of each array, in the order they were saved.
    """

    path: str
    version: int
    config: dict[str, Any]
    specs: dict[str, ArraySpec]
    _data: np.ndarray

    def __repr__(self) -> str:
        return f"<Container {self.path!r}: {len(self.specs)} arrays, {self._data.size:,} bytes>"

    @cached_property
    def sha256(self) -> str:
        """SHA-256 of the whole file in hex digits, as ``sha256sum`` prints it."""
        return hashlib.sha256(self._data.data).hexdigest()

    def read(
        self,
        name: str,
        *,
        shape: tuple[int, ...] | None = None,
        dtype: npt.DTypeLike | None = None,
    ) -> np.ndarray:
        """Return one array, after comparing it with what the caller expects.

        Parameters
        ----------
        name : str
            Name of the array.
        shape : tuple of int, optional
            Shape it must have.
        dtype : dtype-like, optional
            Type it must have. Booleans are stored as uint8.

        Returns
        -------
        ndarray
            The caller's own copy: writable, C-contiguous, in the machine's byte order.

        Raises
        ------
        ModelFileError
            When there is no such array, or it has another shape or type. Nothing is allocated
            before that is known.
        """
        spec = self.specs.get(name)
        if spec is None:
            raise self._unexpected(name, f"there is no such array (there are {self._names()})")
        if shape is not None and spec.shape != tuple(shape):
            raise self._unexpected(name, f"its shape is {spec.shape}, not {tuple(shape)}")
        if dtype is not None and spec.dtype != np.dtype(dtype):
            raise self._unexpected(name, f"its type is {spec.dtype}, not {np.dtype(dtype)}")
        raw = self._data[spec.offset : spec.offset + spec.nbytes]
        stored = raw.view(spec.dtype.newbyteorder("<")).reshape(spec.shape)
        return stored.astype(spec.dtype, order="C", copy=True)

    def _names(self) -> str:
        return first_few(map(repr, self.specs), limit=5) or "none"

    def _unexpected(self, name: str, why: str) -> ModelFileError:
        remedy = "the file was made by other means; save it anew from the estimator"
        return ModelFileError(message("cannot load", f"{self.path}: array {name!r}", why, remedy))


def read_container(path: str | os.PathLike[str], *, sha256: str | None = None) -> Container:
    """Read a file that :func:`write_container` wrote, and check all of it.

    Length and checksum are compared first, then the index is parsed strictly. The checksum finds
    accidents; a file made on purpose to harm carries a right one, so compare the `sha256` of a
    file that came from elsewhere with what its author published. HDF5's library is not used.

    Parameters
    ----------
    path : str or path-like
        The file.
    sha256 : str, optional
        SHA-256 that the file must have, in hex digits; compared before anything is parsed.

    Returns
    -------
    Container
        The configuration, and the arrays on request. It keeps the file's bytes in memory, so
        that what is read is what was checked, whatever happens to the file.

    Raises
    ------
    ModelFileError
        When the file is missing, foreign, cut off, damaged or of a newer version.

    Examples
    --------
    >>> read_container("no/such.h5")
    Traceback (most recent call last):
    skinensemble.exceptions.ModelFileError: cannot load: no/such.h5 – No such file ...
    """
    path = os.fsdecode(path)
    if sha256 is None:
        data = load_bytes(path, check_header)
    else:
        wanted = _parse_sha256(path, sha256)
        data = load_bytes(path)
        _check_sha256(path, data, wanted)
    header = check_header(path, data[:HEAD].tobytes(), data.size)
    _check_digest(path, data, header)
    try:
        config, specs = _parse(data, header)
    except IndexFault as fault:
        remedy = "skinensemble wrote no such file; get it again from its author"
        raise ModelFileError(message("cannot load", path, str(fault), remedy)) from fault
    return Container(path, header.version, config, specs, data)


def read_config(path: str | os.PathLike[str], *, sha256: str | None = None) -> dict[str, Any]:
    """Return the configuration of a saved file, after the same checks as :func:`read_container`.

    The checksum is compared as well: 100 MB take about 0.1 s.
    """
    return read_container(path, sha256=sha256).config


def _parse_sha256(path: str, given: str) -> str:
    wanted = given.strip().lower() if isinstance(given, str) else ""
    if not re.fullmatch(r"[0-9a-f]{64}", wanted):
        why = f"sha256={given!r} is not 64 hex digits"
        raise ModelFileError(message("cannot load", path, why, "give what `sha256sum` prints"))
    return wanted


def _check_sha256(path: str, data: np.ndarray, wanted: str) -> None:
    actual = hashlib.sha256(data.data).hexdigest()
    if actual != wanted:
        why = f"its SHA-256 is {actual}, not {wanted}"
        remedy = "do not use it; get it again from its author"
        raise ModelFileError(message("cannot load", path, why, remedy))


def _check_digest(path: str, data: np.ndarray, header: Header) -> None:
    digest = hashlib.sha256(data[: DIGEST.start].data)
    digest.update(data[DIGEST.stop :].data)
    if digest.digest() != header.digest:
        raise damaged(path, "its checksum does not match: it was damaged after it was saved")


def _parse(data: np.ndarray, header: Header) -> tuple[dict[str, Any], dict[str, ArraySpec]]:
    block, stop = header.block, HEADER.size + header.index_length
    if block < 512 or block & (block - 1) or not stop <= block <= header.length:
        raise IndexFault("the sizes in its header contradict each other")
    if header.index_length > MAX_INDEX:
        raise IndexFault(f"its index has {header.index_length:,} bytes")
    text = data[HEADER.size : stop].tobytes()
    return parse_index(text, version=header.version, start=block, end=header.length)
