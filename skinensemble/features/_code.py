"""What layers and functions of a user's own compute, as far as their code tells."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from types import CodeType, FunctionType
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import keras

__all__ = ["own_code"]

# Theirs is known by the names in a configuration; the rest of a class is what a user wrote.
_KNOWN = ("keras", "tensorflow", "torch", "jax", "builtins")
_PLAIN = (bool, int, float, str, bytes, np.generic)


def own_code(model: keras.Model) -> list[str]:
    """Return the code of what a user wrote in a model; nothing where all layers are Keras' own.

    A configuration holds the name of a class or function only, and a corrected one has the same.
    """
    # A finished network comes with its preprocessing around it.
    network = model if hasattr(model, "_flatten_layers") else model.model
    return [
        _in_words(function) for layer in network._flatten_layers() for function in _functions(layer)
    ]


def _functions(layer: keras.layers.Layer) -> Iterator[FunctionType]:
    import keras

    for kind in type(layer).__mro__:
        if _is_own(kind):
            members = (value for _, value in sorted(vars(kind).items(), key=lambda pair: pair[0]))
            yield from filter(_is_function, map(_unwrapped, members))
    if isinstance(layer, keras.Model):  # what it was given is about its training
        return
    # A Lambda's, an activation, and whatever else a layer was given.
    for _, value in sorted(vars(layer).items(), key=lambda pair: pair[0]):
        function = _unwrapped(value)
        mine = isinstance(layer, keras.layers.Lambda) and value is layer.function
        if _is_function(function) and (mine or _is_own(function)):
            yield function


def _is_own(thing: Any) -> bool:
    return (thing.__module__ or "").split(".")[0] not in _KNOWN


def _is_function(value: Any) -> bool:
    return isinstance(value, FunctionType)


def _unwrapped(value: Any) -> Any:
    if isinstance(value, property):
        value = value.fget
    value = getattr(value, "__func__", value) if isinstance(value, staticmethod) else value
    return inspect.unwrap(value) if callable(value) else value


def _in_words(function: FunctionType) -> str:
    """Return the code, and plain values that it takes from around it."""
    code = function.__code__
    around = [function.__globals__.get(name) for name in code.co_names]
    cells = [_content(cell) for cell in function.__closure__ or ()]
    defaults = [*(function.__defaults__ or ()), *(function.__kwdefaults__ or {}).values()]
    values = [_plain(value) for value in (*around, *cells, *defaults)]
    return f"{_of_code(code)} {values}"


def _content(cell: Any) -> Any:
    try:
        return cell.cell_contents
    except ValueError:  # it is empty
        return None


def _of_code(code: CodeType) -> str:
    constants = [_plain(constant) for constant in code.co_consts]
    return f"{code.co_code.hex()} {constants} {code.co_names}"


def _plain(value: Any) -> Any:
    """Return a value in words that are the same in every process; None where it has none."""
    if isinstance(value, CodeType):
        return _of_code(value)
    if isinstance(value, frozenset):
        return sorted(map(repr, value))
    if isinstance(value, list | tuple):
        return [_plain(one) for one in value]
    if isinstance(value, np.ndarray):
        return value.tolist()
    return repr(value) if isinstance(value, _PLAIN) else None
