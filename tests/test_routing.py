from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from skinensemble.routing import best_on_side, joint_proba


@st.composite
def routes(draw):
    """Probabilities of sides and types with zeros and ties, and which types are malignant."""
    n_types = draw(st.integers(2, 7))
    n_samples = draw(st.integers(1, 5))
    rng = np.random.default_rng(draw(st.integers(0, 2**31)))

    def proba(k):
        whole = rng.integers(0, 4, (n_samples, k)).astype(float)
        whole[whole.sum(axis=1) == 0] = 1
        return whole / whole.sum(axis=1, keepdims=True)

    malignant = np.array(draw(st.permutations([True, False, *[True] * (n_types - 2)])))
    return proba(2), proba(n_types), malignant


@given(routes())
def test_rows_sum_to_one_and_sides_to_their_probability(route):
    sides, types, malignant = route
    joint = joint_proba(sides, types, malignant)
    assert (joint >= 0).all()
    np.testing.assert_allclose(joint.sum(axis=1), 1, rtol=0, atol=1e-12)
    np.testing.assert_allclose(joint[:, malignant].sum(axis=1), sides[:, 1], rtol=0, atol=1e-12)


@given(routes())
def test_the_order_within_a_side_is_that_of_the_types(route):
    sides, types, malignant = route
    joint = joint_proba(sides, types, malignant)
    for mask, side in ((malignant, 1), (~malignant, 0)):
        certain = sides[:, side] == 1
        larger = types[:, mask][:, :, None] > types[:, mask][:, None, :]
        kept = joint[:, mask][:, :, None] > joint[:, mask][:, None, :]
        np.testing.assert_array_equal(larger[certain], kept[certain])


def test_a_side_without_any_type_is_shared_out():
    joint = joint_proba(
        np.array([[0.4, 0.6]]), np.array([[1.0, 0, 0]]), np.array([False, True, True])
    )
    np.testing.assert_allclose(joint, [[0.4, 0.3, 0.3]])


def test_the_inputs_are_left_as_they_were():
    sides, types = np.array([[0.5, 0.5]]), np.array([[0.2, 0.3, 0.5]])
    joint_proba(sides, types, np.array([True, False, True]))
    assert (sides.tolist(), types.tolist()) == ([[0.5, 0.5]], [[0.2, 0.3, 0.5]])


@given(routes(), st.integers(0, 2**31))
def test_the_best_is_on_the_side_that_was_chosen(route, seed):
    _, types, malignant = route
    rng = np.random.default_rng(seed)
    side = rng.random(len(types)) < 0.5
    ballots = np.repeat(types[:, None], 3, axis=1)
    best = best_on_side(types, ballots, side, malignant)
    np.testing.assert_array_equal(malignant[best], side)
    rows = np.arange(len(types))
    assert (types[rows, best][:, None] >= np.where(malignant == side[:, None], types, -1)).all()


@pytest.mark.parametrize(
    ("types", "ballots", "best"),
    [
        ([0.0, 0.5, 0.5], [[0.0, 0.6, 0.4]], 1),  # even: the mean probability of the members
        ([0.0, 0.5, 0.5], [[0.0, 0.5, 0.5]], 2),  # even in that as well: the last
        ([1.0, 0.0, 0.0], [[1.0, 0.0, 0.0]], 2),  # nothing on this side, and yet on this side
    ],
)
def test_ties_on_a_side(types, ballots, best):
    malignant = np.array([False, True, True])
    assert best_on_side(np.array([types]), np.array([ballots]), np.array([True]), malignant) == best
