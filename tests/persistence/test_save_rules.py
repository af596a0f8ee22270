"""Every voting rule comes back from a file as it was, and none from a file that says otherwise."""

from __future__ import annotations

import numpy as np
import pytest
from ballots import RULES, informed, many, trained
from codec_edits import REMOVE, change, edited, kind, put, spoil
from committees import MALIGNANT, committee, lesion_table
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skinensemble import (
    EarlyExitVote,
    GreedyVote,
    PowerMeanVote,
    SoftVote,
    StackingVote,
    Stage,
    ThresholdVote,
    VotingRule,
    WeightedMajorityVote,
    list_voting_rules,
    load,
    register_voting_rule,
    voting,
)
from skinensemble.exceptions import InputError, ModelFileError
from skinensemble.persistence import save as save_fitted
from skinensemble.persistence._codec import Writer, encode
from skinensemble.persistence.container import write_container
from skinensemble.voting import resolve_voting_rule


def save(rule, path) -> str:
    """Write a rule alone, as the public function does without looking whether it is fitted."""
    out = Writer()
    root = encode(rule, out)
    config = {"versions": {}, "shared": out.shared, "root": root}
    return write_container(path, config, out.arrays)


@pytest.mark.parametrize("name", RULES)
def test_a_rule_comes_back_as_it_was(name, tmp_path):
    n_classes = max(RULES[name].sizes)
    rule, ballots = trained(name, 4, n_classes), many(30, 4, n_classes)
    save(rule, tmp_path / "rule.h5")
    back = load(tmp_path / "rule.h5")
    np.testing.assert_array_equal(back.combine(ballots), rule.combine(ballots))
    np.testing.assert_array_equal(back.decide(ballots), rule.decide(ballots))
    assert type(back) is type(rule)
    again = clone(back).fit(*informed(4, n_classes))
    np.testing.assert_array_equal(again.combine(ballots), rule.combine(ballots))
    assert save(back, tmp_path / "again.h5") == save(rule, tmp_path / "rule.h5")


class Keeping(VotingRule):
    """The mean of some members."""

    never_ = None

    def combine(self, ballots):
        return ballots[:, self.kept_].mean(axis=1)


@pytest.fixture
def keeping(monkeypatch):
    monkeypatch.setattr(voting, "_RULES", dict(voting._RULES))
    register_voting_rule("keeping", Keeping)


def test_a_mask_of_a_rule_of_ones_own_comes_back_as_a_mask(keeping, tmp_path):
    ballots, _ = informed(4, 3)
    rule = Keeping()
    rule.kept_ = np.array([True, False, True, True])
    rule.count_ = 3
    save(rule, tmp_path / "rule.h5")
    back = load(tmp_path / "rule.h5")
    assert back.kept_.dtype == bool
    assert save(back, tmp_path / "again.h5") == save(rule, tmp_path / "rule.h5")
    np.testing.assert_array_equal(back.combine(ballots), rule.combine(ballots))


@pytest.mark.parametrize(
    ("flags", "kept", "text"),
    [
        (["others_"], [1, 0], r"flags – 'others_' is no array of it"),
        ([["kept_"]], [1, 0], r"flags – \['kept_'\] is no array of it"),
        (["kept_"], [3, 7], r"kept_ – not made of True and False"),
    ],
)
def test_a_file_that_says_something_else_of_a_mask_is_refused(keeping, flags, kept, text, tmp_path):
    rule = Keeping()
    rule.kept_ = np.array(kept)
    out = Writer()
    root = encode(rule, out) | {"flags": flags}
    config = {"versions": {}, "shared": out.shared, "root": root}
    write_container(tmp_path / "rule.h5", config, out.arrays)
    with pytest.raises(ModelFileError, match=text):
        load(tmp_path / "rule.h5")


@pytest.mark.parametrize(
    ("name", "value", "why"),
    [
        ("_w", [1.0, 2.0], "not the name of what only a fit gives it"),
        ("never_", [1.0], "not the name of what only a fit gives it"),
        ("kept_", [-np.inf, 0.5], "not made of finite numbers"),
        ("kept_", "text", "not made of finite numbers"),
        ("kept_", [np.zeros(2), np.zeros(3)], "no array"),
    ],
)
def test_what_no_file_could_give_back_is_refused_at_once(keeping, name, value, why, tmp_path):
    rule = Keeping()
    setattr(rule, name, value)
    text = rf"^voting rule: keeping\.{name} – {why} – keep it as a finite array, under a name"
    with pytest.raises(InputError, match=text):
        save(rule, tmp_path / "rule.h5")


