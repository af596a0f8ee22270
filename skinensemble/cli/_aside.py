"""What the commands that train share: lesions kept aside, and what counts as malignant."""

from __future__ import annotations

import argparse
import contextlib
from collections.abc import Sequence

from skinensemble._paths import expanded
from skinensemble.cli._data import Data
from skinensemble.cli._screen import (
    UsageError,
    comma_list,
    count,
    number,
    progress_on_stderr,
    whole,
)

__all__ = [
    "add_hold_out",
    "add_malignant",
    "add_networks",
    "add_promise",
    "check_malignant",
    "confidence_of",
    "hold_out",
    "judge_aside",
    "number_or_name",
    "refuse_idle",
    "size_of",
]


def add_networks(group, about: str = "") -> None:
    """Add what says which backbones there are, what they start from and how large images are."""
    group.add_argument(
        "--backbone",
        action="extend",
        type=comma_list,
        metavar="NAME[,NAME…]",
        help=f"{about}(default: EfficientNet-Lite0, 1 and 2; see `skinensemble backbones`)",
    )
    group.add_argument(
        "--weights",
        action="append",
        type=_weights,
        default=[],
        metavar="NAME=PATH",
        help="weights file of a backbone, or NAME=none for random ones; may be repeated (default:"
        " the ImageNet weights)",
    )
    group.add_argument(
        "--image-size", type=whole(1), metavar="PIXELS", help="(default: the backbone's)"
    )


def add_malignant(group) -> None:
    """Add ``--malignant``."""
    group.add_argument(
        "--malignant",
        action="extend",
        type=comma_list,
        metavar="CODE[,CODE…]",
        help="diagnoses that count as malignant (default: akiec,bcc,mel)",
    )


def add_promise(group, note: str = "") -> None:
    """Add ``--min-sensitivity`` and ``--confidence``."""
    group.add_argument(
        "--min-sensitivity",
        type=float,
        metavar="SHARE",
        help="certify that at least this share of the malignant lesions is found, such as 0.95"
        + note,
    )
    group.add_argument("--confidence", type=float, help="confidence of that (default: 0.95)")


def confidence_of(args: argparse.Namespace, *, promised: bool) -> float:
    """Return the confidence of a promise; refuse one where nothing is promised."""
    if args.confidence is not None and not promised:
        raise UsageError("--confidence is for a promise: add --min-sensitivity")
    return 0.95 if args.confidence is None else args.confidence


def add_hold_out(group) -> None:
    """Add ``--hold-out``."""
    group.add_argument(
        "--hold-out",
        type=number("a share between 0 and 0.5", lambda share: 0 <= share <= 0.5),
        default=0.2,
        metavar="SHARE",
        help="share of the lesions kept aside for the figures printed at the end, rounded to 1/2,"
        " 1/3, 1/4 …; 0 for none (default: 0.2)",
    )


def refuse_idle(args: argparse.Namespace, names: Sequence[str], unfreeze: Sequence) -> None:
    """Refuse options of fine-tuning where no part of a backbone is fine-tuned."""
    idle = [name for name in names if getattr(args, name) is not None]
    if idle and all(part in (None, 0) for part in unfreeze):
        raise UsageError(f"--{idle[0]} is for fine-tuning: add --unfreeze")


def check_malignant(args: argparse.Namespace, data: Data) -> None:
    """Refuse codes that the data do not have, and data of which nobody says what is malignant."""
    import numpy as np

    from skinensemble.exceptions import InputError, first_few, message
    from skinensemble.taxonomy import DIAGNOSES

    known = np.unique(data.target).tolist()
    foreign = [label for label in known if label not in DIAGNOSES]
    if foreign and args.malignant is None:
        why = "no codes of HAM10000, so that only you know which of them are malignant"
        remedy = "pass --malignant with all that are, such as --malignant mel,bcc,scc"
        raise InputError(message("diagnoses", first_few(foreign), why, remedy))
    unknown = [code for code in args.malignant or () if code not in known]
    if unknown:
        why = f"the data have {first_few(known)}"
        raise InputError(message("--malignant", first_few(unknown), why, "correct the codes"))


def hold_out(data: Data, args: argparse.Namespace) -> tuple[Data, Data | None]:
    """Keep whole lesions aside: one fold of k, stratified by diagnosis."""
    import numpy as np
    from sklearn.model_selection import StratifiedGroupKFold

    from skinensemble.identity import group_copies
    from skinensemble.validation import check_groups, check_labels

    if args.hold_out == 0:
        return data, None
    classes, encoded = check_labels(data.target)
    # Copies that fell on either side would be learnt from and judged on.
    groups = check_groups(data.groups, encoded, classes)
    lesions = np.asarray(group_copies(data.images, encoded, groups))
    _, first, lesion = np.unique(lesions, return_index=True, return_inverse=True)
    if data.groups is None:
        lesions = first[lesion]  # by their order, whatever the images hold
    k = max(2, round(1 / args.hold_out))
    _refuse_rare(classes, np.bincount(encoded[first]), k, args.hold_out)
    folds = StratifiedGroupKFold(k, shuffle=True, random_state=args.seed)
    train, test = next(folds.split(encoded, encoded, lesions))
    return data.part(train), data.part(test)


def _refuse_rare(classes, n_lesions, k: int, share: float) -> None:
    """Refuse a class of which not every fold can have a lesion."""
    from skinensemble.exceptions import InputError, message

    rarest, n = n_lesions.argmin(), n_lesions.min()
    if n < k:
        why = f"it keeps one of {k} folds of lesions aside, and {classes[rarest]} has {n}"
        remedy = f"pass --hold-out {1 / n:.2g}, or 0" if n > 1 else "pass --hold-out 0"
        raise InputError(message("--hold-out", share, why, remedy))


def judge_aside(cascade, test: Data, args: argparse.Namespace) -> None:
    """Print the report on the lesions kept aside."""
    from skinensemble.report import evaluate

    with progress_on_stderr(args.quiet):
        report = evaluate(cascade, test.images, test.target, groups=test.groups)
    print(f"\nOn {size_of(test)} kept aside:\n\n{report}")


def size_of(data: Data) -> str:
    """Return how many images of how many lesions there are."""
    images = count(len(data.images), "image")
    return (
        images if data.groups is None else f"{images} of {count(len(set(data.groups)), 'lesion')}"
    )


def number_or_name(text: str) -> str | float:
    """Return what a word of the command line stands for."""
    for kind in (int, float):
        with contextlib.suppress(ValueError):
            return kind(text)
    return text


def _weights(text: str) -> tuple[str, str | None]:
    name, separator, source = text.partition("=")
    if not (separator and name and source):
        raise argparse.ArgumentTypeError(f"{text!r} is not NAME=PATH")
    if source in ("none", "imagenet"):
        return name, None if source == "none" else source
    return name, str(expanded(source))
