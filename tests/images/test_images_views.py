"""Views of an image: turned, nearer, in another light."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from skinensemble.images import as_images, dihedral
from skinensemble.images._views import View, lay_out


@pytest.fixture(scope="module")
def images():
    return np.random.default_rng(0).integers(0, 256, (3, 40, 40, 3), dtype=np.uint8)


def seen(view: View, images, size=40):
    return np.concatenate(list(view.batches(as_images(images), (size, size), "crop", 2)))


@given(st.integers(1, 8), st.floats(1, 4), st.floats(0, 0.5))
def test_the_first_view_is_plain_and_all_keep_to_their_limits(n_views, zoom, jitter):
    views = lay_out(n_views, zoom, jitter)
    assert views[0] == View()
    assert [view.turn for view in views] == list(range(n_views))
    assert len({view.name for view in views}) == n_views
    for view in views:
        assert 1 <= view.zoom <= zoom
        assert all(1 - jitter - 1e-9 <= gain <= 1 + jitter + 1e-9 for gain in view.gains)


def test_views_fill_the_range_evenly():
    views = lay_out(8, zoom=2.0, jitter=0.2)[1:]
    shares = np.array([(np.log2(v.zoom), *v.corner, *v.gains) for v in views])
    spread = np.sort((shares - [0, 0, 0, 0.8, 0.8, 0.8]) / [1, 1, 1, 0.4, 0.4, 0.4], axis=0)
    np.testing.assert_allclose(spread, np.repeat(np.arange(1, 8)[:, None] / 8, 6, axis=1))


@pytest.mark.parametrize("turn", range(8))
def test_a_plain_view_is_the_dihedral_one(images, turn):
    np.testing.assert_array_equal(seen(View(turn), images), dihedral(images, turn))


def test_a_window_is_cut_out_of_the_magnified_image(images):
    wide = np.concatenate(list(as_images(images).batches((80, 80))))
    view = View(zoom=2.0, corner=(0.25, 0.75))
    np.testing.assert_array_equal(seen(view, images), wide[:, 10:50, 30:70])


def test_gains_are_factors_of_the_channels(images):
    expected = np.rint(images * np.array([0.5, 1.0, 1.5])).clip(0, 255)
    np.testing.assert_array_equal(seen(View(gains=(0.5, 1.0, 1.5)), images), expected)
