"""``train`` and ``evaluate``: what is refused before the work, and what comes out of it."""

from __future__ import annotations

import argparse
import json
import re
import shutil
from dataclasses import replace
from unittest.mock import Mock

import numpy as np
import pytest
from PIL import Image
from sklearn.model_selection import StratifiedGroupKFold

from skinensemble import DenseHead, load
from skinensemble.cli import main
from skinensemble.cli._aside import hold_out
from skinensemble.cli._data import load_data
from skinensemble.exceptions import DatasetError, InputError


def parse(*args: str) -> argparse.Namespace:
    from skinensemble.cli import _parser

    return _parser().parse_args([*args])


def test_train_saves_and_judges_on_lesions_kept_aside(train_args, tmp_path, capsys):
    path = tmp_path / "m.h5"
    assert main([*train_args, "--output", str(path)]) == 0
    streams = capsys.readouterr()
    assert path.is_file()
    assert streams.out.startswith(f"Saved {path}: trained on ")
    assert "kept aside" in streams.out and "rule: soft" in streams.out
    assert "cli_tiny: " in streams.err and "cli_tiny: 76" not in streams.out


def test_train_fine_tunes_and_goes_on(train_args, tmp_path, capsys):
    path, kept = tmp_path / "m.h5", tmp_path / "checkpoints"
    tune = ["--unfreeze", "1", "--views", "2", "--epochs", "1", "--checkpoint", str(kept)]
    command = [*train_args, *tune, "--quiet", "--hold-out", "0", "--output", str(path), "--force"]
    assert main(command) == 0
    streams = capsys.readouterr()
    assert streams.err == "" and "kept aside" not in streams.out
    first, written = path.read_bytes(), {file: file.stat().st_mtime_ns for file in kept.iterdir()}
    assert len(written) == 3  # one for each fold and one for all; both stages share them
    assert main(command) == 0
    assert path.read_bytes() == first
    assert {file: file.stat().st_mtime_ns for file in kept.iterdir()} == written
    capsys.readouterr()
    assert main(["info", str(path)]) == 0
    assert "fine-tuned above conv2d" in capsys.readouterr().out


@pytest.mark.parametrize(
    "idle", [["--views", "2"], ["--checkpoint", "folder"], ["--views", "2", "--unfreeze", "0"]]
)
def test_what_is_for_fine_tuning_needs_it(train_args, idle, capsys):
    assert main([*train_args, *idle]) == 2
    assert f"{idle[0]} is for fine-tuning: add --unfreeze" in capsys.readouterr().err


def test_a_confidence_needs_a_promise(train_args, capsys):
    assert main([*train_args, "--confidence", "0.9"]) == 2
    assert "--confidence is for a promise: add --min-sensitivity" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("text", "value"), [("3", 3), ("0.4", 0.4), ("all", "all"), ("block_9_add", "block_9_add")]
)
def test_what_to_unfreeze_is_a_number_or_a_name(text, value):
    assert parse("train", "DATA", "--unfreeze", text).unfreeze == value


def test_options_of_several_values_may_be_repeated():
    args = parse("train", "DATA", "--malignant", "mel", "--malignant", "bcc,akiec")
    assert args.malignant == ["mel", "bcc", "akiec"]
    args = parse("search", "DATA", "--unfreeze", "none", "--unfreeze", "2,0.3")
    assert args.unfreeze == [None, 2, 0.3]


def test_same_seed_same_file(train_args, model, tmp_path, capsys):
    again = tmp_path / "again.h5"
    assert main([*train_args, "--quiet", "--output", str(again)]) == 0
    assert capsys.readouterr().err == ""
    assert again.read_bytes() == model.read_bytes()


def test_hold_out_keeps_whole_lesions_and_is_the_benchmark_split(train_args):
    args = parse(*train_args)
    args.hold_out = 0.2
    data = load_data(args)
    train, test = hold_out(data, args)
    assert set(train.groups).isdisjoint(test.groups)
    assert len(train.target) + len(test.target) == len(data.target)
    folds = StratifiedGroupKFold(5, shuffle=True, random_state=0)
    _, rows = next(folds.split(data.target, data.target, data.groups))
    np.testing.assert_array_equal(test.groups, data.groups[rows])


@pytest.mark.filterwarnings("ignore::skinensemble.exceptions.UngroupedWarning")
@pytest.mark.parametrize("grouped", [True, False])
def test_copies_are_kept_aside_together(train_args, grouped):
    args = parse(*train_args)
    data = load_data(args)
    n = len(data.target)
    twice = data.part(np.arange(2 * n) % n)
    twice = replace(twice, groups=twice.groups if grouped else None)
    train, test = hold_out(twice, args)
    seen = set(train.images.digests)
    assert len(test.target) and not seen & set(test.images.digests)
    alone = replace(data, groups=data.groups if grouped else None)
    assert len(hold_out(alone, args)[1].target) == pytest.approx(len(test.target) / 2, abs=4)


