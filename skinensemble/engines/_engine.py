"""What an engine is, and which one makes a network ready."""

from __future__ import annotations

import warnings
from typing import Any, Protocol

import numpy as np

from skinensemble._optional import is_absent
from skinensemble.engines._keras import KerasRunner
from skinensemble.engines._openvino import check_bfloat16, compile_network, import_openvino
from skinensemble.exceptions import (
    EngineError,
    InputError,
    MissingDependencyError,
    check_choice,
    message,
)

__all__ = ["PRECISIONS", "EngineWarning", "Runner", "check_engine", "make_runner"]

_ENGINES = ("keras", "openvino", "auto")
PRECISIONS = ("float32", "bfloat16")


class EngineWarning(UserWarning):
    """A network runs on another engine than was hoped for."""


class Runner(Protocol):
    """A network made ready by an engine; several threads may call it at once.

    Attributes
    ----------
    alone : bool
        Whether an image gives the same row, bit by bit, whatever stands beside it. If not, it is
        called with batches of one shape only.
    """

    alone: bool

    def __call__(self, images: np.ndarray) -> np.ndarray:
        """Return the rows of images, uint8 of shape (b, height, width, 3), as float32."""


def check_engine(engine: str, precision: str) -> None:
    """Refuse what cannot be had, before any image is read.

    Raises
    ------
    InputError
        When there is no such choice, or the engine or this processor cannot do the precision.
    MissingDependencyError
        When the engine is not installed, or too old.
    """
    check_choice("engine", engine, _ENGINES)
    check_choice("precision", precision, PRECISIONS)
    if precision == "bfloat16" and engine == "keras":
        why = "Keras runs frozen networks in float32"
        remedy = 'pass engine="openvino" or precision="float32" as well'
        raise InputError(message("precision", repr(precision), why, remedy))
    if precision == "bfloat16":
        check_bfloat16()
    elif engine == "openvino":
        import_openvino()


def make_runner(network: Any, name: str, *, engine: str, precision: str) -> Runner:
    """Make a network ready on an engine.

    Parameters
    ----------
    network : keras.Model, or an object like it
        It has ``input_shape`` and ``predict_on_batch``. Where it is not a model itself, ``model``
        is one, and ``preprocess`` makes of images what that takes.
    name : str
        Of the network, for messages.
    engine, precision : str
        As in :func:`set_config`.

    Raises
    ------
    EngineError
        When an engine that was asked for by name cannot run the network.

    Warns
    -----
    EngineWarning
        When ``"auto"`` falls back to Keras although OpenVINO is installed.
    """
    if engine == "keras":
        return KerasRunner(network)
    try:
        return compile_network(network, name, precision)
    except (EngineError, MissingDependencyError) as error:
        if engine != "auto" or precision != "float32":
            raise
        if not is_absent("openvino", error.__cause__):
            warnings.warn(f"{error}; Keras runs it meanwhile", EngineWarning, stacklevel=2)
    return KerasRunner(network)
