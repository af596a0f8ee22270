"""Open nothing but ordinary files of a sane size, and remember what was in them."""

from __future__ import annotations

import hashlib
import os
import re
import stat
import time
from typing import BinaryIO

from skinensemble.images._problems import Unreadable

MAX_FILE_BYTES = 128 * 2**20
"""Largest image file that is opened."""

Signature = tuple[int, int, int, int, int]

_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+://")
_REMEMBERED = 2**18
# A file changed twice within one tick of the file system's clock keeps its signature.
_RACY_NS = 2 * 10**9
_digests: dict[Signature, bytes] = {}
_headers: set[Signature] = set()


def digest_of(data: bytes) -> bytes:
    """Return the first 16 bytes of the SHA-256 of `data`."""
    return hashlib.sha256(data).digest()[:16]


def open_regular(path: str) -> tuple[BinaryIO, Signature]:
    """Open `path` for reading if it is an ordinary file that is neither empty nor huge.

    Folders, pipes and devices are recognised without being opened: opening a pipe waits for ever.
    """
    _check_status(_status(path))
    try:
        file = open(path, "rb", opener=_opener)  # noqa: SIM115
    except OSError as error:
        raise Unreadable(reason_of(error), "make the file readable") from error
    try:
        status = os.fstat(file.fileno())
        _check_status(status)
    except BaseException:
        file.close()
        raise
    return file, _signature(status)


def read_bytes(path: str) -> tuple[bytes, bytes]:
    """Return the whole file and its digest, remembered for :func:`remembered_digest`."""
    file, signature = open_regular(path)
    with file:
        try:
            data = file.read(MAX_FILE_BYTES + 1)
        except OSError as error:
            raise Unreadable(reason_of(error), "copy the file again") from error
    digest = digest_of(data)
    if len(data) == signature[2]:
        _remember(signature, digest)
    return data, digest


def remembered_digest(path: str) -> bytes | None:
    """Return the digest of `path` if this process read it before and it is unchanged since."""
    return _digests.get(_signature(_status(path)))


def header_was_read(path: str) -> bool:
    """Tell whether :func:`remember_header` saw this very file before."""
    return _signature(_status(path)) in _headers


def remember_header(signature: Signature) -> None:
    """Note that the header of the file with this signature is sound."""
    if _settled(signature):
        if len(_headers) >= _REMEMBERED:
            _headers.clear()
        _headers.add(signature)


def _remember(signature: Signature, digest: bytes) -> None:
    if _settled(signature):
        if len(_digests) >= _REMEMBERED:
            _digests.clear()
        _digests[signature] = digest


def _settled(signature: Signature) -> bool:
    return time.time_ns() - max(signature[3:]) > _RACY_NS


def _signature(status: os.stat_result) -> Signature:
    return (status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns)


def _opener(path: str, flags: int) -> int:
    # The path may have become a pipe since it was looked at.
    return os.open(path, flags | getattr(os, "O_NONBLOCK", 0))


def _status(path: str) -> os.stat_result:
    try:
        return os.stat(path)  # noqa: PTH116 - Path("") would be the present folder
    except (OSError, ValueError) as error:
        why, remedy = reason_of(error), "check the path"
        if _URL.match(path):
            why, remedy = "a web address, not a file", "download it and pass the path"
        elif path.startswith("~") and isinstance(error, FileNotFoundError):
            remedy = "~ is not expanded here: pass Path(path).expanduser()"
        raise Unreadable(why, remedy) from error


def reason_of(error: Exception) -> str:
    """Say in a few words what the operating system has against a path."""
    if isinstance(error, FileNotFoundError):
        return "there is no such file"
    if isinstance(error, OSError):
        return (error.strerror or type(error).__name__).lower()
    return f"not a possible path ({error})"


def _check_status(status: os.stat_result) -> None:
    if stat.S_ISDIR(status.st_mode):
        raise Unreadable("a folder, not a file", "pass the paths of the files in it")
    if not stat.S_ISREG(status.st_mode):
        raise Unreadable("a pipe, socket or device, not a file", "save the image to a file first")
    if status.st_size == 0:
        raise Unreadable("the file is empty", "copy it again")
    if status.st_size > MAX_FILE_BYTES:
        shown = f"{status.st_size / 2**20:.0f} MiB, more than {MAX_FILE_BYTES // 2**20} MiB"
        raise Unreadable(shown, "export it as JPEG or PNG")
