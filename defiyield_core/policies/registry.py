"""Policies by name."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from defiyield_core.errors import ConfigurationError
from defiyield_core.parameters import Parameters
from defiyield_core.policies.benchmarks import HoldPolicy, equal_weight, hold_pool
from defiyield_core.policies.gas_blind import GasBlindPolicy
from defiyield_core.policies.older_rule import OlderRulePolicy
from defiyield_core.policies.optimiser import OptimiserPolicy
from defiyield_core.policies.port import Policy
from defiyield_core.policies.random_weights import random_weights
from defiyield_core.policies.threshold import threshold
from defiyield_core.policies.waterfall import best_apy, waterfall

POLICIES: dict[str, Callable[..., Policy]] = {
    "optimiser": OptimiserPolicy,
    "hold": HoldPolicy,
    "hold_pool": hold_pool,
    "equal_weight": equal_weight,
    "older_rule": OlderRulePolicy,
    "gas_blind": GasBlindPolicy,
    "threshold": threshold,
    "waterfall": waterfall,
    "best_apy": best_apy,
    "random_weights": random_weights,
}


def policy_for(name: str, parameters: Parameters, options: Mapping[str, Any]) -> Policy:
    """The policy by that name with its options.

    Raises:
        ConfigurationError: unknown policy or option.
    """
    if name not in POLICIES:
        raise ConfigurationError(f"unknown policy '{name}': choose one of {', '.join(sorted(POLICIES))}")
    try:
        return POLICIES[name](parameters, **options)
    except TypeError as error:
        raise ConfigurationError(f"policy {name}: options {dict(options)} do not fit: {error}") from error
