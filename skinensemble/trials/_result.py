"""What a search found: a leaderboard, and the committee that the finalists make."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from functools import cached_property, partial
from typing import Any

import numpy as np
from joblib import Parallel, delayed
from sklearn.utils import Bunch

from skinensemble.committee import pack, train_anywhere
from skinensemble.comparison import Comparison, compare
from skinensemble.engines import get_config, with_config
from skinensemble.exceptions import InputError, first_few, message
from skinensemble.metrics import Figure, lesion_weights
from skinensemble.stage import Stage
from skinensemble.tables import text_table, write_csv
from skinensemble.trials._scoring import judge, scoring_name
from skinensemble.trials._selection import SelectedVote
from skinensemble.trials._trial import Trial, TrialData
from skinensemble.voting import GreedyVote

__all__ = ["Place", "SearchResult"]

_N_RESAMPLES = 200
_NO_FINALIST = "no candidate was tried on all folds"
_MORE_TIME = "allow more time, or go on with the same folder"


@dataclass(frozen=True)
class Place:
    """A candidate on the leaderboard.

    Attributes
    ----------
    rank : int or None
        From 1; None for those that failed or were not tried.
    name : str
    outcome : {"finalist", "out", "failed", "not tried"}
    share : float
        The largest share of the training lesions it was trained on.
    score : float
        Where that is 1, on the out-of-fold ballots of all samples; else on one fold, which is not
        to be compared with it. NaN for those that failed.
    low, high : float
        95 % interval of a finalist's score by bootstrap of lesions; NaN for others.
    weight : float
        In the committee.
    seconds : float
        All its trials together.
    error : str
        What it failed with.
    """

    rank: int | None
    name: str
    outcome: str
    share: float
    score: float
    low: float
    high: float
    weight: float
    seconds: float
    error: str


@dataclass(frozen=True, eq=False, repr=False)
class SearchResult:
    """What :func:`search` found; prints as a leaderboard.

    Attributes
    ----------
    candidates : list of (str, classifier)
        As they were given.
    trials : list of Trial
        All that were done, rung by rung.
    data : TrialData
        What they were trained and judged on: `X`, `classes`, `targets`, `lesions`, `folds`.
    scoring : str or callable
    notes : list of str
        Where the time was over.
    n_jobs : int or None
        Members that :meth:`committee` trains at once.
    max_members : int or None
        Largest size of the committee; ``dataclasses.replace(found, max_members=2)`` has another.
    """

    candidates: Sequence[tuple[str, Any]]
    trials: Sequence[Trial]
    data: TrialData = field(repr=False)
    scoring: Any
    notes: Sequence[str]
    n_jobs: int | None = None
    max_members: int | None = None

    @cached_property
    def finalists(self) -> list[str]:
        """Names of the candidates with out-of-fold ballots, best first."""
        return [trial.name for trial in self._finals]

    @cached_property
    def ballots(self) -> np.ndarray:
        """Out-of-fold ballots of the finalists, shape (n_samples, n_finalists, n_classes)."""
        self._check_finalists()
        each = [trial.ballots for trial in self._finals if trial.ballots is not None]
        return np.stack(each, axis=1)

    @cached_property
    def weights(self) -> dict[str, float]:
        """Weights in the committee, by greedy selection from the finalists' out-of-fold ballots."""
        rule = self._rule().fit(self.ballots, self.data.targets, groups=self.data.lesions)
        return dict(zip(self.finalists, rule.weights_.tolist(), strict=True))

    @property
    def scoring_name(self) -> str:
        """How the score is called."""
        return scoring_name(self.scoring)

    @property
    def best_name(self) -> str:
        """Name of the best finalist, or of the best that went furthest."""
        return self.leaderboard[0].name

    @cached_property
    def leaderboard(self) -> list[Place]:
        """A place for each candidate: finalists, those that went out, those without a score."""
        last = {trial.name: trial for trial in self.trials}
        able = [trial for trial in last.values() if trial.ballots is not None]
        able.sort(key=lambda trial: (trial.share, self._score(trial)), reverse=True)
        places = [self._place(trial, rank) for rank, trial in enumerate(able, start=1)]
        places += [self._place(trial, None) for trial in last.values() if trial.error]
        untried = [Trial(name, 0.0, 0.0) for name, _ in self.candidates if name not in last]
        return [*places, *(self._place(trial, None) for trial in untried)]

    @cached_property
    def committee_score(self) -> Figure:
        """Score of the committee, each fold judged by one selected without it.

        What :attr:`weights` score on the ballots they were selected on would flatter them. The
        finalists themselves were still chosen with a look at the first fold.
        """
        ballots, y = self.ballots, self.data.targets
        folds, lesions = self.data.folds, self.data.lesions
        proba = np.empty(ballots[:, 0].shape)
        for fold in np.unique(folds):
            rest, held = folds != fold, folds == fold
            groups = None if lesions is None else lesions[rest]
            rule = self._rule().fit(ballots[rest], y[rest], groups=groups)
            proba[held] = rule.combine(ballots[held])
        return self._figure(proba)

    @property
    def chance_score(self) -> float:
        """Score of the share of each class, whatever the image shows; NaN where that has none."""
        y = self.data.targets
        shares = np.bincount(y, minlength=len(self.data.classes)) / len(y)
        with np.errstate(all="ignore"):
            return _judge_draw(self.scoring, y, np.tile(shares, (len(y), 1)))

    def compare(self, **options) -> Comparison:
        """Ask whether the committee beats its best member, each fold judged without having a say.

        Parameters
        ----------
        **options
            `rules`, `n_resamples` and `random_state` of
            :func:`~skinensemble.comparison.compare`.

        Returns
        -------
        Comparison
            Prints as a table and one sentence.
        """
        options = {"rules": ("soft",)} | options
        return compare(
            self.ballots,
            self.data.targets,
            names=self.finalists,
            folds=self.data.folds,
            groups=self.data.lesions,
            voting=self._greedy() if self.max_members is None else self._rule(),
            **options,
        )

    def committee(self, voting=None) -> Stage:
        """Train the selected candidates once more, on everything, and let them vote.

        Parameters
        ----------
        voting : str or VotingRule, default=None
            Learns from their out-of-fold ballots, which are there already; None: greedy selection
            by the `scoring` of the search. A certificate from ballots that the members were
            selected on is a little too good: certify on lesions the search has never seen.

        Returns
        -------
        Stage
            Fitted: what ``Stage(…).fit`` on the same folds would give.

        Raises
        ------
        InputError
            When no candidate has been tried on all folds, or networks run in another precision now.
        MemberError
            When a member fails; it names the member and what it raised.
        """
        chosen, data = self.chosen(), self.data
        self._check_precision()
        members = [(name, dict(self.candidates)[name]) for name in chosen]
        held_out = [data.folds == k for k in range(data.folds.max() + 1)]
        stage = Stage(
            members,
            voting=self._greedy() if voting is None else voting,
            cv=[(np.flatnonzero(~k), np.flatnonzero(k)) for k in held_out],
            random_state=data.seed,
        )
        # What cannot work must fail now, not after all members are trained.
        stage.check_rule(data.targets, data.lesions)
        packed, sent = pack(members, data, self.n_jobs, rows_of=data.X)
        train = delayed(with_config(partial(train_anywhere, _train_on_all)))
        fitted = Parallel(n_jobs=self.n_jobs, prefer="threads")(train(one, sent) for one in packed)
        other = Bunch(
            folds_=data.folds,
            lesions_=data.lesions,
            digests_=data.digests,
            lesion_digests_=data.lesion_digests,
            precision_=data.precision,
            failures_={},
        )
        ballots = self.ballots[:, [self.finalists.index(name) for name in chosen]]
        voters = {name: one.content for name, one in zip(chosen, fitted, strict=True)}
        return stage.adopt(voters, ballots, data.classes, data.targets, other)

    def chosen(self) -> list[str]:
        """Return the names of the committee, heaviest first."""
        names = [name for name, weight in self.weights.items() if weight > 0]
        return sorted(names, key=self.weights.__getitem__, reverse=True)

    def to_csv(self, path: str | os.PathLike[str]) -> None:
        """Write the leaderboard to a CSV file, all or nothing."""
        rows = [asdict(place) for place in self.leaderboard]
        shown = ([None if _undefined(cell) else cell for cell in row.values()] for row in rows)
        write_csv(path, list(rows[0]), shown)

    def __str__(self):
        n = f"{len(self.data.targets)} images"
        drawn = "images"
        if self.data.lesions is not None:
            n += f" of {len(np.unique(self.data.lesions))} lesions"
            drawn = "lesions"
        title = (
            f"{len(self.candidates)} candidates by {self.scoring_name}, higher is better"
            f" ({n}; 95 % intervals by bootstrap of {drawn})"
        )
        return "\n\n".join([title, self._table(), *self.notes, *self._sentences()])

    __repr__ = __str__

    def _table(self) -> str:
        header = ["candidate", "trained on", self.scoring_name, "weight", "seconds"]
        return text_table(header, map(_cells, self.leaderboard))

    def _sentences(self) -> list[str]:
        chance, found = self.chance_score, []
        if np.isfinite(chance):
            what = "the share of each class, whatever the image"
            found.append(f"To answer {what}, scores {chance:.3f}.")
        failed = [place for place in self.leaderboard if place.outcome == "failed"]
        if failed:
            shown = first_few((f"{place.name}: {place.error}" for place in failed), 3)
            found.append(f"Failed: {shown}.")
        if not self.finalists:
            return [*found, f"No committee: {_NO_FINALIST}; {_MORE_TIME}."]
        shares = " + ".join(f"{self.weights[name]:.2f} × {name}" for name in self.chosen())
        judged = f"selected without each fold and judged on it: {_spelt(self.committee_score)}"
        return [*found, f"Committee by greedy selection: {shares}; {judged}."]

    def _greedy(self) -> GreedyVote:
        return GreedyVote(metric=self.scoring)

    def _rule(self) -> SelectedVote:
        return SelectedVote(self._greedy(), self.max_members)

    @cached_property
    def _finals(self) -> list[Trial]:
        finals = [trial for trial in self.trials if trial.share == 1 and trial.error is None]
        return sorted(finals, key=self._score, reverse=True)

    def _check_finalists(self) -> None:
        if not self.finalists:
            raise InputError(message("committee", "no finalist", _NO_FINALIST, _MORE_TIME))

    def _check_precision(self) -> None:
        wanted, now = self.data.precision, get_config()["precision"]
        if wanted != now:
            why = f"the ballots of the search were cast in {wanted}"
            remedy = f'call committee within config_context(precision="{wanted}")'
            raise InputError(message("precision", repr(now), why, remedy))

    def _score(self, trial: Trial) -> float:
        return self.data.score(trial, self.scoring)

    def _figure(self, proba) -> Figure:
        y, lesions = self.data.targets, self.data.lesions
        groups = np.arange(len(y)) if lesions is None else lesions
        value, *others = lesion_weights(groups, _N_RESAMPLES, self.data.seed)
        values = [judge(self.scoring, y, proba, value)]
        return Figure.from_resamples(
            np.array(values + [_judge_draw(self.scoring, y, proba, draw) for draw in others])
        )

    def _place(self, trial: Trial, rank: int | None) -> Place:
        final = trial.share == 1 and rank is not None
        outcome = "finalist" if final else "out"
        if rank is None:
            outcome = "failed" if trial.error else "not tried"
        score = np.nan if rank is None else self._score(trial)
        figure = self._figure(trial.ballots) if final else Figure(score, np.nan, np.nan)
        return Place(
            rank,
            trial.name,
            outcome,
            trial.share,
            figure.value,
            figure.low,
            figure.high,
            self.weights[trial.name] if final else 0.0,
            sum(one.seconds for one in self.trials if one.name == trial.name),
            trial.error or "",
        )


