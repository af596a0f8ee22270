"""Chunks, what comes back of them, and what is said when something is not where it is needed.

The backend here hands its tasks on pickled, as another process gets them, and runs them in threads.
"""

from __future__ import annotations

import pickle
import warnings

import cloudpickle
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from joblib import parallel_config
from joblib.parallel import ThreadingBackend
from PIL import Image

from skinensemble.exceptions import ImageReadError, WeightsError
from skinensemble.features import FeatureStore, _recipe, _spread, load_cut, load_extractor
from skinensemble.features._extractor import Extractor
from skinensemble.features._recipe import Parcel, Recipe
from skinensemble.features._stored_rows import stored_rows
from skinensemble.images import as_images
from skinensemble.images._views import View


class Apart(ThreadingBackend):
    """Threads that share nothing but modules."""

    supports_sharedmem = False
    uses_threads = False

    def submit(self, func, callback=None):
        data = cloudpickle.dumps(func.items)
        self.sizes = [*getattr(self, "sizes", []), len(data)]
        func.items = pickle.loads(data)
        return super().submit(func, callback)


@pytest.fixture
def apart():
    backend = Apart()
    with parallel_config(backend, n_jobs=2):
        yield backend


def many(n: int = 300) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (n, 36, 32, 3), dtype=np.uint8)


def here(extractor, source, **options):
    with parallel_config("threading", n_jobs=2):
        return extractor(source, FeatureStore(), **options)


@pytest.mark.parametrize("view", [View(), View(3, zoom=1.5)], ids=["plain", "nearer"])
def test_rows_come_back_and_are_kept(tiny, apart, view):
    extractor, source, store = load_extractor(tiny, None), as_images(many()), FeatureStore()
    rows = extractor(source, store, view=view)
    np.testing.assert_array_equal(rows, here(extractor, source, view=view))
    assert len(apart.sizes) >= 4
    np.testing.assert_array_equal(store.get(extractor.key(view), source.digests)[0], rows)


