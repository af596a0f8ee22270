"""A frozen backbone with a head of its own: from images to class probabilities."""

from __future__ import annotations

import numpy as np
from sklearn.base import BaseEstimator, ClassifierMixin, clone
from sklearn.utils.validation import check_is_fitted

from skinensemble.features import BackboneFeatures
from skinensemble.members._dense_head import DenseHead, _check_head

__all__ = ["TransferClassifier"]

_BODY = ("backbone", "weights", "image_size", "pooling", "image_fit", "store")


class TransferClassifier(ClassifierMixin, BaseEstimator):
    """Transfer learning: a backbone, frozen, and dense layers trained on its features.

    Each image passes the backbone once, whatever the number of fits: its features are kept in a
    store that all classifiers of the process share.

    Parameters
    ----------
    backbone : str, default="efficientnet_lite0"
        A name of :func:`~skinensemble.list_backbones`.
    weights : {"imagenet", None} or path, default="imagenet"
        Weights of the backbone; None draws random ones, the same each time.
    image_size : int or (int, int), default=None
        Height and width the images are brought to; None: the backbone's own.
    pooling : {"avg", "max"}, default="avg"
        How the backbone's last feature map becomes a vector.
    image_fit : {"crop", "pad", "squash"}, default="crop"
        What happens to images of another aspect ratio.
    store : FeatureStore, path or None, default=None
        Where features are kept: None in memory, a path on disk.
    units, dropout, batch_normalization, activation, l2, learning_rate, epochs, batch_size, \
class_weight, validation_fraction, patience, callbacks, random_state, verbose
        Of the head; see :class:`DenseHead`. With ``verbose=1`` a bar shows the images passing the
        backbone, with 2 Keras' own bars show the epochs of the head as well.

    Attributes
    ----------
    classes_ : ndarray of shape (n_classes,)
    body_ : BackboneFeatures
        The frozen backbone.
    head_ : DenseHead
        The trained head.
    history_ : dict of str to list of float
        Of the head's training.
    model_ : keras.Model
        From images (0–255, RGB, of the backbone's input size) to probabilities, all in one.

    Examples
    --------
    >>> from skinensemble.datasets import make_lesions
    >>> X, y = make_lesions(30, size=32, random_state=0, return_X_y=True)
    >>> member = TransferClassifier("mobilenet_v2", weights=None, image_size=32, epochs=2)
    >>> member.fit(X, y).predict(X[:2]).shape
    (2,)
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
        units=(128,),
        dropout=0.5,
        batch_normalization=False,
        activation="relu",
        l2=3e-3,
        learning_rate=2e-3,
        epochs=20,
        batch_size="auto",
        class_weight=0.75,
        validation_fraction=0.1,
        patience=None,
        callbacks=None,
        random_state=None,
        verbose=0,
    ):
        self.backbone = backbone
        self.weights = weights
        self.image_size = image_size
        self.pooling = pooling
        self.image_fit = image_fit
        self.store = store
        self.units = units
        self.dropout = dropout
        self.batch_normalization = batch_normalization
        self.activation = activation
        self.l2 = l2
        self.learning_rate = learning_rate
        self.epochs = epochs
        self.batch_size = batch_size
        self.class_weight = class_weight
        self.validation_fraction = validation_fraction
        self.patience = patience
        self.callbacks = callbacks
        self.random_state = random_state
        self.verbose = verbose

    def prepare(self, X):
        """Read the images, check them and pass the new ones through the backbone, once.

        Parameters
        ----------
        X : images
            uint8 or 0–255 float array (n, height, width, 3), or a list, array or Series of paths,
            PIL images or arrays.

        Returns
        -------
        ImageSource
            Stands for the images in every later call.

        Raises
        ------
        ImageReadError
            Naming every image that cannot be read.
        """
        return (self.body_ if hasattr(self, "body_") else self._body()).prepare(X)

    def fit(self, X, y, *, sample_weight=None, groups=None):
        """Train the head on the features of the images.

        Parameters
        ----------
        X : images
            As in :meth:`prepare`.
        y : array-like of shape (n_samples,)
        sample_weight : array-like of shape (n_samples,), default=None
        groups : array-like of shape (n_samples,), default=None
            Lesion of each image.

        Returns
        -------
        self
        """
        _check_head(self)
        self.body_ = self._body().fit(X)
        features = self.body_.transform(X)
        self.head_ = self._head().fit(features, y, sample_weight=sample_weight, groups=groups)
        return self

    def fit_each(self, X, y, parts, *, sample_weight=None, groups=None):
        """Train one clone on each of several parts of the images, all heads side by side.

        Parameters
        ----------
        X, y, parts, sample_weight, groups
            As in :meth:`DenseHead.fit_each`, `X` images.

        Returns
        -------
        list of TransferClassifier
        """
        _check_head(self)
        body = self._body().fit(X)
        heads = self._head().fit_each(
            body.transform(X), y, parts, sample_weight=sample_weight, groups=groups
        )
        members = [clone(self) for _ in parts]
        for member, head in zip(members, heads, strict=True):
            member.body_, member.head_ = body, head
        return members

    def predict_proba(self, X):
        """Return class probabilities of images, shape (n_samples, n_classes)."""
        check_is_fitted(self)
        return self.head_.predict_proba(self.body_.transform(X))

    def predict(self, X):
        """Return the most probable class of each image, shape (n_samples,)."""
        best = np.argmax(self.predict_proba(X), axis=1)
        return self.classes_[best]

    @property
    def classes_(self):
        """Labels, sorted."""
        return self.head_.classes_

    @property
    def history_(self):
        """Loss and metrics of each epoch."""
        return self.head_.history_

    @property
    def model_(self):
        """One plain Keras model from images to probabilities."""
        import keras

        body = self.body_.extractor_.model
        return keras.Model(body.inputs[0], self.head_.model_(body.outputs[0]))

    def _body(self) -> BackboneFeatures:
        options = {name: getattr(self, name) for name in _BODY}
        return BackboneFeatures(**options, verbose=self.verbose)

    def _head(self) -> DenseHead:
        options = {name: getattr(self, name) for name in DenseHead._get_param_names()}
        return DenseHead(**options | {"verbose": max(self.verbose - 1, 0)})

    def _dump(self, out):
        return {
            "body": out.estimator("body", self.body_),
            "head": out.estimator("head", self.head_),
        }

    def _load(self, state):
        self.body_, self.head_ = state.estimator("body"), state.estimator("head")
        if self.head_.n_features_in_ != self.body_.n_features_out_:
            raise state.fault("head", "it takes another number of features than the body gives")
        body = {name: getattr(self.body_, name) for name in _BODY}
        TransferClassifier.__init__(self, **body, **self.head_.get_params())
        self.verbose = self.body_.verbose

    def __sklearn_is_fitted__(self):
        return hasattr(self, "head_")

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.two_d_array = False
        tags.input_tags.three_d_array = False
        return tags
