"""``search``: a leaderboard, a cascade, and a folder in which it goes on."""

from __future__ import annotations

import contextlib
import csv
import io
import re
import shutil

import pytest

from skinensemble import load
from skinensemble.cli import _parser, main


@pytest.fixture(scope="module")
def search_args(folder, tiny_backbone) -> list[str]:
    return [
        "search",
        str(folder),
        *["--lesions", r"lesion_\d+", "--folds", "2", "--epochs", "2", "--hold-out", "0.25"],
        *["--backbone", tiny_backbone, "--weights", f"{tiny_backbone}=none"],
        *["--units", "linear,8,8x4", "--finalists", "2"],
    ]


@pytest.fixture(scope="module")
def loud(search_args, tmp_path_factory):
    """The folder of a search, and what it said on both streams."""
    folder = tmp_path_factory.mktemp("search") / "new" / "found"
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        assert main([*search_args, "--output", str(folder)]) == 0
    return folder, out.getvalue(), err.getvalue()


@pytest.fixture(scope="module")
def searched(loud):
    return loud[0]


def test_search_shows_saves_and_judges(loud):
    folder, out, err = loud
    assert out.startswith("3 candidates by neg_log_loss, higher is better (")
    assert "Committee by greedy selection: " in out
    assert f"Saved {folder / 'cascade.h5'}: trained on " in out
    assert "kept aside" in out and "Diagnosis: all types" in out
    assert " 33 %  cli_tiny, units=8x4: neg_log_loss -" in err
    assert {file.name for file in folder.iterdir()} == {
        *("trials", "search.json", "leaderboard.csv", "leaderboard.png", "cascade.h5"),
    }


