"""One backbone: how it is built, what it expects of an image, whom to cite."""

from __future__ import annotations

import operator
from collections.abc import Callable
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any

from skinensemble.backbones._preprocess import Preprocess, apply_preprocess
from skinensemble.backbones._random import fixed_random_state
from skinensemble.backbones._weights import check_weights
from skinensemble.exceptions import InputError, message

if TYPE_CHECKING:
    import keras

__all__ = ["Backbone"]

# (preprocessed images, "imagenet" | None | path) → feature maps, both symbolic Keras tensors.
Builder = Callable[[Any, "str | Path | None"], Any]

_POOLING = {"avg": "GlobalAveragePooling2D", "max": "GlobalMaxPooling2D"}


@dataclass(frozen=True)
class Backbone:
    """A network without its classifier, with everything needed to use it on images.

    Get one by name with :func:`get_backbone`; add your own with :func:`register_backbone`.

    Attributes
    ----------
    name : str
        The name in the registry.
    family : str
        The architecture family, such as ``"ResNet"``.
    builder : callable
        From preprocessed images and the source of the weights to feature maps.
    preprocess : {"tf", "torch", "caffe", "lite"}, callable or None
        What is done to 0–255 RGB pixels first; None where the network does it itself.
    input_size : int
        Height and width, in pixels, that the ImageNet weights were trained for.
    min_size : int
        Smallest height and width, in pixels, that the network accepts.
    licence : str
        Licence of the ImageNet weights.
    citation : str
        The paper to cite, with its DOI or arXiv number.

    Examples
    --------
    >>> from skinensemble.backbones import get_backbone
    >>> backbone = get_backbone("mobilenet_v2_035")
    >>> model = backbone.build(weights=None, image_size=32)
    >>> model.output_shape
    (None, 1280)
    """

    name: str
    family: str
    builder: Builder
    preprocess: Preprocess
    input_size: int
    min_size: int
    licence: str
    citation: str

    def build(
        self,
        weights: str | PathLike[str] | None = "imagenet",
        image_size: int | tuple[int, int] | None = None,
        pooling: str | None = "avg",
    ) -> keras.Model:
        """Build the network from 0–255 RGB images to features.

        The preprocessing is part of the model: hand it pixels as they are, uint8 or float.

        Parameters
        ----------
        weights : "imagenet", path or None, default="imagenet"
            The ImageNet weights, a ``.weights.h5`` or legacy ``.h5`` file of this network without
            its top, or None for random weights (the same ones every time).
        image_size : int or (int, int), optional
            Height and width in pixels; `input_size` by default.
        pooling : {"avg", "max"} or None, default="avg"
            How each feature map becomes one number; None returns the maps.

        Returns
        -------
        keras.Model
            From (b, height, width, 3) to (b, d), or to (b, h, w, d) where `pooling` is None.

        Raises
        ------
        InputError
            When the size is too small or no size at all, or `pooling` is unknown.
        WeightsError
            When the weights cannot be had, are damaged, or belong to another network.
        MissingDependencyError
            When the weights come with a package that is not installed.
        """
        height, width = self._check_size(image_size)
        self._check_pooling(pooling)
        source = check_weights(weights)
        import keras

        # Seeded whatever the weights are: dropout layers draw a seed as well.
        with fixed_random_state(self.name):
            images = keras.Input((height, width, 3), dtype="float32", name="images")
            features = self.builder(apply_preprocess(self.preprocess, images), source)
            if pooling is not None:
                features = getattr(keras.layers, _POOLING[pooling])(name="pooled")(features)
            return keras.Model(images, features, name=self.name)

    def source(self, weights: str | PathLike[str] | None) -> str | PathLike[str] | None:
        """Return the file that was registered for "imagenet"; all else as it is."""
        own = getattr(self.builder, "imagenet", None)
        named = own is not None and isinstance(weights, str) and weights == "imagenet"
        return own if named else weights

    # Nothing changes it, and what is built of one is found by its identity.
    def __copy__(self) -> Backbone:
        return self

    def __deepcopy__(self, memo: dict[int, Any]) -> Backbone:
        return self

    def __sklearn_clone__(self) -> Backbone:
        return self

    def _check_size(self, image_size: int | tuple[int, int] | None) -> tuple[int, int]:
        size = self.input_size if image_size is None else image_size
        pair = tuple(size) if isinstance(size, tuple | list) else (size, size)
        if len(pair) != 2 or not all(_is_int(side) for side in pair):
            why = "it is not a size in pixels"
            remedy = "pass an int or (height, width)"
            raise InputError(message("image_size", repr(image_size), why, remedy))
        height, width = int(pair[0]), int(pair[1])
        if min(height, width) < self.min_size:
            why = f"{self.name} needs at least {self.min_size} × {self.min_size} pixels"
            remedy = f"pass {self.min_size} or more; it was trained with {self.input_size}"
            raise InputError(message("image_size", repr(image_size), why, remedy))
        return height, width

    def _check_pooling(self, pooling: str | None) -> None:
        if pooling not in [None, *_POOLING]:
            remedy = "pass 'avg', 'max' or None"
            raise InputError(message("pooling", repr(pooling), "unknown", remedy))


def _is_int(value: object) -> bool:
    try:
        operator.index(value)  # type: ignore[arg-type]
    except TypeError:  # an array of several has the method as well
        return False
    return not isinstance(value, bool)
