"""Which engine runs the networks, and how precisely: a choice of the process, not of a model."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import partial
from typing import Any

from skinensemble._threads import limit_threads
from skinensemble.engines._engine import check_engine

__all__ = ["config_context", "get_config", "set_config", "with_config"]

# Not the number of the process: on two machines that can be the same.
_HERE = uuid.uuid4().hex
_process = {"engine": "keras", "precision": "float32"}
_context: ContextVar[dict[str, str] | None] = ContextVar("skinensemble_config", default=None)


def get_config() -> dict[str, str]:
    """Return the choices in force here.

    Returns
    -------
    dict
        ``engine`` and ``precision``, see :func:`set_config`.

    Examples
    --------
    >>> get_config()
    {'engine': 'keras', 'precision': 'float32'}
    """
    return _process | (_context.get() or {})


def set_config(*, engine: str | None = None, precision: str | None = None) -> None:
    """Choose what runs the networks, for the whole process.

    An engine is no part of a model: saved files do not hold it, and any file runs on any engine.
    Networks are trained by Keras whatever the engine; what the engine runs are frozen networks, and
    what was trained when it predicts.

    Parameters
    ----------
    engine : {"keras", "openvino", "auto"}, optional
        ``"openvino"`` needs the extra ``fast``. ``"auto"`` is OpenVINO where it is installed, and
        Keras, with a warning, for a network that OpenVINO cannot run.
    precision : {"float32", "bfloat16"}, optional
        In ``"bfloat16"`` networks run faster and keep eight bits of what they compute, so some
        verdicts change. Only OpenVINO does it, and only on processors that have it. Convolutions
        that are fine-tuned are multiplied in it too, while weights stay in float32.
        Features of the two precisions are kept apart; train and predict with the same one.

    Raises
    ------
    InputError
        When there is no such choice, or the engine or this processor cannot do the precision.
    MissingDependencyError
        When the engine is not installed, or too old.

    See Also
    --------
    config_context : The same for a ``with`` block.

    Examples
    --------
    >>> set_config(engine="keras")
    """
    _process.update(_checked(engine, precision, _process))


@contextmanager
def config_context(*, engine: str | None = None, precision: str | None = None) -> Iterator[None]:
    """Choose what runs the networks inside a ``with`` block; other threads are not affected.

    Parameters
    ----------
    engine, precision
        As in :func:`set_config`, which says what is raised as well.

    Examples
    --------
    >>> with config_context(engine="keras", precision="float32"):
    ...     get_config()["engine"]
    'keras'
    """
    given = _checked(engine, precision, get_config())
    token = _context.set((_context.get() or {}) | given)
    try:
        yield
    finally:
        _context.reset(token)


def with_config(function: Callable[..., Any]) -> Callable[..., Any]:
    """Return `function` bound to the choices in force now, for another thread or process.

    Another process then takes no more threads than it was given.
    """
    return partial(_run, _HERE, get_config(), function)


def _run(
    home: str, config: dict[str, str], function: Callable[..., Any], /, *args: Any, **kwargs: Any
) -> Any:
    if home != _HERE:
        limit_threads()
    token = _context.set(config)
    try:
        return function(*args, **kwargs)
    finally:
        _context.reset(token)


def _checked(engine: str | None, precision: str | None, before: dict[str, str]) -> dict[str, str]:
    """Return what was given, once it is clear that it can be had beside what was chosen before."""
    pairs = {"engine": engine, "precision": precision}.items()
    given = {name: value for name, value in pairs if value is not None}
    check_engine(**before | given)
    return given
