"""Networks on their way to another process: by name where they have one."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable
from contextvars import ContextVar
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from weakref import WeakValueDictionary

import cloudpickle
import numpy as np

from skinensemble.exceptions import WeightsError, message

if TYPE_CHECKING:
    from skinensemble.features._extractor import Extractor

__all__ = ["Parcel", "Recipe", "alive", "freeze", "travels"]

_CACHED = 8
_travels: ContextVar[bool] = ContextVar("travels", default=False)
alive: WeakValueDictionary[str, Extractor] = WeakValueDictionary()
"""The networks in this process, by fingerprint."""
_revived: OrderedDict[str, Any] = OrderedDict()
_lock = threading.Lock()


@dataclass(frozen=True)
class Recipe:
    """How another process makes a network that it does not have yet.

    Attributes
    ----------
    make : callable
        ``make(*args)`` is the extractor.
    args : tuple
    fingerprint : str
        Of the network that it has to be.
    """

    make: Callable[..., Extractor]
    args: tuple[Any, ...]
    fingerprint: str

    def build(self) -> Extractor:
        """Return the network, made once in each process; the last eight are kept.

        Raises
        ------
        WeightsError
            When it is another one than where the recipe was written.
        """
        with _lock:
            found = alive.get(self.fingerprint) or self.make(*self.args)
            if found.fingerprint != self.fingerprint:
                why = "its weights or its builder are not those of the process that sent it"
                remedy = "give all machines the same files and the same versions"
                raise WeightsError(message("network", found.name, why, remedy))
            _revived[self.fingerprint] = found
            _revived.move_to_end(self.fingerprint)
            while len(_revived) > _CACHED:
                _revived.popitem(last=False)
            return found


def freeze(extractor: Extractor) -> Recipe:
    """Return a recipe with the network itself in it, for one that was loaded from a file."""
    data = np.frombuffer(cloudpickle.dumps(extractor), np.uint8)
    return Recipe(_thaw, (data,), extractor.fingerprint)


def _thaw(data: np.ndarray) -> Extractor:
    return cloudpickle.loads(data.tobytes())


def travels() -> bool:
    """Whether what is pickled now is in a parcel: networks then go by name."""
    return _travels.get()


class Parcel:
    """Anything on its way between two processes that both have, or can make, the networks in it.

    Parameters
    ----------
    content : object
    """

    def __init__(self, content: Any) -> None:
        self.content = content

    def __reduce__(self) -> tuple[Any, ...]:
        token = _travels.set(True)
        try:
            return _unpack, (cloudpickle.dumps(self.content),)
        finally:
            _travels.reset(token)


def _unpack(data: bytes) -> Parcel:
    return Parcel(cloudpickle.loads(data))
