"""How a command ends when it is told to, by Ctrl-C or SIGTERM, whatever it is busy with."""

from __future__ import annotations

import atexit
import contextlib
import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable
from typing import NoReturn

__all__ = ["end_when_told", "leave", "was_told"]

_PATIENCE = 1.5  # seconds
_leaving, _signalled = threading.Lock(), threading.Event()


def end_when_told(last_words: Callable[[], None]) -> None:
    """Let Ctrl-C and SIGTERM raise KeyboardInterrupt, and end the process when nobody hears it.

    Python raises it in the main thread, between two of its own instructions: not while a network
    takes its time, and where C code has called Python it may be lost. So a thread of its own waits
    for the signal too, and after 1.5 seconds ends what has not ended.
    """
    # A machine that shuts down, or a scheduler, asks to end no less than Ctrl-C does.
    signal.signal(signal.SIGTERM, _hear)
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:  # else it is ignored
        signal.signal(signal.SIGINT, _hear)
    heard, told = socket.socketpair()
    told.setblocking(False)
    signal.set_wakeup_fd(told.fileno(), warn_on_full_buffer=False)
    threading.Thread(target=_wait, args=(heard, told, last_words), daemon=True).start()
    if hasattr(os, "register_at_fork"):
        os.register_at_fork(after_in_child=_be_another)


def was_told() -> bool:
    """Tell whether a signal came; what fails then, such as an import, fails because of it."""
    return _signalled.is_set()


def _hear(signum: int, frame: object) -> NoReturn:
    _signalled.set()
    raise KeyboardInterrupt


def _be_another() -> None:
    """Let a child that is told to end do so, and not tell its parent through the socket."""
    signal.set_wakeup_fd(-1)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)


def _wait(heard: socket.socket, told: socket.socket, last_words: Callable[[], None]) -> None:
    # Whoever holds `told` keeps the socket open.
    while heard.recv(1)[0] not in (signal.SIGINT, signal.SIGTERM):
        pass
    time.sleep(_PATIENCE)
    leave(last_words)


def leave(last_words: Callable[[], None]) -> NoReturn:
    """End the process now; Python would wait for threads that are in a network."""
    _leaving.acquire()  # for good: words are said once
    try:
        last_words()
        with contextlib.suppress(OSError):
            sys.stdout.flush()
        atexit._run_exitfuncs()
    finally:  # a second Ctrl-C, too
        os._exit(130)
