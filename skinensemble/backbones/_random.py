"""Random starting weights that are the same every time and disturb nobody else's random numbers."""

from __future__ import annotations

import random
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import numpy as np

Randint = Callable[[int, int], int]

_lock = threading.RLock()


@contextmanager
def fixed_random_state(name: str) -> Iterator[None]:
    """Seed the global generators from `name`, and put them back afterwards.

    Keras draws the seed of an initialiser without one from Python's ``random``; custom layers often
    use NumPy's. Seeding Python with a string hashes it with SHA-512, the same in every process.
    """
    with _lock:
        python, numpy = random.getstate(), np.random.get_state()  # noqa: NPY002
        randint, own = random.randint, random.Random(name)
        np.random.seed(own.getrandbits(32))  # noqa: NPY002
        random.setstate(own.getstate())
        random.randint = _for_this_thread(own.randint, randint)  # type: ignore[assignment]
        try:
            yield
        finally:
            random.randint = randint
            random.setstate(python)
            np.random.set_state(numpy)  # noqa: NPY002


def _for_this_thread(own: Randint, others: Randint) -> Randint:
    # It is what Keras calls. Other threads, a Dask worker has some, would draw from its numbers.
    here = threading.get_ident()
    return lambda a, b: (own if threading.get_ident() == here else others)(a, b)
