"""Random starting weights that are the same every time and disturb nobody else's random numbers."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np


@contextmanager
def fixed_random_state(name: str) -> Iterator[None]:
    """Seed the global generators from `name`, and put them back afterwards.

    Keras draws the seed of an initialiser without one from Python's ``random``; custom layers often
    use NumPy's. Seeding Python with a string hashes it with SHA-512, the same in every process.
    """
    python, numpy = random.getstate(), np.random.get_state()  # noqa: NPY002
    random.seed(name)
    np.random.seed(random.getrandbits(32))  # noqa: NPY002
    try:
        yield
    finally:
        random.setstate(python)
        np.random.set_state(numpy)  # noqa: NPY002
