"""Every accepted kind of file gives the pixels that were put into it."""

from __future__ import annotations

import io
import struct
import zlib

import numpy as np
import pytest
from PIL import Image, ImageOps

from skinensemble.exceptions import ImageReadError, InputError
from skinensemble.images import _read, as_images, fit_image, read_image

SIDEWAYS = {
    1: None,
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_90,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_270,
}


def turned(array, orientation):
    image = Image.fromarray(array)
    how = SIDEWAYS[orientation]
    return image if how is None else image.transpose(how)


def exif_block(orientation, endian="<"):
    exif = Image.Exif()
    exif.endian = endian
    exif[0x0112] = orientation
    return exif.tobytes()


@pytest.mark.parametrize(
    ("name", "options", "tolerance"),
    [
        ("a.png", {}, 0),
        ("a.bmp", {}, 0),
        ("a.tif", {}, 0),
        ("a.tiff", {"compression": "tiff_lzw"}, 0),
        ("b.tiff", {"compression": "tiff_adobe_deflate"}, 0),
        ("a.webp", {"lossless": True}, 0),
        ("a.jpg", {"quality": 98, "subsampling": 0}, 4),
        ("b.jpg", {"quality": 98, "subsampling": 0, "progressive": True}, 4),
    ],
)
def test_formats(save, lesion, name, options, tolerance):
    array = read_image(save(name, lesion, **options))
    assert array.dtype == np.uint8
    assert array.shape == lesion.shape
    assert np.abs(array.astype(int) - lesion).max() <= tolerance
    array[0, 0] = 7  # the caller's own


def test_paths_of_every_kind(save, lesion):
    path = save("ein Bild – ü.png", lesion)
    for one in (path, str(path), np.str_(path)):
        assert np.array_equal(read_image(one), lesion)


def test_content_decides_not_the_name(save, lesion, encode):
    path = save("really_png.jpg", encode(lesion, "PNG"))
    assert np.array_equal(read_image(path), lesion)


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("name", ["a.png", "a.webp", "a.tif", "a.jpg"])
def test_exif_orientation(save, lesion, name, orientation):
    options = {"lossless": True} if name == "a.webp" else {}
    options |= {"quality": 98, "subsampling": 0} if name == "a.jpg" else {}
    exif = exif_block(orientation, "<" if orientation % 2 else ">")
    path = save(name, turned(lesion, orientation), exif=exif, **options)
    array = read_image(path)
    assert array.shape == lesion.shape
    assert np.abs(array.astype(int) - lesion).max() <= (4 if name == "a.jpg" else 0)


@pytest.mark.parametrize(
    "exif",
    [
        b"Exif\0\0",
        b"Exif\0\0II*\0\xff\xff\xff\xff",
        b"Exif\0\0II*\0\x08\0\0\0\xff\xff\x12\x01\x03\0\x01\0\0\0",
        b"Exif\0\0XX*\0\x08\0\0\0",
        exif_block(9),
        exif_block(1)[:-3],
    ],
)
def test_damaged_exif_means_upright(save, lesion, exif):
    assert np.array_equal(read_image(save("a.png", lesion, exif=exif)), lesion)
    assert read_image(save("a.jpg", lesion, exif=exif)).shape == lesion.shape


def test_grey_one_bit_and_palette(save, lesion):
    grey = Image.fromarray(lesion).convert("L")
    expected = np.asarray(grey.convert("RGB"))
    assert np.array_equal(read_image(save("l.png", grey)), expected)
    assert np.abs(read_image(save("l.jpg", grey, quality=98)) - expected.astype(int)).max() <= 4
    one_bit = Image.fromarray(lesion[:, :, 0] > 150)
    assert one_bit.mode == "1"
    expected = np.asarray(one_bit.convert("RGB"))
    assert set(np.unique(expected)) == {0, 255}
    for name in ("1.png", "1.bmp", "1.tif"):
        assert np.array_equal(read_image(save(name, one_bit)), expected)
    palette = Image.fromarray(lesion).quantize(16)
    expected = np.asarray(palette.convert("RGB"))
    assert np.array_equal(read_image(save("p.png", palette)), expected)


