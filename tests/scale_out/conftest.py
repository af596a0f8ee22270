"""Real clusters of two processes on this machine."""

from __future__ import annotations

import warnings

import pytest


@pytest.fixture(scope="session")
def dask_client():
    """A client of two Dask workers, a thread each, that are started anew when they are killed."""
    distributed = pytest.importorskip("distributed")
    with (
        distributed.LocalCluster(
            n_workers=2, threads_per_worker=1, dashboard_address=":0"
        ) as cluster,
        distributed.Client(cluster) as client,
    ):
        yield client


@pytest.fixture(scope="session")
def ray_pool():
    """A Ray instance of two processors, known to joblib."""
    ray = pytest.importorskip("ray")
    from ray.util.joblib import register_ray

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False)
    register_ray()
    yield
    ray.shutdown()


@pytest.fixture(
    params=["loky", *(pytest.param(n, marks=pytest.mark.slow) for n in ("dask", "ray"))]
)
def backend(request):
    """The name of a joblib backend that is ready."""
    needed = {"dask": "dask_client", "ray": "ray_pool"}
    if request.param in needed:
        request.getfixturevalue(needed[request.param])
    return request.param
