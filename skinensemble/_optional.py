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
        When the package is not installed, or cannot be imported.
    """
    try:
        return importlib.import_module(module)
    except Exception as error:  # of any kind: to import a package is to run it
        why, remedy = f"{purpose} need it", f'pip install "skinensemble[{extra}]"'
        if is_absent(module, error):
            raise MissingDependencyError(message("missing package", module, why, remedy)) from error
        first = str(error).strip().split("\n")[0]
        why += f", and its import fails ({type(error).__name__}: {first:.200})"
        remedy = f'pip install --force-reinstall "skinensemble[{extra}]"'
        raise MissingDependencyError(message("broken package", module, why, remedy)) from error


def is_absent(module: str, error: BaseException | None) -> bool:
    """Whether an import failed because a package is not there, and not one that it needs."""
    return isinstance(error, ModuleNotFoundError) and f"{module}.".startswith(f"{error.name}.")
