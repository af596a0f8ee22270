"""Paths as users give them, and files that are one although their names differ."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

from skinensemble.exceptions import InputError, message

__all__ = [
    "AS_IMAGE",
    "exists",
    "expanded",
    "first_same",
    "is_content",
    "is_file",
    "is_folder",
    "refuse_path",
]

AS_IMAGE = "pass the path, or PIL's Image.open(BytesIO(content)), in a list"
"""What to do about the content of a file where its path is expected."""


def expanded(path: str | os.PathLike) -> Path:
    """Return a path with its ``~`` expanded, unless that is part of a name such as ``~a.png``.

    Raises
    ------
    InputError
        When it is the empty string, which pathlib takes for the present folder.
    """
    if not os.fspath(path):
        raise InputError(message("path", "''", "it is empty", "name a file or a folder"))
    try:
        return Path(path).expanduser()
    except RuntimeError:  # no such user
        return Path(path)


# pathlib raises where a folder above may not be entered, or a name is too long.


def exists(path: str | os.PathLike) -> bool:
    """Tell whether there is something that can be seen."""
    return os.path.exists(path)  # noqa: PTH110


def is_file(path: str | os.PathLike) -> bool:
    """Tell whether there is an ordinary file that can be seen."""
    return os.path.isfile(path)  # noqa: PTH113


def is_folder(path: str | os.PathLike) -> bool:
    """Tell whether there is a folder that can be seen."""
    return os.path.isdir(path)  # noqa: PTH112


def first_same(
    path: str | os.PathLike, files: Iterable[str | os.PathLike]
) -> str | os.PathLike | None:
    """Return the first of these files that is the one at `path`, which need not be there yet."""
    own = _identity(path)
    return next((file for file in files if _identity(file) == own), None)


def _identity(path: str | os.PathLike) -> object:
    try:
        status = Path(path).stat()
        return status.st_dev, status.st_ino
    except OSError:
        return os.path.realpath(path)
    except ValueError:  # it holds a NUL
        return path


def refuse_path(X) -> None:
    """Raise InputError where one path stands for a list of images: its letters would be counted."""
    if isinstance(X, str | bytes | os.PathLike):
        why, remedy = "one path; a list of images is expected", "pass [path]"
        if is_content(X):
            why, remedy = "one file's content; a list of images is expected", AS_IMAGE
        elif is_folder(os.fsdecode(X)):
            remedy = "pass a list of the files in it"
        raise InputError(message("images", f"{X!r:.200}", why, remedy))


def is_content(path: object) -> bool:
    """Tell whether what should be a path is what was read from the file."""
    return isinstance(path, bytes) and (b"\0" in path or len(path) > 4096)
