"""What the two-stage procedure says about one image."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from skinensemble.taxonomy import SIDES

__all__ = ["Prediction", "Verdict", "digits"]


def digits(p: float) -> str:
    """Write a probability, or a threshold, so that a small one can be told from none."""
    return f"{p:.3f}" if p >= 0.1 or p == 0 else f"{p:.3g}"


@dataclass(frozen=True)
class Verdict:
    """What the two-stage procedure says about one image.

    Attributes
    ----------
    malignant : bool
        The decision of the triage.
    p_malignant : float
        Its pooled probability.
    diagnosis : label or None
        The most probable malignant diagnosis; None when the lesion was found benign, where the
        procedure stops.
    p_diagnosis : float or None
        Probability of that diagnosis, given that the lesion is malignant.
    threshold : float or None
        What `p_malignant` had to reach, where the rule has a threshold; with a `prevalence` it is
        restated as the probability is.
    triage_votes, diagnosis_votes : dict of str to label
        What each member would say alone, at the same threshold or prevalence; the second is empty
        when the procedure stopped. With an early exit, of the members that were asked.
    agreement : float
        Share of the triage members that vote for the decision; with an early exit, of those asked.
    referred : {"triage", "diagnosis"} or None
        What is not sure enough and left to a human: everything, or the diagnosis alone.
    early : bool
        Whether no more members were asked than decide. The probabilities are then estimates: those
        who were not asked are taken to say what the others say on average.
    """

    malignant: bool
    p_malignant: float
    diagnosis: object = None
    p_diagnosis: float | None = None
    threshold: float | None = None
    triage_votes: dict = field(default_factory=dict)
    diagnosis_votes: dict = field(default_factory=dict)
    agreement: float = 1.0
    referred: str | None = None
    early: bool = False

    @property
    def answer(self) -> str:
        """What the procedure answers: "benign", "malignant" or "refer"."""
        return "refer" if self.referred == "triage" else str(SIDES[int(self.malignant)])

    @property
    def n_asked(self) -> int:
        """Number of members that were asked, in both stages."""
        return len(self.triage_votes) + len(self.diagnosis_votes)

    def __str__(self):
        sign = "≈" if self.early else "="
        rule = "" if self.threshold is None else f", threshold {digits(self.threshold)}"
        text = f"{self.answer} (p malignant {sign} {digits(self.p_malignant)}{rule}{self._said()})"
        if self.p_diagnosis is None:
            return text
        leaning = "refer, perhaps " if self.referred else ""
        given = f"p {sign} {digits(self.p_diagnosis)} if malignant"
        return f"{text}: {leaning}{self.diagnosis} ({given})"

    def _said(self) -> str:
        votes = len(self.triage_votes)
        if votes < 2:
            return ""
        members = "members asked" if self.early else "members"
        side = SIDES[int(self.malignant)]
        return f", {round(self.agreement * votes)} of {votes} {members} say {side}"


@dataclass(frozen=True, eq=False)
class Prediction:
    """What a cascade makes of one image of a stream.

    Attributes
    ----------
    index : int
        Place in the stream, from 0.
    name : str
        Path of the file, or ``image 3`` by its place.
    status : str
        ``"ok"``, or why the image cannot be read.
    verdict : Verdict or None
        None for an image that cannot be read.
    proba : ndarray of shape (n_classes,), or None
        As a row of ``predict_proba``; None with an early exit as well.
    """

    index: int
    name: str
    status: str
    verdict: Verdict | None = None
    proba: np.ndarray | None = None
