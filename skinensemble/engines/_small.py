"""Small models, such as heads: not worth an engine, except where Keras itself has none."""

from __future__ import annotations

from typing import Any
from weakref import WeakKeyDictionary

import numpy as np

from skinensemble.engines._fork import refuse_forked
from skinensemble.engines._openvino import compile_small

__all__ = ["run_small"]

_compiled: WeakKeyDictionary[Any, Any] = WeakKeyDictionary()


def run_small(model: Any, rows: np.ndarray) -> np.ndarray:
    """Return the outputs of a small Keras model.

    Parameters
    ----------
    model : keras.Model
    rows : float32 ndarray of shape (n, ...)

    Returns
    -------
    float32 ndarray
    """
    import keras

    refuse_forked()
    if keras.backend.backend() != "openvino":
        # A direct call: `Model.predict` would trace a new graph for each of the many small heads.
        return keras.ops.convert_to_numpy(model(rows, training=False))
    # Called directly, that backend compiles the model anew each time, and in bfloat16 where it can.
    if model not in _compiled:
        _compiled[model] = compile_small(model)
    request = _compiled[model].create_infer_request()
    request.infer([rows])
    return np.array(request.get_output_tensor().data)
