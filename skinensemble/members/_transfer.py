"""A frozen backbone with a head of its own: from images to class probabilities."""

from __future__ import annotations

import numpy as np
from sklearn.base import BaseEstimator, ClassifierMixin, clone
from sklearn.utils.metaestimators import available_if
from sklearn.utils.validation import check_is_fitted

from skinensemble.features import BackboneFeatures
from skinensemble.features._cut_body import CutBody
from skinensemble.images import as_images
from skinensemble.members._checkpoint import usable_folder
from skinensemble.members._dense_head import DenseHead
from skinensemble.members._params import check_idle, check_pairs, check_params
from skinensemble.members._together import answer
from skinensemble.members._tuned_top import TunedTop
from skinensemble.persistence._codec import dump_params, load_params
from skinensemble.validation import check_labels, check_lengths, check_weights

__all__ = ["TransferClassifier"]

_BODY = ("backbone", "weights", "image_size", "pooling", "image_fit", "store")
_WAYS = ("unfreeze", "views", "zoom", "jitter")
_CUT_BODY = ("backbone", "weights", "image_size", "image_fit", "store", *_WAYS)
# What "auto" stands for: in a head on a frozen backbone, and where layers are fine-tuned.
_AUTO = {
    "units": ((128,), ()),
    "dropout": (0.3, 0.2),
    "l2": (1e-2, 0.0),
    "learning_rate": (6e-3, 3.5e-4),
    "epochs": (12, 10),
    "batch_size": ("auto", 32),
    "class_weight": (0.75, 0.25),
}
# Features of a network share one unit, and so one scale: that is not for users to choose.
_OF_A_HEAD = sorted({*DenseHead._get_param_names()} - {"scaling"})
_NOT_SAVED = ("backbone", "weights", "store", "image_size", "image_fit", *_WAYS)


