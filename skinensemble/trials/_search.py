"""Successive halving: many candidates on few lesions, few candidates on all of them."""

from __future__ import annotations

import math
import numbers
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import partial

import numpy as np
from joblib import Parallel, delayed

from skinensemble._deadline import check_deadline, check_seconds, time_limit, with_deadline
from skinensemble.committee import accept_all, pack, train_anywhere
from skinensemble.engines import with_config
from skinensemble.exceptions import InputError, MemberError, TimeLimitError, first_few, message
from skinensemble.features._spread import as_they_come
from skinensemble.identity import content_digests, group_copies, lesion_digests
from skinensemble.images import ImageSource, check_images
from skinensemble.trials._candidates import check_candidates
from skinensemble.trials._records import Records
from skinensemble.trials._result import SearchResult
from skinensemble.trials._scoring import check_scoring, scoring_name, try_scoring
from skinensemble.trials._trial import Trial, TrialData, run_trial
from skinensemble.validation import (
    check_groups,
    check_labels,
    check_lengths,
    lesion_folds,
)

__all__ = ["plan_rungs", "search"]

_NUMBERS = (int, float, np.integer, np.floating)


def search(
    candidates,
    X,
    y,
    *,
    groups=None,
    scoring="log_loss",
    n_finalists=8,
    max_members=None,
    cv=None,
    factor=3,
    min_share=0.1,
    time_budget=None,
    folder=None,
    n_jobs=None,
    random_state=0,
    verbose=0,
) -> SearchResult:
    """Try many candidates, most of them briefly, and choose a committee of the best.

    Successive halving [1]_: all candidates are trained on a small share of the lesions and judged
    on a fold that none of them sees; the better ones go on to `factor` times as many lesions. The
    last ones, the finalists, are trained on all folds but one, in turn, and so get the out-of-fold
    ballots from which a committee is selected [2]_. The shares are nested, and no lesion is ever
    split between training and judging. With no more candidates than finalists, all of them get
    ballots, and the committee is selected from all.

    Parameters
    ----------
    candidates : list of (str, classifier)
        As the members of a :class:`Stage`; :func:`~skinensemble.make_candidates` builds them from a
        grid. Candidates of one backbone share its features and activations.
    X : array-like or list of length n_samples
        Whatever the candidates take: features, images, paths.
    y : array-like of shape (n_samples,)
        Labels.
    groups : array-like of shape (n_samples,), default=None
        Lesion of each sample; without it a warning says what that risks.
    scoring : str or callable, default="log_loss"
        What to be best by, as the `metric` of :class:`GreedyVote`: "log_loss", "brier",
        "accuracy", "balanced_accuracy" or "roc_auc", all of them the higher the better (losses are
        negative), or ``scoring(y, proba) -> float`` with class indices. Class weights move
        probabilities, which "roc_auc" alone does not mind.
    n_finalists : int, default=8
        How many candidates are trained on every fold.
    max_members : int, default=None
        Largest size of the committee; None takes as many as help. Of more, the one is left out
        without which the others are best, and so on.
    cv : int or splitter or iterable, default=None
        Folds; None is 5. Grouped by lesion and stratified by class. A splitter that shuffles has to
        be seeded.
    factor : float, default=3
        Above 1: by how much the lesions grow from rung to rung.
    min_share : float, default=0.1
        The smallest share of the lesions that says anything. Where that leaves too few rungs, the
        first one eliminates more.
    time_budget : float, default=None
        Seconds; None takes as long as it takes. Each rung gets an equal part of what is left, as in
        the paper; candidates that are not finished by then are out. Networks stop within a batch,
        other classifiers finish what they began.
    folder : path-like, default=None
        Keeps each trial as soon as it is finished. The same search, after it was killed or its time
        was over, goes on there and ends with the same result. A warning names candidates that
        nothing tells from others, such as those with a lambda; their trials are not kept.
    n_jobs : int, default=None
        Trials at once, in threads unless a ``joblib.parallel_config`` says otherwise.
    random_state : int, default=0
        Seeds the folds, the shares, the order of the trials, and every candidate whose own
        ``random_state`` is None, by its name.
    verbose : int, default=0
        1 prints a line for each trial.

    Returns
    -------
    SearchResult
        Prints as a leaderboard; its ``committee()`` is a fitted :class:`Stage`.

    Raises
    ------
    InputError
        When candidates, labels, groups, folds or parameters cannot be used, `scoring` fails on
        random probabilities of these labels, or `time_budget` was over before the first trial was
        finished.
    ImageReadError
        Naming every image that cannot be read, before anything is trained.
    ModelFileError
        When a trial in the folder cannot be read for the moment.
    MemberError
        When all candidates failed; otherwise those that did are on the leaderboard, with the error.

    References
    ----------
    .. [1] K. Jamieson, A. Talwalkar, "Non-stochastic best arm identification and hyperparameter
       optimization", AISTATS 2016. arXiv:1502.07943
    .. [2] R. Caruana, A. Niculescu-Mizil, G. Crew, A. Ksikes, "Ensemble selection from libraries of
       models", ICML 2004. doi:10.1145/1015330.1015432

    Examples
    --------
    >>> from sklearn.datasets import load_breast_cancer
    >>> from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
    >>> from sklearn.naive_bayes import GaussianNB
    >>> X, y = load_breast_cancer(return_X_y=True)
    >>> candidates = [
    ...     (f"lda, shrinkage={s}", LinearDiscriminantAnalysis(solver="lsqr", shrinkage=s))
    ...     for s in (0.01, 0.1, 0.5, 0.9)
    ... ]
    >>> found = search([*candidates, ("bayes", GaussianNB())], X, y, groups=range(len(y)),
    ...                n_finalists=2, cv=3)
    >>> found.best_name
    'lda, shrinkage=0.01'
    >>> found.committee().predict_proba(X[:2]).shape
    (2, 2)
    """
    check_scoring(scoring)
    if max_members is not None:
        _check_whole("max_members", max_members)
    rungs = plan_rungs(len(check_candidates(candidates, n_jobs)), n_finalists, factor, min_share)
    clock = _Clock(time_budget)
    check_lengths(X, y=y)
    classes, targets = check_labels(y)
    try_scoring(scoring, targets)
    lesions = check_groups(groups, targets, classes)
    X = accept_all([one for _, one in candidates], X)
    known = lesions, lesion_digests(groups)
    data = _make_data(X, classes, targets, known, cv, random_state)
    members = dict(candidates)
    records = Records(folder, data, members)
    halving = _Halving(data, members, scoring, records, clock, n_jobs, verbose)
    halving.run(rungs)
    return SearchResult(
        candidates=candidates,
        trials=halving.trials,
        data=data,
        scoring=scoring,
        notes=halving.notes,
        n_jobs=n_jobs,
        max_members=max_members,
    )


