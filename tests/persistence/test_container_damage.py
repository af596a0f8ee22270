from __future__ import annotations

import io
import os
import pickle
import socket
import zipfile
from pathlib import Path

import h5py
import numpy as np
import pytest
from container_files import CONFIG, mutants, sample_arrays
from PIL import Image

from skinensemble.exceptions import ModelFileError
from skinensemble.persistence.container import read_config, read_container, write_container


@pytest.fixture(scope="module")
def sound(tmp_path_factory) -> bytes:
    path = tmp_path_factory.mktemp("sound") / "model.h5"
    write_container(path, CONFIG, sample_arrays())
    return path.read_bytes()


def refusal(path: Path) -> str:
    """The text of the error; it names the file and what to do."""
    with pytest.raises(ModelFileError, match="cannot load: ") as raised:
        read_container(path)
    what, why, remedy = str(raised.value).split(" – ")
    assert what == f"cannot load: {path}"
    assert remedy
    return f"{why} – {remedy}"


@pytest.mark.parametrize("count", [1_000, pytest.param(10_000, marks=pytest.mark.slow)])
def test_damaged_files_are_never_accepted(tmp_path, sound, count):
    path = tmp_path / "model.h5"
    reasons = set()
    for number, data in enumerate(mutants(sound, count, seed=count)):
        path.write_bytes(data)
        reasons.add(refusal(path).split(":")[0] if number % 10 else refusal(path))
    assert "its checksum does not match" in reasons


def test_every_header_bit_counts(tmp_path, sound):
    path = tmp_path / "model.h5"
    for bit in range(88 * 8):
        data = bytearray(sound)
        data[bit // 8] ^= 1 << bit % 8
        path.write_bytes(data)
        assert refusal(path)


def test_the_checksum_says_to_copy_again(tmp_path, sound):
    path = tmp_path / "model.h5"
    path.write_bytes(sound[:-1] + bytes([sound[-1] ^ 1]))
    text = "its checksum does not match: it was damaged after it was saved – copy it again"
    assert refusal(path).startswith(text)
    with pytest.raises(ModelFileError, match="checksum does not match"):
        read_config(path)


def test_files_cut_off(tmp_path, sound):
    path = tmp_path / "model.h5"
    path.write_bytes(sound)
    specs = read_container(path).specs.values()
    edges = {0, 1, 15, 16, 20, 24, 32, 40, 56, 88, 512, 4096, len(sound)}
    edges |= {spec.offset for spec in specs} | {spec.offset + spec.nbytes for spec in specs}
    lengths = {edge + step for edge in edges for step in (-1, 0, 1)}
    lengths |= set(np.random.default_rng(0).integers(88, len(sound), 200).tolist())
    for length in sorted(lengths & set(range(len(sound)))):
        path.write_bytes(sound[:length])
        if length == 0:
            expected = "not a skinensemble file (looks like an empty file)"
        elif length < 88:
            expected = f"cut off at {length} of more than 88 bytes – copy it again"
        else:
            expected = f"cut off at {length:,} of {len(sound):,} bytes – copy it again"
        assert refusal(path).startswith(expected)


@pytest.mark.parametrize("more", [b"\0", b"\r\n", b"x" * 5000])
def test_bytes_appended(tmp_path, sound, more):
    path = tmp_path / "model.h5"
    path.write_bytes(sound + more)
    why = f"{len(more):,} bytes follow the end of the file at {len(sound):,} – copy it again"
    assert refusal(path).startswith(why)
    path.write_bytes(more + sound)
    assert "not a skinensemble file" in refusal(path)


def test_line_ends_changed(tmp_path, sound):
    path = tmp_path / "model.h5"
    path.write_bytes(sound.replace(b"\r\n", b"\n"))
    assert refusal(path).startswith("line ends were changed, as a transfer in text mode does")


def test_a_file_cut_while_it_is_read(tmp_path, sound, monkeypatch):
    path = tmp_path / "model.h5"
    path.write_bytes(sound)
    real = os.fstat

    def fstat(descriptor: int) -> os.stat_result:
        status = real(descriptor)
        os.truncate(path, 5000)
        return status

    monkeypatch.setattr(os, "fstat", fstat)
    assert f"cut off at 5,000 of {len(sound):,} bytes while it was read" in refusal(path)


def _image() -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (4, 4)).save(buffer, "PNG")
    return buffer.getvalue()


