"""DermaMNIST, the MedMNIST form of HAM10000."""

from __future__ import annotations

import os
import warnings
import zipfile
import zlib
from pathlib import Path
from typing import Any

import numpy as np

from skinensemble._paths import expanded, is_file
from skinensemble.datasets._download import Remote, fetch
from skinensemble.datasets._sheet import make_bunch
from skinensemble.exceptions import (
    DatasetError,
    InputError,
    UngroupedWarning,
    check_choice,
    first_few,
    message,
)
from skinensemble.taxonomy import DIAGNOSES

__all__ = ["load_dermamnist"]

_SPLITS = ("train", "val", "test")
# MedMNIST numbers the classes in the order of their codes.
_CODES = np.array(sorted(DIAGNOSES))
# Images that are packed further than this are none.
_LARGEST_RATIO = 100
_ZENODO = "https://zenodo.org/records/10519652/files/"
_MD5 = {
    28: "0744692d530f8e62ec473284d019b0c7",
    64: "b70a2f5635c6199aeaa28c31d7202e1f",
    128: "2defd784463fa5243564e855ed717de1",
    224: "8974907d8e169bef5f5b96bc506ae45d",
}
_NAMES = {28: "dermamnist.npz", **{size: f"dermamnist_{size}.npz" for size in (64, 128, 224)}}
_DESCR = """\
DermaMNIST: the images of HAM10000, square and small, in seven types. Its published split puts
images of one lesion on both sides, and it names no lesions.

Source: https://medmnist.com, https://doi.org/10.5281/zenodo.10519652
Papers: Yang et al., Scientific Data 10:41 (2023), https://doi.org/10.1038/s41597-022-01721-8;
    Tschandl, Rosendahl, Kittler, Scientific Data 5:180161 (2018),
    https://doi.org/10.1038/sdata.2018.161
Licence: CC BY-NC 4.0 (no commercial use).
"""


def load_dermamnist(
    path_or_npz: str | os.PathLike,
    split: str = "train",
    *,
    size: int = 28,
    return_X_y: bool = False,
    download: bool = False,
) -> Any:
    """Load DermaMNIST, small square images of HAM10000.

    The published split of [1]_ shares lesions between train, val and test, which makes figures come
    out too good [2]_, and the file does not say which images show one lesion. So ``groups`` is
    None: numbering each image as its own lesion would claim what is not true and silence the
    warnings that the rest of the library gives when lesions are unknown. Use it to try things out.

    Parameters
    ----------
    path_or_npz : path
        The ``.npz`` file, or the folder that has it under its official name.
    split : {"train", "val", "test", "all"}, default="train"
        The published split; ``"all"`` puts the three one after the other.
    size : {28, 64, 128, 224}, default=28
        Side of the images in pixels, which chooses the file where a folder is given.
    return_X_y : bool, default=False
        Return ``(images, target)`` instead of a Bunch.
    download : bool, default=False
        Fetch the file from Zenodo if it is missing, with progress bar and checksum.

    Returns
    -------
    Bunch, or (ndarray, ndarray)
        ``images`` : uint8 ndarray of shape (n, size, size, 3);
        ``target`` : ndarray of str of shape (n,), diagnosis codes;
        ``groups`` : None; ``frame`` : DataFrame with the column ``split``, None without pandas;
        ``DESCR`` : str; ``problems`` : empty list.

    Raises
    ------
    DatasetError
        When the file is missing, damaged, or not DermaMNIST.

    Warns
    -----
    UngroupedWarning
        Always, because the lesions are unknown.

    References
    ----------
    .. [1] J. Yang et al., "MedMNIST v2", Scientific Data 10, 41 (2023),
       https://doi.org/10.1038/s41597-022-01721-8
    .. [2] K. Abhishek, A. Jain, G. Hamarneh, "Investigating the quality of DermaMNIST and
       Fitzpatrick17k dermatological image datasets", Scientific Data 12, 196 (2025),
       https://doi.org/10.1038/s41597-025-04382-5

    Examples
    --------
    >>> import tempfile, pathlib, warnings
    >>> file = pathlib.Path(tempfile.mkdtemp(), "dermamnist.npz")
    >>> np.savez(
    ...     file,
    ...     train_images=np.zeros((2, 28, 28, 3), np.uint8),
    ...     train_labels=np.array([[4], [5]], np.uint8),
    ... )
    >>> with warnings.catch_warnings():
    ...     warnings.simplefilter("ignore", UngroupedWarning)
    ...     images, target = load_dermamnist(file, "train", return_X_y=True)
    >>> images.shape, target.tolist()
    ((2, 28, 28, 3), ['mel', 'nv'])
    """
    check_choice("split", split, (*_SPLITS, "all"))
    check_choice("size", size, _NAMES)
    file = _locate(expanded(path_or_npz), size, download)
    splits = _SPLITS if split == "all" else (split,)
    images, labels = _read(file, splits)
    why = "its published split shares lesions, and it does not say which images show one lesion"
    remedy = "load HAM10000 itself for figures that you report"
    text = message("DermaMNIST", file, why, remedy)
    warnings.warn(text, UngroupedWarning, stacklevel=2)
    return make_bunch(
        np.concatenate(images),
        _CODES[np.concatenate(labels)],
        None,
        columns={"split": np.repeat(splits, [len(part) for part in labels]).tolist()},
        descr=_DESCR,
        return_X_y=return_X_y,
    )