@pytest.mark.filterwarnings("ignore::skinensemble.exceptions.UngroupedWarning")
def test_what_is_split_by_hand_is_split_alike(train_args):
    args = parse(*train_args)
    data = replace(load_data(args), groups=None)
    _, test = hold_out(data, args)
    folds = StratifiedGroupKFold(4, shuffle=True, random_state=0)
    _, rows = next(folds.split(data.target, data.target, np.arange(len(data.target))))
    np.testing.assert_array_equal(test.images.names, np.asarray(data.images.names)[rows])


@pytest.mark.parametrize(
    ("extra", "text"),
    [
        (["--backbone", "resnet5"], r"backbone: 'resnet5'.*did you mean resnet50"),
        (["--voting", "loudest"], r"voting: 'loudest' – not one of"),
        (["--voting", "soft", "--min-sensitivity", "0.9"], r"min_sensitivity: 0.9 – it is for "),
        (["--malignant", "mel,melanoma"], r"--malignant: melanoma – the data have akiec, bcc"),
        (["--min-sensitivity", "0.99"], r"certificate: .*malignant lesions cannot prove it"),
        (["--min-members", "2"], r"--min-members is for .* fail: add --on-member-error drop"),
        (["--max-skipped", "0.1"], r"--max-skipped is for what is skipped: add --on-error skip"),
        (["--split", "train"], r"option: --split – the data are read as folder"),
        (
            ["--hold-out", "0.01"],
            r"--hold-out: 0.01 – it keeps one of 100 folds of lesions aside, and akiec has 10 – "
            r"pass --hold-out 0\.1, or 0",
        ),
        (["--format", "isic"], r"--groundtruth: not given"),
        (["--format", "ham10000"], r"option: --lesions – the data are read as ham10000"),
        (["--format", "dermamnist", "--lesions", ""], r"DermaMNIST: .*no such file"),
        (["--format", "dermamnist", "--lesions", "", "--report", "x"], r"option: --report – the"),
    ],
)
def test_refused_before_training(train_args, tmp_path, capsys, monkeypatch, extra, text):
    for method in ("fit", "fit_each"):
        monkeypatch.setattr(DenseHead, method, Mock(side_effect=AssertionError("trained")))
    path = tmp_path / "m.h5"
    usage = extra[0] in ("--backbone", "--voting", "--min-members", "--max-skipped")
    assert main([*train_args, "--output", str(path), *extra]) == (2 if usage else 1)
    error = capsys.readouterr().err
    assert re.search(text, error), error
    assert not path.exists()


def test_who_names_diagnoses_otherwise_says_which_are_malignant(
    train_args, folder, tmp_path, capsys
):
    own, path = tmp_path / "own", tmp_path / "m.h5"
    shutil.copytree(folder, own)
    (own / "mel").rename(own / "melanoma")
    args = [str(own) if arg == str(folder) else arg for arg in train_args]
    assert main([*args, "--output", str(path)]) == 1
    assert "diagnoses: melanoma – no codes of HAM10000, so that" in capsys.readouterr().err
    assert not path.exists()
    assert main([*args, "--output", str(path), "--quiet", "--malignant", "melanoma,bcc"]) == 0
    assert load(path).malignant_.tolist() == ["bcc", "melanoma"]


@pytest.mark.parametrize(
    "extra",
    [
        *(["--weights", "vgg16"], ["--hold-out", "0.7"], ["--malignant", "mel,,bcc"]),
        *(["--seed", "-1"], ["--image-size", "0"], ["--folds", "1"], ["--views", "9"]),
        *(["--min-members", "0"], ["--epochs", "0"], ["--max-skipped", "nan"]),
        ["--min-sensitivity", "0"],
        ["--on-member-error", "drop", "--min-members", "9"],
        *(["--join-copies", "2"], ["--join-copies", "1"], ["--seed", str(2**32)]),
    ],
)
def test_unusable_values_are_wrong_usage(train_args, extra, monkeypatch):
    monkeypatch.setattr("skinensemble.cli.train.load_data", Mock(side_effect=AssertionError))
    assert main([*train_args, *extra]) == 2


