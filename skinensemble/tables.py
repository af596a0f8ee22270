"""Tables: as text, aligned on the screen and valid Markdown when pasted, and as CSV files."""

from __future__ import annotations

import csv
import io
import os
from collections.abc import Iterable, Sequence

__all__ = ["text_table", "write_csv"]


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

    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(header)
    writer.writerows(rows)
    # Names of files need not be valid Unicode; their bytes come back as they were.
    data = text.getvalue().encode("utf-8", "surrogateescape")
    replace_file(path, len(data), lambda file: write_all(file, data))


def _line(cells: Sequence[str], widths: Sequence[int]) -> str:
    first, *rest = zip(cells, widths, strict=True)
    aligned = [first[0].ljust(first[1]), *(cell.rjust(width) for cell, width in rest)]
    return "| " + " | ".join(aligned) + " |"
