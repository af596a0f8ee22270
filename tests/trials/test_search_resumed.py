"""A search that is killed, or damaged on disk, goes on and ends as if nothing had happened."""

from __future__ import annotations

import errno
import importlib
import io
import os
import signal
import subprocess
import sys
import time
import warnings
from pathlib import Path

import numpy as np
import pytest
from committees import Recorder, Scripted, committee, lesion_table, notebook
from sklearn.base import clone
from sklearn.frozen import FrozenEstimator
from sklearn.naive_bayes import GaussianNB
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer

from skinensemble import TransferClassifier, register_backbone, search
from skinensemble.exceptions import InputError, ModelFileError, SaveError
from skinensemble.members import CheckpointWarning
from skinensemble.trials import _records
from skinensemble.trials._records import _identity

X, Y, LESIONS = lesion_table(120)
CANDIDATES = [*committee(), *((f"bayes {s}", GaussianNB(var_smoothing=s)) for s in (0.1, 0.2, 0.3))]
OPTIONS = {"groups": LESIONS, "n_finalists": 2, "cv": 3}


class Weighted(GaussianNB):
    """Has a parameter that names a file."""

    def __init__(self, weights=None):
        super().__init__()
        self.weights = weights


def files(folder: Path) -> dict[str, int]:
    return {file.name: file.stat().st_mtime_ns for file in folder.iterdir()}


def same(one, other) -> bool:
    return one.finalists == other.finalists and np.array_equal(one.ballots, other.ballots)


def test_nothing_is_done_twice(tmp_path):
    notes, keep = notebook()
    candidates = [("recorded", Recorder(keep)), *CANDIDATES[:2]]
    first = search(CANDIDATES, X, Y, folder=tmp_path, **OPTIONS)
    written = files(tmp_path)
    assert len(written) == len(first.trials) == 8
    again = search(CANDIDATES, X, Y, folder=tmp_path, **OPTIONS)
    assert same(first, again) and files(tmp_path) == written
    assert [one.seconds for one in again.trials] == [one.seconds for one in first.trials]
    assert same(first, search(CANDIDATES, X, Y, **OPTIONS))
    # A class whose instances pickle in no stable way is tried again, not mistaken for another.
    for _ in range(2):
        with pytest.warns(UserWarning, match="candidates: recorded – nothing tells them from"):
            search(candidates, X, Y, folder=tmp_path, groups=LESIONS, cv=3)
    assert sum(note[0] == "fit" for note in notes) == 6


def test_another_score_needs_no_training(tmp_path):
    search(CANDIDATES[:3], X, Y, folder=tmp_path, groups=LESIONS)
    written = files(tmp_path)
    search(CANDIDATES[:3], X, Y, folder=tmp_path, groups=LESIONS, scoring="accuracy")
    assert files(tmp_path) == written


def test_what_changes_no_ballot_finds_its_trials(tmp_path):
    for n_jobs in (None, 1):
        search(
            [("near", KNeighborsClassifier(n_jobs=n_jobs))],
            X,
            Y,
            folder=tmp_path,
            cv=2,
            groups=LESIONS,
        )
    assert len(files(tmp_path)) == 1


def test_where_a_training_is_kept_makes_no_other_trial():
    plain = TransferClassifier(unfreeze=1)
    assert _identity(clone(plain).set_params(checkpoint="a", store="b")) == _identity(plain)
    assert _identity(clone(plain).set_params(epochs=3)) != _identity(plain)


@pytest.mark.parametrize("what", ["X", "y", "groups", "seed", "params", "name", "cv"])
def test_whatever_the_result_depends_on_makes_another_trial(tmp_path, what):
    given = {"X": X, "y": Y, "groups": LESIONS, "random_state": 0, "cv": 3}
    candidates = [("bayes", GaussianNB())]
    search(candidates, folder=tmp_path, **given)
    (before,) = files(tmp_path)
    changed = {
        "X": {"X": X + 1e-12},
        "y": {"y": np.where(np.isin(LESIONS, LESIONS[:1]), "mel" if Y[0] != "mel" else "nv", Y)},
        "groups": {"groups": np.where(np.arange(len(Y)) == 0, "alone", LESIONS)},
        "seed": {"random_state": 1},
        "cv": {"cv": 4},
    }.get(what, {})
    if what == "params":
        candidates = [("bayes", GaussianNB(var_smoothing=1e-3))]
    if what == "name":
        candidates = [("other", GaussianNB())]
    search(candidates, folder=tmp_path, **(given | changed))
    assert len(files(tmp_path)) == 2 and before in files(tmp_path)


def test_finished_estimators_are_told_apart_by_what_they_learnt(tmp_path):
    half = [np.flatnonzero(np.arange(len(Y)) % 2 == k) for k in (0, 1)]
    for rows in half:
        frozen = FrozenEstimator(GaussianNB().fit(X[rows], Y[rows]))
        search([("frozen", frozen)], X, Y, folder=tmp_path, groups=LESIONS)
    assert len(files(tmp_path)) == 2


