from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest
from container_files import (
    CONFIG,
    handmade_indexes,
    run_python,
    sample_arrays,
    seal,
    split,
)

from skinensemble.exceptions import ModelFileError
from skinensemble.persistence.container import read_container, write_container

CHILD = Path(__file__).with_name("container_readers.py")
CANARY = b"canary-canary-canary-canary"


def readers(kind: str, path: Path, count: int = 0) -> dict:
    report = json.loads(run_python(CHILD, kind, path, count, timeout=600))
    assert report["bad"] == []
    assert report["events"] == []
    return report


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    path = tmp_path / "model.h5"
    write_container(path, CONFIG, sample_arrays())
    return path


@pytest.mark.parametrize("count", [300, pytest.param(10_000, marks=pytest.mark.slow)])
def test_hostile_indexes_with_a_right_checksum(saved, count):
    index, _, _ = split(saved.read_bytes())
    report = readers("hostile", saved, count)
    handmade = set(handmade_indexes(index))
    assert len(handmade) >= 40
    assert handmade <= set(report["messages"])
    assert report["refused"] > 0.5 * count
    assert 0 < len(report["accepted"]) < 0.5 * count  # mutations reach behind the first check
    assert report["grown"] > 2**20  # the child could measure it


def test_damaged_files_open_and_import_nothing(saved):
    report = readers("damaged", saved, 300)
    assert report["refused"] == 300


def test_what_is_said_of_a_hostile_index(saved):
    index, body, block = split(saved.read_bytes())
    made = handmade_indexes(index)
    for label, text in SAID.items():
        small = len(made[label]) < block - 88
        saved.write_bytes(seal(made[label], body, block=block if small else None))
        whole = rf"cannot load: .*model\.h5 – .*({text}).* – skinensemble wrote no such file"
        with pytest.raises(ModelFileError, match=whole):
            read_container(saved)


SAID = {
    "depth 20,000": "nested deeper than 64 levels",
    "a million values": "more than about 500,000 values",
    "200,000 entries": r"its index has [\d,]+ bytes",
    "40,000 empty entries": "entry 0: must have exactly the keys .* and 39995 more",
    "duplicate key": "keys given more than once: 'rule'",
    "NaN": "NaN is not a finite number",
    "1e999": "1e999 is not a finite number",
    "5,000 digits": "a whole number has 5,000 digits",
    "overlap": "'net/conv/kernel' and 'other' overlap",
    "the same twice": "'net/conv/kernel' is there 2 times",
    "array and group": "'threshold' is both an array and a group",
    "shape 2**50": "'net/conv/kernel': it does not lie inside the file's data",
    "shape overflows to its size": "its shape is too large for any memory",
    "shape of booleans": "its shape must be a list of sizes",
    "offset in the index": "it does not lie inside the file's data",
    "object dtype": "its type is unknown",
    "version 1.0": "format version of the index is not that of the header",
    "half a surrogate": "surrogates not allowed",
}


@pytest.mark.parametrize(
    "fields",
    [
        {"claimed_block": 0},
        {"claimed_block": 511},
        {"claimed_block": 768},
        {"claimed_block": 2**31},
        {"index_length": 2**20},
        {"index_length": 2**64 - 1},
    ],
)
def test_sizes_in_the_header_that_contradict_each_other(saved, fields):
    index, body, _ = split(saved.read_bytes())
    saved.write_bytes(seal(json.dumps(index).encode(), body, **fields))
    with pytest.raises(ModelFileError, match=r"sizes in its header contradict each other"):
        read_container(saved)


def _external(file: h5py.File, target: str) -> None:
    file.create_dataset("x", (27,), "u1", external=[(target, 0, 27)])


def _external_link(file: h5py.File, target: str) -> None:
    file["x"] = h5py.ExternalLink(target, "/")


def _soft_link(file: h5py.File, target: str) -> None:
    file["x"] = h5py.SoftLink(target)


def _virtual(file: h5py.File, target: str) -> None:
    layout = h5py.VirtualLayout((27,), "u1")
    layout[:] = h5py.VirtualSource(target, "x", (27,))
    file.create_virtual_dataset("x", layout)


def _cycle(file: h5py.File, target: str) -> None:
    group = file.create_group("x")
    group["y"] = group
    group["z"] = file["/"]


