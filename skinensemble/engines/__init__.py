"""Engines: what runs a frozen network, chosen for the process and never saved with a model.

Keras is always there; OpenVINO comes with the extra ``fast``. :func:`set_config` and
:func:`config_context` choose, :func:`make_runner` makes a network ready on what was chosen. A new
engine is a module here with one function, from a network and a precision to a :class:`Runner`.
"""

from __future__ import annotations

from skinensemble.engines._config import config_context, get_config, set_config, with_config
from skinensemble.engines._engine import EngineWarning, Runner, make_runner
from skinensemble.engines._small import run_small
from skinensemble.engines._upper import run_upper

__all__ = [
    "EngineWarning",
    "Runner",
    "config_context",
    "get_config",
    "make_runner",
    "run_small",
    "run_upper",
    "set_config",
    "with_config",
]
