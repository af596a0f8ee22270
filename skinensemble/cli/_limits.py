"""Options of a training that may fail in part, or has to end in time."""

from __future__ import annotations

import argparse
from typing import Any

from skinensemble.cli._screen import UsageError, duration, whole

__all__ = ["add_limit_options", "chosen_limits", "how_to_go_on"]


def add_limit_options(group) -> None:
    """Add the options to a group of the parser."""
    group.add_argument(
        "--on-member-error",
        choices=("raise", "drop"),
        default="raise",
        help="drop: go on without a member whose training fails, and say so (default: raise)",
    )
    group.add_argument(
        "--min-members",
        type=whole(1),
        metavar="N",
        help="with --on-member-error drop: members of a stage that must be left (default: 1)",
    )
    group.add_argument(
        "--time-limit",
        type=duration,
        metavar="TIME",
        help="for the whole training, such as 90m; with --on-member-error drop those that finished"
        " by then vote",
    )
    group.add_argument(
        "--member-time-limit", type=duration, metavar="TIME", help="for each member of a stage"
    )


def chosen_limits(args: argparse.Namespace) -> dict[str, Any]:
    """Return the options as parameters of :func:`~skinensemble.make_cascade`."""
    if args.min_members is not None and args.on_member_error == "raise":
        raise UsageError("--min-members is for members that fail: add --on-member-error drop")
    return {
        "on_error": args.on_member_error,
        "min_members": args.min_members or 1,
        "time_limit": args.time_limit,
        "member_time_limit": args.member_time_limit,
    }


def how_to_go_on(args: argparse.Namespace) -> str:
    """Return what the same command finds again when it is given once more."""
    kept = {"the features": args.store, "the training after each epoch": args.checkpoint}
    found = [f"{what} in {folder}" for what, folder in kept.items() if folder is not None]
    if found:
        return f"the same command goes on with {' and '.join(found)}"
    return "nothing is kept; with --store and --checkpoint the same command would go on"