def test_the_leaderboard_names_what_was_tried(searched):
    with (searched / "leaderboard.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    names = {f"cli_tiny, units={units}" for units in ("linear", "8", "8x4")}
    assert {row["name"] for row in rows} == names
    assert sorted(row["outcome"] for row in rows) == ["finalist", "finalist", "out"]


def test_the_cascade_predicts(searched, folder, capsys):
    cascade = load(searched / "cascade.h5")
    assert {name for name, _ in cascade.diagnosis.members} <= {
        f"cli_tiny, units={units}" for units in ("linear", "8", "8x4")
    }
    assert main(["predict", str(searched / "cascade.h5"), str(folder / "nv")]) == 0
    assert "benign" in capsys.readouterr().out
    assert main(["info", str(searched / "cascade.h5")]) == 0


def test_the_same_command_goes_on(search_args, searched):
    command = [*search_args, "--quiet", "--output", str(searched)]
    cascade = (searched / "cascade.h5").read_bytes()
    written = {file: file.stat().st_mtime_ns for file in (searched / "trials").iterdir()}
    (searched / "leaderboard.csv").write_text("")
    assert main([*command, "--time-budget", "1h"]) == 0
    assert {file: file.stat().st_mtime_ns for file in (searched / "trials").iterdir()} == written
    assert (searched / "cascade.h5").read_bytes() == cascade
    assert (searched / "leaderboard.csv").read_text()


def test_the_cascade_of_another_search_is_not_replaced(search_args, searched, tmp_path, capsys):
    foreign = tmp_path / "cascade.h5"
    foreign.write_bytes((searched / "cascade.h5").read_bytes())
    command = [*search_args, "--quiet", "--output"]
    for other in ([*command, str(tmp_path)], [*command, str(searched), "--units", "linear"]):
        assert main(other) == 1
        text = "cascade.h5 – it exists – choose another name, or pass --force"
        assert text in capsys.readouterr().err
    assert main([*command, str(tmp_path), "--force"]) == 0


@pytest.mark.slow
def test_what_is_fine_tuned_goes_on_within_a_training(search_args, tmp_path):
    tuned = ["--unfreeze", "1", "--views", "1", "--epochs", "1", "--units", "linear"]
    command = [*search_args, *tuned, "--quiet", "--hold-out", "0", "--output", str(tmp_path)]
    assert main(command) == 0
    kept = sorted((tmp_path / "checkpoints").glob("*.checkpoint"))
    assert len(kept) >= 2 + 1  # of each fold, and of the committee
    written = [file.stat().st_mtime_ns for file in kept]
    trials = sorted((tmp_path / "trials").iterdir())
    (tmp_path / "cascade.h5").unlink()
    trials[0].unlink()
    assert main(command) == 0
    assert [file.stat().st_mtime_ns for file in kept] == written
    assert sorted((tmp_path / "trials").iterdir()) == trials


def test_help_says_what_the_budget_bounds(capsys):
    assert main(["search", "--help"]) == 0
    words = " ".join(capsys.readouterr().out.split())
    assert "for the search; the committee is trained afterwards" in words


def test_a_certified_cascade_of_fewer_members(search_args, searched, tmp_path, capsys):
    folder = shutil.copytree(searched, tmp_path / "found")
    command = [*search_args, "--quiet", "--output", str(folder), "--force", "--hold-out", "0.25"]
    promise = ["--min-sensitivity", "0.5", "--confidence", "0.9", "--max-members", "1"]
    assert main([*command, *promise, "--scoring", "roc_auc"]) == 0
    cascade = load(folder / "cascade.h5")
    rules = cascade.diagnosis_.voting_, cascade.triage_.voting_.base_
    assert [rule.metric for rule in rules] == ["roc_auc", "roc_auc"]
    assert len(cascade.diagnosis.members) == 1
    assert cascade.certificate_.minimum == 0.5


@pytest.mark.parametrize(
    ("extra", "code", "text"),
    [
        (["--backbone", "resnet5"], 2, r"backbone: 'resnet5'.*did you mean resnet50"),
        (["--units", "wide"], 2, r"--units: 'wide' is neither linear nor numbers"),
        (["--time-budget", "soon"], 2, r"'soon' is not a time such as 45s"),
        (["--time-budget", "0s"], 2, r"'0s' is not a time"),
        (["--min-sensitivity", "1.5"], 2, r"1\.5"),
        (["--units", ","], 2, r"empty value"),
        (["--loss", "foo"], 2, r"--loss is for fine-tuning: add --unfreeze"),
        (["--views", "3", "--unfreeze", "none,0"], 2, r"--views is for fine-tuning: add --unf"),
        (["--mixup", "0.2"], 2, r"--mixup is for fine-tuning: add --unfreeze"),
        (["--confidence", "0.9"], 2, r"--confidence is for a promise: add --min-sensitivity"),
        (["--scoring", "f1"], 2, r"scoring: 'f1' – not a score"),
        (["--finalists", "0"], 2, r"--finalists: '0' is not 1 or more"),
        (["--min-share", "2"], 2, r"--min-share: '2' is not a share above 0, and 1 at most"),
        (["--folds", "1"], 2, r"--folds: '1' is not 2 or more"),
        (["--epochs", "0"], 2, r"--epochs 0 \(an integer, at least 1\)"),
        (["--malignant", "mel,x"], 1, r"--malignant: x – the data have"),
        (["--min-sensitivity", "0.99"], 1, r"malignant lesions cannot prove it"),
        (["--malignant", "akiec,bcc,bkl,df,mel,nv,vasc"], 1, r"every class in y is malignant"),
        (["--max-members", "0"], 2, r"'0' is not 1 or more"),
        (["--hold-out", "some"], 2, r"'some' is not a share between 0 and 0\.5"),
        (["--loss", "hinge", "--unfreeze", "1"], 2, r"loss='hinge' \(cross_entropy, focal"),
    ],
)
def test_what_cannot_be_searched_is_refused(search_args, tmp_path, capsys, extra, code, text):
    assert main([*search_args, "--output", str(tmp_path / "f"), *extra]) == code
    error = capsys.readouterr().err
    assert re.search(text, error), error
    assert not (tmp_path / "f" / "cascade.h5").exists()


def test_too_short_a_time_says_how_much_is_needed(search_args, tmp_path, capsys):
    command = [*search_args, "--quiet", "--output", str(tmp_path / "f"), "--time-budget", "0.001s"]
    assert main(command) == 1
    error = capsys.readouterr().err
    assert re.search(r"time_budget: 0\.001 s – .*lower --min-share; what was finished is", error)


def test_output_is_checked_before_the_data_are_read(search_args, tmp_path, capsys):
    there = tmp_path / "file"
    there.write_text("precious")
    assert main([search_args[0], str(tmp_path / "no"), "--output", str(there)]) == 1
    assert "it is a file – give the name of a folder" in capsys.readouterr().err
    assert main([search_args[0], str(tmp_path / "no"), "--output", str(there / "f")]) == 1
    assert "it cannot be made (Not a directory)" in capsys.readouterr().err


def test_a_report_is_none_of_the_other_files(search_args, tmp_path, capsys):
    own = ["--output", str(tmp_path), "--report", str(tmp_path / "leaderboard.csv")]
    assert main([*search_args, *own]) == 2
    text = r"--report: .*leaderboard\.csv – another option names the same file"
    assert re.search(text, capsys.readouterr().err)


@pytest.mark.parametrize(("text", "seconds"), [("90", 90), ("90s", 90), ("1.5m", 90), ("2h", 7200)])
def test_times_have_units(text, seconds):
    assert _parser().parse_args(["search", "D", "--time-budget", text]).time_budget == seconds


def test_alternatives_are_numbers_names_or_nothing():
    args = _parser().parse_args(["search", "D", "--unfreeze", "none,2,0.3,all,block_9_add"])
    assert args.unfreeze == [None, 2, 0.3, "all", "block_9_add"]


def test_without_matplotlib_there_is_no_image(search_args, searched, tmp_path, capsys, monkeypatch):
    import sys

    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    found = shutil.copytree(searched, tmp_path / "found")
    (found / "leaderboard.png").unlink()
    assert main([*search_args, "--quiet", "--output", str(found)]) == 0
    assert "No leaderboard.png: missing package" in capsys.readouterr().out
    assert not (found / "leaderboard.png").exists()
