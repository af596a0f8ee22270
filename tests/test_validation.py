from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.model_selection import GroupKFold, KFold, PredefinedSplit, ShuffleSplit

from skinensemble import Cascade, Stage, TransferClassifier
from skinensemble.exceptions import InputError, UngroupedWarning
from skinensemble.validation import (
    check_groups,
    check_labels,
    check_lengths,
    lesion_folds,
)

AB = np.array(["a", "b"])

MISSING = {
    "None in a list": ["a", None, "b", None],
    "NaN in a list of strings": ["a", np.nan, "b", np.nan],
    "NaN in a list of numbers": [0.0, np.nan, 1.0, np.nan],
    "NaN in an array": np.array([0.0, np.nan, 1.0, np.nan]),
    "NaN in an object array": np.array(["a", np.nan, "b", np.nan], dtype=object),
    "empty": ["a", "", "b", ""],
    "Series of strings": pd.Series(["a", None, "b", None]),
    "nullable Series": pd.Series([0, None, 1, None], dtype="Int64"),
    "pandas' NA": np.array(["a", pd.NA, "b", pd.NA], dtype=object),
}
MIXED = {"list": ["a", 1, "b", 2], "array": np.array(["a", 1, "b", 2], dtype=object)}


@pytest.mark.parametrize("y", MISSING.values(), ids=MISSING)
def test_missing_labels_are_refused_with_their_rows(y):
    with pytest.raises(InputError, match=r"^y: rows 1, 3 – the label is missing – label or remove"):
        check_labels(y)


@pytest.mark.parametrize("lesions", MISSING.values(), ids=MISSING)
def test_missing_lesions_are_refused_with_their_rows(lesions):
    with pytest.raises(InputError, match=r"^groups: rows 1, 3 – the lesion is missing – give each"):
        check_groups(lesions, np.array([0, 0, 1, 1]), AB)


@pytest.mark.parametrize("values", MIXED.values(), ids=MIXED)
def test_mixed_types_are_refused(values):
    with pytest.raises(InputError, match=r"^y: int and str – .* mixed types .* – use strings"):
        check_labels(values)
    with pytest.raises(InputError, match=r"^groups: int and str – .* mixed types .* – use strings"):
        check_groups(values, np.array([0, 0, 1, 1]), AB)


@pytest.mark.parametrize(
    ("values", "classes"),
    [
        ([*np.array(["nv", "mel"]), "bcc"], ["bcc", "mel", "nv"]),
        ([*np.array([1, 2]), 3], [1, 2, 3]),
        (np.array([np.bool_(True), False], dtype=object), [False, True]),
        ([np.int32(1), np.int64(2)], [1, 2]),
    ],
)
def test_scalars_of_numpy_are_what_they_are_in_python(values, classes):
    assert check_labels(values)[0].tolist() == classes
    assert check_groups(values, np.arange(len(values)), AB).max() == len(classes) - 1


@pytest.mark.parametrize("y", [["a", "a"], np.ones(5, int), []])
def test_one_class_is_refused(y):
    text = rf"^y: {len(y)} labels – there is one class only .* – add samples of another class"
    with pytest.raises(InputError, match=text):
        check_labels(y)


@pytest.mark.filterwarnings("ignore:invalid value encountered in cast:RuntimeWarning")
@pytest.mark.parametrize("y", [[0.5, 1.5], [[1, 2], [3, 4]], [0.0, np.inf]])
def test_what_is_no_class_is_refused(y):
    with pytest.raises(ValueError, match=r"Unknown label type|1d array|infinity"):
        check_labels(y)


@pytest.mark.parametrize(
    "y",
    [
        ["nv", "mel", "nv"],
        ("nv", "mel", "nv"),
        np.array(["nv", "mel", "nv"]),
        np.array(["nv", "mel", "nv"], dtype=object),
        pd.Series(["nv", "mel", "nv"]),
        pd.Series(["nv", "mel", "nv"], dtype="category"),
        [True, False, True],
        np.array([7, -1, 7], dtype=np.int8),
        [2.0, 1.0, 2.0],
    ],
)
def test_labels_of_every_kind_are_encoded_in_their_order(y):
    classes, encoded = check_labels(y)
    assert encoded.tolist() == [1, 0, 1]
    assert classes.dtype != object
    assert classes[encoded].tolist() == np.asarray(y).tolist()


