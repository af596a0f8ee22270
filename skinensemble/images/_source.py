"""Images that are counted and chosen now, and read when they are needed."""

from __future__ import annotations

import hashlib
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from numbers import Integral
from threading import Lock
from typing import Any

import numpy as np

from skinensemble._threads import n_threads
from skinensemble.exceptions import InputError, message
from skinensemble.images._accept import Items, accept
from skinensemble.images._decoded import last_decoded
from skinensemble.images._files import read_bytes, remembered_digest
from skinensemble.images._fit import check_fit, checked_size, fit_image
from skinensemble.images._headers import mismatch
from skinensemble.images._problems import ImageProblem, Unreadable, problem_of, read_error
from skinensemble.images._read import decode

# Batches; one more is with the caller.
_AHEAD = 2


class _Shared:
    """What all views of one list of images have in common."""

    def __init__(self, items: Items, names: list[str], digests: list[bytes | None]) -> None:
        self.items = items
        self.names = names
        self.digests = digests
        self.oddities: dict[int, str] = {}  # of what was decoded whole
        self.lock = Lock()

    def read(
        self, position: int, wanted: tuple[int, int] | None = None, fit: str = "crop"
    ) -> np.ndarray:
        make = partial(self._make, position, wanted, fit)
        seen = None if wanted is None else self._seen(position, wanted)
        return make() if seen is None else last_decoded.get((seen, wanted, fit), make)

    def _make(self, position: int, wanted: tuple[int, int] | None, fit: str) -> np.ndarray:
        item = self.items[position]
        assert item is not None
        if wanted is None:
            return np.array(decode(self.fetch(position), None) if isinstance(item, str) else item)
        if isinstance(item, str):
            return decode(self.fetch(position), wanted, fit)
        return fit_image(item, wanted, fit)

    def _seen(self, position: int, wanted: tuple[int, int]) -> bytes | None:
        """Return the digest of an image whose pixels are work to get, if it is as it was."""
        item, known = self.items[position], self.digests[position]
        if isinstance(item, str):
            return known if known == remembered_digest(item) else None
        assert item is not None
        return None if item.shape[:2] == wanted else known

    def fetch(self, position: int) -> bytes:
        """Return the bytes of a file, which have to be those that were read the first time."""
        data, digest = read_bytes(self.names[position])  # of a file, the path is the name
        known = self.digests[position]
        if known is None:
            self.digests[position] = digest
        elif known != digest:
            remedy = "call as_images again on the files as they are now"
            raise Unreadable("the file changed since it was first read", remedy)
        return data

    def digest(self, position: int) -> bytes:
        known = self.digests[position]
        if known is None:
            item = self.items[position]
            if isinstance(item, str):
                known = remembered_digest(item) or read_bytes(item)[1]
            else:
                assert item is not None
                known = _array_digest(item)
            self.digests[position] = known
        return known


def _array_digest(array: np.ndarray) -> bytes:
    text = f"{array.shape} {array.dtype} ".encode()
    return hashlib.sha256(text + np.ascontiguousarray(array).tobytes()).digest()[:16]


