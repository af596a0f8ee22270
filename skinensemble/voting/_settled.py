"""When the ballots that are cast settle a decision, whatever those still missing will say."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from skinensemble.exceptions import InputError, message
from skinensemble.voting._ballots import TIE_TOLERANCE

# A lead that is no tie, not even once a temperature has made it a thousand times smaller.
LEAD = 1000 * TIE_TOLERANCE


def check_asked(asked, n_members: int) -> np.ndarray:
    """Return which members have been asked, booleans of shape (n_members,)."""
    given = np.asarray(asked)
    if given.dtype != bool or given.shape != (n_members,):
        why = f"expected one boolean for each of {n_members} members"
        raise InputError(message("asked", f"{asked!r:.60}", why, "pass a mask of the members"))
    return given


def unanimous(ballots: np.ndarray, asked: np.ndarray, k: int) -> np.ndarray:
    """Return the ballots with those that are missing certain of class k."""
    full = ballots.copy()
    full[:, ~asked] = np.eye(ballots.shape[2])[k]
    return full


def on_average(ballots: np.ndarray, asked: np.ndarray) -> np.ndarray:
    """Return the ballots with those that are missing saying what the others do on average.

    Parameters
    ----------
    ballots : ndarray of shape (n_samples, n_members, n_classes)
        Of members that were not asked, anything finite.
    asked : ndarray of bool of shape (n_samples, n_members) or (1, n_members)
        Where nobody was, all classes are taken for equally probable.
    """
    known = np.broadcast_to(asked, ballots.shape[:2])[..., None]
    number = known.sum(axis=1)
    total = np.where(known, ballots, 0).sum(axis=1)
    mean = np.where(number > 0, total / np.maximum(number, 1), 1 / ballots.shape[2])
    return np.where(known, ballots, mean[:, None])


def equal_ends(outcome: Callable, ballots: np.ndarray, asked: np.ndarray) -> np.ndarray:
    """Whether an outcome is the same at both ends of what missing ballots on two classes can say.

    Parameters
    ----------
    outcome : callable
        From ballots to (n_samples,) values, each of which is taken on one interval of the pooled
        probability.
    ballots : ndarray of shape (n_samples, n_members, 2)
    asked : ndarray of bool of shape (n_members,)

    Returns
    -------
    ndarray of bool of shape (n_samples,)
    """
    return outcome(unanimous(ballots, asked, 0)) == outcome(unanimous(ballots, asked, 1))


def has_lead(combine: Callable, ballots: np.ndarray, asked: np.ndarray, allowed=None):
    """Whether a class leads each other one even if the missing ballots are all certain of that.

    Parameters
    ----------
    combine : callable
        Of a rule that is monotone for so many classes.
    ballots : ndarray of shape (n_samples, n_members, n_classes)
    asked : ndarray of bool of shape (n_members,)
    allowed : ndarray of bool of shape (n_samples, n_classes), default=None
        Classes that stand for election; None: all.

    Returns
    -------
    ndarray of bool of shape (n_samples,)
    """
    n_samples, _, n_classes = ballots.shape
    lead = np.full((n_samples, n_classes), np.inf)
    allowed = np.ones_like(lead, dtype=bool) if allowed is None else allowed
    for k in range(n_classes):
        pooled = combine(unanimous(ballots, asked, k))
        over = pooled - pooled[:, [k]]
        over[:, k] = np.inf
        lead = np.where(allowed[:, [k]], np.minimum(lead, over), lead)
    return ((lead > LEAD) & allowed).any(axis=1)