def _vlen(file: h5py.File, target: str) -> None:
    file.create_dataset("x", data=[target, target], dtype=h5py.string_dtype())


def _vlen_arrays(file: h5py.File, target: str) -> None:
    file.create_dataset("x", (2,), dtype=h5py.vlen_dtype(np.int32))[0] = np.arange(3)


def _references(file: h5py.File, target: str) -> None:
    file.create_dataset("x", (1,), dtype=h5py.ref_dtype)[0] = file.ref


def _compound(file: h5py.File, target: str) -> None:
    file["x"] = np.zeros(3, [("a", "f4"), ("b", "S9")])


def _opaque(file: h5py.File, target: str) -> None:
    file.create_dataset("x", data=np.array([target.encode()], "V"))


def _filter(file: h5py.File, target: str) -> None:
    file.create_dataset("x", data=np.zeros(2**20), compression="gzip")  # a bomb of 8 MB


def _unknown_filter(file: h5py.File, target: str) -> None:
    create = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    create.set_chunk((10,))
    create.set_filter(32765, h5py.h5z.FLAG_OPTIONAL, (1, 2))
    space = h5py.h5s.create_simple((10,))
    h5py.h5d.create(file.id, b"x", h5py.h5t.IEEE_F32LE, space, dcpl=create)


def _groups(file: h5py.File, target: str) -> None:
    group = file
    for _ in range(400):
        group = group.create_group("g")


def _attributes(file: h5py.File, target: str) -> None:
    file["x"] = np.zeros(3)
    file["x"].attrs["model_config"] = '{"class_name": "Lambda"}' * 100


def _shape_bomb(file: h5py.File, target: str) -> None:
    for number in range(50):
        file.create_dataset(f"x{number}", (2**50,), "f4", chunks=(2**20,))


ATTACKS: tuple[Callable[[h5py.File, str], None], ...] = (
    *(_external, _external_link, _soft_link, _virtual, _cycle, _vlen, _vlen_arrays, _references),
    *(_compound, _opaque, _filter, _unknown_filter, _groups, _attributes, _shape_bomb),
)


@pytest.mark.parametrize("target", ["canary", "pipe"])
def test_attacks_by_hdf5(tmp_path, target):
    """An index that points at HDF5 structures gets their bytes; none of them is followed."""
    canary = tmp_path / target
    canary.write_bytes(CANARY) if target == "canary" else os.mkfifo(canary)
    folder = tmp_path / "files"
    folder.mkdir()
    for attack in ATTACKS:
        path = folder / f"{attack.__name__}.h5"
        with h5py.File(path, "w", userblock_size=4096) as file:
            attack(file, str(canary))
        body = path.read_bytes()[4096:]
        (folder / f"{attack.__name__}.plain.h5").write_bytes(body)
        path.write_bytes(seal(_index_over(body), body, block=4096))
    report = readers("given", folder)
    assert set(report["accepted"]) == {f"{attack.__name__}.h5" for attack in ATTACKS}
    plain = {f"{attack.__name__}.plain.h5" for attack in ATTACKS}
    assert set(report["messages"]) == plain
    assert all("looks like an HDF5 file" in report["messages"][label] for label in plain)
    assert CANARY.hex() not in json.dumps(report["contents"])


def _index_over(body: bytes) -> bytes:
    entry = {"name": "x", "dtype": "uint8", "offset": 4096, "nbytes": len(body)}
    entry["shape"] = [len(body)]
    return json.dumps({"format_version": 1, "config": {}, "arrays": [entry]}).encode()


WORDS = (
    *("Lambda", "TFSMLayer", "TorchModuleWrapper", "StringLookup", "__reduce__", "os", "eval"),
    *("https://example.org/model.h5", "file:///etc/passwd", "/etc/passwd", "keras.config"),
)


def test_words_that_run_code_elsewhere_are_only_words(tmp_path):
    folder = tmp_path / "files"
    folder.mkdir()
    for number, word in enumerate(WORDS):
        for key in ("class_name", "module", "registered_name", "vocabulary", "filepath"):
            config = {"member": {key: word, "config": {"function": [word, None, None]}}}
            write_container(folder / f"{number}-{key}.h5", config, {"x": np.ones(2)})
    report = readers("given", folder)
    assert len(report["accepted"]) == 5 * len(WORDS)
