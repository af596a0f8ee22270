"""Saving and loading: one ordinary HDF5 file, read without HDF5's library."""

from __future__ import annotations

import os
import platform
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import numpy as np

from skinensemble._threads import n_threads
from skinensemble.exceptions import ModelFileError, SkinEnsembleError, first_few, message
from skinensemble.persistence._codec import State, Writer, decode, encode
from skinensemble.persistence.container import read_container, write_container

__all__ = ["load", "save"]


def save(estimator, path: str | os.PathLike[str]) -> str:
    """Write a fitted estimator to one HDF5 file, all or nothing.

    Parameters
    ----------
    estimator : Cascade, Stage, or a member or voting rule of a type that can be saved
        Fitted, where there is something to learn.
    path : str or path-like
        An existing file is replaced only when the new one is complete.

    Returns
    -------
    str
        SHA-256 of the file, for :func:`load`.

    Raises
    ------
    InputError
        When a member or a parameter cannot be saved without pickle.
    SaveError
        When the file cannot be written.
    """
    from sklearn.utils.validation import check_is_fitted

    check_is_fitted(estimator)
    out = Writer()
    root = encode(estimator, out)
    config = {"versions": _versions(), "shared": out.shared, "root": root}
    return write_container(path, config, out.arrays)


def load(path: str | os.PathLike[str], *, sha256: str | None = None):
    """Read an estimator that was saved; it predicts exactly what it did before.

    Nothing in the file is executed and no module is imported because a file names it. The
    checksum inside finds accidents only: compare files from elsewhere by `sha256`.

    Parameters
    ----------
    path : str or path-like
    sha256 : str, default=None
        SHA-256 the file must have, in hex digits; compared before anything is parsed.

    Returns
    -------
    Cascade, or whatever was saved

    Raises
    ------
    ModelFileError
        When the file is missing, damaged, foreign, of a newer version, or its content does not
        fit together.

    Examples
    --------
    >>> load("no/such.h5")
    Traceback (most recent call last):
    skinensemble.exceptions.ModelFileError: cannot load: no/such.h5 – No such file ...
    """
    container = read_container(path, sha256=sha256)
    config = container.config
    try:
        whole = State(config, container, {"described": dict(config["shared"])}, "file")
        return _decode_all(whole, container)
    except ModelFileError:
        raise
    except (SkinEnsembleError, KeyError, TypeError, ValueError, AttributeError) as error:
        why = f"its content does not fit together ({type(error).__name__}: {error})"
        remedy = "get the file again, or save it anew with this version"
        raise ModelFileError(message("cannot load", os.fsdecode(path), why, remedy)) from error


def _decode_all(whole: State, container):
    whole.raw("versions", dict), whole.raw("shared", dict)
    estimator = decode(whole.nested("root"))
    whole.close()
    shared = whole.context[1]
    spare = {
        *(container.specs.keys() - shared.get("read", set())),
        *(shared["described"].keys() - shared.get("built", {}).keys()),
    }
    if spare:
        raise whole.fault(first_few(sorted(spare)), "nothing in the file refers to it")
    return estimator


def _versions() -> dict[str, Any]:
    """Return what the file was made with; enough to explain a difference, nothing personal."""
    packages = ("skinensemble", "keras", "tensorflow", "jax", "torch", "scikit-learn")
    found = {name: _version(name) for name in packages}
    known = {name: number for name, number in found.items() if number is not None}
    # Threads and oneDNN change the last bits of what a network computes.
    machine = {"machine": platform.machine(), "threads": n_threads()}
    machine["onednn"] = os.environ.get("TF_ENABLE_ONEDNN_OPTS", "default")
    return {"python": platform.python_version(), "numpy": np.__version__, **known, **machine}


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None
