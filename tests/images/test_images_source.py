"""Every accepted form of images counts, chooses, reads and pickles the same way."""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
import threading
import warnings
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from sklearn.model_selection import train_test_split
from sklearn.utils import _safe_indexing

from skinensemble.exceptions import ImageReadError, InputError
from skinensemble.images import ImageSource, _files, _source, as_images, read_image


@pytest.fixture
def paths(save, lesion):
    return [str(save(f"{step}.png", np.roll(lesion, step, axis=1))) for step in range(6)]


@pytest.fixture
def stack(lesion):
    return np.stack([np.roll(lesion, step, axis=1) for step in range(6)])


FORMS = {
    "paths": lambda paths, stack: paths,
    "tuple of Path": lambda paths, stack: tuple(map(Path, paths)),
    "array of str": lambda paths, stack: np.array(paths),
    "object array": lambda paths, stack: np.array(paths, dtype=object),
    "array of bytes": lambda paths, stack: np.array([os.fsencode(path) for path in paths]),
    "Series": lambda paths, stack: pd.Series(paths, index=range(10, 16)),
    "uint8": lambda paths, stack: stack,
    "int": lambda paths, stack: stack.astype(np.int64),
    "float32": lambda paths, stack: stack.astype(np.float32),
    "list of arrays": lambda paths, stack: list(stack),
    "list of floats": lambda paths, stack: list(stack.astype(float) + 0.3),
    "PIL": lambda paths, stack: [Image.fromarray(one) for one in stack],
    "mixed": lambda paths, stack: [paths[0], stack[1], Image.fromarray(stack[2]), *paths[3:]],
    "ImageSource": lambda paths, stack: as_images(paths),
}


@pytest.mark.parametrize("form", FORMS)
def test_every_form_gives_the_same_pixels(paths, stack, form):
    source = as_images(FORMS[form](paths, stack))
    assert isinstance(source, ImageSource)
    assert source.shape == (len(source),) == (6,)
    for row, expected in enumerate(stack):
        array = source[row]
        assert array.dtype == np.uint8
        assert np.array_equal(array, expected)
    assert len(set(source.digests)) == 6
    assert {len(digest) for digest in source.digests} == {16}


def test_grey_arrays(lesion):
    grey = lesion[:, :, 0]
    for images in (grey[None, :, :, None], [grey], [grey[:, :, None]], [grey.astype(float)]):
        assert np.array_equal(as_images(images)[0], np.stack([grey] * 3, axis=-1))


def test_unlike_sizes():
    images = [np.full((10 + step, 20 - step, 3), 99, np.uint8) for step in range(5)]
    source = as_images(images)
    assert [source[row].shape for row in range(5)] == [one.shape for one in images]
    assert [batch.shape for batch in source.batches((9, 8), batch_size=4)] == [
        (4, 9, 8, 3),
        (1, 9, 8, 3),
    ]


def test_pil_images_are_turned_upright(save, lesion):
    exif = Image.Exif()
    exif[0x0112] = 3
    path = save("down.png", lesion[::-1, ::-1], exif=exif)
    with Image.open(path) as image:
        assert np.array_equal(as_images([image])[0], lesion)


def test_floats_are_rounded_half_to_even():
    values = np.full((1, 8, 8, 3), 7.49)
    values[0, 0] = [[0.5, 1.5, 2.5]] * 8
    array = as_images(values)[0]
    assert array[0, 0].tolist() == [0, 2, 2]
    assert (array[1:] == 7).all()


def test_a_uint8_array_is_not_copied_but_what_is_read_is(stack):
    source = as_images(stack)
    assert source._shared.items is stack
    source[0][:] = 0
    assert stack[0].any()