@pytest.mark.parametrize("name", list_voting_rules())
def test_a_rule_is_saved_unfitted_where_it_has_nothing_to_learn(name, tmp_path):
    rule, ballots = resolve_voting_rule(name), many(30, 3, 2)
    if type(rule).fit is not VotingRule.fit:
        with pytest.raises(NotFittedError):
            save_fitted(rule, tmp_path / "rule.h5")
        rule.fit(*informed(3, 2))
    save_fitted(rule, tmp_path / "rule.h5")
    np.testing.assert_array_equal(
        load(tmp_path / "rule.h5").combine(ballots), rule.combine(ballots)
    )


@pytest.mark.parametrize("rule", [SoftVote, WeightedMajorityVote])
@pytest.mark.parametrize("weights", [[1, 2, 3, 4], (0.5, 0, 0, 1), np.arange(4) / 6])
def test_weights_of_any_kind_come_back(rule, weights, tmp_path):
    ballots, y = informed(4, 3)
    rule = rule(weights).fit(ballots, y)
    save(rule, tmp_path / "rule.h5")
    back = load(tmp_path / "rule.h5")
    np.testing.assert_array_equal(back.weights, weights)
    np.testing.assert_array_equal(back.combine(ballots), rule.combine(ballots))


def test_a_metric_that_is_a_function_comes_back_as_its_name_only(tmp_path):
    def accuracy(y, proba):
        return np.mean(proba[:, 1] == y)

    ballots, y = informed(3, 2)
    rule = GreedyVote(accuracy, n_rounds=3, n_bags=2).fit(ballots, y)
    save(rule, tmp_path / "rule.h5")
    back = load(tmp_path / "rule.h5")
    np.testing.assert_array_equal(back.combine(ballots), rule.combine(ballots))
    with pytest.raises(InputError, match=r"^metric: 'accuracy\(\)' – not a metric: "):
        back.check_targets(y)
    save(back, tmp_path / "again.h5")
    back.set_params(metric=accuracy).fit(ballots, y)
    np.testing.assert_array_equal(back.weights_, rule.weights_)


def test_a_stacked_pipeline_comes_back(tmp_path):
    ballots, y = informed(3, 3)
    rule = StackingVote(make_pipeline(StandardScaler(), LogisticRegression())).fit(ballots, y)
    save(rule, tmp_path / "rule.h5")
    np.testing.assert_array_equal(
        load(tmp_path / "rule.h5").combine(ballots), rule.combine(ballots)
    )


@pytest.mark.parametrize("name", list_voting_rules())
def test_a_stage_learns_any_rule_by_name_and_comes_back(name, tmp_path):
    X, y, lesions = lesion_table()
    y = np.where(np.isin(y, MALIGNANT), "malignant", "benign")
    stage = Stage(committee(), voting=name, cv=2, random_state=0).fit(X, y, groups=lesions)
    save_fitted(stage, tmp_path / "stage.h5")
    back = load(tmp_path / "stage.h5")
    np.testing.assert_array_equal(back.predict_proba(X), stage.predict_proba(X))
    np.testing.assert_array_equal(back.predict(X), stage.predict(X))
    names = [one.compare(rules=(), n_resamples=5).vote.name for one in (stage, back)]
    assert names == ["soft" if name == "threshold" else name] * 2


