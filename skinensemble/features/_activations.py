"""Activations at a cut: what a frozen lower part made of each view of each image."""

from __future__ import annotations

import atexit
import os
import shutil
import tempfile
from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from numbers import Real
from threading import Lock
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

import numpy as np

from skinensemble.backbones import Backbone, Cut, get_backbone, resolve_cut, split_at
from skinensemble.exceptions import InputError, first_few, message
from skinensemble.features._built import portable, weights_identity
from skinensemble.features._extractor import Extractor
from skinensemble.features._fingerprint import structure
from skinensemble.features._memory import EACH, Reader
from skinensemble.features._progress import Progress, count_distinct
from skinensemble.features._recipe import Recipe, travels
from skinensemble.features._store import FeatureStore
from skinensemble.images import ImageSource, dihedral
from skinensemble.images._problems import Problems
from skinensemble.images._views import N_VIEWS, View, lay_out

if TYPE_CHECKING:
    import keras

__all__ = ["Activations", "CutNetwork", "load_cut"]

# Images that pass in all views before the next ones are decoded, and those of a prediction: fewer
# where they would take more bytes than these, of which a training holds each row so many times.
_ROWS = 960
_CHUNK = 256
_BYTES = 2**28
_TIMES = 4
_CACHED = 4
PIXELS = "pixels"

Views = tuple[View, ...]