@pytest.mark.parametrize(
    ("key", "expected"),
    [
        ([4, 1], [4, 1]),
        (np.array([4, 1, 1]), [4, 1, 1]),
        (np.array([0, 1, 0, 0, 1, 0], bool), [1, 4]),
        ([False, True, False, False, True, False], [1, 4]),
        (slice(1, None, 2), [1, 3, 5]),
        (slice(None, None, -1), [5, 4, 3, 2, 1, 0]),
        ([-1], [5]),
        ([], []),
    ],
)
def test_choosing_as_scikit_learn_does(paths, key, expected):
    source = as_images(paths)
    for view in (_safe_indexing(source, key), source[key]):
        assert isinstance(view, ImageSource)
        assert view.names == [paths[row] for row in expected]
        assert view._shared is source._shared
    assert np.array_equal(_safe_indexing(source, 2), read_image(paths[2]))
    assert np.array_equal(source[np.int64(-1)], source[5])


def test_views_of_views_and_splits(stack):
    source = as_images(stack)
    assert source[1:][[0, 4]].names == ["image 1", "image 5"]
    train, test, y_train, y_test = train_test_split(source, np.arange(6), random_state=0)
    assert train.names == [f"image {row}" for row in y_train]
    assert test.names == [f"image {row}" for row in y_test]
    assert as_images(train) is train


@pytest.mark.parametrize("key", [6, -7, [6], [True], 1.5, [[0, 1]], "a", None])
def test_what_cannot_be_chosen(stack, key):
    with pytest.raises(IndexError):
        as_images(stack)[key]


def test_no_array_of_unread_images(stack):
    with pytest.raises(TypeError, match=r"use source\[i\] or source\.batches\(224\)"):
        np.asarray(as_images(stack))


def test_iterates_over_images(stack):
    assert np.array_equal(np.stack(list(as_images(stack))), stack)


@pytest.mark.parametrize(
    ("images", "text"),
    [
        ("a.jpg", r"'a\.jpg' – one path; a list of images is expected – pass \[path\]"),
        (Image.new("RGB", (9, 9)), r"a PIL image – one image; .* – pass \[image\]"),
        (np.zeros((9, 9, 3), np.uint8), r"shape \(9, 9, 3\) – one image; .* – pass X\[None\]"),
        (
            np.zeros((4, 9, 9)),
            r"shape \(4, 9, 9\) – .* – pass X\[\.\.\., None\] if these are n gre",
        ),
        (np.zeros((9, 9)), r"shape \(9, 9\) – .* – pass an array of shape \(n, H, W, 3\)"),
        (np.zeros((4, 9, 9, 4)), r"shape \(4, 9, 9, 4\) – .* – blend the alpha channel away"),
        (np.zeros((4, 3, 9, 9)), r"shape \(4, 3, 9, 9\) – .* np\.moveaxis\(X, 1, -1\)"),
        (np.zeros((4, 2, 9, 3)), r"9 × 2 pixels, and each side must have at least 8"),
        (np.zeros((4, 9, 9, 3), bool), r"an array of bool – .* – pass uint8, or floats from 0"),
        (np.zeros((4, 9, 9, 3), complex), r"an array of complex128 – .* – pass uint8"),
        (np.array("a.jpg"), r"shape \(\) – .* – pass a list, or a one-dimensional array, of paths"),
        (np.array([["a"], ["b"]]), r"shape \(2, 1\) – .* one-dimensional array, of paths"),
        (np.array(1.0), r"shape \(\) – .* – pass an array of shape \(n, H, W, 3\)"),
        ([], "none – the list is empty – pass at least one image"),
        (np.zeros((0, 9, 9, 3)), "none – the list is empty"),
        (pd.Series([], dtype=object), "none – the list is empty"),
        (pd.DataFrame({"path": ["a"]}), r"a DataFrame – .* – pass its column of paths, such as X"),
        ({"a.jpg"}, r"an object of type set – .* – pass a list of paths"),
        (iter(["a.jpg"]), r"an object of type list_iterator – .* – pass a list of paths"),
        (None, "an object of type NoneType – "),
        (7, "an object of type int – "),
        (np.full((2, 9, 9, 3), 0.9), r"floats from 0\.9 to at most 1 – .* multiply .*: X \* 255"),
        ([np.full((9, 9, 3), 0.9)] * 2, r"would all be black – multiply them by 255: X \* 255"),
        ([np.full((9, 9, 3), p) for p in (np.nan, 0.6)], r"floats from 0\.6 to .* multiply them"),
        (np.linspace(-1, 1, 486).reshape(2, 9, 9, 3), r"floats from -1 .* \(X \+ 1\) \* 127\.5"),
    ],
)
def test_what_is_no_list_of_images(images, text):
    with pytest.raises(InputError, match=f"images: .*{text}"):
        as_images(images)


