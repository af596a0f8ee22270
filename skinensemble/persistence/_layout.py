"""Let HDF5 lay out a file without giving it the data.

HDF5 writes through a file-like object that keeps only what is written to it. As datasets are
allocated early and never filled, that is the metadata alone: the layout of a file of any size
takes a few kilobytes, HDF5 never touches the disk (where a full one would end the process), and
the arrays' bytes are put into their places afterwards.
"""

from __future__ import annotations

import io
import math
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from skinensemble.persistence._index import ArraySpec

__all__ = ["Layout", "plan_layout"]

_PAGE = 4096


class _SparseFile(io.RawIOBase):
    """A file of which only the pages written to are kept; the others read as zeros."""

    def __init__(self) -> None:
        self._pages: dict[int, bytearray] = {}
        self._position = 0
        self.size = 0

    def readable(self) -> bool:
        return True

    def writable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self.size}[whence]
        self._position = base + offset
        return self._position

    def tell(self) -> int:
        return self._position

    def truncate(self, size: int | None = None) -> int:
        self.size = self._position if size is None else size
        return self.size

    def write(self, data: Any) -> int:
        view = memoryview(data).cast("B")
        for page, inside, part in self._parts(len(view)):
            kept = self._pages.setdefault(page, bytearray(_PAGE))
            kept[inside : inside + part.stop - part.start] = view[part]
        self._position += len(view)
        self.size = max(self.size, self._position)
        return len(view)

    def readinto(self, buffer: Any) -> int:
        view = memoryview(buffer).cast("B")
        for page, inside, part in self._parts(len(view)):
            kept = self._pages.get(page) or bytes(_PAGE)
            view[part] = kept[inside : inside + part.stop - part.start]
        self._position += len(view)
        return len(view)

    def _parts(self, length: int) -> Iterator[tuple[int, int, slice]]:
        """Split the next `length` bytes into (page, offset in it, slice of the caller's bytes)."""
        done = 0
        while done < length:
            page, inside = divmod(self._position + done, _PAGE)
            step = min(_PAGE - inside, length - done)
            yield page, inside, slice(done, done + step)
            done += step


class Layout:
    """Places of the arrays in a file, and the bytes that lie between them.

    Attributes
    ----------
    specs : dict
        Name → :class:`ArraySpec`, in the order given.
    size : int
        Length of the whole file in bytes.
    """

    def __init__(self, specs: dict[str, ArraySpec], file: _SparseFile) -> None:
        self.specs = specs
        self.size = file.size
        self._file = file

    def metadata(self, start: int, stop: int) -> bytes:
        """Return the bytes ``start:stop`` of the file; no array may lie there."""
        buffer = bytearray(stop - start)
        self._file.seek(start)
        self._file.readinto(buffer)
        return bytes(buffer)


def plan_layout(shapes: Mapping[str, tuple[np.dtype, tuple[int, ...]]], block: int) -> Layout:
    """Lay out an HDF5 file with a user block of `block` bytes and one dataset per array.

    Parameters
    ----------
    shapes : mapping
        Name → (dtype, shape). A "/" in a name makes groups.
    block : int
        Size of the user block: a power of two, at least 512.
    """
    import h5py  # not at the top: reading a saved file must not load HDF5

    file = _SparseFile()
    with h5py.File(
        file,
        "w",
        userblock_size=block,
        libver=("earliest", "latest"),  # old-style groups carry no times
        alignment_threshold=1,
        alignment_interval=8,
    ) as root:
        specs = {name: _create(root, name, dtype, shape) for name, (dtype, shape) in shapes.items()}
    return Layout(specs, file)


def _create(root: Any, name: str, dtype: np.dtype, shape: tuple[int, ...]) -> ArraySpec:
    from h5py import h5d, h5p, h5s, h5t

    create = h5p.create(h5p.DATASET_CREATE)
    create.set_layout(h5d.CONTIGUOUS)
    create.set_alloc_time(h5d.ALLOC_TIME_EARLY)
    create.set_fill_time(h5d.FILL_TIME_NEVER)
    create.set_obj_track_times(False)
    link = h5p.create(h5p.LINK_CREATE)
    link.set_create_intermediate_group(True)
    stored = h5t.py_create(dtype.newbyteorder("<"))
    space = h5s.create_simple(shape) if shape else h5s.create(h5s.SCALAR)
    dataset = h5d.create(root.id, name.encode(), stored, space, dcpl=create, lcpl=link)
    nbytes = math.prod(shape) * dtype.itemsize
    return ArraySpec(dtype, shape, dataset.get_offset() if nbytes else 0, nbytes)
