"""The frozen part of a network below a cut, as the body of a classifier."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from skinensemble.backbones import Cut, possible_cuts, split_at
from skinensemble.features._activations import (
    Activations,
    CutNetwork,
    check_views,
    cut_network,
    load_cut,
)
from skinensemble.features._built import saved_backbone, saved_size
from skinensemble.features._outline import check_outline, dump_outline
from skinensemble.features._store import FeatureStore, resolve_store
from skinensemble.features._stored_rows import StoredRows, stored_rows
from skinensemble.features._transformer import STORED, refuse_stored
from skinensemble.images import ImageSource, as_images
from skinensemble.images._views import View
from skinensemble.persistence._codec import load_weights

__all__ = ["CutBody", "CutImages"]


@dataclass(frozen=True)
class CutImages:
    """Images and the network they are to pass; nothing is computed before it is needed."""

    network: CutNetwork
    source: ImageSource
    store: FeatureStore
    views: tuple[View, ...]
    verbose: int

    def activations(self) -> Activations:
        """Return the activations of all images in all views, kept in the store."""
        return self.network.activations(self.source, self.store, self.views, self.verbose)

    def stream(self, chosen: np.ndarray) -> Iterator[list[np.ndarray]]:
        """Yield those of some images, a few at a time and an array for each view; not kept."""
        return self.network.stream(self.source[chosen], self.store, self.views)


class CutBody:
    """A backbone that is frozen up to a cut.

    Parameters
    ----------
    backbone, weights, image_size, image_fit, store, verbose
        As in :class:`BackboneFeatures`.
    unfreeze : str, int or float
        As in :func:`~skinensemble.backbones.resolve_cut`.
    views : int
        How many views each image has.
    zoom, jitter : float
        How much nearer and how differently lit all but the first may be; see
        :class:`~skinensemble.TransferClassifier`.
    """

    def __init__(
        self,
        backbone,
        *,
        weights,
        image_size,
        image_fit,
        store,
        unfreeze,
        views,
        zoom,
        jitter,
        verbose,
    ) -> None:
        self.backbone, self.weights, self.image_size = backbone, weights, image_size
        self.image_fit, self.store, self.unfreeze = image_fit, store, unfreeze
        self.views, self.zoom, self.jitter, self.verbose = views, zoom, jitter, verbose

    def fit(self, X) -> CutBody:
        """Build the network and check the parameters."""
        self._images(as_images(X))
        return self

    def build_network(self) -> None:
        """Build the network and cut it, or say why it cannot be; no image passes it."""
        check_views(self.views, self.zoom, self.jitter, self.network.lower.size)

    def prepare(self, X) -> ImageSource:
        """Check and read all images, and let them pass the frozen part in all views."""
        images = self._images(as_images(X))
        images.activations()
        return images.source

    def rows_at_hand(self, X) -> list[StoredRows]:
        """Return the activations that a store in memory has of images, a list for each view."""
        images = self._images(as_images(X))
        return [
            rows
            for view in self.network.stored_views(images.views)
            for rows in stored_rows(self.store, self.network.lower.key(view), images.source)
        ]

    def transform(self, X) -> CutImages:
        """Return the images with the network that they are to pass."""
        return self._images(as_images(X))

    @property
    def network(self) -> CutNetwork:
        """The backbone in two parts."""
        if not hasattr(self, "network_"):
            if self.weights == STORED:
                raise refuse_stored(self.backbone)
            self.network_ = load_cut(
                self.backbone, self.weights, self.image_size, self.image_fit, self.unfreeze
            )
        return self.network_

    @property
    def frozen_model(self):
        """The Keras model of what is frozen: from images to the activations at the cut."""
        return self.network.lower.model

    def costs(self) -> dict[str, int]:
        """Return the multiply-adds per image of the frozen part, in all views."""
        lower = self.network.lower.costs()
        return {key: self.views * cost for key, cost in lower.items()}

    def _images(self, source: ImageSource) -> CutImages:
        views = check_views(self.views, self.zoom, self.jitter, self.network.lower.size)
        return CutImages(self.network, source, resolve_store(self.store), views, self.verbose)

    def _dump(self, out) -> dict:
        network, place = self.network, self.network.cut and self.network.cut.place
        # Where all is trained, the lower part is the same for every backbone.
        whole = f"{network.lower.fingerprint} {network.upper.name} {place}"
        digest = hashlib.sha256(whole.encode()).hexdigest()
        ways = {"zoom": float(self.zoom), "jitter": float(self.jitter)}
        key = out.share("networks", digest, self._dump_network)
        return {"network": key, "views": int(self.views), **ways}

    def _dump_network(self, out) -> dict:
        network = self.network
        name, parts = network.upper.name, [network.upper]
        if network.cut:
            parts.insert(0, network.lower.model)
        lower = network.lower.model.get_weights() if network.cut else []
        return {
            "backbone": name,
            "image_size": list(network.lower.size),
            "image_fit": network.lower.fit,
            "cut": network.cut.place if network.cut else None,
            "cut_name": network.cut.name if network.cut else "all",
            **dump_outline(name, network.lower.backbone, parts, self._anew),
            "weights": [out.array(f"{i:04d}", value) for i, value in enumerate(lower)],
        }

    def _anew(self, backbone) -> list:
        network = self.network
        model = backbone.build(None, network.lower.size, pooling=None)
        if network.cut is None:
            return [model]
        cuts = [cut for cut in possible_cuts(model) if cut.place == network.cut.place]
        return _parts(model, cuts[0]) if cuts else []

    def _load(self, state) -> None:
        self.views = int(state.number("views", 1, 8))
        # Files of the first version know neither.
        newer = "zoom" in set(state.keys())
        self.zoom = state.number("zoom", 1, 4) if newer else 1.0
        self.jitter = state.number("jitter", 0, 0.5) if newer else 0.0
        self.backbone, self.network_ = state.share("network", _load_network)
        self.image_size, self.image_fit = self.network_.lower.size, self.network_.lower.fit
        self.unfreeze = self.network_.cut.name if self.network_.cut else "all"
        self.weights, self.store, self.verbose = STORED, None, 0


def _parts(model, cut: Cut | None) -> list:
    return [model] if cut is None else list(split_at(model, cut))


def _load_network(state) -> tuple[str, CutNetwork]:
    backbone = saved_backbone(state)
    model = backbone.build(None, saved_size(state), pooling=None)
    place, name = state.raw("cut", (int, type(None))), state.raw("cut_name", str)
    fit, known = state.raw("image_fit", str), {one.place: one for one in possible_cuts(model)}
    if place is not None and place not in known:
        raise state.fault("cut", f"{place} is none of {len(known)}")
    cut = None if place is None else known[place]
    parts = _parts(model, cut)
    check_outline(state, backbone.name, parts)
    if cut:
        load_weights(parts[0], state)
    elif state.raw("weights", list):
        raise state.fault("weights", "there is nothing below the cut")
    network = cut_network(model, fit, cut)
    network.lower.backbone = backbone
    # Keras numbers layers as they are made: the file keeps the name that the user knows.
    return backbone.name, replace(network, cut=cut and replace(cut, name=name))
