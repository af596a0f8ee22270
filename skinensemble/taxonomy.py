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
        When labels that were named do not occur, or the default, the tuple ``MALIGNANT``, meets
        labels that are no codes of HAM10000. A list of the same three is taken as it is.

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
    if not callable(malignant):
        _warn_of_doubtful(classes.tolist(), malignant)
    return mask


def _warn_of_doubtful(classes: list, malignant: Sequence) -> None:
    """Warn of labels that are benign only because nobody called them anything else."""
    if isinstance(malignant, tuple) and malignant == MALIGNANT:
        doubtful = [label for label in classes if label not in DIAGNOSES]
        why = "no code of HAM10000, so it counts as benign"
        remedy = "correct the labels, or list all malignant ones in malignant"
    else:
        doubtful = [label for label in malignant if label not in classes]
        why, remedy = f"not among the labels {first_few(classes)}", "correct the codes"
    if doubtful:
        text = message("malignant", first_few(doubtful), why, remedy)
        warnings.warn(text, UserWarning, stacklevel=5)