RULE = {
    "soft": SoftVote([1, 2, 3]),
    "power_mean": PowerMeanVote(),
    "early_exit": EarlyExitVote("weighted_majority", tolerance=0.1),
    **{
        name: clone(RULES[name].rule)
        for name in ("quorum", "trimmed_mean", "weighted_majority", "rank", "greedy", "stacking")
    },
}
STACKED = {"type": "SoftVote", "params": {"weights": None}}
HOSTILE = {
    "soft": {
        "weights negative": put("root/params/weights", [1, -1, 1]),
        "weights a text": put("root/params/weights", "111"),
        "weights all zero": put("root/params/weights", [0, 0]),
        "weights beyond floats": put("root/params/weights", [10**18, "1"]),
    },
    "power_mean": {
        "power a text": put("root/params/power", "0.5"),
        "power true": put("root/params/power", True),
        "an attribute more": put("root/weights", [1]),
    },
    "early_exit": {
        "tolerance above one": put("root/params/tolerance", 7),
        "order with a gap": change("order", lambda values: values + 1),
        "order twice": change("order", lambda values: values * 0),
        "order of fewer": change("order", lambda values: values[:-1]),
        "order of nobody": change("order", lambda values: values[:0]),
        "order of fractions": change("order", kind("float64")),
        "levels of fewer": change("levels", lambda values: values[1:]),
        "levels of one class": change("levels", lambda values: values[:, :1]),
        "level negative": change("levels", spoil(-0.1)),
        "level above never": change("levels", spoil(3.0)),
        "level NaN": change("levels", spoil(np.nan)),
        "pilot missing": put("root/pilot", REMOVE),
        "pilot no rule": put("root/pilot/type", "Referral"),
        "pilot of another committee": change("pilot/weights", lambda values: np.ones(2) / 2),
        "base of another committee": change("base/weights", lambda values: np.ones(4) / 4),
    },
    "quorum": {
        "quorum of none": put("root/params/quorum", 0),
        "quorum a list": put("root/params/quorum", [1]),
    },
    "trimmed_mean": {"proportion of half": put("root/params/proportion", 0.5)},
    "weighted_majority": {
        "weights negative": change("weights", spoil(-0.1)),
        "weights NaN": change("weights", spoil(np.nan)),
        "weights all zero": change("weights", lambda values: values * 0),
        "weights beyond one": change("weights", lambda values: values * 2),
        "weights fewer": change("weights", lambda values: values[1:]),
        "no weights": change("weights", lambda values: values[:0]),
        "weights of two axes": change("weights", lambda values: values[None]),
        "weights whole": change("weights", lambda values: np.array([1, 0, 0])),
        "weights missing": put("root/weights", REMOVE),
        "given weights negative": put("root/params/weights", [1, -1, 1]),
    },
    "rank": {
        "grid falling": change("grids", lambda values: values[::-1]),
        "grid above one": change("grids", lambda values: values + 0.5),
        "grid negative": change("grids", lambda values: values - 1),
        "grid NaN": change("grids", spoil(np.nan)),
        "grid of two axes": change("grids", lambda values: values[0]),
        "grid empty": change("grids", lambda values: values[:0]),
        "grid of one class": change("grids", lambda values: values[..., :1]),
        "grid too long": change("grids", lambda values: np.zeros((1002, 3, 2))),
        "grid missing": put("root/grids", REMOVE),
    },
    "greedy": {
        "weights negative": change("weights", spoil(-0.1)),
        "weights fewer": change("weights", lambda values: values[1:]),
        "metric a list": put("root/metric", ["log_loss"]),
        "metric missing": put("root/metric", REMOVE),
        "rounds a text": put("root/params/n_rounds", "25"),
        "no bags": put("root/params/n_bags", 0),
    },
    "stacking": {
        "another committee": put("root/n_members", 4),
        "fewer classes": put("root/n_classes", 1),
        "six classes of one member": lambda config, arrays: (
            put("root/n_members", 1)(config, arrays),
            put("root/n_classes", 6)(config, arrays),
            put("root/estimator/fitted/classes_", [3, 7])(config, arrays),
        ),
        "negative class": put("root/estimator/fitted/classes_", [-1, 1]),
        "classes of text": put("root/estimator/fitted/classes_", ["0", "1"]),
        "classes of logic": put("root/estimator/fitted/classes_", [False, True]),
        "estimator a rule": put("root/estimator", STACKED),
        "estimator missing": put("root/estimator", REMOVE),
        "members beyond memory": put("root/n_members", 2**60),
    },
}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_file_that_says_something_wrong_is_refused(name, tmp_path):
    save(RULE[name].fit(*informed(3, 2)), tmp_path / "sound.h5")
    load(tmp_path / "sound.h5")
    accepted = []
    for label, path in edited(tmp_path / "sound.h5", HOSTILE[name], tmp_path):
        try:
            load(path)
            accepted.append(label)
        except ModelFileError as error:
            assert str(error).count(" – ") >= 2
    assert not accepted


EARLY = {
    "soft": EarlyExitVote(tolerance=0.1, order=[2, 0, 1, 3]),
    "threshold": EarlyExitVote(ThresholdVote(min_sensitivity=0.8), tolerance=0.1),
    "never": EarlyExitVote(tolerance=0.001),
}


@pytest.mark.parametrize("rule", EARLY.values(), ids=EARLY)
def test_an_early_exit_comes_back_as_it_was(rule, tmp_path):
    ballots, y = informed(4, 2, n_samples=400)
    rule = clone(rule).fit(ballots, y)
    save(rule, tmp_path / "rule.h5")
    back = load(tmp_path / "rule.h5")
    np.testing.assert_array_equal(back.levels_, rule.levels_)
    np.testing.assert_array_equal(back.n_asked(ballots), rule.n_asked(ballots))
    np.testing.assert_array_equal(back.combine(ballots), rule.combine(ballots))
    np.testing.assert_array_equal(back.decide(ballots), rule.decide(ballots))
    again = clone(back).fit(ballots, y)
    np.testing.assert_array_equal(again.levels_, rule.levels_)
    assert save(back, tmp_path / "again.h5") == save(rule, tmp_path / "rule.h5")