class ImageSource:
    """A list of images, read only when asked for; made by :func:`as_images`.

    An int chooses one image, as uint8 of shape (H, W, 3) at its own size. A slice, an array or
    list of ints, or a boolean mask chooses several, as another `ImageSource` that reads the same
    images and knows the same digests; so ``train_test_split``, cross-validation and other
    meta-estimators of scikit-learn can take it as X. Of files it holds the paths, not the pixels.
    It can be pickled, then without what was not chosen, and read from several threads.
    A file that changes after it was first read is refused.

    Examples
    --------
    >>> import numpy as np
    >>> source = as_images(np.zeros((5, 16, 24, 3), np.uint8))
    >>> source
    ImageSource of 5 images
    >>> source[1:4].names, source[0].shape
    (['image 1', 'image 2', 'image 3'], (16, 24, 3))
    >>> [batch.shape for batch in source.batches(8, batch_size=2)]
    [(2, 8, 8, 3), (2, 8, 8, 3), (1, 8, 8, 3)]
    """

    def __init__(self, shared: _Shared, index: np.ndarray) -> None:
        self._shared = shared
        self._index = index

    def __len__(self) -> int:
        return len(self._index)

    @property
    def shape(self) -> tuple[int]:
        """``(n,)``: the number of images."""
        return (len(self),)

    @property
    def names(self) -> list[str]:
        """Path of each image, or ``image 3`` by its place in the list that was handed over."""
        return [self._shared.names[position] for position in self._index]

    @property
    def digests(self) -> list[bytes]:
        """Digest of each image's content, 16 bytes, computed once.

        The first half of the SHA-256 of a file's bytes; for arrays, of shape, dtype and pixels.

        Raises
        ------
        ImageReadError
            When files cannot be read; all of them are listed.
        """
        found: list[bytes] = []
        problems: list[ImageProblem] = []
        with self._shared.lock:
            for row, position in enumerate(self._index):
                try:
                    found.append(self._shared.digest(position))
                except Unreadable as error:
                    problems.append(problem_of(row, self._shared.names[position], error))
        if problems:
            raise read_error(problems, len(self))
        return found

    def __getitem__(self, key: Any) -> Any:
        if isinstance(key, tuple) and len(key) == 2 and key[1] is Ellipsis:
            key = key[0]  # scikit-learn asks for X[key, ...]
        if isinstance(key, Integral) and not isinstance(key, bool | np.bool_):
            return self._read_one(int(key))
        chosen = key if isinstance(key, slice) else np.asarray(key)
        if isinstance(chosen, np.ndarray):
            if chosen.ndim != 1:
                raise IndexError(f"{key!r} is no int, slice or one-dimensional list of images")
            chosen = chosen.astype(np.intp) if chosen.size == 0 else chosen
        return ImageSource(self._shared, self._index[chosen])

    def _read_one(self, row: int) -> np.ndarray:
        position = self._index[row]
        try:
            return self._shared.read(position)
        except Unreadable as error:
            problem = problem_of(row % len(self), self._shared.names[position], error)
            raise read_error([problem], len(self)) from error

    def batches(
        self, size: int | tuple[int, int], fit: str = "crop", batch_size: int = 32
    ) -> Iterator[np.ndarray]:
        """Iterate over all images in order, two batches decoded ahead by a thread per core.

        Parameters
        ----------
        size : int or (height, width)
            Size of the images in the batches, in pixels.
        fit : {"crop", "pad", "squash"}, default="crop"
            What happens when the aspect ratio differs, see :func:`fit_image`.
        batch_size : int, default=32
            Images in a batch; the last one may have fewer.

        Yields
        ------
        uint8 ndarray of shape (b, height, width, 3)
            Zeros in place of an image that cannot be read.

        Raises
        ------
        ImageReadError
            After the last batch, when images could not be read: all are listed in the text, and
            as :class:`ImageProblem` in the attribute ``problems``.
        InputError
            At once, when a parameter is none of the above.
        """
        wanted = checked_size(size)
        check_fit(fit)
        if not isinstance(batch_size, Integral) or isinstance(batch_size, bool) or batch_size < 1:
            why, remedy = "it is not a positive int", "pass e.g. 32"
            raise InputError(message("batch_size", repr(batch_size), why, remedy))
        return self._batches(wanted, fit, int(batch_size))

    def _batches(self, wanted: tuple[int, int], fit: str, batch_size: int) -> Iterator[np.ndarray]:
        problems: list[ImageProblem] = []
        pool = ThreadPoolExecutor(n_threads(), thread_name_prefix="images")
        try:
            ahead: deque[_Batch] = deque()
            for at in range(0, len(self), batch_size):
                rows = range(len(self))[at : at + batch_size]
                batch = np.zeros((len(rows), *wanted, 3), np.uint8)
                read = partial(self._read_into, batch, rows[0], wanted, fit)
                ahead.append((batch, [pool.submit(read, row) for row in rows]))
                if len(ahead) > _AHEAD:
                    yield _finished(ahead.popleft(), problems)
            while ahead:
                yield _finished(ahead.popleft(), problems)
        finally:
            pool.shutdown(cancel_futures=True)
        if problems:
            raise read_error(problems, len(self))

    def _read_into(
        self, batch: np.ndarray, first: int, wanted: tuple[int, int], fit: str, row: int
    ) -> ImageProblem | None:
        position = self._index[row]
        try:
            batch[row - first] = self._shared.read(position, wanted, fit)
        except Unreadable as error:
            return problem_of(row, self._shared.names[position], error)
        return None

    def __reduce__(self) -> tuple:
        shared, index = self._shared, self._index
        if len(index) == len(shared.items) and (np.diff(index) == 1).all():
            # Not a copy: joblib and Dask know an array that they have sent before.
            items: Items = shared.items
        elif isinstance(shared.items, np.ndarray):
            items = shared.items[index]
        else:
            items = [shared.items[position] for position in index]
        return _rebuild, (items, self.names, [shared.digests[position] for position in index])

    def __array__(self, *_: Any, **__: Any) -> np.ndarray:
        raise TypeError(
            "images of unlike sizes form no array: use source[i] or source.batches(224)"
        )

    def __repr__(self) -> str:
        return f"ImageSource of {len(self)} images"