def test_groups_are_numbered():
    lesions = check_groups(["x", "z", "x", "y"], np.array([0, 1, 0, 1]), AB)
    assert lesions.tolist() == [0, 2, 0, 1]


def test_no_groups_warn_of_what_it_risks():
    with pytest.warns(UngroupedWarning, match="groups: not given – .* – pass groups=lesion_ids"):
        assert check_groups(None, np.array([0, 1]), AB) is None


@pytest.mark.parametrize("n", [0, 3, 5])
def test_groups_of_another_length_are_refused(n):
    with pytest.raises(
        InputError, match=f"^groups: {n} lesions – .* y has 4 – pass one per sample"
    ):
        check_groups(np.arange(n), np.array([0, 0, 1, 1]), AB)


def test_lesions_with_two_labels_are_all_named():
    y, lesions = np.array([0, 1, 0, 0, 1, 1]), ["p", "p", "q", "r", "r", "s"]
    text = r"^lesions: p \(a, b\), r \(a, b\) – one lesion has several labels – correct"
    with pytest.raises(InputError, match=text):
        check_groups(lesions, y, AB)


def structure(seed: int):
    """Labels and lesions of a clinic with rare classes, shuffled."""
    rng = np.random.default_rng(seed)
    n_classes = rng.integers(2, 8)
    per_class = rng.integers(1, 25, size=n_classes)
    of_lesion = np.repeat(np.arange(n_classes), per_class)
    lesion = np.repeat(np.arange(len(of_lesion)), rng.integers(1, 7, size=len(of_lesion)))
    lesion = rng.permutation(lesion)
    return of_lesion[lesion], lesion, int(per_class.min())


@given(seed=st.integers(0, 10**6), random_state=st.sampled_from([None, 7]))
@settings(max_examples=200)
def test_every_fold_has_every_class_and_no_lesion_is_split(seed, random_state):
    y, lesions, fewest = structure(seed)
    classes, n_folds = np.array([f"c{k}" for k in range(y.max() + 1)]), 5
    if fewest < n_folds:
        largest = f"cv={fewest}" if fewest >= 2 else "add lesions"
        rare = rf"class .*c{np.bincount(y[np.unique(lesions, return_index=True)[1]]).argmin()} "
        with pytest.raises(InputError, match=rf"^folds: cv=5, {rare}.*{largest}"):
            lesion_folds(y, lesions, n_folds, classes=classes, random_state=random_state)
        n_folds = fewest
    if n_folds < 2:
        return
    folds = lesion_folds(y, lesions, n_folds, random_state=random_state)
    assert np.unique(folds).tolist() == list(range(n_folds))
    assert len(np.unique(np.stack([lesions, folds]), axis=1).T) == len(np.unique(lesions))
    for fold in range(n_folds):
        assert np.unique(y[folds == fold]).tolist() == list(range(len(classes)))


def test_a_fold_without_a_sample_is_refused():
    y = np.tile([0, 1], 6)
    cv = [(np.arange(12), []), (np.arange(6), np.arange(6, 12)), (np.arange(6, 12), np.arange(6))]
    with pytest.raises(InputError, match=r"^cv: fold 0 – a fold of it holds no sample out – use f"):
        lesion_folds(y, None, cv)


def test_folds_follow_the_seed():
    y, lesions, _ = structure(4)
    first, again, other = (
        lesion_folds(y, lesions, 2, random_state=seed).tolist() for seed in (0, 0, 1)
    )
    assert first == again
    assert first != other


@given(st.permutations(range(30)))
def test_folds_without_groups_are_stratified(order):
    y = np.repeat([0, 1], [20, 10])[list(order)]
    folds = lesion_folds(y, None)
    assert [np.bincount(y[folds == k]).tolist() for k in range(5)] == [[4, 2]] * 5


@pytest.mark.parametrize("cv", [1, 0, -3])
def test_fewer_than_two_folds_are_refused(cv):
    with pytest.raises(
        InputError, match=f"^folds: cv={cv} – .* at least 2 samples .* pass cv=2 or"
    ):
        lesion_folds(np.array([0, 0, 0, 1, 1, 1]), None, cv)


