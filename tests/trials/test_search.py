"""Successive halving never splits a lesion, keeps the better ones and gives what a stage gives."""

from __future__ import annotations

import csv
from dataclasses import replace
from functools import partial

import numpy as np
import pytest
from committees import Recorder, Scripted, committee, lesion_table, notebook
from hypothesis import given
from hypothesis import strategies as st
from joblib import parallel_config
from PIL import Image
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.datasets import load_breast_cancer
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.metrics import balanced_accuracy_score, log_loss, roc_auc_score
from sklearn.model_selection import StratifiedGroupKFold
from sklearn.naive_bayes import GaussianNB
from sklearn.neighbors import KNeighborsClassifier

from skinensemble import GreedyVote, SearchResult, Stage, search
from skinensemble.exceptions import ImageReadError, InputError, MemberError, UngroupedWarning
from skinensemble.images import as_images
from skinensemble.trials import _result
from skinensemble.trials._scoring import judge
from skinensemble.trials._search import plan_rungs
from skinensemble.trials._trial import TrialData

X, Y, LESIONS = lesion_table(150)


def shrunk(*shrinkages: float) -> list:
    return [
        (f"lda {s}", LinearDiscriminantAnalysis(solver="lsqr", shrinkage=s)) for s in shrinkages
    ]


TEN = [*committee(), *shrunk(0.1, 0.3, 0.5, 0.7, 0.9, 0.95, 0.99)]


@pytest.fixture(scope="module")
def found() -> SearchResult:
    return search(TEN, X, Y, groups=LESIONS, n_finalists=3)


@given(
    n=st.integers(1, 500),
    finalists=st.integers(1, 20),
    factor=st.floats(1.5, 5),
    least=st.floats(0.02, 1),
)
def test_rungs_grow_in_lesions_and_shrink_in_candidates(n, finalists, factor, least):
    rungs = plan_rungs(n, finalists, factor, least)
    shares, sizes = zip(*rungs, strict=True)
    assert shares[-1] == 1 and all(share >= least for share in shares)
    assert sizes[0] == n and (len(rungs) == 1 or sizes[-1] == finalists)
    np.testing.assert_allclose(np.divide(shares[1:], shares[:-1]), factor)
    assert all(np.diff(sizes) < 0)
    assert len(rungs) == 1 or n > finalists


@given(
    counts=st.lists(st.integers(6, 40), min_size=2, max_size=4),
    images=st.integers(1, 3),
    seed=st.integers(0, 1000),
)
def test_shares_are_nested_hold_every_class_and_split_no_lesion(counts, images, seed):
    kind = np.repeat(np.arange(len(counts)), counts)
    lesions = np.repeat(np.arange(len(kind)), images)
    folds = (np.arange(len(kind)) % 3)[lesions]
    data = TrialData(None, np.arange(len(counts)), kind[lesions], lesions, folds, None, None, seed)
    before: set[int] = set()
    for share in (0.05, 0.2, 0.5, 0.99):
        ((train, held),) = data.parts(share)
        assert before <= set(train.tolist())
        assert set(lesions[train]).isdisjoint(lesions[held])
        of_class = [len(set(lesions[train][kind[lesions[train]] == k])) for k in data.classes]
        available = [len(set(lesions[(folds != 0) & (kind[lesions] == k)])) for k in data.classes]
        assert of_class == [max(2, int(np.ceil(share * n - 1e-9))) for n in available]
        before = set(train.tolist())
    whole = data.parts(1)
    assert before <= set(whole[0][0].tolist())
    assert np.array_equal(np.sort(np.concatenate([held for _, held in whole])), data.judged(1))


def test_the_better_ones_go_on(found):
    by_share: dict[float, dict[str, float]] = {}
    for trial in found.trials:
        truth = found.data.targets[found.data.judged(trial.share)]
        by_share.setdefault(trial.share, {})[trial.name] = -log_loss(truth, trial.ballots)
    (few, first), (whole, last) = sorted(by_share.items())
    assert few == pytest.approx(1 / 3) and whole == 1 and len(first) == 10 and len(last) == 3
    assert set(last) == set(sorted(first, key=first.__getitem__)[-3:])
    assert found.finalists == sorted(last, key=last.__getitem__, reverse=True)
    assert found.best_name == found.finalists[0]


