from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from skinensemble.exceptions import InputError
from skinensemble.metrics import aurc, coverage_at_accuracy, risk_coverage


@st.composite
def decisions(draw):
    """Right and wrong decisions, with confidences of which many are equal."""
    rng = np.random.default_rng(draw(st.integers(0, 2**31)))
    n = draw(st.integers(1, 60))
    return rng.random(n) < 0.7, rng.integers(0, 8, n) / 8, rng.integers(1, 4, n)


@given(decisions())
def test_each_step_is_the_risk_of_what_is_at_least_as_sure(case):
    correct, confidence, weight = case
    coverage, risk = risk_coverage(correct, confidence, weight)
    levels = np.unique(confidence)[::-1]
    assert coverage.shape == risk.shape == levels.shape
    for step, level in enumerate(levels):
        decided = confidence >= level
        assert coverage[step] == pytest.approx(weight[decided].sum() / weight.sum())
        wrong = np.average(~correct[decided], weights=weight[decided])
        assert risk[step] == pytest.approx(wrong)


@given(decisions())
def test_weights_are_images_seen_again(case):
    correct, confidence, weight = case
    again = risk_coverage(np.repeat(correct, weight), np.repeat(confidence, weight))
    np.testing.assert_allclose(risk_coverage(correct, confidence, weight), again)
    rows = np.vstack([np.ones(len(weight)), weight])
    both = aurc(correct, confidence, rows)
    assert both[0] == pytest.approx(aurc(correct, confidence))
    assert both[1] == pytest.approx(aurc(correct, confidence, weight))


@given(decisions(), st.permutations(range(60)))
def test_neither_order_nor_scale_matters(case, order):
    correct, confidence, _ = case
    order = [i for i in order if i < len(correct)]
    turned = risk_coverage(correct[order], np.exp(3 * confidence[order]))
    np.testing.assert_allclose(turned, risk_coverage(correct, confidence))


def test_the_area_is_the_mean_risk_over_the_coverages():
    rng = np.random.default_rng(0)
    correct, confidence = rng.random(200) < 0.8, rng.random(200)
    wrong = ~correct[np.argsort(-confidence)]
    expected = (np.cumsum(wrong) / np.arange(1, 201)).mean()
    assert aurc(correct, confidence) == pytest.approx(expected)


def test_one_confidence_for_all_is_one_step():
    coverage, risk = risk_coverage([True, False, True, True], np.zeros(4))
    assert (coverage, risk) == (1, 0.25)
    assert aurc([True, False, True, True], np.zeros(4)) == 0.25


def test_the_coverage_at_an_accuracy_is_the_largest():
    correct, confidence = [True, False, True, True, True, False], [6, 5, 4, 3, 2, 1]
    found = [coverage_at_accuracy(correct, confidence, target) for target in (0.6, 0.8, 0.9, 1.0)]
    np.testing.assert_allclose(found, [1, 5 / 6, 1 / 6, 1 / 6])
    assert coverage_at_accuracy([False, True], [2, 1], 0.95) == 0
    rows = np.array([[1, 1, 1, 1, 1, 1], [1, 0, 1, 1, 1, 1]])
    np.testing.assert_allclose(coverage_at_accuracy(correct, confidence, 0.9, rows), [1 / 6, 0.8])


def test_a_resample_without_the_surest_images_has_no_risk_there():
    coverage, risk = risk_coverage([True, False], [0.9, 0.1], [0, 1])
    np.testing.assert_array_equal([coverage, risk], [[0, 1], [0, 1]])


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (([], []), "lengths: correct, confidence, weights – .*one image or more"),
        (([True], [0.5, 0.5]), r"lengths: .* – shapes \(1,\), \(2,\) and \(1,\) do not fit"),
        (([True, True], [0.5, 0.5], [1.0]), "lengths: correct, confidence, weights"),
        (([True, True], [0.5, np.nan]), "confidence: rows 1 – not finite – remove these"),
    ],
)
def test_what_cannot_be_used_is_named(arguments, text):
    for function in (risk_coverage, aurc):
        with pytest.raises(InputError, match=text):
            function(*arguments)


@pytest.mark.parametrize("accuracy", [0, 1.01, np.nan, 95])
def test_an_accuracy_is_a_share(accuracy):
    with pytest.raises(InputError, match=r"accuracy: .* – not above 0 and up to 1 – pass a share"):
        coverage_at_accuracy([True], [0.5], accuracy)
