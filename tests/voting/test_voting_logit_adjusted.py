from __future__ import annotations

import numpy as np
import pytest
from scipy.special import softmax
from sklearn.base import clone
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import accuracy_score, balanced_accuracy_score

from skinensemble import (
    CalibratedVote,
    Cascade,
    LogitAdjustedVote,
    SoftVote,
    Stage,
    ThresholdVote,
    make_cascade,
)
from skinensemble.comparison import compare
from skinensemble.exceptions import InputError

SHARES = np.array([0.7, 0.22, 0.08])


def rare(n: int = 3000, n_members: int = 3, seed: int = 0):
    """Ballots that are the true probabilities, but for noise, of classes of very unequal shares."""
    rng = np.random.default_rng(seed)
    y = rng.choice(3, n, p=SHARES)
    evidence = 1.2 * np.eye(3)[y] + rng.standard_normal((n, 3))
    noise = 0.3 * rng.standard_normal((n, n_members, 3))
    return softmax(1.2 * evidence[:, None] + np.log(SHARES) + noise, axis=2), y


def judged(rule, ballots, y):
    decided = rule.decide(ballots)
    return accuracy_score(y, decided), balanced_accuracy_score(y, decided)


def test_by_the_whole_it_is_bayes_rule_for_equal_shares():
    ballots, y = rare(n_members=1)
    found = LogitAdjustedVote(tau=1.0).fit(ballots, y).combine(ballots)
    odds = ballots[:, 0] / (np.bincount(y) / len(y))
    np.testing.assert_allclose(found, odds / odds.sum(axis=1, keepdims=True))


def test_at_equal_shares_scikit_learn_would_have_learnt_the_same():
    rng = np.random.default_rng(0)
    y = rng.choice(3, 20_000, p=SHARES)
    X = rng.standard_normal((20_000, 2)) + np.array([[0, 0], [1.5, 0], [0, 1.5]])[y]
    plain, equal = (
        LogisticRegression(C=np.inf, class_weight=kind).fit(X, y) for kind in (None, "balanced")
    )
    adjusted = LogitAdjustedVote(tau=1.0).fit(plain.predict_proba(X)[:, None], y)
    found = adjusted.combine(plain.predict_proba(X)[:, None])
    np.testing.assert_allclose(found, equal.predict_proba(X), atol=0.02)


def test_by_nothing_it_is_the_base():
    ballots, y = rare()
    rule = LogitAdjustedVote("geometric", tau=0).fit(ballots, y)
    np.testing.assert_allclose(rule.combine(ballots), rule.base_.combine(ballots), atol=1e-15)
    assert (rule.decide(ballots) == rule.base_.decide(ballots)).all()


def test_what_it_learns_pays_on_lesions_it_has_not_seen():
    rule = LogitAdjustedVote().fit(*rare())
    fresh, truth = rare(seed=1)
    plain, found = judged(rule.base_, fresh, truth), judged(rule, fresh, truth)
    assert 0 < rule.tau_ <= 1
    assert found[1] > plain[1] + 0.05
    assert sum(found) > sum(plain) + 0.01


def test_of_all_powers_it_takes_the_best_and_of_equals_the_least():
    ballots, y = rare(400)
    powers = np.linspace(0, 1, 21).round(2)
    merits = [sum(judged(LogitAdjustedVote(tau=tau).fit(ballots, y), ballots, y)) for tau in powers]
    best = powers[np.flatnonzero(np.isclose(merits, max(merits)))[0]]
    assert LogitAdjustedVote().fit(ballots, y).tau_ == best
    certain = np.eye(3)[y][:, None]
    assert LogitAdjustedVote().fit(certain, y).tau_ == 0


def test_of_a_base_that_learns_the_power_is_found_on_ballots_the_base_has_not_learnt_from():
    ballots, y = rare(300)
    assert LogitAdjustedVote("stacking").fit(ballots, y).learns
    few = np.array([0, 0, 1, 2])
    for rule in (LogitAdjustedVote("greedy"), CalibratedVote("stacking")):
        for ask in (rule.check_targets, lambda y, rule=rule: rule.fit(ballots[:4], y)):
            with pytest.raises(InputError, match="needs two lesions of each class"):
                ask(few)
    LogitAdjustedVote("greedy", tau=0.5).check_targets(few)


def test_weights_count_as_copies_do():
    ballots, y = rare(200)
    times = np.where(y == 2, 3, 1)
    copied = LogitAdjustedVote().fit(np.repeat(ballots, times, axis=0), np.repeat(y, times))
    weighted = LogitAdjustedVote().fit(ballots, y, sample_weight=times)
    np.testing.assert_allclose(weighted.shares_, copied.shares_)
    assert weighted.tau_ == copied.tau_


def test_a_class_that_no_fold_holds_counts_as_the_rarest():
    ballots, y = rare(200)
    seen = y != 1
    rule = LogitAdjustedVote(tau=1).fit(ballots[seen], y[seen])
    assert rule.shares_[1] == rule.shares_[2] < rule.shares_[0]
    assert np.isfinite(rule.combine(ballots)).all()


