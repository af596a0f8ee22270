"""``skinensemble search``: try many members briefly, and keep a committee of the best."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from skinensemble._paths import exists, expanded, is_folder
from skinensemble.cli._aside import (
    add_hold_out,
    add_malignant,
    add_networks,
    add_promise,
    check_malignant,
    confidence_of,
    hold_out,
    judge_aside,
    number_or_name,
    refuse_idle,
    size_of,
)
from skinensemble.cli._data import Data, add_data_options, files_of, load_data
from skinensemble.cli._engines import add_engine_options
from skinensemble.cli._outputs import add_force, check_output, keep_apart
from skinensemble.cli._screen import (
    UsageError,
    add_seed,
    comma_list,
    duration,
    load_keras,
    number,
    progress_on_stderr,
    whole,
)

__all__ = ["add_parser", "run"]

_EXAMPLE = """\
example:
  skinensemble search HAM10000 --backbone efficientnet_lite0,efficientnet_lite2 \\
      --unfreeze none,0.3 --loss cross_entropy,focal --units linear,128,128x64 \\
      --time-budget 2h --store features --output search

In the folder: leaderboard.csv and .png, cascade.h5 for `skinensemble predict`, each finished trial,
and each fine-tuning after its last epoch, so that the same command goes on there after it was
stopped or its time was over, if wished with another --time-budget.
"""
# In the folder: which search its cascade.h5 is of.
_NOTE = "search.json"
# Options that make no other search.
_FREE = ("debug", "force", "output", "quiet", "report", "store", "time_budget")
# Options that are parameters of the members, and what they are about.
_CHOICES = {
    "unfreeze": "what is fine-tuned of each backbone: none, a number or a share of its blocks from"
    " the end, the layers after one, or all",
    "units": "hidden layers of the head, such as 128 or 128x64; linear for none",
    "dropout": "before and after the hidden layers",
    "learning-rate": "the highest",
    "class-weight": "power of the balanced class weights, or none",
    "epochs": "how often each image is trained on",
    "loss": "with --unfreeze: cross_entropy, focal, logit_adjustment",
    "views": "with --unfreeze: how many of the eight orientations",
    "mixup": "with --unfreeze: parameter of the beta distribution",
}


def add_parser(commands, **options) -> None:
    """Describe the command."""
    parser = commands.add_parser(
        "search",
        help="find out which backbones, cuts, heads and losses are best",
        description="Try every combination on a few lesions and the better ones on more, show the"
        " leaderboard, and save a cascade of those that are best together.",
        epilog=_EXAMPLE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        **options,
    )
    add_data_options(parser)
    _add_space(parser.add_argument_group("search space"))
    _add_halving(parser.add_argument_group("search"))
    _add_decision(parser.add_argument_group("decision"))
    _add_run(parser.add_argument_group("run"))
    parser.set_defaults(run=run, go_on=_go_on)


def _add_space(group) -> None:
    add_networks(group)
    for name, about in _CHOICES.items():
        group.add_argument(
            f"--{name}", action="extend", type=_alternatives, metavar="A[,B…]", help=about
        )


def _add_halving(group) -> None:
    group.add_argument(
        "--scoring",
        default="log_loss",
        help="what to be best by: log_loss, brier, accuracy, balanced_accuracy or roc_auc (default:"
        " log_loss)",
    )
    group.add_argument(
        "--finalists", type=whole(1), default=8, metavar="N", help="tried on all folds (default: 8)"
    )
    group.add_argument(
        "--folds", type=whole(2), help="number of folds for the out-of-fold votes (default: 5)"
    )
    group.add_argument(
        "--min-share",
        type=number("a share above 0, and 1 at most", lambda share: 0 < share <= 1),
        default=0.1,
        metavar="SHARE",
        help="of the lesions, for the first trials (default: 0.1)",
    )
    group.add_argument(
        "--time-budget",
        type=duration,
        metavar="TIME",
        help="such as 90s, 30m or 2h, for the search; the committee is trained afterwards, however"
        " long that takes (default: as long as it takes)",
    )
    group.add_argument(
        "--max-members",
        type=whole(1),
        metavar="N",
        help="largest size of the committee (default: as many as help)",
    )


def _add_decision(group) -> None:
    add_promise(group, "; of members chosen on the same votes, a little too good")
    add_malignant(group)


def _add_run(group) -> None:
    add_hold_out(group)
    group.add_argument("--store", metavar="DIR", help="folder that keeps features between runs")
    add_engine_options(group)
    add_seed(group)
    group.add_argument(
        "--output",
        default="search",
        metavar="DIR",
        help="the same command goes on there (default: search)",
    )
    add_force(group)
    group.add_argument("--quiet", action="store_true", help="no progress on standard error")


def run(args: argparse.Namespace) -> int:
    """Search, show, save, judge."""
    import numpy as np

    from skinensemble.cascade import cascade_around
    from skinensemble.exceptions import InputError
    from skinensemble.taxonomy import MALIGNANT, malignant_mask
    from skinensemble.trials import search
    from skinensemble.trials._scoring import check_scoring

    try:
        candidates, voting = _candidates(args), _voting(args)
        check_scoring(args.scoring)
    except InputError as error:
        raise UsageError(str(error)) from error
    folder, model = _outputs(args)
    own = [folder / name for name in (_NOTE, "cascade.h5", "leaderboard.csv", "leaderboard.png")]
    keep_apart({str(path): path for path in own} | {"--report": args.report}, files_of(args))
    data = load_data(args)
    check_malignant(args, data)
    train, test = hold_out(data, args)
    malignant = args.malignant or MALIGNANT
    malignant_mask(np.unique(train.target), malignant)  # raises where there is but one side
    _check_certificate(voting, train, malignant)
    load_keras(args)
    with progress_on_stderr(args.quiet):
        found = search(
            candidates,
            train.images,
            train.target,
            groups=train.groups,
            scoring=args.scoring,
            n_finalists=args.finalists,
            cv=args.folds,
            min_share=args.min_share,
            time_budget=args.time_budget,
            folder=folder / "trials",
            random_state=args.seed,
            verbose=int(not args.quiet),
            max_members=args.max_members,
        )
    print(found, flush=True)
    _write_leaderboard(found, folder)
    with progress_on_stderr(args.quiet):
        committee = found.committee()
        cascade = cascade_around(committee, voting, malignant=malignant)
        (folder / _NOTE).write_text(_told(args), encoding="utf-8")
        cascade.save(model)
    print(f"\nSaved {model}: trained on {size_of(train)}.")
    if test is not None:
        judge_aside(cascade, test, args)
    return 0


def _go_on(args: argparse.Namespace) -> str:
    """Return what the same command finds again when it is given once more."""
    return f"the same command goes on with the trials and fine-tunings in {args.output}"


def _candidates(args: argparse.Namespace) -> list:
    from skinensemble.builders import DEFAULT_BACKBONES
    from skinensemble.members._params import check_params
    from skinensemble.trials import make_candidates

    names = [name.replace("-", "_") for name in (*_CHOICES, "image-size", "store")]
    given = {name: getattr(args, name) for name in names if getattr(args, name) is not None}
    refuse_idle(args, ("loss", "views", "mixup"), args.unfreeze or [None])
    if "units" in given:
        given["units"] = [_units(value) for value in given["units"]]
    backbones = tuple(dict.fromkeys(args.backbone or DEFAULT_BACKBONES))
    given["checkpoint"] = expanded(args.output) / "checkpoints"
    candidates = make_candidates(*backbones, weights=dict(args.weights), **given)
    for _, member in candidates:
        params = member.get_params(deep=False).items()
        told = {key: value for key, value in params if value != "auto"}  # that fits everywhere
        check_params("TransferClassifier", told)
    return candidates


def _voting(args: argparse.Namespace):
    """Return the rule of the triage."""
    from skinensemble.thresholds import lesions_needed
    from skinensemble.voting import GreedyVote, ThresholdVote

    greedy = GreedyVote(args.scoring)
    confidence = confidence_of(args, promised=args.min_sensitivity is not None)
    if args.min_sensitivity is None:
        return greedy
    lesions_needed(args.min_sensitivity, confidence)
    promise = {"min_sensitivity": args.min_sensitivity, "confidence": confidence}
    return ThresholdVote(greedy, **promise)


def _check_certificate(voting, train: Data, malignant) -> None:
    """Refuse a promise that the lesions cannot prove before anything is tried."""
    import numpy as np

    from skinensemble.voting import resolve_voting_rule

    sides = np.isin(train.target, malignant).astype(int)
    resolve_voting_rule(voting).check_targets(sides, train.groups)


def _outputs(args: argparse.Namespace) -> tuple[Path, Path]:
    """Make the folder; refuse to replace what another search, or nobody knows who, left there."""
    from skinensemble.exceptions import InputError, message

    folder = expanded(args.output)
    if exists(folder) and not is_folder(folder):
        why = "it is a file"
        raise InputError(message("--output", folder, why, "give the name of a folder"))
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        why, remedy = f"it cannot be made ({error.strerror})", "write elsewhere"
        raise InputError(message("--output", folder, why, remedy)) from error
    own = args.force or _is_of(args, folder / _NOTE)
    model = argparse.Namespace(output=folder / "cascade.h5", force=own)
    check_output(model, "output")
    return folder, model.output


def _is_of(args: argparse.Namespace, note: Path) -> bool:
    try:
        return note.read_text(encoding="utf-8") == _told(args)
    except (OSError, ValueError):
        return False


def _told(args: argparse.Namespace) -> str:
    """Return, as JSON, the options that make a search the one that it is."""
    given = {name: value for name, value in vars(args).items() if name not in _FREE}
    told = {name: value for name, value in given.items() if not callable(value)}
    return json.dumps(told, indent=1, sort_keys=True) + "\n"


def _write_leaderboard(found, folder: Path) -> None:
    from skinensemble.exceptions import MissingDependencyError
    from skinensemble.plots import plot_leaderboard

    found.to_csv(folder / "leaderboard.csv")
    try:
        figure: Any = plot_leaderboard(found).figure
        figure.savefig(folder / "leaderboard.png")
    except MissingDependencyError as error:
        print(f"\nNo leaderboard.png: {error}")


def _alternatives(text: str) -> list:
    return [None if word == "none" else number_or_name(word) for word in comma_list(text)]


def _units(value) -> tuple[int, ...]:
    try:
        return () if value == "linear" else tuple(int(n) for n in str(value).split("x"))
    except ValueError:
        raise UsageError(f"--units: {value!r} is neither linear nor numbers as in 128x64") from None
