"""A rule of the user's own: fifteen lines, usable wherever the library's rules are."""

from __future__ import annotations

import re

import numpy as np
import pytest
from committees import lesion_table
from sklearn.linear_model import LogisticRegression
from sklearn.naive_bayes import GaussianNB

from skinensemble import Stage, list_voting_rules, load, register_voting_rule, voting
from skinensemble.exceptions import InputError, ModelFileError
from skinensemble.persistence import save
from skinensemble.voting import VotingRule, resolve_voting_rule
from skinensemble.voting._over import RuleOverBase


class BestMember(VotingRule):
    """Listen to the member with the smallest squared error alone."""

    def __init__(self, power=2):
        self.power = power

    def fit(self, ballots, y, *, sample_weight=None, groups=None):
        errors = np.abs(ballots - np.eye(ballots.shape[2])[y][:, None]) ** self.power
        self.best_ = errors.sum(axis=(0, 2)).argmin()
        self.errors_ = errors.mean(axis=(0, 2))
        return self

    def combine(self, ballots):
        return ballots[:, self.best_]


@pytest.fixture
def registered(monkeypatch):
    monkeypatch.setattr(voting, "_RULES", dict(voting._RULES))
    register_voting_rule("best_member", BestMember)


@pytest.fixture(scope="module")
def data():
    rng = np.random.default_rng(0)
    y = np.repeat([0, 1], 60)
    return rng.standard_normal((120, 3)) + y[:, None], y, np.arange(120)


def committee(rule) -> Stage:
    return Stage([("flat", LogisticRegression(C=1e-9)), ("bayes", GaussianNB())], voting=rule, cv=3)


@pytest.mark.parametrize("rule", ["best_member", BestMember(power=1)])
def test_it_decides_a_stage_by_name_or_instance(registered, data, rule):
    X, y, lesions = data
    stage = committee(rule).fit(X, y, groups=lesions)
    assert stage.voting_.best_ == 1
    alone = stage.named_members_.bayes.predict_proba(X)
    np.testing.assert_allclose(stage.predict_proba(X), alone, rtol=1e-12)
    assert stage.get_params()["voting"] is rule


def test_it_is_listed_and_resolved_afresh(registered):
    assert "best_member" in list_voting_rules()
    assert resolve_voting_rule("best_member") is not resolve_voting_rule("best_member")


def test_it_comes_back_from_a_file(registered, data, tmp_path):
    X, y, lesions = data
    stage = committee(BestMember(power=1)).fit(X, y, groups=lesions)
    save(stage, tmp_path / "stage.h5")
    back = load(tmp_path / "stage.h5")
    assert (back.voting_.power, back.voting_.best_) == (1, 1)
    np.testing.assert_array_equal(back.voting_.errors_, stage.voting_.errors_)
    np.testing.assert_array_equal(back.predict_proba(X), stage.predict_proba(X))


def test_a_file_does_not_bring_its_rule(registered, data, tmp_path, monkeypatch):
    X, y, lesions = data
    save(committee("best_member").fit(X, y, groups=lesions), tmp_path / "stage.h5")
    monkeypatch.delitem(voting._RULES, "best_member")
    with pytest.raises(ModelFileError, match=r"stage\.h5.*'best_member' is not registered"):
        load(tmp_path / "stage.h5")


def test_an_unregistered_rule_cannot_be_saved(data, tmp_path):
    X, y, lesions = data
    stage = committee(BestMember()).fit(X, y, groups=lesions)
    with pytest.raises(InputError, match=r"BestMember.*register_voting_rule\(.*BestMember\)"):
        save(stage, tmp_path / "stage.h5")
    assert not list(tmp_path.iterdir())


def test_a_name_stands_for_one_rule(registered):
    register_voting_rule("best_member", BestMember)  # the same again is no conflict
    with pytest.raises(InputError, match="voting rule: soft – the name stands for SoftVote – "):
        register_voting_rule("soft", BestMember)
    register_voting_rule("soft", BestMember, overwrite=True)
    assert isinstance(resolve_voting_rule("soft"), BestMember)


@pytest.mark.parametrize("rule", [LogisticRegression, BestMember(), "soft"])
def test_only_subclasses_are_registered(rule):
    with pytest.raises(InputError, match="not a subclass of VotingRule – derive"):
        register_voting_rule("mine", rule)
    assert "mine" not in list_voting_rules()


@pytest.mark.parametrize("voting_", ["sofd", None, 3, "Soft"])
def test_an_unknown_name_lists_the_known_ones(voting_):
    known = re.escape(", ".join(list_voting_rules()))
    with pytest.raises(InputError, match=rf"^voting: .* – not one of {known} – pass one"):
        resolve_voting_rule(voting_)


def test_a_rule_without_combine_cannot_be_made():
    with pytest.raises(TypeError, match="combine"):
        type("Empty", (VotingRule,), {})()


def test_a_rule_of_the_library_is_abstract_or_final():
    ours = [type(resolve_voting_rule(name)) for name in list_voting_rules()]
    for rule in ours:
        if rule.__module__.startswith("skinensemble."):
            assert rule.__bases__ in ((VotingRule,), (RuleOverBase,))


class Broken(VotingRule):
    """A rule of one's own that does not give probabilities."""

    def __init__(self, how="sums"):
        self.how = how

    def combine(self, ballots):
        mean = ballots.mean(axis=1)
        return {"sums": mean * 2, "column": mean[:, :1], "nan": mean * np.nan, "sign": -mean}[
            self.how
        ]


@pytest.mark.parametrize(
    ("how", "why"),
    [
        ("sums", "rows that are negative, not finite, or do not sum to 1"),
        ("sign", "rows that are negative"),
        ("nan", "rows that are negative, not finite"),
        ("column", r"combine gave the shape \(\d+, 1\), not \(\d+, 5\)"),
    ],
)
def test_a_stage_refuses_what_is_no_probability(how, why):
    X, y, lesions = lesion_table()
    stage = committee(Broken(how))
    with pytest.raises(InputError, match=f"voting rule: Broken – .*{why}.* – let it return"):
        stage.fit(X, y, groups=lesions)


def test_what_is_no_name_or_needs_arguments_is_not_registered():
    class Choosy(BestMember):
        def __init__(self, member):
            self.member = member

    with pytest.raises(InputError, match="voting rule: 5 – not a name – pass a str"):
        register_voting_rule(5, BestMember)
    with pytest.raises(
        InputError, match=r"Choosy – it cannot be made without arguments .*'member'"
    ):
        register_voting_rule("choosy", Choosy)
    assert "choosy" not in list_voting_rules()
