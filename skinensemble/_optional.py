"""Optional packages, imported where they are used and missed politely."""

from __future__ import annotations

import importlib
from types import ModuleType

from skinensemble.exceptions import MissingDependencyError, message


def import_optional(module: str, *, extra: str, purpose: str) -> ModuleType:
    """Import an optional package, or say exactly what to install.

    Parameters
    ----------
    module : str
        Dotted name of the module.
    extra : str
        The extra of skinensemble that brings it.
    purpose : str
        What needs it, as the subject of the message (``"plots"``).

    Raises
    ------
    MissingDependencyError
        When the package is not installed.
    """
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        remedy = f'pip install "skinensemble[{extra}]"'
        text = message("missing package", module, f"{purpose} need it", remedy)
        raise MissingDependencyError(text) from error
