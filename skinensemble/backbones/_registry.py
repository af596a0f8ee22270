"""Backbones by name."""

from __future__ import annotations

import difflib
import re
import uuid
from collections.abc import Callable, Iterable
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING

from skinensemble.backbones._applications import application_backbones
from skinensemble.backbones._backbone import Backbone
from skinensemble.backbones._efficientnet_lite import lite_backbones
from skinensemble.backbones._graft import ModelBuilder
from skinensemble.backbones._preprocess import Preprocess, check_preprocess
from skinensemble.exceptions import InputError, message

if TYPE_CHECKING:
    import keras

__all__ = ["get_backbone", "list_backbones", "register_backbone"]

_REGISTRY: dict[str, Backbone] = {
    backbone.name: backbone for backbone in (*application_backbones(), *lite_backbones())
}


# Those that users added; a token tells one from another that was registered anew.
_OWN: dict[str, str] = {}


def list_backbones() -> list[str]:
    """Return the names of all backbones, sorted.

    Examples
    --------
    >>> [name for name in list_backbones() if name.startswith("efficientnet_lite")]
    ['efficientnet_lite0', 'efficientnet_lite1', 'efficientnet_lite2']
    """
    return sorted(_REGISTRY)


def get_backbone(name: str) -> Backbone:
    """Return the backbone of that name.

    Parameters
    ----------
    name : str
        One of :func:`list_backbones`.

    Returns
    -------
    Backbone

    Raises
    ------
    InputError
        When there is none of that name; the nearest names are suggested.

    Examples
    --------
    >>> backbone = get_backbone("inception_v3")
    >>> backbone.family, backbone.input_size
    ('Inception', 299)
    """
    if isinstance(name, str) and name in _REGISTRY:
        return _REGISTRY[name]
    near = difflib.get_close_matches(str(name).lower(), _REGISTRY, n=3, cutoff=0.5)
    hint = f"did you mean {' or '.join(near)}? " if near else ""
    remedy = f"{hint}list_backbones() names them all; register your own in each process"
    raise InputError(message("backbone", repr(name), "there is none of that name", remedy))


def register_backbone(
    name: str,
    builder: Callable[[tuple[int, int, int]], keras.Model],
    *,
    input_size: int,
    preprocess: Preprocess = None,
    min_size: int | None = None,
    weights: str | PathLike[str] | None = None,
    family: str = "user",
    licence: str = "not stated",
    citation: str = "not stated",
    overwrite: bool = False,
) -> Backbone:
    """Add a network of your own to the backbones.

    Parameters
    ----------
    name : str
        Letters, digits, ``_``, ``-`` and ``.``.
    builder : callable
        ``builder(input_shape)`` returns a ``keras.Model`` from preprocessed images of shape
        (height, width, 3) to feature maps (b, h, w, d). The library pools them. The weights the
        model has are kept with ``weights=None``.
    input_size : int
        Height and width in pixels by default.
    preprocess : {"tf", "torch", "caffe", "lite"}, callable or None, default=None
        What is done to 0–255 RGB pixels before the network sees them: to −1…1; to 0…1 and
        standardised with the means of ImageNet; to BGR less the means of ImageNet; to
        (x − 127) / 128. Or a function of a Keras tensor, made of Keras layers and operations.
    min_size : int, optional
        Smallest height and width in pixels that the network accepts; 1 by default.
    weights : path, optional
        The file that ``weights="imagenet"`` stands for.
    family, licence, citation : str, optional
        For the record.
    overwrite : bool, default=False
        Whether to replace a backbone of the same name.

    Returns
    -------
    Backbone

    Raises
    ------
    InputError
        When the name is taken or not a name, or another parameter cannot be used.

    Examples
    --------
    >>> import keras
    >>> def tiny(input_shape):
    ...     return keras.Sequential([
    ...         keras.Input(input_shape),
    ...         keras.layers.Conv2D(8, 3, strides=2, activation="relu"),
    ...         keras.layers.Conv2D(16, 3, strides=2, activation="relu", name="last"),
    ...     ])
    >>> tiny_net = register_backbone(
    ...     "tiny_example", tiny, preprocess="tf", input_size=32, overwrite=True
    ... )
    >>> tiny_net.build(weights=None).output_shape
    (None, 16)
    """
    _check_name(name, overwrite)
    if not callable(builder):
        remedy = "pass a function from an input shape to a keras.Model"
        raise InputError(message("builder", repr(builder), "it cannot be called", remedy))
    smallest = 1 if min_size is None else min_size
    _check_sizes(name, input_size, smallest)
    backbone = Backbone(
        name=name,
        family=family,
        builder=ModelBuilder(name, builder, _absolute(weights)),
        preprocess=check_preprocess(preprocess),
        input_size=input_size,
        min_size=smallest,
        licence=licence,
        citation=citation,
    )
    _REGISTRY[name] = backbone
    _OWN[name] = uuid.uuid4().hex
    return backbone


def registered_by_user(names: Iterable[str]) -> dict[str, tuple[str, Backbone]]:
    """Return those of `names` that :func:`register_backbone` added, for :func:`register_here`."""
    return {name: (_OWN[name], _REGISTRY[name]) for name in names if name in _OWN}


def register_here(backbones: dict[str, tuple[str, Backbone]]) -> None:
    """Add what another process registered, unless it is here already."""
    for name, (token, backbone) in backbones.items():
        if _OWN.get(name) != token:
            _REGISTRY[name], _OWN[name] = backbone, token


def _absolute(weights: str | PathLike[str] | None) -> Path | None:
    """Return the path as it is meant now: the process may go to another folder."""
    try:
        return None if weights is None else Path(weights).absolute()
    except TypeError:
        remedy = "pass the path of a .weights.h5 or .h5 file"
        raise InputError(message("weights", repr(weights), "it is no path", remedy)) from None


def _check_name(name: str, overwrite: bool) -> None:
    if not isinstance(name, str) or not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_.-]*", name):
        remedy = "use letters, digits, _, - and ."
        raise InputError(message("backbone", repr(name), "this cannot be a name", remedy))
    if name in _REGISTRY and not overwrite:
        remedy = "choose another name, or pass overwrite=True"
        raise InputError(message("backbone", repr(name), "the name is taken", remedy))


def _check_sizes(name: str, input_size: int, min_size: int) -> None:
    sizes = (input_size, min_size)
    whole = all(isinstance(size, int) and not isinstance(size, bool) for size in sizes)
    if not whole or not 1 <= min_size <= input_size:
        why = f"input_size={input_size!r} and min_size={min_size!r} are no sizes in pixels"
        remedy = "pass whole numbers with 1 ≤ min_size ≤ input_size"
        raise InputError(message("backbone", name, why, remedy))
