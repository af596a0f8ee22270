"""What all commands share: exit codes, errors on one line, and nothing heavy for help."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys

import pytest

import skinensemble
from skinensemble import cli
from skinensemble.cli import main
from skinensemble.cli._screen import columns, print_json, progress_on_stderr, spoken

HEAVY = ("tensorflow", "keras", "sklearn")


def run(*args: str, **options) -> subprocess.CompletedProcess:
    command = [sys.executable, "-m", "skinensemble", *args]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, **options)


def modules_after(*args: str) -> set[str]:
    code = (
        "import sys; from skinensemble.cli import main\n"
        f"main({list(args)!r})\n"
        "print('MODULES', *sys.modules, file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    return set(done.stderr.split("MODULES")[1].split())


@pytest.mark.parametrize("args", [["--help"], ["train", "--help"], ["backbones"], ["--version"]])
def test_light_commands_import_nothing_heavy(args):
    assert modules_after(*args).isdisjoint(HEAVY)


def test_info_imports_nothing_heavy(model):
    assert modules_after("info", str(model)).isdisjoint(HEAVY)


@pytest.mark.parametrize("args", [["--help"], ["backbones"]])
def test_light_commands_are_quick(args):
    # User time, which other processes on the machine do not lengthen much.
    before = os.times()
    assert run(*args).returncode == 0
    after = os.times()
    assert after.children_user - before.children_user < 1.0


def test_help_names_every_command(capsys):
    assert main(["--help"]) == 0
    text = capsys.readouterr().out
    assert all(name in text for name in ("train", "predict", "evaluate", "info", "backbones"))
    assert "not a medical device" in text


def test_version(capsys):
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"skinensemble {skinensemble.__version__}\n"


@pytest.mark.parametrize("args", [[], ["fly"], ["train"], ["predict", "m.h5"]])
def test_wrong_usage_gives_2(args, capsys):
    assert main(args) == 2
    assert "usage: skinensemble" in capsys.readouterr().err


def test_error_is_one_line_and_debug_adds_the_traceback(capsys):
    assert main(["info", "no/such.h5"]) == 1
    streams = capsys.readouterr()
    assert streams.out == ""
    assert streams.err.startswith("skinensemble: error: cannot load: no/such.h5 – ")
    assert len(streams.err.splitlines()) == 1

    for args in (["--debug", "info", "no/such.h5"], ["info", "--debug", "no/such.h5"]):
        assert main(args) == 1
        assert "Traceback (most recent call last)" in capsys.readouterr().err


def test_a_bug_says_that_it_is_one(monkeypatch, capsys):
    def fail(args):
        raise ZeroDivisionError("division\nby zero")

    monkeypatch.setattr(cli.info, "run", fail)
    assert main(["info", "m.h5"]) == 1
    error = capsys.readouterr().err
    assert error.startswith("skinensemble: error: ZeroDivisionError: division by zero")
    assert "--debug" in error and len(error.splitlines()) == 1


def test_control_c_gives_130(monkeypatch, capsys):
    def interrupt(args):
        raise KeyboardInterrupt

    monkeypatch.setattr(cli.info, "run", interrupt)
    assert main(["info", "m.h5"]) == 130
    assert capsys.readouterr().err == "skinensemble: stopped\n"


@pytest.mark.skipif(sys.platform == "win32", reason="no such signal")
def test_closed_pipe_is_silent():
    read, write = os.pipe()
    os.close(read)
    command = [sys.executable, "-m", "skinensemble", "backbones"]
    done = subprocess.run(command, stdout=write, stderr=subprocess.PIPE, timeout=120)
    os.close(write)
    assert (done.returncode, done.stderr) == (141, b"")


@pytest.mark.skipif(sys.platform == "win32", reason="needs a shell")
@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-", "<&- >&- 2>&-"])
def test_streams_that_are_closed(model, closed):
    command = f'"{sys.executable}" -m skinensemble info "{model}" {closed}'
    done = subprocess.run(command, shell=True, capture_output=True, text=True, timeout=120)
    assert (done.returncode, done.stderr) == (0, "")
    assert ("SHA-256" in done.stdout) != (">&-" in closed.split())


def test_letters_that_the_output_does_not_know(model, tmp_path):
    latin = tmp_path / "ł.h5"
    shutil.copy(model, latin)
    for encoding, shown in (("latin-1", "\\u0142.h5"), ("utf-8", "ł.h5"), ("ascii", "\\u0142.h5")):
        environment = os.environ | {"PYTHONIOENCODING": encoding, "PYTHONUTF8": "1"}
        done = run("info", str(latin), env=environment, encoding=encoding)
        assert (done.returncode, done.stderr) == (0, "")
        assert shown in done.stdout


def test_backbones_table(capsys):
    assert main(["backbones"]) == 0
    lines = capsys.readouterr().out.splitlines()
    (lite,) = [line for line in lines if line.startswith("efficientnet_lite0 ")]
    assert lite.split()[1:4] == ["EfficientNet-Lite", "224", "Apache-2.0"]
    assert any("fetched by Keras" in line for line in lines if line.startswith("vgg16 "))


def test_columns_align_and_json_has_no_nan(capsys):
    table = columns(["file", "p"], [["a", "0.5"], ["longer", ""]])
    assert table.splitlines() == ["file      p", "a       0.5", "longer"]
    print_json({"a": float("nan"), "b": [float("inf"), 0.5]})
    assert capsys.readouterr().out == '{\n  "a": null,\n  "b": [\n    null,\n    0.5\n  ]\n}\n'


def test_progress_goes_to_stderr_or_nowhere(capsys):
    with progress_on_stderr():
        print("working")
    with progress_on_stderr(quiet=True):
        print("never seen")
    streams = capsys.readouterr()
    assert (streams.out, streams.err) == ("", "working\n")


@pytest.mark.parametrize(
    "path", ["/data/epochs=10/a.jpg", "a/epochs=10.jpg", "epochs=10/a.jpg", "/x/min_members/cv=3/a"]
)
def test_paths_in_messages_stay_as_they_are(path):
    assert (
        spoken(f"image: {path} – no – pass epochs=10.") == f"image: {path} – no – pass --epochs 10."
    )
