from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.optimize import minimize
from scipy.special import softmax
from scipy.stats import norm
from sklearn.exceptions import ConvergenceWarning

from skinensemble.exceptions import InputError
from skinensemble.prevalence import estimate_prevalence, restate


@st.composite
def cases(draw):
    """Probabilities of some images, and three sets of class shares."""
    rng = np.random.default_rng(draw(st.integers(0, 2**31)))
    k = draw(st.integers(2, 7))
    proba = rng.dirichlet(np.ones(k), draw(st.integers(1, 30)))
    return proba, *rng.dirichlet(np.full(k, 2.0), 3)


def simulated(rng, shares, trained, n=20_000):
    """Calibrated probabilities for the `trained` shares, of images drawn with other `shares`."""
    centres = 1.5 * np.eye(len(shares))
    y = rng.choice(len(shares), n, p=shares)
    x = centres[y] + rng.standard_normal((n, len(shares)))
    likelihood = norm.logpdf(x[:, None], centres).sum(axis=2)
    return y, softmax(likelihood + np.log(trained), axis=1)


@given(cases())
def test_the_same_shares_change_nothing(case):
    proba, trained, *_ = case
    np.testing.assert_allclose(restate(proba, trained, trained), proba, atol=1e-12)


@given(cases())
def test_restating_twice_is_restating_once(case):
    proba, trained, between, stated = case
    twice = restate(restate(proba, trained, between), between, stated)
    np.testing.assert_allclose(twice, restate(proba, trained, stated), atol=1e-12)
    back = restate(restate(proba, trained, stated), stated, trained)
    np.testing.assert_allclose(back, proba, atol=1e-12)
    np.testing.assert_allclose(twice.sum(axis=1), 1)


@given(cases(), st.permutations(range(7)))
def test_the_order_of_the_classes_does_not_matter(case, order):
    proba, trained, _, stated = case
    order = [k for k in order if k < len(trained)]
    turned = restate(proba[:, order], trained[order], stated[order])
    np.testing.assert_allclose(turned, restate(proba, trained, stated)[:, order])


def test_restated_probabilities_are_those_of_a_model_of_that_prevalence():
    trained, stated = np.array([0.6, 0.3, 0.1]), np.array([0.2, 0.2, 0.6])
    _, proba = simulated(np.random.default_rng(0), stated, trained, n=50)
    _, expected = simulated(np.random.default_rng(0), stated, stated, n=50)
    np.testing.assert_allclose(restate(proba, trained, stated), expected)


def test_one_number_is_the_share_of_the_positive_class():
    proba = np.array([[0.3, 0.7], [0.9, 0.1]])
    expected = restate(proba, [0.8, 0.2], [0.98, 0.02])
    np.testing.assert_array_equal(restate(proba, 0.2, 0.02), expected)


def test_a_class_stated_as_absent_vanishes():
    restated = restate([[0.5, 0.3, 0.2]], [0.4, 0.4, 0.2], [0.5, 0.0, 0.5])
    np.testing.assert_allclose(restated, [[5 / 9, 0, 4 / 9]])
    assert restate([[0.5, 0.5, 0.0]], [0.5, 0.5, 0], [0.1, 0.9, 0])[0, 2] == 0


@pytest.mark.parametrize("shares", [[0.1, 0.9], [0.97, 0.03], [0.05, 0.05, 0.9], [0.3, 0.6, 0.1]])
def test_shifted_shares_are_found_without_labels(shares):
    trained = np.full(len(shares), 1 / len(shares))
    y, proba = simulated(np.random.default_rng(0), shares, trained)
    found = estimate_prevalence(proba, trained)
    assert found.sum() == pytest.approx(1)
    np.testing.assert_allclose(found, shares, atol=0.015)
    drawn = np.bincount(y) / len(y)
    naive = np.abs(proba.mean(axis=0) - drawn).max()
    assert np.abs(found - drawn).max() < naive / 4


@pytest.mark.parametrize("seed", range(4))
def test_the_estimate_is_the_most_likely_one(seed):
    rng = np.random.default_rng(seed)
    trained, shares = rng.dirichlet(np.full(4, 3.0), 2)
    _, proba = simulated(rng, shares, trained, n=300)

    def unlikelihood(logits):
        return -np.log(proba @ (softmax(logits) / trained)).mean()

    best = minimize(unlikelihood, np.zeros(4), method="BFGS", options={"gtol": 1e-8})
    np.testing.assert_allclose(estimate_prevalence(proba, trained), softmax(best.x), atol=2e-4)


def test_an_estimate_that_is_not_finished_warns():
    _, proba = simulated(np.random.default_rng(0), [0.1, 0.9], [0.5, 0.5], n=100)
    with pytest.warns(ConvergenceWarning, match=r"prevalence: 2 steps – the shares still change"):
        estimate_prevalence(proba, 0.5, max_iter=2)


def test_a_class_that_was_never_trained_stays_absent():
    found = estimate_prevalence([[0.6, 0.4, 0.0], [0.1, 0.9, 0.0]], [0.5, 0.5, 0.0])
    assert found[2] == 0


EVEN = [[0.5, 0.5]]


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ((EVEN, 0.5, 1.5), r"stated: \[-0.5, 1.5\] – not shares between 0 and 1 that sum to 1"),
        ((EVEN, [0.5, 0.4], 0.5), r"trained: \[0.5, 0.4\] – not shares between 0 and 1 that sum"),
        ((EVEN, 0.5, np.nan), "stated: .* – not shares between 0 and 1"),
        ((EVEN, [0.2, 0.3, 0.5], 0.5), "trained: .* – not one share for each of 2 classes"),
        (([[0.2, 0.3, 0.5]], 0.5, 0.5), "trained: 0.5 – not one share for each of 3 classes"),
        ((EVEN, 0.0, 0.5), "shares: classes 1 – stated to occur, but never trained – state 0"),
        (([[0.5, 0.5], [1, 0]], 0.5, 1.0), "proba: rows 1 – only classes with a share of 0 are"),
        (([0.5, 0.5], 0.5, 0.5), r"proba: shape \(2,\) – expected \(n_images, n_classes\)"),
        ((np.empty((0, 2)), 0.5, 0.5), r"proba: shape \(0, 2\) – .*one image or more"),
        (([[2.0, -1.0]], 0.5, 0.5), "proba: rows 0 – not finite, negative, or not summing to 1"),
        (([[0.5, 0.5], [np.nan, 1]], 0.5, 0.5), "proba: rows 1 – not finite"),
    ],
)
def test_what_cannot_be_used_is_named(arguments, text):
    with pytest.raises(InputError, match=text):
        restate(*arguments)
    if "stated" not in text and "share of 0" not in text:
        with pytest.raises(InputError, match=text):
            estimate_prevalence(*arguments[:2])
