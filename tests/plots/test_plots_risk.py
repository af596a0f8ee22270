from __future__ import annotations

import sys

import numpy as np
import pytest

from skinensemble.exceptions import InputError, MissingDependencyError
from skinensemble.metrics import aurc, coverage_at_accuracy, risk_coverage
from skinensemble.plots import plot_risk_coverage


@pytest.fixture
def case():
    rng = np.random.default_rng(0)
    confidence = rng.random(200)
    return rng.random(200) < 0.6 + 0.4 * confidence, confidence


def test_the_curve_and_the_mark_are_those_of_the_metrics(case):
    ax = plot_risk_coverage(*case, label="soft", target=0.9)
    (curve,) = [line for line in ax.lines if line.get_gid() == "risk"]
    np.testing.assert_array_equal(curve.get_xydata().T, risk_coverage(*case))
    reached = coverage_at_accuracy(*case, 0.9)
    assert 0 < reached < 1
    marks = [line.get_xydata().tolist() for line in ax.lines if line.get_marker() == "D"]
    np.testing.assert_allclose(marks, [[[reached, 0.1]]])
    (text,) = ax.get_legend().get_texts()
    expected = f"soft: AURC {aurc(*case):.3f}, {100 * reached:.0f} % decided at 90 % accuracy"
    assert text.get_text() == expected


def test_curves_side_by_side_differ_in_colour_and_dashes(case):
    ax = plot_risk_coverage(*case, label="soft", target=0.9)
    top = ax.get_ylim()[1]
    assert plot_risk_coverage([False, True], [0.9, 0.1], ax=ax, label="worse") is ax
    curves = [line for line in ax.lines if line.get_gid() == "risk"]
    assert len({line.get_color() for line in curves}) == 2
    assert len({line.get_linestyle() for line in curves}) == 2
    assert [text.get_text().split(":")[0] for text in ax.get_legend().get_texts()] == [
        "soft",
        "worse",
    ]
    assert ax.get_ylim()[1] > max(1, top)


def test_few_steps_are_dots_and_a_target_out_of_reach_has_no_mark():
    ax = plot_risk_coverage([False, True], [0.9, 0.1], label="never", target=0.95)
    markers = [line.get_marker() for line in ax.lines]
    assert markers.count("o") == 1
    assert "D" not in markers
    text = ax.get_legend().get_texts()[0].get_text()
    assert text == "never: AURC 0.750, 0 % decided at 95 % accuracy"


def test_all_that_is_drawn_is_inside(case):
    ax = plot_risk_coverage(np.ones(10, bool), np.arange(10), target=0.8)
    assert ax.get_ylim()[1] > 0.2
    assert ax.get_xlim() == (0, 1)
    assert ax.get_legend().get_texts()[0].get_text() == (
        "AURC 0.000, 100 % decided at 80 % accuracy"
    )


def test_it_saves_and_leaves_pyplot_alone(case, tmp_path):
    loaded = "matplotlib.pyplot" in sys.modules
    plot_risk_coverage(*case).figure.savefig(tmp_path / "risk.png")
    assert (tmp_path / "risk.png").stat().st_size > 10_000
    assert ("matplotlib.pyplot" in sys.modules) == loaded


def test_what_cannot_be_drawn_is_named(case, monkeypatch):
    with pytest.raises(InputError, match="accuracy: 95 – not above 0 and up to 1"):
        plot_risk_coverage(*case, target=95)
    with pytest.raises(InputError, match="lengths: correct, confidence, weights"):
        plot_risk_coverage([True], [0.1, 0.2])
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(MissingDependencyError, match=r'pip install "skinensemble\[plots\]"'):
        plot_risk_coverage(*case)
