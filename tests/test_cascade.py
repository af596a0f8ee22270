from __future__ import annotations

import pickle
import re
from dataclasses import replace

import numpy as np
import pytest
from committees import CODES, MALIGNANT, Recorder, Scripted, committee, lesion_table, notebook
from sklearn.base import clone
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.dummy import DummyClassifier
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import LogisticRegression, Perceptron
from sklearn.model_selection import GridSearchCV, StratifiedGroupKFold, cross_val_predict
from sklearn.naive_bayes import GaussianNB

from skinensemble import Cascade, MajorityVote, SoftVote, Stage, ThresholdVote
from skinensemble.exceptions import CertificateError, InputError, MemberError, UngroupedWarning
from skinensemble.verdict import Verdict

RULES = {
    "majority": MajorityVote(),
    "soft": SoftVote(),
    "threshold": ThresholdVote(),
    "strict threshold": ThresholdVote("majority", min_sensitivity=0.96, confidence=0.9),
}


class Counting(GaussianNB):
    """Counts the samples that it is shown once it is trained."""

    def fit(self, X, y, sample_weight=None):
        self.counts = []
        return super().fit(X, y, sample_weight)

    def prepare(self, X):
        if hasattr(self, "counts"):
            self.counts.append(len(X))
        return X

    def predict_proba(self, X):
        self.counts.append(len(X))
        return super().predict_proba(X)


@pytest.fixture(scope="module")
def data():
    return lesion_table(200)


@pytest.fixture(scope="module")
def fresh():
    return lesion_table(200, seed=5)


@pytest.fixture(scope="module", params=RULES.values(), ids=RULES)
def cascade(request, data):
    X, y, lesions = data
    rule = request.param
    pool = rule if isinstance(rule, MajorityVote) else "soft"
    stages = Stage(committee(), voting=rule, cv=3), Stage(committee(), voting=pool, cv=3)
    return Cascade(*stages, random_state=0).fit(X, y, groups=lesions)


@pytest.fixture
def plain(data):
    X, y, lesions = data
    return Cascade(Stage(committee(), cv=3), random_state=0).fit(X, y, groups=lesions)


def test_probabilities_are_joint(cascade, fresh):
    X = fresh[0]
    proba, malignant = cascade.predict_proba(X), cascade.malignant_mask_
    assert cascade.classes_[malignant].tolist() == list(MALIGNANT)
    np.testing.assert_allclose(proba.sum(axis=1), 1, rtol=0, atol=1e-12)
    joint = proba[:, malignant].sum(axis=1)
    np.testing.assert_allclose(joint, cascade.malignant_proba(X), rtol=0, atol=1e-12)


def test_p_of_a_type_is_p_of_its_side_times_p_given_the_side(cascade, fresh):
    X = fresh[0]
    types, side = cascade.diagnosis_.predict_proba(X), cascade.triage_.predict_proba(X)
    for k, malignant in enumerate(cascade.malignant_mask_):
        total = types[:, cascade.malignant_mask_ == malignant].sum(axis=1)
        sure = total > 0
        expected = side[:, int(malignant)] * types[:, k] / np.where(sure, total, 1)
        np.testing.assert_allclose(cascade.predict_proba(X)[sure, k], expected[sure], atol=1e-12)


def test_predict_never_contradicts_the_triage(cascade, fresh):
    X = fresh[0]
    found = np.isin(cascade.predict(X), MALIGNANT)
    np.testing.assert_array_equal(found, cascade.predict_malignant(X))
    np.testing.assert_array_equal(found, cascade.triage_.predict(X) == "malignant")


def test_predict_is_the_best_type_of_its_side(cascade, fresh):
    X = fresh[0]
    types = cascade.diagnosis_.predict_proba(X)
    chosen = np.searchsorted(cascade.classes_, cascade.predict(X))
    same_side = cascade.malignant_mask_ == cascade.malignant_mask_[chosen][:, None]
    best = np.where(same_side, types, -1).max(axis=1)
    np.testing.assert_allclose(types[np.arange(len(X)), chosen], best, rtol=0, atol=1e-9)


