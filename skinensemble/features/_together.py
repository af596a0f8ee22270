"""Several networks on the same images, which are decoded once for those that see one size."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from typing import Any

import numpy as np

from skinensemble.exceptions import ImageReadError
from skinensemble.features._extractor import Extractor
from skinensemble.features._progress import Progress
from skinensemble.features._spread import n_workers
from skinensemble.features._store import FeatureStore
from skinensemble.features._transformer import BackboneFeatures
from skinensemble.images import ImageSource, as_images

__all__ = ["pass_together"]

# Images; what was decoded for the first network is still kept when the last one comes to it.
_AT_ONCE = 1024
# Bytes of a store in memory for each byte of rows: it holds keys as well, and perhaps other rows.
_SPARE = 2

_Task = tuple[Extractor, FeatureStore, int]


def pass_together(features: Iterable[BackboneFeatures], X: Any) -> Any:
    """Let stores have the features that several networks make of images, some images at a time.

    It does nothing where nothing would be saved: where one network or few images are concerned,
    the stores have the features, or would lose them again before they are asked for. What is wrong
    with an image is left to who asks for its features.

    Parameters
    ----------
    features : iterable of BackboneFeatures
    X : images
        Anything that :func:`~skinensemble.images.as_images` accepts.

    Returns
    -------
    ImageSource, or `X` itself
    """
    features = list(features)
    if len(features) < 2 or len(X) <= _AT_ONCE or n_workers():
        return X
    source = as_images(X)
    alike: defaultdict[tuple, dict[tuple, _Task]] = defaultdict(dict)
    for one in features:
        extractor, store, batch_size = one.task()
        if _has_room(store, extractor, len(source) * len(features)):
            of_size = alike[extractor.size, extractor.fit]
            of_size[extractor.key(), id(store)] = extractor, store, batch_size
    for tasks in alike.values():
        _pass(list(tasks.values()), source, max(one.verbose for one in features))
    return source


def _has_room(store: FeatureStore, extractor: Extractor, n_rows: int) -> bool:
    needed = _SPARE * n_rows * extractor.n_features * extractor.dtype.itemsize
    return store.path is not None or needed <= store.max_bytes


def _pass(tasks: list[_Task], source: ImageSource, verbose: int) -> None:
    try:
        digests = source.digests
    except ImageReadError:
        return
    missing = [store.missing(extractor.key(), digests) for extractor, store, _ in tasks]
    if sum(one.any() for one in missing) < 2:
        return
    names = " + ".join(extractor.name for extractor, _, _ in tasks)
    progress = Progress(names, _distinct(digests, missing), verbose)
    rows = np.flatnonzero(np.any(missing, axis=0))
    for start in range(0, len(rows), _AT_ONCE):
        part = source[rows[start : start + _AT_ONCE]]
        for extractor, store, batch_size in tasks:
            try:
                extractor(part, store, batch_size=batch_size, progress=progress)
            except ImageReadError:
                continue


def _distinct(digests: list[bytes], missing: list[np.ndarray]) -> int:
    """Return how many images pass a network."""
    return sum(len({digests[row] for row in np.flatnonzero(one)}) for one in missing)
