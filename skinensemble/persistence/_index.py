"""The JSON index of a saved file: strict parsing and closed checks.

Nothing here trusts its input, reads a file or allocates by a size that the input states.
"""

from __future__ import annotations

import json
import math
import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np

from skinensemble.exceptions import first_few

__all__ = [
    "DTYPES",
    "MAX_INDEX",
    "ArraySpec",
    "IndexFault",
    "bad_names",
    "format_index",
    "parse_index",
    "parse_json",
]

DTYPES: tuple[str, ...] = (
    *("float16", "float32", "float64"),
    *("int8", "int16", "int32", "int64"),
    *("uint8", "uint16", "uint32", "uint64"),
)
"""Names of the types an array may have in a file; all are stored little-endian."""

MAX_INDEX = 16 * 2**20
_MAX_VALUES = 500_000
_MAX_DEPTH = 64
_MAX_ARRAYS = 50_000
_MAX_NDIM = 32
_MAX_NAME = 1000
_MAX_DIGITS = 40
_INT64 = 2**63

_TOP_KEYS = {"format_version", "config", "arrays"}
_ENTRY_KEYS = {"name", "dtype", "shape", "offset", "nbytes"}
# Possessive, and the closing quote optional: one pass, whatever a stranger wrote.
_STRING = re.compile(rb'"(?:[^"\\]++|\\.)*+"?', re.DOTALL)
_NO_MARKS = bytes(set(range(256)) - set(b"[]{},"))
_SEGMENT = re.compile(r"[!-.0-~](?:[ -.0-~]*[!-.0-~])?")


class IndexFault(Exception):
    """What is wrong with an index; the caller adds the file's name and what to do."""


@dataclass(frozen=True)
class ArraySpec:
    """Where one array lies in the file.

    Attributes
    ----------
    dtype : numpy.dtype
        Type of the elements, in the machine's own byte order.
    shape : tuple of int
    offset : int
        First byte, counted from the start of the file; 0 for an array without elements.
    nbytes : int
        Size in bytes.
    """

    dtype: np.dtype
    shape: tuple[int, ...]
    offset: int
    nbytes: int