Y, LESIONS = np.array([0, 0, 0, 1, 1, 1]), np.array([0, 0, 1, 2, 2, 3])
LETTERS = np.array(["x", "x", "x", "y", "y", "y"])


# scikit-learn's own splitters warn that they take no notice of groups; the check comes after.
ignoring = pytest.mark.filterwarnings("ignore:The groups parameter is ignored:UserWarning")


@ignoring
@pytest.mark.parametrize(
    ("cv", "text"),
    [
        (KFold(3), r"^cv: lesions 2 – the splitter puts images of one lesion into several folds"),
        (ShuffleSplit(3, test_size=3, random_state=0), r"^cv: ShuffleSplit.*out more than once"),
        (ShuffleSplit(1, random_state=0), r"^cv: rows .* – the splitter never holds them out"),
        ([([0, 1, 2], [3, 4, 5]), ([3, 4, 5], [0, 1, 2])], r"fold 0 there is none of class y – "),
        ([], r"^cv: rows 0, 1, 2, 3, 4, 5 – the splitter never"),
    ],
)
def test_splitters_that_break_the_rules_are_refused(cv, text):
    with pytest.raises(InputError, match=text):
        lesion_folds(Y, LESIONS, cv, classes=np.array(["x", "y"]))


@ignoring
@pytest.mark.parametrize("cv", [GroupKFold(3), PredefinedSplit([0, 0, 1, 0, 0, 1])])
def test_splitters_of_the_users_own_are_followed(cv):
    folds = lesion_folds(Y, LESIONS, cv)
    expected = np.full(6, -1)
    for k, (_, test) in enumerate(cv.split(Y, Y, LESIONS)):
        expected[test] = k
    assert folds.tolist() == expected.tolist()


def test_lengths_that_differ_are_told_and_a_path_is_not_counted(tmp_path):
    check_lengths(["a.jpg", "b.jpg"], y=[0, 1], groups=None)
    with pytest.raises(
        InputError, match=r"lengths: y \(3\), groups \(1\) – X has 2 samples – pass"
    ):
        check_lengths(["a.jpg", "b.jpg"], y=[0, 1, 1], sample_weight=[1, 1], groups=[0])
    with pytest.raises(InputError, match=r"'a\.jpg' – one path; a list .* – pass \[path\]"):
        check_lengths("a.jpg", y=[0, 1])
    with pytest.raises(InputError, match=r"one path; .* – pass a list of the files in it"):
        check_lengths(tmp_path, y=[0, 1])


@pytest.mark.parametrize(
    "estimator",
    [TransferClassifier(), TransferClassifier(unfreeze=1), Stage([("m", TransferClassifier())])],
    ids=str,
)
@pytest.mark.parametrize(
    ("weight", "match"),
    [(-1.0, "Negative values .* `sample_weight`"), (0.0, "non-zero"), (np.nan, "contains NaN")],
)
def test_weights_that_cannot_be_used_are_refused_before_a_training(estimator, weight, match):
    images, weights = np.zeros((8, 32, 32, 3), np.uint8), np.full(8, weight)
    with pytest.raises(ValueError, match=match):
        estimator.fit(images, ["mel", "nv"] * 4, groups=range(8), sample_weight=weights)


@pytest.mark.parametrize(
    "estimator", [Cascade(), Stage([("member", TransferClassifier())]), TransferClassifier()]
)
def test_a_folder_is_no_list_of_images(estimator, tmp_path):
    with pytest.raises(InputError, match=r"one path; .* – pass a list of the files in it"):
        estimator.fit(str(tmp_path), ["mel", "nv"] * 4, groups=range(8))


@pytest.mark.parametrize("cv", [[1, 2], [([0], [99])], [(0,)], GroupKFold(9)])
def test_what_gives_no_folds_is_refused(cv):
    y, groups = np.arange(8) % 2, np.arange(8)
    with pytest.raises(
        InputError, match=r"^cv: .* – it gives no folds \(.* – pass a number of fol"
    ):
        lesion_folds(y, groups, cv)
