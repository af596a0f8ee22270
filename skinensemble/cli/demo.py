"""``skinensemble demo``: everything once, on synthetic lesions."""

from __future__ import annotations

import argparse

from skinensemble.cli._screen import add_seed, load_keras

__all__ = ["add_parser", "run"]


def add_parser(commands, **options) -> None:
    """Describe the command."""
    parser = commands.add_parser(
        "demo",
        help="see all of it on synthetic lesions, without data or network",
        description="Draw synthetic lesions, train a small cascade on them, compare the voting"
        " rules, and save the cascade and two plots. Takes one to three minutes. The figures"
        " say nothing about patients.",
        **options,
    )
    parser.add_argument(
        "--output",
        default="skinensemble-demo",
        metavar="DIR",
        help="folder for what it makes (default: skinensemble-demo)",
    )
    parser.add_argument(
        "--small", action="store_true", help="one backbone, few lesions: half a minute"
    )
    add_seed(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Run it."""
    load_keras(args)
    from skinensemble.demo import run_demo

    run_demo(args.output, small=args.small, random_state=args.seed)
    return 0
