"""The errors and warnings of the library, one small tree with one root.

SkinEnsembleError
├── InputError (ValueError)            images, labels, groups or parameters that cannot be used
│   ├── ImageReadError                 image files that cannot be read
│   ├── DatasetError                   tables and image folders that do not agree
│   └── CertificateError               too few lesions to prove what was asked for
├── WeightsError (OSError)             a backbone's weights that cannot be had, or do not fit
├── EngineError (RuntimeError)         a network that the chosen engine cannot run
├── MemberError (ValueError)           a member that failed, and what it raised
│   └── TimeLimitError                 a training that did not end in time
├── ModelFileError (ValueError)        a saved file that is damaged, foreign or of another version
├── SaveError (OSError)                a file that could not be written; nothing is left half done
└── MissingDependencyError (ImportError)   an optional package that is missing or broken

Every message reads ``<what>: <thing> – <why> – <what to do>``; :func:`message` writes it.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Mapping
from typing import Any

__all__ = [
    "CalibrationWarning",
    "CertificateError",
    "CertificateWarning",
    "DatasetError",
    "EngineError",
    "ImageReadError",
    "InputError",
    "MemberError",
    "MemberWarning",
    "MissingDependencyError",
    "ModelFileError",
    "ReferralWarning",
    "SaveError",
    "SkinEnsembleError",
    "TimeLimitError",
    "UngroupedWarning",
    "WeightsError",
]


class SkinEnsembleError(Exception):
    """Root of every error that the library raises on purpose."""


class InputError(SkinEnsembleError, ValueError):
    """Images, labels, groups or parameters that cannot be used."""


class ImageReadError(InputError):
    """Image files that cannot be read.

    Attributes
    ----------
    problems : tuple
        One :class:`~skinensemble.images.ImageProblem` for each, where they are known.
    """

    problems: tuple = ()


class DatasetError(InputError):
    """Tables and image folders that do not agree with each other."""


class CertificateError(InputError):
    """Too few lesions to prove the sensitivity or specificity that was asked for."""


class WeightsError(SkinEnsembleError, OSError):
    """Weights of a backbone that cannot be had, or do not fit it."""


class EngineError(SkinEnsembleError, RuntimeError):
    """A network that the engine which was asked for cannot run."""


class MemberError(SkinEnsembleError, ValueError):
    """A member of a stage failed; the message names it and what it raised.

    A ValueError, so that scikit-learn's searches treat it as they treat any estimator that fails.

    Attributes
    ----------
    failures : dict of str to MemberFailure
        What went wrong, by the member's name.
    """

    failures: Mapping[str, Any] = {}


class TimeLimitError(MemberError):
    """A training did not end in the time that it was given.

    Attributes
    ----------
    reason : str
        The limit, and what was under way.
    """

    reason: str = ""


class ModelFileError(SkinEnsembleError, ValueError):
    """A saved file that is damaged, of another format or of a newer version."""


class SaveError(SkinEnsembleError, OSError):
    """A file that could not be saved; ``errno`` is the system's number for the reason."""


class MissingDependencyError(SkinEnsembleError, ImportError):
    """An optional package that is not installed, or cannot be imported."""


class CalibrationWarning(UserWarning):
    """Probabilities that nobody calibrated are restated for another prevalence."""


class CertificateWarning(UserWarning):
    """Lesions are used for a second certificate."""


class MemberWarning(UserWarning):
    """A member failed and has no vote, or is trained otherwise than asked; the message says why."""


class ReferralWarning(UserWarning):
    """No share of the lesions proves the accuracy that was asked for: everything is referred."""


class UngroupedWarning(UserWarning):
    """Folds were made without knowing which images show the same lesion."""


def message(what: str, thing: object, why: str, remedy: str) -> str:
    """Return ``<what>: <thing> – <why> – <remedy>``, the one form of every error text."""
    return f"{what}: {thing} – {why} – {remedy}"


def check_choice(name: str, value: object, choices: Iterable) -> None:
    """Refuse a value that is none of the choices.

    Raises
    ------
    InputError
        It names them.

    Examples
    --------
    >>> check_choice("route", "soft", ("soft", "hard"))
    >>> check_choice("route", "both", ("soft", "hard"))
    Traceback (most recent call last):
        ...
    skinensemble.exceptions.InputError: route: 'both' – not one of 'soft', 'hard' – pass one of ...
    """
    choices = list(choices)
    if not isinstance(value, Hashable) or value not in choices:
        why = f"not one of {', '.join(map(repr, choices))}"
        raise InputError(message(name, f"{value!r:.60}", why, "pass one of these"))


def first_few(items: Iterable, limit: int = 10, show: Callable[[Any], str] = str) -> str:
    """Return the first `limit` items, separated by commas, and how many more there are.

    Parameters
    ----------
    items : iterable
    limit : int, default=10
    show : callable, default=str
        How an item reads; only those shown are asked.

    Returns
    -------
    str

    Examples
    --------
    >>> first_few(["a", "b", "c"], limit=2)
    'a, b … and 1 more'
    """
    items = list(items)
    rest = len(items) - limit
    return ", ".join(map(show, items[:limit])) + (f" … and {rest} more" if rest > 0 else "")
