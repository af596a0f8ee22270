"""The structure of a Keras model as JSON of a closed list of built-in layers, and back.

A file says which layers there are and how they are joined, by names of :data:`KINDS`; it says no
module, no function and no path. How weights were initialised, regularised and constrained is
about training, and stays behind.
"""

from __future__ import annotations

import inspect
import math
from typing import Any

import numpy as np

from skinensemble.exceptions import InputError, first_few, message

__all__ = ["ArchitectureFault", "build", "describe"]

_MODULES = {
    "": (
        "keras.layers",
        "InputLayer Conv2D DepthwiseConv2D SeparableConv2D Conv2DTranspose Dense EinsumDense "
        "MaxPooling2D AveragePooling2D GlobalMaxPooling2D GlobalAveragePooling2D "
        "BatchNormalization LayerNormalization GroupNormalization UnitNormalization "
        "Normalization Rescaling Resizing CenterCrop Activation ReLU LeakyReLU PReLU ELU Softmax "
        "Flatten Reshape Permute ZeroPadding2D Cropping2D UpSampling2D Identity "
        "Add Subtract Multiply Average Maximum Minimum Concatenate Dot "
        "Dropout SpatialDropout2D GaussianNoise GaussianDropout AlphaDropout "
        "RandomFlip RandomRotation RandomZoom RandomTranslation RandomContrast RandomBrightness",
    ),
    "ops.": (
        "keras.src.ops.numpy",
        "Add Subtract Multiply Divide TrueDivide GetItem Stack Flip Concatenate Mean Clip",
    ),
    "nn.": ("keras.src.ops.nn", "Softmax Sigmoid Relu Relu6 Silu Gelu HardSigmoid HardSilu"),
    "convnext.": ("keras.src.applications.convnext", "LayerScale"),
    "inception_resnet_v2.": ("keras.src.applications.inception_resnet_v2", "CustomScaleLayer"),
    "model.": ("keras", "Sequential"),
    "graph.": ("keras.src.models.functional", "Functional"),
}
KINDS = {
    prefix + name: (module, name)
    for prefix, (module, names) in _MODULES.items()
    for name in names.split()
}
"""Name in a file → module and class. Keras has two kinds of "Add", hence the prefixes."""

_NAMES = {place: name for name, place in KINDS.items()}
# Models, and what the config of each says.
_MODELS = {
    "model.Sequential": {"name", "trainable", "dtype", "layers", "build_input_shape"},
    "graph.Functional": {"name", "trainable", "layers", "input_layers", "output_layers"},
}
_ACTIVATIONS = {
    *("linear", "relu", "relu6", "leaky_relu", "elu", "selu"),
    *("celu", "gelu", "silu", "swish", "mish", "softplus"),
    *("softsign", "tanh", "sigmoid", "hard_sigmoid", "hard_silu", "hard_swish"),
    *("log_sigmoid", "exponential", "softmax", "log_softmax"),
}
_DTYPES = {
    *("float16", "bfloat16", "float32", "float64"),
    *("mixed_float16", "mixed_bfloat16", "uint8", "int32"),
}
_TRAINING = ("_initializer", "_regularizer", "_constraint")
# What an operation may be called on, besides numbers: keys of the config of each.
_ARGUMENTS = {
    "__keras_tensor__": {"shape", "dtype", "keras_history"},
    "__tensor__": {"value", "dtype"},
    "__slice__": {"start", "stop", "step"},
    "__ellipsis__": set(),
}
_GUARD = "skinensemble_guard"
_MAX_INT = 2**31


class ArchitectureFault(ValueError):
    """What in a structure is not allowed; the caller adds the file and what to do."""


def describe(model) -> dict[str, Any]:
    """Return the structure of a model as plain JSON.

    Raises
    ------
    InputError
        Naming the layers that are not built in, or not allowed.
    """
    import keras

    try:
        found = _entry_of(keras.saving.serialize_keras_object(model), model)
        _checked(found)
    except (ArchitectureFault, NotImplementedError, TypeError) as error:
        why = f"{error}; a file holds built-in Keras layers only"
        remedy = "leave the member out, or rebuild its network from built-in layers"
        raise InputError(message("save", f"model {model.name!r}", why, remedy)) from error
    return found


