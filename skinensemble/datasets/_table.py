"""Tables of labels: CSV and tab-separated text, read with the csv module alone."""

from __future__ import annotations

import csv
import io
import os
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from skinensemble._paths import is_file, is_folder
from skinensemble.datasets._problems import DatasetProblem
from skinensemble.exceptions import DatasetError, first_few, message

__all__ = ["Table", "read_table"]

# Text tables do not start with these bytes, other files that people pass by mistake do.
_FOREIGN = {
    b"PK\x03\x04": "an Excel workbook or a zip archive",
    b"\xd0\xcf\x11\xe0": "an Excel 97 workbook",
    b"\xff\xd8\xff": "a JPEG image",
    b"\x89PNG": "a PNG image",
    b"\x1f\x8b": "a gzip archive",
    b"%PDF": "a PDF document",
    b"PAR1": "a Parquet file",
    b"\xff\xfe": "UTF-16 text",
    b"\xfe\xff": "UTF-16 text",
    b"<": "an HTML or XML page",
}
# More letters than a header has.
_FIRST = 2**16
_SAVE_AS = "save it as comma-separated text in UTF-8"


@dataclass
class Table:
    """A table of text cells with named columns.

    Attributes
    ----------
    path : Path
    columns : dict of str to list of str
        Cells without surrounding blanks, by the column's name in lower case.
    lines : list of int
        The line of the file on which each row ends; the header is line 1.
    ragged : list of DatasetProblem
        Rows with too few or too many cells; they are in no column.
    """

    path: Path
    columns: dict[str, list[str]]
    lines: list[int]
    ragged: list[DatasetProblem] = field(default_factory=list)

    def find(self, *names: str) -> str:
        """Return the first of `names` that is a column, or say which columns there are."""
        for name in names:
            if name in self.columns:
                return name
        why = f"it has no column {' or '.join(map(repr, names))}, only {first_few(self.columns)}"
        raise DatasetError(
            message(
                "table",
                self.path,
                why,
                "name the columns in its first line, or pass the right file",
            )
        )

    def require(self, *names: str) -> None:
        """Raise one DatasetError naming every column of `names` that is missing."""
        missing = [name for name in names if name not in self.columns]
        if missing:
            found = first_few(self.columns)
            why = f"it has no column {first_few(map(repr, missing))}, only {found}"
            remedy = "name the columns in its first line, or pass the right file"
            raise DatasetError(message("table", self.path, why, remedy))


def read_table(path: str | os.PathLike) -> Table:
    """Read a comma-, semicolon- or tab-separated table whose first line names the columns.

    UTF-8 with or without a byte order mark, any line ends, quoted cells. Blank lines are passed
    over.

    Raises
    ------
    DatasetError
        When the file is missing, empty, no text, no table, or names a column twice.
    """
    path = Path(path)
    rows = _rows(path, _text(path))
    header = [name.strip().lower() for name in next(rows, (0, []))[1]]
    _check_header(path, header)
    cells: list[list[str]] = []
    lines: list[int] = []
    ragged: list[DatasetProblem] = []
    for line, row in rows:
        if len(row) == len(header):
            cells.append(row)
            lines.append(line)
        elif any(map(str.strip, row)):
            detail = f"{len(row)} instead of {len(header)}"
            ragged.append(DatasetProblem(line, row[0], "wrong number of cells", detail))
    if not cells and not ragged:
        raise DatasetError(message("table", path, "it has a header but no rows", "add the rows"))
    by_column = zip(*cells, strict=True) if cells else ([] for _ in header)
    columns = {n: [c.strip() for c in col] for n, col in zip(header, by_column, strict=True)}
    return Table(path, columns, lines, ragged)


def _text(path: Path) -> str:
    if not is_file(path):
        why = "it is a folder, not a file" if is_folder(path) else "there is no such file"
        raise DatasetError(message("table", path, why, "pass the path of the CSV file"))
    try:
        data = path.read_bytes()
    except OSError as error:
        why = f"it cannot be read ({error.strerror})"
        raise DatasetError(message("table", path, why, "check its permissions")) from error
    for magic, name in _FOREIGN.items():
        if data.startswith(magic):
            raise DatasetError(message("table", path, f"it looks like {name}", _SAVE_AS))
    if not data.strip():
        raise DatasetError(message("table", path, "it is empty", "pass a table with a header"))
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        why = f"it is not UTF-8 text (byte {error.start})"
        raise DatasetError(message("table", path, why, _SAVE_AS)) from error


def _rows(path: Path, text: str) -> Iterator[tuple[int, list[str]]]:
    """Yield the line number and the cells of each row."""
    # What is in quotes says nothing, and lines may end as on an old Mac.
    first = re.split("[\r\n]", re.sub('"[^"]*"?', "", text[:_FIRST].lstrip()), maxsplit=1)[0]
    delimiter = next((d for d in ("\t", ",", ";") if d in first), ",")
    # Strict: a quote that is never closed would swallow the rows after it.
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    try:
        for row in reader:
            if row and any(row):
                yield reader.line_num, row
    except csv.Error as error:
        why = f"it is not a table from line {reader.line_num} on ({error})"
        raise DatasetError(message("table", path, why, "check the quotes in it")) from error


def _check_header(path: Path, header: list[str]) -> None:
    twice = [name for name, count in Counter(header).items() if count > 1 and name]
    if twice:
        why = f"the column {first_few(map(repr, twice))} is there twice"
        raise DatasetError(message("table", path, why, "name each column once"))
