"""One trial: a candidate that is trained on a share of the lesions, or on every fold."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from sklearn.utils import _safe_indexing

from skinensemble.committee import cast_ballot, fit_member, seeded, stack_ballots
from skinensemble.engines import get_config
from skinensemble.exceptions import ImageReadError, SaveError, TimeLimitError
from skinensemble.trials._scoring import judge

__all__ = ["Trial", "TrialData", "run_trial"]


@dataclass(frozen=True, eq=False)
class Trial:
    """What came of training a candidate.

    Attributes
    ----------
    name : str
        Of the candidate.
    share : float
        Share of the training lesions it was trained on. Below 1 it was judged on one fold; at 1 it
        was trained once on all folds but one, in turn, and judged on all of them.
    seconds : float
        How long that took.
    ballots : ndarray of shape (n_samples_judged, n_classes), or None
        Probabilities of the samples it was not trained on, in their order; None when it failed.
    error : str or None
        What it failed with.
    """

    name: str
    share: float
    seconds: float
    ballots: np.ndarray | None = None
    error: str | None = None


@dataclass(frozen=True, eq=False)
class TrialData:
    """What every candidate is trained and judged on.

    Attributes
    ----------
    X : images, or whatever the candidates take, of length n_samples
    classes : ndarray of shape (n_classes,)
    targets : ndarray of int of shape (n_samples,)
        Class indices.
    lesions : ndarray of int of shape (n_samples,), or None
    folds : ndarray of int of shape (n_samples,)
        The fold in which each sample is held out.
    digests, lesion_digests : ndarray of uint64 of shape (n_samples,), or None
    seed : int
    precision : {"float32", "bfloat16"}
        In which networks run.
    """

    X: Any
    classes: np.ndarray
    targets: np.ndarray
    lesions: np.ndarray | None
    folds: np.ndarray
    digests: np.ndarray | None
    lesion_digests: np.ndarray | None
    seed: int
    precision: str = field(default_factory=lambda: get_config()["precision"])

    def fit(self, name: str, member, parts) -> list:
        """Return clones of a candidate, trained on each part of the rows."""
        extra = {} if self.lesions is None else {"groups": self.lesions}
        member = seeded(member, name, self.seed)
        return fit_member(name, member, self.X, self.classes[self.targets], parts, extra)

    def parts(self, share: float) -> list[tuple[np.ndarray, np.ndarray]]:
        """Return the rows to train on and the rows to judge on: one pair, or one for each fold.

        A larger share holds every smaller one, and two lesions of each class at least.
        """
        if share == 1:
            numbers = range(self.folds.max() + 1)
            return [
                (np.flatnonzero(self.folds != number), np.flatnonzero(self.folds == number))
                for number in numbers
            ]
        rank, size = self._ranks()
        taken = (self.folds != 0) & (rank < np.maximum(2, share * size))
        return [(np.flatnonzero(taken), np.flatnonzero(self.folds == 0))]

    def judged(self, share: float) -> np.ndarray:
        """Return the rows that are judged, in order."""
        return np.sort(np.concatenate([held for _, held in self.parts(share)]))

    def score(self, trial: Trial, scoring) -> float:
        """Return the score of a trial on the samples it was judged on."""
        assert trial.ballots is not None
        return judge(scoring, self.targets[self.judged(trial.share)], trial.ballots)

    def _ranks(self) -> tuple[np.ndarray, np.ndarray]:
        """Rank each sample's lesion at random among those of its class, fold 0 last; and count."""
        lesions = np.arange(len(self.targets)) if self.lesions is None else self.lesions
        _, first, lesion = np.unique(lesions, return_index=True, return_inverse=True)
        draw = np.random.default_rng(self.seed).random(len(first))
        rank, size = np.empty(len(first), int), np.empty(len(first), int)
        for k in np.unique(self.targets):
            of_class = np.flatnonzero(self.targets[first] == k)
            held = self.folds[first][of_class] == 0
            rank[of_class[np.lexsort((draw[of_class], held))]] = np.arange(len(of_class))
            size[of_class] = np.sum(~held)
        return rank[lesion], size[lesion]


def run_trial(data: TrialData, name: str, member, share: float) -> Trial:
    """Train and judge a candidate; whatever it raises becomes the error of the trial.

    Raises
    ------
    ImageReadError
        When images cannot be read, which is no fault of the candidate.
    TimeLimitError
        When the time of the search was over, which is none either.
    """
    start, parts = time.monotonic(), data.parts(share)
    rows = data.judged(share)
    ballots = np.empty((len(data.targets), len(data.classes)))
    try:
        fitted = data.fit(name, member, [train for train, _ in parts])
        for one, (_, held) in zip(fitted, parts, strict=True):
            ballots[held] = cast_ballot(name, one, _safe_indexing(data.X, held), data.classes)
        checked = stack_ballots([ballots[rows]], [name])[:, 0]
    except (ImageReadError, SaveError, TimeLimitError):
        raise
    except Exception as error:  # of any kind: that is what trials are for
        text = str(error).removeprefix(f"member: {name} – ") or type(error).__name__
        return Trial(name, share, time.monotonic() - start, error=text)
    return Trial(name, share, time.monotonic() - start, checked)
