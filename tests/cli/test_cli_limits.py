"""Trainings that fail in part, take too long or are stopped, from the command line."""

from __future__ import annotations

import argparse
import json

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
