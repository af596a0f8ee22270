"""What is wrong with a data set: collected row by row, told once."""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from skinensemble._paths import expanded, first_same
from skinensemble.exceptions import DatasetError, InputError, check_choice, first_few, message
from skinensemble.tables import check_report, write_csv

__all__ = ["REPORT", "DatasetProblem", "Policy"]

REPORT = ("row", "image", "problem")
"""Columns of a report."""


class DatasetProblem(NamedTuple):
    """One thing that keeps a row, an image or a lesion out of the data set.

    Attributes
    ----------
    row : int or None
        Line of the table, the header being line 1; None when no table row is at fault.
    image : str
        The image as the table or the folder names it.
    kind : str
        What is wrong, one of a small set of phrases.
    detail : str
        The offending value, or ``""``.
    """

    row: int | None
    image: str
    kind: str
    detail: str = ""

    @property
    def problem(self) -> str:
        """The kind and the detail in one phrase."""
        return f"{self.kind}: {self.detail}" if self.detail else self.kind

    def __str__(self) -> str:
        where = "" if self.row is None else f"line {self.row} "
        detail = f" ({self.detail})" if self.detail else ""
        return f"{where}{self.image!r}{detail}"


@dataclass(frozen=True)
class Policy:
    """What the user wants done about problems.

    Attributes
    ----------
    on_error : {"raise", "skip"}
    max_skipped : float
        Largest fraction of the rows that may be left out.
    report : path or None
        CSV file (row, image, problem) to write.
    """

    on_error: str
    max_skipped: float
    report: str | os.PathLike | None

    def __post_init__(self) -> None:
        check_choice("on_error", self.on_error, ("raise", "skip"))
        if not (isinstance(self.max_skipped, int | float) and 0 <= self.max_skipped <= 1):
            why = "it is not a fraction of the rows"
            remedy = "pass a number from 0 to 1"
            raise InputError(message("max_skipped", self.max_skipped, why, remedy))

    def spare(self, files: Iterable[str | os.PathLike]) -> None:
        """Refuse a report that would replace one of these files, or what is no report.

        Raises
        ------
        InputError
        """
        if self.report is None:
            return
        path = expanded(self.report)
        if first_same(path, files) is not None:
            why = "it is read as data"
            raise InputError(message("report", path, why, "choose another file"))
        check_report(path, REPORT)

    def settle(
        self,
        problems: Sequence[DatasetProblem],
        thing: object,
        *,
        n_rows: int,
        n_left_out: int,
        lost_classes: Sequence[str],
    ) -> None:
        """Write the report, then raise or warn once about everything that was found.

        Parameters
        ----------
        problems : sequence of DatasetProblem
        thing : object
            The table or folder at fault, for the message.
        n_rows, n_left_out : int
            Rows in all, and rows that would be left out.
        lost_classes : sequence of str
            Labels of which no row would be left.

        Raises
        ------
        DatasetError
            With ``on_error="raise"`` when there is any problem; with ``"skip"`` when more than
            `max_skipped` of the rows, or a whole class, would be left out.
        """
        if self.report is not None:
            rows = ([p.row or "", p.image, p.problem] for p in problems)
            write_csv(expanded(self.report), REPORT, rows)
        if not problems:
            return
        count = f"{n_left_out} of {n_rows} rows cannot be used: " if n_left_out else ""
        found = count + _summary(problems)
        listed = f"{self.report} lists all" if self.report else "report='problems.csv' lists all"
        if self.on_error == "raise":
            remedy = f"correct it, or pass on_error='skip' to leave them out; {listed}"
            raise DatasetError(message("data set", thing, found, remedy))
        if lost_classes:
            why = f"no image would be left of class {first_few(lost_classes)}; {found}"
            raise DatasetError(message("data set", thing, why, f"correct it; {listed}"))
        if n_left_out > self.max_skipped * n_rows:
            why = f"more than max_skipped={self.max_skipped:g} of it would be left out; {found}"
            remedy = f"correct it, or pass a larger max_skipped; {listed}"
            raise DatasetError(message("data set", thing, why, remedy))
        text = message("left out", thing, found, f"bunch.problems has them; {listed}")
        warnings.warn(text, UserWarning, stacklevel=4)


def _summary(problems: Sequence[DatasetProblem]) -> str:
    """Count the problems of each kind and show the first few, in order of appearance."""
    kinds: dict[str, list[DatasetProblem]] = {}
    for problem in problems:
        kinds.setdefault(problem.kind, []).append(problem)
    return "; ".join(f"{len(of)} × {kind} [{first_few(of)}]" for kind, of in kinds.items())
