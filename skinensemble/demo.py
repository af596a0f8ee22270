"""Everything once, on synthetic lesions: no data to fetch, no weights host in reach.

``skinensemble demo`` on the command line; ``examples/quickstart.py`` shows the same steps as a
program to start one's own from.
"""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from skinensemble._paths import expanded
from skinensemble.builders import DEFAULT_BACKBONES
from skinensemble.exceptions import InputError, MissingDependencyError, ModelFileError, message

__all__ = ["run_demo"]

_HONEST = (
    "These lesions are drawn, not photographed. The figures show how the library works and\n"
    "say nothing about patients."
)
_NEXT = """\
What to do next
  Read    examples/quickstart.py: these steps as a program of a few lines
  Look    skinensemble info {model}
  Train   skinensemble train HAM10000 --min-sensitivity 0.95 --output cascade.h5
          on HAM10000 (https://doi.org/10.7910/DVN/DBW86T) or images of your own
  Use     skinensemble predict cascade.h5 IMAGES"""


@dataclass(frozen=True)
class _Scale:
    """How much of everything: enough lesions to prove the sensitivity, few enough to wait for."""

    backbones: tuple[str, ...] = DEFAULT_BACKBONES
    n_lesions: int = 400
    drawn_size: int = 160
    image_size: int = 128
    min_sensitivity: float = 0.95
    parts: int = 4
    cv: int = 3


_SMALL = _Scale(
    backbones=DEFAULT_BACKBONES[:1],
    n_lesions=84,
    drawn_size=96,
    image_size=96,
    min_sensitivity=0.8,
    cv=2,
)


def run_demo(
    output: str | os.PathLike[str] = "skinensemble-demo",
    *,
    backbones: Sequence[str] | None = None,
    n_lesions: int | None = None,
    small: bool = False,
    random_state: int = 0,
) -> Path:
    """Draw lesions, train a cascade, compare the voting rules, and say what was done.

    Parameters
    ----------
    output : path, default="skinensemble-demo"
        Folder for ``demo-cascade.h5``, ``verdicts.png`` and ``rules.png``; made if need be. Files
        of these names are replaced.
    backbones : sequence of str, default=None
        Names of :func:`~skinensemble.list_backbones`; None: EfficientNet-Lite0, 1 and 2.
    n_lesions : int, default=None
        How many lesions to draw; None: 400, of which about 130 malignant ones are trained on. A
        certified sensitivity of 0.95 needs 59.
    small : bool, default=False
        One backbone, 84 lesions, small images and a lower promise: a test of the installation.
    random_state : int, default=0
        Of all that is random.

    Returns
    -------
    Path
        The folder.

    Raises
    ------
    MissingDependencyError
        When the ImageNet weights of the backbones are not installed (extra ``offline``).
    InputError
        When the folder cannot be made.
    CertificateError
        When `n_lesions` are too few.
    """
    from skinensemble.report import evaluate

    scale = _SMALL if small else _Scale()
    names = tuple(backbones or scale.backbones)
    folder, tell = _make_folder(output), _Story()
    cascade = _make_cascade(names, scale, random_state)

    tell.step(f"Loading {', '.join(names)} with ImageNet weights")
    _load_backbones(cascade)
    tell.step("Drawing synthetic lesions of all seven types")
    lesions, train, test = _draw(n_lesions or scale.n_lesions, scale, random_state)
    tell.fact(f"{_amount(lesions)}; a quarter of the lesions is kept aside")
    tell.step("Training: malignant or benign, then which diagnosis; one member per backbone")
    cascade.fit(lesions.images[train], lesions.target[train], groups=lesions.groups[train])
    tell.fact(f"promised: {cascade.certificate_}")
    tell.step("Judging members and voting rules on the lesions kept aside")
    truth = lesions.target[test]
    report = evaluate(cascade, lesions.images[test], truth, groups=lesions.groups[test])
    print(f"\n{report}\n\n{_HONEST}\n")
    model = folder / "demo-cascade.h5"
    tell.step(f"Saving {model} and loading it again")
    loaded = _save_and_load(cascade, model, lesions.images[test])
    tell.step("Verdicts for eight images, by the cascade as loaded")
    rows = test[_handful(truth, lesions.groups[test])]
    verdicts = loaded.verdicts(lesions.images[rows])
    for label, verdict in zip(lesions.target[rows], verdicts, strict=True):
        tell.fact(f"{f'({label})':8s}{verdict}")
    _draw_plots(folder, lesions, rows, verdicts, report, tell)
    print(f"\nDone in {tell.seconds():.0f} s.\n\n{_NEXT.format(model=model)}")
    return folder


