"""Members, rules and constant answers side by side."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from skinensemble.exceptions import InputError, check_choice, first_few, message
from skinensemble.plots._style import BLUE, FAINT, GRID, INK, make_figure

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from skinensemble.report import Report, Row

_KINDS = {
    "rule": ("D", BLUE),
    "vote": ("s", BLUE),
    "cascade": ("s", BLUE),
    "member": ("o", FAINT),
    "constant": ("|", FAINT),
}


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
        As in :func:`plot_verdicts`.

    Returns
    -------
    matplotlib.figure.Figure
        With one panel for each of the `figures`.

    Raises
    ------
    InputError
        When there is no such stage, or no such figure in it.
    MissingDependencyError
        When matplotlib is not installed.
    """
    check_choice("stage", stage, ("triage", "diagnosis"))
    rows: list[Row] = getattr(report, stage)
    if figures is None:
        first = "sensitivity" if stage == "triage" else "accuracy"
        figures = (first, "specificity" if stage == "triage" else "balanced accuracy")
    unknown = [name for name in figures if name not in rows[0].figures]
    if unknown or not figures:
        known = f"the {stage} has {first_few(rows[0].figures)}"
        raise InputError(message("figures", first_few(unknown) or "none", known, "choose of them"))
    figure = make_figure(figure, (2.2 + 2.9 * len(figures), 0.3 * len(rows) + 1.3))
    panels = figure.subplots(1, len(figures), sharey=True, squeeze=False)[0]
    for axes, name in zip(panels, figures, strict=True):
        _show_figure(axes, rows, name)
    _name_rows(panels[0], rows)
    kind = "malignant or benign" if stage == "triage" else "all types"
    size = f"{report.n_images} images of {report.n_lesions} lesions; 95 % intervals"
    figure.suptitle(
        f"{stage.capitalize()}: {kind}", x=0.02, ha="left", size=11, weight="bold", color=INK
    )
    figure.supxlabel(size, x=0.99, ha="right", size=8, color=FAINT)
    return figure


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
        axes.text(1.05, place, f"{found.value:.2f}", size=8, va="center", color=INK)
    axes.set_title(name, size=10, loc="left", color=INK)
    axes.set_xlim(-0.03, 1.0)
    axes.set_xticks([0, 0.25, 0.5, 0.75, 1.0], ["0", "", "0.5", "", "1"], size=8)
    axes.grid(axis="x", color=GRID, lw=0.8)
    axes.set_axisbelow(True)
    axes.tick_params(length=0)
    for spine in axes.spines.values():
        spine.set_visible(False)


def _name_rows(axes, rows: Sequence[Row]) -> None:
    axes.set_ylim(len(rows) - 0.5, -0.5)
    axes.set_yticks(range(len(rows)), [row.name for row in rows], size=9)
    for label, row in zip(axes.get_yticklabels(), rows, strict=True):
        label.set_color(INK if row.kind == "rule" else FAINT)
        label.set_weight("bold" if row.kind == "rule" else "normal")
