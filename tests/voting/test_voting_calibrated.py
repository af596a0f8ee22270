from __future__ import annotations

import numpy as np
import pytest
from scipy.special import logit, softmax
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.calibration import CalibratedClassifierCV
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss

from skinensemble import (
    CalibratedVote,
    EarlyExitVote,
    LogitAdjustedVote,
    MajorityVote,
    PowerMeanVote,
    SoftVote,
    ThresholdVote,
)
from skinensemble.exceptions import InputError
from skinensemble.voting._checks import fit_and_pool

METHODS = ("temperature", "isotonic", "platt")


def overconfident(n: int = 1500, n_classes: int = 2, seed: int = 0):
    """Ballots of three members whose log-probabilities are 2.5 times too far apart."""
    rng = np.random.default_rng(seed)
    logits = 1.5 * rng.standard_normal((n, n_classes))
    p = softmax(logits, axis=1)
    y = (p.cumsum(axis=1) < rng.random((n, 1))).sum(axis=1)
    noise = 0.1 * rng.standard_normal((n, 3, n_classes))
    return softmax(2.5 * (logits[:, None] + noise), axis=2), y


class Pooled(ClassifierMixin, BaseEstimator):
    """Gives its input for its probabilities, as scikit-learn's calibration wants to be served."""

    def fit(self, X, y):
        self.classes_ = np.unique(y)
        return self

    def predict(self, X):
        return self.classes_[X.argmax(axis=1)]

    def predict_proba(self, X):
        return X


class Scored(Pooled):
    """The same as log-odds, on which Platt's curve is a straight line."""

    predict_proba = property()

    def decision_function(self, X):
        return logit(X[:, 1])


def by_scikit_learn(method, pooled, y, fresh):
    kind = Scored() if method == "sigmoid" else Pooled()
    return (
        CalibratedClassifierCV(FrozenEstimator(kind.fit(pooled, y)), method=method, cv=2)
        .fit(pooled, y)
        .predict_proba(fresh)
    )


@pytest.mark.parametrize(
    ("method", "theirs", "n_classes"),
    [
        ("temperature", "temperature", 2),
        ("temperature", "temperature", 7),
        ("isotonic", "isotonic", 2),
        ("platt", "sigmoid", 2),
    ],
)
def test_it_agrees_with_scikit_learn(method, theirs, n_classes):
    ballots, y = overconfident(n_classes=n_classes)
    fresh = overconfident(200, n_classes, seed=1)[0]
    own = CalibratedVote(method=method).fit(ballots, y).combine(fresh)
    expected = by_scikit_learn(theirs, ballots.mean(axis=1), y, fresh.mean(axis=1))
    np.testing.assert_allclose(own, expected, atol=2e-3)


def test_plain_logistic_regression_is_platts_curve_without_smoothing():
    ballots, y = overconfident()
    rule = CalibratedVote(method="platt").fit(ballots, y)
    odds = logit(ballots.mean(axis=1)[:, 1])[:, None]
    plain = LogisticRegression(C=np.inf).fit(odds, y)
    assert rule.slope_ == pytest.approx(plain.coef_[0, 0], rel=0.02)
    assert 0 < rule.slope_ < plain.coef_[0, 0]  # smoothed targets are a little less certain


@pytest.mark.parametrize("method", METHODS)
def test_it_undoes_overconfidence(method):
    ballots, y = overconfident()
    fresh, truth = overconfident(seed=1)
    rule = CalibratedVote(method=method).fit(ballots, y)
    before, after = SoftVote().combine(fresh), rule.combine(fresh)
    assert log_loss(truth, np.clip(after, 1e-9, 1)) < log_loss(truth, before) - 0.05
    np.testing.assert_allclose(after.sum(axis=1), 1, atol=1e-12)


def test_the_temperature_is_the_one_that_was_put_in():
    ballots, y = overconfident(20_000, 7)
    assert CalibratedVote().fit(ballots[:, :1], y).temperature_ == pytest.approx(2.5, rel=0.05)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("base", ["soft", "majority"])
def test_decisions_and_votes_stay_those_of_the_base(method, base):
    ballots, y = overconfident(400)
    rule = CalibratedVote(base, method).fit(ballots, y)
    plain = {"soft": SoftVote(), "majority": MajorityVote()}[base]
    np.testing.assert_array_equal(rule.decide(ballots), plain.decide(ballots))
    np.testing.assert_array_equal(rule.votes(ballots), plain.votes(ballots))


