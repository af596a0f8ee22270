"""Bring an image to the size a network wants, without distorting it unasked."""

from __future__ import annotations

from collections.abc import Sequence
from numbers import Integral

import numpy as np
from PIL import Image

from skinensemble.exceptions import InputError, check_choice, message
from skinensemble.images._pixels import from_pil
from skinensemble.images._problems import Unreadable
from skinensemble.images._structure import MAX_PIXELS

FITS = ("crop", "pad", "squash")


def fit_image(
    image: np.ndarray | Image.Image, size: int | tuple[int, int], fit: str = "crop"
) -> np.ndarray:
    """Bring one image to a given size.

    Parameters
    ----------
    image : uint8 ndarray of shape (H, W, 3), or PIL image
        PIL images of any mode become upright RGB first, as :func:`read_image` does it.
    size : int or (height, width)
        Size wanted, in pixels; an int stands for a square.
    fit : {"crop", "pad", "squash"}, default="crop"
        What happens when the aspect ratio differs: ``"crop"`` scales the image until it covers
        the size and cuts the edges off evenly, ``"pad"`` scales it until it lies within the size
        and fills the rest with black, ``"squash"`` stretches it. Scaling is bicubic, with
        antialiasing when it shrinks.

    Returns
    -------
    uint8 ndarray of shape (height, width, 3)
        `image` itself where it has that size already.

    Raises
    ------
    InputError
        When `size` or `fit` is none of the above, or `image` is not one RGB image.

    Examples
    --------
    >>> import numpy as np
    >>> wide = np.zeros((60, 100, 3), np.uint8) + 200
    >>> fit_image(wide, 40).shape
    (40, 40, 3)
    >>> fit_image(wide, (50, 50), "pad")[0, 0], fit_image(wide, (50, 50), "pad")[25, 25]
    (array([0, 0, 0], dtype=uint8), array([200, 200, 200], dtype=uint8))
    """
    wanted = checked_size(size)
    check_fit(fit)
    if isinstance(image, Image.Image):
        try:
            return np.array(fit_pil(from_pil(image), wanted, fit))
        except Unreadable as error:
            text = message("image", "a PIL image", error.why, error.remedy)
            raise InputError(text) from error
    array = np.asarray(image)
    if array.dtype != np.uint8 or array.ndim != 3 or array.shape[2] != 3 or not array.size:
        shown = f"{array.dtype} of shape {array.shape}"
        remedy = "pass uint8 of shape (H, W, 3)"
        raise InputError(message("image", shown, "it is not one RGB image", remedy))
    if array.shape[:2] == wanted:
        return array
    return np.array(fit_pil(Image.fromarray(array), wanted, fit))


def checked_size(size: int | Sequence[int]) -> tuple[int, int]:
    """Return (height, width) of a size parameter, or say what it has to be."""
    pair = (size, size) if isinstance(size, Integral) else size
    good = isinstance(pair, Sequence | np.ndarray) and len(pair) == 2 and not _is_bool(size)
    if not good or any(not isinstance(one, Integral) or one < 1 for one in pair):  # type: ignore[union-attr]
        why = "it is neither a positive int nor (height, width)"
        raise InputError(message("size", repr(size), why, "pass e.g. 224 or (224, 224)"))
    height, width = map(int, pair)  # type: ignore[arg-type]
    if height * width > MAX_PIXELS:
        why = f"more than {MAX_PIXELS / 1e6:.0f} million pixels"
        raise InputError(message("size", repr(size), why, "pass e.g. 224 or (224, 224)"))
    return height, width


def check_fit(fit: str) -> None:
    """Refuse a fit that does not exist."""
    check_choice("fit", fit, FITS)


def decoded_size(width: int, height: int, wanted: tuple[int, int], fit: str) -> tuple[int, int]:
    """Return the (width, height) that a decoder has to deliver at least for `wanted`."""
    if fit == "pad":
        return _inside(width, height, wanted)
    return wanted[1], wanted[0]


def fit_pil(image: Image.Image, wanted: tuple[int, int], fit: str) -> Image.Image:
    """Do what :func:`fit_image` promises to an RGB image whose parameters are sound."""
    (height, width), bicubic = wanted, Image.Resampling.BICUBIC
    if image.size == (width, height):
        return image
    if fit == "squash":
        return image.resize((width, height), bicubic)
    if fit == "pad":
        inner = image.resize(_inside(*image.size, wanted), bicubic)
        outer = Image.new("RGB", (width, height))
        outer.paste(inner, ((width - inner.width) // 2, (height - inner.height) // 2))
        return outer
    box = _crop_box(*image.size, wanted)
    if (box[2] - box[0], box[3] - box[1]) == (width, height):
        return image.crop((int(box[0]), int(box[1]), int(box[2]), int(box[3])))
    return image.resize((width, height), bicubic, box=box)


def _inside(width: int, height: int, wanted: tuple[int, int]) -> tuple[int, int]:
    factor = min(wanted[0] / height, wanted[1] / width)
    return max(1, round(width * factor)), max(1, round(height * factor))


def _crop_box(
    width: int, height: int, wanted: tuple[int, int]
) -> tuple[float, float, float, float]:
    cut_width = min(width, height * wanted[1] / wanted[0])
    cut_height = min(height, width * wanted[0] / wanted[1])
    left, top = (width - cut_width) / 2, (height - cut_height) / 2
    if (cut_height, cut_width) == wanted:
        # Half a pixel off would blur an image that needs no scaling.
        left, top = left // 1, top // 1
    return left, top, left + cut_width, top + cut_height


def _is_bool(value: object) -> bool:
    return isinstance(value, bool | np.bool_)
