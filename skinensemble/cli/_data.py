"""Labelled images from the command line: which data set it is, and what to do about bad files."""

from __future__ import annotations

import argparse
import warnings
from dataclasses import dataclass
from os import DirEntry
from pathlib import Path
from typing import Any

from skinensemble._paths import exists, expanded, is_file, is_folder
from skinensemble.cli._screen import UsageError, number
from skinensemble.exceptions import DatasetError, ImageReadError, InputError, first_few, message
from skinensemble.tables import csv_bytes

__all__ = ["Data", "add_data_options", "files_of", "load_data"]

FORMATS = ("ham10000", "isic", "folder", "dermamnist")
_TABLES = (".csv", ".tab", ".tsv", ".txt")
_MARKS = {
    "ham10000_metadata": "ham10000",
    "isic2018_task3_test_groundtruth": "ham10000",
    "dermamnist": "dermamnist",
}
# Which options say something about which formats.
_ONLY = {
    "groundtruth": ("isic",),
    "other": ("isic",),
    "lesions": ("isic", "folder"),
    "split": ("ham10000", "dermamnist"),
    "report": ("ham10000", "isic", "folder"),
}


@dataclass
class Data:
    """Labelled images.

    Attributes
    ----------
    images : ImageSource
    target : ndarray of str of shape (n_images,)
    groups : ndarray of shape (n_images,), or None
        Lesion of each image, where it is known.
    """

    images: Any
    target: Any
    groups: Any

    def part(self, rows) -> Data:
        """Return some of the images."""
        groups = None if self.groups is None else self.groups[rows]
        return Data(self.images[rows], self.target[rows], groups)


def add_data_options(parser: argparse.ArgumentParser) -> None:
    """Add the data set and the options that say how it is read."""
    parser.add_argument(
        "data", metavar="DATA", help="folder, table or .npz file of labelled images"
    )
    options = parser.add_argument_group("data")
    options.add_argument(
        "--format",
        choices=("auto", *FORMATS),
        default="auto",
        help="ham10000: its folder or metadata table; isic: a folder of images, with --groundtruth;"
        " folder: one subfolder per diagnosis; dermamnist: its .npz file (default: look)",
    )
    options.add_argument("--groundtruth", metavar="CSV", help="isic: one-hot table of diagnoses")
    options.add_argument(
        "--lesions",
        metavar="TABLE|REGEX",
        help="isic, folder: table of image and lesion_id; folder: or a regular expression that"
        " finds the lesion in a file's path. Without it figures come out too good",
    )
    options.add_argument(
        "--other",
        metavar="drop|keep|scc=CODE",
        help="isic: what becomes of SCC and UNK, which are not of the seven types (default: drop)",
    )
    options.add_argument(
        "--split", help="ham10000: train or test; dermamnist: train, val, test or all"
    )
    options.add_argument(
        "--on-error",
        choices=("raise", "skip"),
        default="raise",
        help="bad images and table rows: stop before anything is trained and list them (default),"
        " or leave them out",
    )
    options.add_argument(
        "--max-skipped",
        type=number("a share between 0 and 1", lambda share: 0 <= share <= 1),
        metavar="SHARE",
        help="with --on-error skip, stop when more than this share is bad (default: 0.05)",
    )
    options.add_argument("--report", metavar="CSV", help="write every problem of the data there")
    options.add_argument(
        "--join-copies",
        type=number("between 0 and 1", lambda alike: 0 < alike < 1),
        nargs="?",
        const=0.99,
        metavar="CORRELATION",
        help="look for images that are the same but for encoding, size, or being turned, and take"
        " them for one lesion (how alike they have to be: 0.99)",
    )


def files_of(args: argparse.Namespace) -> list[str]:
    """Return what is named to be read: the data, their tables, and weights."""
    weights = dict(getattr(args, "weights", [])).values()
    return list(filter(None, (args.data, args.groundtruth, args.lesions, *weights)))


def load_data(args: argparse.Namespace, *, fewest_classes: int = 2) -> Data:
    """Read the tables, decode every image once, and return those that can be used.

    Parameters
    ----------
    args : Namespace
    fewest_classes : {1, 2}, default=2
        How many class folders there must be. One is enough to judge by.

    Returns
    -------
    Data

    Raises
    ------
    InputError
        When the format cannot be told, or an option does not belong to it.
    DatasetError, ImageReadError
        When tables, folders or images are bad; all problems are listed.
    """
    kind = _format(args, fewest_classes)
    foreign = [f"--{name}" for name, of in _ONLY.items() if kind not in of and getattr(args, name)]
    if foreign:
        why = f"the data are read as {kind}, which takes no such option"
        raise InputError(
            message("option", first_few(foreign), why, "leave it out, or set --format")
        )
    bunch = _read(kind, args, fewest_classes)
    _check_join(bunch.groups, args.join_copies)
    data = _check(Data(bunch.images, bunch.target, bunch.groups), args)
    return data if args.join_copies is None else _join_copies(data, args.join_copies)


def _most_skipped(args: argparse.Namespace) -> float:
    if args.max_skipped is not None and args.on_error == "raise":
        raise UsageError("--max-skipped is for what is skipped: add --on-error skip")
    return 0.05 if args.max_skipped is None else args.max_skipped


