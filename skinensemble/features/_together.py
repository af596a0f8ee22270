"""Several networks on the same images, which are decoded once for those that see one size."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable
from typing import Any

import numpy as np

from skinensemble.exceptions import ImageReadError
from skinensemble.features._extractor import Extractor
from skinensemble.features._memory import EACH
from skinensemble.features._progress import Progress, count_distinct
from skinensemble.features._spread import n_workers
from skinensemble.features._store import FeatureStore
from skinensemble.features._transformer import BackboneFeatures
from skinensemble.images import ImageSource, as_images
from skinensemble.images._decoded import last_decoded

__all__ = ["pass_together"]

# Images that all networks see before the next ones come, so that the last network finds them still
# decoded. As many as are kept, less those that threads decode ahead.
_MOST, _AHEAD = 1024, 64
# How much larger a store in memory is to be than these rows: it may hold others.
_SPARE = 2

_Task = tuple[Extractor, FeatureStore, int]


def pass_together(features: Iterable[BackboneFeatures], X: Any) -> None:
    """Let stores have the features that several networks make of images, some images at a time.

    It does nothing where nothing would be saved: where one network or few images are concerned,
    the stores have the features, or would lose them again before they are asked for. It ends at an
    image that cannot be read, which is left to who asks for its features.

    Parameters
    ----------
    features : iterable of BackboneFeatures
    X : images
        Anything that :func:`~skinensemble.images.as_images` accepts.
    """
    features = list(features)
    if len(features) < 2 or n_workers():
        return
    tasks = {}
    for one in features:
        extractor, store, _ = task = one.work()
        tasks[extractor.key(), id(store)] = task
    alike = defaultdict(list)
    for task in tasks.values():
        alike[task[0].size, task[0].fit].append(task)
    for (size, _), of_size in alike.items():
        at_once = min(_MOST, last_decoded.holds(size) - _AHEAD)
        if len(of_size) > 1 and 0 < at_once < len(X) and _have_room(tasks.values(), len(X)):
            verbose = max(one.verbose for one in features)
            _pass(of_size, as_images(X), at_once, verbose)


def _have_room(tasks: Iterable[_Task], n_images: int) -> bool:
    needed: Counter[FeatureStore] = Counter()
    for extractor, store, _ in tasks:
        row = extractor.n_features * extractor.dtype.itemsize + EACH
        needed[store] += _SPARE * n_images * row
    return all(store.path is not None or n <= store.max_bytes for store, n in needed.items())


def _pass(tasks: list[_Task], source: ImageSource, at_once: int, verbose: int) -> None:
    try:
        digests = source.digests
        missing = [store.missing(extractor.key(), digests) for extractor, store, _ in tasks]
        if sum(one.any() for one in missing) < 2:
            return
        names = " + ".join(extractor.name for extractor, _, _ in tasks)
        progress = Progress(names, count_distinct(digests, missing), verbose)
        rows = np.flatnonzero(np.any(missing, axis=0))
        for start in range(0, len(rows), at_once):
            part = source[rows[start : start + at_once]]
            for extractor, store, batch_size in tasks:
                extractor(part, store, batch_size=batch_size, progress=progress)
    except ImageReadError:
        return