def plan_rungs(n_candidates, n_finalists, factor, min_share) -> list[tuple[float, int]]:
    """Return the share of the lesions, and the most candidates, of each rung.

    Examples
    --------
    >>> plan_rungs(72, 8, 3, 0.1)
    [(0.1111111111111111, 72), (0.3333333333333333, 24), (1.0, 8)]
    >>> plan_rungs(72, 8, 3, 0.2), plan_rungs(8, 8, 3, 0.2)
    ([(0.3333333333333333, 72), (1.0, 8)], [(1.0, 8)])
    """
    _check_plan(n_finalists, factor, min_share)
    rungs = [(1.0, n_finalists)]
    # A further rung that would drop but a few is not worth its time.
    while factor ** -len(rungs) >= min_share and n_candidates > rungs[0][1] * (
        1 if len(rungs) == 1 else math.sqrt(factor)
    ):
        rungs.insert(0, (factor ** -len(rungs), math.ceil(n_finalists * factor ** len(rungs))))
    return [(rungs[0][0], n_candidates), *rungs[1:]]


def _check_plan(n_finalists, factor, min_share) -> None:
    _check_whole("n_finalists", n_finalists)
    if not isinstance(factor, _NUMBERS) or not 1 < factor <= sys.float_info.max:
        why, remedy = "the lesions have to grow from rung to rung", "pass one such as 3"
        raise InputError(message("factor", f"{factor!r:.60}", why, remedy))
    if not isinstance(min_share, _NUMBERS) or not 0 < min_share <= 1:
        why, remedy = "not a share above 0, and 1 at most", "pass one such as 0.1"
        raise InputError(message("min_share", f"{min_share!r:.60}", why, remedy))


def _check_whole(name: str, value) -> None:
    if not isinstance(value, numbers.Integral) or value < 1:
        why = "not a whole number from 1"
        raise InputError(message(name, f"{value!r:.60}", why, "pass one such as 8"))


def _make_data(X, classes, targets, known, cv, seed) -> TrialData:
    lesions, names = known
    if not isinstance(seed, numbers.Integral) or not 0 <= int(seed) < 2**32:
        why = "a search that cannot be repeated cannot go on either"
        remedy = "pass a whole number from 0 to 4294967295"
        raise InputError(message("random_state", f"{seed!r:.60}", why, remedy))
    cv = list(cv) if isinstance(cv, Iterator) else cv  # it is asked three times
    # Too few lesions, or folds that no other search has, are known before the images are read.
    once, again = (lesion_folds(targets, lesions, cv, classes=classes) for _ in range(2))
    if not np.array_equal(once, again):
        why = "each time it is asked it gives other folds, so no search can be repeated or go on"
        raise InputError(message("cv", cv, why, "seed the splitter with an integer"))
    lesions = group_copies(X, targets, lesions)
    folds = lesion_folds(targets, lesions, cv, classes=classes, random_state=int(seed))
    return TrialData(X, classes, targets, lesions, folds, content_digests(X), names, int(seed))