def test_members_alone_are_adjusted_as_well():
    ballots, y = rare(200)
    rule = LogitAdjustedVote(tau=1).fit(ballots, y)
    alone = [
        clone(rule).fit(ballots[:, [i]], y).decide(ballots[:, [i]]) for i in range(ballots.shape[1])
    ]
    np.testing.assert_array_equal(rule.votes(ballots), np.stack(alone, axis=1))


def test_under_a_threshold_it_changes_no_verdict_and_no_vote():
    ballots, y = rare()
    sides = np.stack([ballots[..., 0], ballots[..., 1:].sum(axis=2)], axis=2)
    plain, adjusted = (
        ThresholdVote(base).fit(sides, (y > 0).astype(int))
        for base in ("calibrated", LogitAdjustedVote("calibrated", tau=0.5))
    )
    np.testing.assert_array_equal(plain.decide(sides), adjusted.decide(sides))
    np.testing.assert_array_equal(plain.votes(sides), adjusted.votes(sides))


@pytest.mark.parametrize("tau", [-0.1, 1.1, np.nan, True, "all", None, [0.5]], ids=str)
def test_a_power_that_is_none_is_refused_before_anything_is_trained(tau):
    with pytest.raises(InputError, match=r'^tau: .* – no number from 0 to 1 – pass one, or "auto"'):
        LogitAdjustedVote(tau=tau).check_targets(np.array([0, 1]))


@pytest.mark.parametrize(
    "base", ["majority", "weighted_majority", "quorum", "threshold", CalibratedVote("majority")]
)
def test_decisions_have_no_odds_to_adjust(base):
    with pytest.raises(InputError, match=r"^base: .* – it pools decisions, which have no odds"):
        LogitAdjustedVote(base).check_targets(np.array([0, 1]))


@pytest.mark.filterwarnings("ignore::skinensemble.exceptions.CalibrationWarning")
def test_a_prevalence_is_stated_of_what_the_probabilities_stand_for():
    rng = np.random.default_rng(0)
    y = rng.choice(["bkl", "mel", "nv"], 1500, p=[0.2, 0.1, 0.7])
    X = rng.standard_normal((1500, 2)) + 1.5 * (y == "mel")[:, None]
    found = {}
    for tau in (0, 0.5, 1):
        triage = Stage([("linear", LogisticRegression())], voting=LogitAdjustedVote(tau=tau), cv=3)
        diagnosis = Stage([("linear", LogisticRegression())], cv=3)
        cascade = Cascade(triage, diagnosis, malignant=["mel"], random_state=0)
        cascade.fit(X[:1000], y[:1000], groups=np.arange(1000))
        found[tau] = [
            cascade.malignant_proba(X[1000:], prevalence=how) for how in (0.1, 0.02, "estimate")
        ]
    for tau in (0.5, 1):
        np.testing.assert_allclose(found[tau], found[0], atol=1e-3)


def test_other_classes_than_it_learnt_from_are_refused():
    rule = LogitAdjustedVote().fit(*rare(200))
    text = r"^ballots: of 3 members and 2 classes – the rule learnt from 3 members and 3 classes"
    with pytest.raises(InputError, match=text):
        rule.combine(np.full((1, 3, 2), 0.5))


def test_its_base_is_compared_with_it():
    ballots, y = rare(300)
    found = compare(
        ballots,
        y,
        names=["a", "b", "c"],
        voting="logit_adjusted",
        folds=np.arange(300) % 3,
        rules=["soft"],
    )
    assert [row.name for row in found.rows][-2:] == ["soft", "logit_adjusted"]
    assert found.notes == ["Each member is adjusted as the vote is, by a power of its own."]
    one = compare(ballots[:, :1], y, names=["a"], voting="logit_adjusted", folds=np.arange(300) % 3)
    member, vote = one.rows[0], one.rows[-1]
    assert member.figures == vote.figures


def test_a_diagnosis_may_have_a_rule_of_its_own():
    cascade = make_cascade("vgg16", voting="threshold", diagnosis_voting="logit_adjusted")
    assert cascade.diagnosis.voting == "logit_adjusted"
    assert isinstance(cascade.triage.voting, ThresholdVote)
    assert make_cascade("vgg16", voting="threshold").diagnosis.voting == "soft"


def test_in_a_stage_it_finds_more_of_the_rare():
    rng = np.random.default_rng(0)
    y = rng.choice(["bkl", "mel", "nv"], 1200, p=SHARES[::-1])
    X = (
        rng.standard_normal((1200, 2))
        + 1.2 * np.array([[0, 1], [1, 0], [0, 0]])[np.searchsorted(["bkl", "mel", "nv"], y)]
    )
    stage = Stage([("linear", LogisticRegression())], voting="logit_adjusted", random_state=0)
    stage.fit(X[:800], y[:800], groups=np.arange(800))
    plain = stage.classes_[SoftVote().decide(stage.ballots(X[800:]))]
    adjusted = stage.predict(X[800:])
    assert balanced_accuracy_score(y[800:], adjusted) > balanced_accuracy_score(y[800:], plain)
