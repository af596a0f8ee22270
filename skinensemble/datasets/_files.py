"""Which images a folder holds, found by listing it: no file is opened, none outside it touched."""

from __future__ import annotations

import os
import posixpath
import re
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from skinensemble._paths import exists, expanded, is_file, is_folder
from skinensemble.exceptions import DatasetError, first_few, message

__all__ = ["FORMATS", "ImageIndex", "Match", "absolute", "as_folder", "entries_of", "names_of"]

FORMATS = frozenset({".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".bmp", ".tif", ".tiff", ".webp"})
"""Endings of the image files that the library reads."""

_REFUSED = frozenset(
    {
        *(".gif", ".heic", ".heif", ".avif", ".jp2", ".jxl", ".dcm", ".dicom"),
        *(".svg", ".eps", ".psd", ".dng", ".nef", ".cr2", ".cr3", ".arw"),
    }
)
# Masks which the ISIC archive ships beside its images, under the same ids.
_MASKS = ("_segmentation", "_superpixels")
_DOWNSAMPLED = "_downsampled"
_DRIVE = re.compile(r"[A-Za-z]:")

Match = tuple[str, str, str]
"""Path of an image (empty when it cannot be had), kind of problem, detail."""


def absolute(path: str | os.PathLike) -> Path:
    """Return `path` without ``~`` and ``..``, from the root on; links stay as they are named."""
    return Path(os.path.normpath(expanded(path).absolute()))


def as_folder(path: str | os.PathLike, remedy: str) -> Path:
    """Return `path` as an absolute path of a folder that exists."""
    folder = absolute(path)
    if not is_folder(folder):
        why = "it is a file, not a folder" if exists(folder) else "there is no such folder"
        raise DatasetError(message("image folder", folder, why, remedy))
    return folder


def entries_of(folder: str | os.PathLike) -> list[os.DirEntry[str]]:
    """Return what is in a folder."""
    try:
        return list(os.scandir(os.fspath(folder)))
    except OSError as error:
        why = f"it cannot be listed ({error.strerror})"
        raise DatasetError(message("folder", folder, why, "check its permissions")) from error


class ImageIndex:
    """The images below a folder, to be looked up by id, name or relative path.

    Parameters
    ----------
    root : Path
        The folder; nothing outside it is opened, and links that lead outside are refused.
    folders : iterable of str, optional
        Subfolders to list, relative to `root`, each with everything below it; by default all.
    flat : bool, default=False
        List also the files directly in `root` when `folders` are given.

    Attributes
    ----------
    files : list of str
        Paths of the images relative to `root`, with ``/``, in sorted order.
    formats : dict of str to str
        Relative paths of images in a format that is not read, and what to do.
    links : dict of str to str
        Relative paths of links that are not followed, and why.
    """

    def __init__(
        self, root: Path, folders: Iterable[str] | None = None, *, flat: bool = False
    ) -> None:
        self.root = root
        self._real = os.path.realpath(root)
        self._targets: dict[str, str] = {}
        self.formats: dict[str, str] = {}
        self.links: dict[str, str] = {}
        self.files: list[str] = []
        if folders is None:
            self.files += self._walk("")
        else:
            self.files += self._walk("", deep=False) if flat else []
            for folder in folders:
                self._check_inside(folder)
                self.files += self._walk(folder)
        self.files.sort()
        if not self.files:
            why = "it holds no image, nor do its folders"
            remedy = "pass the right folder; unpack the images if they are still in an archive"
            if self.links:
                shown = first_few((f"{name}: {why}" for name, why in sorted(self.links.items())), 3)
                why = f"the links in it are not followed ({shown})"
                remedy = "pass the folder that holds the images themselves, or link that as a whole"
            raise DatasetError(message("image folder", root, why, remedy))
        self._names = _keys(self.files, posixpath.basename)
        self._paths: dict[str, list[str]] | None = None

    def _check_inside(self, folder: str) -> None:
        if not self._inside(os.path.realpath(self.path(folder))):
            why = "it is a link that leads out of the data set"
            remedy = "move the images into it, or link the whole folder instead"
            raise DatasetError(message("folder", self.path(folder), why, remedy))

    def _inside(self, target: str) -> bool:
        return target.startswith(self._real.rstrip(os.sep) + os.sep)

    def path(self, relative: str) -> str:
        """Return the absolute path of one of `files`."""
        return str(self.root) + os.sep + relative.replace("/", os.sep)

    def identity(self, relative: str) -> str:
        """Return the file that `relative` ends at, itself or the target of a link."""
        return self._targets.get(relative, relative)

    def match(self, reference: str) -> Match:
        """Find the image that a table means by an id, a file name or a relative path."""
        relative, fault = self._relative(reference)
        if fault:
            return "", "unsafe path", fault
        found = self._look_up(relative)
        key = relative.casefold()
        # A whole name means that file, also where it is the id of another, as of a.jpg.png.
        whole = [file for file in found if key in (file.casefold(), names_of(file)[1].casefold())]
        found = whole if len(whole) == 1 else found
        if len(found) == 1:
            return found[0], "", ""
        if found:
            return "", "more than one file", " and ".join(found[:3])
        wanted = posixpath.basename(relative)
        for kind, refused in (("unsafe link", self.links), ("format not read", self.formats)):
            for name, why in refused.items():
                if wanted in names_of(name):
                    return "", kind, why
        return "", "no image file", ""

    def _look_up(self, relative: str) -> list[str]:
        if "/" in relative:
            if self._paths is None:
                self._paths = _keys(self.files, str)
            return self._paths.get(relative.casefold(), [])
        key = relative.casefold()
        # The 2019 challenge renamed some images of the archive; copies use either name.
        for name in (key, key + _DOWNSAMPLED, key.replace(_DOWNSAMPLED, "")):
            if name in self._names:
                return self._names[name]
        return []

    def _relative(self, reference: str) -> tuple[str, str]:
        """Return the reference relative to the root, or why it is not followed."""
        if "\0" in reference:
            return "", "it has a NUL byte"
        if "://" in reference:
            return "", "it is an address, not a file"
        if reference.startswith("~"):
            return "", "it points to a home folder"
        path = reference.replace("\\", "/")
        if path.startswith("/") or _DRIVE.match(path):
            root = self.root.as_posix().rstrip("/") + "/"
            if not path.startswith(root):
                return "", "it is absolute and outside the folder"
            path = path.removeprefix(root)
        path = posixpath.normpath(path)
        if path == ".." or path.startswith(("../", "/")):
            return "", "it leads out of the folder"
        return path, ""

    def _walk(self, folder: str, *, deep: bool = True) -> Iterator[str]:
        """Yield the images of a folder, relative to the root, with one listing for each folder."""
        left = [folder]
        while left:
            at = left.pop()
            for entry in entries_of(self.path(at) if at else self.root):
                name = f"{at}/{entry.name}" if at else entry.name
                if entry.name.startswith("."):
                    continue
                if entry.is_symlink():
                    if self._accept_link(entry, name, deep):
                        yield name
                elif entry.is_dir(follow_symlinks=False):
                    left += [name] if deep else []
                elif self._accept_file(name) and entry.is_file(follow_symlinks=False):
                    yield name

    def _accept_file(self, name: str) -> bool:
        stem, ending = posixpath.splitext(name)
        if ending.lower() in _REFUSED:
            self.formats[name] = f"{ending.lower()}: export it as PNG or JPEG"
        return ending.lower() in FORMATS and not stem.endswith(_MASKS)

    def _accept_link(self, entry: os.DirEntry[str], name: str, deep: bool) -> bool:
        """Follow a link to a file inside the root; refuse what leads elsewhere."""
        target = os.path.realpath(entry.path)
        if not self._inside(target):
            self.links[name] = "it leads out of the folder"
        elif is_file(target):
            self._targets[name] = Path(target).relative_to(self._real).as_posix()
            return self._accept_file(name)
        elif not is_folder(target):
            self.links[name] = "it leads nowhere"
        elif deep:  # else it may be one of the folders that are listed by name
            self.links[name] = "it is a link to a folder"
        return False


def names_of(relative: str) -> tuple[str, str, str]:
    """Return the ways in which a table can name a file: its path, its name, its id."""
    name = posixpath.basename(relative)
    return relative, name, posixpath.splitext(name)[0]


def _keys(files: list[str], part: Callable[[str], str]) -> dict[str, list[str]]:
    """Map names with and without ending, in one case, to the files that bear them."""
    keys: dict[str, list[str]] = {}
    for file in files:
        name = part(file).casefold()
        keys.setdefault(name, []).append(file)
        keys.setdefault(posixpath.splitext(name)[0], []).append(file)
    return keys
