from __future__ import annotations

import numpy as np
import pytest
import sklearn.metrics
from hypothesis import given, settings
from hypothesis import strategies as st

from skinensemble.exceptions import InputError
from skinensemble.metrics import brier, expected_calibration_error, log_loss


@st.composite
def forecasts(draw):
    """Truth, probabilities of which some lie on the edges of bins, and weights of three rows."""
    rng = np.random.default_rng(draw(st.integers(0, 2**31)))
    k, n = draw(st.sampled_from([2, 3, 7])), draw(st.integers(1, 60))
    proba = rng.dirichlet(np.ones(k), n)
    proba[: n // 2] = np.eye(k)[rng.integers(0, k, n // 2)] * 0.8 + 0.2 / k
    weights = np.vstack([np.ones(n), rng.integers(1, 4, n), 0.1 + rng.random(n)])
    return rng.integers(0, k, n), proba, weights


def by_hand(confidence, right, weight, n_bins):
    """The definition, bin by bin."""
    total = 0.0
    for b in range(n_bins):
        inside = (confidence > b / n_bins) & (confidence <= (b + 1) / n_bins)
        inside |= (b == 0) & (confidence == 0)
        if inside.any():
            share = weight[inside].sum() / weight.sum()
            means = (np.average(v[inside], weights=weight[inside]) for v in (confidence, right))
            total += share * abs(np.subtract(*means))
    return total


@given(forecasts(), st.integers(1, 20))
def test_the_calibration_error_is_its_definition(case, n_bins):
    y, proba, weights = case
    if proba.shape[1] == 2:
        confidence, right = proba[:, 1], y == 1
    else:
        confidence, right = proba.max(axis=1), y == proba.argmax(axis=1)
    ours = expected_calibration_error(y, proba, weights, n_bins=n_bins)
    expected = [by_hand(confidence, right, weight, n_bins) for weight in weights]
    np.testing.assert_allclose(ours, expected, atol=1e-12)


def test_calibrated_probabilities_have_no_error_and_sharpened_ones_much():
    rng = np.random.default_rng(0)
    proba = rng.dirichlet(np.ones(7), 40_000)
    y = (proba.cumsum(axis=1) < rng.random((len(proba), 1))).sum(axis=1)
    sharp = proba**3 / (proba**3).sum(axis=1, keepdims=True)
    one = np.ones((1, len(y)))
    assert expected_calibration_error(y, proba, one) < 0.01
    assert expected_calibration_error(y, sharp, one) > 0.2


@settings(max_examples=25)
@given(forecasts())
def test_proper_scores_are_those_of_scikit_learn(case):
    y, proba, weights = case
    labels = np.arange(proba.shape[1])
    for row, weight in enumerate(weights):
        expected = sklearn.metrics.log_loss(y, proba, sample_weight=weight, labels=labels)
        assert log_loss(y, proba, weights)[row] == pytest.approx(expected)
        squares = ((proba - np.eye(len(labels))[y]) ** 2).mean(axis=1)
        expected = np.average(squares, weights=weight) * (1 if len(labels) == 2 else len(labels))
        assert brier(y, proba, weights)[row] == pytest.approx(expected)
    if set(y) == {0, 1} and len(labels) == 2:
        expected = sklearn.metrics.brier_score_loss(y, proba[:, 1])
        assert brier(y, proba, weights)[0] == pytest.approx(expected)


def test_a_right_answer_called_impossible_costs_much_but_not_everything():
    cost = log_loss(np.array([0]), np.array([[0.0, 1.0]]), np.ones((1, 1)))
    assert 30 < cost[0] < 40


def test_without_bins_there_is_no_calibration_error():
    with pytest.raises(InputError, match="n_bins: 0 – no bin – pass 1 or more, such as 15"):
        expected_calibration_error(np.array([0]), np.array([[1.0, 0.0]]), np.ones((1, 1)), n_bins=0)
