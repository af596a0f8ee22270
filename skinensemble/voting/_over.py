"""What the rules have in common that do something with what another rule pools."""

from __future__ import annotations

import numpy as np
from sklearn.utils.validation import check_is_fitted

from skinensemble.voting._ballots import check_ballots
from skinensemble.voting._base import VotingRule
from skinensemble.voting._checks import check_committee, inner_folds


class RuleOverBase(VotingRule):
    """A rule whose parameter `base` names another one, and whose `base_` is that one fitted."""

    cross_fits = True
    """Whether it learns from what the base pools, of lesions that the base has not learnt from."""

    base: str | VotingRule
    base_: VotingRule
    n_members_: int | None

    @property
    def binary(self) -> bool:  # type: ignore[override]
        """Whether the base decides between two classes only."""
        return self.base_rule().binary

    def check_params(self, n_members=None):
        """Refuse what the base refuses of its parameters."""
        self.base_rule().check_params(n_members)

    def check_classes(self, n_classes):
        """Refuse what the base refuses, and more than two where the rule is for two."""
        self.base_rule().check_classes(n_classes)
        super().check_classes(n_classes)

    def check_targets(self, y, groups=None):
        """Refuse, beside classes of which there are too many, what the base cannot learn from."""
        self.check_params()
        self.check_classes(int(np.max(y)) + 1)
        base = self.base_rule()
        base.check_targets(y, groups)
        if self.cross_fits and base.learns:
            inner_folds(base, y, groups)

    def votes(self, ballots):
        """Return what each member would decide by itself under the base."""
        check_is_fitted(self)
        return self.base_.votes(check_ballots(ballots))

    def settled(self, ballots, asked):
        """Tell which decisions are settled; see :meth:`VotingRule.settled`."""
        ballots = self._checked(ballots)
        if self.base_.is_monotone(ballots.shape[2]):
            return super().settled(ballots, asked)
        # Then what is settled below is the probabilities, and with them what is made of them.
        return self.base_.settled(ballots, asked)

    def prior(self, shares):
        """Return the class shares for which the base states its probabilities."""
        return self.base_.prior(shares)

    def restate(self, pooled):
        """Return what pooled probabilities become after the pooling; here nothing but by the base.

        Parameters
        ----------
        pooled : ndarray of shape (n_samples, n_classes)

        Returns
        -------
        ndarray of shape (n_samples, n_classes)
        """
        return self.base_.restate(pooled) if isinstance(self.base_, RuleOverBase) else pooled

    def base_rule(self) -> VotingRule:
        """Return the rule that `base` names, not yet fitted."""
        from skinensemble.voting import resolve_voting_rule

        return resolve_voting_rule(self.base)

    def _restated(self, ballots) -> np.ndarray:
        """Return each member's own probabilities as if the committee had pooled them."""
        check_is_fitted(self)
        ballots = check_ballots(ballots)
        self.check_classes(ballots.shape[2])
        return self.restate(ballots.reshape(-1, ballots.shape[2])).reshape(ballots.shape)

    def _checked(self, ballots) -> np.ndarray:
        """Return the ballots, if they are of the committee that the rule was fitted on."""
        check_is_fitted(self)
        ballots = check_ballots(ballots)
        self.check_classes(ballots.shape[2])
        check_committee(ballots, (self.n_members_,))
        return ballots
