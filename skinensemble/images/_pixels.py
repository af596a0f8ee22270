"""Turn pixels of every accepted kind into 8-bit RGB."""

from __future__ import annotations

import numpy as np
from PIL import Image
from PIL.ImageFile import ImageFile

from skinensemble.images._headers import check_size, undecodable
from skinensemble.images._problems import Unreadable
from skinensemble.images._structure import exif_orientation

Color = tuple[int, int, int]

WHITE: Color = (255, 255, 255)

_PLAIN = ("RGB", "L", "1", "P", "CMYK", "YCbCr", "RGBX")
_ALPHA = ("RGBA", "RGBa", "LA", "La", "PA")
_GREY_16 = ("I;16", "I;16L", "I;16B", "I;16N")
_BITS, _PHOTOMETRIC, _WHITE_IS_ZERO = 258, 262, 0
_UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
LYING = tuple(_UPRIGHT[turn] for turn in (5, 6, 7, 8))
"""Transpositions by which width and height change places."""

# By how much Pillow multiplies grey of few bits.
_STEPS = {"L;2": 85, "L;4": 17}


def from_pil(image: Image.Image) -> Image.Image:
    """Return an image that somebody else opened as upright RGB; raise `Unreadable` for any fault.

    One with several frames is refused: which is meant, nobody knows.
    """
    check_size(*image.size)
    frames = _frames(image)
    if frames > 1:
        raise Unreadable(f"it has {frames} frames", "pass one frame: image.copy()")
    try:
        load_pixels(image)
        turn = turn_of(image)
        rgb = to_rgb(image)
    except Unreadable:
        raise
    except Exception as error:
        raise undecodable(image.format or "PIL", error) from error
    return rgb if turn is None else rgb.transpose(turn)


def _frames(image: Image.Image) -> int:
    if image.format == "MPO":  # a JPEG with further views behind it, of which readers take one
        return 1
    try:
        return getattr(image, "n_frames", 1)
    except Exception:  # of any kind: its file is closed, or cut off behind what can be read
        return 1


def load_pixels(image: Image.Image) -> None:
    """Decode the pixels, and let the grey that stands for transparency have their scale."""
    codec = image.tile[0].args if isinstance(image, ImageFile) and image.tile else None
    image.load()
    key = image.info.get("transparency")
    if codec in _STEPS and isinstance(key, int):
        image.info["transparency"] = key * _STEPS[codec]


def turn_of(image: Image.Image) -> Image.Transpose | None:
    """Return the transposition that turns an image upright, by its EXIF block."""
    exif = image.info.get("exif") or _raw_profile(image.info.get("Raw profile type exif"))
    return _UPRIGHT.get(exif_orientation(exif)) if isinstance(exif, bytes) else None


def _raw_profile(text: object) -> bytes:
    """Return the EXIF block that ImageMagick writes into a PNG: a header, then hexadecimal."""
    if not isinstance(text, str):
        return b""
    try:
        return bytes.fromhex("".join(text.split("\n")[3:]))
    except ValueError:
        return b""


def to_rgb(image: Image.Image, background: Color = WHITE) -> Image.Image:
    """Return `image` as RGB: transparent parts over `background`, 16-bit grey scaled to 8."""
    mode = image.mode
    if mode in _GREY_16:
        return _from_grey_16(image, background)
    if mode in _ALPHA or (mode in _PLAIN and "transparency" in image.info):
        # Nothing but palettes can hold alpha in fewer steps than through RGBA.
        rgba = image.convert("RGBA")
        flat = Image.new("RGB", rgba.size, background)
        flat.paste(rgba, mask=rgba.getchannel("A"))
        return flat
    if mode in _PLAIN:
        return image if mode == "RGB" else image.convert("RGB")
    why = f"its pixels are of mode {mode}, whose range or colour space is not known"
    raise Unreadable(why, "export it with 8 bits a channel, as RGB or grey")


def _from_grey_16(image: Image.Image, background: Color) -> Image.Image:
    tags = getattr(image, "tag_v2", {})
    bits = tags.get(_BITS, 16)
    if bits not in (16, (16,)):
        raise Unreadable(f"its pixels have {bits} bits", "export it with 8 or 16 bits")
    values = np.asarray(image).astype(np.uint32)
    grey = ((values * 255 + 32767) // 65535).astype(np.uint8)
    if tags.get(_PHOTOMETRIC) == _WHITE_IS_ZERO:
        grey = 255 - grey
    rgb = np.repeat(grey[:, :, None], 3, axis=2)
    if "transparency" in image.info:
        rgb[values == image.info["transparency"]] = background
    return Image.fromarray(rgb)


def to_uint8(array: np.ndarray) -> np.ndarray:
    """Return one image as uint8 (H, W, 3), grey repeated and fractions rounded half to even.

    Raises
    ------
    Unreadable
        When the shape is not that of one image of sane size, or a value is NaN or outside 0 to 255.
    """
    shape = array.shape
    if array.ndim == 2:
        array = array[:, :, None]
    if array.ndim != 3 or array.shape[2] not in (1, 3):
        remedy = "pass (H, W, 3) RGB or (H, W) grey"
        if array.ndim == 3 and shape[2] == 4:
            remedy = "blend the alpha channel away, or pass a PIL image"
        elif array.ndim == 3 and shape[0] in (1, 3):
            remedy = "put the channels last: np.moveaxis(image, 0, -1)"
        raise Unreadable(f"an array of shape {shape}", remedy)
    check_size(shape[1], shape[0])
    if array.dtype != np.uint8:
        array = _rounded(array)
    return np.repeat(array, 3, axis=2) if array.shape[2] == 1 else array


def _rounded(array: np.ndarray) -> np.ndarray:
    if array.dtype.kind not in "iuf":
        raise Unreadable(f"an array of {array.dtype}", "pass uint8, or floats from 0 to 255")
    low, high = array.min(), array.max()
    if np.isnan(low):
        raise Unreadable("it holds NaN", "fill or leave it out")
    if low < 0 or high > 255:
        why = f"values from {low:g} to {high:g}, outside 0 to 255"
        raise Unreadable(why, "scale the images to 0–255")
    return np.rint(array).astype(np.uint8)
