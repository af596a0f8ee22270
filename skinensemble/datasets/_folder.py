"""A folder of one's own: a subfolder for each class."""

from __future__ import annotations

import contextlib
import functools
import hashlib
import os
import re
from collections.abc import Callable, Collection, Iterator, Mapping
from pathlib import Path
from typing import Any, TypeAlias

from skinensemble._paths import expanded
from skinensemble.datasets._files import ImageIndex, as_folder, entries_of, names_of
from skinensemble.datasets._problems import DatasetProblem, Policy
from skinensemble.datasets._sheet import TOLD, Sheet, is_missing
from skinensemble.datasets._table import Table, read_table
from skinensemble.exceptions import DatasetError, InputError, message

__all__ = ["load_image_folder"]

Groups: TypeAlias = (
    str | os.PathLike | re.Pattern[str] | Mapping[str, str] | Callable[[str], str | None] | None
)
_TABLES = (".csv", ".tsv", ".tab", ".txt")
_DESCR = """\
Class folders: the label of an image is the name of the folder, directly below the root, that it
is in.
"""


def load_image_folder(
    path: str | os.PathLike,
    *,
    groups: Groups = None,
    classes: Collection[str] | None = None,
    on_error: str = "raise",
    max_skipped: float = 0.05,
    report: str | os.PathLike | None = None,
    return_X_y: bool = False,
) -> Any:
    r"""Load images from class folders: ``path/mel/a.jpg``, ``path/nv/2019/b.png``.

    The folders are listed; no image is opened, except files of the same name and size in two
    class folders, whose bytes are compared.

    Parameters
    ----------
    path : path
        Folder of the class folders. Names that start with a dot, and files that are no images,
        are passed over; images in a format that is not read are a problem.
    groups : callable, regular expression, mapping or table, optional
        Which lesion an image shows, from its path relative to `path`, written with ``/``:
        a callable that returns the lesion;
        a regular expression that is searched in it, whose group named ``lesion``, else first
        group, else whole match, is the lesion;
        a mapping from relative path, file name or id (name without ending) to the lesion;
        a table (a path object, or a string that ends in .csv, .tsv, .tab or .txt) with a column
        ``image`` or ``image_id`` and a column ``lesion_id`` or ``lesion``.
        None when it is not known: then ``groups`` of the result is None.
    classes : collection of str, optional
        The class folders there must be; any other folder or missing one is a problem. By default
        every folder is a class, and there must be two at least.
    on_error : {"raise", "skip"}, default="raise"
        What to do about images outside the class folders or without a lesion, contradicting
        labels, empty class folders and links that lead out of `path`: raise one error that
        lists them, or leave these images out, with one warning.
    max_skipped : float, default=0.05
        With ``on_error="skip"``, the largest fraction of the images that may be left out. Losing
        all images of a class is always an error.
    report : path, optional
        CSV file (row, image, problem) to write all problems to, in either case; it replaces an
        earlier report and nothing else.
    return_X_y : bool, default=False
        Return ``(images, target)`` instead of a Bunch. The lesions are only in the Bunch.

    Returns
    -------
    Bunch, or (ndarray, ndarray)
        ``images`` : ndarray of str of shape (n,), absolute paths, sorted;
        ``target`` : ndarray of str of shape (n,), names of the class folders;
        ``groups`` : ndarray of str of shape (n,), the lesion of each image, or None;
        ``frame`` : DataFrame with the column ``image``, None without pandas;
        ``DESCR`` : str; ``problems`` : list of what was left out, each with ``row``, ``image``
        and ``problem``.

    Raises
    ------
    DatasetError
        When the folder is missing, has fewer than two classes, or has problems.

    Examples
    --------
    >>> import tempfile, pathlib
    >>> folder = pathlib.Path(tempfile.mkdtemp())
    >>> for name in ("mel/p7_1.jpg", "mel/p7_2.jpg", "nv/p9_1.jpg"):
    ...     (folder / name).parent.mkdir(exist_ok=True)
    ...     (folder / name).touch()
    >>> own = load_image_folder(folder, groups=r"(p\d+)_")
    >>> own.target.tolist(), own.groups.tolist()
    (['mel', 'mel', 'nv'], ['p7', 'p7', 'p9'])
    """
    policy = Policy(on_error, max_skipped, report)
    root = as_folder(path, "pass the folder that holds the class folders")
    index = ImageIndex(root)
    files = index.files
    labels = [file.split("/", 1)[0] if "/" in file else "" for file in files]
    columns = {"image": list(files)}
    sheet = Sheet(root, index, list(files), labels, columns=columns)
    _check_classes(sheet, root, classes)
    if groups is not None:
        sheet.groups = _lesions(sheet, groups)
    _check_copies(sheet)
    problems = (DatasetProblem(None, n, "format not read", w) for n, w in index.formats.items())
    sheet.problems += problems
    known = set(labels) - {TOLD} if classes is None else classes
    return sheet.load(known, policy=policy, descr=_DESCR, return_X_y=return_X_y, found=files)


