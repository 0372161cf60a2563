"""From a problem to a proven decision.

Belongs here: the order of work: limits, model, solver, plan, re-evaluation; and what to do when a step says no.
Does not belong here: any of those steps.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from defiyield_core.allocation.binding import binding_words
from defiyield_core.allocation.execute import execute
from defiyield_core.allocation.fees import FeeBook, Payments
from defiyield_core.allocation.flows import Flows, tidied
from defiyield_core.allocation.highs import Solution, maximise
from defiyield_core.allocation.hold import evaluate_hold, hold
from defiyield_core.allocation.limits import Limits, limits_of
from defiyield_core.allocation.model import NEGLIGIBLE, Model, Terms, build, with_fees_pinned
from defiyield_core.allocation.plan import Movement, movements, write
from defiyield_core.allocation.problem import AllocationDecision, AllocationProblem, Transaction
from defiyield_core.allocation.verify import verify
from defiyield_core.errors import AllocationError
from defiyield_core.units import FloatArray, to_bps

SOLVER_SHARE_OF_GAP = 0.5
"""The solver stops at this share of the allowed gap; the rest is room for paying each row's fee in one token."""
CLAIM_TOLERANCE_SHARE = 1e-8
"""Of AUM: how far the plan's objective may fall short of the solver's claim."""


def solve(problem: AllocationProblem) -> AllocationDecision:
    """The best allocation, proven to within `gap_bps` of AUM, with a plan that was executed and checked.

    Statuses: `optimal`; `infeasible` and `timeout` hold every position and say why. With `profit_optimization` the
    relaxed rules are adopted only where they promise `profit_optimization_min_gain_usd` more than the normal ones.

    Raises:
        AllocationError: the problem is malformed, or the decision failed its re-evaluation.
    """
    started = time.perf_counter()
    problem.validate()
    decision = _solve_once(problem)
    if problem.parameters.profit_optimization:
        decision = _adopted(problem, decision)
    return replace(decision, solve_seconds=time.perf_counter() - started)


def _adopted(problem: AllocationProblem, relaxed: AllocationDecision) -> AllocationDecision:
    rules = problem.parameters
    normal = _solve_once(replace(problem, parameters=rules.with_overrides({"profit_optimization": False})))
    if relaxed.status != "optimal":
        return normal
    if normal.status != "optimal":
        note = f"profit_optimization adopted: the normal rules are {normal.status}"
        return replace(relaxed, notes=(*relaxed.notes, note))
    gain_usd = relaxed.objective_usd - normal.objective_usd
    if gain_usd > rules.profit_optimization_min_gain_usd:
        return replace(relaxed, notes=(*relaxed.notes, f"profit_optimization adopted: ${gain_usd:.2f} more"))
    return replace(normal, notes=(*normal.notes, f"profit_optimization not adopted: only ${gain_usd:.2f} more"))


def _solve_once(problem: AllocationProblem) -> AllocationDecision:
    """Without the required number of positions first: the caps mostly see to it, and then the answer is the same."""
    if problem.aum_usd <= 0:
        return hold(problem, "optimal", notes=("nothing to allocate: AUM is zero",), bound_usd=evaluate_hold(problem))
    limits = limits_of(problem)
    decision = _attempt(problem, limits, count=False)
    if decision.status == "optimal" and _counted(problem, limits, decision) < limits.required_pools:
        decision = _attempt(problem, limits, count=True)
    verify(problem, decision)
    return decision


def _counted(problem: AllocationProblem, limits: Limits, decision: AllocationDecision) -> int:
    final_usd = decision.positions @ problem.token_prices
    return int((limits.countable & (final_usd > 0) & (final_usd >= limits.floor_usd * (1 - 1e-12))).sum())


def _attempt(problem: AllocationProblem, limits: Limits, count: bool) -> AllocationDecision:
    rules, model = problem.parameters, build(problem, limits, count)
    solution = maximise(model.rows, rules.gap_bps * SOLVER_SHARE_OF_GAP, rules.time_limit_seconds)
    if solution.status == "infeasible":
        return hold(problem, "infeasible", _why_infeasible(problem, limits, count), limits.notes)
    if solution.status == "timeout":
        reason = f"no proof within {rules.time_limit_seconds:g} s: raise time_limit_seconds or gap_bps"
        return hold(problem, "timeout", reason, limits.notes)
    settled = _settle(model, solution) if solution.status == "optimal" else "the solver met numerical trouble"
    if isinstance(settled, str):
        return hold(problem, "infeasible", settled, limits.notes)
    return _decision(model, solution, settled)


@dataclass(frozen=True)
class _Settled:
    """A plan whose every fee has a payer, and what the solver claimed of it (in model units)."""

    plan: tuple[Transaction, ...]
    claim: float


def _settle(model: Model, solution: Solution) -> _Settled | str:
    """Make the solution exact (binaries fixed), then find a payer for each fee.

    Usually one token can pay each fee. Where the cash left over is in fragments, the payers are chosen first and the
    amounts solved again; if that costs more than the gap allows, a row is written once for each token that pays for it.

    Returns:
        The plan, or the reason why there is none.
    """
    exact = maximise(model.rows, fixed=solution.x, cost=model.exact_cost())
    if exact.status != "optimal":
        return "the solver's choices do not stand once they are whole numbers"
    rows, book = _rows(model, _tidied(model, exact))
    payments = book.whole("largest") or book.whole("tightest")
    if payments is not None:
        return _Settled(write(model.problem, rows, payments), exact.objective)
    pinned = _with_payers(model, exact, rows, book.payers())
    if pinned is not None and solution.bound - pinned.claim <= model.problem.parameters.gap_bps * 0.999:
        return pinned
    payments = book.divided()
    if payments is not None:
        return _Settled(write(model.problem, rows, payments), exact.objective)
    return "no wallet token can pay the fees of the best plan at the moment they fall due"


