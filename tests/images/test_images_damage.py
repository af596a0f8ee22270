"""Damaged files give an error that names them, or an image of the right shape: nothing else."""

from __future__ import annotations

import io
import warnings

import numpy as np
import pytest
from PIL import Image, ImageFile

from skinensemble.exceptions import ImageReadError
from skinensemble.images import read_image


def mutant(data, rng):
    """Flip a bit, blank a block, cut, insert, delete or swap."""
    kind, at = rng.integers(6), int(rng.integers(len(data)))
    length = int(rng.integers(1, 33))
    if kind == 0:
        return data[:at] + bytes([data[at] ^ 1 << int(rng.integers(8))]) + data[at + 1 :]
    if kind == 1:
        return data[:at] + bytes(len(data[at : at + length])) + data[at + length :]
    if kind == 2:
        return data[:at]
    if kind == 3:
        return data[:at] + rng.bytes(length) + data[at:]
    if kind == 4:
        return data[:at] + data[at + length :]
    return data[:at] + rng.bytes(len(data[at : at + length])) + data[at + length :]


def read_all(folder, data, count, seed, size=None):
    """Read mutants of `data`; return the arrays of those that could be read, and the errors."""
    rng = np.random.default_rng(seed)
    path = folder / "mutant.bin"
    arrays, errors = [], []
    for _ in range(count):
        changed = mutant(data, rng)
        path.write_bytes(changed)
        try:
            arrays.append(read_image(path, size))
        except ImageReadError as error:
            assert str(path) in str(error)
            assert str(error).count(" – ") >= 2
            errors.append(error)
    return arrays, errors


@pytest.fixture(autouse=True)
def no_warning_leaks():
    with warnings.catch_warnings(record=True) as leaked:
        warnings.simplefilter("always")
        yield
    assert [str(one.message) for one in leaked] == []
    assert ImageFile.LOAD_TRUNCATED_IMAGES is False


@pytest.mark.parametrize("count", [500, pytest.param(5000, marks=pytest.mark.slow)])
def test_jpeg_mutants(tmp_path, lesion, encode, count):
    exif = Image.Exif()
    exif[0x0112], exif[0x010E] = 6, "a lesion"
    data = encode(lesion, "JPEG", quality=80, exif=exif)
    arrays, errors = read_all(tmp_path, data, count, seed=1, size=(24, 32))
    assert len(arrays) > count / 10
    assert len(errors) > count / 10
    assert {(one.shape, one.dtype) for one in arrays} == {((24, 32, 3), np.dtype(np.uint8))}


@pytest.mark.parametrize("count", [500, pytest.param(5000, marks=pytest.mark.slow)])
def test_png_mutants_are_refused_or_whole(tmp_path, lesion, encode, count):
    data = encode(lesion, "PNG")
    arrays, errors = read_all(tmp_path, data, count, seed=2)
    assert len(errors) > 0.9 * count
    assert all(np.array_equal(one, lesion) for one in arrays)


@pytest.mark.parametrize(
    ("kind", "options"),
    [
        ("BMP", {}),
        ("TIFF", {}),
        ("TIFF", {"compression": "tiff_lzw"}),
        ("TIFF", {"compression": "jpeg"}),
        ("TIFF", {"big_tiff": True}),
        ("WEBP", {"quality": 80}),
        ("WEBP", {"lossless": True}),
    ],
)
@pytest.mark.parametrize("count", [60, pytest.param(1000, marks=pytest.mark.slow)])
def test_other_mutants(tmp_path, lesion, encode, kind, options, count):
    data = encode(lesion, kind, **options)
    (tmp_path / "whole.bin").write_bytes(data)
    assert read_image(tmp_path / "whole.bin", (24, 32)).shape == (24, 32, 3)
    arrays, errors = read_all(tmp_path, data, count, seed=3, size=(24, 32))
    assert {(one.shape, one.dtype) for one in arrays} == {((24, 32, 3), np.dtype(np.uint8))}
    assert arrays and errors


@pytest.mark.parametrize("kind", ["TIFF", "BMP"])
def test_mutants_of_the_header(tmp_path, lesion, encode, kind):
    data = encode(lesion[:16, :16], kind, **({"compression": "tiff_lzw"} if kind == "TIFF" else {}))
    head = data[-200:] if kind == "TIFF" else data[:60]
    rest = data.replace(head, b"")
    rng = np.random.default_rng(4)
    path = tmp_path / "header.bin"
    for _ in range(150):
        changed = mutant(head, rng)
        path.write_bytes(rest + changed if kind == "TIFF" else changed + rest)
        try:
            assert read_image(path, 16).shape == (16, 16, 3)
        except ImageReadError as error:
            assert str(path) in str(error)