@pytest.mark.parametrize("damage", ["cut", "flip", "empty", "foreign"])
def test_a_damaged_trial_is_set_aside_and_done_again(tmp_path, damage):
    first = search(CANDIDATES, X, Y, folder=tmp_path, **OPTIONS)
    victim = sorted(tmp_path.iterdir())[3]
    data = bytearray(victim.read_bytes())
    data[-9] ^= 1
    victim.write_bytes(
        {"cut": data[:200], "flip": data, "empty": b"", "foreign": b"\x80\x04K\x01."}[damage]
    )
    with pytest.warns(CheckpointWarning, match=r"the trial is done again; the file is kept as"):
        again = search(CANDIDATES, X, Y, folder=tmp_path, **OPTIONS)
    assert same(first, again)
    assert victim.exists() and victim.with_suffix(".damaged").exists()


def test_failures_are_tried_again(tmp_path):
    broken = [*CANDIDATES[:2], ("broken", Scripted("raise"))]
    search(broken, X, Y, folder=tmp_path, groups=LESIONS)
    assert len(files(tmp_path)) == 2


def test_samples_that_cannot_be_recognised_are_refused(tmp_path):
    with pytest.raises(InputError, match=r"folder: .* – samples of this type cannot be told from"):
        search(CANDIDATES, X.tolist(), Y, folder=tmp_path, groups=LESIONS)


CHILD = """
import sys, time
sys.path.insert(0, sys.argv[2])
from test_search_resumed import CANDIDATES, OPTIONS, X, Y
from skinensemble import search
import skinensemble.trials._search as module
run = module.run_trial
def slow(*args):
    time.sleep(0.05)
    return run(*args)
module.run_trial = slow
print("ready", flush=True)
search(CANDIDATES, X, Y, folder=sys.argv[1], **OPTIONS)
print("done", flush=True)
"""


def run_child(folder: Path, seconds: float | None) -> bool:
    """Search in a process that is killed after a while; whether it was finished before."""
    here = Path(__file__).parent
    path = os.pathsep.join([str(here.parent), str(here), os.environ.get("PYTHONPATH", "")])
    child = subprocess.Popen(
        [sys.executable, "-c", CHILD, str(folder), str(here)],
        stdout=subprocess.PIPE,
        text=True,
        env=os.environ | {"PYTHONPATH": path},
    )
    assert child.stdout is not None and child.stdout.readline() == "ready\n"
    if seconds is not None:
        time.sleep(seconds)
        child.send_signal(signal.SIGKILL)
    with child:
        return child.stdout.read() == "done\n"


@pytest.mark.slow
@pytest.mark.parametrize(
    "seconds",
    [0.03, 0.12, 0.3],
)
def test_killed_at_any_moment_it_ends_with_the_same_result(tmp_path, seconds):
    assert not run_child(tmp_path, seconds)
    assert run_child(tmp_path, None)
    assert sum(file.suffix == ".trial" for file in tmp_path.iterdir()) == 8
    written = files(tmp_path)
    again = search(CANDIDATES, X, Y, folder=tmp_path, **OPTIONS)
    assert files(tmp_path) == written
    assert same(again, search(CANDIDATES, X, Y, **OPTIONS))


def test_a_folder_that_cannot_be_used_is_known_before_anything_is_trained(tmp_path):
    notes, keep = notebook()
    (tmp_path / "file").write_text("")
    with pytest.raises(
        SaveError, match=r"folder: .*file – it is a file – give the name of another"
    ):
        search([("recorded", Recorder(keep))], X, Y, folder=tmp_path / "file", **OPTIONS)
    assert not notes


def test_weights_of_another_content_make_another_trial(tmp_path):
    weights, kept = tmp_path / "w.h5", tmp_path / "kept"
    member = Weighted(str(weights))
    for content in (b"one", b"two", b"one"):
        weights.write_bytes(content)
        search([("a", member)], X, Y, groups=LESIONS, folder=kept, cv=2)
    assert len(files(kept)) == 2
    for named in ("imagenet", None):
        search([("a", Weighted(named))], X, Y, groups=LESIONS, folder=kept, cv=2)
    assert len(files(kept)) == 4


@pytest.mark.parametrize(
    "error",
    [OSError(errno.EMFILE, "Too many open files"), PermissionError(13, "no"), MemoryError()],
)
def test_a_trial_that_cannot_be_read_for_the_moment_is_not_damaged(tmp_path, monkeypatch, error):
    first = search(CANDIDATES, X, Y, folder=tmp_path, **OPTIONS)
    written = files(tmp_path)

    def fail(*args, **kwargs):
        raise error

    with monkeypatch.context() as patch, pytest.raises(ModelFileError, match=r"cannot load: .*tri"):
        patch.setattr(io, "FileIO", fail)
        search(CANDIDATES, X, Y, folder=tmp_path, **OPTIONS)
    assert files(tmp_path) == written
    assert same(first, search(CANDIDATES, X, Y, folder=tmp_path, **OPTIONS))


