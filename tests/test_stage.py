from __future__ import annotations

from itertools import pairwise

import numpy as np
import pandas as pd
import pytest
from committees import Recorder, Scripted, committee, lesion_table, notebook
from sklearn.base import clone
from sklearn.ensemble import RandomForestClassifier
from sklearn.exceptions import NotFittedError
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, StratifiedGroupKFold
from sklearn.naive_bayes import GaussianNB
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skinensemble import (
    CalibratedVote,
    CollapsedMember,
    MajorityVote,
    SoftVote,
    Stage,
    ThresholdVote,
    load,
)
from skinensemble.exceptions import InputError, MemberError, MemberWarning, UngroupedWarning
from skinensemble.persistence import save
from skinensemble.voting import check_ballots

TWO = np.array(["benign", "malignant"])


@pytest.fixture(scope="module")
def data():
    return lesion_table()


@pytest.fixture(scope="module")
def two():
    return lesion_table(codes=TWO)


@pytest.fixture(scope="module")
def stage(data):
    X, y, lesions = data
    return Stage(committee(), cv=3, random_state=0).fit(X, y, groups=lesions)


def test_out_of_fold_ballots_are_those_of_a_loop_over_the_folds(data, stage):
    X, y, _ = data
    for m, (_, member) in enumerate(committee()):
        for fold in range(3):
            test = stage.folds_ == fold
            alone = clone(member).fit(X[~test], y[~test])
            expected = alone.predict_proba(X[test])
            np.testing.assert_allclose(stage.ballots_[test, m], expected, rtol=0, atol=1e-12)


def test_members_that_stay_saw_everything(data, stage):
    X, y, _ = data
    for m, (name, member) in enumerate(committee()):
        expected = clone(member).fit(X, y).predict_proba(X)
        np.testing.assert_allclose(stage.ballots(X)[:, m], expected, rtol=0, atol=1e-12)
        assert stage.named_members_[name] is stage.members_[m]


def test_without_refit_the_members_of_the_folds_vote_together(data, tmp_path):
    X, y, lesions = data
    notes, share = notebook()
    members = [("linear", LogisticRegression(max_iter=500)), ("noted", Recorder(share))]
    stage = Stage(members, cv=3, refit=False, random_state=0).fit(X, y, groups=lesions)
    assert len([note for note in notes if note[0] == "fit"]) == 3
    fitted = [
        clone(members[0][1]).fit(X[stage.folds_ != fold], y[stage.folds_ != fold])
        for fold in range(3)
    ]
    expected = np.mean([one.predict_proba(X) for one in fitted], axis=0)
    np.testing.assert_allclose(stage.ballots(X)[:, 0], expected, rtol=0, atol=1e-12)
    for fold, one in enumerate(fitted):
        held_out = stage.folds_ == fold
        np.testing.assert_allclose(stage.ballots_[held_out, 0], one.predict_proba(X[held_out]))


def test_members_of_folds_are_saved(data, tmp_path):
    X, y, lesions = data
    stage = Stage(committee(), cv=3, refit=False, random_state=0).fit(X, y, groups=lesions)
    save(stage, tmp_path / "stage.h5")
    loaded = load(tmp_path / "stage.h5")
    np.testing.assert_array_equal(loaded.ballots(X), stage.ballots(X))
    assert not loaded.refit
    assert [type(member) for _, member in loaded.members] == [type(m) for _, m in committee()]
    assert loaded.named_members_.bayes.predict(X[:3]).shape == (3,)


def test_no_lesion_is_in_two_folds(data, stage):
    _, y, lesions = data
    for fold in range(3):
        held_out = stage.folds_ == fold
        assert not set(lesions[held_out]) & set(lesions[~held_out])
        assert set(y[held_out]) == set(y)


def test_members_never_vote_on_a_lesion_they_were_trained_on(data):
    X, y, lesions = data
    notes, book = notebook()
    Stage([("one", Recorder(book))], cv=3).fit(X, y, groups=lesions)
    of = {row.tobytes(): lesion for row, lesion in zip(X, lesions, strict=True)}
    asked = 0
    for (kind, trained, *_), (then, voted, *_) in pairwise(notes):
        if (kind, then) == ("fit", "predict_proba"):
            seen, new = ({of[row.tobytes()] for row in rows} for rows in (trained, voted))
            assert not seen & new
            asked += len(voted)
    assert asked == len(X)
    assert sorted(len(note[1]) for note in notes if note[0] == "fit")[-1] == len(X)


class Witness(SoftVote):
    """Notes what it learns from."""

    def fit(self, ballots, y, *, sample_weight=None, groups=None):
        self.seen_ = ballots, y, sample_weight, groups
        return self


