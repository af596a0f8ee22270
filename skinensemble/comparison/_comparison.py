"""What a comparison says, as figures and in one sentence."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field

import numpy as np

from skinensemble.comparison._diversity import Diversity
from skinensemble.comparison._paired import PairedTest
from skinensemble.metrics import Figure
from skinensemble.tables import text_table

_REMEDY = "change the rule, or add members that differ"


@dataclass(frozen=True)
class Contender:
    """Figures of one member, rule or the vote.

    Attributes
    ----------
    kind : {"member", "rule", "vote"}
        "vote" is the stage's own rule.
    name : str
    figures : dict of str to Figure
        Accuracy, balanced accuracy and AUC (of several classes the mean of one against the rest).
    differences : dict of str to Figure
        Balanced accuracy and AUC less those of the best member, on the same resamples.
    """

    kind: str
    name: str
    figures: dict[str, Figure]
    differences: dict[str, Figure]


@dataclass(frozen=True)
class Comparison:
    """Members, rules and the vote side by side; prints as a table and a sentence.

    Attributes
    ----------
    rows : list of Contender
        The members, other rules, and last the vote.
    best_member : str
        The member of the highest balanced accuracy, on the same images: a choice that flatters
        it, and makes it harder to beat.
    tests : list of PairedTest
        The vote against each member.
    diversity : Diversity
        How much the members differ.
    n_images, n_lesions : int
    notes : list of str
        What could not be compared, and why.
    """

    rows: Sequence[Contender]
    best_member: str
    tests: Sequence[PairedTest]
    diversity: Diversity
    n_images: int
    n_lesions: int
    notes: Sequence[str] = field(default_factory=list)

    @property
    def vote(self) -> Contender:
        """The row of the stage's own rule."""
        return self.rows[-1]

    @property
    def p_values(self) -> dict[str, float]:
        """P-value of the vote against each member, after Holm."""
        return {test.member: test.p_holm for test in self.tests}

    @property
    def direction(self) -> int:
        """1 when the vote is better than its best member, -1 when worse, 0 when neither is shown.

        Better: the 95 % interval of the difference in balanced accuracy is above 0. Worse: it is
        below 0, and McNemar's test after Holm says so too. The best member was chosen on these
        very images; by the interval alone, one vote in twelve that is as good as its members would
        be called worse.
        """
        shown = self._shown()
        return shown if shown == 1 or shown == self._test().direction else 0

    @property
    def beats_best(self) -> bool:
        """Whether the vote is shown to be better than its best member."""
        return self.direction > 0

    @property
    def sentence(self) -> str:
        """The verdict: whether the vote earns its keep, and what to do if not."""
        outcome = {1: "beats", 0: "does not beat", -1: "is worse than"}[self.direction]
        difference = _signed(self.vote.differences["balanced accuracy"])
        alone = "" if self._test().direction > 0 else "keep that member alone, "
        remedy = "" if self.beats_best else f"; {alone}{_REMEDY}"
        return (
            f"The vote ({self.vote.name}) {outcome} its best member ({self.best_member}): balanced"
            f" accuracy {difference}, {self._by_lesion()}{remedy}."
        )

    def _shown(self) -> int:
        """Return the direction that the interval of the difference says by itself."""
        difference = self.vote.differences["balanced accuracy"]
        return int(difference.low > 0) - int(difference.high < 0)

    def _test(self) -> PairedTest:
        return next(test for test in self.tests if test.member == self.best_member)

    def _by_lesion(self) -> str:
        test = self._test()
        p = f"= {test.p_holm:.2g}" if test.p_holm >= 0.0001 else "< 0.0001"
        tested = f"exact McNemar p {p} after Holm"
        if test.direction == self._shown():
            return tested
        words = {1: "it gets more lesions right", -1: "it gets fewer lesions right"}
        shown = words.get(test.direction, "lesion by lesion no difference is shown")
        return f"though {shown} ({tested})"

    def to_dict(self) -> dict:
        """Return the comparison as plain dicts, lists and numbers."""
        return {
            "rows": [asdict(row) for row in self.rows],
            "best_member": self.best_member,
            "beats_best": self.beats_best,
            "sentence": self.sentence,
            "tests": [asdict(test) for test in self.tests],
            "diversity": self.diversity.to_dict(),
            "n_images": self.n_images,
            "n_lesions": self.n_lesions,
            "notes": list(self.notes),
        }

    def __str__(self):
        size = f"{self.n_images} images of {self.n_lesions} lesions"
        title = (
            f"Does the vote earn its keep? ({size}; Δ: to the best member; 95 % intervals by"
            " bootstrap of lesions)"
        )
        return "\n\n".join([*self.notes, title, self._table(), self.sentence])

    def _table(self) -> str:
        header = ["", *self.vote.figures, *(f"Δ {name}" for name in self.vote.differences)]
        return text_table(header, map(self._cells, self.rows))

    def _cells(self, row: Contender) -> list:
        best = row.kind == "member" and row.name == self.best_member
        differences = ["" if best else _signed(one) for one in row.differences.values()]
        label = f"{'best member' if best else row.kind}: {row.name}"
        return [label, *row.figures.values(), *differences]


def _signed(difference: Figure) -> str:
    # Adding 0 after rounding takes the sign from a zero.
    value, low, high = (
        round(one, 3) + 0.0 for one in (difference.value, difference.low, difference.high)
    )
    interval = f" ({low:.3f} to {high:.3f})" if np.isfinite(low) else ""
    return f"{value:+.3f}{interval}"
