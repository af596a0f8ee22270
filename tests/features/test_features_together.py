from __future__ import annotations

import warnings
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline

from skinensemble import CollapsedMember, TransferClassifier
from skinensemble.committee import FoldMembers, _folds, prepare_all
from skinensemble.exceptions import ImageReadError
from skinensemble.features import (
    BackboneFeatures,
    FeatureStore,
    StoreWarning,
    _activations,
    _together,
)
from skinensemble.features._memory import EACH
from skinensemble.images import _files, _source, as_images
from skinensemble.images._decoded import LastDecoded

N, CHUNK = 40, 8


@pytest.fixture
def paths(tmp_path):
    """Files, the last of which is a copy of the first."""
    pixels = np.random.default_rng(0).integers(0, 256, (N, 40, 40, 3), dtype=np.uint8)
    pixels[-1] = pixels[0]
    files = [str(tmp_path / f"{row:02d}.png") for row in range(N)]
    for file, image in zip(files, pixels, strict=True):
        Image.fromarray(image).save(file)
    return files


@pytest.fixture
def decoded(monkeypatch):
    """How often each file was decoded, where the last 16 images are kept."""
    times: Counter[bytes] = Counter()
    real = _source.decode

    def count(data, *args):
        times[data] += 1
        return real(data, *args)

    monkeypatch.setattr(_source, "decode", count)
    kept = LastDecoded(16 * 32 * 32 * 3)
    monkeypatch.setattr(_source, "last_decoded", kept)
    monkeypatch.setattr(_together, "last_decoded", kept)
    monkeypatch.setattr(_together, "_MOST", 100)
    monkeypatch.setattr(_together, "_AHEAD", 16 - CHUNK)
    # Files as new as these may change without a sign of it.
    monkeypatch.setattr(_files, "_RACY_NS", -(2**62))
    return times


def members(store, **options):
    """A transformer, a classifier and one of sides, each with a network of its own."""
    own = {"backbone": "tiny_features", "weights": None, "store": store} | options
    other = {**own, "image_size": (32, 36)} | options
    return [
        make_pipeline(BackboneFeatures(**own), LogisticRegression()),
        TransferClassifier(**own, pooling="max"),
        CollapsedMember(TransferClassifier(**other)),
        CollapsedMember(TransferClassifier(**other, pooling="max")),
    ]


def test_images_are_decoded_once_for_all_networks_of_one_size(tiny, paths, decoded):
    store = FeatureStore()
    source = prepare_all(members(store), paths)
    assert len(decoded) == N - 1  # the copy is the same content
    assert set(decoded.values()) == {2}  # once for each of the two sizes
    assert len(store) == 4 * (N - 1)
    alone = FeatureStore()
    for member in members(alone):
        prepare_all([member], paths)
    for both in zip(_bodies(members(store)), _bodies(members(alone)), strict=True):
        np.testing.assert_array_equal(*(one.frozen_features().transform(source) for one in both))


def _bodies(steps):
    return [step.steps[0][1] if hasattr(step, "steps") else step for step in steps]


def test_what_a_store_knows_already_is_not_computed(tiny, paths, decoded, passed):
    first, second, *_ = members(FeatureStore())
    prepare_all([first, second], paths[:30])
    decoded.clear()
    prepare_all([first, second], paths)
    assert sorted(decoded.values()) == [1] * (N - 1 - 30)


@pytest.mark.parametrize("where", ["memory", "disk"])
def test_all_that_cannot_be_read_are_named_copies_too(tiny, paths, decoded, where, tmp_path):
    store = FeatureStore(None if where == "memory" else tmp_path / "store")
    damaged = bytearray(Path(paths[0]).read_bytes())
    damaged[2000] ^= 255
    for row in (20, N - 1):
        Path(paths[row]).write_bytes(damaged)
    with pytest.raises(ImageReadError, match=r"2 of 40 – .*20\.png .*, .*39\.png ") as error:
        prepare_all(members(store)[:2], as_images(paths))
    assert [problem.index for problem in error.value.problems] == [20, N - 1]
    assert [problem.name for problem in error.value.problems] == [paths[20], paths[N - 1]]
    # The first network had all others before it was told; the second has what came before that.
    first, second = (member.frozen_features() for member in _bodies(members(store)[:2]))
    extractor = first.work()[0]
    assert store.missing(extractor.key(), as_images(paths).digests).sum() == 2
    assert store.missing(second.work()[0].key(), as_images(paths).digests).sum() > 2


