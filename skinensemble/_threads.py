"""How many threads this process may use; in a worker process, what its backend gave it."""

from __future__ import annotations

import os
import sys

__all__ = ["in_dask_worker", "limit_threads", "n_threads", "thread_limit"]

_limit: list[int] = []


def n_threads() -> int:
    """Return the number of cores that this process may use."""
    affinity = getattr(os, "sched_getaffinity", None)
    cores = len(affinity(0)) if affinity else os.cpu_count() or 1
    return min([cores, *_limit])


def thread_limit() -> int | None:
    """Return the limit that was set for a worker process, None in any other."""
    return _limit[0] if _limit else None


def limit_threads() -> None:
    """Keep this process, a worker of joblib, to its share of the cores.

    joblib, Dask and Ray all say it in ``OMP_NUM_THREADS``, which TensorFlow does not read. A Dask
    worker says 1 there, whatever the number of its own threads; those run one chunk at a time.
    """
    given = os.environ.get("OMP_NUM_THREADS", "")
    if in_dask_worker():
        given = str(sys.modules["distributed"].get_worker().state.nthreads)
    if _limit or not given.isdecimal() or given == "0":
        return
    _limit.append(int(given))
    # TensorFlow reads them when it makes its threads, once.
    os.environ.setdefault("TF_NUM_INTRAOP_THREADS", given)
    os.environ.setdefault("TF_NUM_INTEROP_THREADS", given)


def in_dask_worker() -> bool:
    """Whether this is a task that a Dask worker runs."""
    distributed = sys.modules.get("distributed")
    if distributed is None:
        return False
    try:
        distributed.get_worker()
    except ValueError:
        return False
    return True
