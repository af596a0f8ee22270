from __future__ import annotations

import re
import types

import numpy as np
import pytest
from taking_part import taking_part
from tiny_backbone import TINY

from skinensemble import Stage, TransferClassifier
from skinensemble.members import _epoch_lines

rng = np.random.default_rng(0)
IMAGES, Y = rng.integers(0, 256, (24, 32, 32, 3)).astype(np.uint8), np.repeat(["mel", "nv"], 12)
TOP = {"unfreeze": 1, "views": 1, "epochs": 3, "batch_size": 8, "random_state": 0}


def trained(capsys, **options) -> list[str]:
    """Return what a training says, without what the backbone says."""
    TransferClassifier(**TINY | TOP | options).fit(IMAGES, Y)
    return [line for line in capsys.readouterr().out.splitlines() if "epoch" in line.lower()]


@pytest.fixture
def clock(monkeypatch):
    """A time that passes by ten seconds whenever it is asked for."""
    now = iter(range(0, 10_000, 10))
    time = types.SimpleNamespace(monotonic=lambda: float(next(now)))
    monkeypatch.setattr(_epoch_lines, "time", time)


def test_lines_say_how_the_loss_stands_and_what_is_left(capsys, clock):
    lines = trained(capsys, verbose=1)
    # After ten seconds nothing is said yet.
    assert len(lines) == 2
    assert re.fullmatch(r"\w+ on 24 images: epoch 2 of 3, loss \d\.\d{3}, 10 s left", lines[0])
    assert re.fullmatch(r"\w+ on 24 images: 3 epochs in 40 s, loss \d\.\d{3}", lines[1])


def test_a_training_that_is_stopped_early_says_so_with_its_validation_loss(capsys, clock):
    options = {"patience": 1, "validation_fraction": 0.3, "epochs": 40, "learning_rate": 0.1}
    lines = trained(capsys, verbose=1, **options)
    found = re.fullmatch(r".*: (\d+) epochs in .* s, loss [\d.]+ \(validation [\d.]+\)", lines[-1])
    assert found and 1 < int(found[1]) < 40


def test_the_trainings_of_a_member_are_told_apart(capsys, clock):
    member = TransferClassifier(**TINY | TOP | {"verbose": 1})
    Stage([("tiny", member)], cv=2, random_state=0).fit(IMAGES, Y, groups=np.arange(24) // 2)
    lines = capsys.readouterr().out.splitlines()
    ends = [line.split(" epochs in")[0].split(" ", 1)[1] for line in lines if "epochs in" in line]
    assert ends == [
        "(1 of 3) on 12 images: 3",
        "(2 of 3) on 12 images: 3",
        "(3 of 3) on 24 images: 3",
    ]


def test_what_is_left_is_reckoned_from_the_epochs_done_here(capsys, clock, tmp_path):
    import keras

    class Halt(keras.callbacks.Callback):
        def on_epoch_begin(self, epoch, logs=None):
            if epoch == 2:
                raise KeyboardInterrupt

    options = {"epochs": 5, "checkpoint": tmp_path, "store": tmp_path / "store"}
    with pytest.raises(KeyboardInterrupt), taking_part(Halt()):
        trained(capsys, **options)
    lines = trained(capsys, verbose=1, **options)
    assert lines[0].endswith(" on 24 images: goes on after epoch 2 of 5")
    assert [line.partition(":")[2].rpartition(", loss")[0] for line in lines[1:]] == [
        " epoch 4 of 5",
        " 3 epochs in 40 s",
    ]
    assert lines[1].endswith(", 10 s left")


@pytest.mark.parametrize(("verbose", "said"), [(0, 0), (2, 3)])
def test_nothing_is_said_unasked_and_keras_says_it_with_two(capsys, verbose, said):
    lines = trained(capsys, verbose=verbose)
    assert len(lines) == said
    assert not any("loss" in line for line in lines)


def test_a_training_that_an_earlier_run_finished_says_so(capsys, tmp_path):
    options = {"checkpoint": tmp_path, "store": tmp_path / "store"}
    (before,) = trained(capsys, verbose=1, **options)
    (again,) = trained(capsys, verbose=1, **options)
    loss = re.search(r"loss .*", before)[0]
    assert re.fullmatch(rf"\w+ on 24 images: finished before, 3 epochs, {loss}", again)
