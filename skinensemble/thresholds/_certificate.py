"""The certificate: a threshold, what it proves, and on which lesions."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from scipy import stats

from skinensemble.exceptions import check_choice
from skinensemble.thresholds._bounds import (
    allowed_misses,
    exact_interval,
    lesions_needed,
    sensitivity_bound,
)
from skinensemble.thresholds._lesions import lesion_scores

__all__ = ["Certificate", "certify_threshold"]

_ORIGIN = {
    "cross-fitted": "out-of-fold ballots of the training lesions; approximate",
    "held-out": "lesions the members never saw; exact",
}
_COUNTED = {
    "worst": "",
    "highest": "a lesion by the highest score of its images; ",
    "mean": "a lesion by the mean score of its images; ",
}


@dataclass(frozen=True)
class Certificate:
    """What is proved about a threshold, and on which lesions.

    Attributes
    ----------
    kind : {"cross-fitted", "held-out"}
        Whether the threshold was set on out-of-fold ballots of the training lesions (approximate:
        the members that will be used saw all of them) or on lesions no member ever saw (exact).
    threshold : float
        A lesion is called malignant when its score is at least this.
    threshold_interval : (float, float)
        Where it falls in 95 % of the bootstrap samples of the lesions (exact, of an order
        statistic [1]_). Without a miss the lower end is the threshold itself, and the threshold of
        other lesions may well be lower.
    n_malignant, misses : int
        Malignant lesions, and how many of them score below the threshold.
    n_benign, false_alarms : int
        Benign lesions, and how many of them score at or above it.
    promised : {"sensitivity", "specificity"}
        Which of the two is proved; the other one is only estimated.
    minimum, confidence : float
        What was asked for: P(`promised` ≥ `minimum`) ≥ `confidence`.
    lesion : {"worst", "highest", "mean"}
        Which score stood for a lesion of several images; see
        :func:`~skinensemble.thresholds.lesion_scores`.
    on_trust : tuple of str
        Members that came trained, whose training nobody here has seen: that they learnt from none
        of these lesions is assumed. If they did, the promise does not hold.

    References
    ----------
    .. [1] A. D. Hutson, M. D. Ernst, "The exact bootstrap mean and variance of an L-estimator",
       Journal of the Royal Statistical Society B 62(1), 2000. doi:10.1111/1467-9868.00221

    Examples
    --------
    >>> counts = {"n_malignant": 200, "misses": 4, "n_benign": 800, "false_alarms": 200}
    >>> print(Certificate("held-out", 0.125, (0.11, 0.15), **counts))
    sensitivity ≥ 0.954 with 95 % confidence: 4 of 200 malignant lesions missed at threshold 0.125
    (0.11–0.15), specificity 0.750 (0.718–0.780) on 800 benign lesions
    (held-out: lesions the members never saw; exact)
    """

    kind: Literal["cross-fitted", "held-out"]
    threshold: float
    threshold_interval: tuple[float, float]
    n_malignant: int
    misses: int
    n_benign: int
    false_alarms: int
    promised: Literal["sensitivity", "specificity"] = "sensitivity"
    minimum: float = 0.95
    confidence: float = 0.95
    lesion: Literal["worst", "highest", "mean"] = "worst"
    on_trust: tuple[str, ...] = ()

    @property
    def bound(self) -> float:
        """Exact lower confidence bound of what is promised (Clopper–Pearson).

        Where tied scores leave fewer misses than were allowed, it counts those that were: a bound
        chosen after a look at the lesions would be above the truth more often than it says.
        """
        missed, n = self.misses, self.n_malignant
        if self.promised == "specificity":
            missed, n = self.false_alarms, self.n_benign
        promise = self.minimum, self.confidence
        allowed = allowed_misses(n, *promise) if n >= lesions_needed(*promise) else 0
        return sensitivity_bound(max(missed, allowed), n, self.confidence)

    @property
    def sensitivity(self) -> float:
        """Share of the malignant lesions at or above the threshold; NaN when there were none."""
        return 1 - self.misses / self.n_malignant if self.n_malignant else float("nan")

    @property
    def specificity(self) -> float:
        """Share of the benign lesions below the threshold; NaN when there were none."""
        return 1 - self.false_alarms / self.n_benign if self.n_benign else float("nan")

    def __str__(self):
        missed = f"{self.misses} of {self.n_malignant} malignant lesions missed"
        flagged = f"{self.false_alarms} of {self.n_benign} benign lesions flagged"
        spec = _share("specificity", self.n_benign - self.false_alarms, self.n_benign, "benign")
        sens = _share("sensitivity", self.n_malignant - self.misses, self.n_malignant, "malignant")
        counted, other = (missed, spec) if self.promised == "sensitivity" else (flagged, sens)
        low, high = self.threshold_interval
        trusted = ", ".join(self.on_trust)
        trust = f"; taken on trust: {trusted} learnt from none of them" if trusted else ""
        # Cut, not rounded: a bound of 0.9499 must not read as 0.95.
        return (
            f"{self.promised} ≥ {np.floor(self.bound * 1000) / 1000:.3f} with"
            f" {100 * self.confidence:g} % confidence: {counted} at threshold"
            f" {self.threshold:.3g} ({low:.3g}–{high:.3g}), {other}"
            f" ({_COUNTED[self.lesion]}{self.kind}: {_ORIGIN[self.kind]}{trust})"
        )


def _share(name: str, count: int, n: int, kind: str) -> str:
    low, high = exact_interval(count, n)
    value = count / n if n else float("nan")
    return f"{name} {value:.3f} ({low:.3f}–{high:.3f}) on {n} {kind} lesions"


def certify_threshold(
    scores: np.ndarray,
    malignant: np.ndarray,
    *,
    groups: np.ndarray | None = None,
    promised: Literal["sensitivity", "specificity"] = "sensitivity",
    minimum: float = 0.95,
    confidence: float = 0.95,
    lesion: Literal["worst", "highest", "mean"] = "worst",
    kind: Literal["cross-fitted", "held-out"] = "held-out",
) -> Certificate:
    """Find the threshold that costs least while it still proves the promise, and certify it.

    A promised sensitivity takes the largest threshold that proves it, a promised specificity the
    smallest. A lesion with several images counts once, by default by its worst image: a malignant
    lesion is found only if every image of it is, a benign one is passed only if every image is.

    Parameters
    ----------
    scores : array-like of shape (n_images,)
        Probability of malignancy, or any score that grows with it.
    malignant : array-like of bool of shape (n_images,)
        The truth.
    groups : array-like of shape (n_images,), default=None
        Lesion of each image; None: each image is a lesion of its own.
    promised : {"sensitivity", "specificity"}, default="sensitivity"
    minimum, confidence : float, default=0.95
        The promise: P(`promised` ≥ `minimum`) ≥ `confidence`.
    lesion : {"worst", "highest", "mean"}, default="worst"
        Which score stands for a lesion; see :func:`lesion_scores`.
    kind : {"cross-fitted", "held-out"}, default="held-out"
        Where the scores come from; recorded, not checked.

    Returns
    -------
    Certificate

    Raises
    ------
    CertificateError
        When the malignant lesions (of a specificity, the benign ones) are too few.
    InputError
        When a score is NaN or infinite, lengths differ, or an option is unknown.

    Notes
    -----
    With *c* misses allowed, the threshold is the (c + 1)-th smallest score of the malignant
    lesions. Ties lower the number of misses, never raise it.

    Examples
    --------
    >>> scores = np.linspace(0, 1, 200)
    >>> certify_threshold(scores, scores > 0.4).misses
    1
    """
    check_choice("promised", promised, ("sensitivity", "specificity"))
    reduced, truth = lesion_scores(scores, malignant, groups, lesion)
    positives, negatives = np.sort(reduced[truth]), np.sort(reduced[~truth])
    # Seen from the benign lesions everything is turned around.
    ordered = positives if promised == "sensitivity" else -negatives[::-1]
    allowed = allowed_misses(len(ordered), minimum, confidence, promised=promised)
    places = [ordered[at] for at in (allowed, *_order_interval(allowed, len(ordered)))]
    if promised == "specificity":
        # The (c + 1)-th highest benign lesion must pass, so the threshold is just above it.
        places = [np.nextafter(-place, np.inf) for place in places]
    return Certificate(
        kind=kind,
        threshold=float(places[0]),
        threshold_interval=(float(min(places[1:])), float(max(places[1:]))),
        n_malignant=len(positives),
        misses=int(np.sum(positives < places[0])),
        n_benign=len(negatives),
        false_alarms=int(np.sum(negatives >= places[0])),
        promised=promised,
        minimum=float(minimum),
        confidence=float(confidence),
        lesion=lesion,
    )


def _order_interval(rank: int, n: int) -> tuple[int, int]:
    """Places between which the value at a rank falls in 95 % of the bootstrap samples."""
    # It is at or below place r when more than `rank` of n draws are: n draws with chance (r+1)/n.
    below = stats.binom.sf(rank, n, np.arange(1, n + 1) / n)
    return int(np.searchsorted(below, 0.025)), int(np.searchsorted(below, 0.975))
