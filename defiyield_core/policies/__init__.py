"""Rules that decide: the optimiser and what it is compared with.

A policy frames a problem (`frame(view, state)`) and decides it (`decide(problem)`, the rule). Adding one is one module
and one line in `registry`.
Does not belong here: booking, days, tables.
"""

from defiyield_core.policies.port import Decided, Framed, Policy, decided
from defiyield_core.policies.registry import POLICIES, policy_for

__all__ = ["POLICIES", "Decided", "Framed", "Policy", "decided", "policy_for"]
