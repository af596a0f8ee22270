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

def other_process(way, task):
    context = multiprocessing.get_context(way)
    told = context.Queue()
    child = context.Process(target=asked, args=(task, told))
    child.start()
    answer = told.get(timeout=50)
    child.join()
    return answer

def other_thread(task):
    found = []
    thread = threading.Thread(target=lambda: found.append(task()))
    thread.start()
    thread.join()
    return found[0].shape

if __name__ == "__main__":
    task, *ways = sys.argv[1:]
    task = globals()[task]
    expected = task()
    for way in ways:
        if way == "thread":
            found = other_thread(task)
        elif way == "loky":
            found = Parallel(n_jobs=2)(delayed(task)() for _ in range(2))[1].shape
        else:
            found = other_process(way, task)
        print(way, found, flush=True)
"""


def said(task: str, *ways: str, folder) -> list[str]:
    """What a process that has run the task says of each way to run it again, a line each."""
    script = folder / "script.py"
    script.write_text(SCRIPT)
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    # The watch-dog: what hangs fails here.
    done = subprocess.run(
        [sys.executable, script, task, *ways],
        env=environment,
        capture_output=True,
        text=True,
        timeout=240,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def assert_refused(line: str) -> None:
    assert line.startswith("fork ") and "it was forked after a network had run" in line
    assert 'use joblib.parallel_config("loky"), or start processes with "spawn"' in line


@pytest.mark.slow
def test_threads_and_fresh_processes_work_and_a_forked_one_is_refused(tmp_path):
    lines = said("features", "thread", "fork", "spawn", "loky", folder=tmp_path)
    assert_refused(lines.pop(1))
    assert lines == [f"{way} (6, 16)" for way in ("thread", "spawn", "loky")]


@pytest.mark.slow
def test_a_process_that_was_forked_after_a_head_was_trained_is_refused(tmp_path):
    (line,) = said("head", "fork", folder=tmp_path)
    assert_refused(line)
