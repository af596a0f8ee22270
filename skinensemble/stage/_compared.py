"""Whether the vote of a stage earns its keep."""

from __future__ import annotations

from typing import Any

from sklearn.utils.validation import check_is_fitted

from skinensemble.comparison import Comparison, compare

__all__ = ["ComparedStage"]


class ComparedStage:
    """Comparison of the vote of a :class:`Stage` with its members, on out-of-fold ballots."""

    def compare(self: Any, **options) -> Comparison:
        """Ask the out-of-fold ballots whether the vote earns its keep; nothing is trained.

        Parameters
        ----------
        **options
            `rules`, `n_resamples` and `random_state` of
            :func:`~skinensemble.comparison.compare`; ``rules=()`` compares with the members only.

        Returns
        -------
        Comparison
            Prints as a table and one sentence.
        """
        check_is_fitted(self)
        return compare(
            self.ballots_,
            self.targets_,
            names=self._names,
            folds=self.folds_,
            groups=self.lesions_,
            sample_weight=self.sample_weight_,
            voting=self.voting_,
            **options,
        )

    def earned(self: Any) -> str:
        """Return in a sentence whether the vote earns its keep, or why that cannot be said."""
        try:
            found = self.compare(rules=(), n_resamples=200)
            return " ".join([*found.notes, found.sentence])
        except Exception as error:  # of any kind: what the rule has to learn may need all folds
            return f"The vote could not be compared with its members. {error}"
