"""A stage whose members speak one after the other."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from sklearn.utils.validation import check_is_fitted

from skinensemble.committee import accept_all, ask_in_turn, cheapest_first

__all__ = ["EarlyDecision", "EarlyStage"]


@dataclass(frozen=True, eq=False)
class EarlyDecision:
    """Decisions, and who was asked for them.

    Attributes
    ----------
    labels : ndarray of shape (n_samples,)
        As ``predict`` gives them.
    asked : ndarray of bool of shape (n_samples, n_members)
        Which members were asked about each sample; of a cascade those of the triage, then those of
        the diagnosis.
    """

    labels: np.ndarray
    asked: np.ndarray

    @property
    def n_asked(self) -> np.ndarray:
        """Number of members asked about each sample, shape (n_samples,)."""
        return self.asked.sum(axis=1)


class EarlyStage:
    """How a :class:`Stage` asks no more members than it needs."""

    def predict_early(self: Any, X) -> EarlyDecision:
        """Ask members until the rest cannot change the decision, the cheapest first.

        The decisions are those of :meth:`predict`, by construction: the voting rule says what is
        settled (:meth:`VotingRule.settled`). Under an :class:`~skinensemble.EarlyExitVote` the
        members are asked in its order, until those asked are sure enough.

        Parameters
        ----------
        X : array-like or list of length n_samples

        Returns
        -------
        EarlyDecision

        Examples
        --------
        >>> from sklearn.datasets import load_breast_cancer
        >>> from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
        >>> from sklearn.linear_model import LogisticRegression
        >>> from sklearn.naive_bayes import GaussianNB
        >>> from skinensemble import Stage
        >>> X, y = load_breast_cancer(return_X_y=True)
        >>> members = [
        ...     ("bayes", GaussianNB()),
        ...     ("lda", LinearDiscriminantAnalysis()),
        ...     ("logistic", LogisticRegression(max_iter=5000)),
        ... ]
        >>> stage = Stage(members, voting="majority", random_state=0)
        >>> found = stage.fit(X, y, groups=np.arange(len(y))).predict_early(X)
        >>> bool((found.labels == stage.predict(X)).all()), np.bincount(found.n_asked).tolist()
        (True, [0, 0, 542, 27])
        """
        ballots, asked = self.ask_early(X)
        return EarlyDecision(self.classes_[self.voting_.decide(ballots)], asked)

    def ask_early(self: Any, X, settled=None):
        """Ask members in turn until `settled`, and return what they said.

        Parameters
        ----------
        X : array-like or list of length n_samples
        settled : callable, default=None
            ``settled(ballots, asked, rows)``: for which of these rows what the members `asked` say
            is enough. None: when the decision of the voting rule is settled.

        Returns
        -------
        ballots : ndarray of shape (n_samples, n_members, n_classes)
            Members that were not asked are taken to say what the others say on average.
        asked : ndarray of bool of shape (n_samples, n_members)
        """
        check_is_fitted(self)
        named = list(zip(self._names, self.members_, strict=True))
        enough = settled or (lambda ballots, asked, _: self.voting_.settled(ballots, asked))
        X = accept_all(self.members_, X)
        return ask_in_turn(named, X, self.classes_, self.asking_order(), enough)

    def asking_order(self: Any) -> list[int]:
        """Return the members by their place, in the order in which an early exit asks them."""
        rule = self.voting_
        while not hasattr(rule, "order_") and hasattr(rule, "base_"):
            rule = rule.base_
        own = getattr(rule, "order_", None)
        if own is not None:
            return own.tolist()
        # Who has no weight decides nothing, so is asked last: never, but for ties.
        weights = getattr(rule, "weights_", getattr(rule, "weights", None))
        idle = np.zeros(len(self.members_), bool) if weights is None else np.equal(weights, 0)
        return sorted(cheapest_first(self.members_), key=lambda i: bool(idle[i]))