def test_one_bare_path_object(tmp_path):
    with pytest.raises(InputError, match=r"one path; .* – pass \[path\]"):
        as_images("x" * 300)
    with pytest.raises(InputError, match=r"one path; .* – pass \[path\]"):
        as_images(tmp_path / "a.jpg")


def test_the_content_of_files_is_no_path(encode, lesion):
    content = encode(lesion, "PNG") * 99
    with pytest.raises(InputError, match=r"one file's content; a list .* – pass the path, or PIL"):
        as_images(content)
    with pytest.raises(ImageReadError) as caught:
        as_images([content, b"a.png"])
    (first, second) = caught.value.problems
    assert (first.name, first.problem) == ("image 0", "the content of a file, not its path")
    assert (second.name, second.problem) == ("a.png", "there is no such file")
    assert len(str(caught.value)) < 400


@pytest.mark.parametrize("wrap", [np.stack, list])
def test_bad_values_name_their_images(wrap):
    images = [np.full((9, 9, 3), 100.0) for _ in range(6)]
    images[1][0, 0, 0] = np.nan
    images[3][5] = 256
    images[4][5] = -2
    images[5][5] = np.inf
    with pytest.raises(ImageReadError, match="images cannot be read: 4 of 6") as caught:
        as_images(wrap(images))
    assert [(one.index, one.name, one.problem) for one in caught.value.problems] == [
        (1, "image 1", "it holds NaN"),
        (3, "image 3", "values from 100 to 256, outside 0 to 255"),
        (4, "image 4", "values from -2 to 100, outside 0 to 255"),
        (5, "image 5", "values from 100 to inf, outside 0 to 255"),
    ]
    with pytest.raises(ImageReadError, match="image cannot be read: image 0 – it holds NaN – fill"):
        as_images(np.full((1, 9, 9, 3), np.nan))


def test_items_that_are_no_images(lesion):
    items = {
        "None": None,
        "nan": float("nan"),
        "list": [1, 2],
        "(48, 64, 4)": np.zeros((48, 64, 4), np.uint8),
        "(3, 48, 64)": np.zeros((3, 48, 64), np.uint8),
        "(5,)": np.zeros(5, np.uint8),
        "bool": np.zeros((9, 9), bool),
        "mode F": Image.new("F", (9, 9)),
        "4 × 4": Image.new("RGB", (4, 4)),
        "5 × 9": np.zeros((9, 5), np.uint8),
        "0 × 9": np.zeros((9, 0, 3), np.uint8),
    }
    with pytest.raises(
        ImageReadError, match=r"11 of 12 – image 1 \(None of type NoneType"
    ) as caught:
        as_images([lesion, *items.values()])
    for text, problem in zip(items, caught.value.problems, strict=True):
        assert text in problem.problem
        assert problem.remedy


def test_closed_pil_file(save, lesion):
    with Image.open(save("a.png", lesion)) as image:
        pass
    with pytest.raises(ImageReadError, match=r"image 0 – damaged PNG file \(.*\) – copy"):
        as_images([image])


def test_batches_in_order(paths, stack):
    source = as_images(paths)[::-1]
    batches = list(source.batches((48, 64), batch_size=4))
    assert [len(batch) for batch in batches] == [4, 2]
    assert np.array_equal(np.concatenate(batches), stack[::-1])
    assert list(source[:0].batches(8)) == []


