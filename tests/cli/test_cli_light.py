"""``predict`` in a process of its own does without TensorFlow, and comes back where it cannot."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from argparse import Namespace
from pathlib import Path

import numpy as np
import pytest

from skinensemble import config_context, load, make_cascade
from skinensemble.cli._light import go_light, is_light
from skinensemble.datasets import make_lesions
from skinensemble.engines import _openvino

ROOT = Path(__file__).parents[2]
RUN = """
import sys
{before}
from skinensemble.cli import main
code = main()
print("tensorflow" in sys.modules, file=sys.stderr)
sys.exit(code)
"""
CHOOSE = """
import sys
from skinensemble import cli
from skinensemble.cli._light import go_light, is_light
go_light(cli._parser().parse_args(sys.argv[1:]))
print(is_light())
"""
FAIL = """
from skinensemble.engines import _openvino
def refuse(*_):
    raise RuntimeError("no")
_openvino._convert = refuse
"""


@pytest.fixture(scope="module")
def saved(tmp_path_factory) -> Path:
    """A cascade of a network that every process knows."""
    path = tmp_path_factory.mktemp("light") / "cascade.h5"
    data = make_lesions(28, size=32, weights="balanced", random_state=0)
    options = {"weights": None, "image_size": 32, "cv": 2, "epochs": 1, "random_state": 0}
    options["verbose"] = 1  # what it prints must not get into the JSON
    cascade = make_cascade("mobilenet_v2_035", **options)
    cascade.fit(data.images, data.target, groups=data.groups).save(path)
    return path


def python(code, *arguments):
    """A new process that has chosen no backend, and ended well."""
    environment = {k: v for k, v in os.environ.items() if k != "KERAS_BACKEND"}
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments],
        env=environment | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    return done


def predict(model, images, *options, before=""):
    """The rows that a new process prints, and whether it loaded TensorFlow."""
    done = python(RUN.format(before=before), "predict", model, *images, "--json", *options)
    return json.loads(done.stdout)["images"], done.stderr.splitlines()[-1] == "True"


def test_no_tensorflow_and_the_same_verdicts(saved, folder):
    images = [str(path) for path in sorted(folder.glob("mel/*.png"))[:3]]
    rows, heavy = predict(saved, images)
    assert not heavy
    with config_context(engine="openvino"):
        cascade = load(saved)
        proba, verdicts = cascade.predict_proba(images), cascade.verdicts(images)
    found = [list(row["probabilities"].values()) for row in rows]
    np.testing.assert_allclose(found, proba, atol=1e-4)
    assert [row["verdict"] for row in rows] == [verdict.answer for verdict in verdicts]
    early, heavy = predict(saved, images, "--early-exit")
    assert not heavy
    assert [row["verdict"] for row in early] == [verdict.answer for verdict in verdicts]


def test_an_openvino_that_is_too_old_is_left_alone(monkeypatch):
    monkeypatch.delenv("KERAS_BACKEND", raising=False)
    monkeypatch.setattr(_openvino, "_OLDEST", (9999, 1))
    for name in {"keras", "tensorflow"} & set(sys.modules):
        monkeypatch.delitem(sys.modules, name)
    args = Namespace(light=True, engine="auto")
    go_light(args)
    assert args.engine == "auto"
    assert not is_light()


@pytest.mark.parametrize(("engine", "light"), [("keras", "False"), ("auto", "True")])
def test_keras_by_name_takes_tensorflow(engine, light):
    arguments = ["predict", "MODEL", "IMAGE", "--engine", engine]
    assert python(CHOOSE, *arguments).stdout.split() == [light]


@pytest.mark.slow
def test_what_openvino_cannot_run_is_run_by_keras(saved, folder):
    image = str(next(folder.glob("mel/*.png")))
    (again,), heavy = predict(saved, [image], before=FAIL)
    assert not heavy  # the first process; the one that answered is its child
    with config_context(engine="keras"):
        (plain,) = load(saved).malignant_proba([image])
    assert again["p_malignant"] == pytest.approx(plain, abs=1e-4)
