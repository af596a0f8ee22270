"""Nothing hangs: a process that was forked after a network ran is refused, others work."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

# A fork of a process with threads is what is tested; newer Pythons warn of it.
SCRIPT = """
import multiprocessing, sys, threading, warnings
import numpy as np
from joblib import Parallel, delayed
from skinensemble import DenseHead
from skinensemble.exceptions import EngineError
from skinensemble.features import BackboneFeatures, FeatureStore

warnings.simplefilter("ignore")
images = np.random.default_rng(0).integers(0, 256, (6, 32, 32, 3), dtype=np.uint8)

def features():
    import tests.tiny_backbone  # registers it in a worker as well

    made = BackboneFeatures("tiny_transfer", weights=None, store=FeatureStore())
    return made.transform(images)

def head():
    return DenseHead(epochs=1).fit(np.eye(6), [0, 1] * 3).predict_proba(np.eye(6))

def asked(task, told):
    try:
        told.put(str(task().shape))
    except EngineError as error:
        told.put(str(error))

if __name__ == "__main__":
    way, task = sys.argv[1], globals()[sys.argv[2]]
    expected = task()
    if way == "thread":
        found = []
        thread = threading.Thread(target=lambda: found.append(task()))
        thread.start()
        thread.join()
        print(found[0].shape)
    elif way == "loky":
        print(Parallel(n_jobs=2)(delayed(task)() for _ in range(2))[1].shape)
    else:
        context = multiprocessing.get_context(way)
        told = context.Queue()
        child = context.Process(target=asked, args=(task, told))
        child.start()
        print(told.get(timeout=50))
        child.join()
"""


def said(way: str, task: str, tmp_path) -> str:
    script = tmp_path / "script.py"
    script.write_text(SCRIPT)
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    # The watch-dog: what hangs fails here.
    done = subprocess.run(
        [sys.executable, script, way, task],
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.slow
@pytest.mark.parametrize("task", ["features", "head"])
def test_a_forked_process_is_refused(task, tmp_path):
    text = said("fork", task, tmp_path)
    assert "it was forked after a network had run" in text
    assert 'use joblib.parallel_config("loky"), or start processes with "spawn"' in text


@pytest.mark.slow
@pytest.mark.parametrize("way", ["thread", "loky", "spawn"])
def test_threads_and_fresh_processes_work(way, tmp_path):
    assert said(way, "features", tmp_path).strip() == "(6, 16)"
