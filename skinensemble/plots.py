"""Verdicts and voting rules drawn, for people who cannot tell red from green as well.

Needs matplotlib (extra ``plots``). Figures are made without pyplot: nothing is shown, no global
state is touched; call ``savefig`` on what is returned, or leave the last line of a notebook cell
to show it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from skinensemble._optional import import_optional
from skinensemble.exceptions import InputError, first_few, message
from skinensemble.images import as_images
from skinensemble.taxonomy import MALIGNANT

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from skinensemble.cascade import Verdict
    from skinensemble.report import Report, Row

__all__ = ["plot_rules", "plot_verdicts"]

# Okabe and Ito's colours, https://jfly.uni-koeln.de/color/: distinct to the colour-blind too.
_COLORS = {"malignant": "#D55E00", "benign": "#0072B2"}
_MARKERS = {"malignant": "^", "benign": "o"}
_INK, _FAINT = "#222222", "#8A8A8A"
_KINDS = {
    "rule": ("D", "#0072B2"),
    "member": ("o", "#8A8A8A"),
    "constant": ("|", "#8A8A8A"),
}


def plot_verdicts(
    images: Any,
    verdicts: Sequence[Verdict],
    *,
    truth: Sequence | None = None,
    malignant: Sequence = MALIGNANT,
    columns: int = 4,
    figure: Figure | None = None,
) -> Figure:
    """Show images with their verdicts, and how each member of the triage voted.

    Colour, frame and symbol say the same: orange, triangle: malignant; blue, circle: benign.

    Parameters
    ----------
    images : images of length n
        Anything that :func:`~skinensemble.images.as_images` accepts.
    verdicts : sequence of Verdict of length n
        From :meth:`Cascade.verdicts <skinensemble.Cascade.verdicts>`.
    truth : sequence of labels of length n, default=None
        The right diagnoses; each is written below its image, with what the triage made of it.
    malignant : sequence of labels, default=("akiec", "bcc", "mel")
        Which of the right diagnoses are malignant.
    columns : int, default=4
        Images in a row.
    figure : matplotlib.figure.Figure, default=None
        Where to draw; None makes a figure of the right size.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    InputError
        When there is nothing to show, or lengths differ.
    MissingDependencyError
        When matplotlib is not installed.

    Examples
    --------
    >>> from skinensemble import Verdict
    >>> lesions = np.full((2, 32, 32, 3), 200, np.uint8)
    >>> found = [Verdict(True, 0.9, "mel", 0.8), Verdict(False, 0.1)]
    >>> figure = plot_verdicts(lesions, found, truth=["mel", "nv"])
    >>> len(figure.axes)
    2
    """
    source, verdicts = as_images(images), list(verdicts)
    labels = [None] * len(verdicts) if truth is None else list(truth)
    if not len(source) == len(verdicts) == len(labels) or columns < 1:
        why = f"{len(source)} images, {len(verdicts)} verdicts, {len(labels)} labels"
        remedy = "pass one verdict, and one label, for each image"
        raise InputError(message("lengths", f"columns={columns}", why, remedy))
    across = min(columns, len(verdicts))
    down = -(-len(verdicts) // across)
    figure = _figure(figure, (2.4 * across + 0.2, 2.95 * down + 0.75))
    grid = figure.subplots(down, across, squeeze=False)
    for axes in grid.flat[len(verdicts) :]:
        axes.remove()
    for i, (axes, verdict) in enumerate(zip(grid.flat, verdicts, strict=False)):
        _show_verdict(axes, source[i], verdict, labels[i], malignant)
    _legend(figure, verdicts)
    return figure


def plot_rules(
    report: Report,
    *,
    stage: str = "triage",
    figures: Sequence[str] | None = None,
    figure: Figure | None = None,
) -> Figure:
    """Show members, rules and constant answers side by side, each figure with its interval.

    Parameters
    ----------
    report : Report
        From :func:`~skinensemble.evaluate`.
    stage : {"triage", "diagnosis"}, default="triage"
    figures : sequence of str, default=None
        Names of figures in the report; None: sensitivity and specificity of the triage, accuracy
        and balanced accuracy of the diagnosis.
    figure : matplotlib.figure.Figure, default=None
        Where to draw; None makes a figure of the right size.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    InputError
        When there is no such stage, or no such figure in it.
    MissingDependencyError
        When matplotlib is not installed.
    """
    if stage not in ("triage", "diagnosis"):
        raise InputError(message("stage", repr(stage), "unknown", "pass 'triage' or 'diagnosis'"))
    rows: list[Row] = getattr(report, stage)
    if figures is None:
        first = "sensitivity" if stage == "triage" else "accuracy"
        figures = (first, "specificity" if stage == "triage" else "balanced accuracy")
    unknown = [name for name in figures if name not in rows[0].figures]
    if unknown or not figures:
        known = f"the {stage} has {first_few(rows[0].figures)}"
        raise InputError(message("figures", first_few(unknown) or "none", known, "choose of them"))
    figure = _figure(figure, (2.2 + 2.9 * len(figures), 0.3 * len(rows) + 1.3))
    panels = figure.subplots(1, len(figures), sharey=True, squeeze=False)[0]
    for axes, name in zip(panels, figures, strict=True):
        _show_figure(axes, rows, name)
    _name_rows(panels[0], rows)
    kind = "malignant or benign" if stage == "triage" else "all types"
    size = f"{report.n_images} images of {report.n_lesions} lesions; 95 % intervals"
    figure.suptitle(
        f"{stage.capitalize()}: {kind}", x=0.02, ha="left", size=11, weight="bold", color=_INK
    )
    figure.supxlabel(size, x=0.99, ha="right", size=8, color=_FAINT)
    return figure


def _figure(given: Figure | None, size: tuple[float, float]) -> Figure:
    module = import_optional("matplotlib.figure", extra="plots", purpose="plots")
    if given is not None:
        return given
    figure = module.Figure(figsize=size, dpi=150)
    figure.set_layout_engine("constrained", w_pad=0.09, h_pad=0.07)
    return figure


def _show_verdict(axes, image, verdict: Verdict, label, malignant) -> None:
    side = "malignant" if verdict.malignant else "benign"
    color = _COLORS[side]
    axes.imshow(image)
    axes.set(xticks=[], yticks=[])
    for spine in axes.spines.values():
        spine.set(color=color, linewidth=3)
    named = "" if verdict.diagnosis is None else f": {verdict.diagnosis}"
    axes.set_title(f"{side}{named}", size=10, weight="bold", color=color, pad=16, loc="left")
    chance = f"p(malignant) = {verdict.p_malignant:.2f}"
    axes.text(0, 1.025, chance, transform=axes.transAxes, size=8, color=_INK)
    _show_votes(axes, verdict, color)
    if label is not None:
        mark = _mark(verdict, label, bool(np.isin(label, list(malignant))))
        axes.set_xlabel(f"truth: {label}  {mark}", size=9, loc="left", color=_INK, labelpad=5)


def _mark(verdict: Verdict, label, malignant: bool) -> str:
    if verdict.malignant != malignant:
        return "✗ false alarm" if verdict.malignant else "✗ missed"
    return "✓" if verdict.diagnosis in (None, label) else "✓ malignant, ✗ type"


def _show_votes(axes, verdict: Verdict, color: str) -> None:
    """Draw a symbol for each member's vote, at the right above the image."""
    votes = [str(vote) for vote in verdict.triage_votes.values()]
    for place, vote in enumerate(reversed(votes)):
        axes.plot(
            0.97 - 0.085 * place,
            1.1,
            _MARKERS.get(vote, "s"),
            transform=axes.transAxes,
            color=_COLORS.get(vote, _FAINT),
            markersize=6,
            clip_on=False,
        )


