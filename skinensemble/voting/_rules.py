"""Rules that learn nothing: majority and soft vote."""

from __future__ import annotations

import numpy as np

from skinensemble.voting._base import VotingRule, last_argmax


class MajorityVote(VotingRule):
    """Every member has one vote, for its most probable class (plurality, "hard" voting).

    :meth:`combine` gives the share of the votes. An even vote is broken by the mean probability,
    then toward the positive class; a member that is itself undecided votes for the last of its
    best classes.

    Examples
    --------
    >>> ballots = np.array([[[0.6, 0.4], [0.6, 0.4], [0.0, 1.0]]])
    >>> MajorityVote().combine(ballots).round(3), MajorityVote().decide(ballots)
    (array([[0.667, 0.333]]), array([0]))
    """

    def combine(self, ballots):
        """Return the share of the members' votes, shape (n_samples, n_classes)."""
        n_samples, n_members, n_classes = ballots.shape
        votes = last_argmax(ballots) + n_classes * np.arange(n_samples)[:, None]
        counts = np.bincount(votes.ravel(), minlength=n_samples * n_classes)
        return counts.reshape(n_samples, n_classes) / n_members


class SoftVote(VotingRule):
    """The mean of the members' probabilities.

    Examples
    --------
    >>> ballots = np.array([[[0.6, 0.4], [0.6, 0.4], [0.0, 1.0]]])
    >>> SoftVote().combine(ballots), SoftVote().decide(ballots)
    (array([[0.4, 0.6]]), array([1]))
    """

    def combine(self, ballots):
        """Return the mean probabilities, shape (n_samples, n_classes)."""
        return ballots.mean(axis=1)
