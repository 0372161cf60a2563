"""The allocation problem in cvxpy: the default engine's second opinion, and the place for constraints of your own.

Belongs here: the order of solves. Does not belong here: constraints (`cvxpy_programme`), the curves of dilution as
pieces and tangents (`cvxpy_dilution`), anything of the default engine's model.

The unit is a basis point of AUM. HiGHS solves the mixed-integer programme; then the binaries are fixed and the amounts
are solved again as a linear programme, so that they are exact. Whatever a constraint of your own says holds in both:

    def careful(q: Quantities) -> list[Any]:
        aave = [q.pool(pool) for pool, name in zip(q.problem.pool_ids, q.problem.pool_protocols) if name == "aave-v3"]
        return [
            cp.sum(q.position[aave]) <= 200_000,
            q.position[q.pool("a")] >= 2 * q.position[q.pool("b")],
        ]

    decision = solve(problem, engine=with_constraints(careful))
"""

from __future__ import annotations

import time
from dataclasses import replace

import numpy as np

from defiyield_core.allocation.engines.cvxpy_dilution import Pieces, pieces_of
from defiyield_core.allocation.engines.cvxpy_programme import DUST, Choices, Extra, Programme, Quantities
from defiyield_core.allocation.engines.port import Engine, Proposal
from defiyield_core.allocation.flows import tidied
from defiyield_core.allocation.limits import Limits
from defiyield_core.allocation.problem import AllocationProblem
from defiyield_core.units import BPS_PER_UNIT

__all__ = ["Extra", "Quantities", "propose", "with_constraints"]
ROUNDS = 40
"""Of tangents, at most, where pools are diluted."""


def with_constraints(extra: Extra) -> Engine:
    """An engine that keeps to constraints of your own besides the rules: `solve(problem, with_constraints(extra))`.

    They bind what moves and where it ends. The re-evaluation outside the solver knows the rules only.
    """

    def engine(problem: AllocationProblem, limits: Limits) -> Proposal:
        return propose(problem, limits, extra)

    return engine


def propose(problem: AllocationProblem, limits: Limits, extra: Extra | None = None) -> Proposal:
    """The best movements within the limits and the constraints of `extra`.

    Diluted pools are solved by outer approximation: solve with tangents above their curves, add tangents at the
    solution, until the bound is within half of `gap_bps` of the plan's true score.

    Raises:
        AllocationError: the solver met numerical trouble, or `extra` returned something that it cannot solve.
    """
    deadline = time.perf_counter() + problem.parameters.time_limit_seconds
    unit_usd, gap = limits.aum_usd / BPS_PER_UNIT, problem.parameters.gap_bps / 2
    pieces, bound = pieces_of(limits, unit_usd), np.inf
    best: tuple[float, Programme] | None = None
    for number in range(1, ROUNDS + 1):
        programme = Programme(problem, limits, pieces, Choices.open(problem, pieces), extra)
        status = programme.solve(deadline, gap / 2)
        if status != "optimal":
            reason = _why_infeasible(problem, limits, extra) if status == "infeasible" else _too_slow(problem)
            return Proposal(status, reason=reason)
        bound = min(bound, programme.bound)
        exact, pieces = _exact(programme, pieces, deadline, gap / 4)
        if exact is None:
            return Proposal("infeasible", reason="the choices do not stand once they are whole: raise gap_bps")
        if best is None or exact.score > best[0]:
            best = exact.score, exact
        if bound - best[0] <= gap or not len(pieces.pool):
            flows = tidied(limits, best[1].flows(), DUST * unit_usd)
            # The exact amounts may beat what the solver's tolerances left of the bound.
            bound_usd = max(bound, best[0]) * unit_usd
            return Proposal(
                "optimal", flows, bound_usd, prices=best[1].prices(), proof=f"{number} mixed-integer solves"
            )
    return Proposal("timeout", reason=f"no proof within {ROUNDS} rounds of tangents: raise gap_bps")


def _exact(programme: Programme, pieces: Pieces, deadline: float, tolerance: float) -> tuple[Programme | None, Pieces]:
    """The best amounts for the choices of a solved programme, and the tangents that made them true."""
    chosen = programme.choices.rounded()
    for number in range(ROUNDS):
        exact = Programme(programme.problem, programme.limits, pieces, chosen, programme.extra)
        status = exact.solve(deadline, 0.0)
        if status == "infeasible" and number == 0:
            # A sliver of a conversion may pass for none within the solver's tolerance.
            chosen = replace(chosen, conversion=(programme.conversion.value > 0).astype(float))
            continue
        if status != "optimal":
            return None, pieces
        pieces = pieces.with_tangents_at(exact.piece_position.value, chosen.piece)
        if exact.overstated <= tolerance:
            break
    return exact, pieces


def _too_slow(problem: AllocationProblem) -> str:
    return f"no proof within {problem.parameters.time_limit_seconds:g} s: raise time_limit_seconds or gap_bps"


def _why_infeasible(problem: AllocationProblem, limits: Limits, extra: Extra | None) -> str:
    """The rules to blame: with your own constraints left out first, then those about the number of positions."""
    if extra is not None:
        alone = propose(problem, limits)
        return alone.reason if alone.status != "optimal" else "no plan within the limits satisfies your own constraints"
    anything = replace(limits, required_pools=0, allowed_pools=len(problem.pool_ids))
    if anything.required_pools == limits.required_pools and anything.allowed_pools == limits.allowed_pools:
        return "forced exits or conversions cannot pay their own costs out of the wallet"
    if propose(problem, anything).status != "optimal":
        return "forced exits or conversions cannot pay their own costs out of the wallet"
    floor_usd = problem.parameters.min_position_usd(limits.aum_usd)
    return (
        f"{limits.required_pools} positions of at least ${floor_usd:,.2f}, and at most {limits.allowed_pools}, do not"
        f" fit the AUM of ${limits.aum_usd:,.2f}, the caps and the group caps: lower min_pools or raise max_pools"
    )