def _legend(figure, verdicts: Sequence[Verdict]) -> None:
    lines = import_optional("matplotlib.lines", extra="plots", purpose="plots")
    handles = [
        lines.Line2D([], [], ls="", marker=_MARKERS[side], color=_COLORS[side], label=label)
        for side, label in (("malignant", "votes malignant"), ("benign", "votes benign"))
    ]
    members = ", ".join(verdicts[0].triage_votes)
    if members:
        figure.legend(
            handles=handles,
            title=f"Members, from left to right: {members}",
            loc="outside lower left",
            ncols=2,
            frameon=False,
            fontsize=8,
            title_fontsize=8,
            alignment="left",
        )


def _show_figure(axes, rows: Sequence[Row], name: str) -> None:
    for place, row in enumerate(rows):
        found = row.figures[name]
        marker, color = _KINDS[row.kind]
        if np.isfinite([found.low, found.high]).all() and found.low < found.high:
            axes.plot([found.low, found.high], [place, place], color=color, lw=1.6, alpha=0.75)
        # At 0 and 1 half of the symbol would be cut off.
        axes.plot(
            found.value, place, marker, color=color, markersize=6, markeredgewidth=2, clip_on=False
        )
        axes.text(1.05, place, f"{found.value:.2f}", size=8, va="center", color=_INK)
    axes.set_title(name, size=10, loc="left", color=_INK)
    axes.set_xlim(-0.03, 1.0)
    axes.set_xticks([0, 0.25, 0.5, 0.75, 1.0], ["0", "", "0.5", "", "1"], size=8)
    axes.grid(axis="x", color="#E6E6E6", lw=0.8)
    axes.set_axisbelow(True)
    axes.tick_params(length=0)
    for spine in axes.spines.values():
        spine.set_visible(False)


def _name_rows(axes, rows: Sequence[Row]) -> None:
    axes.set_ylim(len(rows) - 0.5, -0.5)
    axes.set_yticks(range(len(rows)), [row.name for row in rows], size=9)
    for label, row in zip(axes.get_yticklabels(), rows, strict=True):
        label.set_color(_INK if row.kind == "rule" else _FAINT)
        label.set_weight("bold" if row.kind == "rule" else "normal")
