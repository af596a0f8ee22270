"""The core of the suite on the other backends of Keras, and files that pass from one to another.

Keras takes its backend when it is imported, so each has a process of its own.
"""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
import xml.etree.ElementTree as ET
from pathlib import Path

import numpy as np
import pytest
from tiny_backbone import TINY, _build

from skinensemble import Cascade, FeatureStore, Stage, TransferClassifier, load
from skinensemble.features import load_extractor
from skinensemble.images import as_images

pytestmark = pytest.mark.slow

TESTS = Path(__file__).parent
# Frozen features, heads, fine-tuning with its checkpoints, finished models, and both stages.
CORE = (
    "backbones/test_cuts.py",
    "backbones/test_efficientnet_lite.py",
    "engines/test_engines_keras.py",
    "features/test_features_extractor.py",
    "members/test_dense_head.py",
    "members/test_fine_tuning.py",
    "members/test_pretrained.py",
    "members/test_stack.py",
    "members/test_transfer.py",
    "persistence/test_tuned_files.py",
    "test_cascade.py",
)
HEAD = {"units": (4,), "epochs": 2, "random_state": 0}
FROZEN = TransferClassifier(**TINY | HEAD)
TUNED = TransferClassifier(**TINY | HEAD, unfreeze=1, views=2, batch_size=16)

CHILD = """
import sys
import keras
import numpy as np
import tiny_backbone
from test_backends import images, cascade
from skinensemble import FeatureStore, load
from skinensemble.features import load_extractor
from skinensemble.images import as_images

folder, backend = sys.argv[1:]
assert keras.backend.backend() == backend
X, y, lesions = images()
np.save(f"{folder}/ours_there.npy", load(f"{folder}/ours.h5").predict_proba(X))
theirs = cascade().fit(X, y, groups=lesions)
theirs.save(f"{folder}/theirs.h5")
np.save(f"{folder}/theirs.npy", theirs.predict_proba(X))
extractor = load_extractor("tiny_transfer", f"{folder}/network.weights.h5")
extractor(as_images(X), FeatureStore(f"{folder}/store"))
"""


def images():
    """Images whose diagnosis is their colour, two of each lesion."""
    rng = np.random.default_rng(0)
    y = np.repeat(["bkl", "mel", "nv"], 16)
    shade = np.repeat([[200, 60, 60], [60, 200, 60], [60, 60, 200]], 16, axis=0)
    noise = rng.integers(-50, 50, (48, 32, 32, 3))
    return (shade[:, None, None] + noise).astype(np.uint8), y, np.arange(48) // 2


def cascade() -> Cascade:
    """Two stages, with a frozen and a fine-tuned member each."""
    stage = Stage([("frozen", FROZEN), ("tuned", TUNED)], cv=2)
    return Cascade(stage, stage, malignant=["mel"], random_state=0)


@pytest.fixture(scope="module", params=["jax", "torch"])
def backend(request) -> str:
    if importlib.util.find_spec(request.param) is None:
        pytest.skip(
            f'{request.param} is not installed: pip install "skinensemble[{request.param}]"'
        )
    return request.param


def run(backend: str, *arguments: object) -> subprocess.CompletedProcess:
    paths = os.pathsep.join([str(TESTS.parent), str(TESTS)])
    return subprocess.run(
        [sys.executable, *map(str, arguments)],
        cwd=TESTS.parent,
        env={**os.environ, "KERAS_BACKEND": backend, "PYTHONPATH": paths},
        capture_output=True,
        text=True,
    )


def test_the_core_of_the_suite(backend, tmp_path):
    report = tmp_path / "report.xml"
    files = [TESTS / name for name in CORE]
    done = run(backend, "-m", "pytest", "-n", "0", "-q", f"--junit-xml={report}", *files)
    assert done.returncode == 0, done.stdout[-5000:]
    (suite,) = ET.parse(report).getroot()
    assert int(suite.get("tests")) > 200
    assert int(suite.get("skipped")) <= 5  # weights that come as packages


@pytest.fixture(scope="module")
def folder(backend, tmp_path_factory) -> Path:
    """What this process saved, and what one on the other backend made of it."""
    folder = tmp_path_factory.mktemp(backend)
    X, y, lesions = images()
    cascade().fit(X, y, groups=lesions).save(folder / "ours.h5")
    _build((32, 32, 3)).save_weights(folder / "network.weights.h5")
    extractor = load_extractor(TINY["backbone"], folder / "network.weights.h5")
    extractor(as_images(X), FeatureStore(folder / "store"))
    done = run(backend, "-c", CHILD, folder, backend)
    assert done.returncode == 0, done.stderr[-5000:]
    return folder


def test_our_file_predicts_the_same_there(folder):
    ours = load(folder / "ours.h5").predict_proba(images()[0])
    np.testing.assert_allclose(np.load(folder / "ours_there.npy"), ours, rtol=0, atol=1e-4)
    assert ours.std() > 0.01


def test_their_file_predicts_the_same_here(folder):
    here = load(folder / "theirs.h5").predict_proba(images()[0])
    np.testing.assert_allclose(here, np.load(folder / "theirs.npy"), rtol=0, atol=1e-4)
    assert here.std() > 0.01


def test_features_that_we_stored_are_found_there(folder):
    assert len(FeatureStore(folder / "store")) == 48
