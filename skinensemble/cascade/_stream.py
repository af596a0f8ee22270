"""Verdicts for any number of images, a chunk at a time."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from functools import partial
from itertools import islice
from numbers import Integral

import numpy as np

from skinensemble.cascade._verdicts import follow, follow_all
from skinensemble.committee import prepare_all
from skinensemble.engines import with_config
from skinensemble.exceptions import ImageReadError, InputError, message
from skinensemble.features import temporary_store
from skinensemble.images import ImageSource
from skinensemble.images._source import sort_out
from skinensemble.verdict import Prediction

__all__ = ["answers", "stream"]


def stream(
    cascade, images: Iterable, prevalence, chunk_size: int, early_exit: bool
) -> Iterator[Prediction]:
    """Return an iterator over a prediction for each image, in order."""
    if isinstance(prevalence, str):
        why = "it is estimated from all images at once"
        remedy = "pass a share, or call verdicts with a list"
        raise InputError(message("prevalence", repr(prevalence), why, remedy))
    one = isinstance(images, str | bytes | os.PathLike) or getattr(images, "ndim", 0) == 3
    if one or not (isinstance(images, Iterable) or hasattr(images, "__getitem__")):
        remedy = "pass [image]" if one else "pass a list"
        shown = f"{images!r:.60}".split("\n")[0]
        raise InputError(message("images", shown, "not images one by one", remedy))
    if not isinstance(chunk_size, Integral) or chunk_size < 1:
        raise InputError(message("chunk_size", repr(chunk_size), "not a positive int", "pass 256"))
    return answers(cascade, images, prevalence, int(chunk_size), early_exit)


def answers(
    cascade, images: Iterable, prevalence, chunk_size: int, early_exit: bool = False
) -> Iterator[Prediction]:
    """Return predictions, one for each image; of a chunk, the prevalence may be estimated.

    They come from the engine in force now, wherever they are taken.
    """
    answer = partial(with_config(_answer), cascade, prevalence, early_exit)
    return _each(answer, _chunks(images, chunk_size))


def _each(answer, chunks: Iterator) -> Iterator[Prediction]:
    first = 0
    for chunk in chunks:
        # Not held while the caller works: it is the caller's context too.
        with temporary_store():
            found = answer(chunk, first)
        yield from found
        first += len(found)


def _chunks(images: Iterable, size: int) -> Iterator:
    if isinstance(images, ImageSource):
        yield from (images[at : at + size] for at in range(0, len(images), size))
        return
    images, failure = iter(images), None
    while failure is None:
        chunk = []
        try:
            for image in islice(images, size):
                chunk.append(image)
        except Exception as error:  # of their source: what it gave before is answered first
            failure = error
        if chunk:
            yield chunk
        elif failure is None:
            return
    raise failure


def _answer(cascade, prevalence, early_exit: bool, chunk, first: int) -> list[Prediction]:
    source, problems = sort_out(chunk, each=True)
    bad = {one.index: one.problem for one in problems}
    prepare = partial(_show_first, cascade) if early_exit else cascade.prepare
    good = _prepare_good(prepare, source, bad)
    found = {}
    if good is not None:
        rows = (row for row in range(len(source)) if row not in bad)
        found = dict(zip(rows, _ask(cascade, good, prevalence, early_exit), strict=True))
    return [
        Prediction(first + row, _name(name, row, first), bad.get(row, "ok"), *found.get(row, ()))
        for row, name in enumerate(source.names)
    ]


def _ask(cascade, good: ImageSource, prevalence, early_exit: bool) -> list[tuple]:
    """Return of each image the verdict, and the probabilities unless an early exit has none."""
    if early_exit:
        return [(verdict,) for verdict in follow(cascade, good, prevalence, True)]
    return list(zip(*follow_all(cascade, good, prevalence), strict=True))


def _show_first(cascade, X):
    """Let the one member of the triage read the images that all of them are shown to."""
    stage = cascade.triage_
    return prepare_all([stage.members_[stage.asking_order()[0]]], X)


def _prepare_good(prepare, source: ImageSource, bad: dict[int, str]) -> ImageSource | None:
    """Let the networks run; images that prove to be bad join the others that are."""
    while len(bad) < len(source):
        rows = np.array([row for row in range(len(source)) if row not in bad])
        try:
            return prepare(source[rows])
        except ImageReadError as error:
            why = {problem.name: problem.problem for problem in error.problems}
            named = {row: why[source.names[row]] for row in rows if source.names[row] in why}
            if not named:
                raise
            bad |= named
    return None


def _name(name: str, row: int, first: int) -> str:
    # An image without a file is known by its place, which is one in the chunk there.
    return f"image {first + row}" if name == f"image {row}" else name
