"""Training both stages with three frozen members, against the way a Keras tutorial does it.

The tutorial's way: for each stage and each backbone, base frozen, a head of the same shape, ten
epochs of ``model.fit`` on the decoded images. Ours: ``make_cascade(...).fit`` from a cold store,
reading the files included, with its five folds of out-of-fold ballots, which the other way lacks.
"""

from __future__ import annotations

import time

import numpy as np
from sklearn.model_selection import StratifiedGroupKFold
from sklearn.utils import compute_class_weight

from skinensemble import FeatureStore, make_cascade
from skinensemble.backbones import get_backbone
from skinensemble.datasets import load_ham10000
from skinensemble.images import as_images
from skinensemble.metrics import Figure, confusion_figures, lesion_weights

BACKBONES = ("efficientnet_lite0", "efficientnet_lite2", "mobilenet_v2")
EPOCHS = 10
FOLDS = 5


def run(args):
    """Seconds and hold-out balanced accuracy of both ways, on the same lesions."""
    weights = {"mobilenet_v2": str(args.weights / "mobilenet_v2_1.0_224_notop.weights.h5")}
    train, test = choose_lesions(args.data, args.images)
    resamples = lesion_weights(test[2], 1000, random_state=0)
    rows, found = [], []
    for name, way in (("keras.Model.fit on the images", _by_hand), ("skinensemble", _cascade)):
        start = time.perf_counter()
        answers = way(train, test, weights)
        seconds = time.perf_counter() - start
        found.append(
            [
                _balanced_accuracy(*pair, resamples)
                for pair in zip(_truth(test), answers, strict=True)
            ]
        )
        rows.append([name, f"{seconds:.0f}", *(_shown(values) for values in found[-1])])
    ratio = float(rows[0][1]) / float(rows[1][1])
    gains = [_shown(ours - theirs) for theirs, ours in zip(*found, strict=True)]
    rows.append([f"ratio and gain, {len(train[0])} training images", f"{ratio:.1f}", *gains])
    return ["way", "fit and predict, s", "diagnosis bal. acc.", "triage bal. acc."], rows


def _truth(test):
    return test[1], np.isin(test[1], ("akiec", "bcc", "mel"))


def _balanced_accuracy(truth, answers, resamples):
    classes, y = np.unique(truth, return_inverse=True)
    answered = np.searchsorted(classes, answers)
    return confusion_figures(y, answered, len(classes), resamples)["balanced_accuracy"]


def _shown(values):
    return str(Figure.from_resamples(values))


def choose_lesions(path, n_images):
    """Return images, labels and lesions: about so many to train, and those to judge."""
    data = load_ham10000(path)
    images, y, groups = map(np.asarray, (data.images, data.target, data.groups))
    # The rarest types are kept whole, so that five folds have every one of them.
    order = np.random.default_rng(0).permutation(len(y))
    rank = np.empty(len(y), dtype=int)
    for label in np.unique(y):
        rows = order[y[order] == label]
        rank[rows] = np.arange(len(rows))
    keep = np.flatnonzero(rank < -(-5 * n_images // 4 // 7))
    folds = StratifiedGroupKFold(5, shuffle=True, random_state=0)
    train, test = next(folds.split(images[keep], y[keep], groups[keep]))
    return tuple((images[keep][r], y[keep][r], groups[keep][r]) for r in (train, test))


def _cascade(train, test, weights):
    options = {"store": FeatureStore(), "random_state": 0, "cv": FOLDS}
    cascade = make_cascade(*BACKBONES, weights=weights, **options)
    cascade.fit(train[0], train[1], groups=train[2])
    test = cascade.prepare(test[0])
    return cascade.diagnosis_.predict(test), cascade.predict_malignant(test)


def _by_hand(train, test, weights):
    sides = [np.isin(part[1], ("akiec", "bcc", "mel")) for part in (train, test)]
    types, malignant = (
        np.mean([_one(name, weights, train, y, test) for name in BACKBONES], axis=0)
        for y in (train[1], sides[0])
    )
    return np.unique(train[1])[types.argmax(axis=1)], malignant.argmax(axis=1) == 1


def _one(name, weights, train, y, test):
    """Train one network of one stage on decoded images; return its test probabilities."""
    import keras
    from keras import layers

    keras.utils.set_random_seed(0)
    base = get_backbone(name).build(weights.get(name, "imagenet"))
    base.trainable = False
    classes, encoded = np.unique(y, return_inverse=True)
    stack = [layers.Dense(128, "relu"), layers.Dropout(0.3), layers.Dense(len(classes), "softmax")]
    model = keras.Sequential([base, *stack])
    model.compile("adam", "sparse_categorical_crossentropy")
    balance = compute_class_weight("balanced", classes=classes, y=y)
    size = base.input_shape[1:3]
    pixels = [np.concatenate(list(as_images(p[0]).batches(size))) for p in (train, test)]
    model.fit(
        *(pixels[0], encoded),
        epochs=EPOCHS,
        batch_size=32,
        class_weight=dict(enumerate(balance)),
        verbose=0,
    )
    return model.predict(pixels[1], verbose=0)