def test_the_committee_is_the_stage_of_the_same_members(found):
    voted = found.committee("soft")
    stage = Stage(voted.members, voting="soft", random_state=0).fit(X, Y, groups=LESIONS)
    assert [name for name, _ in voted.members] == found.chosen()
    np.testing.assert_array_equal(voted.ballots_, stage.ballots_)
    np.testing.assert_array_equal(voted.folds_, stage.folds_)
    np.testing.assert_array_equal(voted.digests_, stage.digests_)
    np.testing.assert_array_equal(voted.lesion_digests_, stage.lesion_digests_)
    np.testing.assert_array_equal(voted.predict_proba(X), stage.predict_proba(X))


def test_a_committee_of_members_that_differ():
    halves = [(f"half {i}", _Half(columns)) for i, columns in enumerate(([0, 1], [2, 3]))]
    two = search([*halves, ("raises", Scripted("raise"))], X, Y, groups=LESIONS)
    assert len(two.chosen()) == 2
    assert two.committee_score.value > two.leaderboard[0].score
    stage = two.committee()
    np.testing.assert_allclose(stage.voting_.weights_, [two.weights[name] for name in two.chosen()])
    assert [name for name, _ in stage.members] == two.chosen()
    assert two.compare(n_resamples=50).beats_best


class _Half(ClassifierMixin, BaseEstimator):
    """Naive Bayes that sees some of the columns."""

    def __init__(self, columns):
        self.columns = columns

    def fit(self, X, y):
        self.fitted_ = GaussianNB().fit(X[:, self.columns], y)
        self.classes_ = self.fitted_.classes_
        return self

    def predict_proba(self, X):
        return self.fitted_.predict_proba(X[:, self.columns])


def test_selection_beats_or_equals_the_best_finalist_on_its_own_ballots(found):
    weights = np.array([found.weights[name] for name in found.finalists])
    assert weights.sum() == pytest.approx(1)
    pooled = np.einsum("nmk,m->nk", found.ballots, weights)
    assert -log_loss(found.data.targets, pooled) >= found.leaderboard[0].score - 1e-12


def test_the_committee_is_judged_on_folds_that_had_no_say(found):
    """Labels at random: what was selected on them looks better than it is."""
    rng = np.random.default_rng(0)
    noise = rng.permutation(150)[np.unique(LESIONS, return_inverse=True)[1]] % 2
    members = shrunk(0.01, 0.2, 0.4, 0.6, 0.8)
    lost = search(members, X, noise, groups=LESIONS, scoring="roc_auc", n_finalists=5)
    weights = np.array([lost.weights[name] for name in lost.finalists])
    fitted = np.einsum("nmk,m->nk", lost.ballots, weights)[:, 1]
    assert lost.committee_score.value < roc_auc_score(noise, fitted)
    assert found.committee_score.low < found.committee_score.value < found.committee_score.high


def test_fewer_candidates_than_finalists_all_get_ballots():
    whole = search(committee(), X, Y, groups=LESIONS, cv=3)
    assert sorted(whole.finalists) == sorted(name for name, _ in committee())
    assert {trial.share for trial in whole.trials} == {1.0}
    assert whole.ballots.shape == (len(Y), 3, 5)


def test_no_candidate_sees_the_lesions_it_is_judged_on():
    notes, keep = notebook()
    candidates = [(f"r{i}", Recorder(keep)) for i in range(4)]
    search(candidates, X, Y, groups=LESIONS, n_finalists=1, cv=3)
    waiting, fits = [], 0
    for kind, part, *rest in notes:
        lesions = np.unique(LESIONS, return_inverse=True)[1][_rows(part)]
        if kind == "fit":
            np.testing.assert_array_equal(rest[1]["groups"], lesions)
            waiting.append(set(lesions))
            fits += 1
        else:
            assert waiting.pop(0).isdisjoint(lesions)
    assert fits == 4 + 3


def _rows(part: np.ndarray) -> np.ndarray:
    index = {row.tobytes(): i for i, row in enumerate(X)}
    return np.array([index[row.tobytes()] for row in part])


@pytest.mark.parametrize("scoring", ["accuracy", "balanced_accuracy", "brier", "roc_auc"])
def test_scores_are_those_of_scikit_learn(scoring):
    whole = search(committee(), X, Y, groups=LESIONS, cv=2, scoring=scoring)
    reference = {
        "accuracy": lambda y, p: np.mean(p.argmax(axis=1) == y),
        "balanced_accuracy": lambda y, p: balanced_accuracy_score(y, p.argmax(axis=1)),
        "brier": lambda y, p: -np.mean(np.sum((p - np.eye(5)[y]) ** 2, axis=1)),
        "roc_auc": lambda y, p: roc_auc_score(y, p, multi_class="ovr"),
    }[scoring]
    for i, place in enumerate(whole.leaderboard):
        assert place.score == pytest.approx(reference(whole.data.targets, whole.ballots[:, i]))
        assert place.low < place.score < place.high


