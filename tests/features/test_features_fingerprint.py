"""The identity of a network with layers or functions of a user's own."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from skinensemble.features._fingerprint import fingerprint

SOURCE = """
class Scale(keras.layers.Layer):
    factor = 1
    def call(self, x):
        return self._scaled(x)
    def _scaled(self, x):
        return x / 255
    @staticmethod
    def known(name):
        return name in {"red", "green", "blue"}

def halve(x):
    return keras.ops.abs(x) / 2

def times(by):
    def inner(x):
        return x * by
    return inner

LIMIT = 6

def limited(x, least=0):
    return keras.ops.clip(x, least, LIMIT)
"""
KINDS = {
    "layer": ("Scale()", ("x / 255", "x / 127")),
    "name": (
        "Scale()",
        ("_scaled(self, x):\n        return x", "_scaled(self, x):\n        return -x"),
    ),
    "Lambda": ("keras.layers.Lambda(halve)", ("ops.abs", "ops.negative")),
    "activation": ("keras.layers.Activation(halve)", ("(x) / 2", "(x) / 3")),
    "closure": ("keras.layers.Lambda(times(3))", ("times(3)", "times(4)")),
    "global": ("keras.layers.Lambda(limited)", ("LIMIT = 6", "LIMIT = 7")),
    "default": ("keras.layers.Lambda(limited)", ("least=0", "least=1")),
}


def identity(source, layer):
    import keras

    names = {"keras": keras, "__name__": "notebook"}
    exec(source, names)
    images = keras.Input((8, 8, 3))
    return fingerprint(keras.Model(images, eval(layer, names)(images)))


@pytest.mark.parametrize("kind", KINDS)
def test_what_was_corrected_is_another_network(kind):
    layer, (before, after) = KINDS[kind]
    first = identity(SOURCE, layer)
    assert identity(SOURCE, layer) == first
    assert identity(SOURCE.replace(before, after), layer.replace(before, after)) != first


def test_it_is_the_same_in_another_process():
    layers = ["Scale()", "keras.layers.Activation(halve)", "keras.layers.Lambda(times(3))"]
    here = [identity(SOURCE, layer) for layer in layers]
    code = (
        f"from test_features_fingerprint import *\n"
        f"print(*[identity(SOURCE, layer) for layer in {layers}])"
    )
    path = os.pathsep.join([str(Path(__file__).parent), os.environ.get("PYTHONPATH", "")])
    other = "2" if os.environ.get("PYTHONHASHSEED") == "1" else "1"
    env = os.environ | {"PYTHONPATH": path, "PYTHONHASHSEED": other}
    done = subprocess.run(
        [sys.executable, "-c", code], check=True, capture_output=True, text=True, env=env
    )
    assert done.stdout.split() == here
