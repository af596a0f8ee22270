"""Images that are copies of one another although their files differ."""

from __future__ import annotations

from collections.abc import Iterator
from numbers import Real
from typing import Any, NamedTuple

import numpy as np

from skinensemble.exceptions import InputError, message
from skinensemble.images._source import ImageSource, as_images
from skinensemble.images._views import dihedral

__all__ = ["NearCopy", "check_correlation", "near_copies"]

# Pixels of a side: enough for a hair and a naevus beside the lesion, too few for JPEG's artefacts.
_SIDE = 16
# They are means of squares of so many: images read at 16 pixels are shifted by parts of one.
_FINER = 4
_LUMA = np.array([0.299, 0.587, 0.114], np.float32)  # ITU-R BT.601
# Images that are compared with all others at a time: 40 MB for ten thousand.
_CHUNK = 1024
# Nobody looks at more, and a thousand images of one rim are half a million.
_MOST_PAIRS = 100_000


class NearCopy(NamedTuple):
    """Two images that show the same picture.

    Attributes
    ----------
    first, second : int
        Their rows; the first is the smaller.
    correlation : float
        Of their grey thumbnails, in the one of eight views in which they are most alike.
    """

    first: int
    second: int
    correlation: float


def near_copies(images: Any, *, min_correlation: float = 0.99) -> list[NearCopy]:
    """Find images that are the same but for encoding, size, colour balance, or being turned.

    Of each image a grey thumbnail of 16 by 16 pixels is made, and pairs are found whose thumbnails
    correlate, upright, turned by any right angle, or mirrored. Copies that were re-encoded or
    resized correlate by 0.995 and more. In HAM10000 one pair of images in different lesions
    reaches 0.99 (0.9988, and it is a copy; the next pair has 0.9891 and is none); above that
    threshold are also 103 pairs in one lesion.

    Crops are not found, nor are different photographs of one lesion: those only its name tells. A
    wide black rim makes images alike, as does a lesion that hardly shows: look at the pairs, and
    ask for a higher correlation where some are none.

    Parameters
    ----------
    images : images
        Anything that :func:`~skinensemble.images.as_images` accepts.
    min_correlation : float, default=0.99
        Between 0 and 1; a pair that correlates less is none.

    Returns
    -------
    list of NearCopy
        Each pair once, in the order of the rows. Images of one colour are copies of none.

    Raises
    ------
    ImageReadError
        When images cannot be read; all are listed.
    InputError
        When `min_correlation` is no number between 0 and 1, or more than 100,000 pairs reach it.

    Examples
    --------
    >>> from skinensemble.datasets import make_lesions
    >>> images = make_lesions(4, random_state=0).images
    >>> turned = np.rot90(images[2])
    >>> [pair[:2] for pair in near_copies([*images[:4], turned])]
    [(2, 4)]
    """
    check_correlation(min_correlation)
    source = as_images(images)
    if not len(source):  # nothing was chosen from another
        return []
    rows, thumbnails = _thumbnails(source)
    found: dict[tuple[int, int], float] = {}
    for first, second, correlation in _alike(thumbnails, float(min_correlation)):
        pair = int(rows[first]), int(rows[second])
        found[pair] = max(found.get(pair, 0.0), correlation)
        _check_number(len(found))
    return [NearCopy(*pair, found[pair]) for pair in sorted(found)]


def _check_number(n_pairs: int) -> None:
    if n_pairs > _MOST_PAIRS:
        why = "no copies, but images that are much alike, such as by a wide rim"
        remedy = "crop them, or ask for a higher correlation"
        raise InputError(message("copies", f"more than {_MOST_PAIRS:,} pairs", why, remedy))


def check_correlation(min_correlation: Any) -> None:
    """Check the parameter of :func:`near_copies`; raises InputError."""
    if not isinstance(min_correlation, Real) or not 0 < float(min_correlation) < 1:
        why, remedy = "not a number between 0 and 1", "pass one such as 0.99"
        raise InputError(message("min_correlation", f"{min_correlation!r:.60}", why, remedy))


def _thumbnails(source: ImageSource) -> tuple[np.ndarray, np.ndarray]:
    """Return the rows of images that are not of one colour, and grey thumbnails of these."""
    batches = source.batches(_SIDE * _FINER, fit="squash", batch_size=64)
    squares = (-1, _SIDE, _FINER, _SIDE, _FINER, 1)
    pixels = ((batch.astype(np.float32) @ _LUMA).reshape(squares) for batch in batches)
    grey = np.concatenate([batch.mean(axis=(2, 4)) for batch in pixels])
    rows = np.flatnonzero(np.ptp(grey, axis=(1, 2, 3)) > 1)
    return rows, grey[rows]


def _centred(thumbnails: np.ndarray) -> np.ndarray:
    """Return each as a row of mean 0 and length 1."""
    rows = thumbnails.reshape(-1, _SIDE**2)
    rows = rows - rows.mean(axis=1, keepdims=True)
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def _alike(thumbnails: np.ndarray, least: float) -> Iterator[tuple[int, int, float]]:
    """Yield places, the smaller first, that correlate in some view, and by how much."""
    upright = _centred(thumbnails)
    for view in range(8):
        seen = _centred(dihedral(thumbnails, view))
        for start in range(0, len(seen), _CHUNK):
            # Whom they are compared with comes after them: the other way round is a view as well.
            found = seen[start : start + _CHUNK] @ upright[start:].T
            alike = np.triu(found >= least, 1)
            _check_number(int(alike.sum()))  # before their places take memory
            for first, second in np.argwhere(alike).tolist():
                yield start + first, start + second, float(found[first, second])
