"""The checks that every reader shares, from rows of ids and labels to the finished data set."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.utils import Bunch

from skinensemble.datasets._files import ImageIndex, names_of
from skinensemble.datasets._problems import DatasetProblem, Policy

__all__ = ["TOLD", "Sheet", "is_missing", "make_bunch"]

TOLD = "\0"
"""Stands for a label or a lesion whose problem the reader has noted already."""

_MISSING = frozenset({"", "nan", "na", "n/a", "none", "null"})
_NUMERIC = ("age", "age_approx", "score_weight", "validation_weight")


def is_missing(cell: str) -> bool:
    """Tell whether a cell stands for "no value" (empty, NaN, NA, none, null)."""
    return cell.lower() in _MISSING


@dataclass
class Sheet:
    """Rows of a data set while they are checked.

    Attributes
    ----------
    thing : Path
        The table or folder, for messages.
    index : ImageIndex
    ids : list of str
        The image of each row, as the table names it.
    labels : list of str
        The class of each row; ``""`` where there is none.
    groups : list of str or None
        The lesion of each row; ``""`` where there is none.
    lines : list of int, or None
        Line of each row in the table.
    columns : dict of str to list of str
        Every column of the table, for the frame.
    problems : list of DatasetProblem
    bad : set of int
        Rows with at least one problem.
    dropped : set of int
        Rows that are left out on purpose, which is no problem.
    n_ragged : int
        Rows of the table that could not be split into cells.
    tables : list of path
        Tables that were read beside `thing`.
    """

    thing: Path
    index: ImageIndex
    ids: list[str]
    labels: list[str]
    groups: list[str] | None = None
    lines: list[int] | None = None
    columns: dict[str, list[str]] = field(default_factory=dict)
    problems: list[DatasetProblem] = field(default_factory=list)
    bad: set[int] = field(default_factory=set)
    dropped: set[int] = field(default_factory=set)
    n_ragged: int = 0
    tables: list[str | os.PathLike] = field(default_factory=list)

    def reject(self, row: int, kind: str, detail: str = "") -> None:
        """Note a problem of a row."""
        line = self.lines[row] if self.lines else None
        self.problems.append(DatasetProblem(line, self.ids[row], kind, detail))
        self.bad.add(row)

    def check_labels(self, known: Collection[str] | None = None) -> None:
        """Reject rows without a label, or with one that is not in `known`."""
        for row, label in enumerate(self.labels):
            missing = is_missing(label)
            accepted = label in known if known is not None else not missing and label != TOLD
            if not accepted and label != TOLD:
                self.reject(row, "no label" if missing else "unknown label", label)
            if not accepted:
                self.labels[row] = ""

    def check_groups(self) -> None:
        """Reject rows without a lesion, and lesions whose images have several labels."""
        labels: dict[str, set[str]] = {}
        groups = self.groups or []
        for row, group in enumerate(groups):
            if group == TOLD or is_missing(group):
                if group != TOLD:
                    self.reject(row, "no lesion id", group)
                groups[row] = ""
            elif self.labels[row]:
                labels.setdefault(group, set()).add(self.labels[row])
        several = {group: found for group, found in labels.items() if len(found) > 1}
        for row, group in enumerate(groups):
            if group in several:
                found = ", ".join(sorted(several[group]))
                self.reject(row, "lesion with several labels", f"{group}: {found}")

    def find_images(self) -> list[str]:
        """Look each image up, reject what cannot be had, and list images without a row."""
        found = []
        for row, name in enumerate(self.ids):
            path, kind, detail = self.index.match(name) if name else ("", "no image id", "")
            if kind:
                self.reject(row, kind, detail)
            found.append(path)
        identity = self.index.identity
        named = {identity(path) for path in found if path}
        without = (file for file in self.index.files if identity(file) not in named)
        self.problems += [DatasetProblem(None, file, "image without a row") for file in without]
        return found

    def note_links(self) -> None:
        """List the links that were not followed and that no row names."""
        told = {p.image for p in self.problems if p.kind == "unsafe link"}
        self.problems += [
            DatasetProblem(None, name, "unsafe link", why)
            for name, why in self.index.links.items()
            if not told & set(names_of(name))
        ]

    def check_duplicates(self, found: Sequence[str]) -> None:
        """Reject further rows of an image, and all of them when they disagree."""
        rows_of: dict[str, list[int]] = {}
        for row, (path, name) in enumerate(zip(found, self.ids, strict=True)):
            if path or name:
                key = self.index.identity(path) if path else "\0" + name.casefold()
                rows_of.setdefault(key, []).append(row)
        for rows in rows_of.values():
            if len(rows) > 1:
                self._reject_duplicates(rows)

    def _reject_duplicates(self, rows: list[int]) -> None:
        labels = sorted({self.labels[row] for row in rows} - {""})
        groups = sorted({self.groups[row] for row in rows} - {""}) if self.groups else []
        for name, values in (("labels", labels), ("lesions", groups)):
            if len(values) > 1:
                for row in rows:
                    self.reject(row, f"image with several {name}", ", ".join(values))
                return
        for row in rows[1:]:
            self.reject(row, "duplicate of an earlier row")

    def load(
        self,
        known: Collection[str] | None,
        *,
        policy: Policy,
        descr: str,
        return_X_y: bool,
        found: list[str] | None = None,
    ) -> Any:
        """Make all checks, raise or warn about what they found, return the rows that are left.

        Parameters
        ----------
        known : collection of str or None
            The labels that are accepted; None accepts all.
        policy : Policy
        descr : str
            What the data set is.
        return_X_y : bool
        found : list of str, optional
            The image of each row, where it need not be looked up.

        Returns
        -------
        Bunch, or (ndarray, ndarray)
        """
        images = map(self.index.path, self.index.files)
        policy.spare(chain([self.thing, *self.tables], images))
        self.check_labels(known)
        self.check_groups()
        if found is None:
            found = self.find_images()
        self.note_links()
        self.check_duplicates(found)
        wanted = [row for row in range(len(self.ids)) if row not in self.dropped]
        keep = [row for row in wanted if row not in self.bad]
        all_labels = {self.labels[row] for row in wanted} - {""}
        policy.settle(
            self.problems,
            self.thing,
            n_rows=len(self.ids) + self.n_ragged,
            n_left_out=len(self.bad) + self.n_ragged,
            lost_classes=sorted(all_labels - {self.labels[row] for row in keep}),
        )
        groups = self.groups
        return make_bunch(
            np.array([self.index.path(found[row]) for row in keep], dtype=str),
            np.array([self.labels[row] for row in keep], dtype=str),
            None if groups is None else np.array([groups[row] for row in keep], dtype=str),
            columns={name: [cells[row] for row in keep] for name, cells in self.columns.items()},
            descr=descr,
            problems=self.problems,
            return_X_y=return_X_y,
        )


def make_bunch(
    images: np.ndarray,
    target: np.ndarray,
    groups: np.ndarray | None,
    *,
    columns: Mapping[str, Sequence],
    descr: str,
    problems: Sequence[DatasetProblem] = (),
    return_X_y: bool = False,
) -> Any:
    """Return ``(images, target)``, or the Bunch of a data set with its counts in ``DESCR``."""
    if return_X_y:
        return images, target
    counts = ", ".join(f"{name} {n}" for name, n in sorted(Counter(target.tolist()).items()))
    lesions = "" if groups is None else f" of {len(set(groups.tolist()))} lesions"
    return Bunch(
        images=images,
        target=target,
        groups=groups,
        frame=_frame(columns),
        DESCR=f"{descr.strip()}\n\nLoaded: {len(images)} images{lesions} ({counts}).\n",
        problems=list(problems),
    )


def _frame(columns: Mapping[str, Sequence]) -> Any:
    """Return the table as a DataFrame, or None where pandas is not installed."""
    try:
        import pandas as pd
    except ImportError:
        return None
    frame = pd.DataFrame(dict(columns))
    for name in frame.columns.intersection(_NUMERIC):
        frame[name] = pd.to_numeric(frame[name], errors="coerce")
    return frame
