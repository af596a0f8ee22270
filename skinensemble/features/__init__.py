"""Features: each image passes each frozen network once, whatever is done with them afterwards.

:func:`load_extractor` makes an :class:`Extractor` of a backbone, a :class:`FeatureStore` keeps what
it computed, and :class:`BackboneFeatures` is both as a transformer of scikit-learn.
"""

from __future__ import annotations

from skinensemble.features._activations import Activations, CutNetwork, load_cut
from skinensemble.features._built import load_extractor
from skinensemble.features._extractor import Extractor
from skinensemble.features._shards import StoreWarning
from skinensemble.features._store import (
    FeatureStore,
    default_store,
    resolve_store,
    temporary_store,
)
from skinensemble.features._transformer import BackboneFeatures

__all__ = [
    "Activations",
    "BackboneFeatures",
    "CutNetwork",
    "Extractor",
    "FeatureStore",
    "StoreWarning",
    "default_store",
    "load_cut",
    "load_extractor",
    "resolve_store",
    "temporary_store",
]
