"""Engines by name, imported when they are asked for."""

from __future__ import annotations

from importlib import import_module

from defiyield_core.allocation.engines.port import Engine
from defiyield_core.errors import ConfigurationError

_MODULES = {"highs": "highs", "cvxpy": "cvxpy_engine", "cp_sat": "cp_sat"}


def engine_for(name: str) -> Engine:
    """The engine by that name.

    Raises:
        ConfigurationError: there is none.
    """
    if name not in _MODULES:
        raise ConfigurationError(f"unknown engine '{name}': choose one of {', '.join(_MODULES)}")
    module = import_module(f"defiyield_core.allocation.engines.{_MODULES[name]}")
    return module.propose