def test_verdicts_follow_the_two_stages(cascade, fresh):
    X = fresh[0]
    verdicts = cascade.verdicts(X)
    found, proba = cascade.predict_malignant(X), cascade.predict_proba(X)
    votes = cascade.triage_.votes(cascade.triage_.ballots(X))
    assert len(verdicts) == len(X)
    assert [v.malignant for v in verdicts] == found.tolist()
    np.testing.assert_array_equal([v.p_malignant for v in verdicts], cascade.malignant_proba(X))
    assert [v.triage_votes for v in verdicts] == votes
    for verdict, label, row in zip(verdicts, cascade.predict(X), proba, strict=True):
        side = "malignant" if verdict.malignant else "benign"
        same = [vote == side for vote in verdict.triage_votes.values()]
        assert verdict.agreement == pytest.approx(np.mean(same))
        if not verdict.malignant:
            assert (verdict.diagnosis, verdict.p_diagnosis) == (None, None)
            assert verdict.diagnosis_votes == {}
            continue
        assert verdict.diagnosis == label in MALIGNANT
        assert set(verdict.diagnosis_votes) == {"linear", "bayes", "lda"}
        given = row[cascade.classes_ == label][0]
        if verdict.p_malignant:
            assert verdict.p_diagnosis * verdict.p_malignant == pytest.approx(given, abs=1e-12)


def test_the_diagnosis_is_asked_only_for_what_was_found_malignant(data, fresh):
    X, y, lesions = data
    notes, book = notebook()
    stages = Stage(committee(), cv=3), Stage([("one", Recorder(book))], cv=3)
    cascade = Cascade(*stages).fit(X, y, groups=lesions)
    notes.clear()
    verdicts = cascade.verdicts(fresh[0])
    ((_, asked),) = notes
    found = [v.malignant for v in verdicts]
    assert 0 < sum(found) < len(found)
    np.testing.assert_array_equal(asked, fresh[0][found])


def constant(side):
    """A triage that always says the same, in front of a diagnosis that notes what it is asked."""
    notes, book = notebook()
    triage = Stage([("one", DummyClassifier(strategy="constant", constant=side))], cv=2)
    return Cascade(triage, Stage([("two", Recorder(book))], cv=2)), notes


def test_all_benign_stops_everything(data, fresh):
    X, y, lesions = data
    cascade, notes = constant("benign")
    cascade.fit(X, y, groups=lesions)
    notes.clear()
    assert not any(v.malignant for v in cascade.verdicts(fresh[0]))
    assert notes == []
    assert not np.isin(cascade.predict(fresh[0]), MALIGNANT).any()
    assert (cascade.predict_proba(fresh[0])[:, cascade.malignant_mask_] == 0).all()


def test_all_malignant_sends_everything_on(data, fresh):
    X, y, lesions = data
    cascade, notes = constant("malignant")
    cascade.fit(X, y, groups=lesions)
    notes.clear()
    verdicts = cascade.verdicts(fresh[0])
    assert all(v.malignant and v.diagnosis in MALIGNANT for v in verdicts)
    np.testing.assert_array_equal(notes[0][1], fresh[0])


def test_one_sample_gets_the_verdict_it_gets_among_others(cascade, fresh):
    X = fresh[0][:20]
    alone = [str(cascade.verdicts(X[[i]])[0]) for i in range(20)]
    assert [str(verdict) for verdict in cascade.verdicts(X)] == alone


def test_a_verdict_reads_well(plain, fresh):
    texts = [str(v) for v in plain.verdicts(fresh[0])]
    assert any(
        re.fullmatch(r"benign \(p malignant = 0.*, \d of \d members say benign\)", t) for t in texts
    )
    assert any(t.startswith("malignant (p malignant = ") and "): mel (p = " in t for t in texts)


def test_a_probability_can_be_told_from_its_threshold():
    verdict = Verdict(malignant=True, p_malignant=2.4e-7, threshold=1.64e-8)
    assert str(verdict) == "malignant (p malignant = 2.4e-07, threshold 1.64e-08)"
    assert str(replace(verdict, p_malignant=0.0, malignant=False, threshold=None)) == (
        "benign (p malignant = 0.000)"
    )


def test_both_stages_hold_out_the_same_lesions(cascade, data):
    np.testing.assert_array_equal(cascade.triage_.folds_, cascade.diagnosis_.folds_)
    for fold in np.unique(cascade.triage_.folds_):
        held_out = cascade.triage_.folds_ == fold
        assert not set(data[2][held_out]) & set(data[2][~held_out])


