"""How many members need not be asked, on held-out images of HAM10000.

Three heads on each of three frozen backbones, trained on four fifths of the lesions, vote in
committees of three, six and nine on the images of the last fifth. Everybody is asked; then an exact
early exit, whose decisions have to be the same; then exits by confidence, whose decisions that are
not the same are counted. Multiply-adds are those of the backbones, each paid once for an image.
After that `--images` of the images are timed from their files, with a committee of three on the
engine "auto"; all ways alternate, and ratios are taken within a round.

`--store` keeps features between runs, of which the timed ways make no use; `--model` keeps the
trained cascade.
"""

from __future__ import annotations

import copy
import statistics
import time
from functools import partial
from pathlib import Path

import numpy as np
from sklearn.base import BaseEstimator, ClassifierMixin, clone
from sklearn.model_selection import StratifiedGroupKFold

from skinensemble import (
    Cascade,
    EarlyExitVote,
    SoftVote,
    Stage,
    ThresholdVote,
    TransferClassifier,
    config_context,
    load,
)
from skinensemble.committee import cheapest_first
from skinensemble.datasets import load_ham10000
from skinensemble.features import temporary_store

BACKBONES = ("mobilenet_v2", "efficientnet_lite0", "efficientnet_lite2")
HEADS = {"": (128,), "_linear": (), "_wide": (256,)}
RULES = {"majority": "majority", "soft": "soft", "threshold": ThresholdVote()}
TOLERANCES = (0.005, 0.01, 0.02)
ROUNDS = 5


class Heard(ClassifierMixin, BaseEstimator):
    """A member whose ballots are known: networks need not run again for each way to ask it."""

    def __init__(self, member, ballots):
        self.member, self.ballots = member, ballots
        self.classes_, self.costs = member.classes_, member.costs

    def predict_proba(self, X):
        return self.ballots[X]


def run(args):
    """Members asked, of how many, and what of the decisions changed; then the times."""
    cascade, paths = _trained(args)
    rows, all_heard = [], []
    for name, stage in (("triage", cascade.triage_), ("diagnosis", cascade.diagnosis_)):
        ballots = stage.ballots(paths)
        heard = [Heard(member, ballots[:, i]) for i, member in enumerate(stage.members_)]
        all_heard.append(heard)
        for size in (1, 2, 3):
            for rule in RULES if name == "triage" else ("majority", "soft"):
                title = f"{name}, {3 * size} members, {rule}"
                part = partial(_part, stage, heard[: 3 * size])
                rows += _counted(title, part, RULES[rule], np.arange(len(paths)))
    rows.append(_procedure(cascade, all_heard, np.arange(len(paths))))
    rows += _timed(cascade, paths[: args.images])
    return ["", "asked", "times fewer", "times fewer multiply-adds", "decisions changed"], rows


def _trained(args):
    """Return the cascade of nine, and the paths of the images held out."""
    data = load_ham10000(args.data)
    images, y, groups = map(np.asarray, (data.images, data.target, data.groups))
    folds = StratifiedGroupKFold(5, shuffle=True, random_state=0)
    train, test = next(folds.split(images, y, groups))
    if args.model is not None and args.model.exists():
        cascade = load(args.model)
    else:
        cascade = Cascade(Stage(_members(args)), random_state=0)
        cascade.fit(images[train], y[train], groups=groups[train])
        if args.model is not None:
            cascade.save(args.model)
    _keep_features(cascade, args.store)
    return cascade, np.random.default_rng(0).permutation(images[test]).tolist()


def _members(args):
    weights = {"mobilenet_v2": str(Path(args.weights, "mobilenet_v2_1.0_224_notop.weights.h5"))}
    return [
        (
            f"{name}{head}",
            TransferClassifier(
                name, weights=weights.get(name, "imagenet"), units=units, store=args.store
            ),
        )
        for head, units in HEADS.items()
        for name in BACKBONES
    ]


def _keep_features(cascade, store):
    for member in [*cascade.triage_.members_, *cascade.diagnosis_.members_]:
        member.body_.store = store


