"""How long a training may still take; what trains asks now and then, wherever it runs."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import partial
from numbers import Real
from typing import Any

from skinensemble.exceptions import InputError, TimeLimitError, message

__all__ = [
    "MORE_TIME",
    "check_deadline",
    "check_seconds",
    "remaining",
    "time_limit",
    "with_deadline",
]

MORE_TIME = 'allow more time, or pass on_error="drop" for the vote of the members that finish'


class Deadline:
    """A moment, and the limit that it comes from.

    Parameters
    ----------
    seconds : float
        From now.
    limit : str
        The limit in words, such as ``"20 s for each member"``.
    """

    def __init__(self, seconds: float, limit: str) -> None:
        self.end, self.limit = time.monotonic() + seconds, limit

    def __getstate__(self) -> tuple[float, str]:
        # Another process, or machine, starts its monotonic clock elsewhere.
        return time.time() + self.end - time.monotonic(), self.limit

    def __setstate__(self, state: tuple[float, str]) -> None:
        self.end, self.limit = state[0] - time.time() + time.monotonic(), state[1]


_current: ContextVar[Deadline | None] = ContextVar("skinensemble_deadline", default=None)


@contextmanager
def time_limit(seconds: float | None, whose: str) -> Iterator[None]:
    """Limit what runs in a ``with`` block, unless an outer limit ends earlier anyway.

    Parameters
    ----------
    seconds : float or None
        None: no limit of its own.
    whose : str
        What is limited, for messages.
    """
    given = [] if seconds is None else [Deadline(seconds, f"{_shown(seconds)} s for {whose}")]
    given += filter(None, [_current.get()])
    token = _current.set(min(given, key=lambda deadline: deadline.end, default=None))
    try:
        yield
    finally:
        _current.reset(token)


def _shown(seconds: float) -> str:
    return f"{seconds:.3g}" if seconds < 100 else f"{seconds:,.0f}"


def remaining() -> float | None:
    """Return the seconds that are left, not below 0; None without a limit."""
    deadline = _current.get()
    return None if deadline is None else max(deadline.end - time.monotonic(), 0.0)


def check_deadline(doing: str) -> None:
    """Stop here when the time is over.

    Parameters
    ----------
    doing : str
        What is under way, such as ``"fold 2 of 5"``.

    Raises
    ------
    TimeLimitError
    """
    deadline = _current.get()
    if deadline is None or time.monotonic() < deadline.end:
        return
    error = TimeLimitError(message("time limit", deadline.limit, f"over at {doing}", MORE_TIME))
    error.reason = f"the {deadline.limit} were over at {doing}"
    raise error


def with_deadline(function: Callable[..., Any]) -> Callable[..., Any]:
    """Return `function` bound to the limit in force now, for another thread or process."""
    return partial(_run, _current.get(), function)


def _run(
    deadline: Deadline | None, function: Callable[..., Any], /, *args: Any, **kwargs: Any
) -> Any:
    token = _current.set(deadline)
    try:
        return function(*args, **kwargs)
    finally:
        _current.reset(token)


def check_seconds(**limits: float | None) -> None:
    """Refuse limits that are not positive numbers of seconds, or None."""
    for name, value in limits.items():
        number = isinstance(value, Real) and not isinstance(value, bool)
        if value is not None and not (number and 0 < float(value) < float("inf")):
            why = "not a positive number of seconds"
            raise InputError(message(name, repr(value), why, "pass such as 3600, or None"))
