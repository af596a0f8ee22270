"""One path where a list of images is expected: its letters would be counted as samples."""

from __future__ import annotations

import os
from pathlib import Path

from skinensemble.exceptions import InputError, message

__all__ = ["refuse_path"]


def refuse_path(X) -> None:
    """Raise InputError where one path stands for a list of images."""
    if isinstance(X, str | bytes | os.PathLike):
        remedy = (
            "pass a list of the files in it" if Path(os.fsdecode(X)).is_dir() else "pass [path]"
        )
        why = "one path; a list of images is expected"
        raise InputError(message("images", repr(X), why, remedy))