@pytest.mark.parametrize("method", METHODS)
def test_the_ranking_stays(method):
    ballots, y = overconfident(400)
    after = CalibratedVote(method=method).fit(ballots, y).combine(ballots)[:, 1]
    order = np.argsort(ballots.mean(axis=1)[:, 1])
    assert (np.diff(after[order]) >= -1e-12).all()


@pytest.mark.parametrize("method", ["temperature", "platt"])
def test_a_threshold_over_it_flags_the_same(method):
    ballots, y = overconfident(600)
    plain = ThresholdVote().fit(ballots, y)
    calibrated = ThresholdVote(CalibratedVote(method=method)).fit(ballots, y)
    np.testing.assert_array_equal(plain.decide(ballots), calibrated.decide(ballots))
    assert calibrated.certificate_.misses == plain.certificate_.misses
    assert calibrated.threshold_ != plain.threshold_
    # The members' own votes are read on the same scale as the threshold.
    np.testing.assert_array_equal(plain.votes(ballots), calibrated.votes(ballots))


def test_weights_count():
    ballots, y = overconfident(500)
    half = np.arange(500) < 250
    weighted = CalibratedVote().fit(ballots, y, sample_weight=half.astype(float))
    assert weighted.temperature_ == pytest.approx(
        CalibratedVote().fit(ballots[half], y[half]).temperature_, rel=1e-4
    )


@pytest.mark.parametrize("method", ["isotonic", "platt"])
def test_two_classes_only(method):
    ballots, y = overconfident(60, 3)
    text = rf'^calibration: {method} – it calibrates two classes, here are 3 – use "temperature"'
    with pytest.raises(InputError, match=text):
        CalibratedVote(method=method).fit(ballots, y)
    with pytest.raises(InputError, match=text):
        CalibratedVote(method=method).check_targets(y)


def test_an_unknown_method_is_refused():
    ballots, y = overconfident(60)
    with pytest.raises(
        InputError, match=r"^calibration: 'beta' – not one of 'temperature', 'isotonic'"
    ):
        CalibratedVote(method="beta").fit(ballots, y)


def test_what_the_base_refuses_is_refused_early():
    with pytest.raises(InputError, match=r"^power: "):
        CalibratedVote(PowerMeanVote(power="x")).check_targets(np.array([0, 1]))


@pytest.mark.parametrize("base", ["threshold", EarlyExitVote(ThresholdVote())], ids=str)
def test_a_threshold_goes_outside(base):
    ballots, y = overconfident(600)
    text = r"^base: .* – it decides at a threshold, .* – put the threshold outside: ThresholdVote"
    with pytest.raises(InputError, match=text):
        CalibratedVote(base).check_targets(y)
    with pytest.raises(InputError, match=text):
        CalibratedVote(base).fit(ballots, y)


def test_certain_ballots_stay_finite():
    ballots = np.eye(2)[np.array([[0, 0], [1, 1], [0, 1], [1, 0]])]
    for method in METHODS:
        found = CalibratedVote(method=method).fit(ballots, np.array([0, 1, 0, 1])).combine(ballots)
        assert np.isfinite(found).all()


@pytest.mark.parametrize("method", METHODS)
def test_a_curve_learnt_from_the_answers_brings_the_shares_back(method):
    ballots, y = overconfident()
    keep = (y == 0) | (np.arange(len(y)) % 5 == 0)
    ballots, y = ballots[keep], y[keep]
    shares = np.bincount(y) / len(y)
    rule = CalibratedVote(LogitAdjustedVote(tau=1.0), method).fit(ballots, y)
    stated = rule.prior(shares)
    if method == "temperature":
        np.testing.assert_allclose(stated, [0.5, 0.5])
    else:
        np.testing.assert_array_equal(stated, shares)
        np.testing.assert_allclose(rule.combine(ballots).mean(axis=0), shares, atol=0.01)


def test_a_curve_of_steps_is_not_judged_on_the_answers_that_it_learnt():
    """Of members who know nothing it makes ballots that seem to know something."""
    rng = np.random.default_rng(0)
    y, p = rng.integers(0, 2, 300), rng.random((300, 3))
    ballots = np.stack([1 - p, p], axis=2)
    rule = CalibratedVote(method="isotonic")
    unseen = fit_and_pool(rule, ballots, y)
    brier = [np.mean((proba[:, 1] - y) ** 2) for proba in (rule.combine(ballots), unseen)]
    assert brier[0] < 0.25 < brier[1]
    assert rule.learns and not CalibratedVote(method="platt").learns
