"""The candidates of a search, best first."""

from __future__ import annotations

from typing import TYPE_CHECKING

from skinensemble.exceptions import InputError, message
from skinensemble.plots._style import BLUE, FAINT, GRID, INK, make_figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from skinensemble.trials import SearchResult

_KINDS = {
    "committee": ("D", BLUE, BLUE, "in the committee, with its weight"),
    "finalist": ("o", BLUE, "white", "trained on all folds (95 % interval)"),
    "out": ("o", FAINT, "white", "out before, on a share of the lesions: not to be compared"),
}


def plot_leaderboard(found: SearchResult, *, ax: Axes | None = None, limit: int = 30) -> Axes:
    """Draw the score of each candidate of a search, those of the committee with their weight.

    Parameters
    ----------
    found : SearchResult
        From :func:`~skinensemble.search`.
    ax : matplotlib.axes.Axes, default=None
        Where to draw; None makes a figure with one.
    limit : int, default=30
        How many candidates at most. Those that failed or were not tried have no score.

    Returns
    -------
    matplotlib.axes.Axes
        ``ax.figure`` is what can be saved.

    Raises
    ------
    InputError
        When `limit` is below 1.
    MissingDependencyError
        When matplotlib is not installed.
    """
    if limit < 1:
        raise InputError(message("limit", limit, "nothing would be drawn", "pass 1 or more"))
    places = [place for place in found.leaderboard if place.rank is not None]
    shown = places[:limit]
    if ax is None:
        ax = make_figure(None, (7.6, 0.24 * len(shown) + 1.5)).subplots()
    for row, place in enumerate(shown):
        _show(ax, row, place)
    _frame(ax, shown)
    more = f", the best {len(shown)} of {len(places)}" if len(places) > len(shown) else ""
    ax.set_xlabel(f"{found.scoring_name}, higher is better{more}", size=9, color=INK)
    return ax


def _show(ax: Axes, row: int, place) -> None:
    marker, color, face, label = _KINDS["committee" if place.weight else place.outcome]
    if place.low < place.high:
        ax.plot([place.low, place.high], [row, row], color=color, lw=1.4, alpha=0.75)
    taken = {line.get_label() for line in ax.lines}
    ax.plot(
        place.score,
        row,
        marker,
        color=color,
        markerfacecolor=face,
        markersize=5.5,
        label="_" if label in taken else label,
    )
    text = f"{place.weight:.2f}" if place.weight else ""
    text = f"{100 * place.share:.0f} %" if place.outcome == "out" else text
    ax.annotate(
        text,
        (1.01, row),
        xycoords=ax.get_yaxis_transform(),
        size=8,
        va="center",
        color=color,
        annotation_clip=False,
    )


def _frame(ax: Axes, shown) -> None:
    ax.set_ylim(len(shown) - 0.4, -0.6)
    ax.set_yticks(range(len(shown)), [place.name for place in shown], size=8)
    for label, place in zip(ax.get_yticklabels(), shown, strict=True):
        label.set_color(INK if place.outcome == "finalist" else FAINT)
        label.set_fontweight("bold" if place.weight else "normal")
    ax.grid(axis="x", color=GRID, lw=0.8)
    ax.set_axisbelow(True)
    ax.tick_params(length=0)
    ax.tick_params(axis="x", labelsize=8, labelcolor=INK)
    ax.locator_params(axis="x", nbins=6)
    for spine in ax.spines.values():
        spine.set_visible(False)
    ax.legend(
        loc="lower left",
        bbox_to_anchor=(-0.02, 1.0),
        fontsize=8,
        frameon=False,
        labelcolor=INK,
        ncols=1,
    )