@pytest.mark.parametrize(
    "cv", [StratifiedGroupKFold(3), StratifiedGroupKFold(3, shuffle=True), np.int64(2), None]
)
def test_one_splitter_gives_both_the_same_folds(data, cv):
    X, y, lesions = data
    stages = Stage(committee()[:1], cv=cv), Stage(committee()[:1], cv=cv)
    cascade = Cascade(*stages).fit(X, y, groups=lesions)
    np.testing.assert_array_equal(cascade.triage_.folds_, cascade.diagnosis_.folds_)


@pytest.mark.parametrize("other", [2, StratifiedGroupKFold(3, shuffle=True, random_state=1)])
def test_stages_that_would_hold_out_other_lesions_are_refused_before_training(data, other):
    X, y, lesions = data
    notes, book = notebook()
    stages = Stage([("one", Recorder(book))], cv=3), Stage(committee(), cv=other)
    text = r"^folds: cv=3 and cv=.* – the ballots of both stages .* – give both stages the same cv"
    with pytest.raises(InputError, match=text):
        Cascade(*stages).fit(X, y, groups=lesions)
    assert notes == []


def test_a_members_columns_are_mapped_by_label_in_both_stages(data, fresh):
    X, y, lesions = data
    turned, straight = (
        Cascade(Stage([("m", Scripted(act)), *committee()], cv=3), random_state=0)
        .fit(X, y, groups=lesions)
        .predict_proba(fresh[0])
        for act in ("reverse", "")
    )
    np.testing.assert_array_equal(turned, straight)


@pytest.mark.parametrize(
    "malignant",
    [["mel"], ("mel", "bcc"), np.array(["nv"]), lambda classes: classes > "bz"],
)
def test_malignant_is_what_the_user_says(data, malignant):
    X, y, lesions = data
    cascade = Cascade(Stage(committee()[:1], cv=2), malignant=malignant)
    cascade.fit(X, y, groups=lesions)
    by_hand = malignant(CODES) if callable(malignant) else [c in malignant for c in CODES]
    assert cascade.malignant_mask_.tolist() == list(by_hand)
    truth = np.isin(y, CODES[by_hand])
    np.testing.assert_array_equal(cascade.triage_.targets_ == 1, truth)


@pytest.mark.parametrize(
    ("malignant", "text"),
    [
        (["melanoma"], "every class in y is benign"),
        (CODES.tolist(), "every class in y is malignant"),
        (lambda classes: [True], "shape .* for 5 classes – return one boolean per class"),
    ],
)
def test_a_side_without_classes_is_refused(data, malignant, text):
    X, y, lesions = data
    with pytest.raises(InputError, match=f"^malignant: .+{text}"):
        Cascade(Stage(committee()), malignant=malignant).fit(X, y, groups=lesions)


def test_a_failing_member_of_either_stage_is_named(data):
    X, y, lesions = data
    good, bad = Stage(committee(), cv=2), Stage([("odd", Scripted("raise"))], cv=2)
    for stages in ((good, bad), (bad, good)):
        with pytest.raises(MemberError, match="member: odd – ZeroDivisionError in fit"):
            Cascade(*stages).fit(X, y, groups=lesions)


def test_without_groups_it_warns_once(data):
    X, y, _ = data
    with pytest.warns(UngroupedWarning) as caught:
        Cascade(Stage(committee()[:2], cv=2)).fit(X, y)
    assert len(caught) == 1


def test_certify_on_fresh_lesions(plain, data, fresh):
    assert plain.certificate_ is None
    certificate = plain.certify(*fresh[:2], groups=fresh[2], min_sensitivity=0.9)
    assert (certificate.kind, certificate.n_malignant) == ("held-out", 120)
    assert plain.certificate_ is certificate
    found = plain.malignant_proba(fresh[0]) >= certificate.threshold
    np.testing.assert_array_equal(plain.predict_malignant(fresh[0]), found)
    with pytest.raises(InputError, match=r"samples: rows 0, 1, .* trained on these samples"):
        plain.certify(*data[:2], groups=data[2])
    with pytest.raises(InputError, match="labels: scc – the cascade knows akiec, bcc, bkl, mel"):
        plain.certify(fresh[0], np.full(len(fresh[0]), "scc"), groups=fresh[2])
    few = np.isin(fresh[2], np.unique(fresh[2])[:20])
    with pytest.raises(CertificateError, match="cannot prove it, 59 are needed"):
        plain.certify(fresh[0][few], fresh[1][few], groups=fresh[2][few])
    assert plain.certificate_ is certificate


