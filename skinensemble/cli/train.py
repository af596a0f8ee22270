"""``skinensemble train``: from labelled images to a saved cascade, judged on lesions kept aside."""

from __future__ import annotations

import argparse

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
from skinensemble.cli._limits import add_limit_options, chosen_limits, how_to_go_on
from skinensemble.cli._outputs import add_force, check_output, keep_apart
from skinensemble.cli._screen import UsageError, add_seed, load_keras, progress_on_stderr, whole

__all__ = ["add_parser", "run"]

_EXAMPLE = """\
example:
  skinensemble train HAM10000 --min-sensitivity 0.95 --store features --output cascade.h5
"""


def add_parser(commands, **options) -> None:
    """Describe the command."""
    parser = commands.add_parser(
        "train",
        help="train a cascade on labelled images",
        description="Train a two-stage cascade, save it, and judge it on lesions kept aside.",
        epilog=_EXAMPLE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        **options,
    )
    add_data_options(parser)
    _add_model_options(parser.add_argument_group("model"))
    _add_decision_options(parser.add_argument_group("decision"))
    _add_run_options(parser.add_argument_group("run"))
    parser.set_defaults(run=run, go_on=how_to_go_on)


def _add_model_options(group) -> None:
    add_networks(group, "one member per backbone and stage; may be repeated ")
    group.add_argument(
        "--folds", type=whole(2), help="number of folds for the out-of-fold votes (default: 5)"
    )
    group.add_argument(
        "--unfreeze",
        type=number_or_name,
        metavar="PART",
        help="fine-tune this part of each backbone too: a number of blocks, or a share such as 0.4,"
        " counted from the end, the layers after the one of this name, or all (default: the head"
        " alone)",
    )
    group.add_argument(
        "--views",
        type=whole(1, 8),
        help="with --unfreeze: how many of the eight orientations of each image (default: 8)",
    )
    group.add_argument("--epochs", type=whole(1), help="(default: 20; with --unfreeze 10)")


def _add_decision_options(group) -> None:
    group.add_argument(
        "--voting",
        metavar="RULE",
        help="how the members' votes become one: soft, majority, threshold, geometric, median,"
        " greedy, stacking … (default: soft; with --min-sensitivity threshold)",
    )
    group.add_argument(
        "--diagnosis-voting",
        metavar="RULE",
        help="the same for the types alone, such as logit_adjusted, which gives rare types back"
        " what their rarity costs them (default: as for the triage, or soft instead of threshold)",
    )
    group.add_argument(
        "--calibration",
        choices=("temperature", "isotonic", "platt"),
        help="calibrate the pooled probabilities on the out-of-fold votes",
    )
    group.add_argument(
        "--refer",
        type=float,
        metavar="SHARE",
        help="refer what is not sure enough, so that this share of the decided lesions is decided"
        " right, such as 0.95",
    )
    group.add_argument(
        "--route",
        choices=("soft", "hard"),
        default="soft",
        help="hard: the second stage looks only at what the first found malignant (default: soft)",
    )
    add_promise(group)
    add_malignant(group)


def _add_run_options(group) -> None:
    add_hold_out(group)
    group.add_argument("--store", metavar="DIR", help="folder that keeps features between runs")
    add_engine_options(group)
    group.add_argument(
        "--checkpoint",
        metavar="DIR",
        help="with --unfreeze: folder that keeps the state after each epoch; the same command goes"
        " on there after it was killed",
    )
    add_limit_options(group)
    add_seed(group)
    group.add_argument(
        "--output", default="cascade.h5", metavar="FILE", help="(default: cascade.h5)"
    )
    add_force(group)
    group.add_argument("--quiet", action="store_true", help="no progress on standard error")


def run(args: argparse.Namespace) -> int:
    """Train, save, judge."""
    from skinensemble.exceptions import CertificateError, InputError, message

    output = check_output(args, "output")
    try:
        cascade = _build(args)
    except InputError as error:
        raise UsageError(str(error)) from error
    written = {"--output": output, "--report": args.report}
    keep_apart(written, files_of(args))
    data = load_data(args)
    keep_apart(written, data.images.names)
    check_malignant(args, data)
    train, test = hold_out(data, args)
    try:
        _check_certificate(cascade, train)
    except CertificateError as error:
        aside = f"--hold-out {args.hold_out:g} keeps lesions aside, {error}"
        remedy = "with --hold-out 0 all lesions count"
        raise CertificateError(message("training part", args.data, aside, remedy)) from error
    load_keras(args)
    with progress_on_stderr(args.quiet):
        cascade.fit(train.images, train.target, groups=train.groups)
        cascade.save(output)
    print(f"Saved {output}: trained on {size_of(train)}.")
    if test is not None:
        judge_aside(cascade, test, args)
    elif cascade.certificate_ is not None:
        print(f"Promised: {cascade.certificate_}")
    return 0


def _build(args: argparse.Namespace):
    from skinensemble.backbones import get_backbone
    from skinensemble.builders import DEFAULT_BACKBONES
    from skinensemble.cascade import make_cascade
    from skinensemble.referral import resolve_referral
    from skinensemble.taxonomy import MALIGNANT
    from skinensemble.thresholds import lesions_needed
    from skinensemble.voting import resolve_voting_rule

    names = tuple(dict.fromkeys(args.backbone or DEFAULT_BACKBONES))
    for name in names:
        get_backbone(name)
    voting = args.voting or ("soft" if args.min_sensitivity is None else "threshold")
    for rule in filter(None, (voting, args.diagnosis_voting)):
        resolve_voting_rule(rule)
    promised = args.min_sensitivity is not None or voting == "threshold"
    confidence = confidence_of(args, promised=promised)
    lesions_needed(0.95 if args.min_sensitivity is None else args.min_sensitivity, confidence)
    if args.refer is not None:
        resolve_referral(args.refer)
    refuse_idle(args, ("views", "checkpoint"), [args.unfreeze])
    names_given = ("image_size", "epochs", "store", "unfreeze", "views", "checkpoint")
    given = {name: getattr(args, name) for name in names_given}
    cascade = make_cascade(
        *names,
        voting=voting,
        diagnosis_voting=args.diagnosis_voting,
        min_sensitivity=args.min_sensitivity,
        confidence=args.confidence,
        weights=dict(args.weights),
        calibration=args.calibration,
        refer=args.refer,
        route=args.route,
        malignant=args.malignant or MALIGNANT,
        cv=args.folds,
        random_state=args.seed,
        verbose=int(not args.quiet),
        **chosen_limits(args),
        **{name: value for name, value in given.items() if value is not None},
    )
    cascade.diagnosis.tolerance().check(len(cascade.diagnosis.members))
    # The heads say nothing by themselves: a line for each shows that something goes on.
    lines = int(not args.quiet)
    if args.unfreeze in (None, 0):
        cascade.set_params(triage__verbose=lines)
    return cascade.set_params(diagnosis__verbose=lines)


def _check_certificate(cascade, train: Data) -> None:
    """Refuse a promise that the lesions cannot prove before any image passes a network."""
    import numpy as np

    malignant = np.isin(train.target, cascade.malignant)
    if malignant.any():
        triage = cascade.triage
        rule = triage.voting_rule() if hasattr(triage, "voting_rule") else triage
        rule.check_targets(malignant.astype(int), train.groups)