def test_the_rule_learns_from_out_of_fold_ballots_only(data):
    X, y, lesions = data
    weight = np.linspace(0.5, 1.5, len(y))
    stage = Stage(committee()[:2], voting=Witness(), cv=3)
    stage.fit(X, y, groups=lesions, sample_weight=weight)
    ballots, targets, weights, groups = stage.voting_.seen_
    np.testing.assert_array_equal(ballots, stage.ballots_)
    assert not np.allclose(ballots, stage.ballots(X))
    np.testing.assert_array_equal(stage.classes_[targets], y)
    np.testing.assert_array_equal(weights, weight)
    np.testing.assert_array_equal(np.unique(lesions)[groups], lesions)


def test_weights_and_lesions_reach_the_members_in_their_rows(data):
    X, y, lesions = data
    weight = np.arange(1.0, len(y) + 1)
    notes, book = notebook()
    stage = Stage([("one", Recorder(book)), ("two", LogisticRegression())], cv=3)
    stage.fit(X, y, groups=lesions, sample_weight=weight)
    row = {values.tobytes(): i for i, values in enumerate(X)}
    fits = [note for note in notes if note[0] == "fit"]
    assert len(fits) == 4
    for _, seen, labels, given in fits:
        rows = [row[values.tobytes()] for values in seen]
        np.testing.assert_array_equal(labels, y[rows])
        np.testing.assert_array_equal(given["sample_weight"], weight[rows])
        np.testing.assert_array_equal(given["groups"], stage.lesions_[rows])


@pytest.mark.parametrize("inside", ["pipeline", "pipeline in a pipeline", "collapsed"])
def test_weights_and_lesions_reach_the_last_step_of_a_pipeline(data, inside):
    X, y, lesions = data
    weight = np.arange(1.0, len(y) + 1)
    notes, book = notebook()
    member = make_pipeline(StandardScaler(), Recorder(book))
    if inside == "pipeline in a pipeline":
        member = make_pipeline(StandardScaler(), member)
    if inside == "collapsed":
        member = CollapsedMember(member, malignant=["mel"])
        member.fit(X, y, groups=lesions, sample_weight=weight)
        ((_, _, _, given),) = notes
        np.testing.assert_array_equal(given["groups"], lesions)
        np.testing.assert_array_equal(given["sample_weight"], weight)
        return
    stage = Stage([("one", member)], cv=3).fit(X, y, groups=lesions, sample_weight=weight)
    fits = [note[3] for note in notes if note[0] == "fit"]
    for fold, given in enumerate(fits):
        rows = stage.folds_ != fold
        np.testing.assert_array_equal(given["sample_weight"], weight[rows])
        np.testing.assert_array_equal(given["groups"], stage.lesions_[rows])


def test_two_jobs_give_the_same(data, stage):
    X, y, lesions = data
    forest = [("forest", RandomForestClassifier(5)), *committee()]
    one, both = (
        Stage(forest, cv=3, n_jobs=n, random_state=0).fit(X, y, groups=lesions) for n in (None, 2)
    )
    np.testing.assert_array_equal(one.ballots_, both.ballots_)
    np.testing.assert_array_equal(one.predict_proba(X), both.predict_proba(X))


def test_neither_order_nor_number_of_members_changes_a_members_ballots(data):
    X, y, lesions = data
    members = [("a", RandomForestClassifier(5)), ("b", RandomForestClassifier(5)), *committee()]

    def cast(chosen):
        stage = Stage(chosen, cv=3, random_state=3).fit(X, y, groups=lesions)
        stacked = zip(chosen, stage.ballots_.swapaxes(0, 1), strict=True)
        return {name: ballots for (name, _), ballots in stacked}

    whole, turned, alone = cast(members), cast(members[::-1]), cast(members[:1])
    for name in whole:
        np.testing.assert_array_equal(whole[name], turned[name])
    np.testing.assert_array_equal(whole["a"], alone["a"])
    assert (whole["a"] != whole["b"]).any()  # each has a seed of its own


def test_a_seed_gives_the_same_again_and_a_members_own_seed_stays(data):
    X, y, lesions = data

    def fit(seed, own=None):
        members = [("forest", RandomForestClassifier(5, random_state=own))]
        return Stage(members, cv=3, random_state=seed).fit(X, y, groups=lesions)

    np.testing.assert_array_equal(fit(0).ballots_, fit(0).ballots_)
    assert (fit(0).ballots_ != fit(1).ballots_).any()
    assert fit(0, own=5).members_[0].random_state == 5
    assert fit(np.random.RandomState(0)).members_[0].random_state is not None


@pytest.mark.parametrize("act", ["", "reverse"])
def test_columns_are_mapped_by_label(data, act):
    X, y, lesions = data
    odd = Stage([("odd", Scripted(act)), ("bayes", GaussianNB())], cv=3)
    odd.fit(X, y, groups=lesions)
    for ballots in (odd.ballots_, odd.ballots(X)):
        np.testing.assert_array_equal(ballots[:, 0], ballots[:, 1])


