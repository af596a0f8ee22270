"""What the two-stage procedure says about one image."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from skinensemble.taxonomy import SIDES

__all__ = ["Prediction", "Verdict"]


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
        What `p_malignant` had to reach, where the rule has a threshold.
    triage_votes, diagnosis_votes : dict of str to label
        What each member would say alone, at the same threshold; the second is empty when the
        procedure stopped.
    agreement : float
        Share of the triage members that vote for the decision.
    referred : {"triage", "diagnosis"} or None
        What is not sure enough and left to a human: everything, or the diagnosis alone.
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

    @property
    def answer(self) -> str:
        """What the procedure answers: "benign", "malignant" or "refer"."""
        return "refer" if self.referred == "triage" else str(SIDES[int(self.malignant)])

    def __str__(self):
        rule = "" if self.threshold is None else f", threshold {self.threshold:.3g}"
        agree = f"{self.agreement:.0%} of the members agree"
        text = f"{self.answer} (p = {self.p_malignant:.3f}{rule}, {agree})"
        if self.diagnosis is None:
            return text
        leaning = "refer, perhaps " if self.referred else ""
        return f"{text}: {leaning}{self.diagnosis} (p = {self.p_diagnosis:.3f})"


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
        As a row of ``predict_proba``.
    """

    index: int
    name: str
    status: str
    verdict: Verdict | None = None
    proba: np.ndarray | None = None
