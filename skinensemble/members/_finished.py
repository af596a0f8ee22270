"""A finished Keras model: opened safely, checked, and fed with preprocessed images."""

from __future__ import annotations

import itertools
import os
import secrets
import zipfile
from pathlib import Path
from weakref import WeakKeyDictionary

import numpy as np

from skinensemble.backbones import get_backbone, list_backbones
from skinensemble.backbones._preprocess import MODES, apply_preprocess
from skinensemble.exceptions import InputError, ModelFileError, message

__all__ = ["FinishedNetwork", "open_keras"]

# Functions cannot be told apart by content: each has a number, and no two processes share one.
_PROCESS = secrets.token_hex(8)
_numbers: WeakKeyDictionary = WeakKeyDictionary()
_count = itertools.count()


def open_keras(path):
    """Open a ``.keras`` file, in safe mode and not compiled; no other format.

    Raises
    ------
    ModelFileError
        When it is missing, damaged, of another format, or unsafe.
    """
    _check_keras_file(path)
    import keras

    try:
        return keras.saving.load_model(path, compile=False, safe_mode=True)
    except Exception as error:  # of any kind: the file is a stranger's
        shown = str(error).strip().split("\n")[0]
        why = f"Keras refuses it in safe mode ({type(error).__name__}: {shown:.200})"
        remedy = (
            "save it without Lambda layers; register its own layers with "
            "keras.saving.register_keras_serializable before you open it"
        )
        raise ModelFileError(message("cannot open", os.fsdecode(path), why, remedy)) from error


def _check_keras_file(path) -> None:
    file = Path(os.fsdecode(path))
    again = 'open it with the Keras it was made with and call model.save("model.keras")'
    if file.is_dir():
        saved_model = (file / "saved_model.pb").exists()
        why = "it is a SavedModel folder" if saved_model else "it is a folder"
        why, remedy = f"{why}, not a .keras file", again
    elif not file.exists():
        why, remedy = "there is no such file", "give the path of a .keras file on this machine"
    elif file.suffix.lower() in (".h5", ".hdf5"):
        why, remedy = "legacy HDF5 files can hold code and are not opened", again
    elif file.suffix != ".keras" or not file.is_file() or not zipfile.is_zipfile(file):
        why, remedy = "it is not a .keras file, or it is damaged", again
    else:
        return
    raise ModelFileError(message("cannot open", file, why, remedy))


class FinishedNetwork:
    """A finished model with its preprocessing, in the form that an Extractor takes.

    The model is used as it is and not frozen, copied or compiled: it is the user's.

    Parameters
    ----------
    model : keras.Model
        From preprocessed images to one row of outputs for each.
    preprocess : str, callable or None
    image_size : int or (int, int) or None
    """

    def __init__(self, model, preprocess=None, image_size=None):
        self.model = model
        self.trainable = False
        self._preprocess = _resolve(preprocess)
        self.input_shape = (None, *_check_size(model, image_size), 3)
        self.output_shape = (None, _check_outputs(model, self.input_shape))

    def get_config(self) -> dict:
        """Return what tells this network from others, besides its weights."""
        try:
            config = self.model.get_config()
        except NotImplementedError:
            config = type(self.model).__qualname__
        return {"model": config, "preprocess": _identity(self._preprocess)}

    @property
    def layers(self) -> list:
        """Those of the model."""
        return self.model.layers

    def get_weights(self) -> list[np.ndarray]:
        """Return the weights of the model."""
        return self.model.get_weights()

    def predict_on_batch(self, images: np.ndarray) -> np.ndarray:
        """Return the outputs for 0–255 RGB images."""
        return self.model.predict_on_batch(self.preprocess(images))

    def preprocess(self, images: np.ndarray) -> np.ndarray:
        """Return what the model takes for 0–255 RGB images."""
        pixels = images.astype(np.float32)
        if callable(self._preprocess):
            return self._preprocess(pixels)
        return apply_preprocess(self._preprocess, pixels)


def _resolve(preprocess):
    if preprocess is None or callable(preprocess):
        return preprocess
    if isinstance(preprocess, str) and preprocess in MODES:
        return preprocess
    if isinstance(preprocess, str) and preprocess in list_backbones():
        return get_backbone(preprocess).preprocess
    modes = ", ".join(map(repr, MODES))
    why = "there is no preprocessing and no backbone of that name"
    remedy = f"pass None, {modes}, a name of list_backbones(), or a function"
    raise InputError(message("preprocess", repr(preprocess), why, remedy))


def _identity(preprocess) -> str:
    if not callable(preprocess):
        return str(preprocess)
    try:
        number = _numbers.setdefault(preprocess, next(_count))
    except TypeError:  # neither hashed nor referred to weakly: new each time
        number = next(_count)
    return f"{_PROCESS} {number}"


def _check_size(model, image_size) -> tuple[int, int]:
    import keras

    if not isinstance(model, keras.Model):
        remedy = 'pass a keras.Model, or use PretrainedMember.from_keras("model.keras", …)'
        raise InputError(message("model", f"{model!r:.80}", "not a Keras model", remedy))
    shape = _static_shape(model, "input_shape")
    if len(shape) != 4 or shape[3] != 3:
        why = "members take RGB images, channels last: (None, height, width, 3)"
        remedy = "build the model on one such input"
        raise InputError(message("model", f"input of shape {shape}", why, remedy))
    given = image_size if isinstance(image_size, tuple | list) else (image_size, image_size)
    size = [known if one is None else one for known, one in zip(shape[1:3], given, strict=False)]
    if len(given) != 2 or not all(_is_side(side) for side in size):
        why = "the size of the images is not known"
        remedy = "pass image_size=224, or whatever the model was trained with"
        raise InputError(message("image_size", repr(image_size), why, remedy))
    if any(known not in (None, one) for known, one in zip(shape[1:3], size, strict=True)):
        why = f"the model takes {shape[1]} × {shape[2]} pixels"
        raise InputError(message("image_size", repr(image_size), why, "leave it out"))
    return int(size[0]), int(size[1])


def _is_side(side) -> bool:
    return hasattr(side, "__index__") and not isinstance(side, bool) and side > 0


def _static_shape(model, name: str) -> tuple:
    """Return a shape; of a subclassed model, which has none, that of any image."""
    try:
        return tuple(getattr(model, name))
    except (AttributeError, ValueError):
        return (None, None, None, 3)


def _check_outputs(model, input_shape) -> int:
    shape = _static_shape(model, "output_shape")
    if not hasattr(model, "output_shape"):
        shape = tuple(model(np.zeros((1, *input_shape[1:]), np.float32)).shape)
    if len(shape) != 2 or not isinstance(shape[1], int):
        why = "one row of class probabilities for each image is needed"
        remedy = "end the model in a pooling layer and Dense(n_classes, activation='softmax')"
        raise InputError(message("model", f"output of shape {shape}", why, remedy))
    return shape[1]
