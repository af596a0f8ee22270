"""What was seen before: copies of an image, and samples and lesions that were trained on."""

from __future__ import annotations

import hashlib
import warnings
from collections.abc import Iterable, Sequence
from numbers import Integral
from typing import Any

import numpy as np

from skinensemble.exceptions import CertificateWarning, InputError, first_few, message
from skinensemble.validation import as_lesions

__all__ = [
    "content_digests",
    "group_copies",
    "join_lesions",
    "known_rows",
    "lesion_digests",
    "note_use",
    "refuse_trained",
]


def group_copies(X, y: np.ndarray, groups: np.ndarray | None) -> np.ndarray | None:
    """Check that copies of one image are one lesion of one label; make them one where unknown.

    Parameters
    ----------
    X : object with ``digests``, such as an ImageSource; anything else is let through
    y : ndarray of int of shape (n_samples,)
    groups : ndarray of int of shape (n_samples,), or None

    Returns
    -------
    ndarray of int of shape (n_samples,), or None
        The lesions; where none were given, each distinct image is one.

    Raises
    ------
    InputError
        When the same image has two labels, or belongs to two lesions.
    """
    if not hasattr(X, "digests"):
        return groups
    content = np.unique(np.asarray(content_digests(X)), return_inverse=True)[1]
    for name, values in (("labels", y), ("lesions", content if groups is None else groups)):
        order = np.lexsort((values, content))
        first, second = order[:-1], order[1:]
        odd = (content[first] == content[second]) & (values[first] != values[second])
        if odd.any():
            pairs = sorted(zip(first[odd].tolist(), second[odd].tolist(), strict=True))
            shown = first_few(f"rows {a} and {b}" for a, b in pairs)
            remedy = "correct the table, or leave the copies out"
            raise InputError(message("copies", shown, f"the same image has two {name}", remedy))
    return content if groups is None else groups


def join_lesions(groups: Any, pairs: Iterable[Sequence]) -> np.ndarray:
    """Make one lesion of those whose images are copies.

    Parameters
    ----------
    groups : array-like of shape (n_images,), or int
        Lesion of each image; or how many images there are, each a lesion of its own.
    pairs : iterable of (row, row), or of :class:`~skinensemble.images.NearCopy`

    Returns
    -------
    ndarray of shape (n_images,)
        Lesions that are joined have the name of the one that comes first. By the others they are
        not known again: join what proves something to what was trained on as well.

    Raises
    ------
    InputError
        When a lesion is missing, or a row is none.

    Examples
    --------
    >>> join_lesions(["a", "b", "b", "c"], [(0, 2)])
    array(['a', 'a', 'a', 'c'], dtype='<U1')
    """
    # Half a second: not to predict.
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    names = as_lesions(range(groups) if isinstance(groups, Integral) else groups)
    pairs = [tuple(pair)[:2] for pair in pairs]
    odd = [pair for pair in pairs if [isinstance(row, Integral) for row in pair] != [True, True]]
    if odd:
        why, remedy = "not two whole numbers", "pass the rows of the images"
        raise InputError(message("pairs", f"{odd[0]!r:.60}", why, remedy))
    rows = np.array(pairs, dtype=np.intp).reshape(-1, 2)
    wrong = rows[(rows < 0) | (rows >= len(names))].tolist()
    if wrong:
        why, remedy = f"there are {len(names)} images", "pass those of these images"
        raise InputError(message("pairs", f"row {wrong[0]}", why, remedy))
    known, first, lesion = np.unique(names, return_index=True, return_inverse=True)
    ends, n = lesion[rows], len(known)
    links = coo_array((np.ones(len(ends)), (ends[:, 0], ends[:, 1])), shape=(n, n))
    joined = connected_components(links, directed=False)[1]
    order = np.argsort(first)  # of lesions, by their first image
    leader = order[np.unique(joined[order], return_index=True)[1]]
    return known[leader[joined[lesion]]]


