"""A two-stage cascade on HAM10000, judged on lesions it has never seen.

    python examples/ham10000.py --data PATH --store features \
        --weights mobilenet_v2=PATH/mobilenet_v2_1.0_224_notop.weights.h5

Trains one member per backbone and stage on four fifths of the lesions, sets a triage threshold
with a certified sensitivity of 95 %, and prints each member, three voting rules and the constant
answers on the last fifth: fold 0 of ``StratifiedGroupKFold(5, shuffle=True, random_state=0)`` over
the rows of the metadata. The store keeps the features, and a second run takes minutes.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from sklearn.model_selection import StratifiedGroupKFold

from skinensemble import evaluate, load, make_candidates, make_cascade, set_config
from skinensemble.datasets import load_ham10000

BACKBONES = ("efficientnet_lite0", "efficientnet_lite2", "mobilenet_v2")


def parse_args() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--data", required=True, help="folder of HAM10000")
    parser.add_argument("--backbones", nargs="+", default=BACKBONES, metavar="NAME")
    parser.add_argument("--weights", nargs="*", default=[], metavar="NAME=PATH")
    parser.add_argument("--store", help="folder that keeps the features between runs")
    parser.add_argument("--engine", default="keras", help="keras, openvino or auto")
    parser.add_argument("--precision", default="float32", help="or bfloat16, with openvino")
    parser.add_argument("--limit", type=int, help="use so many images only, for a quick look")
    parser.add_argument(
        "--unfreeze",
        nargs="+",
        type=named(share),
        default=[("", None)],
        metavar="[NAME=]SHARE",
        help="share of the blocks to fine-tune, as 0.4; after that NAME=SHARE for single backbones",
    )
    parser.add_argument(
        "--epochs",
        nargs="+",
        type=named(numbers),
        default=[("", ["auto"])],
        metavar="[NAME=]N[,N…]",
        help="the same; with several numbers a backbone has a member for each",
    )
    parser.add_argument("--checkpoint", help="folder from which a killed fine-tuning goes on")
    parser.add_argument("--diagnosis-voting", metavar="RULE", help="such as logit_adjusted")
    parser.add_argument("--folds", type=int, default=5)
    parser.add_argument("--learning-rate", type=float, metavar="RATE")
    parser.add_argument("--keep-folds", action="store_true", help="let the folds' networks vote")
    parser.add_argument("--output", type=Path, default=Path("ham10000-cascade.h5"))
    args = parser.parse_args()
    for option, given in (("--unfreeze", args.unfreeze), ("--epochs", args.epochs)):
        names = [name for name, _ in given]
        if names[0]:
            parser.error(f"{option}: first the value for all backbones, then those of single ones")
        if len(set(names)) < len(names) or not {*names} <= {"", *args.backbones}:
            parser.error(f"{option}: one value for each of {', '.join(args.backbones)} at most")
    return args


def named(read: Callable) -> Callable:
    """Return what reads a value of a backbone; no name where it is that of all."""

    def value(text: str):
        name, _, rest = text.rpartition("=")
        if not name and "=" in text:
            raise ValueError
        return name, read(rest)

    value.__name__ = f"[NAME=]{read.__name__}"
    return value


def share(text: str) -> float:
    """Read a share between 0 and 1."""
    if not 0 < float(text) < 1:
        raise ValueError
    return float(text)


def numbers(text: str) -> list[int]:
    """Read positive numbers between commas."""
    found = [int(word) for word in text.split(",")]
    if min(found) < 1:
        raise ValueError
    return found


def make_members(args: argparse.Namespace) -> list:
    """Return a member for each backbone, or several that are trained for other lengths of time."""
    weights = dict(pair.split("=", 1) for pair in args.weights)
    shares, epochs = dict(args.unfreeze), dict(args.epochs)
    options = {"store": args.store, "checkpoint": args.checkpoint, "verbose": 1}
    if args.learning_rate:
        options["learning_rate"] = args.learning_rate
    members = []
    for name in args.backbones:
        own = {"unfreeze": shares.get(name, shares[""]), "epochs": epochs.get(name, epochs[""])}
        members += make_candidates(name, weights=weights.get(name, "imagenet"), **own, **options)
    return members


def main() -> None:
    """Train, judge, save."""
    args, start = parse_args(), time.monotonic()
    set_config(engine=args.engine, precision=args.precision)
    lesions = load_ham10000(args.data)
    images, diagnoses, groups = map(np.asarray, (lesions.images, lesions.target, lesions.groups))
    if args.limit:
        keep = np.random.default_rng(0).permutation(len(images))[: args.limit]
        images, diagnoses, groups = images[keep], diagnoses[keep], groups[keep]
    folds = StratifiedGroupKFold(5, shuffle=True, random_state=0)
    train, test = next(folds.split(images, diagnoses, groups))

    cascade = make_cascade(
        *make_members(args),
        voting="threshold",
        min_sensitivity=0.95,
        diagnosis_voting=args.diagnosis_voting,
        cv=args.folds,
        refit=not args.keep_folds,
        shared_members=dict(args.unfreeze)[""] is not None,
        random_state=0,
        verbose=1,
    )
    cascade.fit(images[train], diagnoses[train], groups=groups[train])
    print(f"\ntrained on {len(train)} images in {time.monotonic() - start:.0f} s\n", flush=True)

    print(evaluate(cascade, images[test], diagnoses[test], groups=groups[test]))
    cascade.save(args.output)
    print(f"\nThree images, by the cascade as loaded from {args.output}:\n")
    for path, truth, verdict in zip(
        images[test][:3],
        diagnoses[test],
        load(args.output).verdicts(images[test][:3]),
        strict=False,
    ):
        print(f"{Path(path).name} ({truth}): {verdict}")
    print(f"\n{time.monotonic() - start:.0f} s in all")


if __name__ == "__main__":
    main()
