"""Training members so that one that fails, or takes too long, does not take the others along."""

from __future__ import annotations

import os
import platform
import re
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from typing import Any

import numpy as np
from joblib import Parallel, delayed
from sklearn.utils import _safe_indexing
from sklearn.utils.validation import _num_samples

from skinensemble._deadline import check_deadline, time_limit
from skinensemble.committee._ask import cast_ballot, prepare_alone, stack_ballots, trains_together
from skinensemble.committee._failures import MemberFailure, Tolerance, late_error, member_error
from skinensemble.exceptions import InputError, MemberError, TimeLimitError, first_few, message
from skinensemble.features._spread import as_they_come, n_workers

__all__ = ["lost_worker", "process_died", "run_watched", "steps", "train_alone", "unusable"]

_SOME = 16
_PATIENCE = 60
_MORE_WORKERS = "start more workers, and train again"
# By name: neither Dask nor Ray need be installed.
_DEATHS = {
    "concurrent.BrokenProcessPool",
    "distributed.FutureCancelledError",  # what a task needs died with the last worker that had it
    "distributed.KilledWorker",
    "ray.NodeDiedError",
    "ray.OutOfMemoryError",
    "ray.RayActorError",
    "ray.WorkerCrashedError",
}


def steps(member, numbers: list[int]) -> list[list[int]]:
    """Return the folds that a member trains in one go: all of them, or one after the other."""
    return [numbers] if trains_together(member) else [[number] for number in numbers]


def train_alone(train: Callable[..., list], tolerance: Tolerance, named, numbers, data, *rest):
    """Train a member on some folds, from its images to its ballots, within the limits.

    Parameters
    ----------
    train : callable
        Trains a member for some folds; given what no member is blamed for, it takes the rest.
    tolerance : Tolerance

    Returns
    -------
    list, or MemberFailure
        What `train` returns, or what went wrong where members may be missing.
    """
    try:
        with time_limit(tolerance.member_time_limit, "each member"):
            return list(_watched_steps(train, tolerance.spared, named, numbers, data, *rest))
    except MemberError as error:
        if not tolerance.drops:
            raise
        return error.failures[named[0]]


def _watched_steps(train, spared, named, numbers, data, folds, classes, *rest) -> Iterator:
    (name, member), (X, *others) = named, data
    _check_time(name, "its start")
    X = prepare_alone(name, member, X, spared)
    parts = steps(member, numbers)
    for at, part in enumerate(parts, start=1):
        _check_time(name, "its training" if len(parts) == 1 else f"training {at} of {len(parts)}")
        results = train(spared, named, part, (X, *others), folds, classes, *rest)
        if -1 in part:
            # No sample is held out from it, so no ballot would show what is wrong with it.
            some = _safe_indexing(X, np.arange(min(_SOME, _num_samples(X))))
            voter = results[part.index(-1)][0]
            _check_ballot(name, cast_ballot(name, voter, some, classes, spared=spared))
        yield from results


def _check_time(name: str, doing: str) -> None:
    try:
        check_deadline(doing)
    except TimeLimitError as error:
        raise late_error(name, error) from None


def run_watched(train, tasks: list[tuple], renew, *, n_jobs, tolerance: Tolerance) -> list:
    """Run the tasks, each of one member; return what each returns, or a MemberFailure.

    A process that dies leaves the pool unusable. What was not finished then is done again, each
    member in a pool of its own, so that only the one that kills its process is missing. What Dask
    had put on its workers may have died with them: ``renew()`` returns the tasks with it anew.
    """
    results: dict[int, Any] = {}
    home = _here() if n_workers(n_jobs) else None
    try:
        _run(train, tasks, range(len(tasks)), n_jobs, results)
    except Exception as error:
        if not process_died(error):
            raise
        if not tolerance.drops:
            raise lost_worker(error, tasks) from error
        for at in sorted(set(range(len(tasks))) - set(results)):
            if home and not _workers_back(n_jobs):
                raise lost_worker(error, tasks, _MORE_WORKERS) from error
            try:
                _run(train, renew(), [at], n_jobs, results, home)
            except _AtHome:
                raise lost_worker(error, tasks, _MORE_WORKERS) from error
            except Exception as again:
                if not process_died(again):
                    raise
                results[at] = MemberFailure.of("worker", _last_words(again))
    return [results[at] for at in range(len(tasks))]


class _AtHome(Exception):
    """Joblib had one worker left, and would train here a member that may kill its process."""


def _here() -> tuple[str, int]:
    return platform.node(), os.getpid()


def _workers_back(n_jobs) -> bool:
    """Wait for those that a cluster starts anew: for want of them joblib would do it here."""
    until = time.monotonic() + _PATIENCE
    while time.monotonic() < until:
        # Dask itself waits for a first worker, and raises when there is none.
        with suppress(TimeoutError):
            if n_workers(n_jobs):
                return True
        time.sleep(0.2)
    return False


def process_died(error: Exception) -> bool:
    """Whether an error says that a process died, whoever ran it: loky, Dask or Ray."""
    kinds = (f"{kind.__module__.partition('.')[0]}.{kind.__name__}" for kind in type(error).__mro__)
    return not _DEATHS.isdisjoint(kinds)


def lost_worker(
    error: Exception,
    tasks: list[tuple],
    remedy: str = 'on_error="drop" finds out which, and goes on without it',
) -> MemberError:
    """Return the error for a process that died, and with it those of others: any may be why."""
    names = dict.fromkeys(parcel.content[0] for (parcel, *_), *_ in tasks)
    why = f"one of them: {_last_words(error)}"
    return MemberError(message("members", first_few(names), why, remedy))


def _run(train, tasks, chosen: Iterable[int], n_jobs, results: dict[int, Any], home=None) -> None:
    """Run some tasks, not at `home`, and take each result when it comes: a later may never come."""
    pool = Parallel(n_jobs=n_jobs, prefer="threads", return_as=as_they_come())
    for at, result in pool(delayed(_numbered)(at, train, tasks[at], home) for at in chosen):
        results[at] = result


def _numbered(at: int, train, task: tuple, home) -> tuple[int, Any]:
    if home == _here():
        raise _AtHome
    return at, train(*task)


def _last_words(error: Exception) -> str:
    """Return how the process ended, where the pool knows."""
    signals = re.findall(r"SIG[A-Z]+", str(error))
    killed = f"by {signals[-1]}" if signals else "or crashed"
    return f"the process that trained it was killed {killed}, perhaps for want of memory"


def unusable(ballots: dict[str, np.ndarray]) -> dict[str, MemberFailure]:
    """Return what is wrong with the ballots of each member, where they are no probabilities."""
    found: dict[str, MemberFailure] = {}
    for name, ballot in ballots.items():
        try:
            _check_ballot(name, ballot)
        except MemberError as error:
            found |= error.failures
    return found


def _check_ballot(name: str, ballot: np.ndarray) -> None:
    try:
        stack_ballots([ballot], [name])
    except InputError as error:
        why = f"predict_proba gave no probabilities ({error})"
        raise member_error(name, "predict_proba", why, "correct it, or leave it out") from error
