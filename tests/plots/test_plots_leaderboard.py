"""The leaderboard of a search, drawn."""

from __future__ import annotations

import sys

import numpy as np
import pytest
from committees import Scripted, committee, lesion_table
from sklearn.naive_bayes import GaussianNB

from skinensemble import search
from skinensemble.exceptions import InputError, MissingDependencyError
from skinensemble.plots import plot_leaderboard

X, Y, LESIONS = lesion_table(120)


@pytest.fixture(scope="module")
def found():
    others = [(f"bayes {s}", GaussianNB(var_smoothing=s)) for s in (0.1, 1.0, 10.0)]
    candidates = [*committee(), *others, ("broken", Scripted("raise"))]
    return search(candidates, X, Y, groups=LESIONS, n_finalists=3, cv=3)


def test_every_candidate_with_a_score_has_a_row(found):
    ax = plot_leaderboard(found)
    places = [place for place in found.leaderboard if place.rank]
    assert [label.get_text() for label in ax.get_yticklabels()] == [one.name for one in places]
    points = [line.get_xdata()[0] for line in ax.lines if len(line.get_xdata()) == 1]
    np.testing.assert_array_equal(points, [place.score for place in places])
    spans = [list(line.get_xdata()) for line in ax.lines if len(line.get_xdata()) == 2]
    assert spans == [[place.low, place.high] for place in places if place.outcome == "finalist"]
    beside = [text.get_text() for text in ax.texts]
    weights = [f"{place.weight:.2f}" for place in places if place.weight]
    assert [text for text in beside if text and "%" not in text] == weights
    assert beside.count("33 %") == 3
    assert ax.get_xlabel() == "neg_log_loss, higher is better"


def test_many_are_cut_and_said(found, tmp_path):
    ax = plot_leaderboard(found, limit=2)
    assert len(ax.get_yticklabels()) == 2
    assert ax.get_xlabel().endswith("the best 2 of 6")
    ax.figure.savefig(tmp_path / "leaderboard.png")
    assert (tmp_path / "leaderboard.png").stat().st_size > 10_000


def test_it_draws_where_it_is_told(found):
    ax = plot_leaderboard(found)
    other = ax.figure.add_subplot()
    assert plot_leaderboard(found, ax=other) is other


def test_what_cannot_be_drawn_is_named(found, monkeypatch):
    with pytest.raises(InputError, match="limit: 0 – nothing would be drawn"):
        plot_leaderboard(found, limit=0)
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(MissingDependencyError, match=r'pip install "skinensemble\[plots\]"'):
        plot_leaderboard(found)