def test_batches_use_the_fit(stack):
    source = as_images(stack)
    for fit in ("crop", "pad", "squash"):
        (batch,) = source.batches(40, fit, batch_size=6)
        assert np.array_equal(batch[2], _source.fit_image(stack[2], 40, fit))


def test_bad_images_leave_zeros_and_are_raised_at_the_end(save, lesion, encode):
    paths = [save(f"{row:02}.jpg", lesion) for row in range(50)]
    clean = np.concatenate(list(as_images(paths).batches(32, batch_size=8)))
    bad = [0, 3, 8, 9, 31, 48, 49]
    source = as_images(paths)
    for row in bad:
        paths[row].write_bytes(encode(lesion, "JPEG")[:-30])
    seen = []
    with pytest.raises(
        ImageReadError, match=r"images cannot be read: 7 of 50 – .*00\.jpg"
    ) as caught:
        seen.extend(source.batches(32, batch_size=8))
    assert [one.index for one in caught.value.problems] == bad
    assert [one.name for one in caught.value.problems] == [str(paths[row]) for row in bad]
    array = np.concatenate(seen)
    good = np.setdiff1d(np.arange(50), bad)
    assert array.shape == clean.shape
    assert not array[bad].any()
    assert np.array_equal(array[good], clean[good])


def test_a_pass_that_is_given_up_leaves_no_thread(paths):
    before = threading.active_count()
    batches = as_images(paths).batches(16, batch_size=2)
    next(batches)
    batches.close()
    assert threading.active_count() == before


def test_images_are_read_ahead_by_all_cores_but_not_far(paths, monkeypatch):
    """With a slow reader of the batches, a bounded number of images waits."""
    monkeypatch.setattr(_source, "n_threads", lambda: 3)
    readers, together = [], threading.Barrier(3, timeout=30)
    real = _source._Shared.read

    def read(self, position, *args):
        readers.append(threading.get_ident())
        if len(readers) <= 3:
            together.wait()  # passed only where three are read at once
        return real(self, position, *args)

    monkeypatch.setattr(_source._Shared, "read", read)
    source = as_images(paths * 10)
    taken = [(len(readers), batch) for batch in source.batches(32, batch_size=4)]
    assert all(count <= 4 * (at + 3) for at, (count, _) in enumerate(taken))
    assert len(readers) == 60
    whole = np.concatenate([batch for _, batch in taken])
    assert np.array_equal(whole[6:12], whole[:6])
    assert np.array_equal(whole[4], read_image(paths[4], 32))


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ((0,), "size: 0 – it is neither a positive int"),
        ((8, "stretch"), "fit: 'stretch' – not one of "),
        ((8, "crop", 0), "batch_size: 0 – it is not a positive int"),
        ((8, "crop", True), "batch_size: True – "),
        ((8, "crop", 2.0), r"batch_size: 2\.0 – "),
    ],
)
def test_bad_parameters_of_batches_are_refused_at_once(stack, arguments, text):
    with pytest.raises(InputError, match=text):
        as_images(stack).batches(*arguments)


def test_digests_are_of_the_content(save, lesion, encode):
    data = encode(lesion, "PNG")
    digests = as_images([save("a.png", data), save("b.png", data), save("c.png", lesion[::-1])])
    first, second, third = digests.digests
    assert first == second != third
    uint8, floats, turned = (as_images(one[None]).digests[0] for one in (
        lesion, lesion.astype(float), lesion.transpose(1, 0, 2)))  # fmt: skip
    assert uint8 == floats != turned
    flat = np.zeros((1, 10, 20, 3), np.uint8)
    assert as_images(flat).digests != as_images(flat.transpose(0, 2, 1, 3)).digests


def test_digests_are_computed_once_and_shared(paths, monkeypatch):
    read = []
    original = _source.read_bytes
    monkeypatch.setattr(_source, "read_bytes", lambda path: read.append(path) or original(path))
    source = as_images(paths)
    view = source[[5, 0]]
    digests = view.digests
    assert source.digests[::5] == digests[::-1]
    assert source[:3].digests == source.digests[:3]
    assert sorted(read) == paths
    unpickled = pickle.loads(pickle.dumps(view))
    assert unpickled.digests == digests
    assert sorted(read) == paths


