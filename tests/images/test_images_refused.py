"""What is no ordinary file of a sane size is refused by its header, in words."""

from __future__ import annotations

import io
import os
import subprocess
import sys
import textwrap
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from skinensemble.exceptions import ImageReadError
from skinensemble.images import _accept, _files, as_images, read_image

HEAD_OF_DICOM = bytes(128) + b"DICM" + bytes(64)


@pytest.mark.parametrize(
    ("name", "data", "text"),
    [
        ("a.eps", b"%!PS-Adobe-3.0 EPSF-3.0", "EPS is not an accepted format – export it as PNG"),
        ("a.svg", b"<svg xmlns='...'></svg>", "SVG is not an accepted format – export it as PNG"),
        ("b.svg", b"\xef\xbb\xbf\n<?xml version='1.0'?>", "SVG is not an accepted format"),
        ("a.heic", b"\0\0\0\x18ftypheic" + bytes(40), "HEIC or video is not an accepted format"),
        ("a.avif", b"\0\0\0\x18ftypavif" + bytes(40), "AVIF is not an accepted format – export"),
        ("a.jp2", b"\0\0\0\x0cjP  \r\n\x87\n" + bytes(40), "JPEG 2000 is not an accepted format"),
        ("a.dcm", HEAD_OF_DICOM, "DICOM is not an accepted format – export it as PNG from your v"),
        ("a.gif", b"GIF89a" + bytes(40), "GIF is not an accepted format – export it as PNG"),
        ("a.zip", b"PK\x03\x04" + bytes(40), "ZIP is not an accepted format"),
        ("a.jpg", b"<!DOCTYPE html><html>", "a web page, not an image – download the image"),
        ("b.jpg", b"hello, world", "not an image: it begins with b'hello, w' – export it as PNG"),
        ("c.jpg", b"", "the file is empty – copy it again"),
    ],
)
def test_other_formats(save, name, data, text):
    path = save(name, data)
    with pytest.raises(ImageReadError) as caught:
        read_image(path)
    assert f"image cannot be read: {path} – {text}" in str(caught.value)


def test_animations_and_pages(save, lesion):
    frames = [Image.fromarray(np.roll(lesion, 5 * step, axis=1)) for step in range(4)]
    for name in ("a.png", "a.webp", "a.gif", "a.tif"):
        save(name, frames[0], save_all=True, append_images=frames[1:])
    folder = save("still.png", frames[0]).parent
    for name, text in {
        "a.png": "it has 4 frames – export one frame as PNG",
        "a.webp": "it has 4 frames – export one frame as PNG",
        "a.gif": "GIF is not an accepted format – export it",
        "a.tif": "it has 4 pages – export one page as PNG",
    }.items():
        for read in (read_image, lambda path: as_images([path])):
            with pytest.raises(ImageReadError, match=rf"{name} – {text}"):
                read(folder / name)


def test_preview_of_a_raw_file(save, lesion, tmp_path):
    path = save("raw.tif", lesion, tiffinfo={254: 1}).rename(tmp_path / "raw.dng")
    with pytest.raises(ImageReadError, match=r"raw\.dng – only a preview of the image"):
        read_image(path)


def png(width, height, rows=b""):
    def chunk(kind, body):
        check = zlib.crc32(kind + body).to_bytes(4, "big")
        return len(body).to_bytes(4, "big") + kind + body + check

    header = width.to_bytes(4, "big") + height.to_bytes(4, "big") + b"\x01\0\0\0\0"
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")
    )


def patched(data, old, new):
    assert data.count(old) >= 1
    return data.replace(old, new)


def test_absurd_sizes(save, lesion, encode):
    sizes = b"\0\x30\0\x40"
    huge = {
        "a.png": png(13_000, 13_000),
        "b.png": png(1, 4000),
        "c.png": png(1, 1),
        "a.jpg": patched(encode(lesion, "JPEG"), sizes, b"\xff\xf0\xff\xf0"),
        "a.bmp": patched(encode(lesion, "BMP"), b"\x40\0\0\0\x30\0\0\0", b"\0\x40\0\0\0\x40\0\0"),
        "a.webp": encode(lesion, "WEBP", lossless=True, xmp=b"x"),
    }
    at = huge["a.webp"].index(b"VP8X") + 12
    huge["a.webp"] = huge["a.webp"][:at] + b"\xff\x3f\0\xff\x3f\0" + huge["a.webp"][at + 6 :]
    paths = [save(name, data) for name, data in huge.items()]
    with pytest.raises(ImageReadError, match="images cannot be read: 6 of 6") as caught:
        as_images(paths)
    assert [one.problem for one in caught.value.problems] == [
        "13000 × 13000 pixels, more than 100 million",
        "1 × 4000 pixels, and each side must have at least 8",
        "1 × 1 pixels, and each side must have at least 8",
        "65520 × 65520 pixels, more than 100 million",
        "16384 × 16384 pixels, more than 100 million",
        "16384 × 16384 pixels, more than 100 million",
    ]


