"""Heads on one backbone that are asked about the same images: one product answers for all."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import numpy as np

from skinensemble.members._run_head import run_heads

__all__ = ["answer", "heads_together"]


class _Asked:
    """Heads on features of one key, and what they have answered."""

    def __init__(self, members: Iterable, X: Any):
        self.X = X
        groups: dict[str, dict] = defaultdict(dict)
        for member in members:
            for body, head in getattr(member, "frozen_heads", list)():
                groups[body.work()[0].key()][id(head)] = head
        self.beside = {one: group for group in groups.values() for one in group}
        self.answers: dict[int, np.ndarray] = {}


_asked: ContextVar[_Asked | None] = ContextVar("asked", default=None)


@contextmanager
def heads_together(members: Iterable, X: Any) -> Iterator[None]:
    """Ask heads on one backbone about `X` together, as soon as one of them is asked.

    Parameters
    ----------
    members : iterable of classifier
        Fitted. Those with ``frozen_heads()`` say what of them are heads, and on which body.
    X : images
        This object; asked about any other, each head answers alone.
    """
    before = _asked.get()
    if before is not None and before.X is X:
        yield
        return
    token = _asked.set(_Asked(members, X))
    try:
        yield
    finally:
        _asked.reset(token)


def answer(head, body, X) -> np.ndarray:
    """Return the probabilities of a head on the features that a body makes of images."""
    asked = _asked.get()
    if asked is None or asked.X is not X or id(head) not in asked.beside:
        return head._ask(body.transform(X))
    if id(head) not in asked.answers:
        group = asked.beside[id(head)]
        found = run_heads(list(group.values()), body.transform(X))
        asked.answers |= zip(group, found, strict=True)
    return asked.answers[id(head)]
