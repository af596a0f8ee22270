"""Public addresses of the data sets, fetched with checksums and unpacked safely."""

from __future__ import annotations

import contextlib
import hashlib
import os
import posixpath
import shutil
import socket
import tempfile
import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from skinensemble.datasets._files import FORMATS
from skinensemble.exceptions import DatasetError, message

__all__ = ["Remote", "count_images", "fetch", "fetch_archive"]

# JPEGs do not shrink in an archive, tables do: tenfold. More than this is a decompression bomb.
_LARGEST_RATIO = 100
_SILENCE = 60.0  # seconds


@dataclass(frozen=True)
class Remote:
    """A file at a public address.

    Attributes
    ----------
    name : str
        Name of the file on disk.
    url : str
    md5 : str or None
        Published MD5 checksum; None where none is published, and then the number of images and
        the archive's own checksums are what is compared.
    n_images : int or None
        Number of images in an archive.
    """

    name: str
    url: str
    md5: str | None = None
    n_images: int | None = None


def fetch(remote: Remote, folder: Path) -> Path:
    """Download a file with a progress bar, unless it is there already and whole.

    The file gets its name only when it is complete and its checksum is right, so a download that
    was cut off, even by a killed process, is started anew by the next call.

    Raises
    ------
    DatasetError
        When it cannot be had, or is not the published file.
    """
    target = folder / remote.name
    if target.is_file():
        _check_present(target, remote)
        return target
    part = _download(remote, _writable(folder))
    try:
        if remote.name.endswith(".zip"):
            _check_zip(part, remote)
        part.replace(target)
    finally:
        part.unlink(missing_ok=True)
    return target


def fetch_archive(remote: Remote, folder: Path, *, member: str | None = None) -> None:
    """Download a zip archive and unpack its images, or one file of it, straight into `folder`.

    Nothing is done when `folder` has them already. They appear there only after everything was
    unpacked; then the archive is removed.

    Raises
    ------
    DatasetError
        When the archive cannot be had, is damaged, or does not hold what it should.
    """
    present = (folder / member).is_file() if member else count_images(folder) >= _least(remote)
    if present:
        return
    archive = fetch(remote, _writable(folder if member else folder.parent))
    with tempfile.TemporaryDirectory(prefix=".unpacking-", dir=archive.parent) as temporary:
        _unpack(archive, Path(temporary), member)
        found = count_images(Path(temporary))
        if not member and remote.n_images not in (None, found):
            why = f"it holds {found} images instead of {remote.n_images}"
            raise DatasetError(message("archive", archive, why, "delete it and download it again"))
        folder.mkdir(exist_ok=True)
        for file in Path(temporary).iterdir():
            file.replace(folder / file.name)
    archive.unlink()


def _least(remote: Remote) -> int:
    return remote.n_images or 1


def _check_present(target: Path, remote: Remote) -> None:
    # It may be the user's own: this module gives a file its name only when it is whole.
    if remote.md5 is not None and _md5(target) != remote.md5:
        why = f"it is not the published file (its MD5 is not {remote.md5})"
        remedy = "move it away to download that, or call without download to use this one"
        raise DatasetError(message("file", target, why, remedy))


def _download(remote: Remote, folder: Path) -> Path:
    """Fetch into a file of another name, which is removed when anything goes wrong."""
    import keras

    part = folder / f"{remote.name}.part"
    try:
        with _timeout():
            keras.utils.get_file(
                part.name,
                origin=remote.url,
                file_hash=remote.md5,
                hash_algorithm="md5" if remote.md5 else "auto",
                cache_dir=str(folder),
                cache_subdir="",
                force_download=True,
            )
    except BaseException as error:
        part.unlink(missing_ok=True)
        if not isinstance(error, Exception):
            raise
        remedy = f"try again, or download it by hand into {folder} and call without download"
        raise DatasetError(message("download", remote.url, str(error), remedy)) from error
    return part


@contextlib.contextmanager
def _timeout() -> Iterator[None]:
    """Let a connection that went silent fail: Keras sets no limit, and would wait for ever."""
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(before or _SILENCE)
    try:
        yield
    finally:
        socket.setdefaulttimeout(before)


def _writable(folder: Path) -> Path:
    """Make the folder; Keras would go to its cache in /tmp if it could not write there."""
    with contextlib.suppress(OSError):
        folder.mkdir(parents=True, exist_ok=True)
    if not os.access(folder, os.W_OK | os.X_OK):
        why = "it cannot be written"
        raise DatasetError(message("download folder", folder, why, "choose another folder"))
    return folder


def _md5(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()


def _check_zip(part: Path, remote: Remote) -> None:
    # A transfer without a stated length can end early unnoticed; a zip ends with its directory.
    if not zipfile.is_zipfile(part):
        why = f"what came is no zip archive, or was cut off at {part.stat().st_size} bytes"
        raise DatasetError(message("download", remote.url, why, "try again"))


def count_images(folder: Path) -> int:
    """Count the image files directly in a folder; 0 when there is no folder."""
    if not folder.is_dir():
        return 0
    return sum(posixpath.splitext(entry.name)[1].lower() in FORMATS for entry in os.scandir(folder))


def _unpack(archive: Path, folder: Path, wanted: str | None) -> None:
    """Unpack by bare names, so that no member of the archive can leave `folder`."""
    try:
        with zipfile.ZipFile(archive) as file:
            for name, member in _members(archive, file, wanted).items():
                with file.open(member) as source, (folder / name).open("xb") as target:
                    shutil.copyfileobj(source, target, 1 << 20)
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError) as error:
        why = f"it is damaged ({error})"
        remedy = "delete it and download it again"
        raise DatasetError(message("archive", archive, why, remedy)) from error


def _members(
    archive: Path, file: zipfile.ZipFile, wanted: str | None
) -> dict[str, zipfile.ZipInfo]:
    """Choose what to unpack, by name in the target folder."""
    members: dict[str, zipfile.ZipInfo] = {}
    for member in file.infolist():
        name = PurePosixPath(member.filename.replace("\\", "/")).name
        chosen = name == wanted if wanted else posixpath.splitext(name)[1].lower() in FORMATS
        if member.is_dir() or name.startswith(".") or not chosen:
            continue
        if name in members:
            why = f"it holds {name} twice"
            raise DatasetError(message("archive", archive, why, "unpack it by hand"))
        members[name] = member
    total = sum(member.file_size for member in members.values())
    if not members or total > _LARGEST_RATIO * archive.stat().st_size:
        why = (
            f"it would unpack to {total / 1e6:.0f} MB" if members else "what is wanted is not in it"
        )
        raise DatasetError(message("archive", archive, why, "look at it and unpack it by hand"))
    return members
