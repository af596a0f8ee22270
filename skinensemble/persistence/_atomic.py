"""Replace a file so that at every moment the old or the new one is there, whole.

A temporary file beside the target is written, synced and renamed over it. A process that is
killed meanwhile leaves its temporary file behind; the next save into that folder removes it, and
knows it from one still being written by the lock its writer holds (Windows: by being open).
"""

from __future__ import annotations

import contextlib
import errno
import io
import math
import os
import re
import secrets
import stat
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from skinensemble.exceptions import SaveError, SkinEnsembleError, message

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

__all__ = ["replace_file", "write_all"]

_TEMPORARY = re.compile(r"\.skinensemble-[0-9a-f]{16}\.tmp")
_ATTEMPTS = 8
_NO_SPACE = {errno.ENOSPC, errno.EFBIG, getattr(errno, "EDQUOT", errno.ENOSPC)}
_NO_RIGHT = {errno.EACCES, errno.EPERM, errno.EROFS}

_Result = TypeVar("_Result")


def replace_file(
    path: str | os.PathLike[str], needed: int, fill: Callable[[io.FileIO], _Result]
) -> _Result:
    """Write a new file and put it in the place of `path` in one step.

    Parameters
    ----------
    path : str or path-like
        The target. A symbolic link is followed; the permissions of a file already there are kept.
    needed : int
        How many bytes the new file has, for the message when they do not fit.
    fill : callable
        Writes the content into the open, empty file it is given.

    Returns
    -------
    object
        What `fill` returned.

    Raises
    ------
    SaveError
        When the disk is full, the folder is missing or cannot be written to, or the target is no
        ordinary file. No temporary file is left, and what was at `path` before is unchanged,
        unless the new file was already in place and only syncing the folder failed.
    """
    target = Path(path)
    try:
        target = Path(os.path.realpath(path))
        _check_target(path, target)
        _remove_stale(target.parent)
        return _replace(target, fill)
    except (OSError, ValueError) as error:
        if isinstance(error, SkinEnsembleError):
            raise
        raise _save_error(path, target.parent.absolute(), needed, error) from error


def write_all(file: io.FileIO, data: bytes | memoryview) -> None:
    """Write all of `data`, however often the system takes only a part of it."""
    view = memoryview(data).cast("B")
    while view:
        view = view[file.write(view[: 2**23]) :]


def _check_target(path: str | os.PathLike[str], target: Path) -> None:
    try:
        mode = target.stat().st_mode
    except FileNotFoundError:
        return
    if not stat.S_ISREG(mode):
        why = "it is a folder" if stat.S_ISDIR(mode) else "it is no ordinary file but a device"
        raise SaveError(message("cannot save", path, why, "give the path of a file"))


def _replace(target: Path, fill: Callable[[io.FileIO], _Result]) -> _Result:
    temporary, file = _open_temporary(target.parent)
    try:
        with contextlib.suppress(FileNotFoundError):
            temporary.chmod(stat.S_IMODE(target.stat().st_mode))
        result = fill(file)
        os.fsync(file.fileno())
        if fcntl is None:
            file.close()  # Windows renames no open file
        temporary.replace(target)
    except BaseException:
        file.close()
        with contextlib.suppress(OSError):
            temporary.unlink()
        raise
    file.close()
    _sync_folder(target.parent)
    return result


def _open_temporary(folder: Path) -> tuple[Path, io.FileIO]:
    """Create a temporary file and lock it, so that other processes leave it alone."""
    for _ in range(_ATTEMPTS):
        path = folder / f".skinensemble-{secrets.token_hex(8)}.tmp"
        file = path.open("x+b", buffering=0)
        try:
            if _lock(file) and path.exists():
                return path, file
        except BaseException:
            file.close()
            path.unlink(missing_ok=True)
            raise
        file.close()  # another process took it for stale before it was locked
    raise BlockingIOError(errno.EAGAIN, "temporary files are removed as fast as they are made")


def _lock(file: io.FileIO) -> bool:
    """Lock the file; False only when another process holds it."""
    try:
        if fcntl is not None:
            fcntl.flock(file.fileno(), fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        pass  # a file system without locks: then nobody removes anything either
    return True


def _remove_stale(folder: Path) -> None:
    """Remove what processes killed while saving left in the folder."""
    with contextlib.suppress(OSError):  # a folder may be writable and yet not be listed
        for path in folder.iterdir():
            if _TEMPORARY.fullmatch(path.name) and not path.is_symlink():
                with contextlib.suppress(OSError):
                    _remove_unless_locked(path)


def _remove_unless_locked(path: Path) -> None:
    if fcntl is None:
        path.unlink()  # Windows refuses while it is open
        return
    with path.open("r+b", buffering=0) as file:
        fcntl.flock(file.fileno(), fcntl.LOCK_EX | fcntl.LOCK_NB)
        path.unlink()


def _sync_folder(folder: Path) -> None:
    """Make the new name survive a power cut, where folders can be synced at all."""
    if fcntl is None:
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in {errno.EINVAL, errno.ENOTSUP}:
            raise
    finally:
        os.close(descriptor)


def _save_error(
    path: str | os.PathLike[str], folder: Path, needed: int, error: OSError | ValueError
) -> SaveError:
    number = getattr(error, "errno", None)
    why, remedy = f"{error}", "look at the disk and save again"
    if number in _NO_SPACE:
        size = f"needs {math.ceil(needed / 1e6)} MB in {folder}"
        why = f"the disk is full or a limit is reached: {size}"
        remedy = "free some space or save elsewhere"
    elif number in _NO_RIGHT:
        why, remedy = (
            f"no right to write in {folder}",
            "save elsewhere, or change the folder's rights",
        )
    elif number == errno.ENOENT:
        why, remedy = f"there is no folder {folder}", "make it first"
    raised = SaveError(message("cannot save", path, why, remedy))
    raised.errno = number
    return raised
