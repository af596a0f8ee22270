"""A training that was killed goes on where it stood, and ends as if nothing had happened."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import warnings
from pathlib import Path
from typing import Any

import numpy as np

from skinensemble.exceptions import ModelFileError, SaveError, message
from skinensemble.persistence.container import read_container, write_container

__all__ = ["Checkpoint", "CheckpointWarning"]

_VERSION = 3
_KEYS = {"epoch", "done", "history", "best"}


class CheckpointWarning(UserWarning):
    """A checkpoint that is damaged: the training starts again."""


class Checkpoint:
    """The state of one training after its last epoch, in a file named after what is trained.

    The name is a digest of everything that the result depends on, so other data, labels,
    parameters or another seed find no file and start anew, and several trainings share a folder.

    Parameters
    ----------
    folder : path-like or None
        None keeps nothing.
    name : str
        What is trained, for the reader of the folder.
    *parts : object
        All that the result depends on: JSON, or arrays.

    Attributes
    ----------
    epoch : int
        Epochs that are done.
    done : bool
        Whether the training is complete.
    best : list of ndarray or None
        The weights that early stopping would go back to.
    """

    def __init__(self, folder: str | os.PathLike[str] | None, name: str, *parts: Any) -> None:
        self.epoch, self.done = 0, False
        self.best: list[np.ndarray] | None = None
        file = f"{name}-{digest_of(*parts)}.checkpoint"
        self.path = None if folder is None else usable_folder(folder, "checkpoint") / file

    def restore(self, model) -> dict[str, list[float]]:
        """Put model and optimizer where they were after the last epoch; return the history."""
        if self.path is None or not self.path.exists():
            return {}
        try:
            container = _read(self.path)
            self.done, epoch = container.config["done"], container.config["epoch"]
            variables = model.weights if self.done else _variables(model)
            values = [
                container.read(f"{i:04d}", shape=tuple(variable.shape))
                for i, variable in enumerate(variables)
            ]
            if container.config["best"]:
                shapes = [tuple(one.shape) for one in model.weights]
                self.best = [container.read(f"best{i:04d}", shape=s) for i, s in enumerate(shapes)]
        except ModelFileError as error:
            self.done = False
            set_aside(self.path, error, "the training starts again")
            return {}
        for variable, value in zip(variables, values, strict=True):
            variable.assign(value)
        self.epoch = epoch
        return container.config["history"]

    def callback(self, history: dict[str, list[float]], stopping=None):
        """Return the Keras callback that extends the history and keeps the state each epoch.

        The state is also that of early stopping, where there is any.
        """
        import keras

        checkpoint = self

        class KeepEpoch(keras.callbacks.Callback):
            def on_epoch_end(self, epoch, logs=None):
                for name, value in (logs or {}).items():
                    history.setdefault(name, []).append(float(value))
                best = stopping and stopping.best_weights
                checkpoint._write(_variables(self.model), epoch + 1, False, history, best)

        return KeepEpoch()

    def finish(self, model, history: dict[str, list[float]]) -> None:
        """Keep the finished weights."""
        self._write(model.weights, len(history.get("loss", ())), True, history)

    def _write(self, variables, epoch: int, done: bool, history, best=None) -> None:
        # A state that is not finite is none to go on from.
        finite = all(np.isfinite(values).all() for values in history.values())
        if self.path is None or not finite:
            return
        arrays = {f"{i:04d}": np.asarray(one) for i, one in enumerate(variables)}
        arrays |= {f"best{i:04d}": np.asarray(one) for i, one in enumerate(best or ())}
        config = {"epoch": epoch, "done": done, "history": history, "best": best is not None}
        write_container(self.path, config, arrays)


def _read(path: Path):
    container = read_container(path)
    if container.config.keys() != _KEYS:
        why, remedy = "it holds something else", "name another folder"
        raise ModelFileError(message("checkpoint", path, why, remedy))
    return container


def usable_folder(folder: str | os.PathLike[str], what: str) -> Path:
    """Return a folder that is there from now on; known before anything is trained.

    Raises
    ------
    SaveError
        When it is a file, or cannot be made.
    """
    path = Path(folder).expanduser()
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        why = "it is a file" if path.is_file() else f"it cannot be made ({error.strerror})"
        raise SaveError(message(what, folder, why, "give the name of another folder")) from error
    return path


def digest_of(*parts: Any) -> str:
    """Return a digest of all that a result depends on: JSON, or arrays.

    What JSON does not know counts by its ``repr``.
    """
    digest = hashlib.sha256(f"checkpoint {_VERSION}".encode())
    for part in parts:
        if isinstance(part, np.ndarray):
            digest.update(f"{part.dtype.str} {part.shape}".encode())
            digest.update(np.ascontiguousarray(part).data)
        else:
            digest.update(json.dumps(_plain(part), sort_keys=True, default=repr).encode())
    return digest.hexdigest()[:24]


def _plain(part: Any) -> Any:
    """Return it with keys that JSON knows: labels, of class weights, may be numbers of NumPy."""
    if not isinstance(part, dict):
        return part
    keys = (key.item() if isinstance(key, np.generic) else key for key in part)
    return dict(zip(keys, map(_plain, part.values()), strict=True))


def set_aside(path: Path, error: ModelFileError, outcome: str) -> None:
    """Keep a damaged file under another name, with a warning that says what happens now.

    Raises
    ------
    ModelFileError
        The error itself, where the file cannot be read for the moment: it may be sound.
    """
    if isinstance(error.__cause__, OSError | MemoryError):
        raise error
    with contextlib.suppress(OSError):
        path.replace(path.with_suffix(".damaged"))
    why = f"it cannot be used ({error})"
    remedy = f"{outcome}; the file is kept as .damaged"
    warnings.warn(message("checkpoint", path, why, remedy), CheckpointWarning, stacklevel=4)


def _variables(model) -> list:
    return [*model.variables, *model.optimizer.variables]
