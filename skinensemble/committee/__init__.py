"""What a stage does with its members: seed them, fit them fold by fold, take their ballots."""

from __future__ import annotations

from skinensemble.committee._ask import (
    cast_ballot,
    fit_member,
    knows_classes,
    prepare_all,
    seeded,
    stack_ballots,
)
from skinensemble.committee._folds import FoldMembers, cross_fit

__all__ = [
    "FoldMembers",
    "cast_ballot",
    "cross_fit",
    "fit_member",
    "knows_classes",
    "prepare_all",
    "seeded",
    "stack_ballots",
]
