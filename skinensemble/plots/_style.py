"""Colours, and figures without pyplot."""

from __future__ import annotations

from typing import TYPE_CHECKING

from skinensemble._optional import import_optional

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# Okabe and Ito's colours, https://jfly.uni-koeln.de/color/: distinct to the colour-blind too.
ORANGE, BLUE, GREEN, PINK = "#D55E00", "#0072B2", "#009E73", "#CC79A7"
INK, FAINT, GRID = "#222222", "#8A8A8A", "#E6E6E6"


def make_figure(given: Figure | None, size: tuple[float, float]) -> Figure:
    """Return the figure given, or a new one of that size in inches."""
    module = import_optional("matplotlib.figure", extra="plots", purpose="plots")
    if given is not None:
        return given
    figure = module.Figure(figsize=size, dpi=150)
    figure.set_layout_engine("constrained", w_pad=0.09, h_pad=0.07)
    return figure
