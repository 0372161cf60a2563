"""What a run is: the name that equal code, settings and data give it.

Belongs here: the run id and what goes into it. Does not belong here: where finished runs are kept (see `store`).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any

import defiyield_core
from defiyield_core.calendar import Window
from defiyield_core.portfolio.spec import PortfolioSpec

VERSIONED = ("numpy", "pandas", "scipy", "highspy", "cvxpy", "ortools", "lightgbm", "scikit-learn")
"""Packages whose version may change a figure."""


@cache
def code_version() -> str:
    """The version and a hash of the package's own source: an edited line makes another run."""
    root = Path(defiyield_core.__file__).parent
    digest = hashlib.sha256()
    for path in sorted(root.rglob("*.py")):
        digest.update(str(path.relative_to(root)).encode() + b"\0" + path.read_bytes() + b"\0")
    return f"{defiyield_core.__version__}+{digest.hexdigest()[:10]}"


@cache
def versions() -> dict[str, str]:
    """Versions of the packages that may change a figure."""
    return {"defiyield": code_version(), **{name: version(name) for name in VERSIONED}}


def portfolio_config(spec: PortfolioSpec) -> dict[str, Any]:
    """A portfolio as JSON values: everything that its decisions depend on."""
    return {
        "portfolio": spec.name,
        "mode": spec.mode,
        "policy": spec.policy,
        "policy_options": dict(spec.policy_options),
        "wallet": dict(spec.wallet),
        "flows": {str(day): dict(sums) for day, sums in spec.flows.items()},
        "parameters": spec.parameters.model_dump(),
    }


def run_id(config: Mapping[str, Any], window: Window, data_fingerprint: str) -> str:
    """16 hex digits of SHA-256 over code, settings, days and data."""
    identity = [versions(), dict(config), str(window), data_fingerprint]
    return hashlib.sha256(json.dumps(identity, sort_keys=True, default=str).encode()).hexdigest()[:16]
