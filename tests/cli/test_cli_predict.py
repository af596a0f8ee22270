"""``predict`` and ``info``: rows stay in order whatever the images; the file says what it is."""

from __future__ import annotations

import contextlib
import copy
import csv
import dataclasses
import json
import re
import shutil
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from skinensemble import CalibratedVote, ThresholdVote, load
from skinensemble.cascade._decide import _is_calibrated
from skinensemble.cli import main
from skinensemble.cli._results import VerdictCsv
from skinensemble.exceptions import InputError, ModelFileError
from skinensemble.voting import resolve_voting_rule


def read(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


@pytest.fixture
def images(folder) -> list[str]:
    return [str(path) for path in sorted(folder.glob("mel/*.png"))[:3]]


@pytest.fixture
def broken(tmp_path) -> str:
    path = tmp_path / "broken.jpg"
    path.write_bytes(b"")
    return str(path)


def test_table_and_csv_agree_with_the_library(model, images, tmp_path, capsys):
    output = tmp_path / "r.csv"
    assert main(["predict", str(model), *images, "--output", str(output)]) == 0
    streams = capsys.readouterr()
    lines = streams.out.splitlines()
    header = ["file", "verdict", "p malignant", "diagnosis", "p if malignant", "members agree"]
    assert re.split(r"\s{2,}", lines[0]) == header
    assert [line.split()[0] for line in lines[1:]] == [Path(image).name for image in images]
    assert len({len(line.rstrip()) for line in lines[1:]}) <= 2
    assert streams.err.splitlines()[-1].startswith("skinensemble: 3 images: ")

    cascade = load(model)
    rows = read(output)
    for row, verdict in zip(rows, cascade.verdicts(images), strict=True):
        assert row["status"] == "ok"
        assert row["verdict"] == ("malignant" if verdict.malignant else "benign")
        assert float(row["p_malignant"]) == pytest.approx(verdict.p_malignant, abs=1e-6)
        assert row["diagnosis"] == (verdict.diagnosis or "")
        assert row["triage_cli_tiny"] == verdict.triage_votes["cli_tiny"]
    proba = [[float(row[f"p_{label}"]) for label in cascade.classes_] for row in rows]
    np.testing.assert_allclose(proba, cascade.predict_proba(images), atol=1e-6)


def test_json_is_all_there_is_on_stdout(model, images, broken, capsys):
    assert main(["predict", str(model), images[0], broken, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    first, second = found["images"]
    assert sum(first["probabilities"].values()) == pytest.approx(1, abs=1e-5)
    assert second == {"file": broken, "status": "the file is empty"}


def test_unreadable_images_keep_their_row(model, images, broken, tmp_path, capsys):
    output, isic = tmp_path / "r.csv", tmp_path / "isic.csv"
    files = [images[0], broken, images[1]]
    args = ["predict", str(model), *files, "--output", str(output), "--isic", str(isic)]
    assert main(args) == 0
    streams = capsys.readouterr()
    assert "warning: 1 of 3 images could not be read" in streams.err
    assert "not read" in streams.out.splitlines()[2]
    rows = read(output)
    assert [row["file"] for row in rows] == files
    assert [row["status"] for row in rows] == ["ok", "the file is empty", "ok"]
    assert set(list(rows[1].values())[2:]) == {""}

    # The good rows are what they are without the bad one.
    assert main(["predict", str(model), *images[:2], "--output", str(tmp_path / "s.csv")]) == 0
    assert read(tmp_path / "s.csv") == [rows[0], rows[2]]

    form = read(isic)
    assert list(form[0]) == ["image", "MEL", "NV", "BCC", "AKIEC", "BKL", "DF", "VASC"]
    assert [row["image"] for row in form] == [Path(file).stem for file in files]
    assert sum(float(form[0][code]) for code in list(form[0])[1:]) == pytest.approx(1, abs=1e-5)
    assert form[1]["MEL"] == ""


def test_on_error_raise_and_nothing_readable(model, images, broken, tmp_path, capsys):
    output = tmp_path / "r.csv"
    args = ["predict", str(model), "--output", str(output)]
    assert main([*args, images[0], broken, "--on-error", "raise"]) == 1
    assert "broken.jpg – the file is empty" in capsys.readouterr().err
    assert main([*args, broken]) == 1
    assert not output.exists()


def test_folders_are_expanded_in_order(model, folder, images, capsys):
    assert main(["predict", str(model), images[1], str(folder / "df"), "--json"]) == 0
    found = [row["file"] for row in json.loads(capsys.readouterr().out)["images"]]
    assert found == [images[1], *map(str, sorted((folder / "df").glob("*.png")))]


def test_folder_without_images(model, tmp_path, capsys):
    assert main(["predict", str(model), str(tmp_path)]) == 1
    assert "it holds no image" in capsys.readouterr().err


def test_an_image_is_not_overwritten_by_mistake(model, images, capsys):
    before = Path(images[1]).read_bytes()
    assert main(["predict", str(model), images[0], "--output", images[1]]) == 1
    assert "it exists" in capsys.readouterr().err
    assert Path(images[1]).read_bytes() == before


@pytest.mark.parametrize(
    ("options", "text"),
    [
        (["--output", "r.csv", "--isic", "link.csv"], "--isic: .* – another option names the same"),
        (["--output", "m.h5"], "--output: m.h5 – it is read – choose another name"),
        (["--isic", "a.png"], "--isic: a.png – it is read – choose another name"),
    ],
)
def test_force_replaces_nothing_that_is_read(
    model, images, options, text, tmp_path, capsys, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    shutil.copy(model, "m.h5")
    shutil.copy(images[0], "a.png")
    (tmp_path / "link.csv").symlink_to("r.csv")
    assert main(["predict", "m.h5", "a.png", "--force", *options]) == 2
    assert re.search(text, capsys.readouterr().err)
    assert not (tmp_path / "r.csv").exists()
    assert (tmp_path / "m.h5").read_bytes() == model.read_bytes()
    assert (tmp_path / "a.png").read_bytes() == Path(images[0]).read_bytes()


def test_names_that_a_path_library_stumbles_over(model, images, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    shutil.copy(images[0], "~lesion.png")
    files = ["~lesion.png", "x" * 300]
    assert main(["predict", str(model), *files, "--output", "~out.csv"]) == 0
    statuses = [row["status"] for row in read(tmp_path / "~out.csv")]
    assert statuses == ["ok", "file name too long"]
    assert main(["predict", str(model), ""]) == 1
    assert "path: '' – it is empty – name a file or a folder" in capsys.readouterr().err


def test_info_says_what_is_in_the_file(model, capsys):
    import hashlib

    assert main(["info", str(model)]) == 0
    text = capsys.readouterr().out
    assert "Malignant: akiec, bcc, mel; benign: bkl, df, nv, vasc" in text
    assert hashlib.sha256(model.read_bytes()).hexdigest() in text

    assert main(["info", str(model), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    cascade = load(model)
    assert found["classes"] == cascade.classes_.tolist()
    assert found["training"] == {
        "images": len(cascade.triage_.folds_),
        "lesions": len(np.unique(cascade.triage_.lesions_)),
        "folds": 2,
    }
    (member,) = found["stages"]["diagnosis"]["members"]
    assert member == {
        "name": "cli_tiny",
        "type": "TransferClassifier",
        "backbone": "cli_tiny",
        "image_size": [32, 32],
        "image_fit": "crop",
        "head": [128],
    }
    assert found["versions"]["keras"]


def test_info_shows_the_certificate_and_other_members(tmp_path, capsys):
    from sklearn.datasets import load_wine
    from sklearn.linear_model import LogisticRegression

    from skinensemble import Cascade, Stage, ThresholdVote

    X, y = load_wine(return_X_y=True)
    X = (X - X.mean(axis=0)) / X.std(axis=0)
    vote = ThresholdVote(min_sensitivity=0.8)
    cascade = Cascade(Stage([("linear", LogisticRegression())], voting=vote), malignant=[2])
    cascade.fit(X, y, groups=np.arange(len(y))).save(tmp_path / "wine.h5")
    assert main(["info", str(tmp_path / "wine.h5")]) == 0
    text = capsys.readouterr().out
    assert str(cascade.certificate_) in text
    assert "ThresholdVote over SoftVote" in text and "LogisticRegression" in text

    from skinensemble.persistence import save

    save(cascade.triage_, tmp_path / "stage.h5")
    assert main(["info", str(tmp_path / "stage.h5")]) == 0
    assert "Stage: benign, malignant" in capsys.readouterr().out
    assert main(["predict", str(tmp_path / "stage.h5"), __file__]) == 1
    assert "it holds a Stage, not a cascade" in capsys.readouterr().err


def test_info_refuses_a_damaged_file(model, tmp_path, capsys):
    data = bytearray(model.read_bytes())
    data[-100] ^= 1
    (tmp_path / "m.h5").write_bytes(data)
    assert main(["info", str(tmp_path / "m.h5")]) == 1
    assert "checksum does not match" in capsys.readouterr().err


def places(value, way=()):
    """Every place in a tree of JSON."""
    yield way
    if isinstance(value, dict | list):
        for key in value if isinstance(value, dict) else range(len(value)):
            yield from places(value[key], (*way, key))


def with_another(tree, way, value):
    """A copy of a tree in which something else stands at a place."""
    if not way:
        return value
    changed = copy.copy(tree)
    changed[way[0]] = with_another(tree[way[0]], way[1:], value)
    return changed


def test_info_says_of_no_crafted_file_that_it_is_a_bug(model, monkeypatch):
    from skinensemble.cli import info
    from skinensemble.persistence import container

    sound = container.read_container(model)
    for way in places(sound.config):
        for value in (None, [], {}, 5, "x", [5], [[]], [["a"]], {"array": []}, {"tuple": 5}):
            other = dataclasses.replace(sound, config=with_another(sound.config, way, value))
            monkeypatch.setattr(container, "read_container", lambda path, other=other: other)
            with contextlib.suppress(ModelFileError):
                assert info._text(info.describe(str(model)))


def test_info_shows_nothing_that_a_terminal_obeys(model, monkeypatch, capsys):
    from skinensemble.persistence import container

    sound = container.read_container(model)
    versions = {"type": "dict", "keras": "\x1b]0;title\x07"}
    crafted = dataclasses.replace(sound, config=sound.config | {"versions": versions})
    monkeypatch.setattr(container, "read_container", lambda path: crafted)
    assert main(["info", str(model)]) == 0
    assert r"keras \x1b]0;title\x07" in capsys.readouterr().out
    crafted = dataclasses.replace(sound, config={"root": {"type": "\x1b[2J"}})
    assert main(["predict", str(model), __file__]) == 1
    assert r"it holds a \x1b[2J, not a cascade" in capsys.readouterr().err
    crafted = dataclasses.replace(sound, config={"root": []})
    assert main(["predict", str(model), __file__]) == 1
    assert "file.root – [] is of the wrong type" in capsys.readouterr().err


def test_predict_restates_for_a_prevalence(model, images, capsys):
    shown = []
    for options in ([], ["--prevalence", "0.01"], ["--prevalence", "estimate"]):
        # A share cannot be told from three images.
        files = images * 17 if "estimate" in options else images
        assert main(["predict", str(model), *files, "--json", *options]) == 0
        streams = capsys.readouterr()
        rows = json.loads(streams.out)["images"]
        shown.append(np.array([row["p_malignant"] for row in rows]))
        assert ("the cascade is not calibrated" in streams.err) == bool(options)
    assert (shown[1] < shown[0]).all()
    assert main(["predict", str(model), *images, "--prevalence", "estimate"]) == 1
    assert "too few images (3) to tell how many are malignant" in capsys.readouterr().err
    for text in ("3", "abc"):
        assert main(["predict", str(model), *images, "--prevalence", text]) == 2
        assert f"'{text}' is neither a share between 0 and 1 nor est" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("rule", "expected"),
    [("soft", False), (ThresholdVote(), False), (ThresholdVote(CalibratedVote()), True)],
    ids=str,
)
def test_a_calibration_is_found_within_a_threshold(rule, expected):
    p = np.linspace(0.01, 0.99, 200)
    ballots = np.stack([1 - p, p], axis=1)[:, None]
    fitted = resolve_voting_rule(rule).fit(ballots, (p > 0.4).astype(int))
    assert _is_calibrated(fitted) == expected


def test_engines_are_chosen_by_option(model, images, capsys, monkeypatch):
    from skinensemble import get_config
    from skinensemble.features import Extractor, default_store

    shown, ran, real = [], [], Extractor._predict
    monkeypatch.setattr(
        Extractor,
        "_predict",
        lambda self, batch: ran.append(type(self._runner).__name__) or real(self, batch),
    )
    runners = {"keras": "KerasRunner", "openvino": "OpenVINORunner", "auto": "OpenVINORunner"}
    for engine, runner in runners.items():
        default_store().clear()  # what was computed for another engine would do
        ran.clear()
        assert main(["predict", str(model), *images, "--json", "--engine", engine]) == 0
        assert set(ran) == {runner}
        shown.append(json.loads(capsys.readouterr().out)["images"][0]["p_malignant"])
    assert shown == pytest.approx(shown[:1] * 3, abs=1e-4)
    assert get_config()["engine"] == "keras"
    assert main(["predict", str(model), *images, "--engine", "onnx"]) == 2
    capsys.readouterr()
    args = ["--engine", "keras", "--precision", "bfloat16"]
    assert main(["predict", str(model), *images, *args]) == 2
    text = "precision: 'bfloat16' – Keras runs frozen networks in float32 – pass --engine openvino"
    assert text in capsys.readouterr().err


def test_an_engine_that_is_not_installed(model, images, capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "openvino", None)
    assert main(["predict", str(model), *images, "--engine", "openvino"]) == 1
    assert 'pip install "skinensemble[fast]"' in capsys.readouterr().err


def test_an_early_exit_gives_the_same_verdicts(model, folder, broken, tmp_path, capsys):
    files = [str(path) for path in sorted(folder.glob("*/*.png"))[:20]]
    output = tmp_path / "early.csv"
    rows = []
    for options in ([], ["--early-exit", "--output", str(output)]):
        assert main(["predict", str(model), *files, broken, "--json", *options]) == 0
        streams = capsys.readouterr()
        rows.append(json.loads(streams.out)["images"])
    keys = ("file", "status", "verdict", "diagnosis", "referred", "threshold")
    said = [[[row.get(key) for key in keys] for row in each] for each in rows]
    assert said[0] == said[1]
    asked = [len(row["triage_votes"]) + len(row["diagnosis_votes"]) for row in rows[1][:-1]]
    mean = f"{sum(asked) / len(asked):.1f} of 2 members asked on average"
    assert streams.err.splitlines()[-1] == f"skinensemble: early exit: {mean}"
    assert rows[1][0]["probabilities"] == {}
    written = read(output)
    assert [row["verdict"] for row in written[:-1]] == [row["verdict"] for row in rows[0][:-1]]
    assert "p_mel" not in written[0]
    assert float(written[0]["p_malignant_estimate"]) == pytest.approx(rows[1][0]["p_malignant"])
    assert main(["predict", str(model), *files, "--output", str(output), "--resume"]) == 1
    assert "or of this --early-exit – resume with what" in capsys.readouterr().err
    assert written[-1]["status"] == "the file is empty"
    assert main(["predict", str(model), *files[:1], "--early-exit"]) == 0
    assert "  ~ malignant  " in capsys.readouterr().out.splitlines()[0]


@pytest.mark.parametrize("other", [["--isic", "form.csv"], ["--prevalence", "estimate"]])
def test_an_early_exit_does_not_know_all_probabilities(model, images, other, capsys):
    assert main(["predict", str(model), *images, "--early-exit", *other]) == 2
    shown = other if other[1] == "estimate" else other[:1]
    text = f"--early-exit: with {' '.join(shown)} – it needs the probabilities that an early exit"
    assert text in capsys.readouterr().err


def test_a_name_that_would_break_the_table_is_quoted(model, folder, tmp_path, capsys):
    odd = tmp_path / "new\nline.png"
    odd.write_bytes(next(folder.glob("mel/*.png")).read_bytes())
    assert main(["predict", str(model), str(odd)]) == 0
    rows = [line for line in capsys.readouterr().out.splitlines() if "line.png" in line]
    assert rows[0].startswith(r"'new\nline.png'")


def test_the_submission_form_knows_codes_in_any_case(model):
    from skinensemble.cli._results import isic_line
    from skinensemble.cli.predict import _ISIC, _check_isic

    row = {"file": "a/b.png", "status": "ok", "probabilities": {"MEL": 0.75, "Nv": 0.25}}
    assert isic_line(row, _ISIC) == ["b", 0.75, 0.25, 0.0, 0.0, 0.0, 0.0, 0.0]
    _check_isic(["MEL", "Nv"])
    with pytest.raises(InputError, match="--isic: MEL, mel – these would share a column – leave"):
        _check_isic(["MEL", "mel", "nv"])


@pytest.mark.parametrize(
    ("now", "then", "alike"),
    [
        (0.5, "0.5004", True),
        (0.5, "0.502", False),
        (1e-9, "0.0009", False),
        (1e-4, "1.02e-4", True),
        (0.0, "0.0", True),
        (None, "", True),
        (None, "0.5", False),
        (0.29, "0,29", False),
    ],
)
def test_answers_of_one_model_are_alike(now, then, alike):
    from skinensemble.cli.predict import _alike

    assert _alike(now, then, 0.1) == alike


class TestResume:
    @pytest.fixture
    def files(self, folder) -> list[str]:
        return [str(path) for path in sorted(folder.glob("nv/*.png"))[:6]]

    def run(self, model, files, output, *options) -> int:
        return main(["predict", str(model), *files, "--output", str(output), *options])

    def test_it_goes_on_where_it_was_killed(self, model, files, broken, tmp_path, capsys):
        whole, output = tmp_path / "whole.csv", tmp_path / "part.csv"
        files = [*files[:2], broken, *files[2:]]
        assert self.run(model, files, whole) == 0
        lines = whole.read_bytes().splitlines(keepends=True)
        for kept in (lines[:1], lines[:4], [*lines[:3], lines[3][:-2]], [lines[0][:9]], lines):
            output.write_bytes(b"".join(kept))
            assert self.run(model, files, output, "--resume") == 0
            assert output.read_bytes() == whole.read_bytes()
        capsys.readouterr()

    def test_names_of_several_lines_are_whole_or_not_there(self, model, files, tmp_path, capsys):
        names = ['two\nli"nes\n.png', "carriage\rreturn.png", "o\nne.png"]
        pairs = zip(files[:3], names, strict=True)
        files = [str(shutil.copy(file, tmp_path / name)) for file, name in pairs]
        whole, output = tmp_path / "whole.csv", tmp_path / "part.csv"
        assert self.run(model, files, whole) == 0
        data = whole.read_bytes()
        assert [row["file"] for row in read(whole)] == files
        ends = [at for at in range(1, len(data)) if data[at - 1 : at] in (b"\n", b'"', b"\r")]
        for at in (*ends[:9], len(data)):
            output.write_bytes(data[:at])
            assert self.run(model, files, output, "--resume") == 0
            assert output.read_bytes() == data
        assert "3 images had a row there already" in capsys.readouterr().err

    def test_without_a_file_it_begins_one(self, model, files, tmp_path, capsys):
        assert self.run(model, files[:2], tmp_path / "r.csv", "--resume") == 0
        assert len(read(tmp_path / "r.csv")) == 2
        assert self.run(model, files[:4], tmp_path / "r.csv", "--resume") == 0
        assert [row["file"] for row in read(tmp_path / "r.csv")] == files[:4]
        capsys.readouterr()

    def test_interruption_keeps_the_rows(self, model, files, tmp_path, capsys, monkeypatch):
        from skinensemble.cli import predict

        real, seen = predict.VerdictTable.add, []

        def stop(self, row):
            seen.append(row)
            if len(seen) == 3:
                raise KeyboardInterrupt
            real(self, row)

        monkeypatch.setattr(predict.VerdictTable, "add", stop)
        output = tmp_path / "r.csv"
        assert self.run(model, files, output) == 130
        assert f"{output} is kept; --resume goes on with it" in capsys.readouterr().err
        assert [row["file"] for row in read(output)] == files[:3]

    def test_another_model_is_refused(self, model, files, tmp_path, capsys):
        output, other = tmp_path / "r.csv", tmp_path / "other.h5"
        assert self.run(model, files[:3], output) == 0
        cascade = load(model)
        head = cascade.triage_.members_[0].head_
        head.weights_ = tuple(-weight for weight in head.weights_)
        cascade.save(other)
        before = output.read_bytes()
        assert self.run(other, files, output, "--resume") == 1
        assert "r.csv – " in (said := capsys.readouterr().err)
        assert "by this model – resume with the model and options it was begun with" in said
        assert output.read_bytes() == before

    def test_what_has_a_row_is_counted_and_twice_is_twice(
        self, model, files, broken, tmp_path, capsys
    ):
        output = tmp_path / "r.csv"
        assert self.run(model, [files[0], broken, files[1]], output) == 0
        capsys.readouterr()
        twice = [files[0], broken, files[1], files[1]]
        assert self.run(model, twice, output, "--resume") == 0
        assert [row["file"] for row in read(output)] == twice
        known = "3 images had a row there already, 1 of them not read: delete such a row to try"
        assert known in capsys.readouterr().err
        assert self.run(model, twice, output, "--resume") == 0
        assert capsys.readouterr().err.splitlines()[-1].startswith("skinensemble: 4 images had a")

    def test_another_file_is_refused_and_kept(self, model, files, tmp_path, capsys):
        output = tmp_path / "r.csv"
        output.write_text("name,verdict\na,benign\n")
        assert self.run(model, files, output, "--resume") == 1
        text = (
            "not those of this model, or of this --early-exit – resume with what it was begun with"
        )
        assert text in capsys.readouterr().err
        assert output.read_text() == "name,verdict\na,benign\n"

    def test_what_it_goes_on_with_must_be_clear(self, model, files, tmp_path, capsys):
        isic = ["--isic", str(tmp_path / "i.csv")]
        assert self.run(model, files, tmp_path / "r.csv", "--resume", *isic) == 2
        assert main(["predict", str(model), *files, "--resume"]) == 2
        assert "pass --output and neither --isic nor --force" in capsys.readouterr().err


def test_no_file_of_a_folder_is_lost_in_silence(model, images, tmp_path, capsys):
    folder, output = tmp_path / "mixed", tmp_path / "r.csv"
    folder.mkdir()
    shutil.copy(images[0], folder / "a.png")
    for name in ("b.dcm", "c.heic", "d.gif"):
        (folder / name).write_bytes(b"GIF89a" * 9)
    (folder / "notes.txt").write_text("no image")
    (folder / "e.png").symlink_to(images[1])
    assert main(["predict", str(model), str(folder), "--output", str(output)]) == 0
    rows = read(output)
    assert [Path(row["file"]).name for row in rows] == ["a.png", "b.dcm", "c.heic", "d.gif"]
    assert [row["status"] == "ok" for row in rows] == [True, False, False, False]
    err = capsys.readouterr().err
    assert "3 of 4 images could not be read" in err
    assert f"1 in {folder} – e.png (it leads out of the folder) – pass the files" in err


def test_an_estimated_prevalence_cannot_be_resumed(model, images, tmp_path, capsys):
    args = ["predict", str(model), *images, "--output", str(tmp_path / "r.csv")]
    assert main([*args, "--resume", "--prevalence", "estimate"]) == 2
    assert "the images that are left suggest another prevalence" in capsys.readouterr().err


def test_no_two_columns_have_one_name(tmp_path):
    """Whose classes are called malignant and diagnosis."""
    stage = SimpleNamespace(named_members_={"one": None})
    cascade = SimpleNamespace(
        classes_=["diagnosis", "malignant", "nv"], triage_=stage, diagnosis_=stage
    )
    table = VerdictCsv(tmp_path / "r.csv", cascade)
    row = {"file": "a.jpg", "status": "ok", "verdict": "malignant", "p_malignant": 0.8}
    table.add(row | {"probabilities": {"diagnosis": 0.0, "malignant": 1.0, "nv": 0.0}})
    table.close()
    (found,) = read(tmp_path / "r.csv")
    assert (found["p_malignant"], found["p_type_malignant"], found["p_nv"]) == ("0.8", "1.0", "0.0")
    with (tmp_path / "r.csv").open() as file:
        header = file.readline().split(",")
    assert len(header) == len(set(header)) and "p_type_diagnosis" in header