@dataclass(frozen=True)
class CutNetwork:
    """A backbone in two parts.

    Attributes
    ----------
    lower : Extractor
        From images to the activations at the cut; for ``unfreeze="all"`` to pixels.
    upper : keras.Model
        From these to feature maps: the weights that a training starts from.
    cut : Cut or None
        None where everything is trained.
    """

    lower: Extractor
    upper: keras.Model
    cut: Cut | None
    origin: tuple[Any, ...] | None = None
    """Arguments of :func:`load_cut`, where it comes from there."""

    @cached_property
    def above(self) -> str:
        """What the upper part computes but for its weights."""
        return structure(self.upper)

    def __reduce_ex__(self, protocol: Any) -> Any:
        if travels() and self.origin is not None:
            return load_cut, self.origin
        return super().__reduce_ex__(protocol)

    def activations(
        self, source: ImageSource, store: FeatureStore, views: Views, verbose: int = 0
    ) -> Activations:
        """Let every image pass the lower part once in every view, unless the store knows it.

        Parameters
        ----------
        source : ImageSource
        store : FeatureStore
            In memory, or on disk. What does not fit into one in memory goes to a folder of this
            process, which is removed when it ends.
        views : tuple of View
        verbose : {0, 1, 2}, default=0

        Returns
        -------
        Activations

        Raises
        ------
        ImageReadError
            When images cannot be read; all are listed.
        SaveError
            When the store cannot be written, or its disk has too little room; known before.
        """
        stored = self.stored_views(views)
        needed = self._bytes(len(set(source.digests)) * len(stored))
        store = _overflow() if store.path is None and needed > store.max_bytes else store
        readers = self._fill(source, store, stored, verbose)
        if store.path is None and None in readers:
            # Another thread's rows took the place of these: both do not fit.
            readers = self._fill(source, _overflow(), stored, verbose)
        return Activations(readers, len(source), len(views))

    def _fill(
        self, source: ImageSource, store: FeatureStore, stored: Views, verbose: int
    ) -> list[Reader | None]:
        """Let a store have the rows, and return a reader for each view."""
        digests = source.digests
        missing = {view: store.missing(self.lower.key(view), digests) for view in stored}
        total = count_distinct(digests, missing.values())
        store.check_room(self._bytes(total))
        progress = Progress(self.lower.name, total, verbose if total else 0)
        problems = Problems(len(source))
        size = self._at_once(_ROWS, _TIMES)
        for start in range(0, len(source), size):
            # All views of some images, then the next ones: each is decoded once.
            for view, absent in missing.items():
                rows = start + np.flatnonzero(absent[start : start + size])
                with problems.among(rows):
                    if len(rows):
                        self.lower(source[rows], store, view=view, progress=progress)
        problems.raise_all()
        return [store.reader(self.lower.key(view), digests)[0] for view in stored]

    def stored_views(self, views: Views) -> Views:
        """Return the views that are kept: pixels can be turned when they are needed."""
        turned = self.cut is None and all(view.turned_only for view in views)
        return views[:1] if turned else views

    def stream(
        self, source: ImageSource, store: FeatureStore, views: Views
    ) -> Iterator[list[np.ndarray]]:
        """Yield the activations of some images after the other, an array for each view.

        What a store knows is taken from it; what it does not know is not kept. Those that cannot be
        read are raised in the end, all of them.
        """
        problems = Problems(len(source))
        size = self._at_once(_CHUNK, len(self.stored_views(views)))
        for start in range(0, len(source), size):
            part, rows = source[start : start + size], None
            with problems.among(range(start, start + len(part))):
                rows = self._of_all_views(part, store, views, keep=len(source) <= size)
            if rows is not None:
                whole = len(rows) == len(views)
                yield rows if whole else [dihedral(rows[0], view.turn) for view in views]
        problems.raise_all()

    def _of_all_views(
        self, source: ImageSource, store: FeatureStore, views: Views, keep: bool
    ) -> list[np.ndarray]:
        key = self.lower.key(), views, b"".join(source.digests)
        known, rows = _latest.get(self.lower, (None, []))
        if known != key:
            rows = [self._look_up(source, store, view) for view in self.stored_views(views)]
            if keep:
                # In one step: another thread may be at other images.
                _latest[self.lower] = key, rows
        return rows

    def _look_up(self, source: ImageSource, store: FeatureStore, view: View) -> np.ndarray:
        if store.path is None and _overflow_store:
            key = self.lower.key(view)
            if not _overflow_store[0].missing(key, source.digests).any():
                store = _overflow_store[0]
        return self.lower(source, store, view=view, keep=False)

    def _at_once(self, most: int, times: int) -> int:
        """Return how many images are held at a time, in whole batches."""
        batch = self.lower.batch_size
        return min(most, max(_BYTES // (times * self._bytes(1)) // batch, 1) * batch)

    def _bytes(self, n_rows: int) -> int:
        row = int(np.prod(self.lower.row_shape)) * self.lower.dtype.itemsize
        return int(n_rows) * (row + EACH)


class Activations:
    """Rows of images in several views, read when they are asked for.

    Parameters
    ----------
    readers : list of callable
        For each stored view, from positions to rows.
    n_images, n_views : int
    """

    def __init__(self, readers: list[Reader | None], n_images: int, n_views: int) -> None:
        self._readers = readers
        self.n_images, self.n_views = n_images, n_views

    def __len__(self) -> int:
        return self.n_images

    def take(self, positions: np.ndarray, views: np.ndarray) -> np.ndarray:
        """Return the rows of images, each in a view of its own.

        Parameters
        ----------
        positions, views : ndarray of int of shape (b,)

        Returns
        -------
        float32 ndarray of shape (b, height, width, channels)
        """
        rows: np.ndarray | None = None
        for view in np.unique(views):
            chosen = np.flatnonzero(views == view)
            found = self._read(int(view), positions[chosen])
            if rows is None:
                rows = np.empty((len(positions), *found.shape[1:]), np.float32)
            rows[chosen] = found
        assert rows is not None
        return rows

    def _read(self, view: int, positions: np.ndarray) -> np.ndarray:
        turned = view >= len(self._readers)
        read = self._readers[0 if turned else view]
        if read is None:
            why = "the store lost rows while they were computed"
            raise InputError(message("feature store", "activations", why, "run it again"))
        return dihedral(read(positions), view) if turned else read(positions)


# Several networks above one cut are asked about the same images, one after the other. What they are
# asked goes with the network below; of more images than are held at a time, nothing would be found.
_latest: WeakKeyDictionary[Extractor, tuple[Any, list[np.ndarray]]] = WeakKeyDictionary()
_cache: OrderedDict[tuple[Any, ...], CutNetwork] = OrderedDict()
_cache_lock = Lock()


def load_cut(
    backbone: str | Backbone,
    weights: str | os.PathLike[str] | None,
    image_size: int | tuple[int, int] | None,
    fit: str,
    unfreeze: str | float,
) -> CutNetwork:
    """Build a backbone and cut it in two, or return what was built for the same before.

    Parameters
    ----------
    backbone, weights, image_size, fit
        As in :func:`load_extractor`.
    unfreeze : str, int or float
        As in :func:`~skinensemble.backbones.resolve_cut`.

    Returns
    -------
    CutNetwork
        The last four are kept in memory.

    Raises
    ------
    InputError
        When there is no such backbone or cut.
    WeightsError
        When the weights cannot be had or do not fit.
    """
    found = backbone if isinstance(backbone, Backbone) else get_backbone(backbone)
    size, weights = found._check_size(image_size), found.source(weights)
    # By `repr`: True and 1.0 equal 1, and are refused.
    key = (id(found), weights_identity(weights), size, repr(fit), repr(unfreeze))
    with _cache_lock:
        if key not in _cache:
            model = found.build(weights, size, pooling=None)
            _refuse_stuck(model)
            network = cut_network(model, fit, resolve_cut(model, unfreeze))
            others = portable(weights), size, fit, unfreeze
            lower = network.lower
            lower.backbone = found
            lower.recipe = Recipe(_load_lower, (found, *others), lower.fingerprint)
            _cache[key] = replace(network, origin=(backbone, *others))
        _cache.move_to_end(key)
        while len(_cache) > _CACHED:
            _cache.popitem(last=False)
        return _cache[key]


def _refuse_stuck(model: keras.Model) -> None:
    """Refuse layers of the user's own that cannot be copied, as each training does."""
    import keras

    stuck = []
    for layer in model._flatten_layers():
        own = not type(layer).__module__.startswith("keras.")
        if not (own or isinstance(layer, keras.layers.Lambda)):
            continue
        try:
            type(layer).from_config(layer.get_config())
        except (NotImplementedError, TypeError, ValueError):
            stuck.append(f"{layer.name} ({type(layer).__name__})")
    if stuck:
        why = f"fine-tuning copies its layers, and {first_few(stuck)} cannot be copied"
        remedy = "write a layer class with get_config instead, or pass unfreeze=None"
        raise InputError(message("backbone", model.name, why, remedy))


def _load_lower(*origin: Any) -> Extractor:
    return load_cut(*origin).lower


def cut_network(model: keras.Model, fit: str, cut: Cut | None) -> CutNetwork:
    """Cut a network; without a cut, its lower part hands on the pixels."""
    if cut is None:
        return CutNetwork(_pixels(model.input_shape[1:], fit), model, None)
    lower, upper = split_at(model, cut)
    return CutNetwork(Extractor(lower, model.name, fit, dtype="float16"), upper, cut)


def _pixels(shape: tuple[int, ...], fit: str) -> Extractor:
    import keras

    images = keras.Input(shape, name="images")
    same = keras.Model(images, keras.layers.Identity()(images))
    return Extractor(same, PIXELS, fit, dtype="uint8")


def check_views(views: int, zoom: float, jitter: float, size: tuple[int, int]) -> Views:
    """Return the views, or say why there cannot be such."""
    whole = hasattr(views, "__index__") and not isinstance(views, bool)
    if not whole or not 1 <= views <= N_VIEWS:
        why = "there are eight ways to lay an image down"
        raise InputError(message("views", repr(views), why, f"pass 1 to {N_VIEWS}"))
    if views > 1 and size[0] != size[1]:
        why = f"images of {size[0]} × {size[1]} pixels cannot be turned"
        raise InputError(message("views", repr(views), why, "use a square image_size, or one view"))
    for name, value, low, high in (("zoom", zoom, 1, 4), ("jitter", jitter, 0, 0.5)):
        if isinstance(value, bool) or not isinstance(value, Real) or not low <= value <= high:
            why = "no image could be recognised, or it is no number"
            raise InputError(message(name, repr(value), why, f"pass {low} to {high}"))
    return lay_out(int(views), float(zoom), float(jitter))


_overflow_store: list[FeatureStore] = []
_overflow_lock = Lock()


def _overflow() -> FeatureStore:
    """Return the store for what does not fit into memory, which ends with the process."""
    with _overflow_lock:
        if not _overflow_store:
            folder = tempfile.mkdtemp(prefix="skinensemble-")
            atexit.register(shutil.rmtree, folder, ignore_errors=True)
            _overflow_store.append(FeatureStore(folder))
        return _overflow_store[0]
