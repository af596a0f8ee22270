"""Rows of a store in memory, on their way to a process that has another memory."""

from __future__ import annotations

import os
from dataclasses import dataclass

import numpy as np

from skinensemble.features._recipe import Parcel
from skinensemble.features._store import FeatureStore, resolve_store
from skinensemble.images import ImageSource

__all__ = ["StoredRows", "stored_rows"]


@dataclass(frozen=True)
class StoredRows:
    """Rows, and the store that they belong to.

    Attributes
    ----------
    store : Parcel
        Of a parameter ``store``; None in it is whatever a process shares.
    key : str
        Of the network.
    digests : list of bytes
    rows : ndarray of shape (n_digests, ...)
    """

    store: Parcel
    key: str
    digests: list[bytes]
    rows: np.ndarray

    def put(self) -> None:
        """Put the rows into the store of this process, unless it has them."""
        store = resolve_store(self.store.content)
        if store.missing(self.key, self.digests).any():
            store.put(self.key, self.digests, self.rows)


def stored_rows(
    store: FeatureStore | str | os.PathLike[str] | None, key: str, source: ImageSource
) -> list[StoredRows]:
    """Return the rows of images in a store, as a list of one; of none where a folder has them."""
    found, parcel = resolve_store(store), Parcel(store)
    if found.path is not None:
        return []
    distinct = list(dict.fromkeys(source.digests))
    rows, missing = found.get(key, distinct)
    there = [digest for digest, absent in zip(distinct, missing, strict=True) if not absent]
    return [StoredRows(parcel, key, there, rows)] if there else []
