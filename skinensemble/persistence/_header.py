"""The fixed first bytes of a saved file, and what to say when they are not there."""

from __future__ import annotations

import re
import struct
from typing import NamedTuple

from skinensemble.exceptions import ModelFileError, message
from skinensemble.persistence._foreign import looks_like

__all__ = [
    "DIGEST",
    "FIRST_RELEASE",
    "FORMAT_VERSION",
    "HEAD",
    "HEADER",
    "MAGIC",
    "Header",
    "check_header",
    "damaged",
    "foreign",
]

FORMAT_VERSION = 1
"""Version of the format that is written; all versions up to it are read."""

FIRST_RELEASE = {1: "0.1.0"}
MAGIC = b"\x93SKINENSEMBLE\r\n\x1a"
HEADER = struct.Struct("<16sIIQQ16s32s")
DIGEST = slice(56, 88)
HEAD = 8192  # enough to tell an HDF5 file behind a user block of 4096 bytes


class Header(NamedTuple):
    """The fields of the header, in the order of the file (see `container`)."""

    magic: bytes
    version: int
    block: int
    length: int
    index_length: int
    release: bytes
    digest: bytes


def foreign(path: str, kind: str) -> ModelFileError:
    """Return the error for something that is no file of ours."""
    why = f"not a skinensemble file (looks like {kind})"
    return ModelFileError(message("cannot load", path, why, "give a file that save() wrote"))


def damaged(path: str, why: str) -> ModelFileError:
    """Return the error for a file of ours that was damaged."""
    return ModelFileError(
        message("cannot load", path, why, "copy it again from where it was saved")
    )


def check_header(path: str, head: bytes, size: int) -> Header:
    """Return the header of a file of `size` bytes beginning with `head`, or say what it is."""
    if not head or not head.startswith(MAGIC[: len(head)]):
        if head.startswith(MAGIC[:13]):
            raise damaged(path, "line ends were changed, as a transfer in text mode does")
        raise foreign(path, looks_like(head))
    if size < HEADER.size:
        raise damaged(path, f"cut off at {size} of more than {HEADER.size} bytes")
    header = Header(*HEADER.unpack(head[: HEADER.size]))
    if header.version not in FIRST_RELEASE:
        raise _other_version(path, header)
    if size < header.length:
        raise damaged(path, f"cut off at {size:,} of {header.length:,} bytes")
    if size > header.length:
        why = f"{size - header.length:,} bytes follow the end of the file at {header.length:,}"
        raise damaged(path, why)
    return header


def _other_version(path: str, header: Header) -> ModelFileError:
    if header.version < FORMAT_VERSION:
        return damaged(path, f"there never was a format version {header.version}")
    release = header.release.rstrip(b"\0").decode("ascii", "replace")
    if header.version > 2**16 or not re.fullmatch(r"\d+\.\d+[0-9A-Za-z.]*", release):
        return damaged(path, f"its format version {header.version} is not believable")
    why = f"format version {header.version}; this library reads up to {FORMAT_VERSION}"
    return ModelFileError(message("cannot load", path, why, f"upgrade to skinensemble ≥ {release}"))
