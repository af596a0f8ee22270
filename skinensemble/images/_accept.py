"""Sort out what a user handed over as images: paths, arrays, PIL images, or a mistake."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

import numpy as np
from PIL import Image

from skinensemble._paths import AS_IMAGE, is_content, refuse_path
from skinensemble.exceptions import InputError, message
from skinensemble.images._files import header_was_read, open_regular, reason_of, remember_header
from skinensemble.images._headers import check_size, open_image
from skinensemble.images._pixels import from_pil, to_uint8
from skinensemble.images._problems import ImageProblem, Unreadable, problem_of

Item = str | np.ndarray | None
Items = Sequence[Item] | np.ndarray
Accepted = tuple[Items, list[str], list[ImageProblem]]
"""The items (a path, uint8 pixels, or None for bad pixels), their names, and what is bad."""


def accept(images: Any, each: bool = False) -> Accepted:
    """Sort out `images`; raise InputError where they are no list of images at all.

    With `each` floats that are all at most 1 are the problem of each image that has such, whatever
    the others of a list are; without, an error where all are such.
    """
    _refuse_single(images)
    if hasattr(images, "__array__") and hasattr(images, "shape"):
        array = np.asarray(images)
        if array.dtype.kind not in "OUST":
            return _accept_stack(array)
        if array.ndim != 1:
            remedy = "pass a list, or a one-dimensional array, of paths"
            raise _no_images(f"an array of {array.dtype} and shape {array.shape}", remedy)
        images = array.tolist()
    if not isinstance(images, Sequence):
        remedy = "pass a list of paths, or an array of shape (n, H, W, 3)"
        raise _no_images(f"an object of type {type(images).__name__}", remedy)
    return _accept_list(images, each)


def _no_images(thing: str, remedy: str) -> InputError:
    return InputError(message("images", thing, "these are no images to choose from", remedy))


def _refuse_single(images: Any) -> None:
    refuse_path(images)
    if isinstance(images, Image.Image):
        why, remedy = "one image; a list of images is expected", "pass [image]"
        raise InputError(message("images", "a PIL image", why, remedy))
    if hasattr(images, "columns") and hasattr(images, "iloc"):
        raise _no_images("a DataFrame", "pass its column of paths, such as X['path']")
    if getattr(images, "shape", None) != () and hasattr(images, "__len__") and not len(images):
        raise InputError(message("images", "none", "the list is empty", "pass at least one image"))


def _accept_stack(array: np.ndarray) -> Accepted:
    """Accept numbers of shape (n, H, W, 3) or (n, H, W, 1)."""
    _check_stack(array)
    names = [f"image {index}" for index in range(len(array))]
    if array.dtype == np.uint8 and array.shape[3] == 3:
        return array, names, []
    _check_scale([array])
    pixels = np.zeros((*array.shape[:3], 3), np.uint8)
    problems = []
    for index, name in enumerate(names):
        try:
            pixels[index] = to_uint8(array[index])
        except Unreadable as error:
            problems.append(problem_of(index, name, error))
    return pixels, names, problems


def _check_stack(array: np.ndarray) -> None:
    shape, remedy = array.shape, "pass an array of shape (n, H, W, 3)"
    if array.ndim == 3 and shape[2] in (1, 3, 4):
        why, remedy = "one image; a stack of images is expected", "pass X[None]"
        raise InputError(message("images", f"an array of shape {shape}", why, remedy))
    if array.ndim == 3:
        remedy = "pass X[..., None] if these are n grey images, X[None, ..., None] for one"
    if array.ndim == 4 and shape[3] == 4:
        remedy = "blend the alpha channel away, or pass PIL images"
    elif array.ndim == 4 and shape[1] in (1, 3) and shape[3] not in (1, 3):
        remedy = "put the channels last: np.moveaxis(X, 1, -1)"
    if array.ndim != 4 or shape[3] not in (1, 3):
        raise _no_images(f"an array of shape {shape}", remedy)
    if array.dtype.kind not in "iuf":
        raise _no_images(f"an array of {array.dtype}", "pass uint8, or floats from 0 to 255")
    try:
        check_size(shape[2], shape[1])
    except Unreadable as error:
        raise InputError(message("images", f"shape {shape}", error.why, error.remedy)) from error


def _check_scale(arrays: Sequence[np.ndarray]) -> None:
    """Refuse floats that are all at most 1: as 0–255 they would be all but black."""
    fault = _dark(arrays)
    if fault:
        raise InputError(message("images", *fault))


def _dark(arrays: Sequence[np.ndarray]) -> tuple[str, str, str] | None:
    floats = [one for one in arrays if one.dtype.kind == "f" and one.size]
    # Neither max nor min would do: what they return depends on where NaN stands.
    if not floats or not np.fmax.reduce([np.fmax.reduce(one, axis=None) for one in floats]) <= 1:
        return None
    low = np.fmin.reduce([np.fmin.reduce(one, axis=None) for one in floats])
    why = "floats are taken as 0–255, so these would all be black"
    remedy = "multiply them by 255: X * 255"
    if low < 0:
        remedy = "undo the normalisation; from −1…1 it is (X + 1) * 127.5"
    return f"floats from {low:g} to at most 1", why, remedy


def _accept_list(images: Sequence, each: bool) -> Accepted:
    items: list[Item] = []
    names: list[str] = []
    problems: list[ImageProblem] = []
    if not each:
        _check_scale([np.asarray(one) for one in images if _is_array(one)])
    for index, one in enumerate(images):
        named = isinstance(one, str | bytes | os.PathLike) and not is_content(one)
        path = os.fsdecode(one) if named else None
        names.append(f"image {index}" if path is None else path)
        try:
            items.append(_accept_one(one, each) if path is None else _accept_path(path))
        except Unreadable as error:
            items.append(path)
            problems.append(problem_of(index, names[-1], error))
    return items, names, problems


def _is_array(one: Any) -> bool:
    return hasattr(one, "__array__") and hasattr(one, "shape") and hasattr(one, "dtype")


def _accept_path(path: str) -> str:
    if header_was_read(path):
        return path
    file, signature = open_regular(path)
    with file:
        try:
            open_image(file)
        except OSError as error:
            raise Unreadable(reason_of(error), "copy the file again") from error
    remember_header(signature)
    return path


def _accept_one(one: Any, alone: bool) -> np.ndarray:
    if isinstance(one, Image.Image):
        return np.array(from_pil(one))
    if is_content(one):
        raise Unreadable("the content of a file, not its path", AS_IMAGE)
    if not _is_array(one):
        shown = f"{repr(one)[:40]} of type {type(one).__name__}, not an image"
        raise Unreadable(shown, "pass a path, an array or a PIL image")
    fault = _dark([np.asarray(one)]) if alone else None
    if fault:
        thing, why, remedy = fault
        raise Unreadable(f"{thing}: {why}", remedy)
    return to_uint8(np.asarray(one))