def test_output_is_checked_first(train_args, tmp_path, capsys, monkeypatch):
    def never(args):
        raise AssertionError("the data were read")

    monkeypatch.setattr("skinensemble.cli.train.load_data", never)
    there = tmp_path / "there.h5"
    there.write_bytes(b"precious")
    for path, text in (
        (there, "it exists – choose another name, or pass --force"),
        (tmp_path, "it is a folder"),
        (tmp_path / "no" / "m.h5", "nothing can be written to"),
    ):
        assert main([*train_args, "--output", str(path)]) == 1
        assert text in capsys.readouterr().err
    assert there.read_bytes() == b"precious"
    assert main([*train_args, "--output", str(there), "--force"]) == 1
    assert "the data were read" in capsys.readouterr().err


def test_force_replaces_neither_a_report_nor_an_image(train_args, folder, tmp_path, capsys):
    own = tmp_path / "own"
    shutil.copytree(folder, own)
    image = sorted(own.glob("nv/*.png"))[0]
    before = image.read_bytes()
    args = [str(own) if arg == str(folder) else arg for arg in [*train_args, "--force"]]
    assert main([*args, "--output", str(image)]) == 2
    assert f"--output: {image} – it is read – choose another" in capsys.readouterr().err
    assert image.read_bytes() == before
    both = str(tmp_path / "one")
    assert main([*args, "--output", both, "--report", both]) == 2
    text = "--report: .*one – another option names the same file"
    assert re.search(text, capsys.readouterr().err)


def test_a_report_replaces_only_a_report(model, folder, tmp_path, capsys):
    foreign = tmp_path / "m.h5"
    shutil.copy(model, foreign)
    args = ["evaluate", str(foreign), str(folder), "--lesions", r"lesion_\d+"]
    assert main([*args, "--report", str(foreign)]) == 1
    assert "m.h5 – it exists, and is no report – choose another name" in capsys.readouterr().err
    assert foreign.read_bytes() == model.read_bytes()
    earlier = tmp_path / "r.csv"
    earlier.write_bytes(b"row,image,problem\r\n1,a,b\r\n")
    load_data(parse(*args, "--report", str(earlier)))
    assert earlier.read_bytes() == b"row,image,problem\n"


def test_bad_image_stops_or_is_skipped(train_args, folder, tmp_path, capsys):
    mine, report = tmp_path / "folder", tmp_path / "problems.csv"
    shutil.copytree(folder, mine)
    (mine / "nv" / "lesion_99999_bad.jpg").write_bytes(b"<html>")
    args = [train_args[0], str(mine), *train_args[2:], "--report", str(report)]
    assert main([*args, "--output", str(tmp_path / "m.h5")]) == 1
    assert "lesion_99999_bad.jpg" in capsys.readouterr().err
    assert not (tmp_path / "m.h5").exists()
    assert report.read_text().count("lesion_99999_bad.jpg") == 1

    with pytest.warns(UserWarning, match="1 of .* images cannot be read"):
        found = load_data(parse(*args, "--on-error", "skip"))
    assert len(found.images) == len(found.target) == len(found.groups)
    assert not any("99999" in name for name in found.images.names)
    assert main([*args, "--on-error", "skip", "--max-skipped", "0.001"]) == 1
    assert "more than --max-skipped 0.001" in capsys.readouterr().err


def test_skipping_never_loses_a_class(folder, tmp_path, capsys):
    mine = tmp_path / "folder"
    shutil.copytree(folder, mine)
    (mine / "odd").mkdir()
    (mine / "odd" / "lesion_1_bad.png").write_bytes(b"no image")
    assert main(["train", str(mine), "--on-error", "skip", "--output", str(tmp_path / "m")]) == 1
    assert "no image would be left of class odd" in capsys.readouterr().err


def test_unknown_data_say_what_was_looked_for(tmp_path, capsys):
    assert main(["train", str(tmp_path), "--output", str(tmp_path / "m.h5")]) == 1
    assert "neither HAM10000, nor DermaMNIST" in capsys.readouterr().err
    assert main(["train", str(tmp_path / "no"), "--output", str(tmp_path / "m.h5")]) == 1
    assert "there is no such file" in capsys.readouterr().err


