"""From a problem to a proven decision.

Belongs here: the order of work: limits, engine, payers of the fees, plan, re-evaluation; and what to do when a step
says no. Does not belong here: any of those steps.
"""

from __future__ import annotations

import time
from dataclasses import replace

from defiyield_core.allocation.engines.port import Engine, Proposal
from defiyield_core.allocation.engines.registry import engine_for
from defiyield_core.allocation.execute import execute
from defiyield_core.allocation.fees import FeeBook, Payments
from defiyield_core.allocation.flows import Flows
from defiyield_core.allocation.hold import evaluate_hold, hold
from defiyield_core.allocation.limits import Limits, limits_of
from defiyield_core.allocation.plan import Movement, hold_rows, movements, write
from defiyield_core.allocation.problem import AllocationDecision, AllocationProblem, Transaction
from defiyield_core.allocation.verify import verify
from defiyield_core.units import to_bps


def solve(problem: AllocationProblem, engine: Engine | None = None) -> AllocationDecision:
    """The best allocation, proven to within `gap_bps` of AUM, with a plan that was executed and checked.

    Statuses: `optimal`; `infeasible` and `timeout` hold every position and say why. With `profit_optimization` the
    relaxed rules are adopted only where they promise `profit_optimization_min_gain_usd` more than the normal ones.

    Args:
        engine: in place of the one that the parameters name (for instance one with constraints of your own).

    Raises:
        AllocationError: the problem is malformed, or the decision failed its re-evaluation.
    """
    started = time.perf_counter()
    problem.validate()
    engine = engine or engine_for(problem.parameters.engine)
    decision = _solve_once(problem, engine)
    if problem.parameters.profit_optimization:
        decision = _adopted(problem, decision, engine)
    return replace(decision, solve_seconds=time.perf_counter() - started)


def _adopted(problem: AllocationProblem, relaxed: AllocationDecision, engine: Engine) -> AllocationDecision:
    rules = problem.parameters
    normal_rules = rules.with_overrides({"profit_optimization": False})
    normal = _solve_once(replace(problem, parameters=normal_rules), engine)
    if relaxed.status != "optimal":
        return normal
    if normal.status != "optimal":
        note = f"profit_optimization adopted: the normal rules are {normal.status}"
        return replace(relaxed, notes=(*relaxed.notes, note))
    gain_usd = relaxed.objective_usd - normal.objective_usd
    if gain_usd > rules.profit_optimization_min_gain_usd:
        return replace(relaxed, notes=(*relaxed.notes, f"profit_optimization adopted: ${gain_usd:.2f} more"))
    return replace(normal, notes=(*normal.notes, f"profit_optimization not adopted: only ${gain_usd:.2f} more"))


def _solve_once(problem: AllocationProblem, engine: Engine) -> AllocationDecision:
    if problem.aum_usd <= 0:
        return hold(problem, "optimal", notes=("nothing to allocate: AUM is zero",), bound_usd=evaluate_hold(problem))
    limits = limits_of(problem)
    proposal = engine(problem, limits)
    if proposal.status != "optimal" or proposal.flows is None:
        return hold(problem, proposal.status, proposal.reason, limits.notes)
    plan = _plan(problem, limits, proposal)
    if plan is None:
        reason = "no wallet token can pay the fees of the best plan at the moment they fall due"
        return hold(problem, "infeasible", reason, limits.notes)
    decision = _decision(problem, limits, proposal, plan)
    verify(problem, decision, limits, proposal.rounding_usd)
    return decision


def _plan(problem: AllocationProblem, limits: Limits, proposal: Proposal) -> tuple[Transaction, ...] | None:
    """The rows with a payer for every fee; None where nobody can pay.

    Usually one token can pay each fee. Where the cash left over is in fragments, the payers are chosen first and the
    amounts solved again; if that costs more than the gap allows, a row is written once for each token that pays for it.
    """
    assert proposal.flows is not None
    rows = movements(problem, limits, proposal.flows)
    if not rows:
        return hold_rows(problem, set())
    book = FeeBook(problem, limits, rows)
    payments = book.whole("largest") or book.whole("tightest")
    if payments is not None:
        return write(problem, rows, payments)
    payers = book.payers() if proposal.repaid is not None else None
    if payers is not None and proposal.repaid is not None:
        flows = proposal.repaid(rows, payers)
        if flows is not None and _within_gap(problem, limits, proposal, flows):
            repaid = _with_payers(problem, limits, flows, {_key(r): p for r, p in zip(rows, payers, strict=True)})
            if repaid is not None:
                return repaid
    payments = book.divided()
    return None if payments is None else write(problem, rows, payments)


def _with_payers(
    problem: AllocationProblem, limits: Limits, flows: Flows, chosen: dict[tuple[str, int, int, int], int]
) -> tuple[Transaction, ...] | None:
    rows = movements(problem, limits, flows)
    payments: Payments | None = None
    if all(_key(row) in chosen for row in rows):
        book = FeeBook(problem, limits, rows)
        payments = book.given([chosen[_key(row)] for row in rows]) or book.whole("largest")
    return None if payments is None else write(problem, rows, payments)


def _within_gap(problem: AllocationProblem, limits: Limits, proposal: Proposal, flows: Flows) -> bool:
    """Whether the bound still proves these flows."""
    allowed_usd = problem.parameters.gap_bps * 0.999 * limits.aum_usd / 1e4 + proposal.rounding_usd
    return proposal.bound_usd - score_usd(problem, limits, flows) <= allowed_usd


def score_usd(problem: AllocationProblem, limits: Limits, flows: Flows) -> float:
    """Growth less gas, conversion fees and the charge on idle cash, of movements in USD."""
    final_usd = limits.value_usd + flows.deposits_usd - flows.withdrawals_usd
    gas = (
        limits.deposit_gas_usd[flows.deposits_usd > 0].sum()
        + limits.withdrawal_gas_usd[flows.withdrawals_usd > 0].sum()
    )
    moved = sum(flows.conversions_usd.values())
    costs = float(gas) + len(flows.conversions_usd) * problem.gas.conversion_usd
    costs += moved * problem.parameters.conversion_rate
    idle = limits.aum_usd - costs - float(final_usd.sum())
    return float(limits.yields.usd(final_usd).sum()) - costs - limits.idle_charge * idle


def _key(row: Movement) -> tuple[str, int, int, int]:
    return row.type, row.pool, row.token, row.target


def _decision(
    problem: AllocationProblem, limits: Limits, proposal: Proposal, plan: tuple[Transaction, ...]
) -> AllocationDecision:
    wallet, positions = execute(problem, plan)
    final_usd = positions @ problem.token_prices
    gas_usd = float(sum(row.gas_cost_usd for row in plan))
    conversion_usd = float(sum(row.conversion_cost_usd for row in plan))
    idle_usd = float(wallet @ problem.token_prices)
    objective_usd = float(limits.yields.usd(final_usd).sum()) - gas_usd - conversion_usd
    bound_usd = max(proposal.bound_usd + limits.idle_charge * idle_usd, objective_usd)
    return AllocationDecision(
        status="optimal",
        wallet=wallet,
        positions=positions,
        transactions=plan,
        gas_usd=gas_usd,
        conversion_usd=conversion_usd,
        objective_usd=objective_usd,
        bound_usd=bound_usd,
        gap_bps=to_bps(bound_usd - objective_usd, limits.aum_usd),
        hold_objective_usd=evaluate_hold(problem, limits),
        notes=limits.notes,
        prices=proposal.prices,
        proof=proposal.proof,
    )
