"""What a saved file says of a network that it names: enough to know another one by."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from skinensemble.backbones import Backbone, get_backbone
from skinensemble.exceptions import InputError, ModelFileError, message

if TYPE_CHECKING:
    import keras

__all__ = ["check_outline", "dump_outline"]

# Of what layers that preprocess compute with, no weight tells.
_CONSTANTS = ("scale", "offset", "input_mean", "input_variance")
# What layers of Keras compute by, beside weights, under the names that it has in every version.
_SETTINGS = ("strides", "dilation_rate", "padding", "pool_size", "groups", "axis", "epsilon")


def dump_outline(
    name: str,
    used: Backbone | None,
    models: Sequence[keras.Model],
    anew: Callable[[Backbone], Sequence[keras.Model]],
) -> dict[str, str]:
    """Return what a file says of a network, or refuse a name that stands for another one.

    Parameters
    ----------
    name : str
        By which a file names the network.
    used : Backbone or None
        Of which it was made; None where it came from another process.
    models : list of keras.Model
        The network, in parts.
    anew : callable
        From a backbone to the same parts.
    """
    found, own = get_backbone(name), outline(models)
    if found is not used and outline(anew(found)) != own:
        why = "a file names networks, and by this name another one is registered"
        remedy = "register the one that you trained under a name of its own, and train again"
        raise InputError(message("save: backbone", name, why, remedy))
    return {"outline": own}


def check_outline(state, name: str, models: Sequence[keras.Model]) -> None:
    """Refuse a network that is not the one that was saved, where a file tells."""
    # Files of the first days do not.
    if state.keys() & {"outline"} and state.raw("outline", str) != outline(models):
        why = "the backbone that is registered here is not the one that was saved"
        remedy = "register the builder and the preprocess that it was trained with"
        what = f"{state.context[0].path}: backbone {name}"
        raise ModelFileError(message("cannot load", what, why, remedy))


def outline(models: Sequence[keras.Model]) -> str:
    """Return a digest of the layers in their order, the same in every version of Keras."""
    found = []
    for model in models:
        for _, nodes in sorted(model._nodes_by_depth.items()):
            found.append(sorted(map(_in_words, nodes)))
    return hashlib.sha256(repr(found).encode()).hexdigest()


def _in_words(node: Any) -> str:
    import keras

    layer = node.operation
    shapes = [tuple(weight.shape) for weight in getattr(layer, "weights", ())]
    if isinstance(layer, keras.layers.Rescaling | keras.layers.Normalization):
        numbers = [getattr(layer, name, None) for name in _CONSTANTS]
    elif isinstance(layer, keras.layers.Layer):
        return f"{type(layer).__name__} {shapes} {_settings(layer)}"
    else:  # an operation such as `x * 2`
        numbers = keras.tree.flatten((node.arguments.args, node.arguments.kwargs))
    plain = [np.float32(one).tolist() for one in numbers if _is_number(one)]
    return f"{type(layer).__name__} {shapes} {plain}"


def _settings(layer: Any) -> list:
    found = [getattr(layer, name, None) for name in _SETTINGS]
    found = [list(one) if isinstance(one, tuple) else one for one in found]
    activation = getattr(layer, "activation", None)
    found.append(getattr(activation, "__name__", type(activation).__name__))
    if type(layer).__module__.startswith("keras."):
        return found
    try:  # a layer of one's own may say more
        own = layer.get_config()
    except NotImplementedError:
        return found
    # Keras numbers names, and whether it is trained says nothing of what it computes.
    keys = sorted(own.keys() - {"name", "trainable"})
    return [*found, *((key, own[key]) for key in keys if isinstance(own[key], int | float | str))]


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float | list | tuple | np.ndarray | np.generic)
