from __future__ import annotations

import json
from itertools import combinations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from skinensemble.comparison import diversity
from skinensemble.exceptions import InputError


@st.composite
def banks(draw):
    rng = np.random.default_rng(draw(st.integers(0, 2**31)))
    n, m, k = draw(st.integers(1, 40)), draw(st.integers(1, 4)), draw(st.integers(2, 5))
    return rng.dirichlet(np.ones(k), (n, m)), rng.integers(0, k, n)


@given(banks())
def test_the_measures_are_their_definitions(bank):
    ballots, y = bank
    found = diversity(ballots, y)
    votes = ballots.argmax(axis=2)
    for i in range(ballots.shape[1]):
        for j in range(ballots.shape[1]):
            a, b = votes[:, i] == y, votes[:, j] == y
            n11, n00 = (a & b).sum(), (~a & ~b).sum()
            n10, n01 = (a & ~b).sum(), (~a & b).sum()
            assert found.agreement[i, j] == pytest.approx((votes[:, i] == votes[:, j]).mean())
            assert found.disagreement[i, j] == pytest.approx((n01 + n10) / len(y))
            assert found.double_fault[i, j] == pytest.approx(n00 / len(y))
            below = n11 * n00 + n01 * n10
            q = (n11 * n00 - n01 * n10) / below if below else np.nan
            assert found.q[i, j] == pytest.approx(q, nan_ok=True)


@given(banks())
def test_the_means_are_over_the_pairs(bank):
    found = diversity(*bank)
    pairs = list(combinations(range(len(found.names)), 2))
    for key, mean in found.means.items():
        values = [getattr(found, key)[pair] for pair in pairs]
        values = [value for value in values if np.isfinite(value)]
        expected = np.mean(values) if values else np.nan
        assert mean == pytest.approx(expected, nan_ok=True)


def test_members_that_err_independently_have_a_q_of_zero():
    rng = np.random.default_rng(0)
    y = rng.integers(0, 2, 50_000)
    votes = np.where(rng.random((len(y), 2)) < [0.8, 0.7], y[:, None], 1 - y[:, None])
    found = diversity(np.eye(2)[votes], y).means
    assert found["q"] == pytest.approx(0, abs=0.03)
    assert found["double_fault"] == pytest.approx(0.2 * 0.3, abs=0.01)
    assert found["disagreement"] == pytest.approx(0.8 * 0.3 + 0.2 * 0.7, abs=0.01)


def test_copies_of_a_member_add_nothing():
    votes = np.repeat([[0], [1], [1], [0]], 3, axis=1)
    found = diversity(np.eye(2)[votes], [0, 1, 0, 1]).means
    assert found == {"agreement": 1, "disagreement": 0, "q": 1, "double_fault": 0.5}


def test_it_prints_each_pair_and_becomes_plain_numbers():
    rng = np.random.default_rng(0)
    ballots, y = rng.dirichlet(np.ones(3), (50, 3)), rng.integers(0, 3, 50)
    found = diversity(ballots, y, ["a", "b", "c"])
    lines = str(found).splitlines()
    assert [line.split("|")[1].strip() for line in lines[2:]] == ["a, b", "a, c", "b, c", "mean"]
    plain = json.loads(json.dumps(found.to_dict()))
    assert plain["names"] == ["a", "b", "c"]
    np.testing.assert_array_equal(plain["double_fault"], found.double_fault)
    assert plain["means"] == found.means


def test_one_member_has_no_pair():
    found = diversity(np.full((3, 1, 2), 0.5), [0, 1, 1])
    assert np.isnan(list(found.means.values())).all()
    assert len(str(found).splitlines()) == 3


@pytest.mark.parametrize(
    ("y", "names", "text"),
    [
        ([0, 1], ["a", "b"], r"lengths: .* – 3 images of 2 members, \(2,\) labels, 2 names"),
        ([0, 1, 1], ["a"], r"lengths: .* – 3 images of 2 members, \(3,\) labels, 1 names"),
    ],
)
def test_lengths_have_to_fit(y, names, text):
    with pytest.raises(InputError, match=text):
        diversity(np.full((3, 2, 2), 0.5), y, names)


def test_labels_that_are_no_indices_are_refused():
    with pytest.raises(InputError, match="y: of type <U3 – no class indices – number the labels"):
        diversity(np.eye(2)[[[0, 1], [1, 1]]], ["mel", "nv"])
