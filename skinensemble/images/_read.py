"""Decode one image file: upright, 8-bit RGB, at the size that is wanted."""

from __future__ import annotations

import io
import os

import numpy as np
from PIL import Image
from PIL.JpegImagePlugin import JpegImageFile
from PIL.TiffImagePlugin import TiffImageFile

from skinensemble.exceptions import InputError, message
from skinensemble.images._files import read_bytes
from skinensemble.images._fit import check_fit, checked_size, decoded_size, fit_pil
from skinensemble.images._headers import open_image, sniff, undecodable
from skinensemble.images._pixels import LYING, WHITE, Color, load_pixels, to_rgb, turn_of
from skinensemble.images._problems import Unreadable, problem_of, read_error
from skinensemble.images._structure import check_jpeg_end, check_png_whole


def read_image(
    file: str | os.PathLike[str],
    size: int | tuple[int, int] | None = None,
    *,
    fit: str = "crop",
    background: Color = WHITE,
) -> np.ndarray:
    """Read one image file as upright 8-bit RGB.

    JPEG, PNG, BMP, TIFF and WebP are told by their content, not by their name. The EXIF
    orientation is applied; grey, 1-bit, palette and CMYK images become RGB; 16-bit grey is
    scaled to 8 bits; colour profiles are ignored. Damaged files, animations, several pages,
    files above 128 MiB, images above 100 million pixels or with a side below 8 pixels are refused
    before their pixels are decoded, where the header tells.

    Parameters
    ----------
    file : str or path
        An ordinary file.
    size : int or (height, width), default=None
        Size wanted, in pixels; None keeps that of the file. Where it is much smaller, a JPEG is
        decoded at 1/2, 1/4 or 1/8 scale, never below `size`.
    fit : {"crop", "pad", "squash"}, default="crop"
        What happens when the aspect ratio differs, see :func:`fit_image`.
    background : (red, green, blue), default=(255, 255, 255)
        Colour, 0 to 255, seen through transparent parts.

    Returns
    -------
    uint8 ndarray of shape (height, width, 3)

    Raises
    ------
    ImageReadError
        When the file cannot be read; the text names it, what is wrong and what to do.
    InputError
        When a parameter is none of the above.

    Examples
    --------
    >>> import pathlib, tempfile
    >>> from PIL import Image
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = pathlib.Path(folder) / "lesion.png"
    ...     Image.new("RGBA", (30, 20), (200, 90, 80, 255)).save(path)
    ...     read_image(path).shape, read_image(path, 16)[0, 0].tolist()
    ((20, 30, 3), [200, 90, 80])
    """
    wanted = None if size is None else checked_size(size)
    check_fit(fit)
    _check_background(background)
    if not isinstance(file, str | os.PathLike):
        shown = type(file).__name__
        raise InputError(message("file", shown, "it is not a path", "pass a str or a Path"))
    path = os.fsdecode(file)
    try:
        return np.array(decode(read_bytes(path)[0], wanted, fit, background))
    except Unreadable as error:
        raise read_error([problem_of(0, path, error)], 1) from error


def decode(
    data: bytes, wanted: tuple[int, int] | None, fit: str = "crop", background: Color = WHITE
) -> np.ndarray:
    """Decode the bytes of one file, see :func:`read_image`; raise `Unreadable` for any fault.

    What it returns cannot be written to: who makes a batch of it copies it anyway.
    """
    image = open_image(io.BytesIO(data))
    kind = sniff(data[:16])
    if kind == "PNG":
        check_png_whole(io.BytesIO(data))
    elif kind == "JPEG":
        check_jpeg_end(data)
    turn = None if isinstance(image, TiffImageFile) else turn_of(image)
    if wanted is not None and isinstance(image, JpegImageFile):
        _draft(image, wanted, fit, turn)
    try:
        load_pixels(image)
        if kind == "PNG":
            turn = turn_of(image)  # it may stand behind the pixels
        rgb = to_rgb(image, background)
    except Unreadable:
        raise
    except Exception as error:
        raise undecodable(kind, error) from error
    upright = rgb if turn is None else rgb.transpose(turn)
    return np.asarray(upright if wanted is None else fit_pil(upright, wanted, fit))


def _draft(
    image: JpegImageFile, wanted: tuple[int, int], fit: str, turn: Image.Transpose | None
) -> None:
    wanted = (wanted[1], wanted[0]) if turn in LYING else wanted
    image.draft(None, decoded_size(*image.size, wanted, fit))


def _check_background(background: Color) -> None:
    good = isinstance(background, tuple | list) and len(background) == 3
    if not good or any(not isinstance(one, int) or not 0 <= one <= 255 for one in background):
        why = "it is not (red, green, blue) from 0 to 255"
        remedy = "pass e.g. (255, 255, 255)"
        raise InputError(message("background", repr(background), why, remedy))
