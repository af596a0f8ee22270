"""What a voting rule is."""

from __future__ import annotations

from abc import ABC, abstractmethod

import numpy as np
from sklearn.base import BaseEstimator

from skinensemble.exceptions import InputError, message
from skinensemble.persistence._codec import dump_params, load_params
from skinensemble.voting._ballots import break_ties, check_ballots, last_argmax
from skinensemble.voting._checks import check_training
from skinensemble.voting._settled import check_asked, equal_ends, has_lead


class VotingRule(BaseEstimator, ABC):
    """How the ballots of a committee become one probability and one decision.

    Subclass it and write :meth:`combine`. Everything else has a default that a rule may replace:
    :meth:`fit` when it learns something, :meth:`decide` when its decision is not the most probable
    class. Ballots are arrays of shape (n_samples, n_members, n_classes). Inside a
    :class:`~skinensemble.Stage`, and by the default :meth:`fit`, :meth:`decide` and :meth:`votes`,
    they are checked before they reach :meth:`combine`; one that is to be safe alone begins with
    :func:`check_ballots`.

    Examples
    --------
    >>> class MinimumVote(VotingRule):
    ...     '''A class is as probable as its most doubtful member says.'''
    ...     def combine(self, ballots):
    ...         lowest = check_ballots(ballots).min(axis=1) + 1e-12
    ...         return lowest / lowest.sum(axis=1, keepdims=True)
    >>> ballots = np.array([[[0.9, 0.1], [0.4, 0.6]]])
    >>> MinimumVote().combine(ballots).round(2)
    array([[0.8, 0.2]])
    >>> MinimumVote().decide(ballots)
    array([0])
    """

    binary = False
    """Whether the rule decides between two classes only."""

    @property
    def learns(self) -> bool:
        """Whether `fit` learns from the answers, and so knows them; a `fit` of one's own does."""
        return type(self).fit is not VotingRule.fit

    def __sklearn_is_fitted__(self):
        # What has nothing to learn is ready as it is.
        learnt = any(name.endswith("_") and not name.startswith("__") for name in vars(self))
        return learnt or type(self).fit is VotingRule.fit

    def check_params(self, n_members=None):
        """Refuse parameters that cannot work; by default there is nothing to refuse.

        Parameters
        ----------
        n_members : int, default=None
            Size of the committee, where it is known.
        """

    def check_classes(self, n_classes):
        """Refuse a number of classes that the rule cannot decide between.

        Parameters
        ----------
        n_classes : int
        """
        if self.binary and n_classes != 2:
            why = f"it decides between two classes, here are {n_classes}"
            remedy = 'use it for triage, and "soft" or "majority" for the diagnosis'
            raise InputError(message("voting rule", type(self).__name__, why, remedy))

    def check_targets(self, y, groups=None):
        """Refuse, before anything is trained, what the rule could not learn from.

        Parameters
        ----------
        y : ndarray of int of shape (n_samples,)
            Class indices.
        groups : ndarray of shape (n_samples,), default=None
            Lesion of each sample.
        """
        self.check_params()
        self.check_classes(int(np.max(y)) + 1)

    def fit(self, ballots, y, *, sample_weight=None, groups=None):
        """Learn from out-of-fold ballots; by default they and the parameters are only checked.

        Parameters
        ----------
        ballots : ndarray of shape (n_samples, n_members, n_classes)
            Each row by members that did not see the sample.
        y : ndarray of int of shape (n_samples,)
            Class indices.
        sample_weight : ndarray of shape (n_samples,), default=None
        groups : ndarray of shape (n_samples,), default=None
            Lesion of each sample.

        Returns
        -------
        self
        """
        ballots, *_ = check_training(ballots, y, sample_weight, groups)
        self.check_classes(ballots.shape[2])
        self.check_params(ballots.shape[1])
        return self

    @abstractmethod
    def combine(self, ballots):
        """Pool the ballots of each sample.

        Parameters
        ----------
        ballots : ndarray of shape (n_samples, n_members, n_classes)

        Returns
        -------
        ndarray of shape (n_samples, n_classes)
            Rows sum to 1.
        """

    def prior(self, shares):
        """Return the class shares for which :meth:`combine` states its probabilities.

        Parameters
        ----------
        shares : ndarray of shape (n_classes,)
            Of the classes among the training samples; by default it is these.

        Returns
        -------
        ndarray of shape (n_classes,)
        """
        return shares

    def decide(self, ballots):
        """Choose a class for each sample: the highest of :meth:`combine`, with safe ties.

        Parameters
        ----------
        ballots : ndarray of shape (n_samples, n_members, n_classes)

        Returns
        -------
        ndarray of int of shape (n_samples,)
            Class indices.
        """
        ballots = check_ballots(ballots)
        return break_ties(self.combine(ballots), ballots)

    def is_monotone(self, n_classes):
        """Tell whether missing ballots are worst for a class where they are certain of another.

        Then the lead of one class over another in :meth:`combine` is smallest where all missing
        ballots are certain of that other class, and :meth:`settled` has only these cases to look
        at. By default this is not known. A rule of your own that says so decides by the highest
        of :meth:`combine`, or of two classes by a threshold on it.

        Parameters
        ----------
        n_classes : int

        Returns
        -------
        bool
        """
        return False

    def settled(self, ballots, asked):
        """Tell which decisions the ballots of some members settle, whatever the others would say.

        The answer is exact: where it is yes, no ballots of the other members can change
        :meth:`decide`. Unless the rule is monotone (:meth:`is_monotone`), they cannot change
        :meth:`combine` either; by default that takes all members.

        Parameters
        ----------
        ballots : ndarray of shape (n_samples, n_members, n_classes)
            Of members that were not asked, any probabilities.
        asked : array-like of bool of shape (n_members,)
            Which members were asked.

        Returns
        -------
        ndarray of bool of shape (n_samples,)

        Examples
        --------
        >>> from skinensemble import MajorityVote
        >>> ballots = np.array([[[0.9, 0.1], [0.8, 0.2], [0.5, 0.5]]])
        >>> MajorityVote().settled(ballots, [True, True, False])
        array([ True])
        >>> MajorityVote().settled(ballots, [True, False, False])
        array([False])
        """
        ballots = check_ballots(ballots)
        n_samples, n_members, n_classes = ballots.shape
        asked = check_asked(asked, n_members)
        if asked.all() or not self.is_monotone(n_classes):
            return np.full(n_samples, asked.all())
        if n_classes == 2:
            return equal_ends(self.decide, ballots, asked)
        return has_lead(self.combine, ballots, asked)

    def votes(self, ballots):
        """Return what each member would decide by itself: its most probable class, ties as above.

        Parameters
        ----------
        ballots : ndarray of shape (n_samples, n_members, n_classes)

        Returns
        -------
        ndarray of int of shape (n_samples, n_members)
            Class indices.
        """
        return last_argmax(check_ballots(ballots))

    def _dump(self, out):
        return {"params": dump_params(self)}

    def _load(self, state):
        self._load_params(state)

    def _load_params(self, state, *, without=()):
        load_params(self, state, without=without)
        try:
            self.check_params()
        except InputError as error:
            raise state.fault("params", str(error)) from None
