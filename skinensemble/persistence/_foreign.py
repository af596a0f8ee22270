"""What a file that is not ours looks like, told from its first bytes."""

from __future__ import annotations

import stat
from pathlib import Path

__all__ = ["looks_like", "looks_like_special"]

_HDF5 = b"\x89HDF\r\n\x1a\n"
_SIGNATURES: tuple[tuple[bytes, str], ...] = (
    (b"PK\x03\x04", "a zip archive, as .keras and .npz files are"),
    (b"\x1f\x8b", "a gzip file"),
    (b"BZh", "a bzip2 file"),
    (b"\xfd7zXZ\x00", "an xz file"),
    (b"\x93NUMPY", "a .npy array"),
    (b"\x89PNG\r\n", "a PNG image"),
    (b"\xff\xd8\xff", "a JPEG image"),
    (b"GIF8", "a GIF image"),
    (b"%PDF", "a PDF"),
    (b"\x7fELF", "a program"),
    (b"version https://git-lfs", "a Git LFS pointer; `git lfs pull` gets the file itself"),
    (b"<", "a web page or XML"),
    (b"{", "JSON text"),
)


def looks_like(head: bytes) -> str:
    r"""Describe the file that begins with `head`.

    Examples
    --------
    >>> looks_like(b"PK\x03\x04...")
    'a zip archive, as .keras and .npz files are'
    >>> looks_like(b"")
    'an empty file'
    """
    if not head:
        return "an empty file"
    if any(head[start:].startswith(_HDF5) for start in (0, 512, 1024, 2048, 4096)):
        return "an HDF5 file of another program, as Keras' .h5 files are"
    for signature, name in _SIGNATURES:
        if head.startswith(signature):
            return name
    return _looks_like_by_pattern(head)


def _looks_like_by_pattern(head: bytes) -> str:
    if head[0] == 0x80 and len(head) > 1 and head[1] <= 5:
        return "a pickle, as joblib writes"
    if head[0] == 0x78 and int.from_bytes(head[:2], "big") % 31 == 0:
        return "a zlib stream, as compressed joblib files are"
    if head[8:10] == b'{"':
        return "a safetensors file"
    if not any(head):
        return "nothing but zeros"
    text = set(b"\t\n\r") | set(range(32, 127))
    return "text" if set(head) <= text else "unknown binary data"


def looks_like_special(path: str, mode: int) -> str:
    """Describe a path that is no ordinary file, from its ``st_mode``."""
    if stat.S_ISDIR(mode):
        saved_model = Path(path, "saved_model.pb").exists()
        return "a TensorFlow SavedModel folder" if saved_model else "a folder"
    kinds = {
        stat.S_IFIFO: "a named pipe",
        stat.S_IFSOCK: "a socket",
        stat.S_IFCHR: "a device",
        stat.S_IFBLK: "a device",
    }
    return kinds.get(stat.S_IFMT(mode), "something that is no ordinary file")