def test_a_member_that_lacks_a_class_gives_it_nothing(data):
    X, y, lesions = data
    stage = Stage([("odd", Scripted("lack", "bkl")), ("bayes", GaussianNB())], cv=3)
    text = "^member: odd – a training of it had no bkl, for which it votes 0 then – let its fit see"
    with pytest.warns(MemberWarning, match=text) as caught:
        stage.fit(X, y, groups=lesions)
    assert [one.filename for one in caught] == [__file__]
    ballots, rest = stage.ballots(X)[:, 0], [0, 1, 3, 4]
    assert (ballots[:, 2] == 0).all()
    expected = GaussianNB().fit(X[y != "bkl"], y[y != "bkl"]).predict_proba(X)
    np.testing.assert_allclose(ballots[:, rest], expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize("refit", [True, False])
def test_a_class_that_is_lacking_in_one_fold_only_is_told_too(data, refit):
    X, y, lesions = data
    members = [("odd", Forgetful(len(y)))]
    with pytest.warns(MemberWarning, match="^member: odd – a training of it had no bkl, "):
        Stage(members, cv=3, refit=refit).fit(X, y, groups=lesions)
    with pytest.warns(MemberWarning, match="^member: odd – a training of it had no bkl, "):
        Stage(members, cv=3, refit=refit, time_limit=600).fit(X, y, groups=lesions)


class Forgetful(GaussianNB):
    """Naive Bayes that leaves a class out unless it sees all samples."""

    def __init__(self, n_samples=0):
        super().__init__()
        self.n_samples = n_samples

    def fit(self, X, y):
        keep = (y != "bkl") | (len(y) == self.n_samples)
        return super().fit(X[keep], y[keep])


def test_a_finished_member_may_know_fewer_classes(data):
    X, y, lesions = data
    few = FrozenEstimator(GaussianNB().fit(X[y != "bkl"], y[y != "bkl"]))
    Stage([("few", few), ("bayes", GaussianNB())], cv=3).fit(X, y, groups=lesions)


def test_without_groups_it_warns_once(data):
    X, y, _ = data
    with pytest.warns(UngroupedWarning, match="pass groups=lesion_ids") as caught:
        Stage(committee(), cv=3).fit(X, y)
    assert len(caught) == 1


def test_rules_decide_and_pool(data, two):
    X, y, lesions = data
    for rule in (MajorityVote(), SoftVote()):
        stage = Stage(committee(), voting=rule, cv=3).fit(X, y, groups=lesions)
        np.testing.assert_array_equal(stage.predict_proba(X), rule.combine(stage.ballots(X)))
        decided = stage.classes_[rule.decide(stage.ballots(X))]
        np.testing.assert_array_equal(stage.predict(X), decided)
    X, y, lesions = two
    stage = Stage(committee(), voting="threshold", cv=3).fit(X, y, groups=lesions)
    above = stage.predict_proba(X)[:, 1] >= stage.voting_.certificate_.threshold
    np.testing.assert_array_equal(stage.predict(X) == "malignant", above)


def test_votes_tell_what_each_member_says_alone(data, stage):
    X, _, _ = data
    votes = stage.votes(stage.ballots(X[:5]))
    for name, member in stage.named_members_.items():
        assert [vote[name] for vote in votes] == member.predict(X[:5]).tolist()


def test_parameters_are_reached_by_name_and_clone(data):
    stage = Stage(committee(), voting=ThresholdVote(min_sensitivity=0.9))
    stage.set_params(linear__C=3, voting__min_sensitivity=0.8, bayes=GaussianNB(priors=None))
    assert stage.get_params()["linear"].C == 3
    assert clone(stage).get_params()["voting__min_sensitivity"] == 0.8
    assert [name for name, _ in clone(stage).members] == ["linear", "bayes", "lda"]
    assert "linear" in stage._repr_html_()


@pytest.mark.filterwarnings("ignore::skinensemble.exceptions.UngroupedWarning")
def test_grid_search_over_rules_and_members(data):
    X, y, lesions = data
    grid = {"voting": ["majority", "soft"], "linear__C": [0.01, 1.0]}
    search = GridSearchCV(Stage(committee(), cv=2), grid, cv=StratifiedGroupKFold(2))
    search.fit(X, y, groups=lesions)
    assert set(search.best_params_) == set(grid)
    assert search.best_params_["linear__C"] == search.best_estimator_.named_members_.linear.C


def test_fit_may_be_called_again(data, two):
    stage = Stage(committee(), cv=3, random_state=0)
    stage.fit(two[0], two[1], groups=two[2]).fit(data[0], data[1], groups=data[2])
    fresh = clone(stage).fit(data[0], data[1], groups=data[2])
    np.testing.assert_array_equal(stage.predict_proba(data[0]), fresh.predict_proba(data[0]))
    assert stage.get_params()["cv"] == 3


class Broken(GaussianNB):
    """A classifier that fails, or is interrupted, when it is told to."""

    error: BaseException | None = None

    def fit(self, X, y, sample_weight=None):
        if Broken.error is not None:
            raise Broken.error
        return super().fit(X, y, sample_weight)


@pytest.mark.parametrize("error", [ValueError("no luck"), KeyboardInterrupt()], ids=repr)
def test_a_fit_that_fails_leaves_nothing_that_answers(data, two, error, monkeypatch):
    stage = Stage([("odd", Broken())], cv=3)
    stage.fit(two[0], two[1], groups=two[2])
    monkeypatch.setattr(Broken, "error", error)
    for one in (stage, clone(stage)):
        with pytest.raises((MemberError, KeyboardInterrupt)):
            one.fit(data[0], data[1], groups=data[2])
        with pytest.raises(NotFittedError):
            one.predict(data[0])
    monkeypatch.setattr(Broken, "error", None)
    assert stage.fit(data[0], data[1], groups=data[2]).classes_.tolist() == sorted(set(data[1]))
    # A slip that is found before anything is done costs nothing.
    with pytest.raises(InputError, match=r"^lengths: y "):
        stage.fit(data[0], data[1][:-1])
    assert len(stage.predict(data[0])) == len(data[0])


def test_feature_names_are_kept(data):
    X, y, lesions = data
    frame = pd.DataFrame(X, columns=list("abcd"))
    stage = Stage(committee(), cv=3).fit(frame, y, groups=lesions)
    assert stage.feature_names_in_.tolist() == list("abcd")
    assert stage.n_features_in_ == 4
    check_ballots(stage.ballots(frame))


def test_verbose_names_the_members(data, capsys):
    X, y, lesions = data
    Stage(committee()[:2], cv=3, verbose=1).fit(X, y, groups=lesions)
    printed = capsys.readouterr().out.splitlines()
    assert [line.split(":")[0] for line in printed[:2]] == ["linear", "bayes"]


def test_verbose_says_whether_the_vote_earns_its_keep(data, capsys):
    X, y, lesions = data
    stage = Stage(committee()[:2], cv=3, verbose=1).fit(X, y, groups=lesions)
    (said,) = capsys.readouterr().out.splitlines()[2:]
    assert said == stage.compare(rules=(), n_resamples=200).sentence
    assert said.startswith("The vote (soft) ")
    whole = stage.compare(n_resamples=50)
    names = [row.name for row in whole.rows]
    assert names[:2] == ["linear", "bayes"]
    assert {"majority", "geometric"} < set(names)
    assert names[-1] == "soft"


def test_rules_that_do_not_fit_the_committee_are_refused_before_training(data):
    X, y, lesions = data
    notes, keep = notebook()
    stage = Stage([("one", Recorder(keep))], voting=SoftVote(weights=[1, 2]))
    with pytest.raises(InputError, match="weights"):
        stage.fit(X, y, groups=lesions)
    strict = ThresholdVote(CalibratedVote(SoftVote(weights=[1, 2])))
    sides = np.where(y == "nv", "benign", "malignant")
    with pytest.raises(InputError, match="weights"):
        stage.set_params(voting=strict).fit(X, sides, groups=lesions)
    assert notes == []


def test_a_vote_that_cannot_be_compared_is_trained_all_the_same_and_says_why(data, capsys):
    X, y, lesions = data
    few = np.isin(lesions, np.unique(lesions[y == "nv"])[2:]) & (y == "nv")
    X, y, lesions = X[~few], y[~few], lesions[~few]
    stage = Stage(committee(), voting="greedy", calibration="temperature", cv=2, verbose=1)
    stage.fit(X, y, groups=lesions)
    with pytest.raises(InputError, match="needs two lesions of each class"):
        stage.compare(rules=())
    why = "The vote could not be compared with its members. lesions: GreedyVote"
    assert stage.earned().startswith(why)
    assert capsys.readouterr().out.splitlines()[-1].startswith(why)


def test_folds_may_come_from_a_generator(data):
    X, y, lesions = data
    splitter = StratifiedGroupKFold(3)
    stages = [Stage(committee(), cv=cv) for cv in (splitter, splitter.split(X, y, lesions))]
    one, other = (stage.fit(X, y, groups=lesions) for stage in stages)
    np.testing.assert_array_equal(one.folds_, other.folds_)
    np.testing.assert_array_equal(one.ballots_, other.ballots_)