class _Clock:
    """How much time is left."""

    def __init__(self, budget: float | None) -> None:
        check_seconds(time_budget=budget)
        self.budget, self.start = budget, time.monotonic()

    @property
    def passed(self) -> float:
        return time.monotonic() - self.start

    def part(self, rungs_left: int) -> float:
        """Return until when a rung may last, in seconds from the start."""
        if self.budget is None:
            return math.inf
        return self.passed + (self.budget - self.passed) / rungs_left

    def refuse_late(self, begun: float, trials) -> None:
        """Refuse a budget in which not even one of these first trials was finished."""
        if self.budget is None or any(begun + one.seconds < self.budget for one in trials):
            return
        why = "over before the first trial was finished"
        if trials:
            quickest = min(trials, key=lambda one: one.seconds)
            why = f"the first trial ({quickest.name}) took {quickest.seconds:.3g} s"
        remedy = "allow more time, or lower min_share; with folder= what was finished is kept"
        raise InputError(message("time_budget", f"{self.budget:g} s", why, remedy))

    def left(self, until: float) -> float | None:
        """Return the seconds until then, or until all is over; None without a budget."""
        return None if self.budget is None else max(min(until, self.budget) - self.passed, 0.0)


@dataclass
class _Halving:
    """The rungs, one after the other."""

    data: TrialData
    members: dict
    scoring: object
    records: Records
    clock: _Clock
    n_jobs: int | None
    verbose: int
    trials: list[Trial] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def run(self, rungs) -> None:
        """Let each rung choose who goes on to the next."""
        order = np.random.default_rng(self.data.seed).permutation(len(self.members))
        names = [list(self.members)[i] for i in order]
        for at, (share, size) in enumerate(rungs):
            done = self._run_rung(names[:size], share, len(rungs) - at)
            self.trials += done
            names = self._best_first(done)
            self._refuse_failure()

    def _run_rung(self, names, share: float, rungs_left: int) -> list[Trial]:
        kept = [self.records.read(name, share) for name in names]
        done = {trial.name: trial for trial in kept if trial is not None}
        missing = [name for name in names if name not in done]
        if missing and isinstance(self.data.X, ImageSource):
            check_images(self.data.X)  # a trial would name those of its own share only
        begun = self.clock.passed
        new = self._try(missing, share, self.clock.part(rungs_left))
        if not self.trials and not done:
            self.clock.refuse_late(begun, new)
        done |= {trial.name: trial for trial in new}
        if len(done) < len(names):
            where = "on all folds" if share == 1 else f"on {100 * share:.0f} % of the lesions"
            self.notes.append(f"Out of time: {len(done)} of {len(names)} were tried {where}.")
        return [done[name] for name in names if name in done]

    def _try(self, names, share: float, until: float) -> list[Trial]:
        """Return the trials that were finished in time, each of them kept as it came."""
        members = [(name, self.members[name]) for name in names]
        # Whether one fails is found out where it is trained, which may be in another process.
        packed, sent = pack(members, self.data, self.n_jobs)

        def tasks():
            for at, one in enumerate(packed):
                # The first may take longer, lest a rung without time enough ends it all.
                left = self.clock.left(until if at else math.inf)
                if left == 0:
                    return
                # joblib asks ahead, and in threads that know of no limit: each task has its own.
                with time_limit(left, "the rung"):
                    task = delayed(with_deadline(train))(one, sent, share)
                yield task

        train = with_config(partial(train_anywhere, _try_one))
        options = {"n_jobs": self.n_jobs, "prefer": "threads", "pre_dispatch": "n_jobs"}
        parcels = Parallel(batch_size=1, return_as=as_they_come(), **options)(tasks())
        trials = (parcel.content for parcel in parcels)
        return [self._keep(trial, share) for trial in trials if trial is not None]

    def _keep(self, trial: Trial, share: float) -> Trial:
        self.records.write(trial)
        if self.verbose:
            score = "" if trial.error else f"{scoring_name(self.scoring)} {self._score(trial):.4f}"
            outcome = score or f"failed, {trial.error}"
            line = f"{100 * share:3.0f} %  {trial.name}: {outcome} ({trial.seconds:.1f} s)"
            print(line, flush=True)
        return trial

    def _score(self, trial: Trial) -> float:
        return self.data.score(trial, self.scoring)

    def _best_first(self, trials) -> list[str]:
        able = [trial for trial in trials if trial.ballots is not None]
        return [trial.name for trial in sorted(able, key=self._score, reverse=True)]

    def _refuse_failure(self) -> None:
        if self.trials and all(trial.error for trial in self.trials):
            shown = first_few((f"{one.name}: {one.error}" for one in self.trials), 3)
            why, remedy = "every one that was tried failed", "correct what they name"
            raise MemberError(message("candidates", shown, why, remedy))


def _try_one(named, data: TrialData, share: float) -> Trial | None:
    name, member = named
    try:
        check_deadline("its start")
        return run_trial(data, name, member, share)
    except TimeLimitError:
        return None