def format_index(version: int, config: Mapping[str, Any], specs: Mapping[str, ArraySpec]) -> bytes:
    """Return the index as compact UTF-8 JSON; `IndexFault` when `config` is not plain JSON."""
    arrays = [
        {
            "name": name,
            "dtype": spec.dtype.name,
            "shape": list(spec.shape),
            "offset": spec.offset,
            "nbytes": spec.nbytes,
        }
        for name, spec in specs.items()
    ]
    index = {"format_version": version, "config": config, "arrays": arrays}
    try:
        text = json.dumps(index, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
        return text.encode()
    except (TypeError, ValueError, RecursionError) as error:
        raise IndexFault(f"the configuration is not plain JSON: {error}") from error


def parse_index(
    text: bytes, *, version: int, start: int, end: int
) -> tuple[dict[str, Any], dict[str, ArraySpec]]:
    """Parse an index whose arrays have to lie in the bytes ``start:end`` of the file.

    Returns
    -------
    config : dict
    specs : dict
        Name → :class:`ArraySpec`, in the order of the file.

    Raises
    ------
    IndexFault
        When anything at all is not as :func:`format_index` writes it.
    """
    index = parse_json(text)
    if not isinstance(index, dict) or set(index) != _TOP_KEYS:
        raise IndexFault(f"the index must have exactly the keys {sorted(_TOP_KEYS)}")
    if not _is_size(index["format_version"]) or index["format_version"] != version:
        raise IndexFault("the format version of the index is not that of the header")
    if not isinstance(index["config"], dict):
        raise IndexFault("'config' of the index must be an object")
    if not isinstance(index["arrays"], list) or len(index["arrays"]) > _MAX_ARRAYS:
        raise IndexFault(f"'arrays' of the index must be a list of at most {_MAX_ARRAYS:,}")
    return index["config"], _parse_arrays(index["arrays"], start, end)


def parse_json(text: bytes) -> Any:
    """Parse JSON strictly: no duplicate keys, no NaN, no huge numbers, no deep nesting."""
    _check_extent(text)
    try:
        value = json.loads(
            text.decode(),
            object_pairs_hook=_unique_keys,
            parse_int=_parse_int,
            parse_float=_parse_float,
            parse_constant=_refuse_constant,
        )
        if b"\\u" in text:  # the only way to write half a surrogate pair
            json.dumps(value, ensure_ascii=False).encode()
    except (ValueError, RecursionError) as error:
        raise IndexFault(f"the index is not valid JSON: {error}") from error
    return value


def _check_extent(text: bytes) -> None:
    """Bound size, number of values and depth before the parser sees the text."""
    if len(text) > MAX_INDEX:
        raise IndexFault(f"the index has {len(text):,} bytes; at most {MAX_INDEX:,} are allowed")
    marks = _STRING.sub(b"", text).translate(None, delete=_NO_MARKS)
    if len(marks) > _MAX_VALUES:
        raise IndexFault(f"the index has more than about {_MAX_VALUES:,} values")
    depth = 0
    for mark in marks.replace(b",", b""):
        depth += 1 if mark in b"[{" else -1
        if depth > _MAX_DEPTH:
            raise IndexFault(f"the index is nested deeper than {_MAX_DEPTH} levels")


def _unique_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        twice = [repr(key) for key, n in Counter(key for key, _ in pairs).items() if n > 1]
        raise IndexFault(f"keys given more than once: {first_few(twice)}")
    return found


def _parse_int(text: str) -> int:
    if len(text) > _MAX_DIGITS:
        raise IndexFault(f"a whole number has {len(text):,} digits")
    return int(text)


def _parse_float(text: str) -> float:
    value = float(text) if len(text) <= _MAX_DIGITS else math.inf
    if not math.isfinite(value):
        raise IndexFault(f"{text[:_MAX_DIGITS]} is not a finite number of at most 40 characters")
    return value


def _refuse_constant(text: str) -> Any:
    raise IndexFault(f"{text} is not a finite number")


def _is_size(value: object) -> bool:
    return type(value) is int and 0 <= value < _INT64


def _parse_arrays(entries: list[Any], start: int, end: int) -> dict[str, ArraySpec]:
    problems = [
        f"{_label(entry, position)}: {problem}"
        for position, entry in enumerate(entries)
        if (problem := _entry_problem(entry, start, end)) is not None
    ]
    _raise_if_any(problems)
    names = [entry["name"] for entry in entries]
    specs = {
        entry["name"]: ArraySpec(
            np.dtype(entry["dtype"]), tuple(entry["shape"]), entry["offset"], entry["nbytes"]
        )
        for entry in entries
    }
    _raise_if_any(bad_names(names))
    _raise_if_any(_overlaps(specs))
    return specs


def _raise_if_any(problems: list[str]) -> None:
    if problems:
        raise IndexFault("arrays that cannot be: " + first_few(problems, limit=5))


def _label(entry: object, position: int) -> str:
    name = entry.get("name") if isinstance(entry, dict) else None
    return repr(name[:80]) if isinstance(name, str) else f"entry {position}"


def _entry_problem(entry: object, start: int, end: int) -> str | None:
    if not isinstance(entry, dict) or set(entry) != _ENTRY_KEYS:
        return f"must have exactly the keys {sorted(_ENTRY_KEYS)}"
    if not isinstance(entry["name"], str):
        return "its name must be text"
    if not isinstance(entry["dtype"], str) or entry["dtype"] not in DTYPES:
        return "its type is unknown"
    shape = entry["shape"]
    if not isinstance(shape, list) or len(shape) > _MAX_NDIM or not all(map(_is_size, shape)):
        return "its shape must be a list of sizes"
    if not _is_size(entry["offset"]) or not _is_size(entry["nbytes"]):
        return "its offset and size must be whole numbers ≥ 0"
    return _extent_problem(entry, start, end)


def _extent_problem(entry: dict[str, Any], start: int, end: int) -> str | None:
    itemsize = np.dtype(entry["dtype"]).itemsize
    offset, nbytes = entry["offset"], entry["nbytes"]
    # NumPy multiplies the other dimensions of an empty array too.
    if math.prod(size or 1 for size in entry["shape"]) * itemsize >= _INT64:
        return "its shape is too large for any memory"
    if math.prod(entry["shape"]) * itemsize != nbytes:
        return "its size does not agree with its shape and type"
    if nbytes == 0:
        return None if offset == 0 else "an empty array has no offset"
    if not start <= offset <= end - nbytes:
        return "it does not lie inside the file's data"
    return None


def bad_names(names: Iterable[str]) -> list[str]:
    """Return a complaint for each name that HDF5 could not hold beside the others."""
    counts = Counter(iter(names))  # a mapping's values would count as numbers
    parents = {name[:cut] for name in counts for cut in _slashes(name)}
    problems = []
    for name, count in counts.items():
        shown = repr(name[:80])
        if len(name) > _MAX_NAME or not all(map(_is_segment, name.split("/"))):
            problems.append(f"{shown} is no name (printable ASCII parts between single '/')")
        elif count > 1:
            problems.append(f"{shown} is there {count} times")
        elif name in parents:
            problems.append(f"{shown} is both an array and a group of arrays")
    return problems


def _slashes(name: str) -> list[int]:
    # A name too long is refused anyway; its prefixes would only cost memory.
    return [match.start() for match in re.finditer("/", name)] if len(name) <= _MAX_NAME else []


def _is_segment(part: str) -> bool:
    return part not in {".", ".."} and _SEGMENT.fullmatch(part) is not None


def _overlaps(specs: Mapping[str, ArraySpec]) -> list[str]:
    taken = sorted((spec.offset, spec.nbytes, name) for name, spec in specs.items() if spec.nbytes)
    return [
        f"{name!r} and {after!r} overlap"
        for (offset, nbytes, name), (following, _, after) in pairwise(taken)
        if offset + nbytes > following
    ]
