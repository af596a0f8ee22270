from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import (
    accuracy_score,
    balanced_accuracy_score,
    recall_score,
    roc_auc_score,
)

from skinensemble.exceptions import InputError
from skinensemble.metrics import (
    Figure,
    auc,
    confusion_figures,
    lesion_weights,
    macro_auc,
    predictive_values,
)


@st.composite
def judged(draw, n_classes: int = 4):
    """Truth with every class, predictions, tied scores, and weights of three resamples."""
    rng = np.random.default_rng(draw(st.integers(0, 2**31)))
    n = draw(st.integers(n_classes, 60))
    y = rng.permutation(np.append(np.arange(n_classes), rng.integers(0, n_classes, n - n_classes)))
    proba = rng.integers(1, 6, (n, n_classes)).astype(float)
    weights = np.vstack([np.ones(n), rng.integers(1, 4, (3, n)), 0.1 + rng.random((2, n))])
    return y, rng.integers(0, n_classes, n), proba / proba.sum(axis=1, keepdims=True), weights


@settings(max_examples=15)
@given(judged())
def test_figures_of_the_confusion_are_those_of_scikit_learn(case):
    y, predicted, _, weights = case
    figures = confusion_figures(y, predicted, 4, weights)
    for row, weight in enumerate(weights):
        close = {"rel": 1e-12, "abs": 1e-12}
        expected = accuracy_score(y, predicted, sample_weight=weight)
        assert figures["accuracy"][row] == pytest.approx(expected, **close)
        expected = balanced_accuracy_score(y, predicted, sample_weight=weight)
        assert figures["balanced_accuracy"][row] == pytest.approx(expected, **close)
        expected = recall_score(y, predicted, average=None, sample_weight=weight)
        np.testing.assert_allclose(figures["recall"][row], expected, atol=1e-12)


@settings(max_examples=15)
@given(judged())
def test_the_auc_is_that_of_scikit_learn(case):
    y, _, proba, weights = case
    ours = auc(y == 1, proba[:, 1], weights)
    for row, weight in enumerate(weights):
        expected = roc_auc_score(y == 1, proba[:, 1], sample_weight=weight)
        assert ours[row] == pytest.approx(expected, abs=1e-12)


@settings(max_examples=15)
@given(judged())
def test_the_macro_auc_is_that_of_scikit_learn(case):
    y, _, proba, weights = case
    ours = macro_auc(y, proba, weights)
    for row, weight in enumerate(weights):
        one_by_one = [roc_auc_score(y == k, proba[:, k], sample_weight=weight) for k in range(4)]
        assert ours[row] == pytest.approx(np.mean(one_by_one), abs=1e-12)
    whole = roc_auc_score(y, proba, multi_class="ovr", average="macro")
    assert ours[0] == pytest.approx(whole, abs=1e-12)


def test_bootstrap_weights_are_samples_drawn_again():
    rng = np.random.default_rng(0)
    lesions = rng.permutation(np.repeat(np.arange(40), rng.integers(1, 5, 40)))
    y = lesions % 2
    scores, predicted = rng.random(len(y)) + 0.3 * y, (rng.random(len(y)) < 0.5).astype(int)
    weights = lesion_weights(lesions, 20, random_state=1)
    figures, areas = confusion_figures(y, predicted, 2, weights), auc(y == 1, scores, weights)
    for row, weight in enumerate(weights):
        drawn = np.repeat(np.arange(len(y)), weight.astype(int))
        again = balanced_accuracy_score(y[drawn], predicted[drawn])
        assert figures["balanced_accuracy"][row] == pytest.approx(again)
        assert areas[row] == pytest.approx(roc_auc_score(y[drawn], scores[drawn]))


def test_the_bootstrap_draws_lesions_not_images():
    lesions = np.array(["b", "a", "b", "c", "c", "c"])
    weights = lesion_weights(lesions, 500, random_state=0)
    assert weights.shape == (501, 6)
    assert (weights[0] == 1).all()
    for lesion in "abc":
        same = weights[:, lesions == lesion]
        assert (same == same[:, :1]).all()
    per_lesion = weights[1:, [1, 0, 3]]
    assert (per_lesion.sum(axis=1) == 3).all()
    assert per_lesion.mean() == pytest.approx(1)
    assert {tuple(row) for row in per_lesion} >= {(3.0, 0.0, 0.0), (1.0, 1.0, 1.0), (0.0, 1.0, 2.0)}


def test_the_bootstrap_follows_its_seed():
    first, again, other = (lesion_weights(np.arange(30), 5, seed) for seed in (0, 0, 1))
    np.testing.assert_array_equal(first, again)
    assert (first != other).any()


