"""Networks that users bring: built by them, loaded and joined to the preprocessing here."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any

from skinensemble.backbones._weights import check_weights, load_weights_file
from skinensemble.exceptions import InputError, SkinEnsembleError, WeightsError, message
from skinensemble.persistence._weights import assign_weights

if TYPE_CHECKING:
    import keras

# Names of layers that come before and after a network.
_TAKEN = ("images", "input_rescaling", "pooled")


@dataclass(frozen=True)
class ModelBuilder:
    """Turn ``build(input_shape) -> keras.Model`` into the builder of a backbone."""

    name: str
    build: Callable[[tuple[int, int, int]], keras.Model]
    imagenet: str | PathLike[str] | None = None

    def __call__(self, images: Any, weights: str | Path | None) -> Any:
        """Return the feature maps of the network on `images`, a Keras tensor."""
        import keras

        if weights == "imagenet":
            weights = self._imagenet()
        network = self._built(tuple(images.shape[1:]))
        if not isinstance(network, keras.Model):
            raise self._unusable(type(network).__name__)
        if not network.built:
            network.build((None, *images.shape[1:]))
        if isinstance(weights, Path):
            load_weights_file(network, weights, self.name)
        maps = graft(network, images)
        shape = getattr(maps, "shape", ())
        if len(shape) != 4:
            raise self._unusable(f"a model with output shape {tuple(shape) or 'unknown'}")
        return maps

    def _built(self, shape: tuple[int, int, int]) -> Any:
        try:
            return self.build(shape)
        except SkinEnsembleError:
            raise
        except Exception as error:
            why = f"its builder raised {type(error).__name__}: {error}"
            remedy = "mend it, and register it again with overwrite=True"
            raise InputError(message("backbone", self.name, why, remedy)) from error

    def _imagenet(self) -> str | Path | None:
        if self.imagenet is None:
            why = "it was registered without a file of ImageNet weights"
            remedy = (
                "pass weights=None or a path, or register it with weights='path/to/file.weights.h5'"
            )
            raise WeightsError(message("weights", self.name, why, remedy))
        return check_weights(self.imagenet)

    def _unusable(self, returned: str) -> InputError:
        why = f"its builder returned {returned}"
        remedy = "return a keras.Model from images to feature maps (b, h, w, d), without its top"
        return InputError(message("backbone", self.name, why, remedy))


def graft(network: keras.Model, images: Any) -> Any:
    """Apply a network to a Keras tensor, with its layers in the open where that can be done.

    A cut needs to name a layer inside the network, and in a nested model it could not.
    """
    try:
        return _flat(network, images)
    except (NotImplementedError, TypeError, ValueError):
        return network(images)


def _flat(network: keras.Model, images: Any) -> Any:
    import keras

    if isinstance(network, keras.Sequential):
        network = keras.Model(network.inputs[0], network.outputs[0])
    (source,) = keras.utils.get_source_inputs(images)
    pairs = []

    def clone(layer: Any) -> Any:
        config = layer.get_config()
        if config.get("name") in _TAKEN:
            config["name"] = f"own_{config['name']}"
        copy = layer.__class__.from_config(config)
        pairs.append((layer, copy))
        return copy

    def call(operation: Any, *args: Any, **kwargs: Any) -> Any:
        args, kwargs = keras.tree.map_structure(
            lambda value: images if value is source else value, (args, kwargs)
        )
        return operation(*args, **kwargs)

    inputs = keras.tree.map_structure(lambda _: source, network.input)
    copy = keras.models.clone_model(
        network, input_tensors=inputs, clone_function=clone, call_function=call
    )
    for old, new in pairs:
        if getattr(old, "weights", None):  # an operation such as `x * 2` has none
            assign_weights(new, old.get_weights())
    return copy.output
