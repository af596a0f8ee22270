"""Features by chunks in the processes of the joblib backend in force, on this or other machines."""

from __future__ import annotations

import os
import platform
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import cloudpickle
import numpy as np
from joblib import Parallel, delayed
from joblib.parallel import get_active_backend

from skinensemble._deadline import check_deadline, with_deadline
from skinensemble._threads import in_dask_worker
from skinensemble.engines import with_config
from skinensemble.exceptions import ImageReadError, WeightsError, message
from skinensemble.features._progress import Progress
from skinensemble.features._recipe import Recipe, freeze
from skinensemble.features._store import FeatureStore
from skinensemble.images import ImageSource
from skinensemble.images._problems import ImageProblem, read_error
from skinensemble.images._views import View

if TYPE_CHECKING:
    from skinensemble.features._extractor import Extractor

__all__ = ["as_they_come", "n_workers", "on_every_worker", "spread"]

# Images in a chunk: a lost worker loses one, and a task should take seconds.
_FEWEST, _MOST = 64, 256
# Of a chunk of arrays, which are sent with it; beyond ten million Dask gives warning.
_BYTES = 8 * 10**6
# Chunks for each process, so that a slow one does not keep the others waiting.
_SHARES = 4


def n_workers(n_jobs: int | None = None) -> int:
    """Return to how many processes the joblib backend in force gives work; 0 where it stays here.

    A backend counts that was named in a ``joblib.parallel_config``; without one, work stays in
    this process.

    Parameters
    ----------
    n_jobs : int, optional
        As in joblib; the number in force by default.
    """
    backend, in_force = get_active_backend(prefer="threads")
    if getattr(backend, "supports_sharedmem", False):
        return 0
    jobs = backend.effective_n_jobs((in_force or 1) if n_jobs is None else n_jobs)
    return jobs if jobs > 1 else 0  # one job joblib does here, whatever the backend


def on_every_worker(thing: Any) -> Any:
    """Return what stands for something large among the arguments of many tasks.

    Dask is given it once, and keeps it on all workers, so that none of them is missed. Other
    backends get it with each task, and share arrays in memory where they can.
    """
    backend, _ = get_active_backend(prefer="threads")
    client = getattr(backend, "client", None)
    if client is None:
        return thing
    return client.scatter([thing], broadcast=True, hash=False)[0]


def as_they_come() -> str:
    """Return the ``return_as`` of joblib for results in any order; Ray has all at once only."""
    backend, _ = get_active_backend(prefer="threads")
    return "generator_unordered" if backend.supports_return_generator else "list"


def spread(
    extractor: Extractor,
    source: ImageSource,
    store: FeatureStore | None,
    view: View,
    batch_size: int,
    progress: Progress,
) -> np.ndarray | None:
    """Compute rows in other processes; return None where there are none, or too few images.

    Rows come back as chunks are done and are put into the store here, so no file system has to
    be shared for them.
    """
    jobs = n_workers()
    # A worker computes its own: the others may all be waiting for what this one holds.
    if not jobs or len(source) < 2 * _FEWEST or in_dask_worker():
        return None
    key, digests = extractor.key(view), source.digests
    if store is not None:
        store.check_writable(key)
    rows = np.empty((len(source), *extractor.row_shape), extractor.dtype)
    problems: list[ImageProblem] = []
    for done in _run(extractor, source, view, batch_size, jobs):
        if len(done.places):  # rows that a store does not have are of no shape
            rows[done.places] = done.rows
            if store is not None:
                store.put(key, [digests[at] for at in done.places], done.rows)
        problems += done.problems
        progress.advance(done.size)
        check_deadline(f"the features of {extractor.name}")
    if problems:
        raise read_error(sorted(problems, key=lambda one: one.index), len(source))
    return rows


@dataclass(frozen=True)
class _Chunk:
    """What a worker made of some images."""

    size: int
    places: np.ndarray
    rows: np.ndarray
    problems: list[ImageProblem]


def _run(
    extractor: Extractor, source: ImageSource, view: View, batch_size: int, jobs: int
) -> Iterator[_Chunk]:
    size = int(np.clip(-(-len(source) // (_SHARES * jobs)), _FEWEST, _MOST))
    size = max(min(size, _BYTES // len(cloudpickle.dumps(source[:1]))), batch_size)
    recipe = extractor.recipe or on_every_worker(freeze(extractor))
    compute = delayed(with_config(with_deadline(_compute)))
    tasks = (
        compute(recipe, source[start : start + size], start, view, batch_size)
        for start in range(0, len(source), size)
    )
    yield from Parallel(prefer="threads", return_as=as_they_come())(tasks)


def _compute(
    recipe: Recipe, source: ImageSource, start: int, view: View, batch_size: int
) -> _Chunk:
    """Compute a chunk; in a worker."""
    extractor, places = _build(recipe), np.arange(start, start + len(source))
    store = FeatureStore(max_bytes=2**62)
    try:
        rows = extractor.compute(source, store, view, batch_size, Progress(extractor.name, 0, 0))
    except ImageReadError as error:
        rows, missing = store.get(extractor.key(view), source.digests)
        found = [_seen_here(problem, start) for problem in error.problems]
        return _Chunk(len(source), places[~missing], rows, found)
    return _Chunk(len(source), places, rows, [])


def _build(recipe: Recipe) -> Extractor:
    try:
        return recipe.build()
    except WeightsError as error:
        remedy = (
            "give every worker the file at the same path, or install there what has the weights"
        )
        text = message("worker", platform.node(), str(error), remedy)
        raise WeightsError(text) from error


def _seen_here(problem: ImageProblem, start: int) -> ImageProblem:
    """Say on which machine an image could not be read, and count from the first of all chunks."""
    remedy = problem.remedy
    if not os.access(problem.name, os.R_OK):
        # The process that sent the path has read the file.
        remedy = "let every machine see the files at the same path, or pass arrays"
    where = f"{problem.problem}, on the worker {platform.node()}"
    return replace(problem, index=start + problem.index, problem=where, remedy=remedy)
