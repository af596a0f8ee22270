"""Features of a frozen backbone, as a transformer of scikit-learn."""

from __future__ import annotations

import warnings

import numpy as np
from sklearn.base import BaseEstimator, TransformerMixin

from skinensemble.exceptions import InputError, WeightsError, message
from skinensemble.features._built import load_extractor, saved_backbone, saved_size
from skinensemble.features._extractor import Extractor
from skinensemble.features._outline import check_outline, dump_outline
from skinensemble.features._shards import StoreWarning
from skinensemble.features._store import FeatureStore, resolve_store
from skinensemble.features._stored_rows import StoredRows, stored_rows
from skinensemble.images import ImageSource, as_images
from skinensemble.persistence._codec import dump_params, load_params, load_weights

__all__ = ["STORED", "BackboneFeatures"]

STORED = "stored"
"""Value of ``weights`` in an estimator that was loaded: they came with the file."""

# A file holds the network itself, not where its weights or the store were on some machine.
_NOT_SAVED = ("backbone", "weights", "store")


class BackboneFeatures(TransformerMixin, BaseEstimator):
    """Turn images into the features of a frozen, pretrained network.

    Each image passes the network once; its features are kept in a store and found there again, by
    other folds, stages and estimators too.

    Parameters
    ----------
    backbone : str or Backbone, default="efficientnet_lite0"
        A name of :func:`~skinensemble.list_backbones`, or a backbone.
    weights : "imagenet", path or None, default="imagenet"
        The ImageNet weights, a file of weights, or random ones.
    image_size : int or (int, int), default=None
        Height and width in pixels; None is the size that the backbone was trained for.
    pooling : {"avg", "max"}, default="avg"
        How each feature map becomes one number.
    image_fit : {"crop", "pad", "squash"}, default="crop"
        What happens to images of another aspect ratio.
    store : FeatureStore, path-like or None, default=None
        Where features are kept: a store, the folder of one on disk, or None for the one in memory
        that the process shares.
    batch_size : int, default=16
        Images that the network sees at once.
    verbose : {0, 1, 2}, default=0
        Silent; a progress bar; one line.

    See Also
    --------
    skinensemble.features.FeatureStore : Keeps the features.

    Examples
    --------
    >>> from sklearn.linear_model import LogisticRegression
    >>> from sklearn.pipeline import make_pipeline
    >>> images = np.random.default_rng(0).integers(0, 256, (4, 32, 32, 3), dtype=np.uint8)
    >>> features = BackboneFeatures("mobilenet_v2_035", weights=None, image_size=32)
    >>> features.fit_transform(images).shape
    (4, 1280)
    >>> make_pipeline(features, LogisticRegression()).fit(images, [0, 0, 1, 1]).predict(images[:1])
    array([0])
    """

    def __init__(
        self,
        backbone="efficientnet_lite0",
        *,
        weights="imagenet",
        image_size=None,
        pooling="avg",
        image_fit="crop",
        store=None,
        batch_size=16,
        verbose=0,
    ):
        self.backbone = backbone
        self.weights = weights
        self.image_size = image_size
        self.pooling = pooling
        self.image_fit = image_fit
        self.store = store
        self.batch_size = batch_size
        self.verbose = verbose

    def fit(self, X, y=None):
        """Check parameters and images; nothing is learnt.

        Parameters
        ----------
        X : images
            Anything that :func:`~skinensemble.images.as_images` accepts.
        y : ignored

        Returns
        -------
        self

        Raises
        ------
        InputError
            When a parameter cannot be used, or `X` are no images.
        ImageReadError
            When images cannot be read; all are listed.
        WeightsError
            When the weights cannot be had.
        """
        as_images(X)
        resolve_store(self.store)
        self.extractor_ = self._load_extractor()
        return self

    def transform(self, X):
        """Return the features of each image.

        Parameters
        ----------
        X : images
            Anything that :func:`~skinensemble.images.as_images` accepts.

        Returns
        -------
        float32 ndarray of shape (n_images, n_features)

        Raises
        ------
        ImageReadError
            When images cannot be read; all are listed.
        SaveError
            When a store on disk cannot be written.
        """
        return self._features(as_images(X))

    def accept(self, X) -> ImageSource:
        """Return the images as an ImageSource; no network runs."""
        return as_images(X)

    def prepare(self, X) -> ImageSource:
        """Check and read all images once, so that later calls on parts of them find the features.

        Parameters
        ----------
        X : images
            Anything that :func:`~skinensemble.images.as_images` accepts.

        Returns
        -------
        ImageSource
            The same images, to be indexed and passed to `fit` and `transform`.

        Warns
        -----
        StoreWarning
            When the store is too small to keep the features of all these images.
        """
        source, store = as_images(X), resolve_store(self.store)
        needed = self._features(source).nbytes
        if store.path is None and needed > store.max_bytes:
            why = f"the features of {len(source)} images have {needed} bytes, and it keeps fewer"
            remedy = "pass a larger max_bytes, or a folder; else they are computed again"
            warnings.warn(message("store", store, why, remedy), StoreWarning, stacklevel=2)
        return source

    def build_network(self) -> None:
        """Build the network, or say why it cannot be had; no image passes it."""
        self._extractor()

    def frozen_features(self) -> BackboneFeatures:
        """Return itself: what makes features of images."""
        return self

    def work(self) -> tuple[Extractor, FeatureStore, int]:
        """Return the network, where its rows are kept, and how many images it sees at once."""
        return self._extractor(), resolve_store(self.store), self.batch_size

    def costs(self) -> dict[str, int]:
        """Return what runs for each image: a dict from the network to its multiply-adds."""
        return self._extractor().costs()

    def rows_at_hand(self, X) -> list[StoredRows]:
        """Return the features that a store in memory has of images, for a process without it."""
        return stored_rows(self.store, self._extractor().key(), as_images(X))

    @property
    def n_features_out_(self) -> int:
        """Number of features of an image."""
        return self._extractor().n_features

    @property
    def frozen_model(self):
        """The Keras model from images to features."""
        return self._extractor().model

    def get_feature_names_out(self, input_features=None):
        """Return names such as ``resnet50_0``.

        Parameters
        ----------
        input_features : ignored

        Returns
        -------
        ndarray of str of shape (n_features,)
        """
        extractor = self._extractor()
        names = [f"{extractor.name}_{index}" for index in range(extractor.n_features)]
        return np.asarray(names, dtype=object)

    def _features(self, source: ImageSource) -> np.ndarray:
        store: FeatureStore = resolve_store(self.store)
        return self._extractor()(source, store, batch_size=self.batch_size, verbose=self.verbose)

    def _extractor(self) -> Extractor:
        return getattr(self, "extractor_", None) or self._load_extractor()

    def _load_extractor(self) -> Extractor:
        if self.weights == STORED:
            if hasattr(self, "extractor_"):
                return self.extractor_
            raise refuse_stored(self.backbone)
        if self.pooling is None:
            why = "features have to be rows of numbers, not maps"
            raise InputError(message("pooling", None, why, "pass 'avg' or 'max'"))
        return load_extractor(
            self.backbone, self.weights, self.image_size, self.pooling, self.image_fit
        )

    def _dump(self, out) -> dict:
        return {
            "params": dump_params(self, without=_NOT_SAVED),
            "network": out.share("networks", self._extractor().fingerprint, self._dump_network),
        }

    def _dump_network(self, out) -> dict:
        extractor = self._extractor()
        arrays = enumerate(extractor.model.get_weights())
        return {
            "backbone": extractor.name,
            "image_size": list(extractor.size),
            "image_fit": extractor.fit,
            "pooling": self.pooling,
            **dump_outline(extractor.name, extractor.backbone, [extractor.model], self._anew),
            "weights": [out.array(f"{i:04d}", value) for i, value in arrays],
        }

    def _anew(self, backbone) -> list:
        return [backbone.build(None, self._extractor().size, self.pooling)]

    def _load(self, state) -> None:
        load_params(self, state, without=_NOT_SAVED)
        self.weights, self.store = STORED, None
        self.extractor_ = state.share("network", _load_network)
        self.backbone = self.extractor_.name

    def __sklearn_is_fitted__(self) -> bool:
        return True

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.two_d_array = False
        tags.input_tags.string = True
        tags.requires_fit = False
        return tags


def refuse_stored(backbone) -> WeightsError:
    """Return the error of a clone that was to be fitted with the weights of a loaded file."""
    why = "they are in the loaded file, and a clone has none"
    remedy = "set weights to 'imagenet' or to a file before you fit it again"
    return WeightsError(message("weights", backbone, why, remedy))


def _load_network(state) -> Extractor:
    backbone = saved_backbone(state)
    model = backbone.build(None, saved_size(state), state.raw("pooling", str))
    check_outline(state, backbone.name, [model])
    load_weights(model, state)
    extractor = Extractor(model, backbone.name, state.raw("image_fit", str))
    extractor.backbone = backbone
    return extractor