def _train_on_all(named, data: TrialData):
    name, member = named
    (fitted,) = data.fit(name, member, [np.arange(len(data.targets))])
    return fitted


def _judge_draw(scoring, y, proba, weight=None) -> float:
    """Return a score, NaN where a function of the user's has none, as for want of a rare class."""
    try:
        return judge(scoring, y, proba, weight)
    except InputError:
        return np.nan


def _cells(place: Place) -> list[str]:
    name = place.name if place.rank is None else f"{place.rank}. {place.name}"
    where = "all folds" if place.outcome == "finalist" else f"{100 * place.share:.0f} %"
    if place.rank is None:
        return [name, place.outcome, "", "", f"{place.seconds:.1f}"]
    shown = f"{place.score:.3f}"
    if place.outcome == "finalist":
        shown = _spelt(Figure(place.score, place.low, place.high))
    weight = f"{place.weight:.2f}" if place.weight else ""
    return [name, where, shown, weight, f"{place.seconds:.1f}"]


def _spelt(figure: Figure) -> str:
    # A dash would be read as one more minus of a loss.
    interval = f" ({figure.low:.3f} to {figure.high:.3f})" if np.isfinite(figure.low) else ""
    return f"{figure.value:.3f}{interval}"


def _undefined(cell) -> bool:
    return isinstance(cell, float) and not np.isfinite(cell)
