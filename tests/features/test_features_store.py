from __future__ import annotations

import copy
import errno
import gc
import hashlib
import json
import os
import pickle
import shutil
import subprocess
import sys
import threading
import time
import warnings
import weakref
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.base import clone

from skinensemble.exceptions import InputError, SaveError
from skinensemble.features import (
    FeatureStore,
    StoreWarning,
    _maps,
    _sidecar,
    default_store,
    resolve_store,
)
from skinensemble.features import _shards as shards
from skinensemble.features._memory import EACH

NETWORK = "ab" * 32
OTHER = "cd" * 32


def _keys(*numbers):
    return [number.to_bytes(16, "big") for number in numbers]


def _row(number, width=4):
    return np.arange(width, dtype=np.float32) + 10 * number


def _rows(*numbers):
    return np.stack([_row(number) for number in numbers])


@pytest.fixture(params=["memory", "disk"])
def store(request, tmp_path):
    return FeatureStore(None if request.param == "memory" else tmp_path / "store")


def _filled(path, *numbers):
    store = FeatureStore(path)
    store.put(NETWORK, _keys(*numbers), _rows(*numbers))
    return store


def _sidecars(path):
    return sorted((Path(path) / NETWORK).glob("*.json"))


class TestRows:
    def test_found_in_the_order_of_the_question(self, store):
        store.put(NETWORK, _keys(1, 2, 3), _rows(1, 2, 3))
        rows, missing = store.get(NETWORK, _keys(3, 9, 1, 3))
        assert missing.tolist() == [False, True, False, False]
        np.testing.assert_array_equal(rows, _rows(3, 1, 3))
        assert rows.dtype == np.float32

    def test_nothing_known(self, store):
        rows, missing = store.get(NETWORK, _keys(1, 2))
        assert rows.shape == (0,)
        assert missing.all()
        rows, missing = store.get(NETWORK, [])
        assert len(rows) == len(missing) == 0

    def test_networks_are_apart(self, store):
        store.put(NETWORK, _keys(1), _rows(1))
        assert store.get(OTHER, _keys(1))[1].all()
        store.put(OTHER, _keys(1), np.ones((1, 2), np.float16))
        assert store.get(OTHER, _keys(1))[0].dtype == np.float16
        np.testing.assert_array_equal(store.get(NETWORK, _keys(1))[0], _rows(1))

    def test_activations_of_views(self, store):
        rng = np.random.default_rng(0)
        activations = rng.normal(size=(6, 3, 5, 2)).astype(np.float16)
        keys = [digest + bytes([view]) for digest in _keys(1, 2) for view in range(3)]
        store.put(NETWORK, keys, activations)
        rows, missing = store.get(NETWORK, keys[::-1])
        assert not missing.any()
        np.testing.assert_array_equal(rows, activations[::-1])

    def test_result_is_the_callers_own(self, store):
        given_rows = _rows(1)
        store.put(NETWORK, _keys(1), given_rows)
        given_rows[:] = -1
        store.get(NETWORK, _keys(1))[0][:] = -2
        np.testing.assert_array_equal(store.get(NETWORK, _keys(1))[0], _rows(1))

    def test_count_bytes_and_clear(self, store):
        store.put(NETWORK, _keys(1, 2), _rows(1, 2))
        store.put(NETWORK, _keys(2, 3), _rows(2, 3))
        store.put(OTHER, _keys(1), _rows(1))
        assert len(store) == 4
        assert store.nbytes == 4 * 16
        assert "4 rows of 2 networks, 64 B" in repr(store)
        store.clear()
        assert (len(store), store.nbytes) == (0, 0)
        assert store.get(NETWORK, _keys(1))[1].all()
        store.put(NETWORK, _keys(1), np.ones((1, 7), np.float64))
        assert store.get(NETWORK, _keys(1))[0].shape == (1, 7)

    def test_rows_that_do_not_fit(self, store):
        store.put(NETWORK, _keys(1), _rows(1))
        with pytest.raises(InputError, match=r"rows: abab.* rows of shape \(1, 4\) for 2 digests"):
            store.put(NETWORK, _keys(1, 2), _rows(1))
        with pytest.raises(InputError, match=r"rows of shape \(5,\) and float32, where it has"):
            store.put(NETWORK, _keys(2), np.zeros((1, 5), np.float32))
        with pytest.raises(InputError, match="rows of dtype object"):
            store.put(NETWORK, _keys(2), np.array([None]))
        assert len(store) == 1

    @pytest.mark.parametrize("bad", ["", "../../etc", "ABAB" * 16, "zz" * 32, None, 7])
    def test_fingerprint_that_is_none(self, store, bad):
        with pytest.raises(InputError, match=r"fingerprint: .* hexadecimal digits"):
            store.get(bad, _keys(1))
        with pytest.raises(InputError, match=r"fingerprint: .* hexadecimal digits"):
            store.put(bad, _keys(1), _rows(1))

    def test_threads(self, store):
        def work(start):
            try:
                for number in range(start, start + 30, 3):
                    numbers = range(number, number + 3)
                    store.put(NETWORK, _keys(*numbers), _rows(*numbers))
                    rows, missing = store.get(NETWORK, _keys(*numbers))
                    assert not missing.any()
                    np.testing.assert_array_equal(rows, _rows(*numbers))
            except BaseException as error:
                failures.append(error)

        failures: list[BaseException] = []
        threads = [threading.Thread(target=work, args=(30 * index,)) for index in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert not failures
        assert len(store) == 120


class TestIdentity:
    def test_copies_are_the_store(self, store):
        assert copy.copy(store) is store
        assert copy.deepcopy({"store": store})["store"] is store
        assert clone(store) is store

    def test_pickle_of_memory_is_empty(self):
        store = FeatureStore(max_bytes=1000)
        store.put(NETWORK, _keys(1), _rows(1))
        again = pickle.loads(pickle.dumps(store))
        assert (len(again), again.max_bytes, len(store)) == (0, 1000, 1)

    def test_pickle_of_disk_opens_the_folder(self, tmp_path, monkeypatch):
        monkeypatch.chdir(tmp_path)
        data = pickle.dumps(_filled("here", 1, 2))
        monkeypatch.chdir("/")
        again = pickle.loads(data)
        np.testing.assert_array_equal(again.get(NETWORK, _keys(2))[0], _rows(2))

    def test_resolve(self, tmp_path):
        store = FeatureStore()
        assert resolve_store(store) is store
        assert resolve_store(None) is default_store()
        assert resolve_store(tmp_path / "a").path == tmp_path / "a"
        assert resolve_store(str(tmp_path / "a")) is resolve_store(tmp_path / "a")
        with pytest.raises(InputError, match="store: 3 – it is neither a FeatureStore"):
            resolve_store(3)

    @pytest.mark.parametrize("bad", [0, -1, 1.5, True, "1 GB"])
    def test_budget_that_is_none(self, bad):
        with pytest.raises(InputError, match=r"max_bytes: .* no positive number of bytes"):
            FeatureStore(max_bytes=bad)


class TestBudget:
    def test_least_recently_used_leave(self):
        store = FeatureStore(max_bytes=3 * (16 + EACH))
        store.put(NETWORK, _keys(1, 2, 3), _rows(1, 2, 3))
        store.get(NETWORK, _keys(1))
        store.put(OTHER, _keys(4), _rows(4))
        assert store.get(NETWORK, _keys(1, 2, 3))[1].tolist() == [False, True, False]
        assert store.nbytes == 48

    @given(
        st.lists(st.lists(st.integers(0, 20), min_size=1, max_size=8), max_size=12),
        st.integers(1, 20 * (16 + EACH)),
    )
    def test_never_over_budget_and_never_wrong(self, calls, budget):
        store = FeatureStore(max_bytes=budget)
        for numbers in calls:
            store.put(NETWORK, _keys(*numbers), _rows(*numbers))
            assert store.nbytes == 16 * len(store) <= budget - EACH * len(store)
            rows, missing = store.get(NETWORK, _keys(*numbers))
            expected = [_row(n) for n, gone in zip(numbers, missing, strict=True) if not gone]
            np.testing.assert_array_equal(rows, np.reshape(expected, rows.shape))


class TestBudgetOnDisk:
    def used(self, path):
        return sum(file.stat().st_size for file in path.rglob("*") if file.is_file())

    def test_rows_that_are_there_are_not_written_again(self, tmp_path):
        stores = FeatureStore(tmp_path), FeatureStore(tmp_path)
        for one in (*stores, *stores):
            one.put(NETWORK, _keys(1, 2), _rows(1, 2))
        stores[1].put(NETWORK, _keys(2, 3), _rows(2, 3))
        assert [len(np.load(file)) for file in tmp_path.rglob("*.npy")].count(2) == 1
        assert len(list(tmp_path.rglob("*.npy"))) == 2
        np.testing.assert_array_equal(stores[0].get(NETWORK, _keys(1, 2, 3))[0], _rows(1, 2, 3))
        FeatureStore(tmp_path).clear()
        stores[0].put(NETWORK, _keys(1), _rows(1))
        assert not FeatureStore(tmp_path).get(NETWORK, _keys(1))[1].any()

    def test_every_file_counts_whoever_wrote_it(self, tmp_path):
        stores = [FeatureStore(tmp_path, max_bytes=20_000) for _ in range(2)]
        numbers = iter(range(1000))
        with pytest.raises(SaveError, match=r"more are needed, and there is room for .* raise m"):
            while True:
                for one, network in zip(stores, (NETWORK, OTHER), strict=True):
                    one.put(network, _keys(next(numbers)), np.ones((1, 100), np.float32))
                    assert self.used(tmp_path) <= 20_000
        assert self.used(tmp_path) > 18_000

    @pytest.mark.parametrize("name", [f"{'0' * 16}.npy", f"{'0' * 16}.json.damaged"])
    def test_what_nobody_can_read_counts_too(self, tmp_path, name):
        store = FeatureStore(tmp_path, max_bytes=20_000)
        store.check_writable(NETWORK)
        (tmp_path / NETWORK / name).write_bytes(bytes(19_000))
        with pytest.raises(SaveError, match=r"there is room for 1\.0 kB"):
            store.put(NETWORK, _keys(1), np.ones((1, 300), np.float32))
        (tmp_path / NETWORK / name).write_bytes(bytes(30_000))
        with pytest.raises(SaveError, match="there is room for 0 B"):
            store.check_room(1)
        store.clear()
        store.put(NETWORK, _keys(1), np.ones((1, 300), np.float32))


class TestDisk:
    def test_folder_is_made_when_needed(self, tmp_path):
        store = FeatureStore(tmp_path / "a" / "b")
        assert store.get(NETWORK, _keys(1))[1].all()
        assert len(store) == 0
        assert not (tmp_path / "a").exists()
        store.put(NETWORK, _keys(1), _rows(1))
        assert len(FeatureStore(tmp_path / "a" / "b")) == 1

    def test_files(self, tmp_path):
        _filled(tmp_path, 1, 2)
        (sidecar,) = _sidecars(tmp_path)
        fields = json.loads(sidecar.read_text())
        assert fields["keys"] == [key.hex() for key in _keys(1, 2)]
        assert (fields["version"], fields["shape"]) == (1, [2, 4])
        np.testing.assert_array_equal(np.load(sidecar.with_suffix(".npy")), _rows(1, 2))
        assert len(list(sidecar.parent.iterdir())) == 2

    def test_rows_of_another_store_object_are_seen(self, tmp_path):
        reader = FeatureStore(tmp_path)
        assert reader.get(NETWORK, _keys(1))[1].all()
        _filled(tmp_path, 1)
        assert not reader.get(NETWORK, _keys(1))[1].any()

    def test_cleared_by_another_is_missing_without_a_word(self, tmp_path):
        store = FeatureStore(tmp_path)
        _filled(tmp_path, 1)
        assert len(store) == 1
        FeatureStore(tmp_path).clear()
        assert not (tmp_path / NETWORK).exists()
        assert store.get(NETWORK, _keys(1))[1].all()
        store.put(NETWORK, _keys(1), _rows(1))
        assert len(FeatureStore(tmp_path)) == 1

    def test_more_shards_than_open_maps(self, tmp_path, monkeypatch):
        monkeypatch.setattr(_maps, "_MOST", 2)
        for number in range(5):
            _filled(tmp_path, number)
            FeatureStore(tmp_path).put(OTHER, _keys(number), _rows(number))
        store, other = FeatureStore(tmp_path), FeatureStore(tmp_path)
        for _ in range(2):
            for one, network in ((store, NETWORK), (store, OTHER), (other, NETWORK)):
                rows, _ = one.get(network, _keys(*range(5)))
                np.testing.assert_array_equal(rows, _rows(*range(5)))
        folders = [store._rows._folder(NETWORK), store._rows._folder(OTHER)]
        folders.append(other._rows._folder(NETWORK))
        assert sum(len(folder._maps) for folder in folders) == 2

    def test_maps_are_closed_with_their_store(self, tmp_path):
        _filled(tmp_path, 1)
        store = FeatureStore(tmp_path)
        store.get(NETWORK, _keys(1))
        maps = weakref.ref(store._rows._folder(NETWORK)._maps)
        del store
        gc.collect()
        assert maps() is None

    def test_clear_leaves_foreign_files(self, tmp_path):
        store = _filled(tmp_path, 1)
        (tmp_path / NETWORK / "notes.txt").write_text("mine")
        (tmp_path / "results").mkdir()
        (tmp_path / "results" / "metrics.json").write_text("{}")
        assert len(store) == 1
        store.clear()
        left = sorted(path.name for path in tmp_path.rglob("*") if path.is_file())
        assert left == ["metrics.json", "notes.txt"]

    def test_leavings_of_a_killed_process_go_after_a_day(self, tmp_path):
        folder = _filled(tmp_path, 1)._path / NETWORK
        old, new = folder / f"{'0' * 16}.npy", folder / f"{'1' * 16}.npy"
        old.touch()
        new.touch()
        os.utime(old, (1, 1))
        _filled(tmp_path, 2)
        assert not old.exists()
        assert new.exists()
        assert len(FeatureStore(tmp_path)) == 2


def _flip(path, at):
    data = bytearray(path.read_bytes())
    data[at % len(data)] ^= 1 << at % 8
    path.write_bytes(data)


def _edit(sidecar, edit):
    """Change fields, and let the sidecar's own checksum be right again."""
    fields = json.loads(sidecar.read_text()) | edit
    del fields["checksum"]
    digest = hashlib.sha256(json.dumps(fields, sort_keys=True).encode()).hexdigest()
    sidecar.write_text(json.dumps(fields | {"checksum": digest}))


class TestDamage:
    @pytest.mark.parametrize("suffix", [".npy", ".json"])
    @pytest.mark.parametrize("damage", ["flip", "cut", "empty", "text", "append"])
    def test_rows_are_missing_and_the_file_is_named(self, tmp_path, suffix, damage):
        _filled(tmp_path, 1, 2)
        (sidecar,) = _sidecars(tmp_path)
        _filled(tmp_path, 3)
        path = sidecar.with_suffix(suffix)
        data = path.read_bytes()
        changed = {
            "flip": bytes([data[0] ^ 1]) + data[1:],
            "cut": data[:-9],
            "empty": b"",
            "text": b"<html>",
            "append": data + b"!",
        }
        path.write_bytes(changed[damage])
        store = FeatureStore(tmp_path)
        expected = f"feature store: .*{NETWORK} – {sidecar.stem} .* computed again"
        with pytest.warns(StoreWarning, match=expected) as caught:
            rows, missing = store.get(NETWORK, _keys(1, 2, 3))
        assert len(caught) == 1
        assert missing.tolist() == [True, True, False]
        np.testing.assert_array_equal(rows, _rows(3))
        store.put(NETWORK, _keys(1, 2), _rows(1, 2))
        again = FeatureStore(tmp_path)
        np.testing.assert_array_equal(again.get(NETWORK, _keys(1, 2, 3))[0], _rows(1, 2, 3))

    @settings(max_examples=100)
    @given(st.booleans(), st.integers(0, 10**6))
    def test_any_flipped_bit_gives_the_row_or_none(self, tmp_path_factory, which, at):
        path = tmp_path_factory.mktemp("flip")
        _filled(path, 1, 2)
        (sidecar,) = _sidecars(path)
        _flip(sidecar if which else sidecar.with_suffix(".npy"), at)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", StoreWarning)
            rows, missing = FeatureStore(path).get(NETWORK, _keys(1, 2))
        kept = [number for number, gone in zip((1, 2), missing, strict=True) if not gone]
        np.testing.assert_array_equal(rows, _rows(*kept) if kept else np.empty(0))
        shutil.rmtree(path)

    def test_a_bad_shape_does_not_cost_the_good_shards(self, tmp_path):
        for number in (1, 2, 3):
            _filled(tmp_path, number)
        first = _sidecars(tmp_path)[0]
        first.write_bytes(first.read_bytes().replace(b"\n4\n", b"\n5\n"))
        with pytest.warns(StoreWarning, match=f"{first.stem} .*checksum"):
            missing = FeatureStore(tmp_path).get(NETWORK, _keys(1, 2, 3))[1]
        assert missing.sum() == 1

    def test_rows_of_another_shape_that_another_process_put_at_once(self, tmp_path, monkeypatch):
        store = FeatureStore(tmp_path)
        monkeypatch.setattr(store, "_check", lambda *_: _filled(tmp_path, 1))
        with pytest.warns(StoreWarning, match="another shape or dtype than"):
            store.put(NETWORK, _keys(2), np.zeros((1, 7), np.float32))
        monkeypatch.undo()
        rows, missing = store.get(NETWORK, _keys(1, 2))
        np.testing.assert_array_equal(rows, _rows(1))
        assert missing.tolist() == [False, True]

    def test_a_shard_of_another_shape(self, tmp_path):
        _filled(tmp_path, 1)
        _edit(_sidecars(tmp_path)[0], {"shape": [1, 2**62]})
        store = FeatureStore(tmp_path)
        with pytest.warns(StoreWarning, match="not what its sidecar says"):
            assert store.get(NETWORK, _keys(1))[1].all()

    def test_a_second_copy_of_the_rows_is_used(self, tmp_path):
        _filled(tmp_path, 1)
        (first,) = _sidecars(tmp_path)
        last = first.with_stem("f" * 16)  # taken in last, so asked first
        for suffix in (".npy", ".json"):  # as of two processes at once
            shutil.copy(first.with_suffix(suffix), last.with_suffix(suffix))
        _flip(last.with_suffix(".npy"), -1)
        with pytest.warns(StoreWarning, match=last.stem):
            rows, missing = FeatureStore(tmp_path).get(NETWORK, _keys(1))
        assert not missing.any()
        np.testing.assert_array_equal(rows, _rows(1))

    @pytest.mark.parametrize(
        "edit",
        [
            {"format": "other"},
            {"version": 1.5},
            {"fingerprint": OTHER},
            {"shape": [3, 4]},
            {"shape": [2, -4]},
            {"shape": []},
            {"shape": [2, 2**62]},
            {"shape": None},
            {"keys": ["zz", "yy"]},
            {"keys": 7},
            {"dtype": "object"},
            {"dtype": "<f8"},
            {"sha256": 5},
        ],
    )
    def test_sidecar_that_says_something_else(self, tmp_path, edit):
        _filled(tmp_path, 1, 2)
        (sidecar,) = _sidecars(tmp_path)
        _edit(sidecar, edit)
        with pytest.warns(StoreWarning, match=sidecar.stem):
            assert FeatureStore(tmp_path).get(NETWORK, _keys(1, 2))[1].all()

    @pytest.mark.parametrize("text", ["[]", "[" * 100_000, "{}", "null", '{"format": NaN}'])
    def test_sidecar_that_is_none(self, tmp_path, text):
        _filled(tmp_path, 1)
        (sidecar,) = _sidecars(tmp_path)
        sidecar.write_text(text)
        with pytest.warns(StoreWarning, match=sidecar.stem):
            assert FeatureStore(tmp_path).get(NETWORK, _keys(1))[1].all()

    def test_another_version_is_said_and_left_alone(self, tmp_path):
        _filled(tmp_path, 1)
        (sidecar,) = _sidecars(tmp_path)
        _edit(sidecar, {"version": 2})
        text = sidecar.read_text()
        with pytest.warns(StoreWarning, match="written by version 2 of the store, this is 1"):
            assert FeatureStore(tmp_path).get(NETWORK, _keys(1))[1].all()
        assert sidecar.read_text() == text

    def test_pickled_rows_are_never_loaded(self, tmp_path):
        _filled(tmp_path, 1)
        (sidecar,) = _sidecars(tmp_path)
        array = sidecar.with_suffix(".npy")
        np.save(array, np.array([{"a": 1}], dtype=object), allow_pickle=True)
        _edit(sidecar, {"sha256": hashlib.sha256(array.read_bytes()).hexdigest()})
        with pytest.warns(StoreWarning, match="its rows cannot be read"):
            assert FeatureStore(tmp_path).get(NETWORK, _keys(1))[1].all()


class TestUnreadable:
    """What cannot be read now may be whole: it is not set aside."""

    @pytest.mark.parametrize("suffix", [".npy", ".json"])
    @pytest.mark.parametrize("number", [errno.EIO, errno.EACCES, errno.ESTALE])
    def test_it_is_missing_and_left_alone(self, tmp_path, monkeypatch, suffix, number):
        _filled(tmp_path, 1)
        (sidecar,) = _sidecars(tmp_path)
        _filled(tmp_path, 2)
        real = Path.open

        def fail(path, *args, **kwargs):
            if path == sidecar.with_suffix(suffix):
                raise OSError(number, os.strerror(number), str(path))
            return real(path, *args, **kwargs)

        with monkeypatch.context() as patch:
            patch.setattr(Path, "open", fail)
            expected = f"{sidecar.stem} .*{os.strerror(number)}.* computed again"
            with pytest.warns(StoreWarning, match=expected):
                rows, missing = FeatureStore(tmp_path).get(NETWORK, _keys(1, 2))
        assert missing.tolist() == [True, False]
        np.testing.assert_array_equal(rows, _rows(2))
        assert not list(tmp_path.rglob("*.damaged"))
        assert not FeatureStore(tmp_path).get(NETWORK, _keys(1, 2))[1].any()

    def test_too_many_open_files_cost_no_shard(self, tmp_path):
        """A process that may open 80 files, and more shards than that in many folders."""
        script = f"""
import resource, numpy as np
from skinensemble.features._store import FeatureStore
resource.setrlimit(resource.RLIMIT_NOFILE, (80, 80))
store = FeatureStore({str(tmp_path)!r})
keys = [bytes([n]) for n in range(9)]
networks = [f"{{n:016x}}" for n in range(12)]
for network in networks:
    for key in keys:
        store.put(network, [key], np.full((1, 4), key[0], np.float32))
readers = [store.reader(network, keys)[0] for network in networks]
for read in readers:
    assert read(np.arange(9))[:, 0].tolist() == list(range(9))
"""
        command = [sys.executable, "-W", "error", "-c", script]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60)
        assert done.returncode == 0, done.stderr
        assert len(list(tmp_path.rglob("*.json"))) == 108

    def test_maps_are_let_go_for_other_files(self, tmp_path, monkeypatch):
        for number in (1, 2):
            _filled(tmp_path, number)
        store, times = FeatureStore(tmp_path), []
        store.get(NETWORK, _keys(1, 2))
        folder, real = store._rows._folder(NETWORK), _sidecar._sha256

        def full(path):
            times.append(len(folder._maps))
            if folder._maps:
                raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))
            return real(path)

        monkeypatch.setattr(_sidecar, "_sha256", full)
        _filled(tmp_path, 3)
        np.testing.assert_array_equal(store.get(NETWORK, _keys(3))[0], _rows(3))
        assert times == [2, 0]

    def test_files_that_cannot_be_opened_even_so_are_an_error(self, tmp_path, monkeypatch):
        _filled(tmp_path, 1)

        def fail(path):
            raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))

        monkeypatch.setattr(_sidecar, "_sha256", fail)
        text = f"feature store: .*{NETWORK} – .*{os.strerror(errno.EMFILE)}.* – raise the limits"
        with pytest.raises(InputError, match=text):
            FeatureStore(tmp_path).get(NETWORK, _keys(1))
        assert not list(tmp_path.rglob("*.damaged"))


