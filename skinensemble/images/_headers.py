"""Tell by its first bytes what a file is, and check its size before any pixel is decoded."""

from __future__ import annotations

import struct
from typing import BinaryIO

from PIL import ExifTags, Image
from PIL.BmpImagePlugin import BmpImageFile
from PIL.ImageFile import ImageFile
from PIL.JpegImagePlugin import JpegImageFile
from PIL.PngImagePlugin import PngImageFile
from PIL.TiffImagePlugin import TiffImageFile
from PIL.WebPImagePlugin import WebPImageFile

from skinensemble.images._problems import Unreadable
from skinensemble.images._structure import MAX_PIXELS, check_png, check_tiff

MIN_SIDE = 8
"""Smallest height and width, in pixels, that is taken for an image."""


class _Jpeg(JpegImageFile):
    # Pillow looks for the resolution in EXIF and warns about any damage there.
    def getexif(self) -> Image.Exif:
        return Image.Exif()


class _Tiff(TiffImageFile):
    # Pillow turns a TIFF upright as it decodes it, but reads tags it has no use for on the way.
    def getexif(self) -> Image.Exif:
        exif = Image.Exif()
        exif[ExifTags.Base.Orientation] = self.tag_v2.get(ExifTags.Base.Orientation, 1)
        return exif


_READERS: dict[str, type[ImageFile]] = {
    "JPEG": _Jpeg,
    "PNG": PngImageFile,
    "BMP": BmpImageFile,
    "TIFF": _Tiff,
    "WebP": WebPImageFile,
}
_TIFF_STARTS = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
_REFUSED_STARTS = {
    b"GIF8": "GIF",
    b"%!PS": "EPS",
    b"\xc5\xd0\xd3\xc6": "EPS",
    b"\x00\x00\x00\x0cjP  ": "JPEG 2000",
    b"\xff\x4f\xff\x51": "JPEG 2000",
    b"\x00\x00\x00\x0cJXL ": "JPEG XL",
    b"%PDF": "PDF",
    b"8BPS": "Photoshop",
    b"PK\x03\x04": "ZIP",
    b"\x1f\x8b": "gzip",
}
_EXTENSIONS = {
    ".jpg": "JPEG",
    ".jpeg": "JPEG",
    ".jpe": "JPEG",
    ".jfif": "JPEG",
    ".png": "PNG",
    ".bmp": "BMP",
    ".tif": "TIFF",
    ".tiff": "TIFF",
    ".webp": "WebP",
}
_ACCEPTED = "export it as PNG or JPEG (JPEG, PNG, BMP, TIFF and WebP are read)"


def sniff(head: bytes) -> str:
    """Return the format that the first bytes of a file show, whatever its name says."""
    if head.startswith(b"\xff\xd8\xff"):
        return "JPEG"
    if head.startswith(b"\x89PNG\r\n\x1a\n"):
        return "PNG"
    if head.startswith(_TIFF_STARTS):
        return "TIFF"
    if head.startswith(b"RIFF") and head[8:12] == b"WEBP":
        return "WebP"
    if head.startswith(b"BM"):
        return "BMP"
    raise _refusal(head)


def mismatch(path: str, head: bytes) -> str:
    """Say in words when the name promises another format than the bytes hold, else ``""``."""
    actual = sniff(head)
    suffix = "." + path.rpartition(".")[2].lower()
    named = _EXTENSIONS.get(suffix)
    return f"named {suffix} but holds {actual}" if named not in (None, actual) else ""


def open_image(file: BinaryIO) -> ImageFile:
    """Return the image with its header read and nothing decoded; its size and frames are sane.

    Pillow's readers are called directly: ``Image.open`` obeys and warns by process-wide settings
    that other libraries change.
    """
    head = file.read(512)
    kind = sniff(head)
    if kind == "PNG":
        check_png(file)
    elif kind == "TIFF":
        check_tiff(file)
    elif kind == "WebP":
        _check_webp(head)
    file.seek(0)
    try:
        image = _READERS[kind](file)
    except Exception as error:
        raise undecodable(kind, error) from error
    check_size(*image.size)
    frames = image.n_frames if isinstance(image, WebPImageFile) else 1
    if frames > 1:
        raise Unreadable(f"it has {frames} frames", "export one frame as PNG or JPEG")
    return image


def check_size(width: int, height: int) -> None:
    """Refuse images of absurd size."""
    shown = f"{width} × {height} pixels"
    if min(width, height) < MIN_SIDE:
        why = f"{shown}, and each side must have at least {MIN_SIDE}"
        raise Unreadable(why, "leave it out")
    if width * height > MAX_PIXELS:
        why = f"{shown}, more than {MAX_PIXELS / 1e6:.0f} million"
        raise Unreadable(why, "crop or scale it down")


def undecodable(kind: str, error: Exception) -> Unreadable:
    """Say that Pillow could not make sense of a file."""
    reason = str(error) or type(error).__name__
    return Unreadable(f"damaged {kind} file ({reason})", "copy or export it again")


def _check_webp(head: bytes) -> None:
    # The decoder allocates the whole canvas when it is made, before it tells the size.
    size = _webp_size(head)
    if size is None:
        raise Unreadable("damaged WebP file (no size in its header)", "copy or export it again")
    check_size(*size)


def _webp_size(head: bytes) -> tuple[int, int] | None:
    chunk = head[12:16]
    if len(head) < 30:
        return None
    if chunk == b"VP8 ":
        width, height = struct.unpack_from("<HH", head, 26)
        return width & 0x3FFF, height & 0x3FFF
    if chunk == b"VP8L":
        (bits,) = struct.unpack_from("<I", head, 21)
        return (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
    if chunk == b"VP8X":
        return (
            int.from_bytes(head[24:27], "little") + 1,
            int.from_bytes(head[27:30], "little") + 1,
        )
    return None


def _refusal(head: bytes) -> Unreadable:
    if head[128:132] == b"DICM":
        remedy = "export it as PNG from your viewer, with the window it is to be seen in"
        return Unreadable("DICOM is not an accepted format", remedy)
    for start, name in _REFUSED_STARTS.items():
        if head.startswith(start):
            return Unreadable(f"{name} is not an accepted format", _ACCEPTED)
    if head[4:8] == b"ftyp":
        name = "AVIF" if head[8:11] == b"avi" else "HEIC or video"
        return Unreadable(f"{name} is not an accepted format", _ACCEPTED)
    text = head.lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    if text.startswith((b"<!doctype html", b"<html")):
        return Unreadable("a web page, not an image", "download the image itself again")
    if text.startswith((b"<svg", b"<?xml")):
        return Unreadable("SVG is not an accepted format", _ACCEPTED)
    return Unreadable(f"not an image: it begins with {head[:8]!r}", _ACCEPTED)
