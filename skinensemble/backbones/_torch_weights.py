"""PyTorch state dictionaries, read without PyTorch and without trusting the file.

A ``.pth`` file is a series of pickles followed by raw arrays, and unpickling a stranger's file runs
the stranger's code. So the file's SHA-256 is compared with a known one before anything is parsed,
and the unpickler knows four names only.
"""

from __future__ import annotations

import hashlib
import hmac
import io
import pickle
from collections import OrderedDict
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.lib.stride_tricks import as_strided

from skinensemble.exceptions import WeightsError, message

_MAGIC = 0x1950A86A20F9469CFC6C
_PROTOCOL = 1001


class _Storage(NamedTuple):
    key: str
    dtype: np.dtype
    size: int


class _Tensor(NamedTuple):
    storage: _Storage
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]


def _rebuild_tensor(
    storage: _Storage, offset: int, shape: Any, strides: Any, *_unused: object
) -> _Tensor:
    return _Tensor(storage, offset, tuple(shape), tuple(strides))


_ALLOWED: dict[tuple[str, str], Any] = {
    ("collections", "OrderedDict"): OrderedDict,
    ("torch", "FloatStorage"): np.dtype("<f4"),
    ("torch", "LongStorage"): np.dtype("<i8"),
    ("torch._utils", "_rebuild_tensor_v2"): _rebuild_tensor,
}


class _Unpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in _ALLOWED:
            raise pickle.UnpicklingError(f"{module}.{name} is not allowed in a weights file")
        return _ALLOWED[module, name]

    def persistent_load(self, pid: Any) -> _Storage:
        kind, dtype, key, _location, size, view = pid
        if kind != "storage" or not isinstance(dtype, np.dtype) or view is not None:
            raise pickle.UnpicklingError(f"unknown kind of array {kind!r}")
        return _Storage(str(key), dtype, int(size))


def read_state_dict(path: Path, sha256: str, *, reinstall: str) -> dict[str, np.ndarray]:
    """Read the arrays of a PyTorch state dictionary in the format from before PyTorch 1.6.

    Parameters
    ----------
    path : Path
        The ``.pth`` file.
    sha256 : str
        Its expected SHA-256 in hexadecimal digits; nothing is parsed unless it matches.
    reinstall : str
        What to do about a file that is missing or not the expected one.

    Returns
    -------
    dict of str to ndarray
        In the order of the file.

    Raises
    ------
    WeightsError
        When the file cannot be read, or is not the expected one.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise WeightsError(message("weights", path, str(error), reinstall)) from error
    if not hmac.compare_digest(hashlib.sha256(data).hexdigest(), sha256):
        why = f"the checksum does not match (expected SHA-256 {sha256})"
        raise WeightsError(message("weights", path, why, reinstall))
    try:
        return parse_state_dict(data)
    except Exception as error:  # a pickle can raise anything
        why = f"it cannot be parsed ({type(error).__name__}: {error})"
        raise WeightsError(message("weights", path, why, reinstall)) from error


def parse_state_dict(data: bytes) -> dict[str, np.ndarray]:
    """Parse the bytes of a ``.pth`` file; raise whatever the damage causes."""
    stream = io.BytesIO(data)
    magic, protocol, system = (_Unpickler(stream).load() for _ in range(3))
    if magic != _MAGIC or protocol != _PROTOCOL or not system["little_endian"]:
        raise ValueError("not a PyTorch file of the expected format")
    tensors: dict[str, _Tensor] = _Unpickler(stream).load()
    keys: list[str] = _Unpickler(stream).load()
    dtypes = {tensor.storage.key: tensor.storage.dtype for tensor in tensors.values()}
    storages = {key: _read_storage(stream, dtypes[key]) for key in keys}
    return {name: _as_array(tensor, storages) for name, tensor in tensors.items()}


def _read_storage(stream: io.BytesIO, dtype: np.dtype) -> np.ndarray:
    size = int.from_bytes(stream.read(8), "little")
    data = stream.read(size * dtype.itemsize)
    if len(data) != size * dtype.itemsize:
        raise ValueError("the file is cut off")
    return np.frombuffer(data, dtype)


def _as_array(tensor: _Tensor, storages: dict[str, np.ndarray]) -> np.ndarray:
    storage = storages[tensor.storage.key][tensor.offset :]
    steps = list(zip(tensor.shape, tensor.strides, strict=True))
    last = sum((size - 1) * stride for size, stride in steps)
    # as_strided checks nothing: a view outside its storage would read other memory.
    if tensor.offset < 0 or min((0, *tensor.shape, *tensor.strides)) < 0 or last >= len(storage):
        raise ValueError(f"an array of shape {tensor.shape} lies outside its storage")
    strides = [stride * storage.itemsize for stride in tensor.strides]
    return as_strided(storage, tensor.shape, strides, writeable=False)
