"""What lies above a cut: Keras trained it, and the engine in force runs it."""

from __future__ import annotations

from typing import Any
from weakref import WeakKeyDictionary

import numpy as np

from skinensemble.engines._config import get_config
from skinensemble.engines._engine import Runner, make_runner
from skinensemble.engines._keras import run_batch

__all__ = ["run_upper"]

# No runner where Keras is to run a model: it would keep the model, and itself, forever.
_runners: WeakKeyDictionary[Any, dict[tuple[str, ...], tuple[str, Runner | None]]] = (
    WeakKeyDictionary()
)


class _Upper:
    """A model in the form that an engine takes: for rows as a store has them."""

    def __init__(self, model: Any) -> None:
        self.model, self.input_shape = model, model.input_shape

    @staticmethod
    def preprocess(rows: np.ndarray) -> np.ndarray:
        return rows.astype(np.float32, copy=False)


def run_upper(model: Any, name: str, rows: np.ndarray, batch_size: int, weights: str) -> np.ndarray:
    """Return the outputs of a model for the activations at a cut.

    Parameters
    ----------
    model : keras.Model
    name : str
        What to call it in messages.
    rows : ndarray of shape (n, ...)
    batch_size : int
        Rows that Keras gets at a time.
    weights : str
        Digest of the model's weights: an engine has them as they were when it compiled the model.

    Returns
    -------
    float32 ndarray

    Raises
    ------
    EngineError
        When an engine that was asked for by name cannot run the model.
    """
    config = get_config()
    key, own = tuple(config.values()), _runners.setdefault(model, {})
    known, runner = own.get(key, ("", None))
    if known != weights:
        made = make_runner(_Upper(model), name, **config)
        runner = made if made.alone else None
        own[key] = weights, runner
    return _in_batches(model, rows, batch_size) if runner is None else runner(rows)


def _in_batches(model: Any, rows: np.ndarray, size: int) -> np.ndarray:
    """Let Keras run a model, in batches of one shape: another would be traced anew."""
    found = []
    for start in range(0, len(rows), size):
        part = _Upper.preprocess(rows[start : start + size])
        padded = np.pad(part, [(0, size - len(part)), *[(0, 0)] * (rows.ndim - 1)])
        found.append(run_batch(model, padded)[: len(part)])
    return np.concatenate(found)
