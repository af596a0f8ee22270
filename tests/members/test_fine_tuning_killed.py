"""A process that is killed in the middle of a training, and started again."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from tiny_backbone import TINY

from skinensemble import TransferClassifier

CHILD = "import sys, test_fine_tuning_killed as here; here.train(here.Path(sys.argv[1]))"


def train(folder: Path) -> TransferClassifier:
    rng = np.random.default_rng(0)
    X = rng.integers(0, 256, (60, 32, 32, 3), dtype=np.uint8)
    options = {"unfreeze": 1, "views": 2, "epochs": 60, "batch_size": 8, "mixup": 0.2, "ema": 0.9}
    kept = {"checkpoint": folder / "checkpoints", "store": folder / "store"}
    return TransferClassifier(**TINY | options | kept, random_state=0).fit(X, np.arange(60) % 3)


def start(folder: Path) -> subprocess.Popen:
    here = Path(__file__)
    return subprocess.Popen(
        [sys.executable, "-c", CHILD, str(folder)],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(map(str, here.parents[:3]))},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )


def newest(folder: Path) -> int:
    kept = (folder / "checkpoints").glob("*.checkpoint")
    return max((file.stat().st_mtime_ns for file in kept), default=0)


@pytest.mark.slow
def test_a_killed_training_ends_as_an_undisturbed_one(tmp_path):
    undisturbed, folder = train(tmp_path / "undisturbed"), tmp_path / "killed"
    moments = random.Random(0)
    killed = 0
    for _ in range(4):
        before, child, end = newest(folder), start(folder), time.monotonic() + 240
        while newest(folder) == before:  # it has not gone on yet
            assert child.poll() is None and time.monotonic() < end
            time.sleep(0.01)
        time.sleep(moments.uniform(0, 0.25))
        child.send_signal(signal.SIGKILL)
        killed += child.wait(60) == -signal.SIGKILL
    assert killed == 4
    resumed = train(folder)
    pairs = zip(resumed.model_.get_weights(), undisturbed.model_.get_weights(), strict=True)
    assert all(ours.tobytes() == theirs.tobytes() for ours, theirs in pairs)
    assert resumed.history_ == undisturbed.history_
    assert len(resumed.history_["loss"]) == 60
    assert len(list((folder / "checkpoints").iterdir())) == 1