def test_a_network_with_a_name_is_not_sent(tiny, apart):
    load_extractor(tiny, None)(as_images(many() // 2), FeatureStore())
    chunk = 64 * 36 * 32 * 3
    assert max(apart.sizes) < 1.1 * chunk + 10_000


@pytest.mark.parametrize("forgotten", [False, True])
def test_a_network_without_a_name_is_sent(tiny, apart, monkeypatch, forgotten):
    loaded = Extractor(tiny.build(None), "loaded")
    assert loaded.recipe is None
    if forgotten:  # as in a process that never had it
        monkeypatch.setattr(_recipe, "alive", {})
    rows = loaded(as_images(many()), FeatureStore())
    np.testing.assert_array_equal(rows, here(loaded, as_images(many())))


def test_activations_at_a_cut(tiny, apart):
    lower = load_cut("tiny_features", None, None, "crop", 1).lower
    rows = lower(as_images(many(200)), FeatureStore())
    assert rows.dtype == np.float16
    assert apart.sizes
    np.testing.assert_array_equal(rows, here(lower, as_images(many(200))))


def test_few_images_and_other_backends_stay_here(tiny, apart):
    extractor = load_extractor(tiny, None)
    extractor(as_images(many(127)), FeatureStore())
    assert not hasattr(apart, "sizes")
    assert _spread.n_workers() == 2


def test_only_processes_that_were_asked_for_get_work():
    assert _spread.n_workers() == _spread.n_workers(n_jobs=2) == 0
    for options in ({"backend": "threading", "n_jobs": 2}, {"backend": "loky"}, {"n_jobs": 2}):
        with parallel_config(**options):
            assert _spread.n_workers() == 0
    with parallel_config("loky", n_jobs=2):
        assert _spread.n_workers() == 2
        assert _spread.n_workers(n_jobs=1) == 0


def test_large_arrays_go_in_smaller_chunks(tiny, apart, monkeypatch):
    monkeypatch.setattr(_spread, "_BYTES", 20 * 36 * 32 * 3)
    load_extractor(tiny, None)(as_images(many(200)), FeatureStore())
    assert max(apart.sizes) < 20 * 36 * 32 * 3 + 10_000


@pytest.mark.usefixtures("apart")
def test_what_cannot_be_read_is_listed_with_its_machine_and_the_rest_is_kept(tiny, tmp_path):
    for at, image in enumerate(many(200)):
        Image.fromarray(image if at != 150 else 0 * image).save(tmp_path / f"{at:03d}.png")
    source, store = as_images(sorted(tmp_path.glob("*.png"))), FeatureStore()
    assert len(source.digests) == 200
    for at in (151, 5):
        (tmp_path / f"{at:03d}.png").unlink()
    (tmp_path / "190.png").write_bytes(b"x")
    text = (
        r"images cannot be read: 3 of 200 – \S*005\.png \(there is no such file, on the worker \S+"
        r"\), \S*151\.png .*, \S*190\.png \(the file changed .*, on the worker \S+\) – repair them"
    )
    with pytest.raises(ImageReadError, match=text) as raised:
        load_extractor(tiny, None)(source, store)
    assert [one.index for one in raised.value.problems] == [5, 151, 190]
    assert raised.value.problems[0].remedy.startswith("let every machine see the files at the same")
    assert raised.value.problems[2].remedy.startswith("call as_images again")
    # The black one may be one that could not be read.
    assert len(store) == 196


@pytest.mark.usefixtures("apart")
def test_a_worker_that_sees_none_of_its_files_is_named_and_the_rest_is_kept(tiny, tmp_path):
    for at, image in enumerate(many(200)):
        Image.fromarray(image).save(tmp_path / f"{at:03d}.png")
    source, store = as_images(sorted(tmp_path.glob("*.png"))), FeatureStore()
    assert len(source.digests) == 200
    for at in range(64, 128):  # a whole chunk
        (tmp_path / f"{at:03d}.png").unlink()
    text = (
        r"64 of 200 – \S*064\.png \(there is no such file, on the worker .* – let every machine see"
    )
    with pytest.raises(ImageReadError, match=text) as raised:
        load_extractor(tiny, None)(source, store)
    assert [one.index for one in raised.value.problems] == list(range(64, 128))
    assert len(store) == 136


@pytest.mark.usefixtures("apart")
def test_weights_that_a_worker_does_not_have(tiny, tmp_path, monkeypatch):
    path = tmp_path / "tiny.weights.h5"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        tiny.build(None, pooling=None).save_weights(path)
    monkeypatch.chdir(tmp_path)
    extractor = load_extractor(tiny, path.name)
    path.unlink()
    monkeypatch.setattr(_recipe, "alive", {})
    text = rf"worker: \S+ – weights: {path} – no such file .* – give every worker the file at the s"
    with pytest.raises(WeightsError, match=text):
        extractor(as_images(many()), FeatureStore())


def test_another_network_of_the_same_name(tiny, monkeypatch):
    args = tiny, None, None, "max", "crop"
    recipe = Recipe(load_extractor, args, load_extractor(tiny, None).fingerprint)
    monkeypatch.setattr(_recipe, "alive", {})
    with pytest.raises(WeightsError, match=r"network: tiny_features – its weights or its builder"):
        recipe.build()


class TestParcel:
    def test_networks_and_stores_in_it_are_the_same_again(self, tiny):
        content = load_extractor(tiny, None), FeatureStore(), load_cut("tiny_features", *CUT)
        again = pickle.loads(pickle.dumps(Parcel(content))).content
        assert [one is other for one, other in zip(again, content, strict=True)] == [True] * 3

    def test_of_equal_networks_it_is_the_one_that_was_sent(self, tiny):
        older = load_extractor(tiny, None)
        newer = Extractor(older.model, older.name)
        newer.recipe = older.recipe
        assert newer.fingerprint == older.fingerprint
        for sent in (older, newer, older):
            assert pickle.loads(pickle.dumps(Parcel(sent))).content is sent

    def test_outside_of_it_they_are_copies(self, tiny):
        extractor, store = load_extractor(tiny, None), FeatureStore()
        Parcel([extractor, store]).__reduce__()
        twin, empty = cloudpickle.loads(cloudpickle.dumps((extractor, store)))
        assert twin is not extractor
        assert empty is not store
        assert twin.fingerprint == extractor.fingerprint

    def test_a_store_that_came_before_is_found_again(self):
        data = pickle.dumps(Parcel(FeatureStore(max_bytes=999)))  # and the store is gone
        first = pickle.loads(data).content
        first.put("0123456789abcdef", [b"a"], np.ones((1, 2)))
        assert pickle.loads(data).content is first
        assert (len(first), first.max_bytes) == (1, 999)


CUT = (None, None, "crop", 1)


@given(st.lists(st.integers(0, 9), min_size=1, max_size=20), st.sets(st.integers(0, 9)))
def test_rows_on_their_way_are_those_the_store_has(images, known):
    key, store, source = "0123456789abcdef", FeatureStore(), as_images(many(10))[images]
    held = as_images(many(10))[sorted(known)]
    store.put(key, held.digests, np.array(sorted(known), float)[:, None])
    found = pickle.loads(pickle.dumps(stored_rows(store, key, source)))
    store.clear()
    for rows in found:
        rows.put()
    rows, missing = store.get(key, source.digests)
    assert [image not in known for image in images] == missing.tolist()
    assert rows.ravel().tolist() == [image for image in images if image in known]


def test_rows_in_a_folder_are_found_there(tmp_path):
    assert stored_rows(tmp_path, "0123456789abcdef", as_images(many(2))) == []
