"""Real data, real weights and deterministic property tests for the whole suite."""

from __future__ import annotations

import gc
import os
import tempfile
from pathlib import Path

import pytest
from hypothesis import settings

# Two cores are shared with TensorFlow's threads: a slow example says nothing about the code.
settings.register_profile("suite", derandomize=True, deadline=None, max_examples=25)
settings.load_profile("suite")
# Of small matrices, too: threads of OpenBLAS that wait for a core of a busy machine make a fit of
# milliseconds one of seconds. NumPy reads it when it is imported, which is later.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

_SHARED = Path(__file__).parents[2] / "shared"


# The files that take longest, longest first: one that comes last leaves the other workers idle.
_LONGEST = (
    "test_ham10000",
    "test_ham10000_fine_tuning",
    "test_scale_out",
    "test_backbones_registry",
    "test_engines_ham10000",
    "test_demo",
    "test_fine_tuning",
    "test_lesions",
    "test_fine_tuning_killed",
    "test_engines_fork",
    "test_cuts",
    "test_folded",
    "test_near_copies",
    "test_cli_light",
    "test_in_time",
    "test_cli_search",
    "test_cli_train",
    "test_dense_head",
)


def pytest_configure(config):
    """Keep the order: pytest-xdist would begin with the files of most tests."""
    config.option.loadscopereorder = False


def pytest_collection_modifyitems(items):
    places = {name: at for at, name in enumerate(_LONGEST)}
    items.sort(key=lambda item: places.get(item.path.stem, len(places)))


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


@pytest.fixture
def ordinary():
    """A folder of one who may not do everything; the test runs as its owner."""
    superuser = hasattr(os, "geteuid") and os.geteuid() == 0
    if superuser:
        os.seteuid(65534)
    try:
        with tempfile.TemporaryDirectory() as folder:
            yield Path(folder)
    finally:
        if superuser:
            os.seteuid(0)
