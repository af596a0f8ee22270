"""Walk through the parts of JPEG, PNG and TIFF files before Pillow does.

Pillow only warns about some damage there, by way of settings that all threads share; here it is
found first and said in words. Layouts: PNG third edition, https://www.w3.org/TR/png-3/ ;
TIFF 6.0, https://www.itu.int/itudoc/itu-t/com16/tiff-fx/docs/tiff6.pdf .
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from typing import BinaryIO, NamedTuple

from PIL import TiffTags

from skinensemble.images._problems import Unreadable

_AGAIN = "copy or export it again"
_ONE_FRAME = "export one frame as PNG or JPEG"
# Bytes of one value of each TIFF type that Pillow reads.
_TYPE_BYTES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4}
_TYPE_BYTES[16] = 8
_TEXT_TYPES = (1, 2, 7)
_SUBFILE, _PHOTOMETRIC, _ORIENTATION = 254, 262, 274
_TILE = (322, 323)
# As many as a directory of the older kind can have.
_MOST_ENTRIES = 2**16 - 1
MAX_PIXELS = 100_000_000
"""Largest number of pixels that is decoded."""


def check_png(file: BinaryIO) -> None:
    """Refuse an animated PNG, by the chunks in front of the first pixel."""
    animated = False
    for kind, body in _png_chunks(file, until=b"IDAT"):
        if kind != b"acTL":
            continue
        frames = int.from_bytes(body[:4], "big")
        if frames > 1:
            raise Unreadable(f"it has {frames} frames", _ONE_FRAME)
        if animated or len(body) < 8 or frames == 0:
            raise Unreadable("damaged PNG file (its animation header)", _AGAIN)
        animated = True


def check_png_whole(file: BinaryIO) -> None:
    """Refuse a PNG of which any chunk fails its checksum, or which does not end."""
    pixels = False
    for kind, _ in _png_chunks(file, until=b"IEND"):
        pixels = pixels or kind == b"IDAT"
        if pixels and kind == b"acTL":
            raise Unreadable("damaged PNG file (its animation header)", _AGAIN)


def _png_chunks(file: BinaryIO, until: bytes) -> Iterator[tuple[bytes, bytes]]:
    limit = file.seek(0, 2)
    file.seek(8)
    kind = b""
    while kind != until:
        head = file.read(8)
        if len(head) < 8:
            raise Unreadable("the PNG file is cut off", _AGAIN)
        length, kind = int.from_bytes(head[:4], "big"), head[4:]
        if file.tell() + length + 4 > limit:
            raise Unreadable("the PNG file is cut off", _AGAIN)
        if kind == until == b"IDAT":
            return
        body, checksum = file.read(length), int.from_bytes(file.read(4), "big")
        if zlib.crc32(kind + body) != checksum:
            name = kind.decode("ascii", "backslashreplace")
            raise Unreadable(f"damaged PNG file (checksum of its {name} chunk)", _AGAIN)
        yield kind, body


def check_jpeg_end(data: bytes) -> None:
    """Refuse a JPEG without an end mark behind the start of its pixels.

    Pillow sees this too, unless some other library told it to accept cut files everywhere.
    """
    place = 2
    while data[place : place + 1] == b"\xff" and data[place + 1 : place + 2] != b"\xda":
        fill = data[place + 1 : place + 2] == b"\xff"
        place += 1 if fill else 2 + int.from_bytes(data[place + 2 : place + 4], "big")
    if data.find(b"\xff\xd9", place) < 0:
        raise Unreadable("the JPEG file is cut off: it has no end mark", _AGAIN)


class _Layout(NamedTuple):
    number: struct.Struct
    entry: struct.Struct
    pointer: struct.Struct


def _tiff_layout(order: str, big: bool) -> _Layout:
    formats = ("Q", "HHQ8s", "Q") if big else ("H", "HHL4s", "L")
    return _Layout(*(struct.Struct(order + one) for one in formats))


def check_tiff(file: BinaryIO) -> None:
    """Refuse a TIFF of several pages, and one whose directory points outside the file."""
    limit = file.seek(0, 2)
    file.seek(0)
    head = file.read(16)
    big = 43 in head[2:4]
    layout = _tiff_layout("<" if head[:1] == b"I" else ">", big)
    if len(head) < 16:
        raise Unreadable("the TIFF file is cut off", _AGAIN)
    (offset,) = layout.pointer.unpack_from(head, 8 if big else 4)
    entries, following = _tiff_directory(file, layout, offset, limit)
    _check_entries(entries, layout, limit)
    pages = [offset]
    while following and len(pages) < 1000:
        if following in pages:
            raise Unreadable("damaged TIFF file (its pages form a ring)", _AGAIN)
        pages.append(following)
        following = _tiff_following(file, layout, following, limit)[1]
    if len(pages) > 1:
        raise Unreadable(f"it has {len(pages)} pages", "export one page as PNG or JPEG")


def _tiff_directory(
    file: BinaryIO, layout: _Layout, offset: int, limit: int
) -> tuple[list[tuple[int, int, int, bytes]], int]:
    """Return the entries of a page, and where the next one lies."""
    count, following = _tiff_following(file, layout, offset, limit)
    if count > _MOST_ENTRIES:
        raise Unreadable(f"damaged TIFF file ({count} tags)", _AGAIN)
    file.seek(offset + layout.number.size)
    return list(layout.entry.iter_unpack(file.read(count * layout.entry.size))), following


def _tiff_following(file: BinaryIO, layout: _Layout, offset: int, limit: int) -> tuple[int, int]:
    """Return how many entries a page has, and where the next page lies."""
    if not 8 <= offset < limit:
        raise Unreadable("damaged TIFF file (a directory lies outside)", _AGAIN)
    file.seek(offset)
    head = file.read(layout.number.size)
    count = layout.number.unpack(head)[0] if len(head) == layout.number.size else limit
    end = offset + layout.number.size + count * layout.entry.size
    if end + layout.pointer.size > limit:
        raise Unreadable("the TIFF file is cut off", _AGAIN)
    file.seek(end)
    return count, layout.pointer.unpack(file.read(layout.pointer.size))[0]


def _check_entries(entries: list[tuple[int, int, int, bytes]], layout: _Layout, limit: int) -> None:
    total, tile = 0, 1
    for tag, kind, count, value in entries:
        if tag in _TILE and kind in (3, 4):
            form = layout.entry.format[0] + ("H" if kind == 3 else "L")
            tile *= struct.unpack_from(form, value)[0]
        length = _TYPE_BYTES.get(kind, 0) * count
        if length > len(value):
            total += length
            if layout.pointer.unpack(value)[0] + length > limit or total > limit:
                raise Unreadable(f"damaged TIFF file (tag {tag} lies outside)", _AGAIN)
        single = TiffTags.lookup(tag).length == 1 and kind not in _TEXT_TYPES
        if single and length and count != 1 and tag != _PHOTOMETRIC:
            raise Unreadable(f"damaged TIFF file (tag {tag} has {count} values)", _AGAIN)
        if tag == _SUBFILE and int.from_bytes(value, "little") in (1, 1 << 24):
            raise Unreadable("only a preview of the image (raw file?)", _ONE_FRAME)
    if tile > MAX_PIXELS:
        raise Unreadable(f"damaged TIFF file (tiles of {tile / 1e6:.0f} million pixels)", _AGAIN)


def exif_orientation(exif: bytes) -> int:
    """Return the orientation, 1 to 8, that an EXIF block asks for; 1 where it says nothing."""
    block = exif.removeprefix(b"Exif\0\0")
    if block[:4] not in (b"II*\0", b"MM\0*"):
        return 1
    layout = _tiff_layout("<" if block[:1] == b"I" else ">", big=False)
    try:
        (offset,) = layout.pointer.unpack_from(block, 4)
        (count,) = layout.number.unpack_from(block, offset)
        for number in range(count):
            place = offset + layout.number.size + number * layout.entry.size
            tag, kind, _, value = layout.entry.unpack_from(block, place)
            if tag == _ORIENTATION and kind == 3:
                (asked,) = layout.number.unpack_from(value)
                return asked if 1 <= asked <= 8 else 1
    except struct.error:
        pass
    return 1
