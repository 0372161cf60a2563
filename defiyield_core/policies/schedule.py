"""When a rule that does not look every day looks again.

Belongs here: the calendar of rebalancing days. Does not belong here: what is done on them.
"""

from __future__ import annotations

from datetime import date

from defiyield_core.allocation.problem import AllocationProblem
from defiyield_core.errors import ConfigurationError

EPOCH = date(1970, 1, 1)
"""Rebalancing days are counted from here, so that a run that resumes rebalances on the same days."""


def is_due(problem: AllocationProblem, every_days: int) -> bool:
    """Whether the problem's day is one of every `every_days`-th, or nothing is held yet."""
    return (problem.as_of - EPOCH).days % every_days == 0 or not problem.positions.any()


def checked_days(policy: str, rebalance_days: int) -> int:
    """The option `rebalance_days` of a policy.

    Raises:
        ConfigurationError: it is no whole number of at least 1.
    """
    if not isinstance(rebalance_days, int) or isinstance(rebalance_days, bool) or rebalance_days < 1:
        raise ConfigurationError(f"policy {policy}: rebalance_days must be at least 1 (got {rebalance_days!r})")
    return rebalance_days
