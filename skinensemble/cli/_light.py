"""Prediction without TensorFlow, whose import takes longer than the verdict on a few images.

Keras then builds the networks on its OpenVINO backend, which can run but not train them. A model
that cannot be run on this way is tried again, by a new process, on the ordinary one.
"""

from __future__ import annotations

import argparse
import importlib.util
import os
import subprocess
import sys
from importlib.abc import MetaPathFinder
from importlib.machinery import PathFinder

__all__ = ["go_light", "is_light", "start_again", "try_out"]


class _Without(MetaPathFinder):
    """Keras and scikit-learn look whether these are there, and would load them to see.

    OpenVINO's telemetry would tell its makers what is converted. What is large and seldom asked for
    waits until it is.
    """

    def find_spec(self, fullname, path=None, target=None):
        if fullname in ("tensorflow", "matplotlib", "pandas", "openvino_telemetry"):
            raise ModuleNotFoundError("not loaded in this process", name=fullname)
        if fullname not in ("scipy.signal", "scipy.stats"):
            return None
        spec = PathFinder.find_spec(fullname, path)
        if spec is not None and spec.loader is not None:
            spec.loader = importlib.util.LazyLoader(spec.loader)
        return spec


_FINDER = _Without()


def go_light(args: argparse.Namespace) -> None:
    """Do without TensorFlow from here on, where the command, the user and the process let us."""
    wanted = getattr(args, "light", False) and args.engine != "keras"
    chosen = "KERAS_BACKEND" in os.environ or {"keras", "tensorflow"} & set(sys.modules)
    if wanted and not chosen and _has_openvino():
        # By name: nothing else runs networks on that backend at the precision they were made for.
        args.engine = "openvino"
        os.environ["KERAS_BACKEND"] = "openvino"
        sys.meta_path.insert(0, _FINDER)


def _has_openvino() -> bool:
    from skinensemble.engines._openvino import import_openvino
    from skinensemble.exceptions import MissingDependencyError

    try:
        import_openvino()
    except MissingDependencyError:
        return False  # absent, too old or broken
    return True


def is_light() -> bool:
    """Tell whether this process does without TensorFlow."""
    return _FINDER in sys.meta_path


def try_out(cascade) -> bool:
    """Tell whether the networks of a cascade run, which has to be known before the first answer."""
    import numpy as np

    try:
        grey = cascade.prepare(np.full((1, 32, 32, 3), 128, np.uint8))
        cascade.triage_.cast(grey), cascade.diagnosis_.cast(grey)
    except Exception:  # of any kind: the backend is young
        return False
    return True


def start_again() -> int:
    """Run the same command in a new process that has TensorFlow."""
    command = [sys.executable, "-m", "skinensemble", *sys.argv[1:]]
    return subprocess.run(command, env=os.environ | {"KERAS_BACKEND": "tensorflow"}).returncode
