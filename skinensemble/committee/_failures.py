"""What went wrong with a member, and what becomes of a committee without it."""

from __future__ import annotations

import re
import warnings
from dataclasses import dataclass

from skinensemble._deadline import MORE_TIME, check_seconds, remaining
from skinensemble.exceptions import (
    ImageReadError,
    InputError,
    MemberError,
    MemberWarning,
    SaveError,
    TimeLimitError,
    check_choice,
    first_few,
    message,
)

__all__ = ["LONGEST_REASON", "PLACES", "MemberFailure", "Tolerance", "late_error", "member_error"]

PLACES = ("prepare", "fit", "predict_proba", "time limit", "worker")
LONGEST_REASON = 500


@dataclass(frozen=True)
class MemberFailure:
    """Why a member has no vote.

    Attributes
    ----------
    where : {"prepare", "fit", "predict_proba", "time limit", "worker"}
        What failed; "prepare" is reading the images and passing them through a frozen network, and
        "worker" the process that the member was trained in.
    reason : str
        What happened, in one line.
    """

    where: str
    reason: str

    @classmethod
    def of(cls, where: str, reason: str) -> MemberFailure:
        """Return the record of a reason of any length."""
        # Keras' messages are partly in bold; and a terminal is to show what a file says, not obey.
        text = re.sub(r"\x1b\[[\d;]*m", "", str(reason))
        line = " ".join("".join(c if c.isprintable() else " " for c in text).split())
        return cls(where, line if len(line) <= LONGEST_REASON else f"{line[: LONGEST_REASON - 1]}…")

    def __str__(self):
        return self.reason


def member_error(name: str, where: str, why: str, remedy: str) -> MemberError:
    """Return the error that names a member, and holds its record."""
    error = MemberError(message("member", name, why, remedy))
    error.failures = {name: MemberFailure.of(where, why)}
    return error


def late_error(name: str, error: TimeLimitError) -> TimeLimitError:
    """Return the error of a member that did not end in time."""
    late = TimeLimitError(message("member", name, error.reason, MORE_TIME))
    late.failures, late.reason = {name: MemberFailure.of("time limit", error.reason)}, error.reason
    return late


@dataclass(frozen=True)
class Tolerance:
    """What a stage puts up with; see the parameters of the same names of :class:`Stage`."""

    on_error: str = "raise"
    min_members: int = 1
    time_limit: float | None = None
    member_time_limit: float | None = None

    @property
    def drops(self) -> bool:
        """Whether members may be missing in the end."""
        return self.on_error == "drop"

    @property
    def watchful(self) -> bool:
        """Whether each member is taken by itself, from its images to its ballots."""
        limits = (self.time_limit, self.member_time_limit, remaining())
        return self.drops or any(limit is not None for limit in limits)

    @property
    def spared(self) -> tuple[type[Exception], ...]:
        """What no member is blamed for: it is about images, parameters or a disk, and says so."""
        return (ImageReadError if self.drops else InputError), SaveError

    def check(self, n_members: int) -> None:
        """Refuse values that cannot be used."""
        check_choice("on_error", self.on_error, ("raise", "drop"))
        least = self.min_members
        whole = hasattr(least, "__index__") and not isinstance(least, bool)
        if not whole or not 1 <= least <= n_members:
            why = f"not a number of members, of which there are {n_members}"
            raise InputError(message("min_members", repr(least), why, f"pass 1 to {n_members}"))
        check_seconds(time_limit=self.time_limit, member_time_limit=self.member_time_limit)

    def check_rule(self, rule, n_members: int) -> None:
        """Refuse, before anything is trained, a rule that could not do with fewer members."""
        rule.check_params(n_members)
        for n in range(self.min_members, n_members) if self.drops else ():
            try:
                rule.check_params(n)
            except InputError as error:
                why = f"the vote could not do with {n} of {n_members} members ({error})"
                remedy = f"raise min_members, up to {n_members}, or choose another voting rule"
                raise InputError(message("on_error", "drop", why, remedy)) from error

    def settle(self, failures: dict[str, MemberFailure], n_members: int) -> None:
        """Say which members are missing, or that too many are.

        Raises
        ------
        MemberError
            When fewer than `min_members` are left.

        Warns
        -----
        MemberWarning
        """
        if not failures:
            return
        shown = first_few(f"{name}: {failure}" for name, failure in failures.items())
        left = n_members - len(failures)
        if left >= self.min_members:
            why = f"left out, {left} of {n_members} vote ({shown})"
            remedy = "see failures_; correct what it names and train again to have all"
            text = message("members", first_few(failures), why, remedy)
            warnings.warn(text, MemberWarning, stacklevel=6)
            return
        late = all(failure.where == "time limit" for failure in failures.values())
        why = f"{left} of {n_members} members could be trained, {self.min_members} must be"
        remedy = "allow more time" if late else "correct what is named, or lower min_members"
        text = message("members", shown, why, remedy)
        error = TimeLimitError(text) if late else MemberError(text)
        error.failures = failures
        if isinstance(error, TimeLimitError):
            error.reason = shown
        raise error
