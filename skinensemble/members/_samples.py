"""How much each sample counts in a training, and which are set aside for early stopping."""

from __future__ import annotations

import warnings
from numbers import Real

import numpy as np
from sklearn.utils import compute_sample_weight

from skinensemble.exceptions import InputError, MemberWarning, first_few, message
from skinensemble.validation import refuse_weightless

__all__ = ["class_weights", "mean_one", "validation_split"]


def class_weights(class_weight, y) -> np.ndarray:
    """Return the weight of each sample's class; a number is a power of the balanced ones."""
    if isinstance(class_weight, Real):
        return np.power(compute_sample_weight("balanced", y), float(class_weight), dtype=np.float32)
    if isinstance(class_weight, dict):
        _check_named(class_weight, np.unique(y).tolist())
    return compute_sample_weight(class_weight, y).astype(np.float32)


def _check_named(class_weight: dict, known: list) -> None:
    """Refuse weights of labels that do not occur, unless all that do have theirs."""
    strange = [label for label in class_weight if label not in known]
    if strange and not all(label in class_weight for label in known):
        why = f"no such label; there are {first_few(known)}"
        raise InputError(message("class_weight", first_few(strange), why, "correct the labels"))


def validation_split(head, y, groups, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Set whole lesions aside, stratified by class; nothing when a class is too rare for it."""
    fraction = 0 if head.patience is None else head.validation_fraction
    lesions = np.arange(len(y)) if groups is None else np.asarray(groups)
    names, first = np.unique(lesions, return_index=True)
    counts = np.bincount(y[first])
    rarest = counts[counts > 0].min()
    if fraction == 0 or rarest * fraction < 1:
        if fraction:
            why = f"the rarest class has {rarest} lesions, and {fraction:g} of them is none"
            remedy = "it trains all epochs; pass a larger validation_fraction, or patience=None"
            warnings.warn(
                message("early stopping", "left out", why, remedy), MemberWarning, stacklevel=2
            )
        return np.arange(len(y)), np.arange(0)
    from sklearn.model_selection import train_test_split

    _, held_out = train_test_split(names, test_size=fraction, stratify=y[first], random_state=seed)
    mask = np.isin(lesions, held_out)
    return np.flatnonzero(~mask), np.flatnonzero(mask)


def mean_one(weight: np.ndarray) -> np.ndarray:
    """Return the weights, brought to a mean of 1."""
    # The loss is a mean over rows: with weights of mean 1 the learning rate keeps its meaning.
    refuse_weightless(weight)
    return weight / weight.mean()