_Batch = tuple[np.ndarray, list[Future[ImageProblem | None]]]


def _finished(part: _Batch, problems: list[ImageProblem]) -> np.ndarray:
    batch, read = part
    problems += filter(None, (one.result() for one in read))
    return batch


def _rebuild(items: Items, names: list[str], digests: list[bytes | None]) -> ImageSource:
    return ImageSource(_Shared(items, names, digests), np.arange(len(names)))


def sort_out(images: Any, each: bool = False) -> tuple[ImageSource, list[ImageProblem]]:
    """Return the source of all `images`, and which of them must not be read from it.

    With `each`, what is wrong with one image never depends on the others.
    """
    if isinstance(images, ImageSource):
        return images, []
    items, names, problems = accept(images, each)
    return _rebuild(items, names, [None] * len(names)), problems


def path_of(source: ImageSource, row: int) -> str | None:
    """Return the path of an image in a file, None for any other."""
    item = source._shared.items[source._index[row]]
    return item if isinstance(item, str) else None


def examine(source: ImageSource, row: int) -> str:
    """Decode an image completely, unless it was before; return what is odd, mostly ``""``."""
    path = path_of(source, row)
    if path is None:
        return ""
    shared, position = source._shared, int(source._index[row])
    if position not in shared.oddities or shared.digests[position] != remembered_digest(path):
        data = shared.fetch(position)
        decode(data, None)
        shared.oddities[position] = mismatch(path, data[:512])
    return shared.oddities[position]


def as_images(X: Any) -> ImageSource:
    """Accept images in every form the library knows, and check them without decoding files.

    Parameters
    ----------
    X : list, array or Series of paths; list of PIL images; list of arrays; array; ImageSource
        Paths are strings or ``Path``. Arrays are uint8, or numbers from 0 to 255 rounded half to
        even: one of shape (n, H, W, 3), or (n, H, W, 1) for grey; or a list of (H, W, 3) or
        grey (H, W), of any sizes. The kinds may be mixed in a list. PIL images have one frame, and
        are turned upright. Transparent parts are seen over white. A uint8 array is not copied: do
        not change it afterwards.

    Returns
    -------
    ImageSource
        `X` itself where it is one.

    Raises
    ------
    ImageReadError
        When images are missing, not readable by their header, of absurd size, NaN or outside 0 to
        255; all are listed in the text, and as :class:`ImageProblem` in the attribute ``problems``.
    InputError
        When `X` is empty, one bare image or path, or nothing like images; or when its floats are
        all at most 1 (multiply them by 255).

    Examples
    --------
    >>> import numpy as np
    >>> len(as_images(np.full((3, 16, 16, 3), 99.6)))
    3
    >>> as_images(np.full((1, 16, 16, 3), 99.6))[0].max()
    np.uint8(100)
    """
    source, problems = sort_out(X)
    if problems:
        raise read_error(problems, len(source))
    return source
