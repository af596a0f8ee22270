"""Members that came trained: a certificate says so, for nobody here has seen on what."""

from __future__ import annotations

from dataclasses import replace

from skinensemble.committee import came_trained
from skinensemble.voting import ThresholdVote

__all__ = ["name_trusted"]


def name_trusted(rule, voters: dict) -> None:
    """Write into the certificate of a fitted rule, if it has one, which voters came trained."""
    while not isinstance(rule, ThresholdVote) and hasattr(rule, "base_"):
        rule = rule.base_
    if getattr(rule, "certificate_", None) is not None:
        names = tuple(name for name, member in voters.items() if came_trained(member))
        rule.certificate_ = replace(rule.certificate_, on_trust=names)
