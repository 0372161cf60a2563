"""Rules that decide: the optimiser and what it is compared with.

A policy is `decide(view, state) -> Decided`. Adding one is one module and one line in `registry`.
Does not belong here: booking, days, tables.
"""

from defiyield_core.policies.port import Decided, Policy
from defiyield_core.policies.registry import POLICIES, policy_for

__all__ = ["POLICIES", "Decided", "Policy", "policy_for"]