def test_nested_parameters_and_clone():
    cascade = Cascade(Stage(committee(), voting=ThresholdVote()), random_state=3)
    cascade.set_params(triage__linear__C=5.0, triage__voting__min_sensitivity=0.9, random_state=1)
    copy = clone(cascade)
    assert copy.get_params()["triage__linear__C"] == 5.0
    assert copy.triage.voting.min_sensitivity == 0.9
    assert (copy.random_state, copy.diagnosis) == (1, None)
    assert "linear" in copy._repr_html_()
    assert not hasattr(copy, "classes_")


def test_parameters_are_left_as_they_were(data):
    X, y, lesions = data
    cascade = Cascade(Stage(committee(), cv=3), random_state=0)
    before = repr(cascade.get_params())
    cascade.fit(X, y, groups=lesions)
    assert repr(cascade.get_params()) == before
    assert not hasattr(cascade.triage, "classes_")


def test_the_seed_decides(data, fresh):
    X, y, lesions = data

    def proba(seed):
        cascade = Cascade(Stage(committee(), cv=3), random_state=seed)
        return cascade.fit(X, y, groups=lesions).triage_.ballots_

    np.testing.assert_array_equal(proba(0), proba(0))
    assert (proba(0) != proba(1)).any()


@pytest.mark.parametrize("seeds", [(0, 0), (0, None), (None, 0)], ids=str)
def test_without_a_seed_of_its_own_the_folds_are_by_that_of_a_stage(data, seeds):
    X, y, lesions = data

    def folds():
        stages = [Stage([("bayes", GaussianNB())], cv=3, random_state=seed) for seed in seeds]
        return Cascade(*stages).fit(X, y, groups=lesions).triage_.folds_

    np.testing.assert_array_equal(folds(), folds())


@pytest.mark.filterwarnings("ignore::skinensemble.exceptions.UngroupedWarning")
def test_it_works_inside_scikit_learn(data):
    X, y, lesions = data
    cascade = Cascade(Stage([("linear", LogisticRegression()), ("nb", GaussianNB())], cv=2))
    folds = StratifiedGroupKFold(2)
    guessed = cross_val_predict(cascade, X, y, groups=lesions, cv=folds)
    assert np.mean(guessed == y) > 0.5
    grid = {"triage__voting": ["majority", "soft"], "triage__linear__C": [1.0]}
    search = GridSearchCV(cascade, grid, cv=folds).fit(X, y, groups=lesions)
    assert search.best_estimator_.triage_.voting_ is not None
    assert search.best_params_["triage__voting"] in {"majority", "soft"}
    assert len(search.cv_results_["params"]) == 2


@pytest.mark.parametrize("calibration", ["temperature", "isotonic", "platt"])
def test_the_members_of_a_calibrated_triage_diagnose(data, fresh, calibration):
    X, y, lesions = data
    stage = Stage(committee(), cv=3, calibration=calibration)
    cascade = Cascade(stage, random_state=0).fit(X, y, groups=lesions)
    assert cascade.triage_.voting_.method == calibration
    assert cascade.diagnosis_.voting_.method == "temperature"
    np.testing.assert_allclose(cascade.predict_proba(fresh[0]).sum(axis=1), 1)


def test_pickle(plain, fresh):
    back = pickle.loads(pickle.dumps(plain))
    np.testing.assert_array_equal(back.predict_proba(fresh[0]), plain.predict_proba(fresh[0]))


def test_what_cannot_be_trained_is_known_before_the_triage_is(data):
    X, y, lesions = data
    notes, told = notebook()
    triage, diagnosis = Stage([("a", Recorder(told))]), Stage([("b", Perceptron())])
    with pytest.raises(InputError, match=r"members: b .*predict_proba"):
        Cascade(triage, diagnosis).fit(X, y, groups=lesions)
    with pytest.raises(InputError, match="members"):
        Cascade(Stage([Recorder(told)])).fit(X, y, groups=lesions)
    with pytest.raises(InputError, match=r"lengths: sample_weight \(3\)"):
        Cascade(triage).fit(X, y, groups=lesions, sample_weight=[1, 1, 1])
    assert notes == []


class Unprepared(GaussianNB):
    """A classifier that must not be shown any image."""

    def prepare(self, X):
        raise AssertionError("prepared")


