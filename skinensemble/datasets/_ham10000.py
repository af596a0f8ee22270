"""HAM10000, as Kaggle and as the Harvard Dataverse ship it."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from skinensemble._paths import expanded, is_file, is_folder
from skinensemble.datasets._download import Remote, count_images, fetch, fetch_archive
from skinensemble.datasets._files import ImageIndex, absolute, as_folder, entries_of
from skinensemble.datasets._problems import Policy
from skinensemble.datasets._sheet import Sheet
from skinensemble.datasets._table import read_table
from skinensemble.exceptions import DatasetError, InputError, check_choice, message
from skinensemble.taxonomy import DIAGNOSES

__all__ = ["load_ham10000"]

_TABLES = {"train": "HAM10000_metadata", "test": "ISIC2018_Task3_Test_GroundTruth"}
_FOLDERS = {
    "train": ("ham10000_images_part_1", "ham10000_images_part_2", "ham10000_images", "images"),
    "test": ("isic2018_task3_test_images", "isic2018_task3_test_input"),
}
_DATAVERSE = "https://dataverse.harvard.edu/api/access/datafile/"
# Dataverse rewrites tables on the way out; the published checksum is that of the original.
_METADATA = Remote(
    "HAM10000_metadata.csv",
    _DATAVERSE + "4338392?format=original",
    md5="8f85fb1aa29d80a2797247e434deb79d",
)
_ARCHIVES = (
    Remote(
        "HAM10000_images_part_1.zip",
        _DATAVERSE + "3172585",
        md5="4639bfa73ab251610530a97c898e6e46",
        n_images=5000,
    ),
    Remote(
        "HAM10000_images_part_2.zip",
        _DATAVERSE + "3172584",
        md5="da43d6cc50f6613013be07e8986b384b",
        n_images=5015,
    ),
)
_DESCR = """\
HAM10000: dermatoscopic images of pigmented skin lesions in seven types. Several images may show
one lesion: split by `groups`.

Source: Harvard Dataverse, https://doi.org/10.7910/DVN/DBW86T
Paper: Tschandl, Rosendahl, Kittler, Scientific Data 5:180161 (2018),
    https://doi.org/10.1038/sdata.2018.161