def test_images_that_hang_together_widen_the_interval():
    rng = np.random.default_rng(0)
    hit = np.repeat(rng.random(60) < 0.7, 8).astype(int)

    def width(lesions):
        weights = lesion_weights(lesions, 1000, random_state=0)
        figure = Figure.from_resamples(
            confusion_figures(np.ones_like(hit), hit, 2, weights)["accuracy"]
        )
        return figure.high - figure.low

    assert width(np.arange(480) // 8) > 2 * width(np.arange(480))


def test_classes_that_do_not_occur_are_left_out():
    figures = confusion_figures(np.array([0, 0, 2]), np.array([0, 2, 2]), 3, np.ones((1, 3)))
    assert figures["balanced_accuracy"] == [0.75]
    np.testing.assert_array_equal(figures["recall"], [[0.5, np.nan, 1.0]])
    proba = np.array([[0.8, 0.1, 0.1], [0.3, 0.1, 0.6], [0.1, 0.1, 0.8]])
    assert macro_auc(np.array([0, 0, 2]), proba, np.ones((1, 3))) == [1.0]


def test_a_resample_without_a_class_says_nothing_of_all_classes():
    y, proba = np.array([0, 0, 1, 2]), np.eye(3)[[0, 0, 1, 1]]
    weights = np.array([[1, 1, 1, 1], [1, 2, 1, 0], [0, 0, 3, 1]])
    balanced = confusion_figures(y, np.zeros(4, int), 3, weights)["balanced_accuracy"]
    np.testing.assert_array_equal(balanced, [1 / 3, np.nan, np.nan])
    assert np.isnan(macro_auc(y, proba, weights)).tolist() == [False, True, True]


def test_one_class_has_no_auc():
    assert np.isnan(auc(np.array([True, True]), np.array([0.1, 0.2]), np.ones((2, 2)))).all()


def test_a_constant_score_has_an_auc_of_one_half():
    assert auc(np.array([True, False, True]), np.full(3, 0.3), np.ones((1, 3))) == [0.5]


def test_a_figure_is_the_first_and_the_percentiles_of_the_rest():
    values = np.append(0.5, np.random.default_rng(0).random(999))
    figure = Figure.from_resamples(values)
    assert figure.value == 0.5
    assert (figure.low, figure.high) == tuple(np.percentile(values[1:], [2.5, 97.5]))
    undefined = Figure.from_resamples(np.append(values, np.nan))
    assert (undefined.low, undefined.high) == (figure.low, figure.high)


@pytest.mark.parametrize("values", [[0.5], [np.nan], [np.nan, np.nan, np.nan]])
def test_without_resamples_there_is_no_interval(values):
    figure = Figure.from_resamples(np.array(values))
    np.testing.assert_array_equal([figure.value, figure.low], [values[0], np.nan])
    assert str(figure) == f"{values[0]:.3f}"


@pytest.mark.parametrize(
    "others", [[1.0] * 9, [0.9, np.nan, np.nan, 0.95, 0.9, 0.92, 0.91, 0.9, 1]]
)
def test_resamples_that_are_all_alike_or_often_lack_a_class_say_nothing(others):
    assert str(Figure.from_resamples(np.array([1.0, *others]))) == "1.000"


@settings(max_examples=15)
@given(judged(), st.floats(0.01, 0.99))
def test_predictive_values_are_shares_of_a_population_of_that_prevalence(case, prevalence):
    y, predicted, _, _ = case
    ill, called = y == 1, predicted == 1
    weight = np.where(ill, prevalence / ill.mean(), (1 - prevalence) / (~ill).mean())
    sensitivity, specificity = called[ill].mean(), (~called)[~ill].mean()
    positive, negative = predictive_values(sensitivity, specificity, prevalence)
    for value, chosen, right in ((positive, called, ill), (negative, ~called, ~ill)):
        expected = weight[chosen & right].sum() / weight[chosen].sum() if chosen.any() else np.nan
        assert value == pytest.approx(expected, nan_ok=True)


def test_predictive_values_take_many_prevalences_at_once():
    positive, negative = predictive_values(0.9, 0.8, [0.0, 0.5, 1.0])
    np.testing.assert_allclose(positive, [0, 9 / 11, 1])
    np.testing.assert_allclose(negative, [1, 8 / 9, 0])
    assert np.isnan(predictive_values(0.0, 1.0, 0.2)[0])


@pytest.mark.parametrize(
    ("values", "text"),
    [
        ((95, 0.8, 0.1), "sensitivity: 95 – not a share – pass shares between 0 and 1, not per"),
        ((0.9, -0.1, 0.1), "specificity: -0.1 – not a share"),
        ((0.9, 0.8, [0.1, np.nan]), "prevalence: .* – not a share"),
    ],
)
def test_predictive_values_refuse_what_is_no_share(values, text):
    with pytest.raises(InputError, match=text):
        predictive_values(*values)
