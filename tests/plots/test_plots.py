"""The figures show what they were given, draw without a display, and touch no global state."""

from __future__ import annotations

import sys
from dataclasses import replace

import numpy as np
import pytest

from skinensemble import Verdict
from skinensemble.exceptions import InputError, MissingDependencyError
from skinensemble.metrics import Figure
from skinensemble.plots import plot_rules, plot_verdicts
from skinensemble.report import Report, Row

MEMBERS = ("first", "second", "third")


def verdict(malignant: bool, diagnosis=None, votes="mmb") -> Verdict:
    names = {"m": "malignant", "b": "benign"}
    said = dict(zip(MEMBERS, (names[vote] for vote in votes), strict=True))
    return Verdict(malignant, 0.625, diagnosis, 0.5, triage_votes=said)


@pytest.fixture
def images() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (5, 24, 24, 3), dtype=np.uint8)


@pytest.fixture
def verdicts() -> list[Verdict]:
    found = [(True, "mel"), (True, "mel"), (True, "bcc"), (False, None), (False, None)]
    return [verdict(*each) for each in found]


def report(**figures: Figure) -> Report:
    rows = [
        Row("constant", "always benign", figures, 3, 0),
        Row("member", "first", figures, 1, 2),
        Row("rule", "soft", figures, 1, 2),
    ]
    return Report(rows, rows, 20, 12, {})


def test_verdicts_words_match_what_they_stand_for(images, verdicts):
    truth = ["mel", "bcc", "nv", "mel", "nv"]
    figure = plot_verdicts(images, verdicts, truth=truth, columns=3)
    assert [axes.get_title(loc="left") for axes in figure.axes] == [
        "malignant: mel",
        "malignant: mel",
        "malignant: bcc",
        "benign",
        "benign",
    ]
    assert [axes.get_xlabel() for axes in figure.axes] == [
        "truth: mel  ✓",
        "truth: bcc  ✓ malignant, ✗ type",
        "truth: nv  ✗ false alarm",
        "truth: mel  ✗ missed",
        "truth: nv  ✓",
    ]
    assert "p(malignant) = 0.625" in [text.get_text() for text in figure.axes[0].texts]


def test_a_type_that_is_left_to_a_human_is_neither_right_nor_wrong(images):
    unsure = replace(verdict(True, "mel"), referred="diagnosis")
    figure = plot_verdicts(images[:2], [unsure, unsure], truth=["bcc", "nv"])
    assert [axes.get_xlabel() for axes in figure.axes] == [
        "truth: bcc  ✓ malignant (type left to a human)",
        "truth: nv  ✗ false alarm",
    ]


def test_verdicts_show_the_images_and_each_vote(images, verdicts):
    figure = plot_verdicts(images, verdicts)
    for axes, image in zip(figure.axes, images, strict=True):
        np.testing.assert_array_equal(axes.images[0].get_array(), image)
        votes = sorted(axes.lines, key=lambda line: line.get_xdata()[0])
        assert [line.get_marker() for line in votes] == ["^", "^", "o"]
    (legend,) = figure.legends
    assert legend.get_title().get_text() == "Members, from left to right: first, second, third"


def test_colour_is_never_alone(images, verdicts):
    figure = plot_verdicts(images, verdicts)
    frames = {
        axes.get_title(loc="left").split(":")[0]: axes.spines["left"].get_edgecolor()
        for axes in figure.axes
    }
    assert set(frames) == {"malignant", "benign"} and len(set(frames.values())) == 2


def test_what_is_referred_is_grey_or_has_a_question_mark(images):
    found = [
        Verdict(False, 0.45, referred="triage"),
        Verdict(True, 0.7, "bcc", 0.4, referred="diagnosis"),
    ]
    first, second = plot_verdicts(images[:2], found, truth=["mel", "mel"]).axes
    assert first.get_title(loc="left") == "refer"
    assert first.get_xlabel() == "truth: mel  (left to a human)"
    assert second.get_title(loc="left") == "malignant: bcc?"


def test_malignant_may_be_other_codes(images, verdicts):
    figure = plot_verdicts(images[:1], verdicts[:1], truth=["nv"], malignant=["nv"])
    assert figure.axes[0].get_xlabel().startswith("truth: nv  ✓")


def test_a_truth_of_other_codes_wants_to_know_which_are_malignant(images):
    """A missed melanoma under another name must not read as a right answer."""
    found, truth = [Verdict(False, 0.02)] * 3, ["melanoma", "MEL", "nv"]
    with pytest.raises(InputError, match=r"truth: melanoma, MEL – no codes of HAM10000, .* – pass"):
        plot_verdicts(images[:3], found, truth=truth)
    figure = plot_verdicts(images[:3], found, truth=truth, malignant=["melanoma", "MEL"])
    assert [axes.get_xlabel()[-1] for axes in figure.axes] == ["d", "d", "✓"]
    plot_verdicts(images[:1], found[:1], truth=[None])