@pytest.mark.skipif(sys.platform == "win32", reason="needs the module resource")
def test_bombs_are_refused_before_memory_is_taken(tmp_path):
    rows = {
        side: zlib.compress(bytes(side * ((side + 7) // 8 + 1)), 9) for side in (13_000, 20_000)
    }
    for side, packed in rows.items():
        (tmp_path / f"{side}.png").write_bytes(png(side, side, packed))
        assert len(packed) < 60_000
    with (tmp_path / "large.jpg").open("wb") as file:
        file.write(b"\xff\xd8\xff\xe0")
        file.truncate(200_000_000)
    script = """
        import resource, sys
        from skinensemble.exceptions import ImageReadError
        from skinensemble.images import read_image
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        for path in sys.argv[1:]:
            try:
                read_image(path)
            except ImageReadError as error:
                print(error)
        grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
        assert grown < 50 * 1024, f"{grown} KiB"
    """
    paths = [str(path) for path in sorted(tmp_path.iterdir())]
    command = [sys.executable, "-c", textwrap.dedent(script), *paths]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
    lines = done.stdout.splitlines()
    assert len(lines) == 3
    assert "13000 × 13000 pixels, more than 100 million – crop or scale it down" in lines[0]
    assert "20000 × 20000 pixels, more than 100 million" in lines[1]
    assert "191 MiB, more than 128 MiB – export it as JPEG or PNG" in lines[2]


@pytest.fixture
def opened(monkeypatch):
    """Paths that are opened through the only door to files."""
    seen = []
    original = os.open

    def spy(path, flags, *rest, **options):
        seen.append(path)
        return original(path, flags, *rest, **options)

    monkeypatch.setattr(os, "open", spy)
    return seen


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs pipes")
def test_only_ordinary_files_are_opened(tmp_path, save, lesion, monkeypatch, opened):
    monkeypatch.chdir(tmp_path)
    save("good.png", lesion)
    os.mkfifo("pipe.png")
    Path("loop_a").symlink_to("loop_b")
    Path("loop_b").symlink_to("loop_a")
    expected = {
        "pipe.png": "a pipe, socket or device, not a file – save the image",
        "/dev/zero": "a pipe, socket or device, not a file – save the image",
        str(tmp_path): "a folder, not a file – pass the paths",
        "loop_a": "too many levels of symbolic links – check the path",
        "missing.png": "there is no such file – check the path",
        "good.png/x": "not a directory – check the path",
        "~/lesion.png": "there is no such file – ~ is not expanded here: pass Path(path).expand",
        "https://example.org/a.jpg": "a web address, not a file – download it",
        "gs://bucket/a.jpg": "a web address, not a file – download it",
        "": "there is no such file – check the path",
        "a\0.png": "not a possible path",
    }
    with pytest.raises(ImageReadError, match=r"11 of 12 – .* and 1 more") as caught:
        as_images([*expected, "good.png"])
    for problem, (path, text) in zip(caught.value.problems, expected.items(), strict=True):
        assert problem.name == path
        assert f"{problem.problem} – {problem.remedy}".startswith(text)
        with pytest.raises(ImageReadError):
            read_image(path)
    assert opened == ["good.png"]
    assert "\0" not in str(caught.value)


def test_unreadable_permissions(save, lesion, monkeypatch):
    path = save("secret.png", lesion)

    def refuse(*_):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(os, "open", refuse)
    with pytest.raises(ImageReadError, match=r"secret\.png – permission denied – make the file re"):
        read_image(path)


def test_failing_disk(save, lesion, monkeypatch):
    class Broken(io.BytesIO):
        def read(self, *_):
            raise OSError(5, "Input/output error")

    path = save("a.png", lesion)
    for module in (_files, _accept):
        monkeypatch.setattr(module, "open_regular", lambda path: (Broken(), (0, 0, 0, 0, 0)))
    for read in (read_image, lambda path: as_images([path])):
        with pytest.raises(ImageReadError, match=r"a\.png – input/output error – copy the file"):
            read(path)