def _entry_of(entry: Any, thing) -> dict:
    """Return one layer as a file says it; Keras' own description is the entry."""
    place = entry.get("module"), entry.get("class_name")
    config = entry.get("config")
    name = config.get("name") if isinstance(config, dict) else None
    if place not in _NAMES:
        raise ArchitectureFault(f"layer {name!r} is a {place[1]}")
    kind = _NAMES[place]
    config = {key: _value_of(key, value) for key, value in config.items() if _is_kept(key)}
    if kind in _MODELS:
        inner = {one.name: one for one in thing.layers}
        layers = entry["config"]["layers"]
        config["layers"] = [_entry_of(one, inner.get(one["config"]["name"])) for one in layers]
    elif kind == "Normalization":
        # Its weights become a part of the structure, so that a file can claim no length for them.
        moments = {"mean": thing.mean, "variance": thing.variance}
        config |= {key: np.ravel(value).tolist() for key, value in moments.items()}
    found = {"class_name": kind, "config": config}
    return found | {key: _plain(entry[key]) for key in ("name", "inbound_nodes") if key in entry}


def _is_kept(key: str) -> bool:
    return not key.endswith(_TRAINING) and key != "quantization_config"


def _value_of(key: str, value):
    if key == "dtype" and isinstance(value, dict) and value.get("class_name") == "DTypePolicy":
        return value["config"]["name"]
    if key == "activation" and value is None:
        return "linear"
    if key == "seed":
        return 0
    return None if key == "layers" else _plain(value)


def _plain(value):
    """Return the value with lists for tuples and Python's numbers for NumPy's."""
    if isinstance(value, dict):
        return {key: _plain(one) for key, one in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(one) for one in value]
    return value.item() if isinstance(value, np.generic) else value


def build(structure: dict[str, Any], max_elements: int):
    """Return the model that a file describes, its weights zero.

    Everything is checked before Keras sees it.

    Parameters
    ----------
    structure : dict
        As :func:`describe` gives it, or anything that a stranger wrote.
    max_elements : int
        Numbers that all weights together may have.

    Raises
    ------
    ArchitectureFault
        When anything in it is not allowed, or Keras cannot build it.
    """
    import keras

    guard = _guard(max_elements)
    entry = _checked(structure)
    if entry["class_name"] not in _MODELS:
        raise ArchitectureFault("it is not a model")
    try:
        with keras.saving.custom_object_scope({_GUARD: guard}):
            config = _for_keras(entry, guard)
            model = keras.saving.deserialize_keras_object(config, safe_mode=True)
    except ArchitectureFault:
        raise
    except Exception as error:  # Keras and its engines raise anything on what makes no sense
        shown = f"{type(error).__name__}: {error}"[:300]
        raise ArchitectureFault(f"Keras cannot build it ({shown})") from error
    _forget(guard, model, keras.initializers.Zeros())
    return model


def _guard(max_elements: int):
    """Return an initializer of zeros that refuses more elements than there are in the file."""
    left = [max_elements]

    def guard(shape, dtype=None, **_):
        import keras

        left[0] -= math.prod(shape)
        if left[0] < 0:
            raise ArchitectureFault("its weights are larger than those in the file")
        return keras.ops.zeros(shape, dtype)

    return guard


def _for_keras(entry: dict, guard) -> dict:
    """Return a checked entry as Keras wants it."""
    import keras

    module, name = KINDS[entry["class_name"]]
    config = dict(entry["config"])
    if entry["class_name"] in _MODELS:
        config["layers"] = [_for_keras(one, guard) for one in config["layers"]]
    elif module == "keras.layers":
        wanted = inspect.signature(getattr(keras.layers, name).__init__).parameters
        config |= {key: _GUARD for key in wanted if key.endswith("_initializer")}
    elif name == "LayerScale":
        guard((config.get("projection_dim", 0),))
    rest = {key: entry[key] for key in ("name", "inbound_nodes") if key in entry}
    return {
        "module": module,
        "class_name": name,
        "config": config,
        "registered_name": None,
        **rest,
    }


