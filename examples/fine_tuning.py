"""Members that are fine-tuned above a cut, judged on lesions they have never seen.

    python examples/fine_tuning.py --data PATH --store activations --checkpoint checkpoints \\
        --backbones mobilenet_v2 --weights mobilenet_v2=PATH/mobilenet_v2_1.0_224_notop.weights.h5

Trains one member for each backbone on four fifths of the lesions of HAM10000, and prints each of
them, and their soft vote, on the last fifth: fold 0 of ``StratifiedGroupKFold(5, shuffle=True,
random_state=0)`` over the rows of the metadata. Seven types by their highest probability; malignant
by the sum over akiec, bcc and mel; 95 % intervals by bootstrap of lesions. Coverage and specificity
are read off these lesions themselves; ``examples/ham10000.py`` certifies a sensitivity beforehand.
"""

from __future__ import annotations

import argparse
import time
from ast import literal_eval

import numpy as np
from sklearn.metrics import roc_curve
from sklearn.model_selection import StratifiedGroupKFold

from skinensemble import SoftVote, TransferClassifier, set_config
from skinensemble.datasets import load_ham10000
from skinensemble.metrics import (
    Figure,
    auc,
    confusion_figures,
    coverage_at_accuracy,
    lesion_weights,
    macro_auc,
)

MALIGNANT = ("akiec", "bcc", "mel")
RECIPE = {"batch_size": int, "learning_rate": float, "class_weight": float}


def parse_args() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--data", required=True, help="folder of HAM10000")
    parser.add_argument("--backbones", nargs="+", default=["efficientnet_lite0"], metavar="NAME")
    parser.add_argument(
        "--unfreeze",
        nargs="+",
        default=["0.4"],
        metavar="[NAME=]PART",
        help="blocks, a share of them, or a layer; after the name of a backbone, of that one",
    )
    parser.add_argument("--weights", nargs="*", default=[], metavar="NAME=PATH")
    parser.add_argument("--store", help="folder that keeps the activations between runs")
    parser.add_argument("--checkpoint", help="folder from which a killed training goes on")
    parser.add_argument("--engine", default="keras", help="keras, openvino or auto")
    parser.add_argument("--precision", default="float32", help="or bfloat16, with openvino")
    parser.add_argument("--views", type=int, default=8)
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--limit", type=int, help="use so many images only, for a quick look")
    add_recipe(parser)
    args = parser.parse_args()
    for option in ("weights", "unfreeze"):
        for name, part in (one.rpartition("=")[::2] for one in getattr(args, option)):
            known = [*args.backbones, ""] if option == "unfreeze" else args.backbones
            if name not in known or not part:
                parser.error(f"--{option}: {name or part!r} is none of --backbones")
    return args


def add_recipe(parser: argparse.ArgumentParser) -> None:
    """Add what the recipe of fine-tuning was chosen for."""
    for name, kind in RECIPE.items():
        option = f"--{name.replace('_', '-')}"
        parser.add_argument(
            option, type=kind, default=argparse.SUPPRESS, help="instead of the recipe's"
        )


def chosen(args: argparse.Namespace) -> dict:
    """Return what was asked for instead of the recipe."""
    return {option: value for option, value in vars(args).items() if option in RECIPE}


def resampled(y, proba, classes, weights) -> dict[str, np.ndarray]:
    """Each figure, and after it the same in each resample of the lesions."""
    confusion = confusion_figures(y, proba.argmax(axis=1), len(classes), weights)
    malignant = np.isin(classes, MALIGNANT)
    return {
        "accuracy": confusion["accuracy"],
        "balanced accuracy": confusion["balanced_accuracy"],
        "AUC": macro_auc(y, proba, weights),
        "malignant AUC": auc(malignant[y], proba[:, malignant].sum(axis=1), weights),
    }


def at_working_points(y, proba, classes, weights) -> dict[str, np.ndarray]:
    """What is decided at a quality that is chosen with the answers at hand: no promise."""
    malignant = np.isin(classes, MALIGNANT)
    sides, score = malignant[y], proba[:, malignant].sum(axis=1)
    curves = (roc_curve(sides, score, sample_weight=row)[:2] for row in weights)
    specificity = [1 - false_alarms[found >= 0.95].min() for false_alarms, found in curves]
    right, confidence = proba.argmax(axis=1) == y, proba.max(axis=1)
    return {
        "coverage at 95 % accuracy": coverage_at_accuracy(right, confidence, 0.95, weights),
        "specificity at 95 % sensitivity": np.array(specificity),
    }


def figures(y, proba, classes, groups) -> dict[str, Figure]:
    """Figures of one classifier, with intervals."""
    weights = lesion_weights(groups, 1000, random_state=0)
    ballots = y, proba, classes, weights
    found = resampled(*ballots) | at_working_points(*ballots)
    return {name: Figure.from_resamples(values) for name, values in found.items()}


def make_member(args: argparse.Namespace, name: str) -> TransferClassifier:
    """Return the classifier of a backbone, not yet trained."""
    weights = dict(pair.split("=", 1) for pair in args.weights)
    parts = {one.rpartition("=")[0]: one.rpartition("=")[2] for one in args.unfreeze}
    part = parts.get(name, parts.get("", "0.4"))
    return TransferClassifier(
        name,
        unfreeze=literal_eval(part) if part[0].isdigit() else part,
        weights=weights.get(name, "imagenet"),
        views=args.views,
        epochs=args.epochs,
        store=args.store,
        checkpoint=args.checkpoint,
        random_state=0,
        verbose=1,
        **chosen(args),
    )


def load_data(args: argparse.Namespace):
    """Return images, labels and lesions, as arrays."""
    lesions = load_ham10000(args.data)
    data = tuple(map(np.asarray, (lesions.images, lesions.target, lesions.groups)))
    if not args.limit:
        return data
    keep = np.random.default_rng(0).permutation(len(data[0]))[: args.limit]
    return tuple(part[keep] for part in data)


def show(y, proba, classes, groups) -> None:
    """Print the figures of one classifier."""
    encoded = np.searchsorted(classes, y)
    for figure, value in figures(encoded, proba, classes, groups).items():
        print(f"  {figure:33}{value}", flush=True)


def main() -> None:
    """Train, judge."""
    args, ballots = parse_args(), []
    set_config(engine=args.engine, precision=args.precision)
    images, y, groups = load_data(args)
    folds = StratifiedGroupKFold(5, shuffle=True, random_state=0)
    train, test = next(folds.split(images, y, groups))
    for name in args.backbones:
        start = time.monotonic()
        member = make_member(args, name).fit(images[train], y[train], groups=groups[train])
        trained = time.monotonic() - start
        ballots.append(member.predict_proba(images[test]))
        print(f"{name}: trained in {trained:.0f} s, {time.monotonic() - start:.0f} s in all")
        show(y[test], ballots[-1], member.classes_, groups[test])
    if len(ballots) > 1:
        print(f"soft vote of {len(ballots)}")
        pooled = SoftVote().combine(np.stack(ballots, axis=1))
        show(y[test], pooled, member.classes_, groups[test])


if __name__ == "__main__":
    main()
