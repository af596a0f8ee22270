"""Training every member on every fold, and what becomes of those that were."""

from __future__ import annotations

import warnings
from functools import partial

import numpy as np
from joblib import Parallel, delayed
from sklearn.base import BaseEstimator, ClassifierMixin, clone
from sklearn.utils import _safe_indexing
from sklearn.utils.validation import _num_samples

from skinensemble._deadline import with_deadline
from skinensemble.committee._ask import (
    accept_all,
    blamed,
    came_trained,
    cast_ballot,
    fit_member,
    knows_classes,
    prepare_all,
    seeded,
    stack_ballots,
)
from skinensemble.committee._early import total_costs
from skinensemble.committee._failures import MemberFailure, Tolerance
from skinensemble.committee._travel import pack, train_anywhere
from skinensemble.committee._watch import (
    lost_worker,
    process_died,
    run_watched,
    steps,
    train_alone,
    unusable,
)
from skinensemble.engines import with_config
from skinensemble.exceptions import MemberWarning, first_few, message
from skinensemble.features._recipe import Parcel
from skinensemble.images._problems import Problems
from skinensemble.members._together import heads_together

__all__ = ["FoldMembers", "cross_fit"]

_CHUNK = 256
STRICT = Tolerance()


class FoldMembers(ClassifierMixin, BaseEstimator):
    """The copies of one member that were trained on the folds, speaking as one.

    Parameters
    ----------
    member : classifier
        What each of them is a clone of.

    Attributes
    ----------
    members_ : list of classifiers
        One for each fold, trained on the others.
    classes_ : ndarray of shape (n_classes,)
    """

    def __init__(self, member):
        self.member = member

    @classmethod
    def of(cls, member, fitted, classes) -> FoldMembers:
        """Return the committee of a member's fitted clones."""
        own = cls(member)
        own.members_, own.classes_ = list(fitted), np.asarray(classes)
        return own

    def prepare(self, X):
        """Let them do their shared work on `X` once."""
        first = self.members_[0]
        if not hasattr(first, "accept"):
            return prepare_all(self.members_, X)
        X = first.accept(X)
        problems = Problems(_num_samples(X))
        for rows in _chunks(_num_samples(X)):
            with problems.among(rows):
                prepare_all(self.members_, _safe_indexing(X, rows))
        problems.raise_all()
        return X

    def accept(self, X):
        """Let them read what `X` is; no network runs."""
        return accept_all(self.members_, X)

    def costs(self):
        """Return the multiply-adds per sample of all that they run."""
        return total_costs(self.members_)

    def predict_proba(self, X):
        """Return the mean of their probabilities, shape (n_samples, n_classes)."""
        problems, means = Problems(_num_samples(X)), []
        for rows in _chunks(_num_samples(X)):
            with problems.among(rows):
                means.append(self._mean(_safe_indexing(X, rows)))
        problems.raise_all()
        return np.concatenate(means)

    def _mean(self, X):
        with heads_together(self.members_, X):
            each = [cast_ballot("of a fold", one, X, self.classes_) for one in self.members_]
        return np.mean(each, axis=0)

    def predict(self, X):
        """Return the most probable class of each sample."""
        best = self.predict_proba(X).argmax(axis=1)
        return self.classes_[best]

    def _dump(self, out):
        return {
            "classes": out.labels(self.classes_),
            "folds": [
                [f"fold{i}", out.estimator(f"fold{i}", one)] for i, one in enumerate(self.members_)
            ],
        }

    def _load(self, state):
        self.classes_ = state.labels("classes")
        self.members_ = [one for _, one in state.pairs("folds")]
        if not self.members_ or not all(knows_classes(self.classes_, m) for m in self.members_):
            raise state.fault("folds", "not classifiers of these classes")
        self.member = clone(self.members_[0])

    def __sklearn_is_fitted__(self):
        return hasattr(self, "members_")


def _chunks(n: int) -> list[np.ndarray]:
    """Return some samples at a time: what networks share below a cut, they then compute once."""
    return [np.arange(at, min(at + _CHUNK, n)) for at in range(0, n, _CHUNK)]


