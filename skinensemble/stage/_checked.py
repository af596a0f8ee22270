"""What a stage refuses before anything is trained."""

from __future__ import annotations

from typing import Any

import numpy as np

from skinensemble.committee import Tolerance, refuse_weighting
from skinensemble.exceptions import InputError, first_few, message
from skinensemble.validation import check_generator, check_weights
from skinensemble.voting._checks import of_some_weight

__all__ = ["CheckedStage"]


class CheckedStage:
    """Checks of the parameters of a :class:`Stage`."""

    def tolerance(self: Any) -> Tolerance:
        """Return what the parameters say about members that fail."""
        return Tolerance(self.on_error, self.min_members, self.time_limit, self.member_time_limit)

    def check_rule(self: Any, targets, lesions, sample_weight=None) -> None:
        """Refuse, before anything is trained, a voting rule that could not do with these samples.

        Parameters
        ----------
        targets : ndarray of int of shape (n_samples,)
            Class indices.
        lesions : ndarray of shape (n_samples,), or None
        sample_weight : ndarray of shape (n_samples,), default=None

        Raises
        ------
        InputError
            When the rule cannot be used, or not with as few members as may be left.
        CertificateError
            When it promises more than the lesions can prove.
        """
        tolerance, rule = self.tolerance(), self.voting_rule()
        tolerance.check(len(self.members))
        tolerance.check_rule(rule, len(self.members))
        rule.check_targets(targets, lesions)
        rows = of_some_weight(sample_weight, lesions, len(targets))
        if rows.any() and targets[rows].max() == targets.max():
            rule.check_targets(targets[rows], None if lesions is None else lesions[rows])

    def check_weighting(self: Any, sample_weight, X) -> np.ndarray | None:
        """Return the weights of samples, where there are any and the members could heed them."""
        if sample_weight is None:
            return None
        refuse_weighting(self.members)
        return check_weights(sample_weight, X)

    def check_seed(self: Any) -> int | None:
        """Return the seed of the folds and the members, drawn from a RandomState if it is one."""
        given, drawn = self.random_state, check_generator(self.random_state)
        if given is None or isinstance(given, (int, np.integer)):
            return None if given is None else int(given)
        return int(drawn.randint(2**31 - 1))

    def check_members(self: Any) -> None:
        """Refuse members that make no committee, and what cannot be asked of them."""
        if not isinstance(self.members, list) or not self.members:
            remedy = 'pass a list such as [("resnet50", TransferClassifier("resnet50"))]'
            raise InputError(message("members", repr(self.members), "no committee", remedy))
        odd = [one for one in self.members if not isinstance(one, (tuple, list)) or len(one) != 2]
        if odd:
            bare = not any(isinstance(one, (tuple, list)) for one in odd)
            why = "without a name" if bare else "no pair of name and classifier"
            remedy = 'pass pairs, such as ("resnet50", TransferClassifier("resnet50"))'
            shown = first_few(odd, show=lambda one: f"{one!r:.60}")
            raise InputError(message("members", shown, why, remedy))
        jobs = self.n_jobs
        if jobs is not None and (not isinstance(jobs, (int, np.integer)) or jobs == 0):
            why, remedy = "not a number of processes", "pass None, 1, 2 …, or -1 for all cores"
            raise InputError(message("n_jobs", f"{jobs!r:.60}", why, remedy))
        self._check_names([name for name, _ in self.members])
        mute = [name for name, member in self.members if not hasattr(member, "predict_proba")]
        if mute:
            why = "no predict_proba, so no ballot"
            raise InputError(message("members", first_few(mute), why, "use a calibrated wrapper"))
        self.tolerance().check(len(self.members))

    def _check_names(self: Any, names: list) -> None:
        odd = [name for name in names if not isinstance(name, str)]
        if odd:
            shown = first_few(odd, show=lambda one: f"{one!r:.60}")
            remedy = 'pass such as ("resnet50", TransferClassifier("resnet50"))'
            raise InputError(message("members", shown, "the name is no text", remedy))
        try:
            self._validate_names(names)
        except ValueError as error:
            remedy = "give each a plain name of its own"
            raise InputError(message("members", first_few(names), str(error), remedy)) from error
