"""Commands that are told to end, by Ctrl-C or SIGTERM."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="no such signals")

_LOST = """
    while True:
        try:
            time.sleep(60)
        except KeyboardInterrupt:
            pass
"""
# Who waits for a lock of C does not even wake up; this one is its own.
_DEAF = """
    lock, one = ctypes.CDLL(None).pthread_mutex_lock, ctypes.create_string_buffer(64)
    lock(one)
    lock(one)
"""

# The command, in a process that knows a small backbone as well.
RUN = """
import sys
from skinensemble.cli import main
import tests.tiny_backbone
sys.exit(main())
"""
TINY = ["--backbone", "tiny_transfer", "--weights", "tiny_transfer=none"]


@pytest.mark.skipif(sys.platform != "linux", reason="locks of C differ")
def test_what_is_told_to_end_ends_though_nobody_hears_it():
    script = (
        "import ctypes, sys, time\n"
        "from skinensemble.cli import backbones, main\n"
        "def run(args):\n    print('at work', flush=True)\n{}\n"
        "backbones.run, sys.argv[1:] = run, ['backbones']\n"
        "sys.exit(main())\n"
    )
    signals = [signal.SIGINT, signal.SIGTERM] * 2
    # All at once: most of the time is waiting for those that hear nothing.
    busy = [_LOST, _LOST, _DEAF, _DEAF]
    told = [_start([sys.executable, "-c", script.format(one)]) for one in busy]
    try:
        assert [child.stdout.readline() for child in told] == ["at work\n"] * 4
        start = time.monotonic()
        for child, number in zip(told, signals, strict=True):
            os.kill(child.pid, number)
        errors = [child.communicate(timeout=60)[1] for child in told]
        assert time.monotonic() - start < 30
    finally:
        for child in told:
            _end(child)
    assert [child.returncode for child in told] == [130] * 4
    assert errors == ["skinensemble: stopped\n"] * 4


def test_a_child_that_is_told_to_end_does_not_end_its_parent():
    child = _start(
        [
            sys.executable,
            "-c",
            "import multiprocessing, sys, time\n"
            "from skinensemble.cli import backbones, main\n"
            "def run(args):\n"
            "    fork = multiprocessing.get_context('fork')\n"
            "    child = fork.Process(target=time.sleep, args=(60,))\n"
            "    child.start()\n"
            "    time.sleep(0.5)\n"
            "    child.terminate()\n"
            "    child.join()\n"
            "    time.sleep(3)\n"
            "    print(child.exitcode)\n"
            "    return 0\n"
            "backbones.run, sys.argv[1:] = run, ['backbones']\n"
            "sys.exit(main())\n",
        ]
    )
    output, error = child.communicate(timeout=60)
    assert (child.returncode, output, error) == (0, f"{-signal.SIGTERM}\n", "")


def test_what_fails_because_of_a_signal_was_stopped():
    """Where C code imports a module, an interrupt may come out as an error."""
    script = (
        "import os, signal, sys\n"
        "from skinensemble.cli import backbones, main\n"
        "def run(args):\n"
        "    try:\n"
        "        os.kill(os.getpid(), signal.SIGINT)\n"
        "    except KeyboardInterrupt:\n"
        "        raise ImportError('initialization failed') from None\n"
        "backbones.run, sys.argv[1:] = run, ['backbones']\n"
        "sys.exit(main())\n"
    )
    child = _start([sys.executable, "-c", script])
    _, error = child.communicate(timeout=60)
    assert (child.returncode, error) == (130, "skinensemble: stopped\n")


@pytest.mark.slow
@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM"])
def test_a_training_that_is_told_to_end_keeps_its_checkpoint(name, folder, tmp_path):
    kept = tmp_path / "kept"
    options = [*TINY, "--unfreeze", "1", "--views", "1", "--epochs", "1000"]
    options += ["--folds", "2", "--checkpoint", str(kept), "--output", str(tmp_path / "m.h5")]
    child = _start([sys.executable, "-c", RUN, "train", str(folder), *options])
    try:
        end = time.monotonic() + 120
        while not (kept.is_dir() and any(kept.glob("*.checkpoint"))):
            assert child.poll() is None and time.monotonic() < end
            time.sleep(0.1)
        os.kill(child.pid, getattr(signal, name))
        _, error = child.communicate(timeout=60)
    finally:
        _end(child)
    assert child.returncode == 130
    assert error.splitlines()[-1] == (
        "skinensemble: stopped – the same command goes on with the training after each epoch"
        f" in {kept}"
    )
    assert any(kept.glob("*.checkpoint")) and not (tmp_path / "m.h5").exists()


@pytest.mark.slow
def test_what_is_told_to_end_does_not_wait_for_a_network(folder, tmp_path):
    script = (
        "import sys, time\n"
        "from skinensemble.features import Extractor\n"
        "def slow(self, batch):\n"
        "    print('in the network', file=sys.__stdout__, flush=True)\n"
        "    time.sleep(100)\n"
        "Extractor._predict = slow\n"
    )
    command = ["train", str(folder), *TINY, "--output", str(tmp_path / "m.h5")]
    child = _start([sys.executable, "-c", script + RUN, *command])
    try:
        while child.stdout.readline() != "in the network\n":
            assert child.poll() is None
        os.kill(child.pid, signal.SIGINT)
        start = time.monotonic()
        _, error = child.communicate(timeout=60)
        assert time.monotonic() - start < 30  # seconds, not the 100 of the network
    finally:
        _end(child)
    assert child.returncode == 130
    assert error.splitlines()[-1].startswith("skinensemble: stopped – nothing is kept")


def _start(command: list[str]) -> subprocess.Popen[str]:
    return subprocess.Popen(
        command,
        cwd=Path(__file__).parents[2],  # where it finds the tests' own backbone
        stderr=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        # What a shell runs in the background would ignore it, and so would all below.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )


def _end(child: subprocess.Popen[str]) -> None:
    """Leave no process behind that a later test would be told of."""
    child.kill()
    child.communicate()
