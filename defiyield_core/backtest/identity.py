"""What a run is: the name that equal code, settings and data give it.

Belongs here: the run id and what goes into it. Does not belong here: where finished runs are kept (see `store`).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from defiyield_core.calendar import Window
from defiyield_core.portfolio.spec import PortfolioSpec
from defiyield_core.versions import versions


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
