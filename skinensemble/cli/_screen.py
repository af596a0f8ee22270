"""What the commands show, and where: results on standard output, progress on standard error."""

from __future__ import annotations

import argparse
import contextlib
import json
import logging
import os
import re
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from typing import Any

__all__ = [
    "UsageError",
    "add_seed",
    "columns",
    "comma_list",
    "count",
    "duration",
    "escaped",
    "load_keras",
    "number",
    "print_json",
    "progress_on_stderr",
    "spoken",
    "whole",
]


# Parameters of functions, and the options that stand for them here.
_OPTIONS = {"cv": "folds", "groups": "lesions", "min_accuracy": "refer"}
_WORDS = {
    "check_images(X, on_error='skip') returns the others": "on_error='skip' takes the others",
    " or a VotingRule instance": "",
    "list_backbones()": "`skinensemble backbones`",
    'pass on_error="drop"': "pass --on-member-error drop",
    "on_error: drop": "--on-member-error: drop",
    "min_members": "--min-members",
    "see failures_": "see `skinensemble info`",
    "lower min_share; with folder= what was finished": "lower --min-share; what was finished",
    "or go on with the same folder": "or go on with the same --output",
}
# What stands in a path is no word of ours.
_PARAMETER = re.compile(
    r"""(?<![\w/\\.-])(cv|engine|epochs|groups|image_size|max_skipped|min_sensitivity|min_accuracy|on_error"""
    r"""|other|precision|report|voting)=(?:lesion_ids\b|(?:['"]([^'"]*)['"]|(\w+(?:\.\d+)?)))(?![\w/\\]|\.\w)"""
)


def spoken(text: str) -> str:
    """Return a message of the library in the words of the command line.

    Examples
    --------
    >>> spoken("pass cv=3, or on_error='skip', or see list_backbones()")
    'pass --folds 3, or --on-error skip, or see `skinensemble backbones`'
    """

    def option(match: re.Match) -> str:
        name = _OPTIONS.get(match[1], match[1]).replace("_", "-")
        return " ".join(filter(None, (f"--{name}", match[2], match[3])))

    for call, words in _WORDS.items():
        text = re.sub(rf"(?<![/\\]){re.escape(call)}(?![/\\\w])", words, text)
    return _PARAMETER.sub(option, text)


class UsageError(Exception):
    """Arguments that cannot be used, found after they were parsed; exit code 2."""


def comma_list(text: str) -> list[str]:
    """Split ``"a,b"``; the type of options that take several values.

    Examples
    --------
    >>> comma_list("akiec, mel")
    ['akiec', 'mel']
    """
    values = [value.strip() for value in text.split(",")]
    if not all(values):
        raise argparse.ArgumentTypeError(f"empty value in {text!r}")
    return values


def add_seed(group) -> None:
    """Add ``--seed``."""
    group.add_argument(
        "--seed", type=whole(0, 2**32 - 1), default=0, help="random seed (default: 0)"
    )


def whole(least: int, most: int | None = None) -> Callable[[str], int]:
    """Return the type of options that take a whole number.

    Examples
    --------
    >>> whole(1, 8)("7")
    7
    """
    rule = f"{least} or more" if most is None else f"a whole number from {least} to {most}"

    def parse(text: str) -> int:
        if not text.isdecimal() or not least <= int(text) <= (most or int(text)):
            raise argparse.ArgumentTypeError(f"{text!r} is not {rule}")
        return int(text)

    return parse


def number(rule: str, good: Callable[[float], bool]) -> Callable[[str], float]:
    """Return the type of options that take a number of which something holds.

    Examples
    --------
    >>> number("a share between 0 and 1", lambda n: 0 <= n <= 1)("0.5")
    0.5
    """

    def parse(text: str) -> float:
        with contextlib.suppress(ValueError):
            value = float(text)
            if good(value):
                return value
        raise argparse.ArgumentTypeError(f"{text!r} is not {rule}")

    return parse


def duration(text: str) -> float:
    """Return seconds; the type of options that take a time such as ``90m``.

    Examples
    --------
    >>> duration("45"), duration("90m"), duration("1.5h")
    (45.0, 5400.0, 5400.0)
    """
    match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([smh]?)", text.strip())
    seconds = float(match[1]) * {"": 1, "s": 1, "m": 60, "h": 3600}[match[2]] if match else 0.0
    if not seconds:
        raise argparse.ArgumentTypeError(f"{text!r} is not a time such as 45s, 90m or 1.5h")
    return seconds


def escaped(text: str) -> str:
    r"""Return a text in which what a terminal would obey, or cannot show, is written out.

    Examples
    --------
    >>> print(escaped("a\tb \x1b[2J"))
    a\tb \x1b[2J
    """
    return "".join(one if one.isprintable() else repr(one)[1:-1] for one in text)


def columns(header: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """Return an aligned table; columns of numbers read right.

    Examples
    --------
    >>> print(columns(["file", "p"], [["a.jpg", "0.5"], ["long.jpg", "0.25"]]))
    file         p
    a.jpg      0.5
    long.jpg  0.25
    """
    cells = [[str(cell) for cell in row] for row in rows]
    parts = []
    for name, *column in zip(header, *cells, strict=True):
        width = max(map(len, [name, *column]))
        right = all(_is_number(cell) for cell in column if cell) and any(column)
        align = str.rjust if right else str.ljust
        parts.append([align(cell, width) for cell in [name, *column]])
    return "\n".join("  ".join(line).rstrip() for line in zip(*parts, strict=True))


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def print_json(value: Any) -> None:
    """Print a value as JSON; figures that are not defined become null."""
    print(json.dumps(_defined(value), indent=2, ensure_ascii=False, allow_nan=False))


def _defined(value: Any) -> Any:
    if isinstance(value, dict):
        return {str(key): _defined(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_defined(item) for item in value]
    if hasattr(value, "item"):
        value = value.item()
    return None if isinstance(value, float) and value - value != 0 else value


@contextlib.contextmanager
def progress_on_stderr(quiet: bool = False) -> Iterator[None]:
    """Send what the library prints while it works to standard error, or nowhere."""
    with contextlib.ExitStack() as stack:
        target = stack.enter_context(open(os.devnull, "w")) if quiet else sys.stderr  # noqa: PTH123
        stack.enter_context(contextlib.redirect_stdout(target))
        yield


def load_keras(args: argparse.Namespace) -> None:
    """Import Keras without the lines that its backend writes before it can be told not to.

    They go to the file descriptor, past Python; they are shown when the import fails, and with
    ``--debug``.
    """
    if "keras" in sys.modules:
        return
    if getattr(args, "debug", False):
        import keras

        return
    sys.stderr.flush()
    kept = os.dup(2)
    with tempfile.TemporaryFile() as noise:
        os.dup2(noise.fileno(), 2)
        try:
            import keras  # noqa: F401
        except BaseException:
            noise.seek(0)
            os.write(kept, noise.read())
            raise
        finally:
            os.dup2(kept, 2)
            os.close(kept)
    # It advises whoever writes a loop over networks, as we do on purpose.
    logging.getLogger("tensorflow").setLevel(logging.ERROR)


def count(number: int, thing: str) -> str:
    """Return ``1 image`` or ``2 images``.

    Examples
    --------
    >>> count(1, "image"), count(1200, "lesion")
    ('1 image', '1,200 lesions')
    """
    return f"{number:,} {thing}{'' if number == 1 else 's'}"