def _forget(guard, layer, initializer) -> None:
    """Replace the guard where a layer holds it, so that the model can be stored by Keras too."""
    for key in [key for key, value in vars(layer).items() if value is guard]:
        setattr(layer, key, initializer)
    for inner in getattr(layer, "layers", []):
        _forget(guard, inner, initializer)


def _checked(entry: Any) -> dict:
    """Return an entry after comparing all of it with what a file may say."""
    _only(entry, {"class_name", "config"}, {"name", "inbound_nodes"}, "a layer")
    kind, config = entry["class_name"], entry["config"]
    if not isinstance(kind, str) or kind not in KINDS:
        raise ArchitectureFault(f"{kind!r:.60} is not a layer that is allowed")
    if not isinstance(config, dict) or not isinstance(config.get("name"), str):
        raise ArchitectureFault(f"a {kind} has no name or no config")
    where = f"layer {config['name']!r:.60} ({kind})"
    if kind in _MODELS:
        _only(config, {"layers"}, _MODELS[kind], where)
        if not isinstance(config["layers"], list) or not config["layers"]:
            raise ArchitectureFault(f"{where} has no layers")
        for one in config["layers"]:
            _checked(one)
    for key, value in config.items():
        if not (kind in _MODELS and key == "layers"):
            _check_setting(key, value, where)
    if kind == "Normalization":
        _check_moments(config, where)
    _check_nodes(entry.get("inbound_nodes", []), where)
    return entry


def _only(value: Any, needed: set[str], allowed: set[str], where: str) -> None:
    if not isinstance(value, dict) or not needed <= value.keys() <= needed | allowed:
        keys = first_few(sorted(map(str, value))) if isinstance(value, dict) else repr(value)[:60]
        raise ArchitectureFault(f"{where} is not described as it should be: {keys}")


def _check_setting(key: str, value: Any, where: str) -> None:
    if not _is_kept(key):
        raise ArchitectureFault(f"{where} says {key}, which is about training")
    for name, allowed in (("activation", _ACTIVATIONS), ("dtype", _DTYPES)):
        if key == name and not (isinstance(value, str) and value in allowed):
            raise ArchitectureFault(f"the {name} {value!r:.60} of {where} is not allowed")
    _check_plain(value, f"{key} of {where}")


def _check_plain(value: Any, where: str, arguments: bool = False) -> None:
    """Refuse all but plain numbers, text and lists of them; and, of calls, tensors."""
    if isinstance(value, list):
        for one in value:
            _check_plain(one, where, arguments)
    elif isinstance(value, dict) and arguments:
        _only(value, {"class_name", "config"}, set(), where)
        kind = value["class_name"]
        if not isinstance(kind, str) or kind not in _ARGUMENTS:
            raise ArchitectureFault(f"{where} is a {kind!r:.60}")
        _only(value["config"], _ARGUMENTS[kind], set(), where)
        _check_plain(list(value["config"].values()), where)
    elif value is not None and not isinstance(value, (bool, int, float, str)):
        raise ArchitectureFault(f"{where} is a {type(value).__name__}, no plain value")
    elif isinstance(value, (int, float)) and not abs(value) < _MAX_INT:
        raise ArchitectureFault(f"{where} is {value}")


def _check_moments(config: dict, where: str) -> None:
    for key in ("mean", "variance"):
        value = config.get(key)
        # One number would be repeated to whatever length the layer before has.
        if not isinstance(value, list) or len(value) < 2 or not all(map(_is_number, value)):
            raise ArchitectureFault(f"{key} of {where} is not a list of two numbers or more")


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _check_nodes(nodes: Any, where: str) -> None:
    if not isinstance(nodes, list):
        raise ArchitectureFault(f"the calls of {where} are no list")
    for node in nodes:
        _only(node, {"args", "kwargs"}, set(), f"a call of {where}")
        if not isinstance(node["args"], list) or not isinstance(node["kwargs"], dict):
            raise ArchitectureFault(f"a call of {where} is not described as it should be")
        for value in (*node["args"], *node["kwargs"].values()):
            _check_plain(value, f"an argument of {where}", arguments=True)
