"""Tables as text: aligned on the screen, and valid Markdown when pasted."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

__all__ = ["text_table"]


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


def _line(cells: Sequence[str], widths: Sequence[int]) -> str:
    first, *rest = zip(cells, widths, strict=True)
    aligned = [first[0].ljust(first[1]), *(cell.rjust(width) for cell, width in rest)]
    return "| " + " | ".join(aligned) + " |"
