"""The forms that the verdicts of ``predict`` take, one row at a time: table, CSV, submission."""

from __future__ import annotations

import csv
import io
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any, BinaryIO

from skinensemble._paths import exists
from skinensemble.exceptions import InputError, message
from skinensemble.tables import csv_bytes
from skinensemble.verdict import digits

__all__ = ["VerdictCsv", "VerdictTable", "isic_line"]

_VERDICT = (
    *("verdict", "p_malignant", "threshold"),
    *("diagnosis", "p_diagnosis", "referred", "agreement"),
)
_ESTIMATED = ("p_malignant", "p_diagnosis")
_TITLES = ("verdict", "p malignant", "diagnosis", "p if malignant", "members agree")

Row = dict[str, Any]


class VerdictTable:
    """Prints rows as they come; the names of the files have to be known before.

    With an early exit (`early`) probabilities are estimates, and headed "~".
    """

    def __init__(self, files: Sequence[str], cascade, *, early: bool = False) -> None:
        names = [Path(file).name for file in files]
        # File names alone, where they tell the files apart.
        self._full = len(set(names)) != len(set(files))
        longest = max(map(len, ["file", *map(self._shown, files)]))
        codes = max(len(str(label)) + 1 for label in cascade.classes_)
        self._widths = [longest, 9, 11, max(9, codes), 14, 13]
        titles = [one.replace("p ", "~ ") if early else one for one in _TITLES]
        self._print(["file", *titles])

    def add(self, row: Row) -> None:
        """Print one row."""
        name = self._shown(row["file"])
        if row["status"] != "ok":
            self._print([name, "not read", "", "", "", ""])
            return
        p = "" if row["p_diagnosis"] is None else f"{row['p_diagnosis']:.3f}"
        votes = row["triage_votes"]
        agree = f"{round(row['agreement'] * len(votes))} of {len(votes)}"
        which = f"{row['diagnosis'] or ''}{'?' if row['referred'] == 'diagnosis' else ''}"
        self._print([name, row["verdict"], digits(row["p_malignant"]), which, p, agree])

    def _shown(self, file: str) -> str:
        from skinensemble.images._problems import printable

        return printable(file if self._full else Path(file).name)

    def _print(self, cells: list[str]) -> None:
        right = (2, 4)
        pairs = enumerate(zip(cells, self._widths, strict=True))
        aligned = [one.rjust(n) if at in right else one.ljust(n) for at, (one, n) in pairs]
        print("  ".join(aligned).rstrip(), flush=True)


class VerdictCsv:
    """A CSV that grows row by row, so that what was answered is there whatever happens next.

    Parameters
    ----------
    path : Path
    cascade : Cascade
    resume : bool
        Go on with the file that is there.
    early : bool
        Whether probabilities are estimates of an early exit: the column then says so, and there
        are none of single diagnoses.

    Attributes
    ----------
    known, known_bad : int
        Images that it is not asked for again, as they have a row, and those that were not read.
    """

    def __init__(self, path: Path, cascade, *, resume: bool = False, early: bool = False) -> None:
        self._path, self._early = path, early
        self._labels = [] if early else [str(label) for label in cascade.classes_]
        self._members = {
            f"{stage}_votes": list(getattr(cascade, f"{stage}_").named_members_)
            for stage in ("triage", "diagnosis")
        }
        self._resume = resume and exists(path)
        self._rows: list[dict[str, str]] = self._read() if self._resume else []
        self.known = self.known_bad = 0
        self._file: BinaryIO | None = None
        self._waiting: list[Row] = []

    def left(self, files: Sequence[str]) -> list[str]:
        """Return the files without a row; one that is given twice has two."""
        status = defaultdict(list)
        for row in self._rows:
            status[row["file"]].append(row["status"])
        found = [status[file].pop() if status[file] else None for file in files]
        self.known = sum(one is not None for one in found)
        self.known_bad = self.known - found.count("ok")
        return [file for file, one in zip(files, found, strict=True) if one is None]

    def first_answer(self) -> dict[str, str] | None:
        """Return the first row of an image that was read, by the names of the columns."""
        return next((row for row in self._rows if row["status"] == "ok"), None)

    @property
    def begun(self) -> bool:
        """Whether this process has written a row."""
        return self._file is not None

    def add(self, row: Row) -> None:
        """Write one row; a new file is begun with the first image that can be read."""
        self._waiting.append(row)
        if self._file is None and (row["status"] == "ok" or self._resume):
            self._file = self._open()
        while self._file is not None and self._waiting:
            self._write(self._file, self._line(self._waiting.pop(0)))

    def close(self) -> None:
        """Close the file."""
        if self._file is not None:
            self._file.close()

    def _open(self) -> BinaryIO:
        file = self._path.open("r+b" if self._resume else "wb")
        if self._resume:
            file.truncate(self._whole)
            file.seek(0, 2)
        if not file.tell():
            self._write(file, self._header())
        return file

    def _line(self, row: Row) -> list[object]:
        proba = row.get("probabilities", {})
        line = [row["file"], row["status"], *(row.get(key) for key in _VERDICT)]
        line += [proba.get(label) for label in self._labels]
        for stage, names in self._members.items():
            line += [row.get(stage, {}).get(name) for name in names]
        return line

    def _header(self) -> list[str]:
        header = ["file", "status", *_VERDICT]
        header += [
            f"p_type_{one}" if f"p_{one}" in _ESTIMATED else f"p_{one}" for one in self._labels
        ]
        if self._early:
            header = [f"{one}_estimate" if one in _ESTIMATED else one for one in header]
        for stage, names in self._members.items():
            header += [f"{stage.removesuffix('_votes')}_{name}" for name in names]
        return header

    def _read(self) -> list[dict[str, str]]:
        data = self._path.read_bytes()
        self._whole = _end_of_rows(data)
        text = data[: self._whole].decode("utf-8", "surrogateescape")
        rows = list(csv.reader(io.StringIO(text, newline="")))
        if rows and rows[0] != self._header():
            why = "its columns are not those of this model, or of this --early-exit"
            remedy = "resume with what it was begun with, or choose another name"
            raise InputError(message("--resume", self._path, why, remedy))
        names = [one.removesuffix("_estimate") for one in self._header()]
        return [dict(zip(names, row, strict=True)) for row in rows[1:] if len(row) == len(names)]

    @staticmethod
    def _write(file: BinaryIO, cells: Sequence[object]) -> None:
        file.write(csv_bytes([cells]))
        file.flush()


def _end_of_rows(data: bytes) -> int:
    """Return where the last whole row ends: a process that was killed may have left half of one."""
    end, quotes = data.rfind(b"\n") + 1, data.count(b'"')
    quotes -= data.count(b'"', end)
    while quotes % 2:  # that end of a line is inside a name
        before = data.rfind(b"\n", 0, end - 1) + 1
        quotes -= data.count(b'"', before, end)
        end = before
    return end


def isic_line(row: Row, codes: Sequence[str]) -> list[object]:
    """Return a row of the submission form of ISIC 2018, task 3."""
    proba = row.get("probabilities")
    known = {} if proba is None else {label.upper(): p for label, p in proba.items()}
    cells = [None if proba is None else known.get(code, 0.0) for code in codes]
    return [Path(row["file"]).stem, *cells]