def _locate(path: Path, size: int, download: bool) -> Path:
    file = path if path.suffix.lower() == ".npz" else path / _NAMES[size]
    if download:
        sizes = {name: size for size, name in _NAMES.items()}
        if file.name not in sizes:
            remedy = f"download goes by name; there are {first_few(sizes)}"
            raise InputError(message("download", file.name, "it is no name of DermaMNIST", remedy))
        remote = Remote(file.name, f"{_ZENODO}{file.name}?download=1", _MD5[sizes[file.name]])
        return fetch(remote, file.parent)
    if not is_file(file):
        remedy = "pass the path of the .npz file, or download=True to fetch it"
        raise DatasetError(message("DermaMNIST", file, "there is no such file", remedy))
    return file


def _read(file: Path, splits: tuple[str, ...]) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """Read the images and the labels (n,) of each split."""
    try:
        with zipfile.ZipFile(file) as archive:
            images = [_array(file, archive, f"{split}_images") for split in splits]
            labels = [_array(file, archive, f"{split}_labels") for split in splits]
    except (
        *(zipfile.BadZipFile, zlib.error, EOFError, ValueError, OSError),
        *(RuntimeError, NotImplementedError),  # encrypted, or packed in another way
    ) as error:
        if isinstance(error, DatasetError):
            raise
        why = f"it is damaged, or no .npz file ({error})"
        raise DatasetError(message("DermaMNIST", file, why, "download it again")) from error
    for split, some, their in zip(splits, images, labels, strict=True):
        _check(file, split, some, their)
    return images, [their.reshape(-1).astype(np.intp) for their in labels]


def _array(file: Path, archive: zipfile.ZipFile, name: str) -> np.ndarray:
    """Read one array, never a pickle, and nothing larger than the bytes that are there."""
    if f"{name}.npy" not in archive.namelist():
        why = f"it has no {name}, only {first_few(archive.namelist())}"
        raise DatasetError(message("DermaMNIST", file, why, "pass the file of MedMNIST"))
    with archive.open(f"{name}.npy") as member:
        version = np.lib.format.read_magic(member)
        if version != (1, 0):
            raise ValueError(f"{name} has format version {version}")
        shape, fortran, dtype = np.lib.format.read_array_header_1_0(member)
        size = int(np.prod(shape, dtype=object)) * dtype.itemsize
        there = archive.getinfo(f"{name}.npy").file_size - member.tell()
        if dtype != np.uint8 or fortran or size != there:
            raise ValueError(f"{name} has dtype {dtype} and shape {shape}")
        if size > _LARGEST_RATIO * archive.getinfo(f"{name}.npy").compress_size:
            raise ValueError(f"{name} is said to be {size} bytes, packed more than images can be")
        # Only reading up to the end makes zipfile compare the checksum.
        data = member.read()
    if len(data) != size:
        raise ValueError(f"{name} has {len(data)} of {size} bytes")
    return np.frombuffer(bytearray(data), np.uint8).reshape(shape)


def _check(file: Path, split: str, images: np.ndarray, labels: np.ndarray) -> None:
    why = ""
    if images.ndim != 4 or images.shape[3] != 3:
        why = f"{split}_images have shape {images.shape} instead of (n, size, size, 3)"
    elif labels.size != len(images):
        why = f"there are {len(images)} {split}_images and {labels.size} {split}_labels"
    elif labels.size and labels.max() >= len(_CODES):
        rows = np.flatnonzero(labels.reshape(-1) >= len(_CODES)).tolist()
        why = f"{split}_labels are above 6 in {len(rows)} rows: {first_few(rows)}"
    if why:
        raise DatasetError(message("DermaMNIST", file, why, "pass the file of MedMNIST"))
