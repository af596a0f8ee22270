"""One million votes of seven members on seven classes, against scikit-learn's and NumPy's way."""

from __future__ import annotations

import statistics
import time

import numpy as np
from sklearn.base import clone

from skinensemble.voting import last_argmax, list_voting_rules, resolve_voting_rule
from skinensemble.voting._rules import tally

SHAPE = (1_000_000, 7, 7)
LEARNT_ON = 10_000
REPEATS = 5


def run(args):
    """Median and spread of seconds, repeats alternating, each against its baseline."""
    ballots, y = _ballots()
    votes = last_argmax(ballots)
    majority, soft = resolve_voting_rule("majority"), resolve_voting_rule("soft")
    rows = _compare(
        {
            "votes → class: apply_along_axis": lambda: _by_scikit_learn(votes),
            "votes → class: majority": lambda: last_argmax(tally(votes, SHAPE[2])),
            "ballots → class: argmax, apply_along_axis": lambda: _by_scikit_learn(
                ballots.argmax(axis=2)
            ),
            "ballots → class: majority": lambda: majority.decide(ballots),
        },
        baselines=(0, 0, 2, 2),
        repeats=3,
    )
    mean = {"numpy.mean over the members": lambda: ballots.mean(axis=1)}
    pooled = {f"combine: {name}": rule for name, rule in _fitted(ballots, y).items()}
    pooled = {name: lambda rule=rule: rule.combine(ballots) for name, rule in pooled.items()}
    decided = {"decide: soft": lambda: soft.decide(ballots)}
    rows += _compare(mean | pooled | decided, baselines=(0,) * (len(pooled) + 2), repeats=REPEATS)
    return ["of 1,000,000 × 7 × 7 ballots", "median s", "from", "to", "of baseline", "times"], rows


def _by_scikit_learn(votes):
    # The reduction of VotingClassifier.predict with voting="hard".
    return np.apply_along_axis(lambda row: np.argmax(np.bincount(row)), axis=1, arr=votes)


def _ballots():
    rng = np.random.default_rng(0)
    y = rng.integers(0, SHAPE[2], SHAPE[0])
    ballots = rng.random(SHAPE)
    ballots[np.arange(SHAPE[0]), :, y] += 0.5
    return ballots / ballots.sum(axis=2, keepdims=True), y


def _fitted(ballots, y):
    rules = {name: resolve_voting_rule(name) for name in list_voting_rules()}
    some = slice(LEARNT_ON)
    return {
        name: clone(rule).fit(ballots[some], y[some])
        for name, rule in rules.items()
        if not rule.binary
    }


def _compare(ways, baselines, repeats):
    """Time every way in turn; `baselines` says against which of them each is held."""
    times = {name: [] for name in ways}
    for _ in range(repeats):
        for name, way in ways.items():
            start = time.perf_counter()
            way()
            times[name].append(time.perf_counter() - start)
    medians = [statistics.median(values) for values in times.values()]
    return [
        [
            name,
            f"{median:.3f}",
            f"{min(values):.3f}",
            f"{max(values):.3f}",
            f"{median / medians[base]:.3f}",
            f"{medians[base] / median:.2f}×",
        ]
        for (name, values), median, base in zip(times.items(), medians, baselines, strict=True)
    ]
