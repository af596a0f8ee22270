from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from codec_edits import CASCADE, NETWORK, edited, put
from committees import CODES, committee, lesion_table
from container_files import run_python
from sklearn.base import clone
from sklearn.decomposition import PCA
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.ensemble import RandomForestClassifier
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.naive_bayes import GaussianNB
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler
from tiny_backbone import TINY

from skinensemble import BackboneFeatures, Cascade, DenseHead, Stage, TransferClassifier, load
from skinensemble._threads import n_threads
from skinensemble.exceptions import InputError, ModelFileError
from skinensemble.persistence import save
from skinensemble.persistence.container import read_container

CHILD = Path(__file__).with_name("codec_reader.py")
BRIEF = {"epochs": 2, "batch_size": 512, "random_state": 0}
PROBA = ("predict_proba", "predict")

TABLE = {
    "logistic": LogisticRegression(),
    "linear_discriminant": LinearDiscriminantAnalysis(),
    "bayes": GaussianNB(),
    "pipeline": make_pipeline(StandardScaler(), PCA(3, whiten=True), LogisticRegression()),
    "logistic_float32": LogisticRegression(),
    "linear_discriminant_float32": LinearDiscriminantAnalysis(),
    "bayes_float32": GaussianNB(),
    "pipeline_float32": make_pipeline(StandardScaler(), PCA(3), LogisticRegression()),
    "dense": DenseHead((6,), batch_normalization=True, **BRIEF),
    "linear_head": DenseHead((), activation="gelu", **BRIEF),
}
IMAGES = {
    "transfer": TransferClassifier(**TINY, **BRIEF, units=(5,)),
    "features_pipeline": Pipeline(
        [("body", BackboneFeatures(**TINY)), ("scale", StandardScaler()), ("nb", GaussianNB())]
    ),
}


@pytest.fixture(scope="module")
def table():
    return lesion_table(200)


@pytest.fixture(scope="module")
def images():
    rng = np.random.default_rng(0)
    y = np.repeat(CODES, 6)
    base = np.repeat(np.arange(5), 6)[:, None, None, None] * 40
    X = np.clip(base + rng.integers(0, 60, (30, 32, 32, 3)), 0, 255).astype(np.uint8)
    return X, y, np.arange(30)


def keep(estimator, folder: Path, name: str, X, methods=PROBA) -> None:
    """Save an estimator, and beside it what it says of X."""
    save(estimator, folder / f"{name}.h5")
    said = {method: getattr(estimator, method)(X) for method in methods}
    np.savez(folder / f"{name}.npz", X=X, **said)


def keep_all(folder: Path, table, images) -> None:
    """Save one estimator of each kind, and two that hold others."""
    X, y, lesions = table
    for name, estimator in TABLE.items():
        given = X.astype(np.float32) if name.endswith("float32") else X
        keep(estimator.fit(given, y), folder, name, given)
    stage = Stage([*committee(), ("dense", TABLE["dense"])], voting="majority", cv=2)
    keep(stage.fit(X, y, groups=lesions), folder, "stage", X, (*PROBA, "ballots"))
    triage = Stage(committee(), voting="threshold", cv=2)
    cascade = Cascade(triage, random_state=0).fit(X, y, groups=lesions)
    keep(cascade, folder, "cascade", X, (*PROBA, "malignant_proba", "predict_malignant"))
    pixels, types, each = images
    both = Stage(list(IMAGES.items()), cv=2)
    cascade = Cascade(both, random_state=0).fit(pixels, types, groups=each)
    keep(cascade, folder, "images", pixels, (*PROBA, "malignant_proba"))
    keep(cascade.triage_.named_members_.transfer, folder, "transfer", pixels)


def edit_all(folder: Path, cascade, member) -> dict[str, str]:
    """Save two estimators and every edit of their files; the label of each file's name."""
    cascade.save(folder / "sound_cascade.h5")
    save(member, folder / "sound_network.h5")
    labels = {}
    (folder / "edited").mkdir()
    for prefix, edits in (("cascade", CASCADE), ("network", NETWORK)):
        for label, path in edited(folder / f"sound_{prefix}.h5", edits, folder):
            name = f"{prefix}_{path.stem}"
            path.rename(folder / "edited" / f"{name}.h5")
            labels[name] = f"{prefix}: {label}"
    return labels


@pytest.fixture(scope="module")
def child(tmp_path_factory, table, images, cascade, member):
    """What a new process says of sound and of edited files."""
    sound, hostile = (tmp_path_factory.mktemp(name) for name in ("sound", "hostile"))
    keep_all(sound, table, images)
    labels = edit_all(hostile, cascade, member)
    found = json.loads(run_python(CHILD, sound, hostile, timeout=600))
    found["refused"] = {labels[name]: text for name, text in found["refused"].items()}
    return found


@pytest.mark.parametrize("name", [*TABLE, "stage", "cascade", "images", "transfer"])
def test_it_predicts_the_same_bit_by_bit_in_a_new_process(child, name):
    same = child["same"][name]
    assert len(same) >= 2
    assert all(same.values()), same


