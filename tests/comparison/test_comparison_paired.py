from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from statsmodels.stats.contingency_tables import mcnemar
from statsmodels.stats.multitest import multipletests

from skinensemble.comparison import PairedTest, holm, mcnemar_exact
from skinensemble.comparison._paired import paired_tests
from skinensemble.exceptions import InputError

counts = st.integers(0, 400)


@given(counts, counts)
def test_mcnemar_is_that_of_statsmodels(only_a, only_b):
    expected = mcnemar([[7, only_a], [only_b, 3]], exact=True).pvalue if only_a + only_b else 1.0
    assert mcnemar_exact(only_a, only_b) == pytest.approx(expected, rel=1e-9)
    assert mcnemar_exact(only_a, only_b) == mcnemar_exact(only_b, only_a)


@settings(max_examples=10)  # statsmodels collects garbage each time: a second in a large process
@given(st.lists(st.floats(0, 1), min_size=1, max_size=12))
def test_holm_is_that_of_statsmodels(p_values):
    expected = multipletests(p_values, method="holm")[1]
    np.testing.assert_allclose(holm(p_values), expected)


def test_holm_of_nothing_is_nothing():
    assert holm([]).shape == (0,)


@pytest.mark.parametrize("p_values", [[0.5, 1.5], [-0.1], [np.nan]])
def test_holm_takes_p_values_only(p_values):
    with pytest.raises(InputError, match=r"p-values: .* – not all between 0 and 1 – pass p-values"):
        holm(p_values)


def test_a_lesion_is_right_when_every_image_of_it_is():
    lesions = np.array([2, 0, 0, 1, 1, 2, 3])
    vote = np.array([1, 1, 1, 1, 0, 1, 0], dtype=bool)
    member = np.array([1, 0, 1, 1, 1, 0, 0], dtype=bool)
    (test,) = paired_tests(vote, {"a": member}, lesions)
    assert test == PairedTest("a", only_vote=2, only_member=1, p=1.0, p_holm=1.0)


def test_each_member_is_tested_and_the_number_of_tests_counts():
    rng = np.random.default_rng(0)
    vote = rng.random(400) < 0.9
    members = {f"m{i}": rng.random(400) < 0.8 + 0.04 * i for i in range(3)}
    tests = paired_tests(vote, members, np.arange(400))
    assert [test.member for test in tests] == ["m0", "m1", "m2"]
    for test, right in zip(tests, members.values(), strict=True):
        assert test.only_vote == (vote & ~right).sum()
        assert test.p == mcnemar_exact(test.only_vote, test.only_member)
    expected = multipletests([test.p for test in tests], method="holm")[1]
    np.testing.assert_allclose([test.p_holm for test in tests], expected)


@pytest.mark.parametrize(
    ("only_vote", "only_member", "p_holm", "direction"),
    [(30, 10, 0.01, 1), (10, 30, 0.01, -1), (30, 10, 0.05, 0), (10, 10, 1.0, 0)],
)
def test_a_direction_is_shown_by_a_small_adjusted_p_only(only_vote, only_member, p_holm, direction):
    assert PairedTest("a", only_vote, only_member, 0.001, p_holm).direction == direction
