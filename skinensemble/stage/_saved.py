"""A fitted stage in a saved file."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.base import clone

from skinensemble.committee import (
    LONGEST_REASON,
    PLACES,
    FoldMembers,
    MemberFailure,
    knows_classes,
)
from skinensemble.engines._engine import PRECISIONS
from skinensemble.exceptions import InputError
from skinensemble.voting import check_ballots


class SavedStage:
    """How a :class:`Stage` describes itself, and comes back."""

    def _dump(self: Any, out):
        own = {"folds": self.folds_, "targets": self.targets_, "ballots": self.ballots_}
        optional = {"lesions": self.lesions_, "digests": self.digests_}
        optional["lesion_digests"] = self.lesion_digests_
        optional["certified"] = self._certified
        optional["sample_weight"] = self.sample_weight_
        counted = np.bincount(self.targets_, minlength=len(self.classes_)) / len(self.targets_)
        optional["shares"] = None if (self.shares_ == counted).all() else self.shares_
        own |= {key: value for key, value in optional.items() if value is not None}
        seed = self.random_state
        return {
            "classes": out.labels(self.classes_),
            "members": [
                [name, out.estimator(name, member)] for name, member in self.named_members_.items()
            ],
            **dump_failures(self.failures_),
            **({} if self.precision_ == PRECISIONS[0] else {"precision": self.precision_}),
            "voting": out.estimator("voting", self.voting_),
            "random_state": int(seed) if isinstance(seed, (int, np.integer)) else None,
            "training": {key: out.array(key, value) for key, value in own.items()},
        }

    def _load(self: Any, state):
        self.classes_ = state.labels("classes")
        named = state.pairs("members")
        if not named:
            raise state.fault("members", "there is none")
        self.failures_ = load_failures(state, {name for name, _ in named})
        for name, member in named:
            if not hasattr(member, "predict_proba") or not knows_classes(self.classes_, member):
                raise state.fault(f"members.{name}", "not a classifier of these classes")
        self.precision_ = state.choice("precision", PRECISIONS)
        self.voting_ = state.estimator("voting")
        training = state.nested("training")
        self.folds_ = training.array("folds", shape=(None,), dtype=np.int64)
        n, known = len(self.folds_), training.keys()
        self.targets_ = training.array("targets", shape=(n,), dtype=np.int64)
        if not np.isin(self.targets_, np.arange(len(self.classes_))).all():
            raise training.fault("targets", "not the numbers of classes")
        shape = (n, len(named), len(self.classes_))
        self.ballots_ = training.array("ballots", shape=shape, dtype=np.float64)
        try:
            self.voting_.combine(check_ballots(self.ballots_)[:1])
        except InputError as error:
            raise state.fault("voting", str(error)) from None
        optional = {
            "lesions": (n, np.int64),
            "digests": (n, np.uint64),
            "lesion_digests": (n, np.uint64),
            "certified": (None, np.uint64),
            "sample_weight": (n, np.float64),
            "shares": (len(self.classes_), np.float64),
        }
        self.lesions_, self.digests_, self.lesion_digests_, self._certified, *weighed = (
            training.array(key, shape=(length,), dtype=dtype) if key in known else None
            for key, (length, dtype) in optional.items()
        )
        self.sample_weight_, shares = weighed
        if self.sample_weight_ is not None and not _are_weights(self.sample_weight_):
            raise training.fault("sample_weight", "negative, or all zero")
        self.shares_ = np.bincount(self.targets_, minlength=len(self.classes_)) / n
        if shares is not None:
            if not (np.isfinite(shares) & (shares >= 0)).all() or abs(shares.sum() - 1) > 1e-6:
                raise training.fault("shares", "not shares that sum to 1")
            self.shares_ = shares
        seed = state.raw("random_state", (int, type(None)))
        refit = not all(isinstance(member, FoldMembers) for _, member in named)
        members = [(name, clone(one if refit else one.member)) for name, one in named]
        self.__init__(members, voting=clone(self.voting_), refit=refit, random_state=seed)
        self._name_members(dict(named))


def _are_weights(values: np.ndarray) -> bool:
    return bool((values >= 0).all() and values.any())


def dump_failures(failures: dict[str, MemberFailure]) -> dict:
    """Return the entry for members that have no vote; none where all have one."""
    listed = [[name, failure.where, failure.reason] for name, failure in failures.items()]
    return {"failures": listed} if listed else {}


def load_failures(state, voters: set[str]) -> dict[str, MemberFailure]:
    """Return what an entry of :func:`dump_failures` says, where there is one."""
    if "failures" not in state.keys():  # noqa: SIM118
        return {}
    entries = state.raw("failures", list)
    if not all(_is_record(entry) for entry in entries):
        raise state.fault("failures", "not names of members, where they failed, and why")
    found = {name: MemberFailure(where, reason) for name, where, reason in entries}
    if not entries or len(found) != len(entries) or voters & set(found):
        raise state.fault("failures", "members named twice, or that vote, or none")
    return found


def _is_record(entry) -> bool:
    texts = isinstance(entry, list) and [type(part) for part in entry] == [str] * 3
    return bool(
        texts and entry[1] in PLACES and len(entry[2]) <= LONGEST_REASON and entry[2].isprintable()
    )
