from __future__ import annotations

import numpy as np
import pytest
from committees import Recorder, Scripted, committee, lesion_table, notebook
from sklearn.naive_bayes import GaussianNB
from sklearn.neighbors import KNeighborsClassifier
from sklearn.svm import LinearSVC

from skinensemble import CollapsedMember, Stage
from skinensemble.exceptions import CertificateError, InputError, MemberError

TWO = np.array(["benign", "malignant"])


@pytest.fixture(scope="module")
def data():
    return lesion_table()


@pytest.mark.parametrize(
    ("act", "text"),
    [
        ("raise", "member: odd – ZeroDivisionError in fit: no such luck – correct what it names"),
        ("nan", "member: odd – predict_proba gave NaN for 6 samples – "),
        ("stranger", "member: odd – it votes for zebra, which the stage does not know – "),
    ],
)
def test_a_member_that_fails_is_named(data, act, text):
    X, y, lesions = data
    stage = Stage([*committee(), ("odd", Scripted(act))], cv=3)
    with pytest.raises(MemberError, match=rf"^{text}"):
        stage.fit(X, y, groups=lesions)


def test_the_cause_of_a_failure_is_kept(data):
    X, y, lesions = data
    with pytest.raises(MemberError) as caught:
        Stage([("odd", Scripted("raise"))], cv=3).fit(X, y, groups=lesions)
    assert isinstance(caught.value.__cause__, ZeroDivisionError)


def test_scores_that_are_no_probabilities_are_refused(data):
    X, y, lesions = data
    with pytest.raises(InputError, match=r"ballots: sample 0 of member 1 .* not summing to 1 – "):
        Stage([committee()[0], ("odd", Scripted("scores"))], cv=3).fit(X, y, groups=lesions)


def test_weights_for_a_member_that_takes_none_are_refused(data):
    X, y, lesions = data
    stage = Stage([*committee()[:2], ("near", KNeighborsClassifier())], cv=3)
    with pytest.raises(InputError, match=r"member: near – .* takes no sample_weight – leave out"):
        stage.fit(X, y, groups=lesions, sample_weight=np.ones(len(y)))


BAD = {
    "groups too short": (lambda X, y, g: (X, y, g[:-1]), r"groups: \d+ lesions – one per sample"),
    "two labels": (lambda X, y, g: (X, y, np.append(g[1:], g[:1])), "lesions: HAM_.* several lab"),
    "label missing": (lambda X, y, g: (X, [None, *y[1:]], g), "y: rows 0 – the label is missing"),
    "one class": (lambda X, y, g: (X, ["nv"] * len(y), g), "y: .* there is one class only"),
    "lesion missing": (lambda X, y, g: (X, y, [None, *g[1:]]), "groups: rows 0 – the lesion"),
}


@pytest.mark.parametrize(("damage", "text"), BAD.values(), ids=BAD)
def test_bad_labels_and_lesions_are_refused_before_any_training(data, damage, text):
    notes, book = notebook()
    X, y, lesions = damage(*data)
    with pytest.raises(InputError, match=rf"^{text}"):
        Stage([("one", Recorder(book))]).fit(X, y, groups=lesions)
    assert notes == []


def test_more_folds_than_lesions_of_a_class_are_refused_before_any_training(data):
    X, y, lesions = data
    notes, book = notebook()
    few = (y != "mel") | np.isin(lesions, np.unique(lesions[y == "mel"])[:3])
    text = r"^folds: cv=5, class mel \(3 lesions\) – 5 folds need .* – pass cv=3, or add lesions"
    with pytest.raises(InputError, match=text):
        Stage([("one", Recorder(book))]).fit(X[few], y[few], groups=lesions[few])
    assert notes == []


@pytest.mark.parametrize("seed", [np.random.default_rng(), -1, "zero"])
def test_what_is_no_seed_is_refused_before_any_training(data, seed):
    X, y, lesions = data
    notes, book = notebook()
    with pytest.raises(InputError, match=r"^random_state: .* – neither an integer .* – pass such"):
        Stage([("one", Recorder(book))], random_state=seed).fit(X, y, groups=lesions)
    assert notes == []


@pytest.mark.parametrize("jobs", [0, 1.5, "two"])
def test_what_is_no_number_of_processes_is_refused_before_any_training(data, jobs):
    X, y, lesions = data
    with pytest.raises(InputError, match=r"^n_jobs: .* – not a number of processes – pass None, 1"):
        Stage([("one", Scripted("raise"))], n_jobs=jobs).fit(X, y, groups=lesions)


def test_a_promise_that_cannot_be_proved_is_refused_before_any_training():
    X, y, lesions = lesion_table(60, codes=TWO)
    notes, book = notebook()
    with pytest.raises(CertificateError, match=r"30 malignant lesions cannot.*\(29 more\)"):
        Stage([("one", Recorder(book))], voting="threshold").fit(X, y, groups=lesions)
    assert notes == []


@pytest.mark.parametrize(
    ("members", "text"),
    [
        ([], r"members: \[\] – no committee – pass a list"),
        (None, "members: None – no committee"),
        ([GaussianNB()], r"members: GaussianNB\(\) – without a name – pass pairs, such as \("),
        ([("a", GaussianNB(), 1)], r"members: \('a', .*, 1\) – no pair of name and classifier – "),
        ([("a",)], r"members: \('a',\) – no pair of name and classifier – pass pairs, such as \("),
        ([("svm", LinearSVC()), ("nb", GaussianNB())], "members: svm – no predict_proba, so no"),
        ([("a", GaussianNB()), ("a", GaussianNB())], "members: a, a – .*not unique.* – give each"),
        ([("a__b", GaussianNB())], "members: a__b – .*__.* – give each a plain name of its own"),
        ([("cv", GaussianNB())], "members: cv – .*conflict.* – give each a plain name of its own"),
        ([(1, GaussianNB()), ("b", GaussianNB())], "members: 1 – the name is no text – pass such"),
    ],
)
def test_members_that_make_no_committee_are_refused(data, members, text):
    X, y, lesions = data
    with pytest.raises(InputError, match=text):
        Stage(members).fit(X, y, groups=lesions)


@pytest.mark.parametrize("cv", ["five", 2.5])
def test_what_is_no_number_of_folds_is_refused_before_any_training(data, cv):
    X, y, lesions = data
    with pytest.raises(
        InputError, match=r"^cv: .* – neither a number of folds, nor .* – pass such"
    ):
        Stage([("one", Scripted("raise"))], cv=cv).fit(X, y, groups=lesions)


def test_weights_are_refused_for_a_collapsed_member_that_could_not_heed_them(data):
    X, y, lesions = data
    near = CollapsedMember(KNeighborsClassifier())
    text = r"^member: near – fit of KNeighborsClassifier takes no sample_weight – leave out"
    with pytest.raises(InputError, match=text):
        Stage([("near", near)], cv=3).fit(X, y, groups=lesions, sample_weight=np.ones(len(y)))


def test_lesions_without_weight_are_not_counted_on_before_the_training():
    X, y, lesions = lesion_table(160, codes=TWO)
    known = np.unique(lesions[y == "malignant"])
    weight = np.where(np.isin(lesions, known[:30]), 0.0, 1.0)
    notes, keep = notebook()
    stage = Stage([("recorder", Recorder(keep))], voting="threshold", cv=3)
    with pytest.raises(CertificateError, match=r"50 malignant lesions cannot.*\(9 more\)"):
        stage.fit(X, y, groups=lesions, sample_weight=weight)
    assert not notes