def _part(stage, voters, rule):
    """A stage in which only the first members vote; nothing is trained."""
    n_members = len(voters)
    own = clone(stage).set_params(members=stage.members[:n_members], voting=rule)
    named = {name: voter for (name, _), voter in zip(own.members, voters, strict=True)}
    ballots = stage.ballots_[:, :n_members]
    return own.adopt(named, ballots, stage.classes_, stage.targets_, stage)


def _counted(title, part, rule, X):
    full = part(rule)
    expected, exact = full.predict(X), full.predict_early(X)
    assert (exact.labels == expected).all()
    rows = [_count(f"{title}: exact", full, exact, expected)]
    order = cheapest_first(full.members_)
    for tolerance in TOLERANCES:
        early = part(EarlyExitVote(rule, tolerance=tolerance, order=order))
        found = early.predict_early(X)
        rows.append(_count(f"{title}: tolerance {tolerance}", early, found, expected))
    return rows


def _count(title, stage, found, expected):
    n_members, changed = found.asked.shape[1], np.sum(found.labels != expected)
    costs = [member.costs() for member in stage.members_]
    networks = {key: cost for own in costs for key, cost in own.items()}
    runs = {
        key: found.asked[:, [key in own for own in costs]].any(axis=1).mean() for key in networks
    }
    share = sum(runs[key] * cost for key, cost in networks.items()) / sum(networks.values())
    mean = found.n_asked.mean()
    return [
        title,
        f"{mean:.2f} of {n_members}",
        f"{n_members / mean:.2f}",
        f"{1 / share:.2f}",
        f"{changed} of {len(expected)}",
    ]


def _procedure(cascade, voters, X):
    """Both stages with three members each: who is asked for the verdicts."""
    own = _of_three(cascade, voters, clone)
    full, early = own.verdicts(X), own.verdicts(X, early_exit=True)
    changed = sum(
        (a.answer, a.diagnosis) != (b.answer, b.diagnosis) for a, b in zip(full, early, strict=True)
    )
    asked, before = (np.mean([verdict.n_asked for verdict in each]) for each in (early, full))
    return [
        "verdicts, 3 members a stage: exact",
        f"{asked:.2f} of {before:.2f}",
        f"{before / asked:.2f}",
        "",
        f"{changed} of {len(full)}",
    ]


def _timed(cascade, X):
    _keep_features(cascade, None)
    order = cheapest_first(cascade.triage_.members_[: len(BACKBONES)])
    voters = [stage.members_ for stage in (cascade.triage_, cascade.diagnosis_)]
    exact = _of_three(cascade, voters, clone)
    sure = _of_three(cascade, voters, partial(EarlyExitVote, tolerance=TOLERANCES[0], order=order))
    ways = {}
    for method in ("predict_malignant", "verdicts"):
        ways |= {
            f"{method}, everybody": partial(getattr(exact, method), X),
            f"{method}, exact": partial(getattr(exact, method), X, early_exit=True),
            f"{method}, tolerance {TOLERANCES[0]}": partial(
                getattr(sure, method), X, early_exit=True
            ),
        }
    times = {name: [] for name in ways}
    for round_ in range(ROUNDS + 1):
        for name, way in ways.items():
            with temporary_store(), config_context(engine="auto"):
                start = time.perf_counter()
                way()
            if round_:  # the first compiles
                times[name].append(time.perf_counter() - start)
    return [["", "images/s", "times faster", "from", "to"], *_rates(times, len(X))]


def _of_three(cascade, voters, wrap):
    """A cascade of three members a stage, with a certified threshold."""
    own, rules = copy.copy(cascade), (ThresholdVote(), SoftVote())
    stages = cascade.triage_, cascade.diagnosis_
    own.triage_, own.diagnosis_ = (
        _part(stage, members[: len(BACKBONES)], wrap(rule))
        for stage, members, rule in zip(stages, voters, rules, strict=True)
    )
    return own


def _rates(times, n):
    peer = None
    for name, own in times.items():
        peer = own if name.endswith("everybody") else peer
        ratios = [a / b for a, b in zip(peer, own, strict=True)]
        yield [
            name,
            f"{n / statistics.median(own):.1f}",
            f"{statistics.median(ratios):.2f}",
            f"{min(ratios):.2f}",
            f"{max(ratios):.2f}",
        ]