def test_alpha_is_blended_over_the_background(save):
    rgba = np.zeros((16, 16, 4), np.uint8)
    rgba[:, :, 0] = 200
    rgba[:8, :, 3] = 255
    rgba[8:12, :, 3] = 128
    for path in (save("a.png", rgba), save("a.webp", rgba, lossless=True, exact=True)):
        white = read_image(path)
        assert white[0, 0].tolist() == [200, 0, 0]
        assert white[15, 0].tolist() == [255, 255, 255]
        assert np.abs(white[9, 0].astype(int) - [227, 127, 127]).max() <= 1
        assert read_image(path, background=(10, 20, 30))[15, 0].tolist() == [10, 20, 30]
    array = read_image(save("la.png", Image.fromarray(rgba).convert("LA")))
    assert array[15, 0].tolist() == [255, 255, 255]
    assert array[0, 0].tolist() == [60, 60, 60]


@pytest.mark.parametrize("transparency", [0, bytes([0, 255, 255, 255])])
def test_transparent_palette(save, transparency):
    palette = Image.new("P", (16, 16), 1)
    palette.putpalette([0, 0, 0, 90, 80, 70, 1, 2, 3, 4, 5, 6])
    palette.paste(0, (0, 0, 8, 16))
    array = read_image(save("p.png", palette, transparency=transparency), background=(9, 8, 7))
    assert array[0, 0].tolist() == [9, 8, 7]
    assert array[0, 15].tolist() == [90, 80, 70]


@pytest.mark.parametrize(("mode", "key"), [("L", 50), ("RGB", (50, 50, 50)), ("I;16", 12850)])
def test_transparent_colour(save, mode, key):
    pixels = np.full((16, 16), 200, np.uint8)
    pixels[:8] = 50
    image = Image.fromarray(pixels if mode != "I;16" else pixels.astype(np.uint16) * 257)
    path = save("key.png", image.convert(mode), transparency=key)
    array = read_image(path, background=(1, 2, 3))
    assert array[0, 0].tolist() == [1, 2, 3]
    assert array[15, 0].tolist() == [200, 200, 200]


@pytest.mark.parametrize("bits", [1, 2, 4])
def test_transparent_grey_of_few_bits(bits, tmp_path):
    def chunk(kind, body):
        size, checksum = len(body).to_bytes(4, "big"), zlib.crc32(kind + body).to_bytes(4, "big")
        return size + kind + body + checksum

    white = 2**bits - 1
    header = (16).to_bytes(4, "big") * 2 + bytes([bits, 0, 0, 0, 0])
    rows = (b"\0" + bytes(bits) + b"\xff" * bits) * 16  # the left half black
    chunks = {
        b"IHDR": header,
        b"tRNS": bytes([0, white]),
        b"IDAT": zlib.compress(rows),
        b"IEND": b"",
    }
    path = tmp_path / "few.png"
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + b"".join(map(chunk, chunks, chunks.values())))
    array = read_image(path, background=(1, 2, 3))
    assert array[0, 0].tolist() == [0, 0, 0]
    assert array[0, 15].tolist() == [1, 2, 3]
    with Image.open(path) as image:
        for _ in range(2):  # the first loads it
            assert fit_image(image, 16)[0, 15].tolist() == [255, 255, 255]


def test_cmyk(save):
    cmyk = Image.new("CMYK", (16, 16), (0, 255, 255, 0))
    for name, options in (("c.jpg", {"quality": 98}), ("c.tif", {})):
        red, green, blue = read_image(save(name, cmyk, **options))[8, 8].tolist()
        assert red >= 250
        assert max(green, blue) <= 5


def test_16_bit_grey_is_scaled(save):
    ramp = np.linspace(0, 65535, 64 * 16).reshape(16, 64).astype(np.uint16)
    expected = np.rint(ramp / 257)
    image = Image.fromarray(ramp)
    white_is_zero = {262: 0}
    for path in (save("g.png", image), save("g.tif", image)):
        array = read_image(path)
        assert abs(array.mean() - 127.5) <= 1
        assert np.abs(array - expected[:, :, None]).max() <= 0.5
    inverted = read_image(save("w.tif", image, tiffinfo=white_is_zero))
    assert np.abs(255 - inverted - expected[:, :, None]).max() <= 0.5


def test_16_bit_big_endian_tiff(save):
    ramp = np.linspace(0, 65535, 256).reshape(16, 16).astype(np.uint16)
    image = Image.frombytes("I;16B", (16, 16), ramp.astype(">u2").tobytes())
    array = read_image(save("b.tif", image))
    assert np.abs(array - np.rint(ramp / 257)[:, :, None]).max() <= 0.5


