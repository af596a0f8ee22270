"""Weights from a file: all of them, and only those of the right network, or an error."""

from __future__ import annotations

from collections import Counter
from os import PathLike, fspath
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from skinensemble.exceptions import WeightsError, first_few, message

if TYPE_CHECKING:
    import keras

Shape = tuple[int, ...]

_FIT = "pass a file saved from this network without its top (include_top=False)"
_DAMAGED = "copy or download the file again"
# State of optimizers and random generators: not what the network computes.
_SKIPPED = ("optimizer", "optimizer_weights", "top_level_model_weights", "seed_generator")


def check_weights(weights: str | PathLike[str] | None) -> str | Path | None:
    """Return "imagenet", None or the path of a weights file that exists."""
    if weights is None or weights == "imagenet":
        return weights
    try:
        path = Path(fspath(weights))
    except TypeError:
        remedy = "pass 'imagenet', None or the path of a .weights.h5 or .h5 file"
        raise WeightsError(message("weights", repr(weights), "no such choice", remedy)) from None
    if not path.is_file():
        why = "it is a directory" if path.is_dir() else "no such file"
        remedy = "pass 'imagenet', None or the path of a .weights.h5 or .h5 file"
        raise WeightsError(message("weights", path, why, remedy))
    if path.suffix != ".h5":
        why = "only .weights.h5 and legacy .h5 files are read (others may run code)"
        remedy = "load it with Keras and use model.save_weights('name.weights.h5')"
        raise WeightsError(message("weights", path, why, remedy))
    return path


def load_weights_file(model: keras.Model, path: Path, name: str) -> None:
    """Load a file into `model`; an error leaves `model` unusable, so do not keep it.

    Keras ignores what a file holds besides the weights it looks for, such as a top. So the arrays
    in the file are counted first.

    Parameters
    ----------
    model : keras.Model
        The network, built.
    path : Path
        A ``.weights.h5`` file, or a legacy ``.h5`` file.
    name : str
        What to call the network in messages.

    Raises
    ------
    WeightsError
        Naming `path` and what is wrong with it.
    """
    arrays, legacy = _list_arrays(path)
    _compare(arrays, model, path, name)
    if legacy == path.name.endswith(".weights.h5"):
        kind, right = ("legacy", ".h5") if legacy else ("Keras 3", ".weights.h5")
        why = f"it is a {kind} weights file, which Keras knows by its name"
        raise WeightsError(message("weights", path, why, f"rename it to end in {right}"))
    try:
        model.load_weights(path)
    except Exception as error:
        why = f"Keras could not load it into {name} ({_first_line(error)})"
        raise WeightsError(message("weights", path, why, f"{_FIT}, or {_DAMAGED}")) from error
    bad = [weight.path for weight in model.weights if not np.isfinite(weight.numpy()).all()]
    if bad:
        why = f"not finite: {first_few(bad, 5)}"
        raise WeightsError(message("weights", path, why, _DAMAGED))


def _list_arrays(path: Path) -> tuple[dict[str, Shape], bool]:
    """Return name → shape of every array in the file, and whether the format is the legacy one."""
    import h5py

    try:
        with h5py.File(path, "r") as file:
            legacy = "layer_names" in file.attrs or "model_weights" in file
            arrays: dict[str, Shape] = {}
            _walk(file, "", arrays)
            return arrays, legacy
    except (OSError, RuntimeError, KeyError, ValueError, TypeError) as error:
        why = f"it is damaged or no HDF5 file ({_first_line(error)})"
        raise WeightsError(message("weights", path, why, _DAMAGED)) from error


def _walk(group: Any, prefix: str, arrays: dict[str, Shape], depth: int = 0) -> None:
    import h5py

    if depth > 20:
        raise ValueError("groups are nested too deeply")
    for key in group:
        if key in _SKIPPED:
            continue
        name = f"{prefix}/{key}" if prefix else key
        # A link to another file would let a weights file read anything on the disk.
        if not isinstance(group.get(key, getlink=True), h5py.HardLink):
            raise ValueError(f"{name} is a link")
        item = group[key]
        if isinstance(item, h5py.Dataset):
            if item.is_virtual or item.external or item.dtype.kind not in "fiub":
                raise ValueError(f"{name} is not a plain array of numbers")
            arrays[name] = item.shape
        elif isinstance(item, h5py.Group):
            _walk(item, name, arrays, depth + 1)
        else:
            raise ValueError(f"{name} is neither an array nor a group")


def _compare(arrays: dict[str, Shape], model: keras.Model, path: Path, name: str) -> None:
    wanted = {weight.path: tuple(weight.shape) for weight in model.weights}
    extra = _unmatched(arrays, Counter(wanted.values()))
    missing = _unmatched(wanted, Counter(arrays.values()))
    if not extra and not missing:
        return
    parts = []
    if missing:
        parts.append(f"{len(missing)} missing in the file: {first_few(missing, 3)}")
    if extra:
        parts.append(f"{len(extra)} too many in the file: {first_few(extra, 3)}")
    why = f"its arrays are not those of {name}: {'; '.join(parts)}"
    if extra and not missing:
        why += " (it seems to hold the network's top as well)"
    raise WeightsError(message("weights", path, why, _FIT))


def _unmatched(arrays: dict[str, Shape], others: Counter[Shape]) -> list[str]:
    """Return the arrays whose shape is left over when like shapes are paired off."""
    left = Counter(others)
    unmatched = []
    for name, shape in arrays.items():
        if left[shape] > 0:
            left[shape] -= 1
        else:
            unmatched.append(f"{name} {shape}")
    return unmatched


def _first_line(error: Exception) -> str:
    text = str(error).strip() or type(error).__name__
    return text.splitlines()[0][:200]