def test_a_score_of_ones_own():
    def share_right(y, proba):
        return float(np.mean(proba.argmax(axis=1) == y))

    def in_place(y, proba):
        score = share_right(y, proba)
        proba[:] = 1 / proba.shape[1]
        return score

    own = search(committee(), X, Y, groups=LESIONS, cv=2, scoring=share_right)
    spoilt = search(committee(), X, Y, groups=LESIONS, cv=2, scoring=in_place)
    np.testing.assert_array_equal(spoilt.ballots, own.ballots)
    named = search(committee(), X, Y, groups=LESIONS, cv=2, scoring="accuracy")
    for one, other in zip(own.leaderboard, named.leaderboard, strict=True):
        assert (one.name, one.low) == (other.name, pytest.approx(other.low))
    assert "3 candidates by share_right, higher is better" in str(own)
    with pytest.raises(InputError, match=r"scoring: bad = 'high' – it is to return a finite num"):
        search(committee(), X, Y, groups=LESIONS, cv=2, scoring=_bad).leaderboard  # noqa: B018


def _bad(y, proba):
    return "high"


_bad.__name__ = "bad"


def test_order_and_workers_change_nothing(found):
    for candidates, n_jobs in ((TEN[::-1], None), (TEN, 2)):
        again = search(candidates, X, Y, groups=LESIONS, n_finalists=3, n_jobs=n_jobs)
        assert sorted(again.finalists) == sorted(found.finalists)
        np.testing.assert_array_equal(again.ballots, found.ballots)


@pytest.mark.slow
def test_processes_change_nothing(found):
    with parallel_config(backend="loky", n_jobs=2):
        again = search(TEN, X, Y, groups=LESIONS, n_finalists=3)
    np.testing.assert_array_equal(again.ballots, found.ballots)


def test_failures_are_on_the_leaderboard():
    broken = [("raises", Scripted("raise")), ("nan", Scripted("nan"))]
    mixed = search([*TEN, *broken], X, Y, groups=LESIONS, n_finalists=3)
    failed = {place.name: place.error for place in mixed.leaderboard if place.rank is None}
    assert failed["raises"].startswith("ZeroDivisionError in fit: no such luck")
    assert failed["nan"].startswith("predict_proba gave NaN for 2 samples")
    assert set(failed) == {"raises", "nan"}
    assert "Failed: " in str(mixed) and "raises: ZeroDivisionError" in str(mixed)
    alone = search(TEN, X, Y, groups=LESIONS, n_finalists=3)
    np.testing.assert_array_equal(mixed.ballots, alone.ballots)


def test_all_failing_is_an_error():
    with pytest.raises(MemberError, match=r"candidates: .*raises: ZeroDivisionError.* – every one"):
        search([("raises", Scripted("raise"))], X, Y, groups=LESIONS)


def test_the_leaderboard_reads_and_is_written(found, tmp_path):
    text = str(found)
    assert text.startswith("10 candidates by neg_log_loss, higher is better (")
    assert f"| 1. {found.best_name}" in text and "|       33 % |" in text
    shares = np.unique(Y, return_counts=True)[1] / len(Y)
    chance = -log_loss(Y, np.tile(shares, (len(Y), 1)))
    assert (
        f"\n\nTo answer the share of each class, whatever the image, scores {chance:.3f}." in text
    )
    assert "Committee by greedy selection: " in text and "judged on it: -0." in text
    path = tmp_path / "leaderboard.csv"
    found.to_csv(path)
    with path.open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [row["name"] for row in rows] == [place.name for place in found.leaderboard]
    assert float(rows[0]["score"]) == found.leaderboard[0].score
    assert rows[-1]["low"] == "" and rows[-1]["outcome"] == "out"
    assert sum(float(row["weight"]) for row in rows) == pytest.approx(1)