class Networked(GaussianNB):
    """Has a parameter that names a backbone."""

    def __init__(self, backbone=None, weights=None):
        super().__init__()
        self.backbone = backbone
        self.weights = weights


def _narrow(input_shape):
    import keras

    return keras.Sequential([keras.Input(input_shape), keras.layers.Conv2D(2, 3)])


def _wide(input_shape):
    import keras

    return keras.Sequential([keras.Input(input_shape), keras.layers.Conv2D(3, 3)])


def test_another_network_of_the_same_name_makes_another_trial(tmp_path):
    for count, build in ((1, _narrow), (2, _wide), (2, _narrow), (2, lambda shape: _wide(shape))):
        register_backbone("resumed", build, input_size=32, overwrite=True)
        search([("a", Networked("resumed"))], X, Y, groups=LESIONS, folder=tmp_path, cv=2)
        assert len(files(tmp_path)) == count


OWN = """
from sklearn.naive_bayes import GaussianNB

class Own(GaussianNB):
    def fit(self, X, y):
        return super().fit(X[:, :{n}], y)
    def predict_proba(self, X):
        return super().predict_proba(X[:, :{n}])

def first(X):
    return X[:, :{n}]

budget = {budget}
"""


@pytest.mark.parametrize("kind", ["class", "below", "function"])
def test_another_code_of_the_same_name_makes_another_trial(tmp_path, monkeypatch, kind):
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    for n, count in ((1, 1), (1, 1), (3, 2)):
        (tmp_path / "own_code.py").write_text(OWN.format(n=n, budget=1), encoding="utf-8")
        monkeypatch.delitem(sys.modules, "own_code", raising=False)
        importlib.invalidate_caches()
        own = importlib.import_module("own_code")
        member = {
            "class": own.Own(),
            "below": type("Heir", (own.Own,), {"__module__": __name__})(),
            "function": make_pipeline(FunctionTransformer(own.first), GaussianNB()),
        }[kind]
        monkeypatch.setattr(sys.modules[__name__], "Heir", type(member), raising=False)
        search([("own", member)], X, Y, groups=LESIONS, folder=tmp_path / "kept", cv=2)
        assert len(files(tmp_path / "kept")) == count


TELL = """
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer
from skinensemble.trials._records import _identity
print(_identity(Own()), _identity(FunctionTransformer(first)), end="\\0")
"""
# A script that is corrected and run again, by a process that has imported the library before.
SCRIPT = """
import os, runpy, sys
import sklearn.pipeline, skinensemble.trials._records
for code in sys.argv[2:]:
    with open(sys.argv[1], "w") as file:
        file.write(code + TELL)
    if not os.fork():
        runpy.run_path(sys.argv[1], run_name="__main__")
        sys.stdout.flush()
        os._exit(0)
    assert os.wait()[1] == 0
"""
# A cell of a notebook that is corrected and run again.
CELL = """
import linecache, sys
for code in sys.argv[1:]:
    linecache.cache["<cell>"] = 1, None, code.splitlines(True), "<cell>"
    exec(compile(code, "<cell>", "exec"))
    exec(TELL)
"""


@pytest.mark.parametrize("of_file", [True, False])
def test_code_of_a_script_or_notebook_counts_by_its_own_lines(tmp_path, of_file):
    """With another time budget, in a line beside it, the search goes on."""
    codes = [OWN.format(n=n, budget=budget) for n, budget in ((1, 1), (1, 2), (3, 2))]
    run = f"TELL = {TELL!r}{SCRIPT if of_file else CELL}"
    given = [tmp_path / "script.py"] if of_file else []
    told = subprocess.check_output([sys.executable, "-c", run, *given, *codes], text=True)
    known = told.split("\0")
    assert len(known) == 3 + 1
    assert "None" not in known[0]
    assert known[0] == known[1] != known[2]


def test_another_version_of_the_library_makes_another_trial(monkeypatch):
    member = make_pipeline(FunctionTransformer(np.log1p), GaussianNB())
    before = _identity(member)
    assert before is not None and _identity(clone(member)) == before
    monkeypatch.setattr(_records, "__version__", "0.0.1")
    assert _identity(member) != before


def test_candidates_that_cannot_be_told_from_others_are_named_once(tmp_path):
    _, keep = notebook()
    lambdas = [("one", Recorder(keep)), ("two", Recorder(keep))]
    text = r"candidates: one, two – nothing tells them from others, so their trials are not kept – "
    for folder in (tmp_path, None):
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            search([*CANDIDATES[:2], *lambdas], X, Y, folder=folder, groups=LESIONS, cv=2)
        assert len(caught) == (folder is not None)
    assert len(files(tmp_path)) == 2
    with pytest.warns(UserWarning, match=text) as told:
        search([*CANDIDATES[:2], *lambdas], X, Y, folder=tmp_path, groups=LESIONS, cv=2)
    assert told[0].filename == __file__