LDA = Stage([("lda", LinearDiscriminantAnalysis())])
UNUSABLE = {
    "negative": (-1.0, {}, "sample_weight: array.* – Negative values .* – pass one"),
    "NaN": (np.nan, {}, "sample_weight: array.*NaN – pass one number"),
    "text": ("a", {}, "sample_weight: array.*'a'"),
    "unheeded": (1.0, {"diagnosis": LDA}, "member: lda – fit of LinearDiscriminantAnalysis takes"),
    "seed": (1.0, {"random_state": -1}, "random_state: -1 – neither an integer from 0 on"),
    "a stage's": (1.0, {"diagnosis__random_state": "x"}, "random_state: 'x' – neither an integer"),
}


@pytest.mark.parametrize("case", UNUSABLE)
def test_weights_and_seeds_that_cannot_be_used_are_known_before_any_image_is(data, case):
    X, y, lesions = data
    weight, params, text = UNUSABLE[case]
    triage = Stage([("a", Unprepared())])
    cascade = Cascade(triage, Stage([("b", GaussianNB())])).set_params(**params)
    with pytest.raises(InputError, match=text):
        cascade.fit(X, y, groups=lesions, sample_weight=np.full(len(y), weight))


class Interrupted(GaussianNB):
    """A classifier whose training someone stops, when it is told so."""

    now = False

    def fit(self, X, y, sample_weight=None):
        if Interrupted.now:
            raise KeyboardInterrupt
        return super().fit(X, y, sample_weight)


@pytest.mark.parametrize("voting", ["soft", None], ids=["shared members", "own"])
def test_a_fit_that_fails_leaves_nothing_that_answers(data, voting, monkeypatch):
    X, y, lesions = data
    stages = {"triage": voting, "diagnosis": Stage([("odd", Interrupted())], cv=2)}
    if voting is None:
        stages["triage"] = Stage(committee(), cv=2)
    cascade = Cascade(**stages, random_state=0).fit(X, y, groups=lesions)
    monkeypatch.setattr(Interrupted, "now", True)
    cascade.set_params(malignant=["nv"])
    for one in (cascade, clone(cascade)):
        with pytest.raises(KeyboardInterrupt):
            one.fit(X, y, groups=lesions)
        with pytest.raises(NotFittedError):
            one.verdicts(X)


@pytest.mark.parametrize(
    ("stages", "text"),
    [
        (
            {"triage": GaussianNB()},
            r"triage: GaussianNB\(\) – neither a Stage nor a voting rule – ",
        ),
        ({"triage": committee()}, r"triage: \[\('linear', .* – neither a Stage nor a voting rule"),
        ({"diagnosis": GaussianNB()}, r"diagnosis: GaussianNB\(\) – not a Stage – pass such as"),
        ({"triage": "soft", "diagnosis": "soft"}, "diagnosis: 'soft' – not a Stage – pass such as"),
    ],
    ids=str,
)
def test_what_is_no_stage_is_refused(data, stages, text):
    X, y, lesions = data
    with pytest.raises(InputError, match=f"^{text}"):
        Cascade(**stages).fit(X, y, groups=lesions)


def test_tables_of_folds_that_read_alike_are_told_apart():
    n = 3000
    X, y, lesions = np.zeros((n, 2)), np.where(np.arange(n) % 2, "mel", "nv"), np.arange(n)
    rows, first = np.arange(n), np.arange(n) // 500 % 2 == 0
    other = first.copy()
    other[[1200, 1700]] = ~other[[1200, 1700]]
    tables = [[(rows[~one], rows[one]), (rows[one], rows[~one])] for one in (first, other)]
    assert repr(tables[0]) == repr(tables[1])
    stages = [Stage(committee(), cv=table) for table in tables]
    with pytest.raises(InputError, match="must hold out the same lesions"):
        Cascade(*stages, malignant=["mel"]).fit(X, y, groups=lesions)


@pytest.mark.parametrize("route", ["soft", "hard"])
def test_the_diagnosis_computes_on_no_more_than_it_is_asked_about(data, fresh, route):
    X, y, lesions = data
    stages = (Stage([("a", Counting())], cv=3) for _ in range(2))
    cascade = Cascade(*stages, route=route, random_state=0).fit(X, y, groups=lesions)
    new = fresh[0]
    found = int(cascade.predict_malignant(new).sum())
    assert 0 < found < len(new)
    for ask in (cascade.verdicts, cascade.predict, cascade.predict_proba):
        counts = cascade.diagnosis_.members_[0].counts
        counts.clear()
        ask(new)
        everything = route == "soft" and ask != cascade.verdicts
        assert max(counts) == (len(new) if everything else found)
