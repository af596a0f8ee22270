"""What each choice of a fine-tuning buys, one at a time, on lesions kept aside for that.

    python examples/ablation.py --data PATH --store activations --checkpoint checkpoints \\
        --backbone mobilenet_v2 --weights PATH/mobilenet_v2_1.0_224_notop.weights.h5 --epochs 6

Of the training part of HAM10000 (all but fold 0, on which figures are quoted), two thirds of the
lesions train and one third judges. The first line is the recipe as it is; each other line says what
changes when one thing is done otherwise: differences within the same images, with 95 % intervals by
bootstrap of lesions. These do not know that a training is a draw too: what another seed changes is
no difference. All share the activations; with ``--checkpoint`` nothing is trained twice.
"""

from __future__ import annotations

import argparse
import time

import numpy as np
from fine_tuning import MALIGNANT, add_recipe, chosen, load_data, resampled
from sklearn.model_selection import StratifiedGroupKFold

from skinensemble import Stage, TransferClassifier, set_config
from skinensemble.exceptions import InputError
from skinensemble.metrics import Figure, auc, lesion_weights

VARIANTS = {
    "another seed": {"random_state": 1},
    "one view": {"views": 1},
    "four views": {"views": 4},
    "views nearer and otherwise lit": {"zoom": 1.3, "jitter": 0.1},
    "a quarter less is trained": {},
    "a quarter more is trained": {},
    "larger images": {"image_size": 320},
    "the whole image, squashed": {"image_fit": "squash"},
    "the whole image, padded": {"image_fit": "pad"},
    "focal loss": {"loss": "focal"},
    "logit adjustment, no class weights": {"loss": "logit_adjustment", "class_weight": None},
    "no class weights": {"class_weight": None},
    "stronger class weights": {"class_weight": 0.5},
    "balanced class weights": {"class_weight": "balanced"},
    "no label smoothing": {"label_smoothing": 0.0},
    "twice as much label smoothing": {"label_smoothing": 0.1},
    "mixup": {"mixup": 0.2},
    "moving average of the weights": {"ema": 0.99},
    "the head learns first": {"head_warmup": 1},
    "the head learns first, another seed": {"head_warmup": 1, "random_state": 1},
    "deep layers learn slower": {"layer_decay": 0.1},
    "half the batch": {"batch_size": 16, "learning_rate": 2.5e-4},
    "twice the batch": {"batch_size": 64, "learning_rate": 5e-4},
    "a lower learning rate": {"learning_rate": 2.5e-4},
    "a higher learning rate": {"learning_rate": 5e-4},
    "a higher learning rate, another seed": {"learning_rate": 5e-4, "random_state": 1},
    "twice the epochs": {},
    "three folds kept, not all trained on": {},
    "malignancy alone is learnt": {},
}


def parse_args() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--data", required=True, help="folder of HAM10000")
    parser.add_argument("--backbone", default="efficientnet_lite0")
    parser.add_argument("--unfreeze", type=float, default=0.4, help="share of the blocks")
    parser.add_argument("--weights", default="imagenet", help="imagenet, or a file")
    parser.add_argument("--store", help="folder that keeps the activations between runs")
    parser.add_argument("--checkpoint", help="folder from which a killed training goes on")
    parser.add_argument("--engine", default="keras", help="keras, openvino or auto")
    parser.add_argument("--precision", default="float32", help="or bfloat16, with openvino")
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--limit", type=int, help="use so many images only, for a quick look")
    add_recipe(parser)
    parser.add_argument("--only", nargs="+", choices=VARIANTS, metavar="VARIANT", default=VARIANTS)
    return parser.parse_args()


def inner_split(args: argparse.Namespace):
    """Return images, labels and lesions: of those that train, and of those that judge."""
    data = load_data(args)
    for n_folds in (5, 3):
        folds = StratifiedGroupKFold(n_folds, shuffle=True, random_state=0)
        train, rest = next(folds.split(*data))
        data, kept = [[part[rows] for part in data] for rows in (train, rest)]
    return data, kept


def train(args: argparse.Namespace, name: str, data):
    """Train the recipe, or a variant of it."""
    share = 0.75 if "quarter less" in name else 1.25 if "quarter more" in name else 1.0
    options = {
        "unfreeze": round(share * args.unfreeze, 2),
        "weights": args.weights,
        "epochs": args.epochs * (2 if name == "twice the epochs" else 1),
        "store": args.store,
        "checkpoint": args.checkpoint,
        "random_state": 0,
        **chosen(args),
    }
    member = TransferClassifier(args.backbone, **options | VARIANTS.get(name, {}))
    if name.startswith("three folds"):
        member = Stage([("member", member)], cv=3, refit=False, random_state=0)
    images, y, lesions = data
    if name.startswith("malignancy"):
        y = np.where(np.isin(y, MALIGNANT), "malignant", "other")
    return member.fit(images, y, groups=lesions)


def judge(member, data, weights) -> dict[str, np.ndarray]:
    """Return the figures on images that were kept aside; of two sides, what there is."""
    images, y, _ = data
    proba = member.predict_proba(images)
    if "malignant" in member.classes_:
        column = member.classes_.tolist().index("malignant")
        return {"malignant AUC": auc(np.isin(y, MALIGNANT), proba[:, column], weights)}
    return resampled(np.searchsorted(member.classes_, y), proba, member.classes_, weights)


def main() -> None:
    """Train, judge, compare."""
    args = parse_args()
    set_config(engine=args.engine, precision=args.precision)
    data, others = inner_split(args)
    print(f"{len(data[0])} images train, {len(others[0])} judge", flush=True)
    weights, recipe = lesion_weights(others[2], 1000, random_state=0), None
    for name in ("the recipe", *args.only):
        start = time.monotonic()
        try:
            found = judge(train(args, name, data), others, weights)
        except InputError as error:  # such as too few lesions for folds
            if recipe is None:
                raise
            print(f"{name} left out: {error}", flush=True)
            continue
        recipe = found if recipe is None else recipe
        print(f"{name}, {time.monotonic() - start:.0f} s")
        for figure, values in found.items():
            change = Figure.from_resamples(values - recipe[figure])
            interval = f" ({change.low:+.3f} to {change.high:+.3f})"
            # Many resamples of few lesions lack a type.
            shown = f"{change.value:+.3f}{interval if np.isfinite(change.low) else ''}"
            shown = Figure.from_resamples(values) if found is recipe else shown
            print(f"  {figure:18}{shown}", flush=True)


if __name__ == "__main__":
    main()
