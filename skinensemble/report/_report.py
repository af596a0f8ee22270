"""A report: rows of figures, and how they print."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field

import numpy as np

from skinensemble.metrics import Figure
from skinensemble.tables import text_table
from skinensemble.thresholds import sensitivity_bound

__all__ = ["Report", "Row"]

_REFERRED = {
    "triage": "the triage (out of fold; approximate):",
    "diagnosis": "the diagnosis (out of fold, of what is found malignant; approximate):",
}
_COUNTED = {"worst": "worst image", "highest": "highest image", "mean": "mean of its images"}


@dataclass(frozen=True)
class Row:
    """Figures of one member, rule or constant answer.

    Attributes
    ----------
    kind : {"constant", "member", "rule", "vote", "cascade"}
        "vote" is the stage's own, as it was trained; "cascade" both stages together.
    name : str
    figures : dict of str to Figure
        Accuracy, balanced accuracy, AUC and expected calibration error (ECE); for the triage
        sensitivity and specificity as well.
    misses, false_alarms : int or None
        Malignant images called benign, and benign ones called malignant; None for the diagnosis.
    """

    kind: str
    name: str
    figures: dict[str, Figure]
    misses: int | None = None
    false_alarms: int | None = None


@dataclass(frozen=True)
class Report:
    """Figures of a cascade on labelled images; prints as three tables and what was promised.

    Attributes
    ----------
    triage, diagnosis : list of Row
    n_images, n_lesions : int
    lesions : dict
        What the cascade's own decision does lesion by lesion, each counted as `counted_by` says:
        ``n_malignant``, ``misses``, ``n_benign``, ``false_alarms``.
    certainty : dict of str to dict of str to Figure
        Of each stage, how many lesions could be decided if the surest were: the area under the
        risk–coverage curve (AURC) and the coverage at 95 % accuracy; with a referral, the share
        that it decides here and how much of that is right. A lesion is decided, and right, when
        every image of it is.
    certificate : str or None
        What was promised when the cascade was fitted or certified.
    counted_by : {"worst", "highest", "mean"}
        Which image stands for a lesion, as in the certificate; without one the worst.
    referrals : dict of str to str
        What each stage's referral promised.
    earned : dict of str to str
        Of each stage, whether its vote beats its best member on the out-of-fold ballots.
    notes : list of str
        What could not be computed, and why.
    """

    triage: list[Row]
    diagnosis: list[Row]
    n_images: int
    n_lesions: int
    lesions: dict[str, int]
    certainty: dict[str, dict[str, Figure]] = field(default_factory=dict)
    certificate: str | None = None
    counted_by: str = "worst"
    referrals: dict[str, str] = field(default_factory=dict)
    earned: dict[str, str] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    def to_dict(self) -> dict:
        """Return the report as plain dicts, lists and numbers."""
        return asdict(self)

    def __str__(self):
        per, of = "95 % intervals by bootstrap of lesions", f"{self.n_images} images"
        parts = [
            *self.notes,
            f"Triage: malignant or benign ({of} of {self.n_lesions} lesions; {per})",
            _table(self.triage),
            "Diagnosis: all types",
            _table(self.diagnosis),
            "Certainty: the share of the lesions that can be decided when the rest is referred",
            _certainty_table(self.certainty),
            self._by_lesion(),
            *([f"Promised: {self.certificate}"] if self.certificate else []),
            *(f"Referral of {_REFERRED[stage]} {text}" for stage, text in self.referrals.items()),
            *(f"Out of fold, {stage}: {text}" for stage, text in self.earned.items()),
        ]
        return "\n\n".join(parts)

    def _by_lesion(self) -> str:
        found = self.lesions
        n, misses = found["n_malignant"], found["misses"]
        bound = sensitivity_bound(misses, n) if n else float("nan")
        specificity = 1 - found["false_alarms"] / found["n_benign"] if found["n_benign"] else np.nan
        return (
            f"The cascade itself, lesion by lesion ({_COUNTED[self.counted_by]}): {misses} of {n}"
            f" malignant lesions missed, sensitivity {1 - misses / n if n else np.nan:.3f}"
            f" (≥ {np.floor(1000 * bound) / 1000:.3f} with 95 % confidence),"
            f" specificity {specificity:.3f}"
        )


def _table(rows: list[Row]) -> str:
    counts = rows[0].misses is not None
    header = ["", *rows[0].figures, *(["misses", "false alarms"] if counts else [])]
    body = [
        [f"{row.kind}: {row.name}", *row.figures.values()]
        + ([row.misses, row.false_alarms] if counts else [])
        for row in rows
    ]
    return text_table(header, body)


def _certainty_table(certainty: dict[str, dict[str, Figure]]) -> str:
    columns = list(dict.fromkeys(name for found in certainty.values() for name in found))
    rows = [
        [stage, *(found.get(name, "") for name in columns)] for stage, found in certainty.items()
    ]
    return text_table(["", *columns], rows)