class _Story:
    """Says what happens, and when."""

    def __init__(self) -> None:
        self._start = time.monotonic()

    def seconds(self) -> float:
        return time.monotonic() - self._start

    def step(self, text: str) -> None:
        print(f"[{self.seconds():4.0f} s] {text}", flush=True)

    def fact(self, text: str) -> None:
        print(f"         {text}", flush=True)


def _make_folder(output: str | os.PathLike[str]) -> Path:
    folder = expanded(output)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        why = f"it cannot be made ({error.strerror})"
        raise InputError(message("folder", folder, why, "choose another one")) from error
    return folder


def _make_cascade(names: tuple[str, ...], scale: _Scale, random_state: int) -> Any:
    from skinensemble.cascade import make_cascade

    return make_cascade(
        *names,
        voting="threshold",
        min_sensitivity=scale.min_sensitivity,
        image_size=scale.image_size,
        batch_size=32,
        cv=scale.cv,
        random_state=random_state,
    )


def _load_backbones(cascade) -> None:
    """Build the networks now: missing weights are better known before the work than after it."""
    grey = np.full((1, 32, 32, 3), 127, np.uint8)
    cascade.triage.prepare(grey)


def _draw(n_lesions: int, scale: _Scale, random_state: int) -> tuple[Any, np.ndarray, np.ndarray]:
    """Draw the lesions; keep whole lesions aside, so that no figure is flattered."""
    from sklearn.model_selection import StratifiedGroupKFold

    from skinensemble.datasets import make_lesions

    lesions = make_lesions(
        n_lesions,
        images_per_lesion=(1, 2),
        size=scale.drawn_size,
        weights="balanced",
        difficulty=0.3,
        random_state=random_state,
    )
    folds = StratifiedGroupKFold(scale.parts, shuffle=True, random_state=random_state)
    train, test = next(folds.split(lesions.images, lesions.target, lesions.groups))
    return lesions, train, test


def _amount(lesions) -> str:
    return f"{len(lesions.images)} images of {len(np.unique(lesions.groups))} lesions"


def _save_and_load(cascade, path: Path, images: np.ndarray) -> Any:
    from skinensemble.persistence import load

    cascade.save(path)
    loaded = load(path)
    if not np.array_equal(cascade.predict_proba(images), loaded.predict_proba(images)):
        why = "the loaded cascade does not predict what the saved one did"
        raise ModelFileError(message("demo", path, why, "report it with your versions"))
    return loaded


def _handful(truth: np.ndarray, groups: np.ndarray) -> np.ndarray:
    """Choose one image of each type, and a second naevus: the rows of eight lesions."""
    rows = [int(np.flatnonzero(truth == code)[0]) for code in np.unique(truth)]
    others = np.flatnonzero((truth == "nv") & ~np.isin(groups, groups[rows]))
    return np.array(sorted([*rows, *others[: 8 - len(rows)].tolist()]))


def _draw_plots(folder: Path, lesions, rows, verdicts, report, tell: _Story) -> None:
    from skinensemble.plots import plot_rules, plot_verdicts

    tell.step(f"Drawing {folder / 'verdicts.png'} and {folder / 'rules.png'}")
    try:
        figure = plot_verdicts(lesions.images[rows], verdicts, truth=lesions.target[rows])
    except MissingDependencyError as error:
        tell.fact(f"left out: {error}")
        return
    figure.savefig(folder / "verdicts.png")
    plot_rules(report).savefig(folder / "rules.png")
