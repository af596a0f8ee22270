"""A finished network in a saved file: its structure, and one array for each weight."""

from __future__ import annotations

import hashlib
import json

import numpy as np

from skinensemble.exceptions import InputError, message
from skinensemble.members._architecture import ArchitectureFault, build, describe

__all__ = ["dump_network", "load_network"]

# Only a wrong order or a missing part differs more, not the rounding of another batch.
_TOLERANCE = 1e-3


def dump_network(model, out, size: tuple[int, int]) -> str:
    """Store a model once, and return what stands for it.

    Raises
    ------
    InputError
        When it holds anything but built-in layers, or comes back as another model.
    """
    structure = describe(model)
    arrays = [np.asarray(one) for one in _variables(model)]
    digest = hashlib.sha256(json.dumps(structure, sort_keys=True).encode())
    for array in arrays:
        digest.update(array.tobytes())
    key = digest.hexdigest()
    if key not in out.shared:
        _check_twin(model, structure, arrays, size)

    def dump(out) -> dict:
        weights = [out.array(f"{i:04d}", array) for i, array in enumerate(arrays)]
        return {"structure": structure, "weights": weights}

    return out.share("networks", key, dump)


def load_network(state):
    """Return the model that a file describes; its weights are compared before they are taken."""
    arrays = state.arrays("weights")
    try:
        model = build(state.raw("structure", dict), sum(array.size for array in arrays))
        _assign(model, arrays)
    except ArchitectureFault as error:
        raise state.fault("structure", str(error)) from error
    return model


def _variables(model) -> list:
    """Return the weights that are stored as arrays: those of a Normalization are structure."""
    apart = {id(one) for layer in _layers(model) for one in _moments(layer)}
    return [one for one in model.weights if id(one) not in apart]


def _layers(model):
    for layer in getattr(model, "layers", []):
        yield layer
        yield from _layers(layer)


def _moments(layer) -> list:
    import keras

    return layer.weights if isinstance(layer, keras.layers.Normalization) else []


def _assign(model, arrays) -> None:
    variables = _variables(model)
    expected = [f"{tuple(one.shape)} of {one.dtype}" for one in variables]
    found = [f"{array.shape} of {array.dtype.name}" for array in arrays]
    if expected != found:
        odd = [f"{a} for {e}" for e, a in zip(expected, found, strict=False) if e != a]
        why = odd[0] if odd else f"{len(found)} arrays for {len(expected)}"
        raise ArchitectureFault(f"the weights do not fit its layers ({why})")
    for variable, array in zip(variables, arrays, strict=True):
        variable.assign(array)


def _check_twin(model, structure, arrays, size) -> None:
    """Build the model from its description, and see that it is the same."""
    images = np.random.default_rng(0).uniform(-1, 1, (2, *size, 3)).astype(np.float32)
    try:
        twin = build(structure, sum(array.size for array in arrays))
        _assign(twin, arrays)
        ours, theirs = (one.predict_on_batch(images) for one in (model, twin))
    except ArchitectureFault as error:
        why = f"it cannot be rebuilt from its description: {error}"
    else:
        if np.allclose(ours, theirs, atol=_TOLERANCE, equal_nan=True):
            return
        why = "rebuilt from its description it gives other outputs"
    remedy = "leave the member out, or rebuild its network from built-in layers"
    raise InputError(message("save", f"model {model.name!r}", why, remedy))
