"""The cascade that a user of scikit-learn would write: two VotingClassifiers on Keras features."""

from __future__ import annotations

from functools import cache

import numpy as np
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.ensemble import VotingClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skinensemble.features import load_extractor

BATCH = 32


class KerasFeatures(TransformerMixin, BaseEstimator):
    """Paths of images to the pooled features of a pretrained Keras model."""

    def __init__(self, backbone, weights):
        self.backbone = backbone
        self.weights = weights

    def fit(self, X, y=None):
        return self

    def transform(self, X):
        import keras

        model = _model(self.backbone, self.weights)
        size = model.input_shape[1:3]
        read = keras.utils.load_img
        images = np.stack([np.asarray(read(path, target_size=size), np.float32) for path in X])
        return model.predict(images, batch_size=BATCH, verbose=0)

    def __sklearn_is_fitted__(self):
        return True


@cache
def _model(backbone, weights):
    # The same networks with the same preprocessing as ours, as plain Keras models.
    return load_extractor(backbone, weights).model


def fit_peer(weights, paths, y, malignant):
    """Two soft votes of linear classifiers, one per backbone: the sides, then the diagnoses."""

    def vote():
        members = [
            (
                name,
                make_pipeline(
                    KerasFeatures(name, own), StandardScaler(), LogisticRegression(max_iter=1000)
                ),
            )
            for name, own in weights.items()
        ]
        return VotingClassifier(members, voting="soft")

    return vote().fit(paths, np.isin(y, malignant)), vote().fit(paths, y)


def predict_peer(votes, paths):
    """What both say about each image."""
    return [vote.predict_proba(paths) for vote in votes]
