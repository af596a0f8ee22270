from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.cluster.hierarchy import DisjointSet

from skinensemble.exceptions import InputError
from skinensemble.identity import content_digests, join_lesions, known_rows, lesion_digests
from skinensemble.images import as_images


@pytest.mark.parametrize("kind", [np.asarray, pd.DataFrame, np.asfortranarray])
def test_digests_tell_content_apart_and_recognise_it(kind):
    X = np.random.default_rng(0).standard_normal((50, 4))
    X[49] = X[0]
    digests = content_digests(kind(X))
    assert digests.dtype == np.uint64
    assert len(set(digests.tolist())) == 49
    assert digests[0] == digests[49]
    np.testing.assert_array_equal(content_digests(kind(X[::-1]))[::-1], digests)


def test_decimals_are_the_same_in_whatever_precision_they_are_kept():
    X = np.random.default_rng(0).standard_normal((5, 4)).astype(np.float32)
    wide = X.astype(np.float64)
    np.testing.assert_array_equal(content_digests(X), content_digests(wide))
    assert (content_digests(wide) != content_digests(wide * (1 + 1e-12))).all()


def test_digests_of_images_are_their_own():
    images = np.random.default_rng(0).integers(0, 256, (3, 8, 8, 3), dtype=np.uint8)
    source = as_images(images)
    expected = [int.from_bytes(digest[:8], "little") for digest in source.digests]
    assert content_digests(source).tolist() == expected
    assert len(set(expected)) == 3


@pytest.mark.parametrize("X", [["a.jpg", "b.jpg"], np.array(["a", "b"], dtype=object)])
def test_what_has_no_bytes_has_no_digest(X):
    assert content_digests(X) is None


@pytest.mark.parametrize("kind", [list, np.asarray, pd.Series, tuple, pd.Categorical])
def test_lesions_are_known_again_by_their_names(kind):
    here, there = lesion_digests(kind(["a", "b", "a", "ä"])), lesion_digests(kind(["b", "c", "ä"]))
    assert here.dtype == np.uint64
    assert len(set(here.tolist())) == 3
    assert known_rows(there, here).tolist() == [0, 2]


def test_a_name_may_be_bytes_or_hold_what_is_no_text():
    known = lesion_digests(["HAM_1", "p\udce4"])
    assert known_rows(lesion_digests(np.array([b"HAM_0", b"HAM_1"])), known).tolist() == [1]
    assert known_rows(lesion_digests(["p\udce4", "p\xe4"]), known).tolist() == [0]


@pytest.mark.parametrize(
    "groups", [None, range(3), [4, 5, 5], np.arange(3.0), pd.Series([1, 2]), ["1", "02", "3"]]
)
def test_numbers_of_lesions_are_those_of_their_own_table(groups):
    assert lesion_digests(groups) is None


def test_what_is_unknown_was_not_trained_on():
    known = lesion_digests(["a"])
    assert known_rows(None, known).tolist() == known_rows(known, None).tolist() == []


@given(st.data())
def test_joined_are_all_that_pairs_link(data):
    groups = np.array(data.draw(st.lists(st.sampled_from("abcdefgh"), min_size=1, max_size=12)))
    row = st.integers(0, len(groups) - 1)
    pairs = data.draw(st.lists(st.tuples(row, row), max_size=6))
    sets = DisjointSet(groups.tolist())
    for a, b in pairs:
        sets.merge(groups[a], groups[b])
    joined = join_lesions(groups, pairs)
    for a in range(len(groups)):
        assert joined[a] == next(name for name in groups if sets.connected(name, groups[a]))


def test_lesions_may_be_unknown():
    assert join_lesions(4, [(3, 1)]).tolist() == [0, 1, 2, 1]
    assert join_lesions(3, []).tolist() == [0, 1, 2]
    assert join_lesions(np.int64(2), [(0, 1)]).tolist() == [0, 0]


@pytest.mark.parametrize(("pair", "row"), [((0, 4), 4), ((-1, 2), -1)])
def test_a_pair_of_other_images(pair, row):
    with pytest.raises(InputError, match=f"pairs: row {row} – there are 4 images – pass those"):
        join_lesions(4, [pair])


@pytest.mark.parametrize("pair", [(1,), ("a", "b"), (0.9, 1.9), "ab"])
def test_pairs_are_two_rows(pair):
    with pytest.raises(InputError, match=r"pairs: .* – not two whole numbers – pass the rows of"):
        join_lesions(4, [(0, 1), pair])
