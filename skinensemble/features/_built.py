"""Frozen networks by what they are made of, each built once in a process."""

from __future__ import annotations

import os
import threading
from collections import OrderedDict
from pathlib import Path
from typing import Any

from skinensemble.backbones import Backbone, get_backbone, list_backbones
from skinensemble.features._extractor import Extractor
from skinensemble.features._recipe import Recipe
from skinensemble.images._fit import check_fit
from skinensemble.images._structure import MAX_PIXELS

__all__ = ["load_extractor", "portable", "saved_backbone", "saved_size", "weights_identity"]

_CACHED = 8
_cache: OrderedDict[tuple[Any, ...], tuple[Backbone, Extractor]] = OrderedDict()
_cache_lock = threading.Lock()


def load_extractor(
    backbone: str | Backbone,
    weights: str | os.PathLike[str] | None = "imagenet",
    image_size: int | tuple[int, int] | None = None,
    pooling: str | None = "avg",
    fit: str = "crop",
) -> Extractor:
    """Build a backbone and its identity, or return the one that was built for the same before.

    Parameters
    ----------
    backbone : str or Backbone
        A name in the registry, or a backbone.
    weights : "imagenet", path or None, default="imagenet"
        As in :meth:`Backbone.build`. A file that changed is loaded again.
    image_size : int or (int, int), optional
        Height and width in pixels; the backbone's own by default.
    pooling : {"avg", "max"} or None, default="avg"
        How each feature map becomes one number; None keeps the maps.
    fit : {"crop", "pad", "squash"}, default="crop"
        How images are brought to size.

    Returns
    -------
    Extractor
        The last eight are kept in memory.

    Raises
    ------
    InputError
        When there is no such backbone, or another parameter cannot be used.
    WeightsError
        When the weights cannot be had or do not fit.

    Examples
    --------
    >>> extractor = load_extractor("mobilenet_v2_035", None, image_size=32)
    >>> extractor is load_extractor("mobilenet_v2_035", None, image_size=(32, 32))
    True
    """
    check_fit(fit)
    found = backbone if isinstance(backbone, Backbone) else get_backbone(backbone)
    size, weights = found._check_size(image_size), found.source(weights)
    # By identity: a name that was registered anew is another backbone.
    key = (id(found), weights_identity(weights), size, repr(pooling), fit)
    with _cache_lock:
        if key not in _cache:
            model = found.build(weights, size, pooling)
            extractor = Extractor(model, found.name, fit)
            extractor.backbone = found
            extractor.recipe = Recipe(
                load_extractor,
                (found, portable(weights), size, pooling, fit),
                extractor.fingerprint,
            )
            _cache[key] = found, extractor
        _cache.move_to_end(key)
        while len(_cache) > _CACHED:
            _cache.popitem(last=False)
        return _cache[key][1]


def saved_backbone(state) -> Backbone:
    """Return the backbone that a saved file names, if it is registered here."""
    name = state.raw("backbone", str)
    if name not in list_backbones():
        why = f"there is no backbone {name!r:.60} here"
        remedy = f"register it with register_backbone({name!r:.60}, …) before loading"
        raise state.fault("backbone", why, remedy)
    return get_backbone(name)


def saved_size(state) -> tuple[int, int]:
    """Return the image size in a saved file, if it is that of an image."""
    size = state.raw("image_size", list)
    if len(size) != 2 or not all(type(side) is int and side > 0 for side in size):
        raise state.fault("image_size", "not height and width")
    if size[0] * size[1] > MAX_PIXELS:
        raise state.fault("image_size", f"more than {MAX_PIXELS / 1e6:.0f} million pixels")
    return size[0], size[1]


def portable(weights: str | os.PathLike[str] | None) -> str | None:
    """Return weights as another process can find them, which runs in another folder."""
    return weights if weights in (None, "imagenet") else str(Path(weights).absolute())


def weights_identity(weights: str | os.PathLike[str] | None) -> object:
    """Return what tells one source of weights from another; of a file, also its age and length."""
    if weights is None or weights == "imagenet":
        return weights
    try:
        path = Path(weights)
        status = path.stat()
    except (OSError, TypeError, ValueError):
        return repr(weights)  # the backbone will say what is wrong with it
    return str(path.absolute()), status.st_mtime_ns, status.st_size
