"""A frozen network that turns images into features, each image once."""

from __future__ import annotations

import hashlib
import math
import threading
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from skinensemble._deadline import check_deadline, remaining
from skinensemble.backbones import Backbone
from skinensemble.engines import Runner, get_config, make_runner
from skinensemble.engines._fork import refuse_forked
from skinensemble.exceptions import ImageReadError, InputError, message
from skinensemble.features._costs import multiply_adds
from skinensemble.features._fingerprint import at_precision, fingerprint
from skinensemble.features._keeper import Keeper
from skinensemble.features._progress import Progress
from skinensemble.features._recipe import Recipe, alive, travels
from skinensemble.features._spread import spread
from skinensemble.features._store import FeatureStore, default_store
from skinensemble.images import ImageSource
from skinensemble.images._fit import check_fit
from skinensemble.images._problems import read_error
from skinensemble.images._views import View

if TYPE_CHECKING:
    import keras

__all__ = ["Extractor"]

# Batches in the network at a time: one leaves cores idle wherever a layer cannot be divided.
_AT_ONCE = 2
_UPRIGHT = View()
# Numbers that are compared to find the places in a batch that are equal.
_PROBED = 512
# What hands pixels on has nothing to compute, and must not round them.
_PIXELS = {"engine": "keras", "precision": "float32"}