def test_every_format_is_recognised(folder, tmp_path):
    images = sorted(folder.glob("*/*.png"))[:4]
    ham = tmp_path / "ham"
    (ham / "images").mkdir(parents=True)
    for name, image in zip("abcd", images, strict=True):
        shutil.copy(image, ham / "images" / f"{name}.png")
    rows = "".join(f"L{name},{name},{'mel' if name < 'c' else 'nv'}\n" for name in "abcd")
    (ham / "HAM10000_metadata.csv").write_text("lesion_id,image_id,dx\n" + rows)
    truth, lesions = tmp_path / "truth.csv", tmp_path / "lesions.csv"
    truth.write_text("image,MEL,NV,SCC\na,1,0,0\nb,1,0,0\nc,0,1,0\nd,0,0,1\n")
    lesions.write_text("image,lesion_id\na,L1\nb,L1\nc,L2\nd,L3\n")
    npz = tmp_path / "derma.npz"
    pixels = np.random.default_rng(0).integers(0, 256, (2, 28, 28, 3), dtype=np.uint8)
    np.savez(npz, train_images=pixels, train_labels=np.array([[4], [5]], np.uint8))

    assert load_data(parse("train", str(ham))).groups.tolist() == ["La", "Lb", "Lc", "Ld"]
    isic = ["train", str(ham / "images"), "--groundtruth", str(truth), "--lesions", str(lesions)]
    assert load_data(parse(*isic, "--other", "scc=akiec")).target.tolist() == [
        "mel",
        "mel",
        "nv",
        "akiec",
    ]
    with pytest.warns(UserWarning, match="shares lesions"):
        derma = load_data(parse("train", str(npz)))
    assert derma.target.tolist() == ["mel", "nv"] and derma.groups is None
    assert load_data(parse("train", str(folder))).groups is None


def test_evaluate_prints_a_report_and_says_which_images_were_trained_on(model, folder, capsys):
    args = ["evaluate", str(model), str(folder), "--lesions", r"lesion_\d+"]
    assert main(args) == 0
    streams = capsys.readouterr()
    assert "Diagnosis: all types" in streams.out
    assert "samples were trained on; these figures flatter" in streams.out

    assert main([*args, "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["n_images"] > report["n_lesions"] > 0
    assert any("flatter" in note for note in report["notes"])


def test_evaluate_judges_images_of_one_diagnosis(model, folder, tmp_path, capsys):
    shutil.copytree(folder / "mel", tmp_path / "mel")
    assert main(["evaluate", str(model), str(tmp_path), "--lesions", r"lesion_\d+"]) == 0
    assert main(["train", str(tmp_path), "--output", str(tmp_path / "c.h5")]) == 1
    assert "nor a folder with one subfolder per diagnosis" in capsys.readouterr().err


def test_evaluate_says_what_it_does_not_know_of_lesions(model, folder, capsys):
    assert main(["evaluate", str(model), str(folder)]) == 0
    out, err = capsys.readouterr()
    text = "warning: groups: not given – images of one lesion count as several, so the intervals"
    assert f"{text} are too narrow – pass --lesions" in err
    assert out.startswith("Attention: lesions not known: ")


def test_evaluate_refuses_labels_that_the_cascade_does_not_know(model, folder, tmp_path, capsys):
    mine = tmp_path / "folder"
    shutil.copytree(folder, mine)
    (mine / "nv").rename(mine / "naevus")
    assert main(["evaluate", str(model), str(mine)]) == 1
    assert "labels: naevus – the cascade knows akiec" in capsys.readouterr().err


def test_evaluate_refuses_other_files(tmp_path, capsys):
    foreign = tmp_path / "m.h5"
    foreign.write_bytes(b"PK\x03\x04" + bytes(600))
    assert main(["evaluate", str(foreign), str(tmp_path)]) == 1
    assert "cannot load" in capsys.readouterr().err


def test_copies_that_were_saved_again_are_one_lesion(folder, tmp_path):
    data = tmp_path / "data"
    shutil.copytree(folder, data)
    first = sorted(data.glob("nv/*.png"))[0]
    again = data / "nv" / "lesion_999.jpg"
    Image.open(first).transpose(Image.Transpose.ROTATE_90).save(again, quality=90)
    args = parse("train", str(data), "--lesions", r"lesion_\d+", "--join-copies")
    with pytest.warns(UserWarning, match=rf"{first.name} and .*{again.name}, .* alike – they"):
        found = load_data(args)
    lesions = dict(zip(found.images.names, found.groups.tolist(), strict=True))
    assert lesions[str(again)] == lesions[str(first)] == first.name.rpartition("_")[0]
    assert len(set(lesions.values())) == 70
    shutil.copy(again, data / "mel" / "lesion_998.jpg")
    with pytest.raises(DatasetError, match=r"copies: .*\(mel\) and .*\(nv\), .* – they"):
        load_data(args)


def test_copies_are_joined_where_lesions_are_known(folder):
    args = parse("train", str(folder), "--lesions", r"lesion_\d+", "--join-copies", "0.999")
    assert len(set(load_data(args).groups)) == 70
    with pytest.raises(
        InputError, match=r"--join-copies: no lesions – .* – pass --lesions as well"
    ):
        load_data(parse("train", str(folder), "--join-copies"))
