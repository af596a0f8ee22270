"""Fine-tuning on real lesions, with real weights."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import StratifiedGroupKFold

from skinensemble import TransferClassifier
from skinensemble.datasets import load_ham10000

pytestmark = pytest.mark.slow


def test_what_is_tuned_beats_what_is_frozen(ham10000, imagenet_weights, tmp_path):
    data = load_ham10000(ham10000)
    keep = np.random.default_rng(0).permutation(len(data.target))[:1500]
    X, y, lesions = (np.asarray(part)[keep] for part in (data.images, data.target, data.groups))
    y = np.where(np.isin(y, ["akiec", "bcc", "mel"]), "malignant", "benign")
    folds = StratifiedGroupKFold(4, shuffle=True, random_state=0)
    train, test = next(folds.split(X, y, lesions))
    weights = imagenet_weights / "mobilenet_v2_0.35_224_notop.weights.h5"
    found = {}
    for unfreeze, views in ((None, {}), (0.4, {"views": 4})):
        member = TransferClassifier(
            "mobilenet_v2_035",
            weights=weights,
            image_size=128,
            unfreeze=unfreeze,
            store=tmp_path,
            random_state=0,
            **views,
        ).fit(X[train], y[train], groups=lesions[train])
        scores = member.predict_proba(X[test])[:, 1]
        found[unfreeze] = roc_auc_score(y[test] == "malignant", scores)
    assert found[0.4] > 0.8
    assert found[0.4] > found[None]
