"""The same result in other processes: loky, a real Dask cluster, a real Ray instance."""

from __future__ import annotations

import os
import signal
import threading
import time
import warnings
from pathlib import Path

import numpy as np
import pytest
from joblib import Parallel, delayed, parallel_config
from joblib.externals.loky import reusable_executor
from joblib.externals.loky.process_executor import TerminatedWorkerError
from PIL import Image
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV

from skinensemble import (
    Stage,
    TransferClassifier,
    config_context,
    get_config,
    register_backbone,
    search,
)
from skinensemble._threads import n_threads
from skinensemble.engines import with_config
from skinensemble.exceptions import ImageReadError
from skinensemble.features import BackboneFeatures, Extractor, FeatureStore
from skinensemble.images import as_images
from tests.committees import Placed, Scripted, committee, lesion_table
from tests.tiny_backbone import TINY

pytestmark = [
    # loky takes the import of TensorFlow for a leak, and starts that worker anew.
    pytest.mark.filterwarnings("ignore:A worker stopped while some jobs:UserWarning"),
    # Ray and Dask leave sockets and files to the collector.
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]


def pixels(n: int = 300) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (n, 36, 32, 3), dtype=np.uint8)


def files(folder, n: int = 300) -> list[str]:
    """Small files, each another image."""
    for at, image in enumerate(pixels(n)):
        Image.fromarray(image).save(folder / f"{at:04d}.png")
    return sorted(map(str, folder.glob("*.png")))


def features(**params) -> BackboneFeatures:
    return BackboneFeatures(**TINY, store=FeatureStore(), **params)


def frozen_members() -> list:
    """Two members on one store in memory, one of them fine-tuned."""
    store = FeatureStore()
    tuned = TransferClassifier(**TINY, epochs=1, unfreeze=1, views=1, store=store)
    return [("head", TransferClassifier(**TINY, epochs=2, store=store)), ("tuned", tuned)]


def test_a_stage_of_small_members_is_the_same(backend):
    X, y, groups = lesion_table(60)
    members = [*committee(), ("placed", Placed())]
    one = Stage(members, random_state=0).fit(X, y, groups=groups)
    with parallel_config(backend, n_jobs=2):
        other = Stage(members, random_state=0).fit(X, y, groups=groups)
    assert one.named_members_["placed"].process_ == os.getpid()
    assert other.named_members_["placed"].process_ != os.getpid()
    np.testing.assert_array_equal(other.ballots_, one.ballots_)
    np.testing.assert_array_equal(other.ballots(X), one.ballots(X))


def test_a_member_that_fails_elsewhere_is_dropped_here(backend):
    X, y, groups = lesion_table(60)
    one = Stage(committee(), random_state=0).fit(X, y, groups=groups)
    members = [*committee(), ("broken", Scripted("raise"))]
    with parallel_config(backend, n_jobs=2), pytest.warns(UserWarning, match="broken"):
        other = Stage(members, random_state=0, on_error="drop").fit(X, y, groups=groups)
    assert list(other.failures_) == ["broken"]
    np.testing.assert_array_equal(other.ballots_, one.ballots_)


def nowhere(*_):
    raise AssertionError("a network ran in this process")


@pytest.mark.slow
def test_features_are_the_same(backend, tmp_path, monkeypatch):
    sources: list = [pixels(), files(tmp_path)]
    if backend == "ray":  # which takes long over each task
        sources = [[*sources[0][:150], *sources[1][150:]]]
    for source in sources:
        here = features().transform(source)
        apart = features()
        with parallel_config(backend, n_jobs=2), monkeypatch.context() as patch:
            patch.setattr(Extractor, "_predict", nowhere)
            rows = apart.transform(source)
            np.testing.assert_allclose(rows, here, atol=1e-4)
            assert len(apart.store) == 300
            # Now from the store, in any order.
            np.testing.assert_array_equal(apart.transform(source[::-1]), rows[::-1])


@pytest.mark.slow
def test_networks_train_on_rows_that_travel_and_come_back_as_one(backend):
    # Ray takes long over each task: below 128 images their features are computed here.
    n = 120 if backend == "ray" else 160
    images, y = pixels(n), np.where(np.arange(n) % 2, "nv", "mel")
    images[y == "mel", :, :, 0] //= 2
    here, apart = (Stage(frozen_members(), cv=2, random_state=0) for _ in range(2))
    here.fit(images, y, groups=np.arange(n))
    with parallel_config(backend, n_jobs=2):
        apart.fit(images, y, groups=np.arange(n))
    np.testing.assert_allclose(apart.ballots_, here.ballots_, atol=1e-4)
    head, tuned = apart.members_
    store = apart.members[0][1].store
    assert head.store is tuned.store is store
    # The networks of this process, not copies of them.
    assert head.body_.extractor_ is here.members_[0].body_.extractor_
    assert tuned.body_.network is here.members_[1].body_.network
    known = len(store)
    np.testing.assert_allclose(apart.ballots(images), here.ballots(images), atol=1e-4)
    assert len(store) == known


