"""The seven diagnoses of HAM10000 and which of them count as malignant."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence

import numpy as np

from skinensemble.exceptions import InputError, first_few, message

__all__ = ["DIAGNOSES", "MALIGNANT", "SIDES", "malignant_mask"]

DIAGNOSES: dict[str, str] = {
    "akiec": "actinic keratosis / Bowen's disease",
    "bcc": "basal cell carcinoma",
    "bkl": "benign keratosis",
    "df": "dermatofibroma",
    "mel": "melanoma",
    "nv": "melanocytic naevus",
    "vasc": "vascular lesion",
}
"""Diagnosis code (dx) → name, in the order of the codes."""

MALIGNANT: tuple[str, ...] = ("akiec", "bcc", "mel")
"""Codes that count as malignant by default (akiec: a precursor of carcinoma, or one in situ)."""

SIDES = np.array(["benign", "malignant"])
"""Labels of the triage; the second is the positive one."""


def malignant_mask(
    classes: np.ndarray, malignant: Sequence | Callable[[np.ndarray], np.ndarray]
) -> np.ndarray:
    """Tell which classes count as malignant.

    Parameters
    ----------
    classes : ndarray of shape (n_classes,)
        The distinct labels.
    malignant : sequence of labels, or callable
        The malignant labels, or a function from `classes` to a boolean mask.

    Returns
    -------
    ndarray of bool of shape (n_classes,)

    Warns
    -----
    UserWarning
        When codes other than the default ones do not occur.

    Raises
    ------
    InputError
        When no class, or every class, is malignant: then there is nothing to triage.

    Examples
    --------
    >>> malignant_mask(np.array(["bkl", "mel", "nv"]), MALIGNANT)
    array([False,  True, False])
    """
    if not callable(malignant) and (isinstance(malignant, str) or not np.iterable(malignant)):
        why, remedy = "not a list of labels", f"pass [{malignant!r}]"
        raise InputError(message("malignant", repr(malignant), why, remedy))
    mask = malignant(classes) if callable(malignant) else np.isin(classes, list(malignant))
    mask = np.asarray(mask, dtype=bool)
    if mask.shape != classes.shape:
        why = f"the callable returned shape {mask.shape} for {len(classes)} classes"
        raise InputError(message("malignant", malignant, why, "return one boolean per class"))
    if mask.all() or not mask.any():
        kind = "malignant" if mask.all() else "benign"
        shown = first_few(classes.tolist())
        why = f"every class in y is {kind} ({shown}); triage needs at least one class of each kind"
        raise InputError(message("malignant", malignant, why, "pass other labels, or more data"))
    if not callable(malignant) and tuple(malignant) != MALIGNANT:
        absent = [label for label in malignant if label not in classes]
        if absent:
            # A misspelt code would make its diagnosis benign.
            why = f"not among the labels {first_few(classes.tolist())}"
            text = message("malignant", first_few(absent), why, "correct the codes")
            warnings.warn(text, UserWarning, stacklevel=4)
    return mask
