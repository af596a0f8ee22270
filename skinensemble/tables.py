"""Tables: as text, aligned on the screen and valid Markdown when pasted, and as CSV files."""

from __future__ import annotations

import csv
import io
import os
import re
from collections.abc import Iterable, Sequence
from pathlib import Path

from skinensemble._paths import is_file, is_folder
from skinensemble.exceptions import InputError, message

__all__ = ["check_report", "csv_bytes", "text_table", "write_csv"]

_HALF = re.compile("[\ud800-\udc7f\udd00-\udfff]")


def text_table(header: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """Return an aligned Markdown table; the first column reads left, the others right.

    Examples
    --------
    >>> print(text_table(["rule", "misses"], [["soft", 12], ["majority", 9]]))
    | rule     | misses |
    |:---------|-------:|
    | soft     |     12 |
    | majority |      9 |
    """
    cells = [[str(cell) for cell in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(header, *cells, strict=True)]
    rules = [":" + "-" * (widths[0] + 1), *("-" * (width + 1) + ":" for width in widths[1:])]
    lines = [_line(header, widths), "|" + "|".join(rules) + "|"]
    return "\n".join([*lines, *(_line(row, widths) for row in cells)])


def write_csv(
    path: str | os.PathLike[str], header: Sequence[str], rows: Iterable[Sequence[object]]
) -> None:
    """Write a table to a file that is replaced in one step.

    Raises
    ------
    SaveError
        When the file cannot be written.
    """
    from skinensemble.persistence._atomic import replace_file, write_all

    data = csv_bytes([header, *rows])
    replace_file(path, len(data), lambda file: write_all(file, data))


def csv_bytes(rows: Iterable[Sequence[object]]) -> bytes:
    r"""Return rows of CSV in UTF-8; names of files that are no Unicode come out as their bytes.

    Examples
    --------
    >>> csv_bytes([["a,b", 1], ["c\r", None]])
    b'"a,b",1\n"c\r",\n'
    """
    lines: list[str] = []
    for row in rows:
        text = io.StringIO(newline="")
        # With another end of lines a bare carriage return is not quoted.
        csv.writer(text).writerow(row)
        lines.append(text.getvalue().removesuffix("\r\n"))
    whole = "".join(f"{line}\n" for line in lines)
    # Half a surrogate that stands for no byte cannot be in the name of a file.
    return _HALF.sub("\ufffd", whole).encode("utf-8", "surrogateescape")


def check_report(path: str | os.PathLike[str], header: Sequence[str]) -> None:
    """Refuse to replace a file that is no report of the same kind: it is somebody's work.

    Raises
    ------
    InputError
    """
    if is_folder(path):
        raise InputError(message("report", path, "it is a folder", "give the path of a file"))
    if not is_file(path):
        return
    try:
        with Path(path).open("rb") as file:
            first = file.readline(1000)
    except OSError:  # so it cannot be replaced either, perhaps
        first = b""
    if first and first.rstrip(b"\r\n") != ",".join(header).encode():
        why = "it exists, and is no report"
        raise InputError(message("report", path, why, "choose another name"))


def _line(cells: Sequence[str], widths: Sequence[int]) -> str:
    first, *rest = zip(cells, widths, strict=True)
    aligned = [first[0].ljust(first[1]), *(cell.rjust(width) for cell, width in rest)]
    return "| " + " | ".join(aligned) + " |"