class TransferClassifier(ClassifierMixin, BaseEstimator):
    """Transfer learning: a pretrained backbone with a head of its own, fine-tuned above a cut.

    What is frozen of the backbone computes once for each image, whatever the number of fits,
    folds and epochs: its features, or its activations at the cut, are kept in a store that all
    classifiers of the process share.

    Parameters
    ----------
    backbone : str, default="efficientnet_lite0"
        A name of :func:`~skinensemble.list_backbones`.
    unfreeze : None, int, float, str or "all", default=None
        What is trained beside the head. None: nothing; the head is a :class:`DenseHead` on pooled
        features. A number of blocks, or a share of them above 0 and below 1, counted from the end;
        all layers after the one of that name, the *cut*; or ``"all"``.
    views : int, default=8
        With `unfreeze`: how many of the eight orientations of an image are trained on, a new one
        each epoch; predictions are the mean over them.
    zoom : float, default=1.0
        With `unfreeze`: how much nearer a view may be, up to 4. Above 1 each view but the first
        shows a window of its own, between the whole image and one whose side is so much smaller.
    jitter : float, default=0.0
        With `unfreeze`: largest relative change of the brightness of each colour channel in a view,
        up to 0.5: other light, another white balance; the first view stays as it is.
    weights : {"imagenet", None} or path, default="imagenet"
        Weights of the backbone; None draws random ones, the same each time.
    image_size : int or (int, int), default=None
        Height and width the images are brought to; None: the backbone's own.
    pooling : {"avg", "max"}, default="avg"
        How the backbone's last feature map becomes a vector.
    image_fit : {"crop", "pad", "squash"}, default="crop"
        What happens to images of another aspect ratio.
    store : FeatureStore, path or None, default=None
        Where features and activations are kept: None in memory, a path on disk.
    units, dropout, batch_normalization, activation, l2, epochs, batch_size, class_weight, \
validation_fraction, patience, callbacks, random_state, verbose
        Of the head; see :class:`DenseHead`. "auto" is what was found best: the defaults of
        :class:`DenseHead`, or with `unfreeze` no hidden layer, a dropout of 0.2, no `l2`, 10
        epochs, batches of 32 and class weights to the power 0.25. With ``verbose=1`` a bar shows
        the images passing the backbone, and with `unfreeze` lines show how the training gets on;
        with 2 Keras' own bars show the epochs.
    learning_rate : float or "auto", default="auto"
        6e-3, or with `unfreeze` 3.5e-4: the highest of a cosine schedule [1]_.
    weight_decay : float, default=0.01
        With `unfreeze`: of AdamW [2]_; none on biases and normalisations.
    warmup : float, default=0.5
        With `unfreeze`: epochs in which the learning rate rises to its highest.
    head_warmup : float, default=0.0
        With `unfreeze`: how many of the epochs the head learns alone, so that what it begins with
        does not distort the features of the backbone [6]_.
    layer_decay : float, default=1.0
        With `unfreeze`: factor by which the learning rate of the deepest trained layer is lower
        than that of the head, in between by degrees.
    label_smoothing : float, default=0.05
        With `unfreeze`: share of each label that is spread over all classes.
    loss : {"cross_entropy", "focal", "logit_adjustment"}, default="cross_entropy"
        With `unfreeze`: the focal loss dwells on what is still wrong [3]_; logit adjustment makes
        up for rare classes in the scores [4]_, best with ``class_weight=None``.
    sampling : float, default=0.0
        With `unfreeze`: power of the balanced class weights by which images are drawn; 0: each once
        an epoch.
    mixup : float, default=0.0
        With `unfreeze`: parameter of the beta distribution by which activations and labels of two
        images are mixed [5]_; 0: none.
    ema : float or None, default=None
        With `unfreeze`: momentum of the moving average of the weights that is kept in the end; not
        with a `patience`, which keeps the best weights.
    view_mean : {"probability", "log"}, default="probability"
        With `unfreeze`: whether the views' probabilities are averaged, or their logarithms.
    checkpoint : path-like or None, default=None
        With `unfreeze`: folder that keeps the state of the training after each epoch. The same fit,
        after it was killed, goes on there and ends with the same weights. A `random_state` of None
        is then 0; a stage around it needs one of its own, lest its folds are others each time.
        Not with `callbacks`: what they do to a training it could not tell.

    Attributes
    ----------
    classes_ : ndarray of shape (n_classes,)
    body_ : BackboneFeatures or CutBody
        What is frozen.
    head_ : DenseHead or TunedTop
        What was trained.
    history_ : dict of str to list of float
        Of the training.
    model_ : keras.Model
        From images (0–255, RGB, of the backbone's input size) to probabilities, all in one; of
        upright images, without the mean over the views.

    References
    ----------
    .. [1] I. Loshchilov, F. Hutter, "SGDR: stochastic gradient descent with warm restarts", ICLR
       2017. arXiv:1608.03983
    .. [2] I. Loshchilov, F. Hutter, "Decoupled weight decay regularization", ICLR 2019.
       arXiv:1711.05101
    .. [3] T.-Y. Lin et al., "Focal loss for dense object detection", ICCV 2017.
       doi:10.1109/ICCV.2017.324
    .. [4] A. K. Menon et al., "Long-tail learning via logit adjustment", ICLR 2021.
       arXiv:2007.07314
    .. [5] H. Zhang et al., "mixup: beyond empirical risk minimization", ICLR 2018. arXiv:1710.09412
    .. [6] A. Kumar et al., "Fine-tuning can distort pretrained features and underperform
       out-of-distribution", ICLR 2022. arXiv:2202.10054

    Examples
    --------
    >>> from skinensemble.datasets import make_lesions
    >>> X, y = make_lesions(30, size=32, random_state=0, return_X_y=True)
    >>> member = TransferClassifier("mobilenet_v2", weights=None, image_size=32, epochs=2)
    >>> member.fit(X, y).predict(X[:2]).shape
    (2,)
    >>> member.set_params(unfreeze=1, views=2, epochs=1).fit(X, y).predict(X[:2]).shape
    (2,)
    """

    def __init__(
        self,
        backbone="efficientnet_lite0",
        *,
        unfreeze=None,
        views=8,
        zoom=1.0,
        jitter=0.0,
        weights="imagenet",
        image_size=None,
        pooling="avg",
        image_fit="crop",
        store=None,
        units="auto",
        dropout="auto",
        batch_normalization=False,
        activation="relu",
        l2="auto",
        learning_rate="auto",
        epochs="auto",
        batch_size="auto",
        class_weight="auto",
        validation_fraction=0.1,
        patience=None,
        weight_decay=0.01,
        warmup=0.5,
        head_warmup=0.0,
        layer_decay=1.0,
        label_smoothing=0.05,
        loss="cross_entropy",
        sampling=0.0,
        mixup=0.0,
        ema=None,
        view_mean="probability",
        checkpoint=None,
        callbacks=None,
        random_state=None,
        verbose=0,
    ):
        self.backbone = backbone
        self.unfreeze = unfreeze
        self.views = views
        self.zoom = zoom
        self.jitter = jitter
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
        self.weight_decay = weight_decay
        self.warmup = warmup
        self.head_warmup = head_warmup
        self.layer_decay = layer_decay
        self.label_smoothing = label_smoothing
        self.loss = loss
        self.sampling = sampling
        self.mixup = mixup
        self.ema = ema
        self.view_mean = view_mean
        self.checkpoint = checkpoint
        self.callbacks = callbacks
        self.random_state = random_state
        self.verbose = verbose

    def prepare(self, X):
        """Read the images, check them and pass the new ones through the network, once.

        Parameters
        ----------
        X : images
            Whatever :func:`~skinensemble.images.as_images` accepts.

        Returns
        -------
        ImageSource
            Stands for the images in every later call.

        Raises
        ------
        ImageReadError
            Naming every image that cannot be read.
        """
        if hasattr(self, "head_") and self._tunes:
            # Of new images the probabilities are worth keeping, not the activations.
            source = self.accept(X)
            self.predict_proba(source)
            return source
        return self._own_body().prepare(X)

    def build_network(self):
        """Check the parameters and build what is frozen; no image passes it."""
        self._check()
        self._own_body().build_network()

    @available_if(lambda self: not self._tunes)
    def frozen_features(self):
        """Return what makes features of images, as a transformer."""
        return self._own_body()

    @available_if(lambda self: not self._tunes)
    def frozen_heads(self):
        """Return the head, after what makes its features."""
        return [(self.body_, self.head_)]

    def rows_at_hand(self, X):
        """Return what stores in memory have of the images, for a process without them."""
        return self._own_body().rows_at_hand(X)

    def accept(self, X):
        """Return the images as an ImageSource; no network runs."""
        return as_images(X)

    def costs(self):
        """Return what runs for each image: a dict from networks to multiply-adds.

        Members that run the same network, such as heads on one backbone, have its key in common.
        """
        check_is_fitted(self)
        return self.body_.costs() | (self.head_.costs() if self._tunes else {})

    def fit(self, X, y, *, sample_weight=None, groups=None):
        """Train the head, and the layers that are not frozen.

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

        Raises
        ------
        InputError
            When a parameter, images, labels, weights or lesions cannot be used.
        """
        X, sample_weight = self._checked(X, y, sample_weight, groups)
        body = self._body().fit(X)
        head = self._head().fit(body.transform(X), y, sample_weight=sample_weight, groups=groups)
        # Together at last: the head of an earlier fit would misread what this body computes.
        self.body_, self.head_ = body, head
        return self

    def fit_each(self, X, y, parts, *, sample_weight=None, groups=None):
        """Train one clone on each of several parts of the images; heads alone side by side.

        Parameters
        ----------
        X, y, parts, sample_weight, groups
            As in :meth:`DenseHead.fit_each`, `X` images.

        Returns
        -------
        list of TransferClassifier
        """
        X, sample_weight = self._checked(X, y, sample_weight, groups)
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
        return answer(self.head_, self.body_, X)

    def predict(self, X):
        """Return the most probable class of each image, shape (n_samples,)."""
        best = self.predict_proba(X).argmax(axis=1)
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

        body = self.body_.frozen_model
        return keras.Model(body.inputs[0], self.head_.model_(body.outputs[0]))

    @property
    def _tunes(self) -> bool:
        # False, which equals 0, is a slip that the cut refuses.
        return self.unfreeze is False or self.unfreeze not in (None, 0)

    def _resolved(self) -> dict:
        """Return the parameters, with what "auto" stands for."""
        params = self.get_params(deep=False)
        chosen = {name: pair[self._tunes] for name, pair in _AUTO.items() if params[name] == "auto"}
        if self.checkpoint is not None and self.random_state is None:
            chosen["random_state"] = 0  # another one each time would never find its checkpoint
        return params | chosen

    def _check(self) -> None:
        params = self._resolved()
        check_params(type(self).__name__, params)
        if not self._tunes:
            check_idle(params, TransferClassifier().get_params())
            return
        check_pairs(params)
        if self.checkpoint is not None:
            usable_folder(self.checkpoint, "checkpoint")

    def _checked(self, X, y, sample_weight, groups):
        """Return images and weights, if they and all else can be trained on."""
        self._check()
        check_labels(y)
        X = as_images(X)
        check_lengths(X, y=y, sample_weight=sample_weight, groups=groups)
        return X, None if sample_weight is None else check_weights(sample_weight, y)

    def _own_body(self) -> BackboneFeatures | CutBody:
        return getattr(self, "body_", None) or self._body()

    def _body(self) -> BackboneFeatures | CutBody:
        names, body = (_CUT_BODY, CutBody) if self._tunes else (_BODY, BackboneFeatures)
        return body(**{name: getattr(self, name) for name in names}, verbose=self.verbose)

    def _head(self) -> DenseHead | TunedTop:
        params = self._resolved()
        if self._tunes:
            return TunedTop(params)
        params["verbose"] = max(self.verbose - 1, 0)
        return DenseHead(**{name: params[name] for name in _OF_A_HEAD}, scaling="common")

    def _dump(self, out):
        parts = {
            "body": out.estimator("body", self.body_),
            "head": out.estimator("head", self.head_),
        }
        if isinstance(self.body_, CutBody):
            parts["params"] = self._dump_params()
        return parts

    def _dump_params(self) -> dict:
        # Callbacks, seeds that are objects and folders matter to the training alone.
        keep = clone(self).set_params(callbacks=None, checkpoint=None)
        if not isinstance(keep.random_state, (int, np.integer, type(None))):
            keep.random_state = None
        return dump_params(keep, without=_NOT_SAVED)

    def _load(self, state):
        if "params" in set(state.keys()):
            self._load_tuned(state)
            return
        self.body_, self.head_ = state.estimator("body"), state.estimator("head")
        if self.head_.n_features_in_ != self.body_.n_features_out_:
            raise state.fault("head", "it takes another number of features than the body gives")
        body = {name: getattr(self.body_, name) for name in _BODY}
        head = {name: getattr(self.head_, name) for name in _OF_A_HEAD}
        TransferClassifier.__init__(self, **body, **head)
        self.verbose = self.body_.verbose

    def _load_tuned(self, state):
        load_params(self, state, without=_NOT_SAVED)
        self.body_ = state.estimator("body")
        for name in _CUT_BODY:
            setattr(self, name, getattr(self.body_, name))
        self._check()
        self.head_ = TunedTop.load(self._resolved(), self.body_.network.upper, state.nested("head"))

    def __sklearn_is_fitted__(self):
        return hasattr(self, "head_")

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.two_d_array = tags.input_tags.three_d_array = False
        return tags