def _check_classes(sheet: Sheet, root: Path, classes: Collection[str] | None) -> None:
    """Reject images outside class folders; note class folders without images."""
    folders = {
        entry.name
        for entry in entries_of(root)
        if entry.is_dir(follow_symlinks=False) and not entry.name.startswith(".")
    }
    if classes is None and len(folders) < 2:
        shown = ", ".join(sorted(folders)) or "none"
        why = f"it has fewer than two class folders ({shown})"
        remedy = "pass the folder that holds one folder for each class, or name the classes"
        raise DatasetError(message("image folder", root, why, remedy))
    for row, label in enumerate(sheet.labels):
        if not label:
            sheet.reject(row, "not in a class folder")
            sheet.labels[row] = TOLD
    expected = folders if classes is None else set(classes)
    for name in sorted(expected - set(sheet.labels)):
        sheet.problems.append(DatasetProblem(None, name, "class folder without images"))


def _check_copies(sheet: Sheet) -> None:
    """Reject images that lie, byte for byte and under one name, in two class folders."""
    places: dict[tuple[str, int], list[int]] = {}
    by_name: dict[str, list[int]] = {}
    for row, file in enumerate(sheet.index.files):
        by_name.setdefault(names_of(file)[1], []).append(row)
    for name, rows in by_name.items():
        if len({sheet.labels[row] for row in rows}) > 1:
            for row in rows:
                with _noted(sheet, row):
                    size = _path(sheet, row).stat().st_size
                    places.setdefault((name, size), []).append(row)
    for rows in places.values():
        if len(rows) > 1:
            _reject_copies(sheet, rows)


def _reject_copies(sheet: Sheet, rows: list[int]) -> None:
    same: dict[bytes, list[int]] = {}
    for row in rows:
        with _noted(sheet, row):
            data = _path(sheet, row).read_bytes()
            same.setdefault(hashlib.sha256(data).digest(), []).append(row)
    for copies in same.values():
        labels = sorted({sheet.labels[row] for row in copies} - {TOLD})
        if len(labels) > 1:
            for row in copies:
                sheet.reject(row, "image with several labels", ", ".join(labels))


def _path(sheet: Sheet, row: int) -> Path:
    return Path(sheet.index.path(sheet.index.files[row]))


@contextlib.contextmanager
def _noted(sheet: Sheet, row: int) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        sheet.reject(row, "file that cannot be read", error.strerror or "")


def _lesions(sheet: Sheet, groups: Any) -> list[str]:
    """Return the lesion of each file, ``""`` where there is none."""
    path = _table_path(groups)
    if path is not None:
        sheet.tables.append(path)
        return _from_table(sheet, read_table(path))
    found = map(_rule(groups), sheet.ids)
    return ["" if lesion is None or is_missing(str(lesion)) else str(lesion) for lesion in found]


def _from_table(sheet: Sheet, table: Table) -> list[str]:
    images = table.columns[table.find("image", "image_id")]
    lesions = table.columns[table.find("lesion_id", "lesion")]
    sheet.problems += [DatasetProblem(*p[:3], f"lesion table, {p.detail}") for p in table.ragged]
    of_image: dict[str, set[str]] = {}
    for image, lesion in zip(images, lesions, strict=True):
        of_image.setdefault(image, set()).add(lesion)
    rows = [_of_first_name(of_image, file) or set() for file in sheet.ids]
    for row, found in enumerate(rows):
        if len(found) > 1:
            sheet.reject(row, "image with several lesions", ", ".join(sorted(found)))
    return ["".join(found) if len(found) < 2 else TOLD for found in rows]


def _of_first_name(mapping: Mapping[str, Any], file: str) -> Any:
    return next((mapping[name] for name in names_of(file) if name in mapping), None)


def _rule(groups: Any) -> Callable[[str], Any]:
    if callable(groups):
        return groups
    if isinstance(groups, Mapping):
        return functools.partial(_of_first_name, groups)
    try:
        pattern = re.compile(groups)
    except (re.error, TypeError) as error:
        why = f"it is no regular expression ({error})"
        remedy = "pass a callable, an expression, a mapping or the path of a table"
        raise InputError(message("groups", repr(groups), why, remedy)) from error
    return lambda file: _lesion_in(pattern.search(file))


def _table_path(groups: Any) -> Path | None:
    named = isinstance(groups, str) and groups.lower().endswith(_TABLES)
    return expanded(groups) if named or isinstance(groups, os.PathLike) else None


def _lesion_in(match: re.Match[str] | None) -> str | None:
    if match is None:
        return None
    if "lesion" in match.re.groupindex:
        return match["lesion"]
    return match[1] if match.re.groups else match[0]