class Extractor:
    """A frozen network with its identity; made by :func:`load_extractor`.

    Call it on an :class:`~skinensemble.images.ImageSource` for the features of each image, as
    float32 of shape (n, d). Only images that the store does not know pass through the network, and
    each distinct image once. Batches always have the same shape, and use only those places in it
    at which the network computes exactly the same (sums are split between threads and vector
    registers differently at the end of a batch): so a row depends neither on the images
    beside it nor on how many there are.

    Parameters
    ----------
    model : keras.Model
        From images (b, height, width, 3) of 0–255 to features; it is frozen.
    name : str
        What to call it while it runs.
    fit : {"crop", "pad", "squash"}, default="crop"
        How images are brought to size.
    batch_size : int, default=16
        Images in a batch.
    dtype : {"float32", "float16", "uint8"}, default="float32"
        Of the rows; the network computes in float32.

    Attributes
    ----------
    model : keras.Model
    name, fit : str
    fingerprint : str
        SHA-256 of weights, structure, preprocessing, size and fit, in hexadecimal: the key of its
        rows in a store, whatever the engine; at another precision than float32 the key is another.
    size : tuple of int
        Height and width of the images it takes, in pixels.
    n_features : int
        Length of a row; of pooled features, d.
    row_shape : tuple of int
        Shape of a row; of pooled features, (d,).
    batch_size : int
    dtype : numpy.dtype
    recipe : Recipe or None
        How another process makes the network; None where it has to be sent.
    backbone : Backbone or None
        Of which it was made; None where it came from another process.

    Examples
    --------
    >>> import numpy as np
    >>> from skinensemble.features import load_extractor
    >>> from skinensemble.images import as_images
    >>> extractor = load_extractor("mobilenet_v2_035", None, image_size=32)
    >>> images = np.random.default_rng(0).integers(0, 256, (3, 40, 40, 3), dtype=np.uint8)
    >>> extractor(as_images(images)).shape
    (3, 1280)
    """

    def __init__(
        self,
        model: keras.Model,
        name: str,
        fit: str = "crop",
        *,
        batch_size: int = 16,
        dtype: str = "float32",
    ) -> None:
        check_fit(fit)
        refuse_forked()
        # Part of the structure, so set before the fingerprint is taken.
        model.trainable = False
        self.model = model
        self.name = name
        self.fit = fit
        self.batch_size = batch_size
        self.size: tuple[int, int] = tuple(model.input_shape[1:3])
        self.row_shape: tuple[int, ...] = tuple(model.output_shape[1:])
        self.n_features: int = self.row_shape[-1]
        self.dtype = np.dtype(dtype)
        parts = (name, self.size, fit, *([] if dtype == "float32" else [dtype]))
        self.fingerprint = fingerprint(model, *parts)
        self.recipe: Recipe | None = None
        self.backbone: Backbone | None = None
        alive.setdefault(self.fingerprint, self)
        self._places: dict[int, np.ndarray] = {}
        self._runners: dict[tuple[str, ...], Runner] = {}
        self._runner = make_runner(model, name, engine="keras", precision="float32")
        self._make_locks()

    def _make_locks(self) -> None:
        # Two: who holds the first may wait for a worker that is another thread of this process.
        self._asking, self._computing = threading.Lock(), threading.Lock()

    def __call__(
        self,
        source: ImageSource,
        store: FeatureStore | None = None,
        *,
        view: View = _UPRIGHT,
        keep: bool = True,
        batch_size: int | None = None,
        verbose: int = 0,
        progress: Progress | None = None,
    ) -> np.ndarray:
        """Return the features of each image.

        Parameters
        ----------
        source : ImageSource
        store : FeatureStore, optional
            Where rows are looked up and kept; the one that the process shares by default.
        view : View, optional
            How the images are looked at; upright and whole by default.
        keep : bool, default=True
            Whether the store keeps what is computed.
        batch_size : int, optional
            Images in a batch; `self.batch_size` by default.
        verbose : {0, 1, 2}, default=0
            As in Keras: silent, a progress bar, one line.
        progress : Progress, optional
            Of a larger computation that this is a part of, instead of one of its own.

        Returns
        -------
        ndarray of shape (n_images, *row_shape)

        Raises
        ------
        ImageReadError
            When images cannot be read, after the others were computed and kept; all are listed.
        SaveError
            When a store on disk cannot be written; known before the network runs, except that the
            disk is full.
        """
        store = default_store() if store is None else store
        digests = source.digests
        # Another thread may be computing just what is asked for here.
        with self._asking:
            rows, missing = store.get(self.key(view), digests)
            result = np.empty((len(digests), *self.row_shape), self.dtype)
            result[~missing] = rows if len(rows) else 0
            if missing.any():
                absent = np.flatnonzero(missing)
                first = _first_of_each(digests, absent)
                distinct = np.fromiter(first.values(), np.intp)
                size = _check_batch_size(self.batch_size if batch_size is None else batch_size)
                progress = progress or Progress(self.name, len(distinct), verbose)
                kept = store if keep else None
                task = source[distinct], kept, view, size, progress
                try:
                    computed = spread(self, *task)
                    if computed is None:
                        computed = self.compute(*task)
                except ImageReadError as error:
                    raise _of_all(error, distinct, source) from None
                place = {digest: at for at, digest in enumerate(first)}
                result[absent] = computed[[place[digests[at]] for at in absent]]
        return result

    def costs(self) -> dict[str, int]:
        """Return the multiply-adds that an image takes, by the fingerprint."""
        return {self.fingerprint: multiply_adds(self.model)}

    def key(self, view: View = _UPRIGHT) -> str:
        """Return the key of the rows of a view in a store; of the plain one the fingerprint itself.

        In another precision than float32 the key is another.
        """
        text = f"{self.fingerprint} {view.name}"
        plain = view == _UPRIGHT
        key = self.fingerprint if plain else hashlib.sha256(text.encode()).hexdigest()
        return at_precision(key, get_config()["precision"] if self.dtype != np.uint8 else "float32")

    def __getstate__(self) -> dict:
        # Of this process, or this processor.
        own = ("_asking", "_computing", "_runner", "_runners", "_places", "recipe", "backbone")
        return {name: value for name, value in vars(self).items() if name not in own}

    def __setstate__(self, state: dict) -> None:
        vars(self).update(state)
        self._make_locks()
        self._runners, self._places, self.recipe, self.backbone = {}, {}, None, None
        alive.setdefault(self.fingerprint, self)
        self._runner = make_runner(self.model, self.name, engine="keras", precision="float32")

    def __reduce_ex__(self, protocol: Any) -> Any:
        if travels() and self.recipe is not None:
            alive[self.fingerprint] = self  # so that of equal ones here this one comes back
            return Recipe.build, (self.recipe,)
        return super().__reduce_ex__(protocol)

    def __deepcopy__(self, memo: dict) -> Extractor:
        return self  # nothing changes it, and it is large

    def compute(
        self,
        source: ImageSource,
        store: FeatureStore | None,
        view: View,
        batch_size: int,
        progress: Progress,
    ) -> np.ndarray:
        """Compute the rows of images that are all different, in this process.

        Parameters
        ----------
        source, store, view, batch_size, progress
            As in a call; without a `store` no rows are kept.
        """
        refuse_forked()
        with self._computing:
            if store is not None:
                store.check_writable(self.key(view))
            self._runner = self._make_runner()
            rows = np.empty((len(source), *self.row_shape), self.dtype)
            keeper = Keeper(store, self.key(view), source.digests, rows)
            places = self._equal_places(batch_size) if len(source) > 1 else np.zeros(1, np.intp)
            batches = view.batches(source, self.size, self.fit, len(places))
            try:
                for batch, computed in self._pass(batches, places, batch_size):
                    keeper.add(batch, computed)
                    progress.advance(len(batch))
                keeper.release()
            finally:
                keeper.flush()
            return rows

    def _pass(
        self, batches: Iterable[np.ndarray], places: np.ndarray, batch_size: int
    ) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Yield each batch with its rows, in order; several are in the network at a time."""

        def one(batch: np.ndarray) -> np.ndarray:
            if self._runner.alone:
                return self._predict(batch)
            padded = np.zeros((batch_size, *batch.shape[1:]), np.uint8)
            padded[places[: len(batch)]] = batch
            return self._predict(padded)[places[: len(batch)]]

        with _pool() as pool:
            waiting: deque[tuple[np.ndarray, Future[np.ndarray]]] = deque()
            unreadable: ImageReadError | None = None
            try:
                for batch in batches:
                    check_deadline(self._doing)
                    waiting.append((batch, pool.submit(one, batch)))
                    if len(waiting) > _AT_ONCE:
                        first, rows = waiting.popleft()
                        yield first, self._result(rows)
            except ImageReadError as error:
                unreadable = error  # raised after the last batch; rows are still on their way
            for first, rows in waiting:
                yield first, self._result(rows)
            if unreadable is not None:
                raise unreadable

    @property
    def _doing(self) -> str:
        return f"the features of {self.name}"

    def _result(self, rows: Future[np.ndarray]) -> np.ndarray:
        """Return rows when they are there, unless the time is over first."""
        wait([rows], timeout=remaining())
        if not rows.done():
            check_deadline(self._doing)
        return rows.result()

    def _predict(self, batch: np.ndarray) -> np.ndarray:
        computed = self._runner(batch)
        if self.dtype != np.float16:
            return computed.astype(self.dtype, copy=False)
        largest = np.finfo(np.float16).max
        return computed.clip(-largest, largest).astype(np.float16)

    def _make_runner(self) -> Runner:
        """Return the network ready on the engine in force, made once for each."""
        config = _PIXELS if self.dtype == np.uint8 else get_config()
        key = tuple(config.values())
        if key not in self._runners:
            self._runners[key] = make_runner(self.model, self.name, **config)
        return self._runners[key]

    def _equal_places(self, batch_size: int) -> np.ndarray:
        """Find the places in a batch at which an image gives the same row as at the first."""
        if self._runner.alone:
            return np.arange(batch_size)
        if batch_size not in self._places:
            rng, equal = np.random.default_rng(0), np.ones(batch_size, bool)
            # A few numbers can be equal by chance: short rows are tried with more images.
            for _ in range(-(-_PROBED // math.prod(self.row_shape))):
                image = rng.integers(0, 256, (*self.size, 3), np.uint8)
                rows = self._predict(np.repeat(image[None], batch_size, axis=0))
                equal &= (rows == rows[0]).reshape(batch_size, -1).all(axis=1)
            # Few equal places would cost more than the last bits of a row are worth.
            enough = equal.sum() * 2 >= batch_size
            self._places[batch_size] = np.flatnonzero(equal) if enough else np.arange(batch_size)
        return self._places[batch_size]

    def __repr__(self) -> str:
        return f"Extractor({self.name}, {self.size[0]}×{self.size[1]}, {self.fingerprint[:12]})"


@contextmanager
def _pool() -> Iterator[ThreadPoolExecutor]:
    """Threads that are waited for in the end, unless there is no time for it."""
    pool, stopped = ThreadPoolExecutor(_AT_ONCE), False
    try:
        yield pool
    except KeyboardInterrupt:
        stopped = True  # a batch of a large network takes seconds
        raise
    finally:
        late = stopped or remaining() == 0
        pool.shutdown(wait=not late, cancel_futures=late)


def _first_of_each(digests: Sequence[bytes], positions: np.ndarray) -> dict[bytes, int]:
    first: dict[bytes, int] = {}
    for position in positions.tolist():
        first.setdefault(digests[position], position)
    return first


def _of_all(error: ImageReadError, distinct: np.ndarray, source: ImageSource) -> ImageReadError:
    """Return an error about distinct images as one about all that there are, copies included."""
    digests, names = source.digests, source.names
    bad = {digests[distinct[one.index]]: one for one in error.problems}
    rows = [row for row, digest in enumerate(digests) if digest in bad]
    problems = [replace(bad[digests[row]], index=row, name=names[row]) for row in rows]
    return read_error(problems, len(source))


def _check_batch_size(batch_size: int) -> int:
    if not hasattr(batch_size, "__index__") or isinstance(batch_size, bool) or batch_size < 1:
        raise InputError(message("batch_size", repr(batch_size), "not a positive int", "pass 16"))
    return int(batch_size)
