"""What starts fast: the import, the help, the content of a saved file."""

from __future__ import annotations

import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

REPEATS = 5
_SAVE = """
import sys, numpy as np
from sklearn.linear_model import LogisticRegression
from skinensemble import Cascade, Stage
rng = np.random.default_rng(0)
X, y = rng.random((60, 5)), np.repeat(["bkl", "mel", "nv"], 20)
stage = Stage([("linear", LogisticRegression())], cv=2)
Cascade(stage, malignant=["mel"]).fit(X, y, groups=np.arange(60)).save(sys.argv[1])
"""


def run(args):
    """Median wall-clock seconds of fresh processes, alternating with the baseline."""
    with tempfile.TemporaryDirectory() as folder:
        model = str(Path(folder) / "model.h5")
        subprocess.run([sys.executable, "-c", _SAVE, model], check=True)
        commands = {
            "import tensorflow (baseline)": ["-c", "import tensorflow"],
            "python, nothing else": ["-c", ""],
            "import skinensemble": ["-c", "import skinensemble"],
            "skinensemble --help": ["-m", "skinensemble", "--help"],
            "skinensemble backbones": ["-m", "skinensemble", "backbones"],
            "skinensemble info FILE": ["-m", "skinensemble", "info", model],
        }
        times = {name: [] for name in commands}
        for _ in range(REPEATS):
            for name, command in commands.items():
                times[name].append(_seconds([sys.executable, *command]))
    medians = {name: statistics.median(values) for name, values in times.items()}
    base = medians["import tensorflow (baseline)"]
    rows = [[name, f"{value:.3f}", f"{value / base:.3f}"] for name, value in medians.items()]
    return ["process", "median s", "ratio"], rows


def _seconds(command) -> float:
    start = time.perf_counter()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    return time.perf_counter() - start
