"""Files to read, whole and damaged, for the tests of the container."""

from __future__ import annotations

import hashlib
import json
import os
import struct
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from skinensemble.persistence import container

HEADER = struct.Struct("<16sIIQQ16s32s")
MAGIC = b"\x93SKINENSEMBLE\r\n\x1a"

CONFIG = {
    "rule": {"name": "threshold", "threshold": 0.125, "weights": [1, 2.5, -3e-7]},
    "classes": ["mel", "nv", "naevus mélanocytaire"],
    "refer": None,
    "certified": True,
}


def start_python(*arguments: object) -> subprocess.Popen[str]:
    """Start a child that imports the library and this folder's modules."""
    paths = os.pathsep.join([str(Path(container.__file__).parents[2]), str(Path(__file__).parent)])
    return subprocess.Popen(
        [sys.executable, *map(str, arguments)],
        env={**os.environ, "PYTHONPATH": paths},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def run_python(*arguments: object, timeout: float = 120) -> str:
    """Run a child to its end; it must end well. Returns what it printed."""
    with start_python(*arguments) as child:
        try:
            output, errors = child.communicate(timeout=timeout)
        finally:
            child.kill()
    assert child.returncode == 0, errors
    return output


def sample_arrays(scale: int = 1) -> dict[str, np.ndarray]:
    """About 50 KB at scale 1."""
    rng = np.random.default_rng(0)
    return {
        "net/conv/kernel": rng.normal(size=(3, 3, 16, 64 * scale)).astype(np.float32),
        "net/conv/bias": rng.normal(size=64 * scale).astype(np.float16),
        "net/dense/kernel": rng.normal(size=(64 * scale, 7)),
        "threshold": np.float64(0.25),
        "nobody": np.empty((0, 4), np.int32),
        "digests": rng.integers(0, 256, size=(60, 16), dtype=np.uint8),
    }


def seal(index: bytes, body: bytes, *, block: int | None = None, **fields: object) -> bytes:
    """Make a file of these parts with the right length and checksum; `fields` go in the header."""
    size = HEADER.size + len(index)
    block = max(512, 1 << (size - 1).bit_length()) if block is None else block
    padded = index.ljust(max(block - HEADER.size, 0), b"\0")
    values = {
        "version": 1,
        "block": fields.pop("claimed_block", block),
        "length": HEADER.size + len(padded) + len(body),
        "index_length": len(index),
        "release": b"0.1.0",
    } | fields
    head = HEADER.pack(MAGIC, *values.values(), b"")
    digest = hashlib.sha256(head[:56] + padded + body).digest()
    return head[:56] + digest + padded + body


def split(data: bytes) -> tuple[dict, bytes, int]:
    """Return the index, the body and the block size of a sound file."""
    _, _, block, _, length, _, _ = HEADER.unpack(data[: HEADER.size])
    return json.loads(data[HEADER.size : HEADER.size + length]), data[block:], block


def mutants(data: bytes, count: int, seed: int = 0) -> Iterator[bytes]:
    """Damage a file by bit flips, zeroed, random and swapped blocks of 64 bytes."""
    rng = np.random.default_rng(seed)
    while count:
        changed = bytearray(data)
        kind = rng.integers(4)
        for _ in range(rng.integers(1, 4)):
            a, b = (int(x) for x in rng.integers(0, len(data) - 64, size=2))
            if kind == 0:
                changed[a] ^= 1 << int(rng.integers(8))
            elif kind == 1:
                changed[a : a + 64] = bytes(64)
            elif kind == 2:
                changed[a : a + 64] = rng.bytes(64)
            else:
                changed[a : a + 64], changed[b : b + 64] = data[b : b + 64], data[a : a + 64]
        if len(changed) == len(data) and bytes(changed) != data:
            count -= 1
            yield bytes(changed)


# Values that have broken parsers of sizes, names and numbers before.
_POISON = (
    *("-1", "-9223372036854775808", "9223372036854775807", "18446744073709551616", "1e400"),
    *("NaN", "Infinity", "-Infinity", "1.5", "true", "null", '""', "[]", "{}", '"x"', "0", "1"),
    *('"\\ud800"', '"\\u0000"', '"../../etc/passwd"', "9" * 5000, "0." + "1" * 5000, "1E+9"),
    *("[" * 20_000, "[[1]]", "[0,9223372036854775807]", '{"a":1,"a":2}', '"float128"', '"|O"'),
)


def hostile_indexes(index: dict, count: int, seed: int = 0) -> Iterator[bytes]:
    """Change an index at random places: values, keys, raw bytes, entries given twice."""
    rng = np.random.default_rng(seed)
    for _ in range(count):
        kind = rng.integers(5)
        if kind == 0:
            yield _poisoned(index, rng)
        elif kind == 1:
            yield _reordered(index, rng)
        else:
            text = bytearray(json.dumps(index, ensure_ascii=False, separators=(",", ":")).encode())
            for _ in range(rng.integers(1, 5)):
                place = int(rng.integers(len(text)))
                step = int(rng.integers(1, 9))
                insert = [
                    rng.bytes(1),
                    b'[{"}],:0-e.\\u'[(s := int(rng.integers(12))) : s + 1],
                    b"",
                ]
                text[place : place + (step if kind == 4 else 1)] = insert[kind - 2]
            yield bytes(text)


def _poisoned(index: dict, rng: np.random.Generator) -> bytes:
    """Put poison in the place of one value."""
    index = json.loads(json.dumps(index))
    entry = index["arrays"][int(rng.integers(len(index["arrays"])))]
    holder: dict | list = [index, entry, entry, entry, index["config"]][int(rng.integers(5))]
    key = sorted(holder)[int(rng.integers(len(holder)))]
    if key == "shape" and holder is entry and entry["shape"] and rng.integers(2):
        holder, key = entry["shape"], int(rng.integers(len(entry["shape"])))
    holder[key] = "@poison@"
    text = json.dumps(index, ensure_ascii=False)
    return text.replace('"@poison@"', _POISON[int(rng.integers(len(_POISON)))]).encode()


def _reordered(index: dict, rng: np.random.Generator) -> bytes:
    """Give, drop, or mix up the entries of arrays: most are refused, the rest are harmless."""
    index = json.loads(json.dumps(index))
    first, second = (index["arrays"][int(i)] for i in rng.integers(len(index["arrays"]), size=2))
    key = ("name", "dtype", "shape", "offset", "nbytes")[int(rng.integers(5))]
    if rng.integers(2):
        first[key] = second[key]
    else:
        index["arrays"].append(dict(first))
    if rng.integers(2):
        first["offset"] += int(rng.integers(-4000, 4000))
    return json.dumps(index, ensure_ascii=False).encode()


def handmade_indexes(index: dict) -> dict[str, bytes]:
    """One index for each way to be wrong that a reader has to know."""
    text = json.dumps(index, ensure_ascii=False)
    entry = index["arrays"][0]

    def arrays(*entries: object) -> bytes:
        return json.dumps({**index, "arrays": list(entries)}).encode()

    def changed(**fields: object) -> bytes:
        return arrays({**entry, **fields}, *index["arrays"][1:])

    def config(value: str) -> bytes:
        return ('{"format_version":1,"config":{"x":' + value + '},"arrays":[]}').encode()

    missing = {key: value for key, value in entry.items() if key != "nbytes"}
    nested = "/".join("g" * 400)
    return {
        "not JSON": b"\x00\x01\x02",
        "nothing": b"",
        "not UTF-8": text.encode("latin-1"),
        "byte order mark": b"\xef\xbb\xbf" + text.encode(),
        "two values": text.encode() + b"{}",
        "a list": b"[]",
        "a number": b"1",
        "extra key": json.dumps({**index, "extra": 1}).encode(),
        "no config": json.dumps({k: v for k, v in index.items() if k != "config"}).encode(),
        "config a list": json.dumps({**index, "config": []}).encode(),
        "arrays a dict": json.dumps({**index, "arrays": {}}).encode(),
        "other version": json.dumps({**index, "format_version": 2}).encode(),
        "version true": json.dumps({**index, "format_version": True}).encode(),
        "version 1.0": json.dumps({**index, "format_version": 1.0}).encode(),
        "duplicate key": text.replace('"rule":', '"rule":1,"rule":').encode(),
        "duplicate top key": text.replace('"arrays":', '"arrays":[],"arrays":').encode(),
        "NaN": config("NaN"),
        "Infinity": config("-Infinity"),
        "1e999": config("1e999"),
        "5,000 digits": config("1" * 5000),
        "a float of 5,000 digits": config("0." + "1" * 5000),
        "depth 20,000": config("[" * 20_000 + "]" * 20_000),
        "depth 20,000 of dicts": config('{"a":' * 20_000 + "1" + "}" * 20_000),
        "depth 100": config("[" * 100 + "]" * 100),
        "half a surrogate": config('"\\ud800"'),
        "unterminated strings": config('"' + '\\"' * 100_000),
        "a million values": config("[" + "[]," * 1_000_000 + "[]]"),
        "200,000 entries": arrays(*[dict(entry)] * 200_000),
        "40,000 empty entries": arrays(*[{}] * 40_000),
        "entry a string": arrays("x"),
        "entry null": arrays(None),
        "entry without nbytes": arrays(missing),
        "entry with a key too many": changed(filter="gzip"),
        "name a number": changed(name=3),
        "name empty": changed(name=""),
        "name absolute": changed(name="/net"),
        "name with ..": changed(name="net/../x"),
        "name with NUL": changed(name="net\0"),
        "name not ASCII": changed(name="nét"),
        "name too long": changed(name="n" * 1001),
        "name of 400 groups, twice": arrays({**entry, "name": nested}, {**entry, "name": nested}),
        "array and group": changed(name="threshold/x"),
        "the same twice": arrays(entry, entry),
        "overlap": arrays(entry, {**entry, "name": "other"}),
        "object dtype": changed(dtype="object"),
        "dtype a list": changed(dtype=["f4"]),
        "dtype a structure": changed(dtype="f4,f4"),
        "bool dtype": changed(dtype="bool"),
        "shape a number": changed(shape=9),
        "shape of floats": changed(shape=[3.0, 3]),
        "shape of booleans": changed(shape=[True]),
        "negative shape": changed(shape=[-3, -3072]),
        "shape 2**50": changed(shape=[2**50], nbytes=2**52),
        "shape 2**63": changed(shape=[2**63]),
        "shape overflows to its size": changed(shape=[2**32, 2**32, 9216]),
        "empty but huge": changed(shape=[0, 2**62, 2**62], nbytes=0, offset=0),
        "empty with offset": changed(shape=[0], nbytes=0),
        "40 dimensions": changed(shape=[1] * 40, nbytes=4),
        "shape smaller than size": changed(shape=[1]),
        "offset in the header": changed(offset=0),
        "offset in the index": changed(offset=100),
        "offset negative": changed(offset=-1),
        "offset a float": changed(offset=4096.0),
        "offset at the end": changed(offset=10**6),
        "offset 2**63-1": changed(offset=2**63 - 1),
        "offset huge": changed(offset=2**200),
        "nbytes negative": changed(nbytes=-4),
    }
