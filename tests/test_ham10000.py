"""The whole way on real images: three well-known networks, both stages, a file, a new process."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from skinensemble import evaluate, make_cascade
from skinensemble.datasets import load_ham10000

PREDICT = """
import sys, numpy as np
from skinensemble import load
paths = np.load(sys.argv[2])
np.save(sys.argv[3], load(sys.argv[1]).predict_proba(paths))
"""


@pytest.fixture(scope="module")
def some(ham10000):
    """About 30 lesions of each type, a third of them kept aside."""
    data = load_ham10000(ham10000)
    images, y, groups = map(np.asarray, (data.images, data.target, data.groups))
    rng = np.random.default_rng(0)
    chosen = np.concatenate([rng.permutation(np.unique(groups[y == k]))[:30] for k in np.unique(y)])
    rows = np.flatnonzero(np.isin(groups, chosen))
    aside = np.isin(groups[rows], chosen[::3])
    return [(images[r], y[r], groups[r]) for r in (rows[~aside], rows[aside])]


@pytest.mark.slow
def test_three_networks_train_vote_save_and_load(some, imagenet_weights, tmp_path):
    train, test = some
    weights = {
        "inception_v3": None,
        "resnet50": None,
        "vgg16": str(imagenet_weights / "vgg16_notop.weights.h5"),
    }
    cascade = make_cascade(*weights, weights=weights, image_size=80, cv=2, random_state=0)
    cascade.fit(train[0], train[1], groups=train[2])

    report = evaluate(cascade, test[0], test[1], groups=test[2], n_resamples=200)
    figures = {row.name: row.figures["AUC"] for row in report.triage}
    # The one member that has seen ImageNet ranks real lesions clearly better than chance.
    assert figures["vgg16"].low > 0.6
    assert len(cascade.verdicts(test[0])) == len(test[0])

    path, asked, answer = (tmp_path / name for name in ("c.h5", "asked.npy", "answer.npy"))
    cascade.save(path)
    few = test[0][:20]
    np.save(asked, few)
    root = Path(__file__).parents[1]
    command = [sys.executable, "-c", PREDICT, str(path), str(asked), str(answer)]
    subprocess.run(command, check=True, cwd=root)
    np.testing.assert_array_equal(np.load(answer), cascade.predict_proba(few))
