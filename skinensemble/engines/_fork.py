"""Networks hang in a process that was forked after one ran: refuse it instead."""

from __future__ import annotations

import os

from skinensemble.exceptions import EngineError, message

__all__ = ["refuse_forked"]

_ran_in: list[int] = []


def refuse_forked() -> None:
    """Note that a network runs in this process, unless it was forked from one where this was noted.

    Raises
    ------
    EngineError
        In a forked process.
    """
    pid = os.getpid()
    if _ran_in and _ran_in[0] != pid:
        why = "it was forked after a network had run, and the threads of the network are not in it"
        remedy = 'use joblib.parallel_config("loky"), or start processes with "spawn"'
        raise EngineError(message("process", pid, why, remedy))
    _ran_in[:] = [pid]
