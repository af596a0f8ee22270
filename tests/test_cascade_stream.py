"""A stream of images is answered in order and in constant memory, whatever some of them are."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from threading import Barrier, get_ident

import numpy as np
import pytest
from PIL import Image
from tiny_backbone import TINY

from skinensemble import (
    BackboneFeatures,
    Cascade,
    FeatureStore,
    Stage,
    TransferClassifier,
    config_context,
    get_config,
    load,
)
from skinensemble.committee import _ask
from skinensemble.exceptions import CalibrationWarning, InputError
from skinensemble.features import Extractor, default_store, temporary_store
from skinensemble.images import as_images

HEAD = {"units": (4,), "epochs": 6, "batch_size": 16, "learning_rate": 0.05, "random_state": 0}


@pytest.fixture(scope="module")
def cascade():
    rng = np.random.default_rng(0)
    y = np.repeat(["bkl", "mel", "nv"], 16)
    shade = np.repeat([[200, 60, 60], [60, 200, 60], [60, 60, 200]], 16, axis=0)
    X = (shade[:, None, None] + rng.integers(-50, 50, (48, 32, 32, 3))).astype(np.uint8)
    members = [
        ("one", TransferClassifier(**TINY | HEAD)),
        ("same", TransferClassifier(**TINY | HEAD | {"random_state": 1})),
        ("twin", TransferClassifier(**TINY | HEAD | {"backbone": "tiny_twin"})),
    ]
    stage = Stage(members, cv=2)
    return Cascade(stage, malignant=["mel"], random_state=0).fit(X, y, groups=np.arange(48) // 2)


@pytest.fixture
def paths(tmp_path):
    images = np.random.default_rng(1).integers(0, 256, (50, 40, 36, 3), dtype=np.uint8)
    found = [str(tmp_path / f"{at:02}.png") for at in range(50)]
    for path, image in zip(found, images, strict=True):
        Image.fromarray(image).save(path)
    return found


@pytest.fixture
def passes(monkeypatch):
    counted: Counter = Counter()
    real = Extractor._predict

    def count(self, batch):
        counted.update((self.name, image.tobytes()) for image in batch if image.any())
        return real(self, batch)

    monkeypatch.setattr(Extractor, "_predict", count)
    return counted


@pytest.mark.parametrize("chunk_size", [1, 7, 256])
def test_it_answers_what_the_methods_answer(cascade, paths, chunk_size):
    found = list(cascade.predict_stream(iter(paths), chunk_size=chunk_size))
    assert [one.index for one in found] == list(range(50))
    assert [one.name for one in found] == paths
    assert {one.status for one in found} == {"ok"}
    expected = cascade.predict_proba(paths)
    np.testing.assert_allclose([one.proba for one in found], expected, atol=1e-6)
    assert [one.verdict.answer for one in found] == [v.answer for v in cascade.verdicts(paths)]


def test_bad_images_keep_their_place_and_change_nothing(cascade, paths):
    clean = list(cascade.predict_stream(paths, chunk_size=20))
    bad = [0, 3, 4, 21, 22, 40, 49]
    for file in map(Path, (paths[row] for row in bad[:3])):
        file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])
    for row in bad[3:5]:
        Path(paths[row]).write_bytes(b"")
    given = [path if row not in bad[5:] else "no/such.png" for row, path in enumerate(paths)]
    found = list(cascade.predict_stream(given, chunk_size=20))
    assert [one.name for one in found] == given
    assert [at for at, one in enumerate(found) if one.status != "ok"] == bad
    assert found[0].status == "the PNG file is cut off"
    assert found[21].status == "the file is empty"
    assert found[49].status == "there is no such file"
    for row, (one, other) in enumerate(zip(found, clean, strict=True)):
        if row in bad:
            assert one.verdict is None and one.proba is None
        else:
            np.testing.assert_allclose(one.proba, other.proba, atol=1e-7)
            assert one.verdict.answer == other.verdict.answer


@pytest.mark.parametrize("chunk_size", [1, 3, 9])
def test_floats_that_are_all_but_black_keep_their_place_whatever_is_beside_them(
    cascade, paths, chunk_size
):
    bright = np.full((32, 32, 3), 200.0)
    images = [bright, np.zeros((32, 32, 3)), bright / 255, paths[0], bright, -bright / 255]
    found = list(cascade.predict_stream(images, chunk_size=chunk_size))
    assert [one.status == "ok" for one in found] == [True, False, False, True, True, False]
    assert [one.verdict is None for one in found] == [False, True, True, False, False, True]
    why = "floats are taken as 0–255, so these would all be black"
    assert found[2].status == f"floats from 0.784314 to at most 1: {why}"


def test_a_source_that_fails_is_answered_as_far_as_it_came(cascade, paths):
    def source():
        yield from paths[:7]
        raise OSError("the disk is away")

    found = []
    with pytest.raises(OSError, match="the disk is away"):
        for one in cascade.predict_stream(source(), chunk_size=5):
            found.append(one)
    assert [one.index for one in found] == list(range(7))
    assert {one.status for one in found} == {"ok"}


def test_nothing_but_bad_images(cascade):
    found = list(cascade.predict_stream(["no/such.png", "nor/this.png"]))
    assert [one.status for one in found] == ["there is no such file"] * 2


@pytest.mark.parametrize("engine", ["keras", "openvino"])
def test_each_image_passes_each_backbone_once(cascade, paths, passes, engine, tmp_path):
    cascade.save(tmp_path / "c.h5")
    with config_context(engine=engine):
        list(load(tmp_path / "c.h5").predict_stream(paths, chunk_size=20))
    ours = {image.tobytes() for image in np.concatenate([*as_images(paths).batches(32)])}
    found = {key: number for key, number in passes.items() if key[1] in ours}
    assert set(found.values()) == {1}
    assert Counter(name for name, _ in found) == {"tiny_transfer": 50, "tiny_twin": 50}


@pytest.mark.parametrize("route", ["soft", "hard"])
def test_no_member_is_asked_twice(cascade, paths, route, monkeypatch, tmp_path):
    cascade.save(tmp_path / "c.h5")
    own = load(tmp_path / "c.h5").set_params(route=route)
    expected = own.predict_proba(paths), own.verdicts(paths)
    asked, real = [], TransferClassifier.predict_proba
    monkeypatch.setattr(
        TransferClassifier, "predict_proba", lambda self, X: asked.append(len(X)) or real(self, X)
    )
    found = list(own.predict_stream(paths))
    later = 50 if route == "soft" else sum(one.malignant for one in expected[1])
    assert asked == [50] * 3 + [later] * 3
    np.testing.assert_allclose([one.proba for one in found], expected[0], atol=1e-6)
    assert [one.verdict.answer for one in found] == [one.answer for one in expected[1]]


def test_one_image_is_shown_to_several_networks_at_once(cascade, paths, monkeypatch):
    expected = next(cascade.predict_stream(paths)).proba
    together, real, threads = Barrier(2, timeout=30), BackboneFeatures.prepare, set()

    def prepare(self, X):
        threads.add(get_ident())
        together.wait()  # breaks where members come one after the other
        return real(self, X)

    monkeypatch.setattr(_ask, "n_threads", lambda: 2)
    monkeypatch.setattr(BackboneFeatures, "prepare", prepare)
    (found,) = cascade.predict_stream(paths[:1])
    assert len(threads) == 2  # and no more than there are cores
    np.testing.assert_allclose(found.proba, expected, atol=1e-6)


def test_memory_does_not_grow_and_reading_is_lazy(cascade):
    taken = []

    def endless():
        rng = np.random.default_rng(0)
        while True:
            taken.append(1)
            yield rng.integers(0, 256, (40, 32, 3), dtype=np.uint8)

    before = len(default_store())
    answers = cascade.predict_stream(endless(), chunk_size=5)
    assert not taken
    found = [next(answers) for _ in range(12)]
    assert len(taken) == 15
    assert found[11].name == "image 11"
    assert len(default_store()) == before


def test_sources_and_stacks_are_streams_too(cascade, paths):
    source = as_images(paths)
    from_source = list(cascade.predict_stream(source[::-1], chunk_size=16))
    assert [one.name for one in from_source] == paths[::-1]
    stack = np.stack([source[at] for at in range(20)])
    from_stack = list(cascade.predict_stream(stack, chunk_size=16))
    assert [one.name for one in from_stack] == [f"image {at}" for at in range(20)]
    np.testing.assert_allclose(from_stack[17].proba, from_source[-18].proba, atol=1e-6)


def test_what_cannot_be_asked_of_a_stream(cascade, paths):
    text = r"prevalence: 'estimate' – it is estimated from all images at once – pass a share"
    with pytest.raises(InputError, match=text), pytest.warns(CalibrationWarning):
        cascade.predict_stream(paths, prevalence="estimate")
    with pytest.raises(InputError, match=r"chunk_size: 0 – not a positive int – pass 256"):
        cascade.predict_stream(paths, chunk_size=0)
    with pytest.warns(CalibrationWarning, match="the cascade is not calibrated"):
        stream = cascade.predict_stream(paths, prevalence=0.01, chunk_size=8)
    lower = next(stream).verdict.p_malignant
    assert lower < next(cascade.predict_stream(paths)).verdict.p_malignant


def test_the_engine_is_that_of_the_call(cascade, paths, monkeypatch):
    used, real = [], Extractor._make_runner

    def note(self):
        used.append(get_config()["engine"])
        return real(self)

    monkeypatch.setattr(Extractor, "_make_runner", note)
    with config_context(engine="auto"):
        stream = cascade.predict_stream(paths[:4], chunk_size=2)
    assert len(list(stream)) == 4
    assert set(used) == {"auto"}


def test_a_temporary_store_ends_with_its_block():
    usual = default_store()
    with temporary_store(max_bytes=99) as store:
        assert default_store() is store
        assert store.max_bytes == 99
        with temporary_store() as inner:
            assert default_store() is inner
        assert default_store() is store
    assert default_store() is usual
    assert isinstance(usual, FeatureStore)


def test_an_early_exit_gives_the_same_verdicts_with_fewer_passes(cascade, paths, passes):
    full = list(cascade.predict_stream(paths, chunk_size=20))
    all_passes = passes.total()
    passes.clear()
    Path(paths[7]).write_bytes(b"")
    early = list(cascade.predict_stream(paths, chunk_size=20, early_exit=True))
    assert early[7].status == "the file is empty"
    assert early[7].verdict is None
    for one, other in zip(full[:7] + full[8:], early[:7] + early[8:], strict=True):
        assert (other.name, other.status, other.proba) == (one.name, "ok", None)
        assert other.verdict.early
        assert other.verdict.answer == one.verdict.answer
        assert other.verdict.diagnosis == one.verdict.diagnosis
    # Who is not asked runs no network: the second one sees only images that are still open.
    needed = sum(
        "twin" in one.verdict.triage_votes or "twin" in one.verdict.diagnosis_votes
        for one in early
        if one.verdict
    )
    assert needed < 49
    assert passes.total() == 49 + needed < all_passes


ONE = np.zeros((9, 9, 3), np.uint8)


@pytest.mark.parametrize("images", ["one.png", Path("one.png"), None, 5, ONE])
def test_what_cannot_be_taken_one_by_one_is_refused(cascade, images):
    with pytest.raises(InputError, match=r"images: .* – not images one by one – pass "):
        cascade.predict_stream(images)
