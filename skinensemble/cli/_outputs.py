"""Files that the commands write: looked at before the work starts, written whole or not at all."""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

from skinensemble.exceptions import InputError, message

__all__ = ["add_force", "check_output"]


def add_force(parser) -> None:
    """Add the option that lets existing files be replaced."""
    parser.add_argument("--force", action="store_true", help="replace output files that exist")


def check_output(args: argparse.Namespace, name: str) -> Path | None:
    """Return the path given for an option, once it is clear that it can be written.

    Raises
    ------
    InputError
        When the file exists and ``--force`` was not given, or its folder cannot be written to.
    """
    given = getattr(args, name)
    if given is None:
        return None
    path, option = Path(given).expanduser(), f"--{name.replace('_', '-')}"
    if path.is_dir():
        raise InputError(message(option, path, "it is a folder", "give the path of a file"))
    if path.exists() and not (args.force or getattr(args, "resume", False)):
        raise InputError(message(option, path, "it exists", "choose another name, or pass --force"))
    try:
        with tempfile.TemporaryFile(dir=path.parent):
            return path
    except OSError as error:
        why = f"nothing can be written to {path.absolute().parent} ({error.strerror})"
        remedy = "make the folder, change its rights, or write elsewhere"
        raise InputError(message(option, path, why, remedy)) from error
