"""What a fine-tuned classifier has trained: the layers above a cut, with their head."""

from __future__ import annotations

import hashlib
from itertools import pairwise
from types import SimpleNamespace

import numpy as np
from sklearn.utils import check_random_state

from skinensemble.engines import get_config, run_upper
from skinensemble.exceptions import InputError, MemberError, message
from skinensemble.features import default_store
from skinensemble.features._costs import multiply_adds
from skinensemble.features._cut_body import CutImages
from skinensemble.features._fingerprint import fingerprint
from skinensemble.images._problems import Problems
from skinensemble.members._checkpoint import Checkpoint
from skinensemble.members._fine_tuning import build_top, train_top
from skinensemble.members._lesson import Lesson
from skinensemble.members._samples import class_weights, mean_one, validation_split
from skinensemble.persistence._codec import load_weights
from skinensemble.persistence._weights import settle
from skinensemble.validation import check_labels

__all__ = ["TunedTop"]

# Of a training, what its result does not depend on, or knows in another way.
_IRRELEVANT = ("store", "verbose", "checkpoint", "callbacks", "weights", "random_state")
# What the structure of the network depends on.
_HEAD = ("units", "pooling", "batch_normalization", "activation", "dropout")


class TunedTop:
    """Layers above a cut and their head: from activations to probabilities.

    Parameters
    ----------
    params : dict
        Parameters of the :class:`TransferClassifier`, none of them "auto".

    Attributes
    ----------
    classes_ : ndarray of shape (n_classes,)
    model_ : keras.Model
        From activations to probabilities.
    history_ : dict of str to list of float
    """

    def __init__(self, params: dict) -> None:
        self.params = SimpleNamespace(**params)

    def fit(self, images: CutImages, y, *, sample_weight=None, groups=None) -> TunedTop:
        """Train on all images; see :meth:`TransferClassifier.fit`."""
        everything = [np.arange(len(images.source))]
        return self.fit_each(images, y, everything, sample_weight=sample_weight, groups=groups)[0]

    def fit_each(
        self, images: CutImages, y, parts, *, sample_weight=None, groups=None
    ) -> list[TunedTop]:
        """Train one on each of several parts of the images; all share the activations."""
        activations, y = images.activations(), np.asarray(y)
        seed = int(check_random_state(self.params.random_state).randint(2**31 - 1))
        tops = []
        for number, rows in enumerate(parts, start=1):
            top = TunedTop(vars(self.params))
            weight = np.ones(len(rows)) if sample_weight is None else sample_weight[rows]
            own = None if groups is None else np.asarray(groups)[rows]
            which = f" ({number} of {len(parts)})" if len(parts) > 1 else ""
            name = f"{self.params.backbone}{which} on {len(rows)} images"
            top._train(images, activations, rows, y[rows], weight, own, seed, name)
            tops.append(top)
        return tops

    def predict_proba(self, images: CutImages) -> np.ndarray:
        """Return the mean over the views, shape (n_images, n_classes); kept in memory."""
        key, digests, store = self._key(images), images.source.digests, default_store()
        rows, missing = store.get(key, digests)
        result = np.empty((len(digests), len(self.classes_)), np.float32)
        result[~missing] = rows if len(rows) else 0
        absent = np.flatnonzero(missing)
        if len(absent):
            problems = Problems(len(digests))
            with problems.among(absent):
                parts = [self._mean(views, key) for views in images.stream(absent)]
                result[absent] = np.concatenate(parts)
            problems.raise_all()
            store.put(key, [digests[at] for at in absent], result[absent])
        return result

    # It has nothing to check: the body has read the images.
    _ask = predict_proba

    def costs(self) -> dict[str, float]:
        """Return the multiply-adds per image of what was trained, which nobody else runs."""
        return {f"top {id(self.model_)}": self.params.views * multiply_adds(self.model_)}

    def _mean(self, views: list[np.ndarray], key: str) -> np.ndarray:
        """Mean of the views' probabilities, or of their logarithms, under a key of the weights."""
        name, size = f"{self.params.backbone} above the cut", self.params.batch_size
        each = np.stack([run_upper(self.model_, name, view, size, key) for view in views])
        if self.params.view_mean == "probability":
            return each.mean(axis=0)
        logs = np.log(np.maximum(each, 1e-12)).mean(axis=0)
        mean = np.exp(logs - logs.max(axis=1, keepdims=True))
        return mean / mean.sum(axis=1, keepdims=True)

    def _train(self, images, activations, rows, y, weight, groups, seed, name) -> None:
        params = self.params
        self.classes_, encoded = check_labels(y)
        weight = np.asarray(weight * class_weights(params.class_weight, y), np.float32)
        weight = mean_one(weight)
        lesson = Lesson(activations, rows, encoded, weight, len(self.classes_))
        train, held_out = validation_split(params, encoded, groups, seed)
        upper = images.network.upper
        self.model_ = build_top(upper, params, len(self.classes_), seed, upper.get_weights())
        settle(self.model_)
        checkpoint = Checkpoint(
            params.checkpoint,
            f"{params.backbone}-{len(rows)}",
            {k: v for k, v in vars(params).items() if k not in _IRRELEVANT},
            [images.network.lower.key(), fingerprint(upper), _precision(), seed],
            [view.name for view in images.views],
            *self.model_.get_weights(),
            np.frombuffer(b"".join(images.source[rows].digests), np.uint8),
            *(encoded, lesson.weight, train),
        )
        validation = lesson.part(held_out) if len(held_out) else None
        self.history_ = train_top(
            self.model_,
            lesson.part(train),
            params,
            seed,
            name=name,
            validation=validation,
            checkpoint=checkpoint,
        )
        # Early stopping may have brought back the weights of before.
        found = [*self.model_.get_weights(), self.history_.get("loss", ())]
        if not all(np.isfinite(values).all() for values in found):
            why = f"the loss is not finite in epoch {len(self.history_.get('loss', ()))}"
            remedy = "lower learning_rate, or check the images"
            raise MemberError(message("training", params.backbone, why, remedy))

    def _key(self, images: CutImages) -> str:
        views = [view.name for view in images.views]
        digest = hashlib.sha256(f"{images.network.lower.key()} {views}".encode())
        digest.update(f"{self.params.view_mean} {_precision()} {images.network.above}".encode())
        for weight in self.model_.get_weights():
            digest.update(np.ascontiguousarray(weight).data)
        return digest.hexdigest()

    def _dump(self, out) -> dict:
        # Both stages may hold it: one network is stored once.
        digest = hashlib.sha256(repr((self.classes_.tolist(), self.history_)).encode())
        for weight in self.model_.get_weights():
            digest.update(np.ascontiguousarray(weight).data)
        return {"network": out.share("networks", digest.hexdigest(), self._dump_network)}

    def _dump_network(self, out) -> dict:
        arrays = enumerate(self.model_.get_weights())
        finite = all(np.isfinite(values).all() for values in self.history_.values())
        return {
            "classes": out.labels(self.classes_),
            "weights": [out.array(f"{i:04d}", value) for i, value in arrays],
            "history": self.history_ if finite else {},
        }

    def _load(self, state) -> None:
        raise state.fault("type", "it is a part of a TransferClassifier, and nothing without it")

    @classmethod
    def load(cls, params: dict, upper, state) -> TunedTop:
        """Return what a file describes, for a network whose upper part is this one."""
        if state.raw("type", str) != cls.__name__:
            raise state.fault("type", "not the trained part of a network")
        top, head = cls(params), {name: params[name] for name in _HEAD}

        def build(shared):
            return *top._load_network(upper, shared), head

        # Built for the first that holds it: the others have to describe the same head.
        top.classes_, top.history_, top.model_, built = state.share("network", build)
        if built != head:
            raise state.fault("network", "its head is not the one that the parameters describe")
        return top

    def _load_network(self, upper, state) -> tuple:
        classes, history = state.labels("classes"), state.raw("history", dict)
        # Before anything of the size the file claims is allocated.
        widths = [upper.output_shape[-1], *self.params.units, len(classes)]
        if max(a * b for a, b in pairwise(widths)) > state.largest_array:
            raise state.fault("params.units", "the weights in the file are smaller")
        try:
            model = build_top(upper, self.params, len(classes), seed=0)
        except (InputError, TypeError, ValueError) as error:
            raise state.fault("params", str(error)) from error
        load_weights(model, state)
        return classes, history, model


def _precision() -> str:
    """Return what a key below a cut knows, but not one of pixels, the same in each precision."""
    return get_config()["precision"]
