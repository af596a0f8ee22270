"""The options that choose what runs the networks."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from skinensemble.cli._screen import UsageError
from skinensemble.exceptions import InputError

__all__ = ["add_engine_options", "chosen_engine"]


def add_engine_options(parser) -> None:
    """Add ``--engine`` and ``--precision``."""
    parser.add_argument(
        "--engine",
        choices=("auto", "keras", "openvino"),
        default="auto",
        help="what runs the frozen networks (default: openvino where it is installed, else keras)",
    )
    parser.add_argument(
        "--precision",
        choices=("float32", "bfloat16"),
        default="float32",
        help="bfloat16 is faster and less exact, in fine-tuning too; openvino has it, on processors"
        " that do; train and predict with the same one (default: float32)",
    )


@contextmanager
def chosen_engine(args: argparse.Namespace) -> Iterator[None]:
    """Compute as the options of a command say, where it has them."""
    with ExitStack() as stack:
        if hasattr(args, "engine"):
            from skinensemble.engines import config_context

            try:
                stack.enter_context(config_context(engine=args.engine, precision=args.precision))
            except InputError as error:
                raise UsageError(str(error)) from error
        yield
