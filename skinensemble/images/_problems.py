"""What is wrong with an image, and the one error that lists every such image."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace

import numpy as np

from skinensemble.exceptions import ImageReadError, first_few, message

__all__ = ["ImageProblem"]


class Unreadable(Exception):
    """Raised inside this package for one image; carries no name, the caller knows it."""

    def __init__(self, why: str, remedy: str) -> None:
        super().__init__(why, remedy)
        self.why = why
        self.remedy = remedy


@dataclass(frozen=True)
class ImageProblem:
    """One image that cannot be used.

    Attributes
    ----------
    index : int
        Position among the images, from 0.
    name : str
        Path of the file, or ``image 3`` for an array.
    problem : str
        What is wrong.
    remedy : str
        What to do about it.
    sha256 : str
        SHA-256 of the file's bytes in hexadecimal, empty where they could not be read.

    Examples
    --------
    >>> print(ImageProblem(3, "a.jpg", "the file is empty", "copy it again"))
    a.jpg – the file is empty – copy it again
    """

    index: int
    name: str
    problem: str
    remedy: str = ""
    sha256: str = ""

    def __str__(self) -> str:
        return " – ".join(
            part for part in (printable(self.name), self.problem, self.remedy) if part
        )


def printable(name: str) -> str:
    """Return `name`, quoted where it holds what a terminal would not show."""
    return name if name and name.isprintable() else repr(name)


def problem_of(index: int, name: str, error: Unreadable, sha256: str = "") -> ImageProblem:
    """Turn what was raised for one image into its line of the list."""
    return ImageProblem(index, name, error.why, error.remedy, sha256)


class Problems:
    """Problems of images that are read some at a time, told in the end as those of all.

    Parameters
    ----------
    total : int
        Number of images.
    """

    def __init__(self, total: int) -> None:
        self._total = total
        self._found: dict[int, ImageProblem] = {}

    @contextmanager
    def among(self, rows: Sequence[int] | np.ndarray) -> Iterator[None]:
        """Let images at these rows be read; those that cannot be are noted."""
        try:
            yield
        except ImageReadError as error:
            for one in error.problems:
                row = int(rows[one.index])
                self._found[row] = replace(one, index=row)

    def raise_all(self) -> None:
        """Raise an ImageReadError of all that were noted, if any."""
        if self._found:
            raise read_error([self._found[row] for row in sorted(self._found)], self._total)


def read_error(problems: Sequence[ImageProblem], total: int, where: str = "") -> ImageReadError:
    """Return one error for all `problems` among `total` images; it has them as ``problems``.

    `where` is said at the end of the reasons, such as where the whole list is.
    """
    if len(problems) == 1:
        (only,) = problems
        why, remedy = only.problem + where, only.remedy
        text = message("image cannot be read", printable(only.name), why, remedy)
    else:
        why = first_few(f"{printable(one.name)} ({one.problem})" for one in problems) + where
        remedies = list(dict.fromkeys(one.remedy for one in problems))
        remedy = remedies[0] if len(remedies) == 1 else "repair them or leave them out"
        remedy += "; check_images(X, on_error='skip') returns the others"
        text = message("images cannot be read", f"{len(problems)} of {total}", why, remedy)
    error = ImageReadError(text)
    error.problems = tuple(problems)
    return error
