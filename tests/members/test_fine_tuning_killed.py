"""A process that is killed in the middle of a training, and started again."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

CHILD = """
import hashlib, sys
import numpy as np
import tiny_backbone
from skinensemble import TransferClassifier

rng = np.random.default_rng(0)
X = rng.integers(0, 256, (60, 32, 32, 3), dtype=np.uint8)
y = np.arange(60) % 3
member = TransferClassifier(
    **tiny_backbone.TINY, unfreeze=1, views=2, epochs=60, batch_size=8, mixup=0.2, ema=0.9,
    checkpoint=sys.argv[1], store=sys.argv[2], random_state=0,
)
print("ready", flush=True)
member.fit(X, y)
digest = hashlib.sha256(b"".join(w.tobytes() for w in member.head_.model_.get_weights()))
print(digest.hexdigest(), len(member.history_["loss"]), flush=True)
"""


def start(folder: Path) -> subprocess.Popen:
    paths = [str(Path(__file__).parents[2]), str(Path(__file__).parents[1])]
    return subprocess.Popen(
        [sys.executable, "-c", CHILD, str(folder / "checkpoints"), str(folder / "store")],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(paths)},
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )


@pytest.mark.slow
def test_a_killed_training_ends_as_an_undisturbed_one(tmp_path):
    undisturbed, _ = start(tmp_path / "undisturbed").communicate(timeout=300)
    moments = random.Random(0)
    killed = 0
    for _ in range(4):
        child = start(tmp_path / "killed")
        assert child.stdout is not None
        child.stdout.readline()
        time.sleep(moments.uniform(0.5, 4))
        child.send_signal(signal.SIGKILL)
        killed += child.wait(60) == -signal.SIGKILL
        child.stdout.close()
    resumed, _ = start(tmp_path / "killed").communicate(timeout=300)
    assert killed
    assert resumed == undisturbed
    assert resumed.split()[-1] == "60"
    assert len(list((tmp_path / "killed" / "checkpoints").iterdir())) == 1
