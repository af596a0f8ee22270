"""The identity of a network: two networks share rows only if they compute the same."""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING, Any

import numpy as np

from skinensemble.features._code import own_code
from skinensemble.features._sidecar import STORE_VERSION

if TYPE_CHECKING:
    import keras


# Entries of a configuration that name layers.
_NAMING = ("name", "keras_history", "input_layers", "output_layers")


def fingerprint(model: keras.Model, *parts: object) -> str:
    """Return the SHA-256 of a model's weights and structure, and of `parts`, in hexadecimal.

    Of layers and functions of a user's own their code counts, not that of others which they call.
    The structure holds the preprocessing, the input size and the pooling, which are layers of
    the model. Names of layers do not count: Keras numbers them as they are made.
    """
    digest = hashlib.sha256(f"{STORE_VERSION} {parts!r} {structure(model)}".encode())
    for weight in model.get_weights():
        array = np.ascontiguousarray(weight)
        digest.update(f"{array.dtype.str} {array.shape}".encode())
        digest.update(array.data)
    return digest.hexdigest()


def at_precision(fingerprint: str, precision: str) -> str:
    """Return the key of rows that a network computed at a precision; in float32 it is its own."""
    if precision == "float32":
        return fingerprint
    return hashlib.sha256(f"{fingerprint} {precision}".encode()).hexdigest()


def structure(model: keras.Model) -> str:
    """Return what a model computes but for its weights, in words."""
    config = model.get_config()
    names: dict[str, str] = {}
    _collect_names(config, names)
    return json.dumps(_rename(config, names), sort_keys=True) + "".join(own_code(model))


def _collect_names(config: Any, names: dict[str, str]) -> None:
    if isinstance(config, dict):
        name = config.get("name")
        if isinstance(name, str):
            names.setdefault(name, f"#{len(names)}")
        for value in config.values():
            _collect_names(value, names)
    elif isinstance(config, list | tuple):
        for value in config:
            _collect_names(value, names)


def _rename(config: Any, names: dict[str, str], named: bool = False) -> Any:
    """Replace the names of layers where they stand for layers: an activation may be called so."""
    if isinstance(config, dict):
        return {str(key): _rename(value, names, key in _NAMING) for key, value in config.items()}
    if isinstance(config, list | tuple):
        return [_rename(value, names, named) for value in config]
    if isinstance(config, str):
        return names.get(config, config) if named else config
    if config is None or isinstance(config, bool | int | float):
        return config
    # What Keras cannot put in words: its type, never its address.
    return f"{type(config).__module__}.{type(config).__qualname__}"