Licence: CC BY-NC 4.0 (no commercial use).
"""


def load_ham10000(
    path: str | os.PathLike,
    *,
    split: str = "train",
    on_error: str = "raise",
    max_skipped: float = 0.05,
    report: str | os.PathLike | None = None,
    return_X_y: bool = False,
    download: bool = False,
) -> Any:
    r"""Load HAM10000: 10,015 dermatoscopic images of 7,470 lesions.

    The data set is described in [1]_. Only the table is read and the folders are listed; no image
    is opened.

    Parameters
    ----------
    path : path
        Folder with ``HAM10000_metadata`` (``.csv``, ``.tab`` or no ending), or the table itself.
        The images are beside it or in ``HAM10000_images_part_1`` and ``_part_2``, in
        ``HAM10000_images`` or in ``images``, in any mixture of upper and lower case; of two
        folders whose names differ only in case (Kaggle ships both) one is taken.
    split : {"train", "test"}, default="train"
        ``"test"`` loads the test part of the ISIC 2018 challenge in the form of the Dataverse
        (``ISIC2018_Task3_Test_GroundTruth`` and ``ISIC2018_Task3_Test_Images``). Its table has
        one row more than there are images: pass ``on_error="skip"``.
    on_error : {"raise", "skip"}, default="raise"
        What to do about images without a row or rows without an image, unknown, empty or
        contradicting labels, repeated images and unsafe paths: raise one error that lists
        them, or leave these rows out, with one warning.
    max_skipped : float, default=0.05
        With ``on_error="skip"``, the largest fraction of the rows that may be left out. Losing
        all images of a class is always an error.
    report : path, optional
        CSV file (row, image, problem) to write all problems to, in either case; it replaces an
        earlier report and nothing else.
    return_X_y : bool, default=False
        Return ``(images, target)`` instead of a Bunch. The lesions are only in the Bunch.
    download : bool, default=False
        Fetch what is missing (2.8 GB) from the Harvard Dataverse into `path`, with progress bar
        and checksums. A transfer that was cut off starts again at the next call.

    Returns
    -------
    Bunch, or (ndarray, ndarray)
        ``images`` : ndarray of str of shape (n,), absolute paths;
        ``target`` : ndarray of str of shape (n,), diagnosis codes;
        ``groups`` : ndarray of str of shape (n,), the lesion of each image;
        ``frame`` : the table's rows as a DataFrame, None without pandas;
        ``DESCR`` : str; ``problems`` : list of what was left out, each with ``row``, ``image``
        and ``problem``.

    Raises
    ------
    DatasetError
        When table and images do not agree, or one of them cannot be found or fetched.

    References
    ----------
    .. [1] P. Tschandl, C. Rosendahl, H. Kittler, "The HAM10000 dataset, a large collection of
       multi-source dermatoscopic images of common pigmented skin lesions", Scientific Data 5,
       180161 (2018), https://doi.org/10.1038/sdata.2018.161

    Examples
    --------
    >>> import tempfile, pathlib
    >>> folder = pathlib.Path(tempfile.mkdtemp())
    >>> _ = (folder / "HAM10000_metadata.csv").write_text(
    ...     "lesion_id,image_id,dx\nHAM_1,ISIC_1,mel\nHAM_1,ISIC_2,mel\nHAM_2,ISIC_3,nv\n"
    ... )
    >>> (folder / "images").mkdir()
    >>> for name in ("ISIC_1.jpg", "ISIC_2.jpg", "ISIC_3.jpg"):
    ...     (folder / "images" / name).touch()
    >>> ham = load_ham10000(folder)
    >>> ham.target.tolist(), ham.groups.tolist()
    (['mel', 'mel', 'nv'], ['HAM_1', 'HAM_1', 'HAM_2'])
    """
    policy = Policy(on_error, max_skipped, report)
    check_choice("split", split, _TABLES)
    if download:
        _download(expanded(path), split)
    root, table_path = _locate(path, split)
    table = read_table(table_path)
    table.require("image_id", "lesion_id", "dx")
    sheet = Sheet(
        thing=table_path,
        index=ImageIndex(root, _image_folders(root, split), flat=True),
        ids=table.columns["image_id"],
        labels=[code.lower() for code in table.columns["dx"]],
        groups=list(table.columns["lesion_id"]),
        lines=table.lines,
        columns=table.columns,
        problems=table.ragged,
        n_ragged=len(table.ragged),
    )
    return sheet.load(DIAGNOSES, policy=policy, descr=_DESCR, return_X_y=return_X_y)


def _locate(path: str | os.PathLike, split: str) -> tuple[Path, Path]:
    """Return the folder of the data set and its table."""
    path = absolute(path)
    if is_file(path):
        return path.parent, path
    root = as_folder(path, "pass the folder of the data set, or download=True to fetch it")
    table = _find_table(root, split)
    if table is None:
        name = _TABLES[split]
        why = f"it has no table {name}.csv, {name}.tab or {name}"
        remedy = "pass the folder that holds it, the table itself, or download=True to fetch it"
        raise DatasetError(message("data set", root, why, remedy))
    return root, table


def _find_table(root: Path, split: str) -> Path | None:
    files = {entry.name.lower(): entry.path for entry in entries_of(root) if is_file(entry)}
    for ending in (".csv", "", ".tab", ".tsv", ".txt"):
        name = (_TABLES[split] + ending).lower()
        if name in files:
            return Path(files[name])
    return None


def _image_folders(root: Path, split: str) -> list[str]:
    """Return the subfolders with images, one of those whose names differ only in case."""
    found: dict[str, str] = {}
    for name in sorted(entry.name for entry in entries_of(root) if is_folder(entry)):
        if name.lower() in _FOLDERS[split]:
            found.setdefault(name.lower(), name)
    return list(found.values())


def _download(path: Path, split: str) -> None:
    """Fetch what is missing, and leave alone whatever form of the data set is there."""
    if split != "train":
        why = "only the training part is downloaded"
        raise InputError(message("download", split, why, "fetch it from the Dataverse by hand"))
    folder = path.parent if is_file(path) else path
    if not is_folder(folder) or _find_table(folder, split) is None:
        fetch(_METADATA, folder)
    folders = [folder, *(folder / name for name in _image_folders(folder, split))]
    if sum(map(count_images, folders)) >= sum(archive.n_images or 0 for archive in _ARCHIVES):
        return
    for archive in _ARCHIVES:
        fetch_archive(archive, folder / archive.name.removesuffix(".zip"))