class TestFailures:
    def test_path_is_a_file(self, tmp_path):
        path = tmp_path / "file"
        path.write_text("not a folder")
        with pytest.raises(InputError, match=f"feature store: {path} – it is no folder"):
            FeatureStore(path)

    def test_below_a_folder_that_cannot_be_searched(self, tmp_path, monkeypatch):
        store, real = FeatureStore(tmp_path / "closed" / "store"), Path.stat

        def stat(path, **options):
            if "closed" in path.parts:
                raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))
            return real(path, **options)

        monkeypatch.setattr(Path, "stat", stat)
        with pytest.raises(InputError, match=r"feature store: .*closed.* cannot be read \(Perm"):
            FeatureStore(tmp_path / "closed" / "store")
        with pytest.raises(SaveError, match=r"feature store: .*closed.* cannot be written \(Perm"):
            store.check_room(1)

    def test_folder_that_cannot_be_made(self, tmp_path):
        (tmp_path / "file").write_text("not a folder")
        store = FeatureStore(tmp_path / "file" / "store")
        for attempt in (
            lambda: store.check_writable(NETWORK),
            lambda: store.put(NETWORK, _keys(1), _rows(1)),
        ):
            with pytest.raises(SaveError, match=r"feature store: .* cannot be written"):
                attempt()

    def test_interrupted_between_the_two_files(self, tmp_path, monkeypatch):
        store = _filled(tmp_path, 1)
        real = shards.replace_file

        def fail_on_sidecar(path, *rest):
            if path.suffix == ".json":
                raise KeyboardInterrupt
            return real(path, *rest)

        monkeypatch.setattr(shards, "replace_file", fail_on_sidecar)
        with pytest.raises(KeyboardInterrupt):
            store.put(NETWORK, _keys(2), _rows(2))
        assert len(list((tmp_path / NETWORK).iterdir())) == 2
        assert store.get(NETWORK, _keys(1, 2))[1].tolist() == [False, True]

    def test_read_only_folder_can_be_read(self, ordinary):
        _filled(ordinary, 1)
        (ordinary / NETWORK).chmod(0o500)
        store = FeatureStore(ordinary)
        assert not store.get(NETWORK, _keys(1))[1].any()
        with pytest.raises(SaveError, match="cannot be written"):
            store.check_writable(NETWORK)

    def test_full_disk(self, tmp_path):
        """A process that may write 20 kB only: put fails, and what was there before stays."""
        _filled(tmp_path, 1)
        script = f"""
import resource, numpy as np
from skinensemble.features._store import FeatureStore
from skinensemble.exceptions import SaveError
resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))
store = FeatureStore({str(tmp_path)!r})
keys = [bytes([5, n]) for n in range(100)]
try:
    store.put({NETWORK!r}, keys * 20, np.ones((2000, 4), np.float32))
except SaveError as error:
    assert "needs 1 MB" in str(error), error
else:
    raise AssertionError("nothing was raised")
assert store.get({NETWORK!r}, keys)[1].all()
store.put({NETWORK!r}, keys, np.ones((100, 4), np.float32))
"""
        done = subprocess.run(
            [sys.executable, "-c", script], capture_output=True, text=True, timeout=60
        )
        assert done.returncode == 0, done.stderr
        again = FeatureStore(tmp_path)
        assert not again.get(NETWORK, _keys(1))[1].any()
        assert len(again) == 101
        assert len(list((tmp_path / NETWORK).iterdir())) == 4

    def test_processes_at_once(self, tmp_path):
        script = f"""
import numpy as np
from skinensemble.features._store import FeatureStore
store = FeatureStore({str(tmp_path)!r})
for n in range(40):
    store.put({NETWORK!r}, [bytes([n % 2, n])], np.full((1, 4), n, np.float32))
    assert store.get({NETWORK!r}, [bytes([n % 2, n])])[0][0, 0] == n
"""
        command = [sys.executable, "-W", "error", "-c", script]
        with subprocess.Popen(command, stderr=subprocess.PIPE) as child:
            store, rounds = FeatureStore(tmp_path), 0
            while child.poll() is None:
                keys = [bytes([2 * (n % 2), n]) for n in range(40)]
                store.put(NETWORK, keys, np.repeat(np.arange(40.0, dtype="f4"), 4).reshape(40, 4))
                rows, missing = FeatureStore(tmp_path).get(NETWORK, keys)
                assert not missing.any()
                assert rows[:, 0].tolist() == list(range(40))
                rounds += 1
                time.sleep(0.02)
            assert child.returncode == 0, child.stderr.read().decode()
        assert rounds > 1
        assert len(FeatureStore(tmp_path)) == 60