def test_verdicts_of_nobody_and_of_one_image(images):
    figure = plot_verdicts(images[:1], [Verdict(False, 0.1)], columns=4)
    assert len(figure.axes) == 1 and not figure.legends


@pytest.mark.parametrize(
    "options", [{"truth": ["nv"]}, {"columns": 0}, {"verdicts": []}], ids=lambda o: next(iter(o))
)
def test_lengths_that_differ(images, verdicts, options):
    arguments = {"images": images, "verdicts": verdicts} | options
    with pytest.raises(InputError, match=r"lengths: .*5 images, [05] verdicts.*one verdict"):
        plot_verdicts(**arguments)


def test_rules_draw_value_and_interval_of_each_row():
    figure = plot_rules(
        report(sensitivity=Figure(0.8, 0.7, 0.9), specificity=Figure(0.5, np.nan, np.nan))
    )
    left, right = figure.axes
    assert [label.get_text() for label in left.get_yticklabels()] == [
        "always benign",
        "first",
        "soft",
    ]
    segments = [line.get_xdata() for line in left.lines if len(line.get_xdata()) == 2]
    assert [list(segment) for segment in segments] == [[0.7, 0.9]] * 3
    assert all(len(line.get_xdata()) == 1 for line in right.lines)
    assert [text.get_text() for text in left.texts] == ["0.80"] * 3
    assert left.get_xlim()[0] < 0 and left.get_xlim()[1] == 1


@pytest.mark.parametrize("kind", ["constant", "member", "rule", "vote", "cascade"])
def test_rows_of_every_kind_are_drawn(kind):
    figures = {name: Figure(0.7, 0.6, 0.8) for name in ("sensitivity", "specificity")}
    rows = [Row(kind, "any", figures, 1, 2)]
    assert plot_rules(Report(rows, rows, 20, 12, {})).axes[0].lines


def test_rules_of_the_diagnosis_and_chosen_figures():
    found = report(accuracy=Figure(0.8, 0.7, 0.9), AUC=Figure(0.5, 0.4, 0.6))
    figure = plot_rules(found, stage="diagnosis", figures=["AUC"])
    assert [axes.get_title(loc="left") for axes in figure.axes] == ["AUC"]
    with pytest.raises(InputError, match="figures: F1 – the diagnosis has accuracy, AUC"):
        plot_rules(found, stage="diagnosis", figures=["F1"])
    with pytest.raises(InputError, match="stage: 'both' – not one of 'triage', 'diagnosis'"):
        plot_rules(found, stage="both")


def test_figures_save_and_leave_pyplot_alone(images, verdicts, tmp_path):
    loaded = "matplotlib.pyplot" in sys.modules
    plot_verdicts(images, verdicts, truth=["nv"] * 5).savefig(tmp_path / "v.png")
    both = {"sensitivity": Figure(0.8, 0.7, 0.9), "specificity": Figure(0, 0, 0)}
    plot_rules(report(**both)).savefig(tmp_path / "r.svg")
    assert (tmp_path / "v.png").stat().st_size > 10_000 and (tmp_path / "r.svg").is_file()
    assert ("matplotlib.pyplot" in sys.modules) == loaded


def test_drawn_into_a_figure_of_ones_own(images, verdicts):
    from matplotlib.figure import Figure as Canvas

    own = Canvas(figsize=(6, 6))
    assert plot_verdicts(images, verdicts, figure=own) is own
    other = Canvas(figsize=(6, 6))
    found = report(sensitivity=Figure(1, 1, 1), specificity=Figure(1, 1, 1))
    assert plot_rules(found, figure=other) is other


def test_without_matplotlib_the_install_line_is_shown(images, verdicts, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(MissingDependencyError, match=r'pip install "skinensemble\[plots\]"'):
        plot_verdicts(images, verdicts)


def test_an_early_exit_leaves_the_places_of_those_who_were_not_asked_empty():
    asked = [{"small": "malignant"}, {"small": "benign", "large": "benign"}]
    found = [Verdict(True, 0.9, triage_votes=votes, early=True) for votes in asked]
    figure = plot_verdicts(np.full((2, 32, 32, 3), 200, np.uint8), found)
    (legend,) = figure.legends
    assert legend.get_title().get_text() == "Members, from left to right: small, large"
    places = [[line.get_xdata() for line in axes.lines] for axes in figure.axes]
    assert places[0] == places[1][1:]
    assert figure.axes[0].texts[0].get_text() == "p(malignant) ≈ 0.900"