@pytest.mark.parametrize("most", [None, 2, 1])
def test_the_committee_is_as_small_as_wanted_and_what_was_said_of_it(most):
    """The heaviest is not the best alone: greedy weights make up for what others lack."""
    X, y = load_breast_cancer(return_X_y=True)
    own = [
        ("w", GaussianNB(var_smoothing=1e-3)),
        ("x", GaussianNB()),
        ("k", KNeighborsClassifier(15)),
    ]
    few = search(own, X, y, groups=np.arange(len(y)), cv=3, max_members=most)
    assert len(few.chosen()) <= (most or 3)
    stage = few.committee()
    weights = dict(zip(stage.named_members_, stage.voting_.weights_, strict=True))
    assert weights == {name: weight for name, weight in few.weights.items() if weight}
    assert {place.name: place.weight for place in few.leaderboard} == few.weights
    if most == 1:
        assert few.chosen() == few.finalists[:1] != replace(few, max_members=None).chosen()[:1]
        assert few.committee_score.value == few.leaderboard[0].score
        assert "max_members=1" in few.compare(n_resamples=20).vote.name


def test_of_two_the_better_two_are_left():
    every = search(committee(), X, Y, groups=LESIONS, cv=2, scoring="brier")
    few = replace(every, max_members=2)
    proba = np.einsum("smk,m->sk", few.ballots, list(few.weights.values()))
    pairs = [every.ballots[:, [i, j]].mean(axis=1) for i, j in ((0, 1), (0, 2), (1, 2))]
    assert judge("brier", every.data.targets, proba) >= max(
        judge("brier", every.data.targets, pair) for pair in pairs
    )


def test_a_committee_of_other_precision_than_its_ballots_is_refused():
    found = search(committee(), X, Y, groups=LESIONS, cv=2)
    coarse = replace(found, data=replace(found.data, precision="bfloat16"))
    with pytest.raises(
        InputError, match=r"'float32' – .* were cast in bfloat16 – call committee w"
    ):
        coarse.committee()


def test_the_comparison_asks_the_finalists(found):
    comparison = found.compare(n_resamples=50)
    assert [row.name for row in comparison.rows if row.kind == "member"] == found.finalists
    assert comparison.vote.name == "greedy"


def test_lesions_that_are_not_given_are_a_warning():
    with pytest.warns(UngroupedWarning, match="groups: not given") as caught:
        search(committee(), X, Y, cv=2)
    assert caught[0].filename == __file__


@pytest.mark.parametrize(
    ("changed", "text"),
    [
        ({"candidates": []}, r"candidates: \[\] – the search space is empty – pass \[\("),
        ({"candidates": GaussianNB()}, r"candidates: GaussianNB\(\) – not a list of candidates"),
        ({"candidates": [("one", object())]}, r"members: one – no predict_proba"),
        ({"scoring": "f1"}, r"scoring: 'f1' – not a score: the names are accuracy, balanced"),
        ({"n_finalists": 0}, r"n_finalists: 0 – not a whole number from 1"),
        ({"max_members": 0}, r"max_members: 0 – not a whole number from 1"),
        ({"max_members": 1.5}, r"max_members: 1.5 – not a whole number from 1"),
        ({"factor": 1}, r"factor: 1 – the lesions have to grow from rung to rung"),
        ({"factor": 10**400}, r"factor: 1000.* – the lesions have to grow from rung to rung"),
        ({"n_jobs": 0}, r"n_jobs: 0 – not a number of processes – pass None"),
        ({"random_state": -1}, r"random_state: -1 – .* – pass a whole number from 0 to 4294967295"),
        ({"min_share": 0}, r"min_share: 0 – not a share above 0"),
        ({"time_budget": 0}, r"time_budget: 0 – not a positive number of seconds"),
        ({"random_state": None}, r"random_state: None – a search that cannot be repeated"),
        ({"cv": 40}, r"folds: cv=40"),
        (
            {"cv": StratifiedGroupKFold(3, shuffle=True)},
            r"cv: Strat.*shuffle=True\) – each time it is asked it gives .* – seed the splitter",
        ),
        ({"y": ["nv"] * len(Y)}, r"y: \d+ labels – there is one class only"),
    ],
)
def test_what_cannot_be_searched_is_refused(changed, text):
    given = {"candidates": committee(), "X": X, "y": Y, "groups": LESIONS} | changed
    with pytest.raises(InputError, match=text):
        search(given.pop("candidates"), given.pop("X"), given.pop("y"), **given)


def test_names_have_to_differ():
    with pytest.raises(ValueError, match="Names provided are not unique"):
        search([*committee(), *committee()], X, Y, groups=LESIONS)


