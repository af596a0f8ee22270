"""Asking members one after the other, each for the samples that are still open."""

from __future__ import annotations

import numpy as np
from sklearn.utils import _safe_indexing
from sklearn.utils.validation import _num_samples

from skinensemble.committee._ask import _first_step, cast_ballot, stack_ballots
from skinensemble.voting._settled import on_average

__all__ = ["ask_in_turn", "cheapest_first", "total_costs"]


def cheapest_first(members) -> list[int]:
    """Return the members by their place, in the order that is cheapest to begin with.

    What a member costs is told by its method ``costs()``, a dict from what it runs to multiply-adds
    per sample; one without it costs nothing to speak of. What several members run is paid once: the
    next one is always that which adds least to what ran before. Of equal ones the first comes
    first.

    Parameters
    ----------
    members : list of classifiers
        Fitted.
    """
    costs, order = [_costs(member) for member in members], []
    paid: set[str] = set()
    left = list(range(len(members)))
    while left:
        added = [sum(cost for key, cost in costs[i].items() if key not in paid) for i in left]
        order.append(left.pop(int(np.argmin(added))))
        paid |= costs[order[-1]].keys()
    return order


def ask_in_turn(named, X, classes, order, settled):
    """Ask members in turn until the decision on a sample is settled.

    Parameters
    ----------
    named : list of (str, classifier)
        Fitted.
    X : any indexable of length n_samples
        As the members accept it.
    classes : ndarray of shape (n_classes,)
    order : sequence of int
        Members by their place in `named`.
    settled : callable
        ``settled(ballots, asked, rows)`` tells for which rows no further ballot matters.

    Returns
    -------
    ballots : ndarray of shape (n_samples, n_members, n_classes)
        Those who were not asked are taken to say what the others say on average.
    asked : ndarray of bool of shape (n_samples, n_members)
    """
    n_samples = _num_samples(X)
    ballots = np.full((n_samples, len(named), len(classes)), 1 / len(classes))
    asked, so_far = np.zeros(ballots.shape[:2], dtype=bool), np.zeros(len(named), dtype=bool)
    rows = np.arange(n_samples)
    for i in order:
        rows = rows[~settled(ballots[rows], so_far, rows)]
        if not len(rows):
            break
        name, member = named[i]
        part = X if len(rows) == n_samples else _safe_indexing(X, rows)
        ballots[rows, i] = stack_ballots([cast_ballot(name, member, part, classes)], [name])[:, 0]
        asked[rows, i] = so_far[i] = True
    return on_average(ballots, asked), asked


def total_costs(members) -> dict[str, float]:
    """Return the multiply-adds of all that members run; what several run counts once."""
    return {key: cost for member in members for key, cost in _costs(member).items()}


def _costs(member) -> dict[str, float]:
    first = _first_step(member)
    return first.costs() if hasattr(first, "costs") else {}
