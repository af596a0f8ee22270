"""A vote that stops when those who spoke are sure enough, and is judged as such."""

from __future__ import annotations

import numpy as np
from sklearn.base import clone
from sklearn.utils.validation import check_is_fitted

from skinensemble.exceptions import InputError, message
from skinensemble.persistence._codec import dump_params, load_params
from skinensemble.voting._base import VotingRule
from skinensemble.voting._checks import check_training
from skinensemble.voting._over import RuleOverBase
from skinensemble.voting._settled import check_asked, on_average


class EarlyExitVote(RuleOverBase):
    """Ask one member after the other, and stop when those asked are sure enough.

    After each member the base rule decides on the ballots so far; members not yet asked are taken
    to say what the others say on average. The vote stops where the mean probability of the decision
    reaches a level, as in a cascade of a committee [1]_. There is a level for each class and number
    of members asked, learnt from the out-of-fold ballots: the lowest at which, of the images that
    stop there, at most the share `tolerance` is decided otherwise by the full committee. One more
    such image is counted than was seen, so a handful of images is no evidence.

    What is promised holds for the vote that stops early: the base rule is fitted once more, on the
    ballots as they then are, so that weights, calibration, threshold and certificate are those of
    exactly what is computed on new images. :meth:`combine` and :meth:`decide` take full ballots and
    use of each image those of the members that would have been asked.

    Parameters
    ----------
    base : str or VotingRule, default="soft"
        The rule that decides. A threshold belongs inside: ``EarlyExitVote("threshold")``.
    tolerance : float, default=0.005
        Share of the images that stop at a level whose decision may be another than that of the full
        committee.
    order : sequence of int, default=None
        Members by their place in the committee, in the order to ask them. None: as they come, so
        list the cheapest first.

    Attributes
    ----------
    base_ : VotingRule
        Fitted on the ballots of early exits.
    pilot_ : VotingRule
        The base rule fitted on full ballots; it finds out who is sure.
    levels_ : ndarray of shape (n_members - 1, n_classes)
        What the mean probability must reach after 1, 2, … members; infinite: no exit.
    order_ : ndarray of int of shape (n_members,)
    n_members_ : int
        Size of the committee.
    threshold_, certificate_
        Those of `base_`, where it has them.

    See Also
    --------
    Stage.predict_early : Asks only as many members; of other rules, until the rest cannot change
        the decision.

    References
    ----------
    .. [1] X. Wang, D. Kondratyuk, E. Christiansen, K. M. Kitani, Y. Alon, E. Eban, "Wisdom of
       committees: an overlooked approach to faster and more accurate models", ICLR 2022.
       arXiv:2012.01988

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> y = np.repeat([0, 1], 500)
    >>> p = rng.beta(2 + 3 * y[:, None], 5 - 3 * y[:, None], (1000, 3))
    >>> ballots = np.stack([1 - p, p], axis=2)
    >>> rule = EarlyExitVote(tolerance=0.02).fit(ballots, y)
    >>> round(rule.n_asked(ballots).mean(), 1)
    np.float64(1.5)
    >>> changed = rule.decide(ballots) != rule.pilot_.decide(ballots)
    >>> bool(changed.mean() < 0.02)
    True
    """

    cross_fits = False

    def __init__(self, base="soft", *, tolerance=0.005, order=None):
        self.base = base
        self.tolerance = tolerance
        self.order = order

    @property
    def learns(self) -> bool:
        """Whether the base does; the levels are learnt without the answers."""
        return self.base_rule().learns

    @property
    def threshold_(self) -> float:
        """The threshold of the base, where it has one."""
        return self.base_.threshold_

    @property
    def certificate_(self):
        """What is proved about the vote that stops early, where the base proves something."""
        return self.base_.certificate_

    def check_params(self, n_members=None):
        """Refuse a tolerance that is no share, an order that is none, and what the base refuses."""
        if not isinstance(self.tolerance, (int, float, np.floating)) or not 0 < self.tolerance < 1:
            why, remedy = "not a share between 0 and 1", "pass a number such as 0.005"
            raise InputError(message("tolerance", f"{self.tolerance!r:.60}", why, remedy))
        if self.order is not None:
            _check_order(self.order, n_members)
        if isinstance(self.base, EarlyExitVote):
            why, remedy = "it stops early already", "pass the rule that it is to stop"
            raise InputError(message("base", f"{self.base!r:.60}", why, remedy))
        super().check_params(n_members)

    def fit(self, ballots, y, *, sample_weight=None, groups=None):
        """Learn when to stop, then what the base has to learn; see :meth:`VotingRule.fit`.

        Raises
        ------
        InputError
            When ballots, labels or parameters cannot be used.
        CertificateError
            When the lesions are too few for what the base promises.
        """
        ballots, y, _, lesions = check_training(ballots, y, sample_weight, groups)
        self.check_params(ballots.shape[1])
        extra = {"sample_weight": sample_weight, "groups": None if groups is None else lesions}
        order = np.arange(ballots.shape[1]) if self.order is None else self.order
        self.order_ = np.array(order, dtype=np.int64)
        self.n_members_ = len(self.order_)
        self.pilot_ = self.base_rule().fit(ballots, y, **extra)
        self.levels_ = self._learn_levels(ballots)
        self.base_ = self.base_rule().fit(self._until_exit(ballots), y, **extra)
        return self

    def combine(self, ballots):
        """Return the pooled probabilities at the exit, shape (n_samples, n_classes)."""
        return self.base_.combine(self._until_exit(self._checked(ballots)))

    def decide(self, ballots):
        """Return the decisions at the exit, shape (n_samples,)."""
        return self.base_.decide(self._until_exit(self._checked(ballots)))

    def n_asked(self, ballots):
        """Count the members that are asked before the vote stops.

        Parameters
        ----------
        ballots : ndarray of shape (n_samples, n_members, n_classes)

        Returns
        -------
        ndarray of int of shape (n_samples,)
        """
        ballots = self._checked(ballots)
        number, rows = np.full(len(ballots), len(self.order_)), np.arange(len(ballots))
        for step, levels in enumerate(self.levels_):
            said, sure = self._so_far(ballots[rows], step)
            stops = sure >= levels[said]
            number[rows[stops]] = step + 1
            rows = rows[~stops]
            if not len(rows):
                break
        return number

    def settled(self, ballots, asked):
        """Tell where the vote stops before anybody who was not asked; see `VotingRule`."""
        check_is_fitted(self)
        asked = check_asked(asked, len(self.order_))
        in_turn = np.cumprod(asked[self.order_]).sum()
        return self.n_asked(ballots) <= in_turn

    def _so_far(self, ballots, step: int) -> tuple[np.ndarray, np.ndarray]:
        """Return the decision after a member, and its mean probability among those asked."""
        asked = np.isin(np.arange(len(self.order_)), self.order_[: step + 1])
        filled = on_average(ballots, asked[None])
        said = self.pilot_.decide(filled)
        mean = ballots[:, asked].mean(axis=1)
        return said, mean[np.arange(len(said)), said]

    def _until_exit(self, ballots) -> np.ndarray:
        """Return the ballots as they are known when the vote stops."""
        turn = np.argsort(self.order_)
        return on_average(ballots, turn < self.n_asked(ballots)[:, None])

    def _learn_levels(self, ballots) -> np.ndarray:
        final = self.pilot_.decide(ballots)
        levels = np.full((ballots.shape[1] - 1, ballots.shape[2]), np.inf)
        rows = np.arange(len(ballots))
        for step, own in enumerate(levels):
            said, sure = self._so_far(ballots[rows], step)
            changed = said != final[rows]
            for k in np.unique(said):
                own[k] = _lowest_level(sure[said == k], changed[said == k], self.tolerance)
            rows = rows[sure < own[said]]
            if not len(rows):
                break
        return levels

    def _dump(self, out):
        finite = np.minimum(self.levels_, _NEVER)
        return {
            "params": dump_params(self, without=["base", "order"]),
            "base": out.estimator("base", self.base_),
            "pilot": out.estimator("pilot", self.pilot_),
            "levels": out.array("levels", finite),
            "order": out.array("order", self.order_),
        }

    def _load(self, state):
        load_params(self, state, without=["base", "order"])
        self.base_, self.pilot_ = state.estimator("base"), state.estimator("pilot")
        self.base = clone(self.base_)
        for name, rule in (("base", self.base_), ("pilot", self.pilot_)):
            if not isinstance(rule, VotingRule):
                raise state.fault(name, "not a voting rule")
        self.order_ = state.array("order", shape=(None,), dtype=np.int64)
        self.order, self.n_members_ = self.order_.tolist(), len(self.order_)
        levels = state.array("levels", shape=(max(self.n_members_, 1) - 1, None), dtype=np.float64)
        if levels.shape[1] < 2 or (levels < 0).any() or (levels > _NEVER).any():
            raise state.fault("levels", "not a probability for each class")
        self.levels_ = np.where(levels == _NEVER, np.inf, levels)
        try:
            self.check_params(self.n_members_)
            blank = np.full((1, self.n_members_, levels.shape[1]), 1 / levels.shape[1])
            self.pilot_.decide(blank), self.base_.combine(blank)
        except InputError as error:
            raise state.fault("params", str(error)) from None


# Stands in a file, whose numbers are finite, for a level that nothing reaches.
_NEVER = 2.0


def _check_order(order, n_members: int | None) -> None:
    given = np.asarray(order)
    size = given.size if n_members is None else n_members
    if given.dtype.kind not in "iu" or not np.array_equal(np.sort(given), np.arange(size)):
        why = f"expected each number from 0 to {size - 1} once"
        raise InputError(message("order", f"{order!r:.60}", why, "number the members from 0"))


def _lowest_level(sure: np.ndarray, changed: np.ndarray, tolerance: float) -> float:
    """Return the lowest level from which on few enough decisions change, or infinity."""
    falling = np.argsort(-sure, kind="stable")
    sure, errors = sure[falling], np.cumsum(changed[falling])
    # A level takes all images that are equally sure, or none of them.
    last = np.flatnonzero(np.append(sure[1:] != sure[:-1], True))
    good = last[errors[last] + 1 <= tolerance * (last + 2)]
    return float(sure[good[-1]]) if len(good) else np.inf
