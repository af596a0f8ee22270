from __future__ import annotations

import io
import tracemalloc

import numpy as np
import pytest
from PIL import Image

from skinensemble.datasets import load_ham10000, make_lesions
from skinensemble.exceptions import InputError
from skinensemble.images import as_images, dihedral, near_copies
from skinensemble.images._near_copies import _alike


def again(image: np.ndarray, quality: int = 75, side: int | None = None) -> np.ndarray:
    """An image as it is after it was saved as a JPEG, made smaller first."""
    file, picture = io.BytesIO(), Image.fromarray(image)
    if side is not None:
        picture = picture.resize((side, side), Image.Resampling.LANCZOS)
    picture.save(file, "JPEG", quality=quality)
    return np.asarray(Image.open(file))


def other_colours(image: np.ndarray) -> np.ndarray:
    gain = np.array([0.9, 0.95, 1.0])
    return (image * gain + [10, 5, 0]).clip(0, 255).astype(np.uint8)


COPIES = {
    "equal": np.copy,
    "quality 30": lambda image: again(image, 30),
    "half": lambda image: again(image, side=64),
    "50 pixels": lambda image: again(image, side=50),
    "other colours": other_colours,
    **{f"view {k}": lambda image, k=k: dihedral(image[None], k)[0] for k in range(1, 8)},
}


@pytest.fixture(scope="module")
def lesions():
    return np.asarray(make_lesions(60, images_per_lesion=1, random_state=0).images)


@pytest.mark.parametrize("copy", COPIES.values(), ids=COPIES)
def test_every_copy_is_found_and_nothing_else(lesions, copy):
    rows = np.arange(0, 60, 3)
    images = [*lesions, *(copy(lesions[row]) for row in rows)]
    found = near_copies(images)
    assert [(pair.first, pair.second) for pair in found] == [
        (row, 60 + at) for at, row in enumerate(rows.tolist())
    ]
    assert all(0.99 <= pair.correlation <= 1 + 1e-6 for pair in found)


def test_correlations_are_those_of_numpy(lesions):
    images = [*lesions[:8], again(lesions[3], 20)]
    (pair,) = near_copies(images)
    small = np.asarray(images)[[pair.first, pair.second]] @ [0.299, 0.587, 0.114]
    by_hand = small.reshape(2, 16, 8, 16, 8).mean(axis=(2, 4)).reshape(2, -1)
    assert pair.correlation == pytest.approx(np.corrcoef(by_hand)[0, 1], abs=1e-3)


def test_images_of_one_colour_are_copies_of_none(lesions):
    plain = np.full((3, 32, 32, 3), 90, np.uint8)
    assert near_copies(plain) == near_copies([lesions[0], *plain]) == []


@pytest.mark.parametrize("wrong", [0, 1, -0.5, np.nan, "0.9", None])
def test_a_correlation_that_is_none(lesions, wrong):
    with pytest.raises(InputError, match=r"min_correlation: .* – not a number between 0 and 1 –"):
        near_copies(lesions[:2], min_correlation=wrong)


def test_images_that_are_all_alike_are_refused():
    rim = np.zeros((600, 32, 32, 3), np.uint8)
    rim[:, 8:24, 8:24] = 180
    rim[np.arange(600), 16, 16] = np.arange(600)[:, None] % 256
    assert len(near_copies(rim[:20])) == 190
    with pytest.raises(InputError, match=r"copies: more than 100,000 pairs – .* – crop them, or a"):
        near_copies(rim)


@pytest.mark.slow
def test_of_two_thousand_lesions_all_copies_are_found_and_few_others():
    lesions = np.asarray(make_lesions(2000, images_per_lesion=1, size=64, random_state=1).images)
    rng = np.random.default_rng(0)
    rows = rng.choice(2000, 400, replace=False)
    quality, side, view = (
        rng.integers(*ends, 400).tolist() for ends in ((40, 95), (32, 64), (0, 8))
    )
    copies = map(again, lesions[rows], quality, side)
    turned = [dihedral(copy[None], k)[0] for copy, k in zip(copies, view, strict=True)]
    found = {(pair.first, pair.second) for pair in near_copies([*lesions, *turned])}
    expected = set(zip(rows.tolist(), range(2000, 2400), strict=True))
    assert len(expected & found) >= 0.99 * len(expected)
    assert len(found - expected) <= 0.001 * 2000


@pytest.mark.slow
def test_ham10000_has_one_photograph_under_two_names(ham10000):
    data = load_ham10000(ham10000)
    pairs = [(a, b) for a, b, _ in near_copies(data.images) if data.groups[a] != data.groups[b]]
    assert [{data.frame["image_id"][row] for row in pair} for pair in pairs] == [
        {"ISIC_0025226", "ISIC_0030074"}
    ]


def test_no_images_have_no_copies():
    images = make_lesions(2, random_state=0).images
    assert near_copies(as_images(images)[[]]) == []


def test_too_many_pairs_take_little_memory():
    same = np.repeat(np.random.default_rng(0).uniform(size=(1, 16, 16, 1)), 1000, axis=0)
    tracemalloc.start()
    with pytest.raises(InputError, match=r"copies: more than 100,000 pairs"):
        list(_alike(same.astype(np.float32), 0.99))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 20e6