@pytest.mark.parametrize("spare", [0, -1])
def test_a_store_that_would_forget_is_filled_by_one_after_the_other(tiny, paths, decoded, spare):
    needed = _together._SPARE * 2 * N * (16 * 4 + EACH)
    store = FeatureStore(max_bytes=needed + spare)
    # A third head on a network that is there needs no room.
    steps = [*members(store)[:2], members(store)[1]]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", StoreWarning)
        prepare_all(steps, paths)
    # Threads do not decode in order, so a few may still be kept when the second network comes.
    assert decoded.total() == N - 1 if spare == 0 else decoded.total() > 1.5 * N


def test_images_too_large_to_be_kept_are_decoded_for_each(tiny, paths, decoded):
    steps = members(FeatureStore(), image_size=(64, 64))[:2]
    prepare_all(steps, paths)
    assert decoded.total() > 1.5 * N


@pytest.mark.parametrize("n", [CHUNK, CHUNK + 1])
def test_it_says_how_far_all_of_them_are(tiny, paths, decoded, n, capsys):
    prepare_all(members(FeatureStore(), verbose=1)[:2], paths[:n])
    lines = capsys.readouterr().out.splitlines()
    names = [line.split(":")[0] for line in lines]
    together = ["tiny_features + tiny_features"]
    assert names == (["tiny_features"] * 2 if n == CHUNK else together)
    assert f": {2 * n} images, " in lines[0] or n == CHUNK


class Looks(ClassifierMixin, BaseEstimator):
    """It has to see the images, and says nothing about them."""

    classes_ = np.array(["a", "b"])

    def predict_proba(self, X):
        BackboneFeatures("tiny_features", weights=None, store=FeatureStore()).fit_transform(X)
        return np.full((len(X), 2), 0.5)


def test_folds_that_are_asked_in_parts_name_all_that_cannot_be_read(tiny, paths, monkeypatch):
    monkeypatch.setattr(_folds, "_CHUNK", CHUNK)
    for row in (3, 20, 21):
        Path(paths[row]).write_bytes(Path(paths[row]).read_bytes()[:2000])
    folds = FoldMembers.of(Looks(), [Looks()], ["a", "b"])
    with pytest.raises(ImageReadError, match="3 of 40") as error:
        folds.predict_proba(as_images(paths))
    assert [problem.index for problem in error.value.problems] == [3, 20, 21]


@pytest.mark.parametrize("way", ["folds", "activations"])
def test_what_is_read_in_parts_names_all_that_cannot_be_read(tiny, paths, way, monkeypatch):
    monkeypatch.setattr(_folds, "_CHUNK", CHUNK)
    monkeypatch.setattr(_activations, "_ROWS", CHUNK)
    for row in (3, 20, 21):
        damaged = bytearray(Path(paths[row]).read_bytes())
        damaged[2000] ^= 255
        Path(paths[row]).write_bytes(damaged)
    options = {"unfreeze": 1, "views": 2} if way == "activations" else {}
    member = TransferClassifier("tiny_features", weights=None, store=FeatureStore(), **options)
    who = member if way == "activations" else FoldMembers.of(member, [member] * 2, ["a", "b"])
    with pytest.raises(ImageReadError, match="3 of 40") as error:
        who.prepare(as_images(paths))
    assert [problem.index for problem in error.value.problems] == [3, 20, 21]


def test_of_members_that_are_tuned_there_are_no_features(tiny):
    tuned = TransferClassifier("tiny_features", weights=None, unfreeze=1)
    assert not hasattr(tuned, "frozen_features")
    assert not hasattr(CollapsedMember(tuned), "frozen_features")
    assert not hasattr(CollapsedMember(LogisticRegression()), "frozen_features")
