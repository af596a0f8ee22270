"""``skinensemble evaluate``: how good a saved cascade is on labelled images."""

from __future__ import annotations

import argparse

from skinensemble.cli._data import add_data_options, load_data
from skinensemble.cli._engines import add_engine_options
from skinensemble.cli._screen import load_keras, print_json, progress_on_stderr

__all__ = ["add_parser", "check_model", "load_cascade", "run"]


def add_parser(commands, **options) -> None:
    """Describe the command."""
    parser = commands.add_parser(
        "evaluate",
        help="judge a saved cascade on labelled images",
        description="Print each member, three voting rules and the constant answers side by side,"
        " with 95 % intervals by bootstrap of lesions.",
        **options,
    )
    parser.add_argument("model", metavar="MODEL", help="saved cascade")
    add_data_options(parser)
    add_engine_options(parser)
    parser.add_argument("--json", action="store_true", help="print the report as JSON")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Load, read, judge."""
    from skinensemble.report import evaluate

    cascade = load_cascade(args)
    data = load_data(args, fewest_classes=1)
    with progress_on_stderr():
        report = evaluate(cascade, data.images, data.target, groups=data.groups)
    if args.json:
        print_json(report.to_dict())
    else:
        print(report)
    return 0


def load_cascade(args: argparse.Namespace):
    """Return the cascade in the file ``args.model``.

    Raises
    ------
    ModelFileError
        When the file cannot be loaded, or holds something else than a cascade.
    """
    check_model(args)
    load_keras(args)
    from skinensemble.persistence import load

    return load(args.model)


def check_model(args: argparse.Namespace) -> None:
    """Refuse a file that holds no cascade, before Keras is loaded.

    Raises
    ------
    ModelFileError
        When the file is damaged, or holds something else.
    """
    from skinensemble.exceptions import ModelFileError, message
    from skinensemble.persistence._codec import State
    from skinensemble.persistence.container import read_container

    container = read_container(args.model)
    kind = State(container.config, container, {}, "file").nested("root").raw("type", str)
    if kind != "Cascade":
        why = f"it holds a {kind}, not a cascade"
        raise ModelFileError(message("cannot use", args.model, why, "pass a saved cascade"))