def _read(kind: str, args: argparse.Namespace, fewest_classes: int):
    from skinensemble import datasets

    path = args.data
    policy = {
        "on_error": args.on_error,
        "max_skipped": _most_skipped(args),
        "report": args.report,
    }
    if kind == "ham10000":
        return datasets.load_ham10000(path, split=args.split or "train", **policy)
    if kind == "isic":
        if args.groundtruth is None:
            why = "the images alone do not say what they show"
            raise InputError(message("--groundtruth", "not given", why, "pass the one-hot table"))
        other = _other(args.other)
        return datasets.load_isic(
            path, args.groundtruth, lesions_csv=args.lesions, other=other, **policy
        )
    if kind == "folder":
        folders = _folders(expanded(path))
        classes = folders if len(folders) == fewest_classes == 1 else None
        return datasets.load_image_folder(path, groups=args.lesions, classes=classes, **policy)
    return datasets.load_dermamnist(path, args.split or "train")


def _format(args: argparse.Namespace, fewest_classes: int) -> str:
    if args.format != "auto":
        return args.format
    if args.groundtruth is not None:
        return "isic"
    path = expanded(args.data)
    if not exists(path):
        raise DatasetError(message("data", path, "there is no such file", "check the path"))
    found = _folder_format(path, fewest_classes) if is_folder(path) else _file_format(path)
    if found is None:
        why = "neither HAM10000, nor DermaMNIST, nor a folder with one subfolder per diagnosis"
        remedy = "pass --format, or --groundtruth for images of the ISIC challenges"
        raise DatasetError(message("data", path, why, remedy))
    return found


def _file_format(path: Path) -> str | None:
    if path.suffix.lower() == ".npz":
        return "dermamnist"
    return "ham10000" if path.suffix.lower() in _TABLES else None


def _folder_format(path: Path, fewest_classes: int) -> str | None:
    for mark, kind in _MARKS.items():
        if any(is_file(entry) and entry.name.lower().startswith(mark) for entry in _entries(path)):
            return kind
    return "folder" if len(_folders(path)) >= fewest_classes else None


def _folders(path: Path) -> list[str]:
    return [entry.name for entry in _entries(path) if is_folder(entry)]


def _entries(path: Path) -> list[DirEntry[str]]:
    from skinensemble.datasets._files import entries_of

    return [entry for entry in entries_of(path) if not entry.name.startswith(".")]


def _other(text: str | None) -> str | dict[str, str]:
    if text is None or "=" not in text:
        return text or "drop"
    code, _, label = text.partition("=")
    return {code.strip().lower(): label.strip()}


def _check(data: Data, args: argparse.Namespace) -> Data:
    """Decode every image, so that a bad one is known before hours of training."""
    import numpy as np

    from skinensemble.images import check_images

    try:
        images, problems = check_images(data.images, on_error=args.on_error)
    except ImageReadError as error:
        _append(args.report, error.problems)
        raise
    _append(args.report, problems)
    if not problems:
        return Data(images, data.target, data.groups)
    good = np.ones(len(data.target), bool)
    good[[problem.index for problem in problems]] = False
    _check_loss(data.target, good, args, problems)
    groups = None if data.groups is None else data.groups[good]
    return Data(images, data.target[good], groups)


def _check_loss(target, good, args: argparse.Namespace, problems) -> None:
    import numpy as np

    bad = int(np.sum(~good))
    lost = np.setdiff1d(target, target[good])
    shown = f"{bad} of {len(good)} images cannot be read"
    remedy = "repair them (--report FILE lists all)"
    if len(lost):
        why = f"no image would be left of class {first_few(lost)}"
        raise DatasetError(message("data", shown, why, remedy))
    if bad > (most := _most_skipped(args)) * len(good):
        why = f"more than --max-skipped {most:g} of them"
        raise DatasetError(message("data", shown, why, f"{remedy}, or pass a larger one"))
    named = first_few((f"{problem.name} ({problem.problem})" for problem in problems), 5)
    text = message("left out", args.data, f"{shown}: {named}", remedy)
    warnings.warn(text, UserWarning, stacklevel=2)


def _check_join(groups, min_correlation: float | None) -> None:
    """Refuse what cannot be joined before every image is decoded."""
    from skinensemble.images._near_copies import check_correlation

    if min_correlation is None:
        return
    check_correlation(min_correlation)
    if groups is None:
        why = "other images of one lesion would still pass for other lesions"
        raise InputError(message("--join-copies", "no lesions", why, "pass --lesions as well"))


def _join_copies(data: Data, min_correlation: float) -> Data:
    """Let images that are near copies be of one lesion."""
    from skinensemble.identity import join_lesions
    from skinensemble.images import near_copies

    lesions, names, target = data.groups, data.images.names, data.target
    found = near_copies(data.images, min_correlation=min_correlation)
    pairs = [pair for pair in found if lesions[pair.first] != lesions[pair.second]]
    if not pairs:
        return data
    odd = [pair for pair in pairs if target[pair.first] != target[pair.second]]
    if odd:
        shown = first_few(
            f"{names[a]} ({target[a]}) and {names[b]} ({target[b]}), {alike:.4f} alike"
            for a, b, alike in odd
        )
        remedy = "correct the labels, leave the images out, or ask for a higher correlation"
        raise DatasetError(message("copies", shown, "they show the same, and differ", remedy))
    shown = first_few(f"{names[a]} and {names[b]}, {alike:.4f} alike" for a, b, alike in pairs)
    remedy = "look at them, and correct the table"
    text = message("copies", shown, "they show the same, so they are one lesion now", remedy)
    warnings.warn(text, UserWarning, stacklevel=2)
    return Data(data.images, target, join_lesions(lesions, pairs))


def _append(report: str | None, problems) -> None:
    """Add bad images to the report that the reader of the tables has begun."""
    if report is None or not problems:
        return
    with expanded(report).open("ab") as file:
        file.write(csv_bytes(["", problem.name, problem.problem] for problem in problems))