def test_12_bit_tiff_is_refused(save):
    buffer = io.BytesIO()
    Image.fromarray(np.full((16, 16), 4095, np.uint16)).save(buffer, "TIFF")
    bits = b"\x02\x01\x03\x00\x01\x00\x00\x00"
    data = buffer.getvalue().replace(bits + b"\x10\x00", bits + b"\x0c\x00")
    with pytest.raises(ImageReadError, match=r"t\.tif – its pixels have \(?12,?\)? bits – export"):
        read_image(save("t.tif", data))


@pytest.mark.parametrize("mode", ["F", "LAB", "I"])
def test_unknown_range_or_colour_space_is_refused(save, mode):
    path = save("x.tif", Image.new(mode, (16, 16)))
    with pytest.raises(ImageReadError, match=rf"x\.tif – its pixels are of mode {mode}.*export"):
        read_image(path)


def draft_scales(monkeypatch):
    seen = []
    original = _read.open_image

    def spy(file):
        seen.append(original(file))
        return seen[-1]

    monkeypatch.setattr(_read, "open_image", spy)
    return lambda: [image.decoderconfig[0] if image.decoderconfig else 1 for image in seen]


@pytest.mark.parametrize(
    ("size", "fit", "scale"),
    [
        (None, "crop", 1),
        (300, "crop", 1),
        (192, "crop", 2),
        (96, "crop", 4),
        ((40, 200), "crop", 2),
        (128, "pad", 4),
        ((48, 64), "squash", 8),
        (1000, "crop", 1),
    ],
)
def test_large_jpegs_are_decoded_small_but_never_too_small(
    save, lesion, monkeypatch, size, fit, scale
):
    large = np.asarray(Image.fromarray(lesion).resize((512, 384), Image.Resampling.BICUBIC))
    path = save("large.jpg", large, quality=95)
    scales = draft_scales(monkeypatch)
    array = read_image(path, size, fit=fit)
    assert scales() == [scale]
    if size is not None:
        whole = fit_image(np.asarray(Image.open(path)), size, fit)
        assert array.shape == whole.shape
        assert np.abs(array.astype(int) - whole).mean() < 2


def test_reduced_scale_of_a_lying_jpeg(save, lesion, monkeypatch):
    large = np.asarray(Image.fromarray(lesion).resize((512, 384), Image.Resampling.BICUBIC))
    path = save("lying.jpg", turned(large, 6), exif=exif_block(6), quality=95)
    scales = draft_scales(monkeypatch)
    array = read_image(path, (96, 128))
    assert scales() == [4]
    assert np.abs(array.astype(int) - fit_image(large, (96, 128))).mean() < 2


@pytest.mark.parametrize("background", ["white", (1, 2), (0, 0, 256), (0.0, 0, 0), None])
def test_bad_background(save, lesion, background):
    with pytest.raises(InputError, match=r"background: .* – it is not \(red, green, blue\)"):
        read_image(save("a.png", lesion), background=background)


def test_not_a_path():
    with pytest.raises(InputError, match="file: ndarray – it is not a path – pass a str or a Path"):
        read_image(np.zeros((16, 16, 3), np.uint8))


def chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


@pytest.mark.parametrize("where", ["behind the pixels", "raw profile"])
def test_png_says_which_way_is_up_in_other_places(save, lesion, encode, where):
    data, exif = encode(np.asarray(turned(lesion, 6)), "PNG"), exif_block(6)
    end = data.index(b"IEND") - 4
    if where == "raw profile":
        text = f"\nexif\n{len(exif)}\n{exif.hex()}\n".encode()
        body = b"Raw profile type exif\0\0" + zlib.compress(text)
        start = data.index(b"IDAT") - 4
        data = data[:start] + chunk(b"zTXt", body) + data[start:]
    else:
        data = data[:end] + chunk(b"eXIf", exif.removeprefix(b"Exif\0\0")) + data[end:]
    path = save("a.png", data)
    assert np.array_equal(read_image(path), lesion)
    with Image.open(path) as image:
        assert np.array_equal(np.asarray(ImageOps.exif_transpose(image)), lesion)
        image.load()
    with Image.open(path) as image:
        assert np.array_equal(as_images([image])[0], lesion)
