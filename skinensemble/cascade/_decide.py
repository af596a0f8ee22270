"""What a fitted cascade makes of ballots that are already cast."""

from __future__ import annotations

import warnings

import numpy as np

from skinensemble.exceptions import CalibrationWarning, InputError, message
from skinensemble.prevalence import estimate_prevalence, restate
from skinensemble.routing import best_on_side, joint_proba
from skinensemble.stage import Stage
from skinensemble.voting import CalibratedVote, break_ties

# Of one image the likeliest share is 0 or 1, and it would be called certainly benign or malignant.
_FEWEST = 50


class BallotDecisions:
    """The decisions of a :class:`Cascade`; no member is asked."""

    classes_: np.ndarray
    malignant_: np.ndarray
    route: str
    triage_: Stage
    diagnosis_: Stage

    @property
    def malignant_mask_(self) -> np.ndarray:
        """Which of ``classes_`` are malignant, booleans of shape (n_classes,)."""
        return np.isin(self.classes_, self.malignant_)

    def join(self, triage, diagnosis, prevalence=None):
        """Return the probabilities of the diagnoses, by the route of the cascade.

        Parameters
        ----------
        triage, diagnosis : ndarray of shape (n_samples, n_members, n_classes of the stage)
            Ballots.
        prevalence : float or "estimate", default=None
            As in :meth:`Cascade.malignant_proba`.

        Returns
        -------
        ndarray of shape (n_samples, n_classes)
        """
        sides, malignant = self._sides(triage, prevalence)
        types = self.diagnosis_.pool(diagnosis)
        if self.route == "hard":
            return self.hard_proba(types, malignant)
        return joint_proba(sides, types, self.malignant_mask_)

    def hard_proba(self, types, malignant):
        """Return the probabilities of the hard route.

        Parameters
        ----------
        types : ndarray of shape (n_samples, n_classes)
            Pooled probabilities of the diagnosis stage; those of benign samples do not matter.
        malignant : ndarray of bool of shape (n_samples,)
            Decisions of the triage.

        Returns
        -------
        ndarray of shape (n_samples, n_classes)
        """
        types = np.where(malignant[:, None], types, self._shares())
        return joint_proba(np.eye(2)[malignant.astype(int)], types, self.malignant_mask_)

    def decide_sides(self, ballots):
        """Return whether the triage decides "malignant", booleans of shape (n_samples,).

        Parameters
        ----------
        ballots : ndarray of shape (n_samples, n_members, 2)
            Of the triage stage.
        """
        return self.triage_.voting_.decide(ballots) == 1

    def decide_types(self, ballots, malignant):
        """Choose a diagnosis on the side that the triage chose.

        Parameters
        ----------
        ballots : ndarray of shape (n_samples, n_members, n_classes)
            Of the diagnosis stage.
        malignant : ndarray of bool of shape (n_samples,)
            Decisions of the triage.

        Returns
        -------
        ndarray of int of shape (n_samples,)
            Indices into ``classes_``.
        """
        types = self.diagnosis_.pool(ballots)
        return best_on_side(types, ballots, malignant, self.malignant_mask_)

    def restated(self, ballots, prevalence):
        """Return the ballots of the triage as they are for a prevalence.

        Under a threshold, which is restated as the probabilities are, nothing changes.
        """
        if prevalence is None or hasattr(self.triage_.voting_, "threshold_"):
            return ballots
        sides, shares = self.triage_.pool(ballots), self.triage_.shares_
        stated = _stated(prevalence, sides, self.triage_.voting_.prior(shares))
        return restate(ballots.reshape(-1, 2), shares, stated).reshape(ballots.shape)

    def _sides(self, ballots, prevalence=None):
        """Probabilities of the sides, shape (n, 2), and whether the decision is malignant."""
        rule = self.triage_.voting_
        sides, decided = self.triage_.pool(ballots), rule.decide(ballots)
        if prevalence is not None:
            sides = self._restated(sides, sides, prevalence)
            if not hasattr(rule, "threshold_"):
                decided = break_ties(sides, ballots)
        return sides, decided == 1

    def _threshold(self, ballots, prevalence=None) -> float | None:
        """Return what the probability of :meth:`_sides` has to reach; None without a threshold."""
        threshold = getattr(self.triage_.voting_, "threshold_", None)
        if threshold is None or prevalence is None or threshold > 1:
            return threshold
        at = np.array([[1 - threshold, threshold]])
        return float(self._restated(at, self.triage_.pool(ballots), prevalence)[0, 1])

    def _restated(self, proba, sides, prevalence):
        """Restate probabilities of the sides; of `sides`, all there are, it may be estimated."""
        shares = self.triage_.voting_.prior(self.triage_.shares_)
        return restate(proba, shares, _stated(prevalence, sides, shares))

    @property
    def commonest_benign_(self) -> int:
        """Index of the benign diagnosis with the most training images."""
        return int(np.where(self.malignant_mask_, -1, self._shares()).argmax())

    def _shares(self):
        """Share of each diagnosis in the training data."""
        return np.bincount(self.diagnosis_.targets_) / len(self.diagnosis_.targets_)


def _stated(prevalence, sides, shares):
    if isinstance(prevalence, str) and prevalence == "estimate":
        if len(sides) < _FEWEST:
            why = f"too few images ({len(sides)}) to tell how many are malignant"
            remedy = f"pass {_FEWEST} images or more at once, or a share, such as 0.02"
            raise InputError(message("prevalence", "'estimate'", why, remedy))
        return estimate_prevalence(sides, shares)
    if not isinstance(prevalence, (int, float, np.floating)) or not 0 < prevalence < 1:
        why = "not a share between 0 and 1"
        remedy = 'pass the share of malignant images, such as 0.02, or "estimate"'
        raise InputError(message("prevalence", repr(prevalence), why, remedy))
    return prevalence


def warn_uncalibrated(cascade, prevalence) -> None:
    """Warn where what is to be restated for a prevalence was never calibrated."""
    if prevalence is None or _is_calibrated(cascade.triage_.voting_):
        return
    why = "the cascade is not calibrated, so what is restated was too high or too low before"
    remedy = "train it with a calibration, such as platt or isotonic"
    warnings.warn(message("prevalence", prevalence, why, remedy), CalibrationWarning, stacklevel=3)


def _is_calibrated(rule) -> bool:
    while rule is not None and not isinstance(rule, CalibratedVote):
        rule = getattr(rule, "base_", None)  # such as the pooling rule within a threshold
    return rule is not None
