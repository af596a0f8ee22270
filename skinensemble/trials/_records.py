"""Finished trials in a folder, so that a search that was killed goes on where it stood."""

from __future__ import annotations

import functools
import hashlib
import inspect
import os
import re
import sys
import warnings
from pathlib import Path
from types import FunctionType

import numpy as np
from joblib.hashing import NumpyHasher
from sklearn.base import clone

from skinensemble import __version__
from skinensemble.backbones._registry import registered_by_user
from skinensemble.engines import get_config
from skinensemble.exceptions import InputError, ModelFileError, first_few, message
from skinensemble.features import load_extractor
from skinensemble.members._checkpoint import digest_of, set_aside, usable_folder
from skinensemble.persistence.container import read_container, write_container
from skinensemble.trials._trial import Trial, TrialData

__all__ = ["Records"]

# What a classifier says, where it keeps things and how many help changes no ballot.
_IDLE = ("verbose", "n_jobs", "store", "checkpoint")
# Packages whose code a version stands for.
_RELEASED = ("keras", "sklearn", "skinensemble")


def _content(weights):
    """Return what stands for weights: of a file its digest, for the name may be that of others."""
    try:
        path, status = Path(weights), Path(weights).stat()
    except (OSError, TypeError, ValueError):
        return weights
    return _digest_of_file(path, status.st_mtime_ns, status.st_size) if path.is_file() else weights


@functools.lru_cache(maxsize=64)
def _digest_of_file(path: Path, _changed: int, _size: int) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _networks(params) -> list[str]:
    """Return what stands for networks that users registered: a name may be that of another."""
    own = registered_by_user(value for value in params.values() if isinstance(value, str))
    found = []
    for key, value in params.items():
        if isinstance(value, str) and value in own:
            head, between, _ = key.rpartition("__")
            weights = params.get(f"{head}{between}weights")
            found.append(load_extractor(own[value][1], weights).fingerprint)
    return found


class _Hasher(NumpyHasher):
    """Notes the classes and functions that an object is made of: a digest knows but their names."""

    def __init__(self) -> None:
        super().__init__("md5")
        self.code: dict[type | FunctionType, None] = {}

    def persistent_id(self, obj):
        """Note it, and change nothing."""
        if isinstance(obj, type | FunctionType):
            self.code |= dict.fromkeys(getattr(obj, "__mro__", [obj]))


def _digest(member) -> list[str]:
    """Return what stands for an object, and for the code that it is made of where no version does.

    It differs where ``joblib.hash`` does.
    """
    hasher = _Hasher()
    found = [hasher.hash(member)]
    names = (*_RELEASED, *sys.builtin_module_names)
    own = [one for one in hasher.code if one.__module__.partition(".")[0] not in names]
    return [*found, *map(_source, own)]


def _source(one: type | FunctionType) -> str:
    """Return a digest of the file that a class or function is from; of a script, its own lines."""
    if one.__module__ != "__main__":
        return _content(sys.modules[one.__module__].__file__)
    try:
        return inspect.getsource(one)
    except OSError:
        if isinstance(one, FunctionType):
            raise
        # Of a class in a notebook, only the functions have one.
        return "".join(inspect.getsource(f) for f in vars(one).values() if inspect.isfunction(f))


def _identity(member) -> str | None:
    """Return a digest of what the ballots of a candidate depend on, if it has one."""
    params = member.get_params()
    changed = {key: None for key in params if key.rpartition("__")[2] in _IDLE}
    changed |= {
        key: _content(value)
        for key, value in params.items()
        if key.rpartition("__")[2] == "weights"
    }
    quiet = clone(member)
    if changed:
        quiet.set_params(**changed)
    try:
        return " ".join([__version__, *_digest(quiet), *_networks(params)])
    except Exception:  # of any kind: a lambda, code without a source, a network that fails
        return None


def _warn_of(names: list[str]) -> None:
    if names:
        why = "nothing tells them from others, so their trials are not kept"
        remedy = "pass parameters without lambdas, and networks that can be built"
        text = message("candidates", first_few(names), why, remedy)
        warnings.warn(text, UserWarning, stacklevel=4)


class Records:
    """Trials in a folder, each in a file named after a digest of all that its ballots depend on.

    Other images, labels, lesions, folds, parameters, code or another seed find no file; so any
    number of searches share a folder, by one process or several. Trials that failed are not kept.

    Parameters
    ----------
    folder : path-like or None
        Made when it is not there; None keeps nothing.
    data : TrialData
    members : dict of str to classifier
        The candidates; a warning names those that cannot be told from others.

    Raises
    ------
    InputError
        When the samples cannot be told from others by their content.
    SaveError
        When the folder cannot be made.
    """

    def __init__(
        self, folder: str | os.PathLike[str] | None, data: TrialData, members: dict
    ) -> None:
        self.folder, self._data = None, data
        if folder is None:
            return
        if data.digests is None:
            why = "samples of this type cannot be told from others, so no trial would be found"
            remedy = "pass an array, a DataFrame of numbers or images, or leave out the folder"
            raise InputError(message("folder", folder, why, remedy))
        self.folder = usable_folder(folder, "folder")
        lesions = np.arange(0) if data.lesions is None else data.lesions
        parts = (data.digests, data.targets, lesions, data.folds, data.classes.tolist(), data.seed)
        self._digest = digest_of("trials", get_config()["precision"], *parts)
        self._identities = {name: _identity(member) for name, member in members.items()}
        _warn_of([name for name, known in self._identities.items() if known is None])

    def read(self, name: str, share: float) -> Trial | None:
        """Return a trial that was finished before; None when it has to be done.

        Raises
        ------
        ModelFileError
            When it cannot be read for the moment, such as for want of memory.
        """
        path = self._path(name, share)
        if path is None:
            return None
        shape = len(self._data.judged(share)), len(self._data.classes)
        try:
            container = read_container(path)
            ballots = container.read("ballots", shape=shape, dtype=np.float64)
        except ModelFileError as error:
            if isinstance(error.__cause__, FileNotFoundError):
                return None
            set_aside(path, error, "the trial is done again")
            return None
        return Trial(name, share, float(container.config.get("seconds", 0)), ballots)

    def write(self, trial: Trial) -> None:
        """Keep a trial, at once and whole."""
        path = self._path(trial.name, trial.share)
        if path is None or trial.ballots is None:
            return
        config = {"name": trial.name, "share": trial.share, "seconds": trial.seconds}
        write_container(path, config, {"ballots": trial.ballots})

    def _path(self, name: str, share: float) -> Path | None:
        if self.folder is None or self._identities[name] is None:
            return None
        digest = digest_of(self._digest, name, self._identities[name], share)
        readable = re.sub(r"[^\w.=-]+", "-", name)[:60]
        return self.folder / f"{readable}-{digest}.trial"
