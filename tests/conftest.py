"""Real data, real weights and deterministic property tests for the whole suite."""

from __future__ import annotations

import gc
import os
from pathlib import Path

import pytest
from hypothesis import settings

# Two cores are shared with TensorFlow's threads: a slow example says nothing about the code.
settings.register_profile("suite", derandomize=True, deadline=None, max_examples=50)
settings.load_profile("suite")

_SHARED = Path(__file__).parents[2] / "shared"


def pytest_collection_finish(session):
    """Set aside what was imported: every collection of garbage would look at all of it again."""
    gc.collect()
    gc.freeze()


def _folder(variable: str, default: Path) -> Path:
    path = Path(os.environ.get(variable, default))
    if not path.is_dir():
        pytest.skip(f"{path} is not there: set {variable} to run this test")
    return path


@pytest.fixture(scope="session")
def ham10000() -> Path:
    """The folder of HAM10000: metadata CSV, images and lesion masks."""
    return _folder("SKINENSEMBLE_HAM10000", _SHARED / "ham10000")


@pytest.fixture(scope="session")
def imagenet_weights() -> Path:
    """The folder of ImageNet weights for keras.applications networks without top."""
    return _folder("SKINENSEMBLE_WEIGHTS", _SHARED / "weights")
