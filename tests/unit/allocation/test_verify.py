"""The re-evaluation finds what a solver, or a change of the code, could get wrong."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from defiyield_core.allocation import AllocationDecision, AllocationProblem, solve
from defiyield_core.allocation.verify import verify
from defiyield_core.errors import AllocationError
from tests.unit.allocation.small import pool, problem


@pytest.fixture
def solved() -> tuple[AllocationProblem, AllocationDecision]:
    pools = [pool("a", 0.09), pool("b", 0.08, "DAI", group=2), pool("c", 0.001)]
    given = problem(
        pools,
        {"USDC": 60_000},
        {("c", "USDC"): 40_000},
        gas=(5, 6, 7),
        max_alloc_percentage=0.4,
        conversion_rate=0.0004,
        min_pools=2,
    )
    return given, solve(given)


def test_a_decision_of_the_engine_stands(solved: tuple[AllocationProblem, AllocationDecision]) -> None:
    verify(*solved)


def _row(decision: AllocationDecision, kind: str, **changed: object) -> AllocationDecision:
    rows = tuple(
        replace(row, **changed) if row.type == kind else row  # type: ignore[arg-type]
        for row in decision.transactions
    )
    return replace(decision, transactions=rows)


@pytest.mark.parametrize(
    ("tamper", "message"),
    [
        (lambda d: replace(d, objective_usd=d.objective_usd + 0.01), "claimed objective"),
        (lambda d: replace(d, bound_usd=d.objective_usd - 1), "above its proven bound"),
        (lambda d: replace(d, gap_bps=0.02), "wider than 0.01 bps"),
        (lambda d: replace(d, gap_bps=0.009), "claimed gap in bps"),
        (lambda d: replace(d, gas_usd=d.gas_usd - 1), "claimed gas"),
        (lambda d: replace(d, conversion_usd=0.0), "claimed conversion fees"),
        (lambda d: replace(d, wallet=d.wallet + 1.0), "the plan's wallet"),
        (lambda d: replace(d, positions=d.positions * 1.001), "the plan's positions"),
        (lambda d: replace(d, hold_objective_usd=0.0), "objective of holding"),
        (lambda d: replace(d, transactions=d.transactions[:-1]), "the plan's"),
        (lambda d: _row(d, "WITHDRAWAL", gas_cost_usd=0.0), "the plan's wallet|gas of the WITHDRAWAL"),
        (lambda d: _row(d, "CONVERSION", conversion_cost_usd=1.0), "the plan's wallet|conversion fee"),
        (lambda d: replace(d, status="timeout"), "must hold"),
    ],
)
def test_a_decision_that_was_tampered_with_is_refused(
    solved: tuple[AllocationProblem, AllocationDecision],
    tamper: Callable[[AllocationDecision], AllocationDecision],
    message: str,
) -> None:
    given, decision = solved
    with pytest.raises(AllocationError, match=message):
        verify(given, tamper(decision))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda p: _rules(p, max_alloc_percentage=0.3), "above its cap"),
        (lambda p: _rules(p, group2_max_pct=0.1), "group 2 is"),
        (lambda p: _rules(p, min_pools=3, min_position_pct=0.25), "positions count"),
        (lambda p: _rules(p, min_transaction_value=39_995.0), "less than the minimum transaction"),
        (lambda p: replace(p, depositable=np.array([True, False, True])), "takes no deposit"),
        (lambda p: replace(p, withdrawable=np.zeros(3, dtype=bool)), "allows no withdrawal"),
        (lambda p: replace(p, convertible_into=np.array([False, True])), "takes no deposit|not be converted into"),
        (lambda p: replace(p, must_exit=np.array([False, False, True])), "must be left"),
    ],
)
def test_a_plan_that_breaks_a_rule_is_refused(
    solved: tuple[AllocationProblem, AllocationDecision],
    change: Callable[[AllocationProblem], AllocationProblem],
    message: str,
) -> None:
    given, decision = solved
    with pytest.raises(AllocationError, match=message):
        verify(change(given), decision)


def _rules(given: AllocationProblem, **rules: object) -> AllocationProblem:
    return replace(given, parameters=given.parameters.with_overrides(rules))