@pytest.mark.slow
def test_a_search_takes_registered_backbones_along(backend, tmp_path):
    def build(input_shape):
        import keras

        convolve = keras.layers.Conv2D(4, 3, strides=2, activation="relu")
        return keras.Sequential([keras.Input(input_shape), convolve])

    register_backbone("mine", build, input_size=32, preprocess="tf", overwrite=True)
    images, y = pixels(48), np.where(np.arange(48) % 2, "nv", "mel")
    images[y == "mel", :, :, 0] //= 2
    candidates = [
        (f"rate {rate}", TransferClassifier("mine", weights=None, epochs=2, learning_rate=rate))
        for rate in (1e-2, 1e-3)
    ]
    options = {"groups": np.arange(48), "cv": 2}
    one = search(candidates, images, y, **options)
    with parallel_config(backend, n_jobs=2):
        other = search(candidates, images, y, folder=tmp_path, **options)
        committee = other.committee("soft")
    assert len(list(tmp_path.glob("*.trial"))) == 2
    np.testing.assert_allclose(other.ballots, one.ballots, atol=1e-4)
    expected = one.committee("soft").ballots(images)
    np.testing.assert_allclose(committee.ballots(images), expected, atol=1e-4)


@pytest.mark.slow
def test_a_loky_process_killed_midway_loses_only_its_chunks(tmp_path):
    source, apart = files(tmp_path, 2000), features()

    def kill():
        while not len(apart.store):
            time.sleep(0.02)
        os.kill(min(reusable_executor._executor._processes), signal.SIGKILL)

    killer = threading.Thread(target=kill)
    killer.start()
    with parallel_config("loky", n_jobs=2):
        with pytest.raises(TerminatedWorkerError):
            apart.transform(source)
        killer.join(60)
        assert 0 < len(apart.store) < 2000
        rows = apart.transform(source)
    np.testing.assert_allclose(rows, features().transform(source), atol=1e-4)


@pytest.mark.slow
def test_a_search_on_dask_holds_stages_that_train_on_dask(dask_client):
    X, y, _ = lesion_table(60)
    search = GridSearchCV(
        Stage(committee(), random_state=0), {"voting": ["soft", "majority"]}, cv=2
    )
    with parallel_config("dask"), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of lesions that are not known here
        search.fit(X, y)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        expected = clone(search).fit(X, y)
    assert search.cv_results_["mean_test_score"].tolist() == (
        expected.cv_results_["mean_test_score"].tolist()
    )


@pytest.mark.slow
def test_files_that_a_worker_cannot_see(backend, tmp_path):
    source, apart = as_images(files(tmp_path, 200)), features()
    assert len(source.digests) == 200  # this process has read them; then they are out of reach
    for number in (3, 150):
        Path(source.names[number]).unlink()
    text = (
        r"images cannot be read: 2 of 200 – \S*0003\.png \(there is no such file, on the worker .*"
        r"0150\.png \(.*\) – let every machine see the files at the same path, or pass arrays"
    )
    with parallel_config(backend, n_jobs=2), pytest.raises(ImageReadError, match=text) as raised:
        apart.transform(source)
    assert [one.index for one in raised.value.problems] == [3, 150]
    assert len(apart.store) == 198


def test_workers_take_their_share_of_the_cores_and_the_engine(backend):
    def state() -> tuple:
        variables = ("TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS")
        return n_threads(), *map(os.environ.get, variables), get_config()["engine"]

    with config_context(engine="auto"), parallel_config(backend, n_jobs=2):
        # Bound here: joblib asks for later tasks in a thread of its own, which has no such context.
        bound = delayed(with_config(state))
        found = Parallel()(bound() for _ in range(4))
    share = max(n_threads() // 2, 1)
    assert set(found) == {(share, str(share), str(share), "auto")}
    assert n_threads() == len(os.sched_getaffinity(0))


@pytest.mark.slow
def test_a_dask_worker_killed_midway_is_survived(dask_client, tmp_path):
    source, apart = files(tmp_path, 640), features()
    before = set(dask_client.run(os.getpid).values())
    killed = []

    def kill():
        while not len(apart.store):
            time.sleep(0.02)
        killed.append(min(before))
        os.kill(killed[0], signal.SIGKILL)

    killer = threading.Thread(target=kill)
    killer.start()
    with parallel_config("dask"):
        rows = apart.transform(source)
    killer.join(60)
    assert killed
    np.testing.assert_allclose(rows, features().transform(source), atol=1e-4)
    dask_client.wait_for_workers(2, timeout=60)
    assert killed[0] not in dask_client.run(os.getpid).values()
