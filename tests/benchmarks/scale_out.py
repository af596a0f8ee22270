"""Feature extraction by two Dask workers pinned to a core each, against one pinned worker.

The one worker gets all images as one task: joblib gives nothing to a cluster of one. Both clusters
stand from the beginning and have the network; rounds alternate, and ratios are taken within a
round, so that a busy machine slows both sides. What no other work can change is the processor time
of the busiest worker: it bounds from below how long a quiet machine would take.
"""

from __future__ import annotations

import contextlib
import os
import statistics
import time

import numpy as np
from joblib import parallel_config

from skinensemble.datasets import load_ham10000
from skinensemble.engines import with_config
from skinensemble.features import BackboneFeatures, FeatureStore

ROUNDS = 5


def run(args):
    """Images per second of each cluster, and its ratio to the single worker."""
    paths = list(load_ham10000(args.data).images[: args.images])
    rates: dict[int, list[float]] = {n: [] for n in WAYS}
    busiest: dict[int, list[float]] = {n: [] for n in WAYS}
    rows = {}
    with contextlib.ExitStack() as stack:
        clients = {n: stack.enter_context(_cluster(n)) for n in rates}
        for round_ in range(ROUNDS + 1):
            for n, client in clients.items():
                before, start = client.run(time.process_time), time.perf_counter()
                rows[n] = WAYS[n](client, paths)
                if round_:  # the first imports TensorFlow and builds the network
                    rates[n].append(len(paths) / (time.perf_counter() - start))
                    after = client.run(time.process_time)
                    busiest[n].append(max(after[name] - before[name] for name in before))
    same = "yes" if np.array_equal(rows[1], rows[2]) else "no"
    table = [
        [_name(n), *_figures(rates[n], rates[1]), f"{statistics.median(busiest[n]):.2f}", same]
        for n in WAYS
    ]
    header = ["workers", "images/s", "spread", "× one worker", "busiest, CPU s", "equal rows"]
    return header, table


def _features(paths):
    return BackboneFeatures("efficientnet_lite0", store=FeatureStore()).transform(paths)


def _by_one(client, paths):
    return client.submit(with_config(_features), paths, pure=False).result()


def _by_all(client, paths):
    with parallel_config("dask", client=client):
        return _features(paths)


WAYS = {1: _by_one, 2: _by_all}


@contextlib.contextmanager
def _cluster(n: int):
    from distributed import Client, LocalCluster

    cores = sorted(os.sched_getaffinity(0))
    cluster = LocalCluster(n_workers=n, threads_per_worker=1, dashboard_address=None)
    with cluster, Client(cluster, set_as_default=False) as client:
        workers = client.scheduler_info()["workers"]
        for core, worker in zip(cores, workers, strict=False):
            client.run(os.sched_setaffinity, 0, {core}, workers=[worker])
        yield client


def _name(n: int) -> str:
    return "1 worker, 1 core" if n == 1 else f"{n} workers, a core each"


def _figures(own, base) -> list[str]:
    ratios = [a / b for a, b in zip(own, base, strict=True)]
    return [
        f"{statistics.median(own):.1f}",
        f"{min(own):.1f}–{max(own):.1f}",
        f"{statistics.median(ratios):.2f} ({min(ratios):.2f}–{max(ratios):.2f})",
    ]
