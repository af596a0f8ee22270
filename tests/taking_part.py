"""Callbacks that take part in a fine-tuning as the library's own do."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from skinensemble.members import _fine_tuning


@contextmanager
def taking_part(callback) -> Iterator[None]:
    """Let a callback see each training: with a checkpoint users may pass none."""
    own = _fine_tuning.stop_in_time
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(_fine_tuning, "stop_in_time", lambda: [callback, *own()])
        yield
