"""Candidates from a grid, each named after what sets it apart."""

from __future__ import annotations

import itertools
from typing import Any

import joblib
import numpy as np
from sklearn.model_selection import ParameterGrid

from skinensemble.backbones import get_backbone
from skinensemble.builders import check_options, weights_of
from skinensemble.exceptions import InputError, first_few, message
from skinensemble.members import TransferClassifier
from skinensemble.members._params import FINE_TUNING
from skinensemble.stage import Stage

__all__ = ["check_candidates", "make_candidates"]


def make_candidates(*backbones, weights="imagenet", **options) -> list[tuple[str, Any]]:
    """Build a candidate for each backbone and each combination of the options.

    Parameters
    ----------
    *backbones : str
        Names of :func:`~skinensemble.list_backbones`.
    weights : {"imagenet", None}, path, or dict of backbone name to one, default="imagenet"
        A dict leaves the others at ``"imagenet"``.
    **options
        Parameters of :class:`TransferClassifier`. A list holds alternatives, of which each
        combination is one candidate; anything else is the same for all of them, and so is a list
        of callbacks. Those that matter only with `unfreeze` are left out where nothing is
        fine-tuned.

    Returns
    -------
    list of (str, TransferClassifier)
        The name is that of the backbone, with the value of each option of which there are
        alternatives. For :func:`search`, or for :class:`Stage`.

    Raises
    ------
    InputError
        When there is no backbone or an option without a value, or the name of one is not known.

    Examples
    --------
    >>> for name, _ in make_candidates(
    ...     "mobilenet_v2", "vgg16", unfreeze=[None, 0.3], loss=["cross_entropy", "focal"]
    ... ):
    ...     print(name)
    mobilenet_v2, unfreeze=none
    mobilenet_v2, loss=cross_entropy, unfreeze=0.3
    mobilenet_v2, loss=focal, unfreeze=0.3
    vgg16, unfreeze=none
    vgg16, loss=cross_entropy, unfreeze=0.3
    vgg16, loss=focal, unfreeze=0.3
    """
    _check_space(backbones, options)
    grid = {key: _alternatives(key, value) for key, value in options.items()}
    varied = [key for key in sorted(grid) if len(grid[key]) > 1]
    found: dict[str, Any] = {}
    for backbone, source in weights_of(backbones, weights).items():
        for params in map(_with_effect, ParameterGrid(grid)):
            shown = [f"{key}={_short(params[key])}" for key in varied if key in params]
            member = TransferClassifier(backbone, weights=source, **params)
            found[_free(", ".join([backbone, *shown]), member, found)] = member
    # Where nothing is fine-tuned, combinations that differ in nothing else come last.
    return sorted(found.items(), key=lambda item: backbones.index(item[1].backbone))


def check_candidates(candidates, n_jobs=None) -> list[tuple[str, Any]]:
    """Refuse an empty search space, and candidates that a stage could not have as members."""
    if not isinstance(candidates, list) or not candidates:
        shown = "[]" if candidates == [] else f"{candidates!r:.60}"
        why = "the search space is empty" if candidates == [] else "not a list of candidates"
        remedy = 'pass [("name", classifier), …], or make_candidates("efficientnet_lite0", …)'
        raise InputError(message("candidates", shown, why, remedy))
    Stage(candidates, n_jobs=n_jobs).check_members()
    return candidates


def _alternatives(name: str, value) -> list:
    """Return the values of an option; a list of callbacks is one."""
    one = name == "callbacks" and all(hasattr(each, "on_epoch_end") for each in value or ())
    return value if isinstance(value, list) and not one else [value]


def _check_space(backbones, options) -> None:
    for name in backbones:
        get_backbone(name)
    check_options(options, make_candidates)
    arrays = [key for key, value in options.items() if isinstance(value, np.ndarray)]
    if arrays:
        why, remedy = "an array is no list of alternatives", "pass a list"
        raise InputError(message("options", first_few(arrays), why, remedy))
    empty = [key for key, value in options.items() if not _alternatives(key, value)]
    if not backbones or empty:
        shown = first_few(f"{key}=[]" for key in empty) if empty else "no backbone"
        remedy = "give each option a value or more" if empty else "pass names of list_backbones()"
        raise InputError(message("candidates", shown, "the search space is empty", remedy))


def _with_effect(params: dict[str, Any]) -> dict[str, Any]:
    """Return the parameters without those that do nothing."""
    if params.get("unfreeze") not in (None, 0):
        return params
    return {key: value for key, value in params.items() if key not in FINE_TUNING}


def _free(name: str, member, found: dict[str, Any]) -> str:
    """Return the name, with a number where another candidate reads the same."""
    names = (name if n == 1 else f"{name} ({n})" for n in itertools.count(1))
    return next(n for n in names if n not in found or joblib.hash(found[n]) == joblib.hash(member))


def _short(value) -> str:
    """Return a value as it reads in a name: ASCII, and neither a slash nor two underscores."""
    if isinstance(value, tuple):
        return "x".join(map(_short, value)) or "linear"
    text = f"{value:g}" if isinstance(value, float) else str(value)
    text = "none" if value is None else text
    return text.replace("/", "-").replace("__", "_").encode("ascii", "replace").decode()[-40:]