def test_rows_that_were_just_counted_are_not_the_first_to_leave():
    store = FeatureStore(max_bytes=10 * (16 + EACH))
    first, second = range(1, 5), range(5, 9)
    for numbers in (first, second):
        store.put(NETWORK, _keys(*numbers), _rows(*numbers))
    assert not store.missing(NETWORK, _keys(*first)).any()
    store.put(OTHER, _keys(1, 2, 3, 4), _rows(1, 2, 3, 4))
    assert not store.missing(NETWORK, _keys(*first)).any()


def test_a_home_folder_is_meant_as_it_is_written(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    assert FeatureStore("~/features").path == tmp_path / "features"
    assert resolve_store("~/features").path == tmp_path / "features"


def test_damage_is_told_by_whoever_finds_it(tmp_path):
    FeatureStore(tmp_path).put(NETWORK, _keys(1), _rows(1))
    (sidecar,) = tmp_path.glob("*/*.json")
    sidecar.write_text("{")
    with pytest.warns(StoreWarning, match="the rows in them are computed again"):
        assert len(FeatureStore(tmp_path)) == 0


@pytest.mark.parametrize("path", ["", "~nosuchuser/store", "a\0b"])
def test_what_can_be_no_folder(path):
    for make in (FeatureStore, resolve_store):
        with pytest.raises(InputError, match=r"^feature store: '.*' – .* – pass a folder$"):
            make(path)


def test_rows_of_another_shape_than_those_on_disk_are_refused(tmp_path):
    _filled(tmp_path, 1)
    with pytest.raises(InputError, match=r"rows: .* – rows of shape \(7,\) and float32, where"):
        FeatureStore(tmp_path).put(NETWORK, _keys(2), np.zeros((1, 7), np.float32))
