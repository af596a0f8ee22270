"""What is gained by leaving the doubtful images to somebody else."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from skinensemble.metrics import aurc, coverage_at_accuracy, risk_coverage
from skinensemble.plots._style import BLUE, FAINT, GREEN, GRID, INK, ORANGE, PINK, make_figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# Colour is never alone.
_LINES = ((BLUE, "-"), (ORANGE, "--"), (GREEN, "-."), (PINK, ":"))


def plot_risk_coverage(
    correct: np.ndarray,
    confidence: np.ndarray,
    *,
    ax: Axes | None = None,
    label: str | None = None,
    target: float | None = None,
) -> Axes:
    """Draw the share of errors among the decided images over the share that is decided.

    Call it again with the same `ax` to compare: further curves get other colours and dashes.

    Parameters
    ----------
    correct, confidence : array-like of shape (n_images,)
        As in :func:`~skinensemble.metrics.risk_coverage`.
    ax : matplotlib.axes.Axes, default=None
        Where to draw; None makes a figure with one.
    label : str, default=None
        Name of the curve in the legend, which adds the area under it.
    target : float, default=None
        An accuracy; marks the largest coverage at which the decided images reach it.

    Returns
    -------
    matplotlib.axes.Axes
        ``ax.figure`` is what can be saved.

    Raises
    ------
    InputError
        As :func:`~skinensemble.metrics.risk_coverage`, and when `target` is not in (0, 1].
    MissingDependencyError
        When matplotlib is not installed.

    Examples
    --------
    >>> correct, confidence = [True, True, False, True], [0.9, 0.8, 0.6, 0.5]
    >>> ax = plot_risk_coverage(correct, confidence, label="soft", target=0.95)
    >>> print(ax.get_legend().get_texts()[0].get_text())
    soft: AURC 0.146, 50 % decided at 95 % accuracy
    """
    coverage, risk = risk_coverage(correct, confidence)
    text = f"{label}: " if label else ""
    text += f"AURC {aurc(correct, confidence):.3f}"
    if target is not None:
        reached = float(coverage_at_accuracy(correct, confidence, target))
        text += f", {100 * reached:.0f} % decided at {100 * target:g} % accuracy"
    if ax is None:
        ax = make_figure(None, (5.6, 3.9)).subplots()
    curves = [line for line in ax.lines if line.get_gid() == "risk"]
    color, dashes = _LINES[len(curves) % len(_LINES)]
    # Few steps are seen as such: between them no share can be decided.
    marker = "o" if len(coverage) <= 20 else ""
    (curve,) = ax.plot(coverage, risk, dashes, marker=marker, markersize=4, color=color, lw=1.8)
    curve.set(label=text, gid="risk")
    tops = [ax.get_ylim()[1] if curves else 0.0, 1.1 * float(risk.max()), 0.01]
    if target is not None:
        _mark(ax, reached, 1 - target, color)
        tops.append(1.6 * (1 - target))
    _frame(ax, max(tops))
    return ax


def _mark(ax: Axes, reached: float, risk: float, color: str) -> None:
    ax.axhline(risk, color=FAINT, lw=0.9, zorder=1)
    if reached > 0:
        ax.plot([reached, reached], [0, risk], color=color, lw=0.9, alpha=0.6, zorder=1)
        ax.plot(reached, risk, "D", color=color, markersize=6, clip_on=False)


def _frame(ax: Axes, top: float) -> None:
    ax.set_xlim(0, 1)
    ax.set_ylim(0, top)
    ax.xaxis.set_major_formatter(lambda value, _: f"{100 * value:.0f} %")
    ax.yaxis.set_major_formatter(lambda value, _: f"{100 * value:.3g} %")
    ax.set_xlabel("coverage: share of the images that is decided", size=9, color=INK)
    ax.set_ylabel("risk: errors among the decided", size=9, color=INK)
    ax.grid(color=GRID, lw=0.8)
    ax.set_axisbelow(True)
    ax.tick_params(length=0, labelsize=8, labelcolor=INK)
    for spine in ax.spines.values():
        spine.set_visible(False)
    ax.legend(loc="upper left", fontsize=8, frameon=False, labelcolor=INK)
