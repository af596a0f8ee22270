"""A finished Keras model from elsewhere, as a member that votes."""

from __future__ import annotations

import copy

import numpy as np
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.utils.validation import check_is_fitted

from skinensemble.exceptions import InputError, MemberError, first_few, message
from skinensemble.features import Extractor, resolve_store
from skinensemble.images import as_images
from skinensemble.members._finished import FinishedNetwork, open_keras
from skinensemble.members._stored_network import dump_network, load_network
from skinensemble.persistence._codec import dump_params, load_params

__all__ = ["PretrainedMember"]

# Half-precision outputs miss 1 by several thousandths; logits by far more.
_TOLERANCE = 1e-2
# Stored as labels and as a network, or of one machine only.
_NOT_SAVED = ("model", "classes", "store")


class PretrainedMember(ClassifierMixin, BaseEstimator):
    """A finished Keras model that votes beside other members; ``fit`` trains nothing.

    Its ballots are out-of-fold only if it never saw these lesions: a model that was trained on them
    is surer there than it will ever be again, and thresholds, certificates and figures that come
    from its ballots are then too good to be true.

    Each image passes the network once, whatever the number of folds and stages: its outputs are
    kept in a store. A model must therefore not be changed while a stage uses it.

    Parameters
    ----------
    model : keras.Model
        From images of one size, RGB with channels last, to one row of outputs for each. It is used
        as it is, not copied. :meth:`from_keras` opens a file.
    classes : list of labels
        What each output stands for, in the order of the outputs. Outputs of the same label are
        added up, so a model of seven types can vote in triage. One output with two labels is the
        probability of the second.
    preprocess : {"tf", "torch", "caffe", "lite"}, name of a backbone, callable or None, \
default=None
        What is done to 0–255 RGB pixels first: as Keras' ``preprocess_input`` of that mode, or as
        that backbone wants it. A function gets and returns float32 of shape (n, height, width, 3);
        it cannot be saved. None: the model takes the pixels as they are.
    from_logits : bool, default=False
        Whether the outputs are logits, still to be passed through a softmax (or, if there is one
        output, a sigmoid).
    image_size : int or (int, int), default=None
        Height and width the images are brought to; needed when the model takes any size.
    image_fit : {"crop", "pad", "squash"}, default="crop"
        What happens to images of another aspect ratio.
    store : FeatureStore, path or None, default=None
        Where outputs are kept: None in memory, a path on disk.
    batch_size : int, default=16
        Images that the network sees at once.
    verbose : {0, 1, 2}, default=0
        Silent; a progress bar; one line.

    Attributes
    ----------
    classes_ : ndarray of shape (n_classes,)
        The distinct labels, sorted.
    extractor_ : Extractor
        The network with its preprocessing.

    See Also
    --------
    sklearn.frozen.FrozenEstimator : The same for a fitted scikit-learn estimator.

    Examples
    --------
    >>> import keras
    >>> from skinensemble.datasets import make_lesions
    >>> X, y = make_lesions(30, size=32, random_state=0, return_X_y=True)
    >>> flat, dense = keras.layers.Flatten(), keras.layers.Dense(7, "softmax")
    >>> model = keras.Sequential([keras.Input((24, 24, 3)), flat, dense])
    >>> types = ["nv", "mel", "bkl", "bcc", "akiec", "vasc", "df"]
    >>> member = PretrainedMember(model, types, preprocess="tf")
    >>> member.fit(X, y).predict_proba(X[:2]).shape
    (2, 7)
    """

    def __init__(
        self,
        model,
        classes,
        *,
        preprocess=None,
        from_logits=False,
        image_size=None,
        image_fit="crop",
        store=None,
        batch_size=16,
        verbose=0,
    ):
        self.model = model
        self.classes = classes
        self.preprocess = preprocess
        self.from_logits = from_logits
        self.image_size = image_size
        self.image_fit = image_fit
        self.store = store
        self.batch_size = batch_size
        self.verbose = verbose

    @classmethod
    def from_keras(cls, path, classes, **options):
        """Open a ``.keras`` file, in Keras' safe mode.

        Parameters
        ----------
        path : str or path-like
            A file that ``model.save("model.keras")`` wrote; no other format is opened.
        classes : list of labels
            What each output stands for, in the order of the outputs.
        **options
            The other parameters of the class.

        Returns
        -------
        PretrainedMember

        Raises
        ------
        ModelFileError
            When the file is missing, damaged, of another format, or unsafe.
        InputError
            When the model is not one from images to probabilities of so many classes.
        """
        member = cls(open_keras(path), classes, **options)
        member._open()
        return member

    def accept(self, X):
        """Return the images as an ImageSource; no network runs."""
        return as_images(X)

    def prepare(self, X):
        """Read the images, check them and pass the new ones through the network, once.

        Parameters
        ----------
        X : images
            Anything that :func:`~skinensemble.images.as_images` accepts.

        Returns
        -------
        ImageSource
            Stands for the images in every later call.
        """
        source = as_images(X)
        self._outputs(self._own_extractor(), source)
        return source

    def build_network(self):
        """Check the model and its labels; no image passes it."""
        self._own_extractor()

    def costs(self):
        """Return what runs for each image: a dict from the network to its multiply-adds."""
        check_is_fitted(self)
        return self.extractor_.costs()

    def fit(self, X, y, *, sample_weight=None, groups=None):
        """Check that the model and its labels fit; nothing is trained.

        Parameters
        ----------
        X : images
            Anything that :func:`~skinensemble.images.as_images` accepts.
        y : array-like of shape (n_samples,)
        sample_weight, groups : ignored

        Returns
        -------
        self

        Raises
        ------
        InputError
            When the model is not one from images to probabilities of so many classes, or one of
            its labels does not occur in `y`.
        """
        as_images(X)
        extractor, (classes, _) = self._open(), self._labels()
        known = np.unique(np.asarray(y)).tolist()
        unknown = [label for label in classes.tolist() if label not in known]
        if unknown:
            why = f"not among the labels of y ({first_few(known)})"
            remedy = "name the outputs as y does; several may have the same label"
            raise InputError(message("classes", first_few(unknown), why, remedy))
        self.extractor_, self.classes_ = extractor, classes
        return self

    def predict_proba(self, X):
        """Return class probabilities of images, shape (n_samples, n_classes).

        Raises
        ------
        MemberError
            When the outputs are no probabilities.
        """
        check_is_fitted(self)
        outputs = self._outputs(self.extractor_, as_images(X)).astype(np.float64)
        classes, column = self._labels()
        return self._probabilities(outputs) @ np.eye(len(classes))[column]

    def predict(self, X):
        """Return the most probable class of each image, shape (n_samples,)."""
        best = np.argmax(self.predict_proba(X), axis=1)
        return self.classes_[best]

    def _labels(self) -> tuple[np.ndarray, np.ndarray]:
        """Return the distinct labels, and the place of each output's label among them."""
        given = self.classes
        # NumPy's strings and Python's are one type.
        labels = [
            getattr(label, "item", lambda own=label: own)()
            for label in (() if given is None else given)
        ]
        if len({type(label) for label in labels}) != 1 or len(set(labels)) < 2:
            why = "two distinct labels of one type are needed, or more"
            remedy = "name each output of the model, in order"
            raise InputError(message("classes", repr(given), why, remedy))
        return np.unique(np.array(labels), return_inverse=True)

    def _own_extractor(self) -> Extractor:
        return getattr(self, "extractor_", None) or self._open()

    def _open(self) -> Extractor:
        """Check the model against the parameters; return it ready for images."""
        _, column = self._labels()
        network = FinishedNetwork(self.model, self.preprocess, self.image_size)
        extractor = Extractor(network, "pretrained", self.image_fit, batch_size=self.batch_size)
        width = extractor.n_features
        if width != len(column) and (width, len(column)) != (1, 2):
            why = f"the model has {width} outputs"
            remedy = "name each of them, in order; one output has two labels"
            raise InputError(message("classes", f"{len(column)} labels", why, remedy))
        return extractor

    def _outputs(self, extractor, source) -> np.ndarray:
        return extractor(source, resolve_store(self.store), verbose=self.verbose)

    def _probabilities(self, outputs: np.ndarray) -> np.ndarray:
        """Return rows that sum to 1, one column for each output; NaN is left to the stage."""
        from scipy.special import expit, softmax

        if outputs.shape[1] == 1:
            positive = expit(outputs) if self.from_logits else outputs
            proba = np.hstack([1 - positive, positive])
        else:
            proba = softmax(outputs, axis=1) if self.from_logits else outputs
        sums = proba.sum(axis=1)
        odd = (proba.min(axis=1) < -_TOLERANCE) | (np.abs(sums - 1) > _TOLERANCE)
        if odd.any():
            row = np.flatnonzero(odd)[0]
            shown = np.array2string(outputs[row], precision=3, separator=", ", threshold=10)
            why = f"{odd.sum()} of {len(odd)} rows are no probabilities, such as {shown}"
            remedy = "add a softmax to the model, or pass from_logits=True if they are logits"
            raise MemberError(message("outputs", "of the model", why, remedy))
        proba = np.clip(proba, 0, None)
        return proba / proba.sum(axis=1, keepdims=True)

    def _dump(self, out):
        if callable(self.preprocess):
            why = "a function cannot be saved without pickle"
            remedy = "pass the name of a preprocessing, or put it into the model as layers"
            raise InputError(message("preprocess", repr(self.preprocess), why, remedy))
        return {
            "params": dump_params(self, without=_NOT_SAVED),
            "classes": out.labels(self.classes),
            "network": dump_network(self.model, out, self.extractor_.size),
        }

    def _load(self, state):
        load_params(self, state, without=_NOT_SAVED)
        self.store = None
        self.classes = state.raw("classes", list)
        self.model = state.share("network", load_network)
        self.extractor_, self.classes_ = self._open(), self._labels()[0]

    def __sklearn_clone__(self):
        # A clone shares the network: nothing changes it, and it is large.
        twin = type(self)(**self.get_params(deep=False))
        if hasattr(self, "_metadata_request"):
            twin._metadata_request = copy.deepcopy(self._metadata_request)
        return twin

    def __sklearn_is_fitted__(self):
        return hasattr(self, "extractor_")

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.two_d_array = False
        tags.input_tags.three_d_array = False
        return tags
