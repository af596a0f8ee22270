"""What a stage does with its members: seed them, fit them fold by fold, take their ballots."""

from __future__ import annotations

from skinensemble.committee._ask import (
    accept_all,
    build_all,
    came_trained,
    cast_ballot,
    fit_member,
    knows_classes,
    prepare_all,
    refuse_weighting,
    seeded,
    stack_ballots,
)
from skinensemble.committee._early import ask_in_turn, cheapest_first
from skinensemble.committee._failures import LONGEST_REASON, PLACES, MemberFailure, Tolerance
from skinensemble.committee._folds import FoldMembers, cross_fit
from skinensemble.committee._travel import pack, train_anywhere

__all__ = [
    "LONGEST_REASON",
    "PLACES",
    "FoldMembers",
    "MemberFailure",
    "Tolerance",
    "accept_all",
    "ask_in_turn",
    "build_all",
    "came_trained",
    "cast_ballot",
    "cheapest_first",
    "cross_fit",
    "fit_member",
    "knows_classes",
    "pack",
    "prepare_all",
    "refuse_weighting",
    "seeded",
    "stack_ballots",
    "train_anywhere",
]