@pytest.fixture(scope="module")
def cascade(table):
    X, y, lesions = table
    triage = Stage(committee(), voting="threshold", cv=2)
    return Cascade(triage, random_state=0).fit(X, y, groups=lesions)


@pytest.fixture(scope="module")
def member(images):
    X, y, _ = images
    return TransferClassifier(**TINY, **BRIEF, units=(5,)).fit(X, y)


@pytest.mark.parametrize(
    "label", [*(f"cascade: {one}" for one in CASCADE), *(f"network: {one}" for one in NETWORK)]
)
def test_a_file_that_says_something_wrong_is_refused(child, label):
    text = child["refused"][label]
    assert text.startswith("ModelFileError cannot load: ")
    assert ".h5" in text
    assert text.count(" – ") >= 2


def test_refusing_imports_runs_and_opens_nothing(child):
    assert child["events"] == []


@pytest.mark.parametrize(
    ("label", "text"),
    [
        ("cascade: tensor missing", "coef_ – its array is missing"),
        ("cascade: tensor extra", "triage/linear/spare – nothing in the file refers to it"),
        ("cascade: threshold 1.2", "certificate.threshold – 1.2 is not between 0 and 1"),
        ("cascade: no members", "triage.members – there is none"),
        ("cascade: duplicate labels", "root.classes – labels are not distinct and sorted"),
        ("cascade: unknown type", "'RandomForestClassifier' is not a type of this library"),
        ("cascade: NaN weight", "coef_ – it holds NaN or infinite values"),
        ("network: a weight fewer", "root.head.weights – 3 arrays, not 4"),
        ("network: units beyond any memory", "weights.0 – its shape is (16, 5), not (16, 1099511"),
    ],
)
def test_the_text_names_the_place(child, label, text):
    assert text in child["refused"][label]


def test_what_is_loaded_is_what_was_saved(cascade, table, tmp_path):
    path = tmp_path / "a folder with ü" / "cascade.h5"
    path.parent.mkdir()
    cascade.save(path)
    back = load(path)
    assert back.certificate_ == cascade.certificate_
    assert back.classes_.tolist() == cascade.classes_.tolist()
    assert back.malignant_.tolist() == cascade.malignant_.tolist()
    for stage in ("triage_", "diagnosis_"):
        for name in ("folds_", "targets_", "lesions_", "digests_", "lesion_digests_", "ballots_"):
            kept, saved = (getattr(getattr(one, stage), name) for one in (back, cascade))
            assert kept.dtype == saved.dtype
            np.testing.assert_array_equal(kept, saved)
    assert [str(v) for v in back.verdicts(table[0])] == [str(v) for v in cascade.verdicts(table[0])]


def test_a_file_says_what_may_change_the_last_bits(member, tmp_path, monkeypatch):
    monkeypatch.setenv("TF_ENABLE_ONEDNN_OPTS", "0")
    save(member, tmp_path / "one.h5")
    versions = read_container(tmp_path / "one.h5").config["versions"]
    assert versions["threads"] == n_threads()
    assert versions["onednn"] == "0"
    assert versions["tensorflow"]


def test_saving_what_was_loaded_gives_the_same_bytes(cascade, member, tmp_path):
    for estimator in (cascade, member):
        digest = save(estimator, tmp_path / "one.h5")
        back = load(tmp_path / "one.h5", sha256=digest)
        assert save(back, tmp_path / "two.h5") == digest


def test_a_loaded_cascade_can_be_trained_again(cascade, table, tmp_path):
    X, y, lesions = table
    cascade.save(tmp_path / "cascade.h5")
    again = load(tmp_path / "cascade.h5").fit(X, y, groups=lesions)
    assert again.predict(X).shape == y.shape


def test_training_samples_are_still_known_after_loading(cascade, table, tmp_path):
    X, y, lesions = table
    cascade.save(tmp_path / "cascade.h5")
    with pytest.raises(InputError, match=r"samples: rows 0, 1, .* the members were trained on"):
        load(tmp_path / "cascade.h5").certify(X, y, groups=lesions)


@pytest.mark.parametrize(
    ("odd", "text"),
    [
        (RandomForestClassifier(3), "save: RandomForestClassifier – .* without pickle.* – use a"),
        (Pipeline([("forest", RandomForestClassifier(3))]), "save: RandomForestClassifier – "),
        (LinearDiscriminantAnalysis(solver="lsqr"), "lsqr.* has no xbar_"),
        (DenseHead(epochs=1, activation=abs), "parameter: activation=.* – a builtin.* cannot be"),
    ],
)
def test_members_that_cannot_be_saved_are_named_and_nothing_is_written(table, odd, text, tmp_path):
    X, y, lesions = table
    if isinstance(odd, DenseHead):
        odd = odd.fit(X, y)
        with pytest.raises(InputError, match=text):
            save(odd, tmp_path / "member.h5")
        assert not list(tmp_path.iterdir())
        return
    stage = Stage([*committee(), ("odd", odd)], cv=2).fit(X, y, groups=lesions)
    with pytest.raises(InputError, match=text):
        save(stage, tmp_path / "stage.h5")
    assert not list(tmp_path.iterdir())