def test_reading_gives_the_digest_too(paths, monkeypatch):
    source = as_images(paths)
    list(source.batches(16))
    monkeypatch.setattr(_source, "read_bytes", None)
    assert len(source.digests) == 6


def test_settled_files_are_read_once_for_all_lists(paths, monkeypatch):
    monkeypatch.setattr(_files, "_RACY_NS", -1)
    digests = as_images(paths).digests

    def refuse(*_):
        raise AssertionError("opened again")

    monkeypatch.setattr(os, "open", refuse)
    assert as_images(paths[::-1]).digests == digests[::-1]


def test_files_of_this_moment_are_read_for_every_list(paths, monkeypatch):
    monkeypatch.setattr(_files, "_RACY_NS", 3600 * 10**9)
    _ = as_images(paths).digests
    opened = []
    original = os.open
    monkeypatch.setattr(
        os, "open", lambda path, *rest: opened.append(path) or original(path, *rest)
    )
    _ = as_images(paths).digests
    assert opened == paths * 2


def test_a_file_that_changes_is_seen(paths, stack, save):
    source = as_images(paths)
    old = source.digests
    save("2.png", stack[5])
    with pytest.raises(
        ImageReadError, match=r"2\.png – the file changed .* – call as_images again"
    ):
        source[2]
    with pytest.raises(ImageReadError, match=r"2\.png – the file changed since it was first read"):
        list(source.batches(16))
    fresh = as_images(paths)
    assert fresh.digests[2] == old[5]
    assert np.array_equal(fresh[2], stack[5])


def test_unreadable_files_are_listed_by_digests(paths):
    source = as_images(paths)
    for path in paths[:2]:
        Path(path).unlink()
    with pytest.raises(
        ImageReadError, match=r"2 of 6 – .*0\.png \(there is no such file\), .*1\.png"
    ):
        _ = source.digests
    with pytest.raises(ImageReadError, match=r"0\.png – there is no such file – check the path"):
        source[0]


def test_pickles_are_small_and_complete(paths, stack):
    for images in (paths, stack):
        source = as_images(images)
        view = pickle.loads(pickle.dumps(source[[4, 2]]))
        assert view.names == source[[4, 2]].names
        assert np.array_equal(view[1], stack[2])
        assert view.digests == source[[4, 2]].digests
    many = as_images(np.zeros((500, 16, 16, 3), np.uint8))
    assert len(pickle.dumps(many[:3])) < 5000
    assert len(pickle.dumps(as_images(paths))) < 200 * len(paths)


def test_many_threads_read_one_source(paths, stack):
    source = as_images(paths * 20)
    filters = list(warnings.filters)
    with ThreadPoolExecutor(8) as pool:
        rows = list(range(len(source)))
        arrays = list(pool.map(lambda row: source[row], rows))
        digests = list(pool.map(lambda _: source.digests, range(8)))
    for row, array in zip(rows, arrays, strict=True):
        assert np.array_equal(array, stack[row % 6])
    assert all(one == digests[0] for one in digests)
    assert warnings.filters == filters


def test_needs_neither_keras_nor_scikit_learn():
    script = (
        "import sys, skinensemble.images;"
        "heavy = {'keras', 'tensorflow', 'sklearn', 'pandas', 'scipy'} & set(sys.modules);"
        "sys.exit(str(heavy) if heavy else 0)"
    )
    subprocess.run([sys.executable, "-c", script], check=True, timeout=60)


@pytest.mark.slow
def test_all_of_ham10000(ham10000):
    source = as_images(sorted((ham10000 / "images").glob("*.jpg")))
    assert len(source) == 10_015
    assert len(set(source.digests)) >= 10_010
    shapes = {batch.shape[1:] for batch in source[::10].batches(224)}
    assert shapes == {(224, 224, 3)}
