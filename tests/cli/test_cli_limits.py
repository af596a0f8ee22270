"""Trainings that fail in part, take too long or are stopped, from the command line."""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import time

import pytest

from skinensemble import cli
from skinensemble.cli import main
from skinensemble.cli._limits import chosen_limits
from skinensemble.cli._screen import duration, spoken

BROKEN = "cli_broken"


@pytest.fixture(scope="module")
def broken() -> list[str]:
    from skinensemble.backbones import register_backbone

    def build(input_shape):
        raise OSError("no room for its weights")

    register_backbone(BROKEN, build, preprocess="tf", input_size=32, overwrite=True)
    return ["--backbone", BROKEN, "--weights", f"{BROKEN}=none", "--quiet"]


def test_training_goes_on_without_a_member_and_says_so(train_args, broken, tmp_path, capsys):
    path = tmp_path / "m.h5"
    command = [*train_args, *broken, "--hold-out", "0", "--output", str(path)]
    assert main(command) == 1
    assert "no room for its weights" in capsys.readouterr().err and not path.exists()
    assert main([*command, "--on-member-error", "drop"]) == 0
    error = capsys.readouterr().err
    assert f"warning: members: {BROKEN} – left out, 1 of 2 vote ({BROKEN}: " in error
    assert "no room for its weights" in error and "see `skinensemble info`" in error
    assert main(["info", str(path)]) == 0
    assert f"  without {BROKEN}: " in capsys.readouterr().out
    assert main(["info", str(path), "--json"]) == 0
    stages = json.loads(capsys.readouterr().out)["stages"]
    assert [one["name"] for one in stages["triage"]["failures"]] == [BROKEN]


def test_fewer_members_than_must_be_left_are_an_error(train_args, broken, tmp_path, capsys):
    command = [*train_args, *broken, "--output", str(tmp_path / "m.h5")]
    assert main([*command, "--on-member-error", "drop", "--min-members", "2"]) == 1
    assert "1 of 2 members could be trained, 2 must be – " in capsys.readouterr().err


def test_a_limit_that_is_too_short_says_how_to_go_on(train_args, tmp_path, capsys):
    kept = tmp_path / "features"
    command = [*train_args, "--quiet", "--output", str(tmp_path / "m.h5"), "--store", str(kept)]
    assert main([*command, "--time-limit", "0.001s"]) == 1
    error, hint = capsys.readouterr().err.splitlines()
    assert error.startswith("skinensemble: error: member: cli_tiny – the ")
    assert " were over at " in error and "pass --on-member-error drop for the vote" in error
    assert hint == f"skinensemble: the same command goes on with the features in {kept}"


@pytest.mark.parametrize(
    ("text", "seconds"), [("45", 45), ("45s", 45), ("90m", 5400), ("1.5h", 5400), (" 2 m ", 120)]
)
def test_times_have_units(text, seconds):
    assert duration(text) == seconds
    args = cli._parser().parse_args(["train", "DATA", f"--time-limit={text}"])
    assert chosen_limits(args)["time_limit"] == seconds


@pytest.mark.parametrize("text", ["", "0", "0m", "-1", "m", "5d", "1e3", "nan", "inf", "1:30"])
def test_what_is_no_time_is_refused(text):
    with pytest.raises(argparse.ArgumentTypeError, match=r"is not a time such as 45s, 90m"):
        duration(text)
    assert main(["train", "DATA", f"--time-limit={text}"]) == 2


def test_messages_name_the_options():
    assert spoken('pass on_error="drop" for it, or lower min_members; see failures_') == (
        "pass --on-member-error drop for it, or lower --min-members; see `skinensemble info`"
    )
    assert spoken("on_error='skip'") == "--on-error skip"


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ([], "nothing is kept; with --store and --checkpoint the same command would go on"),
        (["--store", "s"], "the same command goes on with the features in s"),
        (
            ["--store", "s", "--checkpoint", "c"],
            "the same command goes on with the features in s"
            " and the training after each epoch in c",
        ),
    ],
)
def test_what_is_stopped_says_how_to_go_on(options, text, monkeypatch, capsys):
    def interrupt(args):
        raise KeyboardInterrupt

    monkeypatch.setattr(cli.train, "load_data", interrupt)
    assert main(["train", "DATA", "--unfreeze", "1", *options]) == 130
    assert capsys.readouterr().err == f"skinensemble: stopped – {text}\n"


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="no such signals")
@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM"])
def test_a_training_that_is_told_to_end_keeps_its_checkpoint(name, folder, tmp_path):
    kept = tmp_path / "kept"
    options = ["--backbone", "mobilenet_v2_035", "--weights", "mobilenet_v2_035=none"]
    options += ["--image-size", "32", "--unfreeze", "1", "--views", "1", "--epochs", "1000"]
    options += ["--folds", "2", "--checkpoint", str(kept), "--output", str(tmp_path / "m.h5")]
    child = subprocess.Popen(
        [sys.executable, "-m", "skinensemble", "train", str(folder), *options],
        stderr=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        text=True,
        # What a shell runs in the background would ignore it, and so would all below.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    end = time.monotonic() + 120
    while not (kept.is_dir() and any(kept.glob("*.checkpoint"))):
        assert child.poll() is None and time.monotonic() < end
        time.sleep(0.1)
    os.kill(child.pid, getattr(signal, name))
    _, error = child.communicate(timeout=60)
    assert child.returncode == 130
    assert error.splitlines()[-1] == (
        "skinensemble: stopped – the same command goes on with the training after each epoch"
        f" in {kept}"
    )
    assert any(kept.glob("*.checkpoint")) and not (tmp_path / "m.h5").exists()


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="no such signals")
def test_what_is_told_to_end_does_not_wait_for_a_network(folder, tmp_path):
    script = (
        "import sys, time\n"
        "from skinensemble.cli import main\n"
        "from skinensemble.features import Extractor\n"
        "def slow(self, batch):\n"
        "    print('in the network', file=sys.__stdout__, flush=True)\n"
        "    time.sleep(100)\n"
        "Extractor._predict = slow\n"
        "sys.exit(main())\n"
    )
    command = ["train", str(folder), "--backbone", "mobilenet_v2_035", "--image-size", "32"]
    command += ["--weights", "mobilenet_v2_035=none", "--output", str(tmp_path / "m.h5")]
    child = subprocess.Popen(
        [sys.executable, "-c", script, *command],
        stderr=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    while child.stdout.readline() != "in the network\n":
        assert child.poll() is None
    os.kill(child.pid, signal.SIGINT)
    start = time.monotonic()
    _, error = child.communicate(timeout=60)
    assert time.monotonic() - start < 30  # seconds, not the 100 of the network
    assert child.returncode == 130
    assert error.splitlines()[-1].startswith("skinensemble: stopped – nothing is kept")
