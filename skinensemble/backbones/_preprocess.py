"""What each family of networks expects of its pixels, as layers that stay in a saved model."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from skinensemble.exceptions import InputError, message

Preprocess = str | Callable[[Any], Any] | None

# Of ImageNet, on a scale of 0 to 1.
MEAN = (0.485, 0.456, 0.406)
STD = (0.229, 0.224, 0.225)

# Mode → (scale, offset) of `x * scale + offset`; "caffe" works on BGR.
MODES: dict[str, tuple[Any, Any]] = {
    "tf": (1 / 127.5, -1.0),
    "torch": (
        [1 / (255 * std) for std in STD],
        [-mean / std for mean, std in zip(MEAN, STD, strict=True)],
    ),
    "caffe": (1.0, [-103.939, -116.779, -123.68]),
    "lite": (1 / 128, -127 / 128),
}


def check_preprocess(preprocess: Preprocess) -> Preprocess:
    """Return `preprocess`, or say which ones there are."""
    if preprocess is None or callable(preprocess) or preprocess in MODES:
        return preprocess
    modes = ", ".join(repr(mode) for mode in MODES)
    remedy = f"pass None, one of {modes}, or a function of a Keras tensor"
    raise InputError(message("preprocess", repr(preprocess), "unknown mode", remedy))


def apply_preprocess(preprocess: Preprocess, images: Any) -> Any:
    """Apply the preprocessing to a Keras tensor of 0–255 RGB images."""
    import keras

    if preprocess is None:
        return images
    if callable(preprocess):
        return preprocess(images)
    scale, offset = MODES[preprocess]
    if preprocess == "caffe":
        images = keras.ops.flip(images, axis=-1)
    return keras.layers.Rescaling(scale, offset, name="input_rescaling")(images)