def content_digests(X) -> np.ndarray | None:
    """Return a 64-bit digest of the content of each sample, to recognise it later.

    Parameters
    ----------
    X : array-like of shape (n_samples, …), or an object with ``digests``

    Returns
    -------
    ndarray of uint64 of shape (n_samples,), or None when the samples cannot be read as bytes

    Examples
    --------
    >>> first, again = content_digests(np.array([[1.0, 2.0], [1.0, 2.0]]))
    >>> first == again
    np.True_
    """
    digests = getattr(X, "digests", None)
    if digests is None:
        rows = X.to_numpy() if hasattr(X, "to_numpy") else X
        if not isinstance(rows, np.ndarray) or rows.dtype == object:
            return None
        # Decimals are the same in whatever precision they are kept.
        kind = "<f8" if rows.dtype.kind == "f" else rows.dtype
        digests = [_digest(row.astype(kind).tobytes()) for row in rows]
    return _as_numbers(digests)


def lesion_digests(groups) -> np.ndarray | None:
    """Return a 64-bit digest of the name of each sample's lesion, to recognise it later.

    Parameters
    ----------
    groups : array-like of shape (n_samples,), or None

    Returns
    -------
    ndarray of uint64 of shape (n_samples,), or None
        None where lesions are unknown, or all have numbers for names: those of another table begin
        anew, and mean others.

    Examples
    --------
    >>> first, again, other = lesion_digests(["HAM_1", "HAM_1", "HAM_2"])
    >>> first == again, first == other
    (np.True_, np.False_)
    """
    names = None if groups is None else as_lesions(groups)
    if names is None or names.dtype.kind not in "US":
        return None
    if all(name.isdigit() for name in names.tolist()):
        return None
    return _as_numbers([_digest(_as_bytes(name)) for name in names.tolist()])


def _as_bytes(name: str | bytes) -> bytes:
    # A name from a path may hold what is no text.
    return name if isinstance(name, bytes) else name.encode("utf-8", "surrogatepass")


def _digest(content: bytes) -> bytes:
    return hashlib.blake2b(content, digest_size=8).digest()


def _as_numbers(digests) -> np.ndarray:
    return np.array([int.from_bytes(digest[:8], "little") for digest in digests], dtype=np.uint64)


def refuse_trained(X, groups, stage) -> None:
    """Refuse samples and lesions among those trained on, which prove nothing.

    Parameters
    ----------
    X : as in :func:`content_digests`
    groups : as in :func:`lesion_digests`
    stage : Stage
        With the digests of what it was trained on, where they are known.

    Raises
    ------
    InputError
    """
    other = "certify on lesions the stage has never seen"
    renamed = f"{other}; where another lesion has the same name, change it"
    for what, own, trained, remedy in (
        ("samples", content_digests(X), stage.digests_, other),
        ("lesions", lesion_digests(groups), stage.lesion_digests_, renamed),
    ):
        seen = known_rows(own, trained)
        if len(seen):
            why = f"the members were trained on these {what}, so they prove nothing"
            raise InputError(message(what, f"rows {first_few(seen)}", why, remedy))


def known_rows(own: np.ndarray | None, known: np.ndarray | None) -> np.ndarray:
    """Return the rows whose digests are among known ones; none where there are no digests."""
    if own is None or known is None:
        return np.empty(0, dtype=np.intp)
    return np.flatnonzero(np.isin(own, known))


def note_use(X, used: np.ndarray | None) -> np.ndarray | None:
    """Note that samples were used for a certificate, with a warning when they were before.

    Parameters
    ----------
    X : as in :func:`content_digests`
    used : ndarray of uint64, or None
        Digests of what was used before.

    Returns
    -------
    ndarray of uint64, or None
        Digests of all that was used.
    """
    digests = content_digests(X)
    if digests is None:
        return used
    again = len(known_rows(digests, used))
    if again:
        why = "a promise chosen among several on the same lesions is no promise"
        remedy = "decide on one before looking, or use other lesions"
        text = message("certificate", f"{again} samples were used for one before", why, remedy)
        warnings.warn(text, CertificateWarning, stacklevel=4)
    return digests if used is None else np.union1d(used, digests)
