"""What was decoded a moment ago is not decoded again, and is what it would be."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from skinensemble.exceptions import ImageReadError
from skinensemble.images import _files, _source, as_images
from skinensemble.images._decoded import LastDecoded
from skinensemble.images._views import lay_out


@pytest.fixture
def paths(save, lesion, monkeypatch):
    monkeypatch.setattr(_files, "_RACY_NS", 0)  # they were written just now
    return [str(save(f"{step}.png", np.roll(lesion, step, axis=1))) for step in range(6)]


@pytest.fixture
def decoded(monkeypatch):
    """The sizes at which images were decoded or resized, from now on."""
    sizes: list = []
    monkeypatch.setattr(_source, "last_decoded", LastDecoded(2**20))
    for name in ("decode", "fit_image"):
        real = getattr(_source, name)
        monkeypatch.setattr(
            _source, name, lambda *args, real=real: sizes.append(args[1:]) or real(*args)
        )
    return sizes


def seen(source, *how):
    return np.concatenate(list(source.batches(*how)))


@pytest.mark.parametrize("form", [list, lambda paths: [as_images(paths)[k] for k in range(6)]])
def test_an_image_is_decoded_once_for_each_size_and_fit(paths, decoded, form):
    images = form(paths)
    decoded.clear()
    for how in ((16,), (24,), (16, "squash")):
        first = as_images(images)
        _ = first.digests
        rows = seen(first, *how)
        np.testing.assert_array_equal(rows, seen(first, *how))
        again = as_images(images)
        _ = again.digests
        np.testing.assert_array_equal(rows, seen(again, *how))
    assert (
        decoded == [((16, 16), "crop")] * 6 + [((24, 24), "crop")] * 6 + [((16, 16), "squash")] * 6
    )


def test_all_views_of_an_image_need_it_once(paths, decoded):
    source = as_images(paths)
    _ = source.digests
    for view in lay_out(8):
        list(view.batches(source, (16, 16), "crop", 4))
    assert len(decoded) == 6


def test_a_file_that_changes_is_refused_though_its_pixels_are_here(paths, decoded, save, lesion):
    source = as_images(paths)
    _ = source.digests
    seen(source, 16)
    save("2.png", 255 - lesion)
    with pytest.raises(ImageReadError, match=r"2\.png – the file changed since it was first read"):
        seen(source, 16)
    fresh = as_images(paths)
    _ = fresh.digests
    other = seen(fresh, 16)[2].astype(int)
    assert np.abs(other - seen(source[[0, 1]], 16)[0]).max() > 50


def test_batches_can_be_written_to_and_change_nothing(paths, decoded):
    source = as_images(paths)
    _ = source.digests
    expected = seen(source, 16)
    for batch in source.batches(16):
        batch[:] = 0
    np.testing.assert_array_equal(seen(source, 16), expected)


def test_the_users_arrays_stay_writable(lesion, decoded):
    array = lesion[:16, :16].copy()
    source = as_images([array])
    _ = source.digests
    seen(source, 16), seen(source, 8)
    array[0, 0] = 0


@given(st.lists(st.integers(0, 9), max_size=60), st.integers(0, 5))
def test_no_more_is_kept_than_was_allowed(keys, room):
    images = LastDecoded(room * 8)
    for key in keys:
        made = images.get(key, lambda key=key: np.full(8, key, np.uint8))
        np.testing.assert_array_equal(made, key)
        assert sum(one.nbytes for one in images._images.values()) == images._nbytes <= room * 8


def test_the_oldest_leave():
    images, made = LastDecoded(16), []

    def make():
        made.append(1)
        return np.zeros(8, np.uint8)

    for key in (1, 2, 2, 3, 2, 3, 1):
        images.get(key, make)
    assert len(made) == 4


def test_threads_count_an_image_once():
    class Slow(np.ndarray):
        @property
        def nbytes(self):
            if not images._images:  # between the question whether it is there and its coming
                time.sleep(0.05)
            return 8

    images, both = LastDecoded(2**20), Barrier(2)

    def make():
        both.wait(60)
        return np.zeros(8, np.uint8).view(Slow)

    with ThreadPoolExecutor(2) as pool:
        list(pool.map(lambda _: images.get("one", make), range(2)))
    assert images._nbytes == 8
