"""Files that the commands write: looked at before the work starts, written whole or not at all."""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Iterable, Mapping
from os import PathLike
from pathlib import Path

from skinensemble._paths import exists, expanded, first_same, is_folder
from skinensemble.cli._screen import UsageError
from skinensemble.exceptions import InputError, message

__all__ = ["add_force", "check_output", "keep_apart"]


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
    path, option = expanded(given), f"--{name.replace('_', '-')}"
    if is_folder(path):
        raise InputError(message(option, path, "it is a folder", "give the path of a file"))
    if exists(path) and not (args.force or getattr(args, "resume", False)):
        raise InputError(message(option, path, "it exists", "choose another name, or pass --force"))
    try:
        with tempfile.TemporaryFile(dir=path.parent):
            return path
    except OSError as error:
        why = f"nothing can be written to {path.absolute().parent} ({error.strerror})"
        remedy = "make the folder, change its rights, or write elsewhere"
        raise InputError(message(option, path, why, remedy)) from error


def keep_apart(
    outputs: Mapping[str, str | PathLike | None], inputs: Iterable[str | PathLike] = ()
) -> None:
    """Refuse outputs that are one file, or one that is read: ``--force`` is not meant for that.

    Raises
    ------
    UsageError
    """
    given = {option: expanded(path) for option, path in outputs.items() if path is not None}
    read = [expanded(path) for path in inputs] if given else []
    for at, (option, path) in enumerate(given.items()):
        if first_same(path, list(given.values())[:at]) is not None:
            why = "another option names the same file"
        elif first_same(path, read) is not None:
            why = "it is read"
        else:
            continue
        raise UsageError(message(option, path, why, "choose another name"))