def _tidied(model: Model, solution: Solution) -> Flows:
    return tidied(model.limits, model.flows(solution.x), NEGLIGIBLE * model.unit_usd)


def _rows(model: Model, flows: Flows) -> tuple[list[Movement], FeeBook]:
    rows = movements(model.problem, model.limits, flows)
    return rows, FeeBook(model.problem, model.limits, rows)


def _with_payers(
    model: Model, exact: Solution, rows: Sequence[Movement], payers: Sequence[int] | None
) -> _Settled | None:
    """The amounts solved again such that every chosen payer can pay."""
    if payers is None:
        return None
    fees: dict[int, Terms] = {}
    exits: dict[int, float] = {}
    for row, payer in zip(rows, payers, strict=True):
        if payer < 0:
            continue
        gas = row.gas_usd / model.unit_usd
        if row.type == "CONVERSION":
            pair = row.token, row.target
            terms = [(model.conversion_used[pair], gas)]
            terms.append((model.conversion[pair], model.problem.parameters.conversion_rate))
        elif row.type == "ALLOCATION":
            terms = [(model.deposit_used[row.pool], gas)]
        elif row.pool in model.withdrawal_used:
            terms = [(model.withdrawal_used[row.pool], gas)]
        else:
            exits[payer] = exits.get(payer, 0.0) + gas
            continue
        fees.setdefault(payer, []).extend(terms)
    again = maximise(with_fees_pinned(model, fees, exits), fixed=exact.x, cost=model.exact_cost())
    if again.status != "optimal":
        return None
    chosen = {_key(row): payer for row, payer in zip(rows, payers, strict=True)}
    new_rows, book = _rows(model, _tidied(model, again))
    payments: Payments | None = None
    if all(_key(row) in chosen for row in new_rows):
        payments = book.given([chosen[_key(row)] for row in new_rows]) or book.whole("largest")
    return _Settled(write(model.problem, new_rows, payments), again.objective) if payments is not None else None


def _key(row: Movement) -> tuple[str, int, int, int]:
    return row.type, row.pool, row.token, row.target


def _decision(model: Model, solution: Solution, settled: _Settled) -> AllocationDecision:
    problem, limits = model.problem, model.limits
    wallet, positions = execute(problem, settled.plan)
    final_usd: FloatArray = positions @ problem.token_prices
    gas_usd = float(sum(row.gas_cost_usd for row in settled.plan))
    conversion_usd = float(sum(row.conversion_cost_usd for row in settled.plan))
    idle_usd = float(wallet @ problem.token_prices)
    objective_usd = float(final_usd @ limits.growth) - gas_usd - conversion_usd
    # The model's objective leaves out what is certain, and charges idle cash under full allocation.
    exit_gas_usd = float(limits.withdrawal_gas_usd[limits.exits].sum())
    kept_usd = np.where(limits.exits, 0.0, limits.value_usd)
    cash_usd = float(model.opening.sum()) * model.unit_usd
    offset_usd = float(kept_usd @ limits.growth) - exit_gas_usd
    offset_usd -= model.idle_charge * (cash_usd - exit_gas_usd - idle_usd)
    claim_usd = settled.claim * model.unit_usd + offset_usd
    if objective_usd < claim_usd - CLAIM_TOLERANCE_SHARE * limits.aum_usd:
        raise AllocationError(
            f"re-evaluation failed: the plan is worth ${objective_usd:.8g}, the solver claimed ${claim_usd:.8g}"
        )
    bound_usd = max(solution.bound * model.unit_usd + offset_usd, objective_usd)
    return AllocationDecision(
        status="optimal",
        wallet=wallet,
        positions=positions,
        transactions=settled.plan,
        gas_usd=gas_usd,
        conversion_usd=conversion_usd,
        objective_usd=objective_usd,
        bound_usd=bound_usd,
        gap_bps=to_bps(bound_usd - objective_usd, limits.aum_usd),
        hold_objective_usd=evaluate_hold(problem),
        binding=binding_words(problem, limits, final_usd, idle_usd),
        notes=limits.notes,
    )


def _why_infeasible(problem: AllocationProblem, limits: Limits, count: bool) -> str:
    """The rule to blame: without the count of positions the model was feasible when `count` is set."""
    floor_usd = problem.parameters.min_position_usd(limits.aum_usd)
    needed = f"{limits.required_pools} positions of at least ${floor_usd:,.2f}"
    if not count:
        return "forced exits or conversions cannot pay their own costs out of the wallet"
    if limits.required_pools * floor_usd > limits.aum_usd:
        return f"{needed} need more than the AUM of ${limits.aum_usd:,.2f}: lower min_pools or the minimum position"
    return f"{needed} do not fit the caps, the group caps and the cash: lower min_pools or raise the caps"