def _zip() -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("config.json", "{}")
    return buffer.getvalue()


def _hdf5(block: int) -> bytes:
    buffer = io.BytesIO()
    with h5py.File(buffer, "w", userblock_size=block) as file:
        file["layers/dense/vars/0"] = np.ones((3, 3))
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("content", "kind"),
    [
        (b"", "an empty file"),
        (pickle.dumps(CONFIG), "a pickle"),
        (b"\x78\x9c" + bytes(100), "a zlib stream, as compressed joblib files are"),
        (_zip(), "a zip archive, as .keras and .npz files are"),
        (_hdf5(0), "an HDF5 file of another program"),
        (_hdf5(512), "an HDF5 file of another program"),
        (_hdf5(4096), "an HDF5 file of another program"),
        (_image(), "a PNG image"),
        (b"\xff\xd8\xff\xe0" + bytes(100), "a JPEG image"),
        (b"\x93NUMPY\x01\x00", "a .npy array"),
        (b"\x1f\x8b\x08" + bytes(100), "a gzip file"),
        (b"<!DOCTYPE html><title>404</title>", "a web page or XML"),
        (b"version https://git-lfs.github.com/spec/v1\n", "a Git LFS pointer"),
        (b'{"model": 1}', "JSON text"),
        (b"\x20\0\0\0\0\0\0\0" + b'{"w":{"dtype":"F32"}}', "a safetensors file"),
        (b"lesion_id,image_id,dx\n", "text"),
        (bytes(1000), "nothing but zeros"),
        (b"\x01\x02\x03\x04" * 100, "unknown binary data"),
    ],
)
def test_foreign_files(tmp_path, content, kind):
    path = tmp_path / "model.h5"
    path.write_bytes(content)
    expected = f"not a skinensemble file (looks like {kind}"
    assert refusal(path).startswith(expected)
    assert refusal(path).endswith(") – give a file that save() wrote")


def test_paths_that_are_no_files(tmp_path):
    saved_model = tmp_path / "saved"
    saved_model.mkdir()
    (saved_model / "saved_model.pb").write_bytes(b"")
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "loop").symlink_to("loop")
    (tmp_path / "dangling").symlink_to("nowhere")
    address = socket.socket(socket.AF_UNIX)
    address.bind(str(tmp_path / "socket"))
    with address:
        assert "looks like a socket" in refusal(tmp_path / "socket")
    assert "looks like a TensorFlow SavedModel folder" in refusal(saved_model)
    assert "looks like a folder" in refusal(tmp_path)
    assert "looks like a named pipe" in refusal(tmp_path / "pipe")
    assert "looks like a device" in refusal(Path("/dev/zero"))
    assert "Too many levels of symbolic links" in refusal(tmp_path / "loop")
    assert "No such file or directory" in refusal(tmp_path / "dangling")
    assert "Not a directory" in refusal(Path("/dev/null/model.h5"))
    assert "null byte" in refusal(Path("a\0b"))
    assert "File name too long" in refusal(tmp_path / ("n" * 300))


def test_a_large_foreign_file_is_refused_on_its_first_bytes(tmp_path):
    path = tmp_path / "model.h5"
    with path.open("wb") as file:
        file.write(b"PK\x03\x04")
        file.truncate(2**40)
    assert "looks like a zip archive" in refusal(path)


def test_a_file_larger_than_memory(tmp_path, sound, monkeypatch):
    def empty(*_: object) -> None:
        raise MemoryError

    path = tmp_path / "model.h5"
    path.write_bytes(sound)
    monkeypatch.setattr(np, "empty", empty)
    assert refusal(path) == "too large – load it on a machine with more memory"