def test_a_score_that_wants_every_class_leaves_out_the_draws_without_one(monkeypatch):
    monkeypatch.setattr(_result, "_N_RESAMPLES", 60)
    monkeypatch.setattr(_result, "GreedyVote", partial(GreedyVote, n_rounds=3, n_bags=3))
    X, y, lesions = lesion_table(90, codes=["bkl", "mel", "nv"])
    few = np.isin(lesions, np.unique(lesions[y == "mel"])[3:]) & (y == "mel")
    X, y, lesions = X[~few], y[~few], lesions[~few]

    def all_against_all(y, proba):
        if len(np.unique(y)) < 3:
            raise ValueError("a class is missing")
        return roc_auc_score(y, proba, multi_class="ovr")

    for scoring in (all_against_all, "roc_auc"):
        found = search(committee()[:2], X, y, groups=lesions, cv=2, scoring=scoring)
        best = found.leaderboard[0]
        assert 0 < best.low <= best.score <= best.high <= 1
        assert "(" in str(found)


@pytest.mark.parametrize(
    ("scoring", "text"),
    [
        (
            roc_auc_score,
            r"scoring: roc_auc_score – it raised ValueError: multi_class .* – it takes",
        ),
        (balanced_accuracy_score, "scoring: balanced_accuracy_score – it raised ValueError: .*"),
        (lambda y, proba: np.nan, "scoring: <lambda> = nan – it is to return a finite number"),
    ],
)
def test_a_score_that_cannot_work_is_known_before_anything_is_trained(scoring, text):
    notes, told = notebook()
    with pytest.raises(InputError, match=text):
        search([("a", Recorder(told)), *committee()], X, Y, groups=LESIONS, scoring=scoring)
    assert notes == []


def test_a_score_that_constant_answers_do_not_have_is_not_compared_with_them():
    def slope(y, proba):
        return float(np.cov(y, proba[:, -1])[0, 1] / np.ptp(proba[:, -1]))

    found = search(committee()[:2], X, Y, groups=LESIONS, cv=2, scoring=slope)
    assert np.isnan(found.chance_score)
    assert "To answer the share" not in str(found) and "Committee by greedy" in str(found)


def test_a_rule_that_cannot_be_learnt_is_known_before_the_committee_is_trained():
    notes, told = notebook()
    found = search([("a", Recorder(told)), *committee()], X, Y, groups=LESIONS, cv=2)
    notes.clear()
    for voting, why in (("treshold", "treshold"), ("threshold", "two classes")):
        with pytest.raises(InputError, match=why):
            found.committee(voting)
    assert notes == []


class OfImages(ClassifierMixin, BaseEstimator):
    """Takes images, and notes that it is trained."""

    def __init__(self, notes):
        self.notes = notes

    def accept(self, X):
        return as_images(X)

    def fit(self, X, y):
        self.notes().append("fit")
        self.fitted_ = GaussianNB().fit(self._means(X), y)
        self.classes_ = self.fitted_.classes_
        return self

    def predict_proba(self, X):
        return self.fitted_.predict_proba(self._means(X))

    def _means(self, X):
        return np.array([X[i].mean(axis=(0, 1)) for i in range(len(X))])


def test_images_that_cannot_be_decoded_are_named_before_anything_is_trained(tmp_path):
    notes, told = notebook()
    y = np.where(np.arange(60) % 2, "nv", "mel")
    pixels = np.random.default_rng(0).integers(0, 256, (60, 32, 32, 3), dtype=np.uint8)
    paths = [tmp_path / f"{row:02}.jpg" for row in range(60)]
    for path, image in zip(paths, pixels, strict=True):
        Image.fromarray(image).save(path)
    whole = {path: path.read_bytes() for path in paths[20:50:10]}
    for path, data in whole.items():
        path.write_bytes(data[:-60])
    candidates = [(str(i), OfImages(told)) for i in range(9)]
    options = {"groups": np.arange(60), "n_finalists": 1}
    with pytest.raises(ImageReadError, match=r"3 of 60 – .*20\.jpg.*30\.jpg.*40\.jpg"):
        search(candidates, paths, y, **options)
    assert not notes
    for path, data in whole.items():
        path.write_bytes(data)
    assert search(candidates, paths, y, **options).finalists and notes


def test_folds_may_come_from_a_generator():
    folds = StratifiedGroupKFold(2)
    one, other = (
        search(committee(), X, Y, groups=LESIONS, cv=cv)
        for cv in (folds, folds.split(X, Y, LESIONS))
    )
    np.testing.assert_array_equal(one.data.folds, other.data.folds)