def test_cut_files(save, lesion, encode):
    for kind in ("JPEG", "PNG", "TIFF", "WEBP", "BMP"):
        data = encode(lesion, kind)
        for part in (0.2, 0.5, 0.9):
            path = save("cut.img", data[: int(part * len(data))])
            with pytest.raises(ImageReadError, match=r"cut\.img – .*(cut off|damaged).* – copy"):
                read_image(path)


def test_jpeg_without_end_mark(save, lesion, encode):
    path = save("noend.jpg", encode(lesion, "JPEG")[:-2])
    with pytest.raises(
        ImageReadError, match=r"noend\.jpg – the JPEG file is cut off: it has no end"
    ):
        read_image(path)


def test_trailing_bytes_are_accepted(save, lesion, encode):
    for kind in ("JPEG", "PNG"):
        path = save("tail.img", encode(lesion, kind) + b"\xff\xda appended by a phone")
        assert read_image(path).shape == lesion.shape


def test_cut_files_are_refused_even_where_another_library_accepts_them(
    save, lesion, encode, monkeypatch
):
    monkeypatch.setattr(ImageFile, "LOAD_TRUNCATED_IMAGES", True)
    for kind in ("JPEG", "PNG"):
        data = encode(lesion, kind)
        path = save("cut.img", data[:-40])
        with pytest.raises(ImageReadError, match=r"cut\.img – the (JPEG|PNG) file is cut off"):
            read_image(path)
    monkeypatch.undo()


def test_damage_behind_the_pixels_of_a_png(save, lesion, encode):
    data = encode(lesion, "PNG")
    chunk = b"\0\0\0\x03tEXtabc\0\0\0\0"
    path = save("text.png", data[:-12] + chunk + data[-12:])
    with pytest.raises(ImageReadError, match=r"damaged PNG file \(checksum of its tEXt chunk\)"):
        read_image(path)


def test_what_pillow_raised_is_the_cause(save, lesion, encode):
    data = bytearray(encode(lesion, "JPEG"))
    start = data.index(b"\xff\xda") + 30
    del data[start : start + 200]
    path = save("hole.jpg", bytes(data).replace(b"\xff\xc4", b"\xff\xc9", 1))
    with pytest.raises(ImageReadError, match=r"damaged JPEG file \(") as caught:
        read_image(path)
    assert caught.value.__cause__.__cause__ is not None


def test_directories_of_tiff_that_point_outside(save, lesion):
    buffer = io.BytesIO()
    Image.fromarray(lesion).save(buffer, "TIFF")
    data = bytearray(buffer.getvalue())
    directory = int.from_bytes(data[4:8], "little")
    count = int.from_bytes(data[directory : directory + 2], "little")
    for number in range(count):
        at = directory + 2 + 12 * number
        changed = bytearray(data)
        changed[at + 4 : at + 12] = b"\xff\xff\0\0\xf0\xff\xff\x7f"
        tag = int.from_bytes(data[at : at + 2], "little")
        with pytest.raises(ImageReadError, match=rf"damaged TIFF file .*tag {tag}"):
            read_image(save("outside.tif", bytes(changed)))


def tiff(lesion, **tags) -> bytearray:
    buffer = io.BytesIO()
    Image.fromarray(lesion).save(buffer, "TIFF", **tags)
    return bytearray(buffer.getvalue())


def test_pages_of_tiff_that_form_a_ring(save, lesion):
    data = tiff(lesion)
    directory = int.from_bytes(data[4:8], "little")
    end = directory + 2 + 12 * int.from_bytes(data[directory : directory + 2], "little")
    data[end : end + 4] = directory.to_bytes(4, "little")
    with pytest.raises(ImageReadError, match=r"damaged TIFF file \(its pages form a ring\)"):
        read_image(save("ring.tif", bytes(data)))


def test_tiles_of_tiff_that_fill_the_memory(save, lesion):
    data = tiff(lesion, tiffinfo={65_000: 12_000, 65_001: 12_000})
    for own, tag in ((65_000, 322), (65_001, 323)):
        data = data.replace(own.to_bytes(2, "little"), tag.to_bytes(2, "little"), 1)
    with pytest.raises(ImageReadError, match=r"damaged TIFF file \(tiles of 144 million pixels\)"):
        read_image(save("tiles.tif", bytes(data)))
