"""Images with their verdicts and votes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from skinensemble._optional import import_optional
from skinensemble.exceptions import InputError, first_few, message
from skinensemble.images import as_images
from skinensemble.plots._style import BLUE, FAINT, INK, ORANGE, make_figure
from skinensemble.taxonomy import DIAGNOSES, MALIGNANT
from skinensemble.verdict import digits

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from skinensemble.cascade import Verdict

_COLORS = {"malignant": ORANGE, "benign": BLUE, "refer": FAINT}
_MARKERS = {"malignant": "^", "benign": "o"}


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

    Colour, frame and symbol say the same: orange, triangle: malignant; blue, circle: benign. A grey
    frame is referred; a question mark follows a diagnosis that is.

    Parameters
    ----------
    images : images of length n
        Anything that :func:`~skinensemble.images.as_images` accepts.
    verdicts : sequence of Verdict of length n
        From :meth:`Cascade.verdicts <skinensemble.Cascade.verdicts>`.
    truth : sequence of labels of length n, default=None
        The right diagnoses; each is written below its image, with what the triage made of it.
    malignant : sequence of labels, default=("akiec", "bcc", "mel")
        Which of the right diagnoses are malignant. The default is for the codes of HAM10000.
    columns : int, default=4
        Images in a row.
    figure : matplotlib.figure.Figure, default=None
        Where to draw; None makes a figure of the right size.

    Returns
    -------
    matplotlib.figure.Figure
        With one panel for each image.

    Raises
    ------
    InputError
        When there is nothing to show, lengths differ, or a right diagnosis is no code of HAM10000
        and nobody says which are malignant.
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
    _refuse_foreign(labels, malignant)
    across = min(columns, len(verdicts))
    down = -(-len(verdicts) // across)
    figure = make_figure(figure, (2.4 * across + 0.2, 2.95 * down + 0.75))
    grid = figure.subplots(down, across, squeeze=False)
    for axes in grid.flat[len(verdicts) :]:
        axes.remove()
    members = _members(verdicts)
    for i, (axes, verdict) in enumerate(zip(grid.flat, verdicts, strict=False)):
        _show_verdict(axes, source[i], verdict, members, labels[i], malignant)
    _legend(figure, members)
    return figure


def _refuse_foreign(labels: Sequence, malignant: Sequence) -> None:
    """Refuse labels that would be benign only because nobody called them anything else."""
    default = isinstance(malignant, tuple) and malignant == MALIGNANT
    foreign = [one for one in labels if one is not None and one not in DIAGNOSES]
    if foreign and default:
        why = "no codes of HAM10000, so that only you know which of them are malignant"
        remedy = 'pass malignant with all that are, such as ["mel", "bcc", "scc"]'
        raise InputError(message("truth", first_few(dict.fromkeys(foreign)), why, remedy))


def _show_verdict(axes, image, verdict: Verdict, members, label, malignant) -> None:
    color = _COLORS[verdict.answer]
    axes.imshow(image)
    axes.set(xticks=[], yticks=[])
    for spine in axes.spines.values():
        spine.set(color=color, linewidth=3)
    named = "" if verdict.diagnosis is None else f": {verdict.diagnosis}"
    doubt = "?" if verdict.referred == "diagnosis" else ""
    title = f"{verdict.answer}{named}{doubt}"
    axes.set_title(title, size=10, weight="bold", color=color, pad=16, loc="left")
    sign = "≈" if verdict.early else "="
    chance = f"p(malignant) {sign} {digits(verdict.p_malignant)}"
    axes.text(0, 1.025, chance, transform=axes.transAxes, size=8, color=INK)
    _show_votes(axes, verdict, members)
    if label is not None:
        mark = _mark(verdict, label, bool(np.isin(label, list(malignant))))
        axes.set_xlabel(f"truth: {label}  {mark}", size=9, loc="left", color=INK, labelpad=5)


def _mark(verdict: Verdict, label, malignant: bool) -> str:
    if verdict.answer == "refer":
        return "(left to a human)"
    if verdict.malignant != malignant:
        return "✗ false alarm" if verdict.malignant else "✗ missed"
    if verdict.referred == "diagnosis":
        return "✓ malignant (type left to a human)"
    return "✓" if verdict.diagnosis in (None, label) else "✓ malignant, ✗ type"


def _members(verdicts: Sequence[Verdict]) -> list[str]:
    """Return whom the symbols stand for; with an early exit not everybody is asked every time."""
    most = sorted(verdicts, key=lambda verdict: -len(verdict.triage_votes))
    return list(dict.fromkeys(name for verdict in most for name in verdict.triage_votes))


def _show_votes(axes, verdict: Verdict, members: Sequence[str]) -> None:
    """Draw a symbol for each member's vote, at the right above the image."""
    for place, name in enumerate(reversed(members)):
        if name not in verdict.triage_votes:
            continue
        vote = str(verdict.triage_votes[name])
        axes.plot(
            0.97 - 0.085 * place,
            1.1,
            _MARKERS.get(vote, "s"),
            transform=axes.transAxes,
            color=_COLORS.get(vote, FAINT),
            markersize=6,
            clip_on=False,
        )


def _legend(figure, members: Sequence[str]) -> None:
    lines = import_optional("matplotlib.lines", extra="plots", purpose="plots")
    handles = [
        lines.Line2D([], [], ls="", marker=_MARKERS[side], color=_COLORS[side], label=label)
        for side, label in (("malignant", "votes malignant"), ("benign", "votes benign"))
    ]
    if members:
        figure.legend(
            handles=handles,
            title=f"Members, from left to right: {', '.join(members)}",
            loc="outside lower left",
            ncols=2,
            frameon=False,
            fontsize=8,
            title_fontsize=8,
            alignment="left",
        )
