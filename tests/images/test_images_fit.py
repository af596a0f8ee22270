"""Sizes are as asked for, and nothing is distorted unasked."""

from __future__ import annotations

import io

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from skinensemble.exceptions import InputError
from skinensemble.images import as_images, fit_image

SIDE = st.integers(8, 90)


def ramps(height, width):
    """Red rises by 2 a pixel to the right, green by 2 a pixel downwards, blue is 200."""
    y, x = np.mgrid[:height, :width]
    return np.stack([2 * x, 2 * y, np.full_like(x, 200)], axis=-1).astype(np.uint8)


@given(SIDE, SIDE, SIDE, SIDE, st.sampled_from(["crop", "pad", "squash"]))
def test_size_is_as_asked(height, width, new_height, new_width, fit):
    array = fit_image(ramps(height, width), (new_height, new_width), fit)
    assert array.shape == (new_height, new_width, 3)
    assert array.dtype == np.uint8


@given(SIDE, SIDE, SIDE, SIDE)
def test_crop_keeps_the_aspect_and_the_centre(height, width, new_height, new_width):
    array = fit_image(ramps(height, width), (new_height, new_width)).astype(float)
    assert (array[:, :, 2] == 200).all()
    scale = max(new_height / height, new_width / width)
    y, x = np.mgrid[:new_height, :new_width]
    expected_x = 2 * (((x + 0.5 - new_width / 2) / scale) + width / 2 - 0.5)
    expected_y = 2 * (((y + 0.5 - new_height / 2) / scale) + height / 2 - 0.5)
    # Half a pixel (1 grey level) of centring, rounding, and the filter's reach at the edges.
    inner = slice(3, -3)
    room = 2.6 if scale >= 0.5 else 3.5 / scale
    assert np.abs(array[inner, inner, 0] - expected_x[inner, inner]).max(initial=0) <= room
    assert np.abs(array[inner, inner, 1] - expected_y[inner, inner]).max(initial=0) <= room


@given(SIDE, SIDE, SIDE, SIDE)
def test_pad_shows_everything_and_fills_with_black(height, width, new_height, new_width):
    array = fit_image(np.full((height, width, 3), 200, np.uint8), (new_height, new_width), "pad")
    assert set(np.unique(array)) <= {0, 200}
    shown = array[:, :, 0] == 200
    rows, columns = shown.any(axis=1).sum(), shown.any(axis=0).sum()
    assert rows == new_height or columns == new_width
    assert abs(rows / height - columns / width) <= 1 / min(height, width)
    assert shown.sum() == rows * columns


def test_crop_without_scaling_copies_pixels():
    array = ramps(60, 81)
    assert np.array_equal(fit_image(array, 60), array[:, 10:70])
    assert fit_image(array, (60, 81)) is array


def test_squash_stretches():
    array = fit_image(ramps(30, 60), 30, "squash").astype(int)
    assert abs(np.diff(array[15, 5:25, 0]).mean() - 4) < 0.2
    assert abs(np.diff(array[5:25, 15, 1]).mean() - 2) < 0.2


def test_pil_images_become_rgb():
    image = Image.new("LA", (20, 10), (100, 0))
    assert (fit_image(image, 8) == 255).all()


def test_pil_images_become_upright(encode):
    exif = Image.Exif()
    exif[274] = 6
    data = encode(ramps(20, 40), "JPEG", quality=95, exif=exif)
    upright = as_images([Image.open(io.BytesIO(data))])[0]
    assert upright.shape == (40, 20, 3)
    assert np.array_equal(fit_image(Image.open(io.BytesIO(data)), (40, 20)), upright)


def test_pil_images_that_cannot_be_taken(encode):
    data = encode(ramps(80, 80), "JPEG")
    with pytest.raises(InputError, match=r"image: a PIL image – damaged JPEG file .* – copy"):
        fit_image(Image.open(io.BytesIO(data[:-300])), 8)
    frames = io.BytesIO()
    first, second = (Image.fromarray(ramps(20, 20) + one) for one in (0, 9))
    first.save(frames, "GIF", save_all=True, append_images=[second])
    with pytest.raises(InputError, match=r"it has 2 frames – pass one frame: image\.copy\(\)"):
        as_images([Image.open(frames)])
    assert len(as_images([Image.open(frames).copy()])) == 1


@pytest.mark.parametrize(
    "size", [0, -1, 2.5, True, "224", None, (224,), (1, 2, 3), (0, 4), (4.0, 4)]
)
def test_bad_size(size):
    with pytest.raises(
        InputError, match=r"size: .* – it is neither a positive int nor \(height, w"
    ):
        fit_image(ramps(20, 20), size)


@pytest.mark.parametrize("size", [10**6, (10**9, 1)])
def test_a_size_that_no_image_may_have(size):
    with pytest.raises(InputError, match=r"size: .* – more than 100 million pixels – pass e\.g\."):
        fit_image(ramps(20, 20), size)


def test_bad_fit_and_bad_image():
    with pytest.raises(InputError, match=r"fit: 'stretch' – not one of 'crop', 'pad', 'squash' – "):
        fit_image(ramps(20, 20), 8, "stretch")
    with pytest.raises(InputError, match=r"image: float64 of shape \(9, 9\) – .* pass uint8"):
        fit_image(np.zeros((9, 9)), 8)
    with pytest.raises(InputError, match=r"uint8 of shape \(0, 9, 3\) – it is not one RGB image"):
        fit_image(np.zeros((0, 9, 3), np.uint8), 8)
    with pytest.raises(
        InputError, match=r"image: a PIL image – its pixels are of mode F, .* export"
    ):
        fit_image(Image.new("F", (9, 9)), 8)
