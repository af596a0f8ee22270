"""Decode every image once, before hours of training, and report those that cannot be used."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable
from dataclasses import astuple, replace
from pathlib import Path
from typing import Any

import numpy as np

from skinensemble._paths import expanded, is_folder
from skinensemble.exceptions import InputError, check_choice, message
from skinensemble.images._files import read_bytes
from skinensemble.images._problems import ImageProblem, Unreadable, problem_of, read_error
from skinensemble.images._source import ImageSource, examine, path_of, sort_out
from skinensemble.tables import check_report, write_csv

_REPORT = ("row", "name", "status", "problem", "remedy", "sha256")


def check_images(
    X: Any, *, on_error: str = "raise", report: str | os.PathLike[str] | None = None
) -> tuple[ImageSource, list[ImageProblem]]:
    """Decode every image completely and tell which cannot be used.

    No image file is changed or moved.

    Parameters
    ----------
    X : images
        As for :func:`as_images`.
    on_error : {"raise", "skip"}, default="raise"
        Raise one error that lists all bad images, or leave them out and return them.
    report : path, default=None
        CSV file to write, even when an error follows: row (from 0), name, status (``bad``, or
        ``note`` for images that are used although something is odd, such as a PNG named .jpg),
        problem, remedy and SHA-256 of the file. It replaces an earlier report and nothing else.

    Returns
    -------
    source : ImageSource
        The good images, in order.
    problems : list of ImageProblem
        The bad ones, in order; with ``on_error="raise"`` always empty. Their ``index`` says which
        labels to leave out.

    Raises
    ------
    ImageReadError
        When images are bad and `on_error` is ``"raise"``, or when no image is left.
    InputError
        As for :func:`as_images`; or for another `on_error`, or a report in no folder or in place
        of what is none.
    SaveError
        When the report cannot be written.

    Examples
    --------
    >>> import numpy as np
    >>> ok, noisy = np.full((16, 16, 3), 90.0), np.full((16, 16, 3), np.nan)
    >>> source, problems = check_images([ok, noisy, ok], on_error="skip")
    >>> len(source), [str(problem) for problem in problems]
    (2, ['image 1 – it holds NaN – fill or leave it out'])
    """
    check_choice("on_error", on_error, ("raise", "skip"))
    if report is not None:
        report = expanded(report)
        if not is_folder(report.parent):
            remedy = "make the folder first"
            raise InputError(message("report", report, "its folder does not exist", remedy))
        check_report(report, _REPORT)
    source, problems = sort_out(X)
    found, notes = _decode_all(source, {one.index for one in problems})
    problems = [_with_digest(source, one) for one in sorted([*problems, *found], key=_index)]
    if report is not None:
        _write_report(report, problems, notes)
    if problems and (on_error == "raise" or len(problems) == len(source)):
        where = "" if report is None else f"; the whole list is in {report}"
        raise read_error(problems, len(source), where)
    good = np.ones(len(source), bool)
    good[[one.index for one in problems]] = False
    return source[good], problems


def _index(problem: ImageProblem) -> int:
    return problem.index


def _decode_all(
    source: ImageSource, known_bad: set[int]
) -> tuple[list[ImageProblem], list[ImageProblem]]:
    problems, notes = [], []
    for row, name in enumerate(source.names):
        if row in known_bad:
            continue
        try:
            note = examine(source, row)
        except Unreadable as error:
            problems.append(problem_of(row, name, error))
            continue
        if note:
            notes.append(_with_digest(source, ImageProblem(row, name, note, "rename it")))
    return problems, notes


def _with_digest(source: ImageSource, problem: ImageProblem) -> ImageProblem:
    path = path_of(source, problem.index)
    if path is None:
        return problem
    try:
        data, _ = read_bytes(path)
    except Unreadable:
        return problem
    return replace(problem, sha256=hashlib.sha256(data).hexdigest())


def _write_report(
    report: Path, problems: Iterable[ImageProblem], notes: Iterable[ImageProblem]
) -> None:
    told = [(one, "bad") for one in problems] + [(one, "note") for one in notes]
    rows = []
    for one, status in sorted(told, key=lambda pair: pair[0].index):
        row, name, *rest = astuple(one)
        rows.append([row, name, status, *rest])
    write_csv(report, _REPORT, rows)
