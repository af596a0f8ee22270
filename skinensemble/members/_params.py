"""What values the parameters of a training may have."""

from __future__ import annotations

import os

import numpy as np
from sklearn.utils import check_random_state

from skinensemble.exceptions import InputError, check_choice, message

__all__ = ["FINE_TUNING", "check_idle", "check_pairs", "check_params"]


def _whole(value, least: int) -> bool:
    whole = isinstance(value, int | np.integer) and not isinstance(value, bool)
    return whole and bool(value >= least)


_RULES = {
    "units": ("positive integers in a tuple", lambda v: all(_whole(n, 1) for n in v)),
    "dropout": ("0 ≤ dropout < 1", lambda v: 0 <= v < 1),
    "scaling": ("feature or common", lambda v: v in ("feature", "common")),
    "l2": ("not negative", lambda v: v >= 0),
    "learning_rate": ("positive", lambda v: v > 0),
    "epochs": ("an integer, at least 1", lambda v: _whole(v, 1)),
    "batch_size": ('an integer, at least 1, or "auto"', lambda v: v == "auto" or _whole(v, 1)),
    "class_weight": (
        'a power that is not negative, "balanced", None, or a dict of label to weight',
        lambda v: v is None or v == "balanced" or isinstance(v, dict) or v >= 0,
    ),
    "validation_fraction": ("0 < fraction ≤ 0.5", lambda v: 0 < v <= 0.5),
    "patience": ("an integer, not negative, or None", lambda v: v is None or _whole(v, 0)),
    "weight_decay": ("not negative", lambda v: v >= 0),
    "warmup": ("not negative", lambda v: v >= 0),
    "head_warmup": ("a number of epochs", lambda v: not isinstance(v, bool) and v >= 0),
    "layer_decay": ("0 < factor ≤ 1", lambda v: 0 < v <= 1),
    "label_smoothing": ("0 ≤ share < 1", lambda v: 0 <= v < 1),
    "loss": (
        "cross_entropy, focal or logit_adjustment",
        lambda v: v in ("cross_entropy", "focal", "logit_adjustment"),
    ),
    "sampling": ("not negative", lambda v: v >= 0),
    "mixup": ("not negative", lambda v: v >= 0),
    "ema": ("0 < momentum < 1, or None", lambda v: v is None or 0 < v < 1),
    "pooling": ("avg or max", lambda v: v in ("avg", "max")),
    "checkpoint": ("a folder, or None", lambda v: v is None or os.fspath(v) != ""),
    "view_mean": ("probability or log", lambda v: v in ("probability", "log")),
    "callbacks": (
        "a list of Keras callbacks, or None",
        lambda v: v is None or all(hasattr(callback, "on_epoch_end") for callback in v),
    ),
    "random_state": (
        "an integer, a RandomState or None",
        lambda v: check_random_state(v) is not None,
    ),
    "verbose": ("0, 1 or 2", lambda v: v in (0, 1, 2)),
}


# What matters to a TransferClassifier only where layers of the backbone are trained.
FINE_TUNING = (
    "views",
    "zoom",
    "jitter",
    "weight_decay",
    "warmup",
    "head_warmup",
    "layer_decay",
    "label_smoothing",
    "loss",
    "sampling",
    "mixup",
    "ema",
    "view_mean",
    "checkpoint",
)

# Why of two parameters only one may be given, and what to do.
_EXCLUSIVE = {
    ("ema", "patience"): (
        "early stopping keeps the best weights, not their average",
        "pass one of them",
    ),
    ("callbacks", "checkpoint"): (
        "what a callback does to a training no checkpoint can tell",
        "use patience, or leave the checkpoint out",
    ),
}


def check_pairs(params: dict) -> None:
    """Refuse two parameters of a fine-tuning that do not go together."""
    for pair, (why, remedy) in _EXCLUSIVE.items():
        if not any(params[key] is None or params[key] == [] for key in pair):
            raise InputError(message("parameters", ", ".join(pair), why, remedy))
    if params["head_warmup"] >= params["epochs"]:
        why = f"of {params['epochs']} epochs none is left to train more than the head"
        remedy = "pass fewer, or unfreeze=None"
        raise InputError(message("head_warmup", params["head_warmup"], why, remedy))


def check_idle(params: dict, defaults: dict) -> None:
    """Refuse parameters of a fine-tuning, all at once, where nothing is fine-tuned."""
    idle = [
        f"{key}={params[key]!r}"
        for key in FINE_TUNING
        if not _holds(lambda value, usual=defaults[key]: value == usual, params[key])
    ]
    if idle:
        why = "nothing is fine-tuned, so that would do nothing"
        remedy = "pass unfreeze, or leave it out"
        raise InputError(message("parameters", ", ".join(idle), why, remedy))


def check_params(name: str, params: dict) -> None:
    """List every parameter that cannot be used, all at once."""
    wrong = [
        f"{key}={params[key]!r} ({rule})"
        for key, (rule, good) in _RULES.items()
        if key in params and not _holds(good, params[key])
    ]
    if wrong:
        why = "these values cannot be used"
        raise InputError(message("parameters", ", ".join(wrong), why, f"see {name}'s docstring"))
    # Keras takes seconds to import, and need not be asked about the default.
    if params.get("activation", "relu") not in ("relu", "tanh", "linear", "softmax"):
        _check_activation(params["activation"])


def _check_activation(activation) -> None:
    import keras

    if activation is None or callable(activation):
        return
    names = {name for name in dir(keras.activations) if not name.startswith("_")}
    known = sorted(names - {"get", "serialize", "deserialize"})
    try:  # it has other names for some
        keras.activations.get(str(activation))
    except ValueError:
        check_choice("activation", activation, known)


def _holds(condition, value) -> bool:
    try:
        return bool(condition(value))
    except (TypeError, ValueError):
        return False