def cross_fit(
    members, data, folds, classes, *, refit, n_jobs, seed, verbose, tolerance=STRICT, failures=None
):
    """Train each member on all folds but one, in turn, and where it is to stay on everything.

    Parameters
    ----------
    members : list of (str, classifier)
    data : tuple of X, labels, sample weights or None, and lesions or None
    folds : ndarray of int of shape (n_samples,)
        The fold in which each sample is held out.
    classes : ndarray of shape (n_classes,)
    refit, n_jobs, verbose
        Parameters of the stage.
    seed : int or None
    tolerance : Tolerance, optional
        By default the first member that fails is an error.
    failures : dict of str to MemberFailure, optional
        Of members that failed before, and are none of `members`.

    Returns
    -------
    voters : dict of str to classifier
        Who votes on new samples, by name.
    ballots : ndarray of shape (n_samples, n_voters, n_classes)
        Out-of-fold ballots.
    failures : dict of str to MemberFailure
        Of the members that do not vote.

    Raises
    ------
    MemberError
        When members fail, and `tolerance` does not have it.
    """
    # Fold -1 is nobody's: its training part is everything.
    numbers = [*range(folds.max() + 1), *([-1] if refit else [])]

    def make_tasks():
        packed, sent = pack(members, data, n_jobs, rows_of=None if tolerance.watchful else data[0])
        return [
            (one, part, sent, folds, classes, refit, seed, verbose)
            for one, (_, member) in zip(packed, members, strict=True)
            for part in ([numbers] if tolerance.watchful else steps(member, numbers))
        ]

    tasks = make_tasks()
    if tolerance.watchful:
        train = partial(train_anywhere, partial(train_alone, _train_some, tolerance))
        bound = with_config(with_deadline(train))
        trained = run_watched(bound, tasks, make_tasks, n_jobs=n_jobs, tolerance=tolerance)
    else:
        train = partial(train_anywhere, partial(_train_some, tolerance.spared))
        bound = with_config(train)
        try:
            trained = Parallel(n_jobs=n_jobs, prefer="threads")(delayed(bound)(*t) for t in tasks)
        except Exception as error:
            if not process_died(error):
                raise
            raise lost_worker(error, tasks) from error
    found = dict(failures or {})
    return _gather(members, tasks, trained, folds, classes, refit, tolerance, found)


def _gather(members, tasks, trained, folds, classes, refit, tolerance, failures):
    """Put together what the tasks returned: a MemberFailure, or pairs of member and ballot."""
    n_members = len(members) + len(failures)
    kept: dict[str, list] = {name: [] for name, _ in members}
    lacked: dict[str, set] = {name: set() for name, _ in members}
    ballots = {name: np.empty((len(folds), len(classes))) for name, _ in members}
    for ((parcel, _), part, *_), results in zip(tasks, trained, strict=True):
        name, _ = parcel.content
        results = results.content if isinstance(results, Parcel) else results
        if isinstance(results, MemberFailure):
            failures[name] = results
            continue
        for number, (member, ballot, lacking) in zip(part, results, strict=True):
            lacked[name] |= set(lacking)
            kept[name] += [] if member is None else [member]
            if number >= 0:
                ballots[name][folds == number] = ballot
    if tolerance.drops:
        failures |= unusable({name: ballots[name] for name in kept if name not in failures})
    tolerance.settle(failures, n_members)
    _say_lacking({name: found for name, found in lacked.items() if name not in failures})
    voters = {
        name: kept[name][0] if refit else FoldMembers.of(clone(member), kept[name], classes)
        for name, member in members
        if name not in failures
    }
    return voters, stack_ballots([ballots[name] for name in voters], list(voters)), failures


def _say_lacking(lacked: dict[str, set]) -> None:
    """Warn of members that vote 0 for a class because their training had none of it."""
    for name, classes in lacked.items():
        if classes:
            why = f"a training of it had no {first_few(sorted(classes))}, for which it votes 0 then"
            remedy = "let its fit see every class, or leave it out"
            warnings.warn(message("member", name, why, remedy), MemberWarning, stacklevel=6)


def _train_some(spared, named, numbers, data, folds, classes, refit, seed, verbose):
    """Train a member for some folds; return whom to keep, their ballots and what they lack."""
    (name, member), (X, y, sample_weight, groups) = named, data
    if verbose and numbers[0] == 0:
        print(f"{name}: {len(y)} samples, {folds.max() + 1} folds", flush=True)
    extra = {"sample_weight": sample_weight, "groups": groups}
    extra = {key: value for key, value in extra.items() if value is not None}
    parts = [np.flatnonzero(folds != number) for number in numbers]
    with blamed(name, "fit", spared):
        member = seeded(member, name, seed)
    fitted = fit_member(name, member, X, y, parts, extra, spared=spared)

    def ballot(one, number):
        held_out = _safe_indexing(X, np.flatnonzero(folds == number))
        return cast_ballot(name, one, held_out, classes, spared=spared)

    def lacking(one):
        # A finished member may have been made for fewer classes.
        return (
            []
            if came_trained(member)
            else np.setdiff1d(classes, getattr(one, "classes_", classes)).tolist()
        )

    # Who does not stay is dropped here, which keeps memory flat over the folds.
    return [
        (
            None if refit and number >= 0 else one,
            None if number < 0 else ballot(one, number),
            lacking(one),
        )
        for one, number in zip(fitted, numbers, strict=True)
    ]