def test_labels_that_are_no_json_cannot_be_saved(table, tmp_path):
    X, y, _ = table
    with pytest.raises(InputError, match=r"labels: .* must be strings, integers or booleans"):
        save(GaussianNB().fit(X, (y == "mel") + 0.5 - 0.5), tmp_path / "member.h5")


@pytest.mark.parametrize("kind", ["members", "pipeline", "cascade", "head"])
def test_the_names_of_columns_come_back(kind, table, tmp_path):
    X, y, lesions = table
    frame = pd.DataFrame(X, columns=["area", "border", "colour", "diameter"])
    made = {
        "members": Stage(committee(), cv=2),
        "pipeline": Stage([("both", clone(TABLE["pipeline"]))], cv=2),
        "cascade": Cascade(Stage(committee(), cv=2), random_state=0),
        "head": Stage([("dense", DenseHead((), epochs=1))], cv=2),
    }[kind].fit(frame, y, groups=lesions)
    digest = save(made, tmp_path / "made.h5")
    back = load(tmp_path / "made.h5")
    assert back.feature_names_in_.tolist() == list(frame.columns)
    np.testing.assert_array_equal(back.predict_proba(frame), made.predict_proba(frame))
    for one in (made, back):
        with pytest.raises(ValueError, match="feature names should match"):
            one.predict_proba(frame[["border", "area", "colour", "diameter"]])
        with pytest.warns(UserWarning, match="X does not have valid feature names"):
            one.predict_proba(X)
    assert save(back, tmp_path / "again.h5") == digest


@pytest.mark.parametrize("names", [list("abc"), list("aabc"), ["a", "b", "c", 4], "abcd"])
def test_names_that_are_not_those_of_the_columns_are_refused(names, table, tmp_path):
    X, y, _ = table
    save(GaussianNB().fit(pd.DataFrame(X, columns=list("abcd")), y), tmp_path / "sound.h5")
    ((_, path),) = edited(tmp_path / "sound.h5", {"": put("root/feature_names", names)}, tmp_path)
    with pytest.raises(ModelFileError, match=r"feature_names – (not 4 distinct names|.* type) – "):
        load(path)


@pytest.mark.parametrize("labels", [[3, 5], [False, True], ["naevus", "mélanome"]])
def test_labels_of_every_kind_come_back(labels, table, tmp_path):
    X, y, lesions = table
    y = np.array(sorted(labels))[(y == "mel").astype(int)]
    stage = Stage(committee()[:2], cv=2).fit(X, y, groups=lesions)
    save(stage, tmp_path / "stage.h5")
    back = load(tmp_path / "stage.h5")
    assert back.classes_.tolist() == sorted(labels)
    np.testing.assert_array_equal(back.predict(X), stage.predict(X))


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("first", [PCA(3), LinearDiscriminantAnalysis(), StandardScaler()])
def test_each_sample_alone_gets_the_same_bits(first, dtype, tmp_path):
    """The order of an array in memory decides in which its products add up."""
    X, y, _ = lesion_table(seed=1)
    X = X.astype(dtype)
    member = make_pipeline(first, LogisticRegression()).fit(X, y)
    save(FrozenEstimator(member), tmp_path / "member.h5")
    back = load(tmp_path / "member.h5")
    for row in X[:, None]:
        np.testing.assert_array_equal(back.predict_proba(row), member.predict_proba(row))


def test_what_was_not_fitted_cannot_be_saved(tmp_path):
    with pytest.raises(ValueError, match="not fitted"):
        save(Cascade(), tmp_path / "cascade.h5")


def test_members_of_any_name_keep_their_own_arrays(tmp_path):
    X, y, lesions = lesion_table()
    names = ["_4", "b-2", "réseau", "a b", "-1", "-2"]
    names += ["folds", "lesions", "ballots", "targets", "digests", "certified", "shares"]
    members = [(name, GaussianNB(var_smoothing=10.0**-i)) for i, name in enumerate(names)]
    stage = Stage(members, cv=2, random_state=0).fit(X, y, groups=lesions)
    save(stage, tmp_path / "stage.h5")
    back = load(tmp_path / "stage.h5")
    np.testing.assert_array_equal(back.ballots(X), stage.ballots(X))


def test_an_array_stands_for_one_entry_only(tmp_path):
    X, y, _ = lesion_table()
    save(make_pipeline(StandardScaler(), GaussianNB()).fit(X, y), tmp_path / "sound.h5")

    def twice(config, arrays):
        fitted = config["root"]["steps"][0][1]["fitted"]
        fitted["scale_"] = fitted["var_"]

    ((_, path),) = edited(tmp_path / "sound.h5", {"twice": twice}, tmp_path)
    with pytest.raises(ModelFileError, match="its array is that of another entry"):
        load(path)
