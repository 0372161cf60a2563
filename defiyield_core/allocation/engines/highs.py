"""The default engine: the tight model, a certificate of inaction, branch and bound.

Belongs here: the order of work from limits to movements, and the dual prices. Does not belong here: columns and rows
(`milp`, `counts`, `tangents`), the search (`branch_and_bound`).

The certificate: when the relaxation at the root promises no more than `gap_bps` above doing nothing, doing nothing is
proven to be the best, by one linear programme.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from defiyield_core.allocation.engines import counts
from defiyield_core.allocation.engines.branch_and_bound import Found, search
from defiyield_core.allocation.engines.highs_solver import Cut, NumericalError, Programme, Relaxation, Terms
from defiyield_core.allocation.engines.milp import NEGLIGIBLE, Model, build, fees_pinned
from defiyield_core.allocation.engines.port import Proposal
from defiyield_core.allocation.engines.tangents import Tangents, add_growth
from defiyield_core.allocation.flows import Flows, tidied
from defiyield_core.allocation.limits import GROUPS, Limits
from defiyield_core.allocation.plan import Movement
from defiyield_core.allocation.problem import AllocationProblem, Prices
from defiyield_core.units import FloatArray

SEARCH_SHARE_OF_GAP = 0.9
"""The search stops at this share of the allowed gap; the rest is room for dilution's tangents and for paying each row's
fee in one token."""
EXACT = 1e-6
"""Basis points of AUM: how far the growth claimed for the final amounts may be above the curves."""
EXACT_ROUNDS = 60


def propose(problem: AllocationProblem, limits: Limits) -> Proposal:
    """The best movements: without rules about the number of positions first, which mostly see to themselves."""
    rules: set[str] = set()
    while True:
        try:
            proposal = _attempt(problem, limits, rules)
        except NumericalError as trouble:
            reason = f"the linear solver met numerical trouble ({trouble}): try parameters.engine cvxpy"
            return Proposal("infeasible", reason=reason)
        broken = _broken(limits, proposal) - rules
        if not broken:
            return proposal
        rules |= broken


def _broken(limits: Limits, proposal: Proposal) -> set[str]:
    if proposal.flows is None:
        return set()
    final_usd = limits.value_usd + proposal.flows.deposits_usd - proposal.flows.withdrawals_usd
    held = final_usd > 0
    counted = limits.countable & held & (final_usd >= limits.floor_usd * (1 - 1e-12))
    broken = {"at_least"} if counted.sum() < limits.required_pools else set()
    return broken | ({"at_most"} if held.sum() > limits.allowed_pools else set())


@dataclass(frozen=True)
class _Attempt:
    """A model with the growth of its diluted pools, and the cuts that the search has found."""

    model: Model
    programme: Programme
    tangents: Tangents
    cuts: tuple[Cut, ...]

    @property
    def offset(self) -> float:
        """What the score has besides the model's objective, in units: certain growth, exits' gas, idle opening cash."""
        limits, unit = self.model.limits, self.model.unit_usd
        kept_usd = np.where(limits.exits, 0.0, limits.value_usd)
        growth_usd = limits.yields.usd(kept_usd)
        growth_usd[self.tangents.pools] = 0.0
        exit_gas = float(limits.withdrawal_gas_usd[limits.exits].sum()) / unit
        idle = float(self.model.opening.sum()) - exit_gas
        return float(growth_usd.sum()) / unit - exit_gas - limits.idle_charge * idle


def _attempt(problem: AllocationProblem, limits: Limits, rules: set[str]) -> Proposal:
    parameters, model = problem.parameters, build(problem, limits, every_pool=bool(rules))
    if "at_least" in rules:
        counts.at_least(model)
    if "at_most" in rules:
        counts.at_most(model)
    tangents = add_growth(model)
    programme = model.rows.arrays()
    start = np.zeros(len(programme.cost))
    tangents.hold(start)
    gap = parameters.gap_bps * SEARCH_SHARE_OF_GAP
    found = search(programme, model.lazy, tangents, start, gap, parameters.time_limit_seconds)
    if found.status == "timeout":
        return Proposal(
            "timeout",
            reason=f"no proof within {parameters.time_limit_seconds:g} s: raise time_limit_seconds or gap_bps",
        )
    if found.status == "infeasible":
        return Proposal("infeasible", reason=_why_infeasible(problem, limits, rules))
    return _proposal(_Attempt(model, programme, tangents, found.cuts), found)


def _proposal(attempt: _Attempt, found: Found) -> Proposal:
    model = attempt.model
    bound_usd = (found.bound + attempt.offset) * model.unit_usd
    if not found.x[model.movements()].any():
        flows = _flows(model, np.zeros(len(found.x)))
        proof = "certificate" if found.nodes == 0 else f"search of {found.nodes} nodes"
        prices = _prices(model, found.root_prices)
        return Proposal("optimal", flows, bound_usd, prices=prices, proof=proof)
    exact = _exact(attempt, found.x, ())
    if exact is None:
        return Proposal("infeasible", reason="the solver's choices do not stand once they are whole numbers")
    x, row_dual = exact

    def repaid(rows: Sequence[Movement], payers: Sequence[int]) -> Flows | None:
        again = _exact(attempt, found.x, _pinned(model, rows, payers))
        return None if again is None else _flows(model, again[0])

    proof = f"search of {found.nodes} nodes"
    return Proposal("optimal", _flows(model, x), bound_usd, prices=_prices(model, row_dual), repaid=repaid, proof=proof)


def _flows(model: Model, x: FloatArray) -> Flows:
    return tidied(model.limits, model.flows(x), NEGLIGIBLE * model.unit_usd)


def _exact(attempt: _Attempt, choice: FloatArray, more: Sequence[Cut]) -> tuple[FloatArray, FloatArray] | None:
    """The best amounts for whole binaries, and the prices of the rows, both in the numbering of the model."""
    relaxed, binary = attempt.programme, attempt.programme.is_binary
    whole = np.round(choice[binary])
    lower, upper = relaxed.lower.copy(), relaxed.upper.copy()
    lower[binary], upper[binary] = whole, whole
    written = replace(relaxed, cost=attempt.model.exact_cost(relaxed.cost), lower=lower, upper=upper)
    unused = binary.copy()
    unused[binary] = whole == 0
    programme = written.without(unused)
    solver = Relaxation(programme)
    solver.append(programme.translated((*attempt.model.lazy.least_rows(), *attempt.cuts, *more)))
    point = None
    for _ in range(EXACT_ROUNDS):
        point = solver.solve()
        if point is None:
            return None
        x = np.zeros(len(written.cost))
        x[programme.columns] = point.x
        cuts = attempt.tangents.violated(x, EXACT)
        if not cuts:
            break
        solver.append(programme.translated(cuts))
    assert point is not None
    row_dual = np.zeros(len(written.row_lower))
    row_dual[programme.rows] = solver.row_prices()[: len(programme.rows)]
    return x, row_dual


def _pinned(model: Model, rows: Sequence[Movement], payers: Sequence[int]) -> list[Cut]:
    """Rows that leave every chosen payer what it has to pay (-1: nothing to pay, or paid by the row itself)."""
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
    return fees_pinned(model, fees, exits)


def _prices(model: Model, row_dual: FloatArray) -> Prices:
    """Dual prices of cash and of group caps, out of the prices of their rows."""
    budget = abs(float(row_dual[model.budget_row])) if model.budget_row >= 0 else 0.0
    cash = np.full(len(model.problem.tokens), budget)
    for token, row in model.token_row.items():
        cash[token] += abs(float(row_dual[row]))
    group = np.array([abs(float(row_dual[model.group_row[g]])) if g in model.group_row else 0.0 for g in GROUPS])
    return Prices(cash - model.limits.idle_charge, group, 1.0 - model.limits.idle_charge + budget)


def _why_infeasible(problem: AllocationProblem, limits: Limits, rules: set[str]) -> str:
    """The rule to blame: without the rules about the number of positions the model was feasible where they are set."""
    floor_usd = problem.parameters.min_position_usd(limits.aum_usd)
    needed = f"{limits.required_pools} positions of at least ${floor_usd:,.2f}"
    if not rules:
        return "forced exits or conversions cannot pay their own costs out of the wallet"
    if "at_most" in rules:
        return f"no plan keeps to at most {limits.allowed_pools} positions: raise max_pools"
    if limits.required_pools * floor_usd > limits.aum_usd:
        return f"{needed} need more than the AUM of ${limits.aum_usd:,.2f}: lower min_pools or the minimum position"
    return f"{needed} do not fit the caps, the group caps and the cash: lower min_pools or raise the caps"
