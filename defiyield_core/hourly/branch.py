"""Branching on the moves that prices do not rule out: does any plan among them gain more than the allowed gap?

Belongs here: the proof that none does. Does not belong here: finding the plan that does (the optimiser).

The linear programme takes gas in proportion to the amount, so that its bound is too high where a part of a move would
do. Here such a move is either used, and pays its gas in full, or not used at all; both cases are bounded again, until
all are within the gap. Every plan is in one of the cases, or uses a move that is ruled out and gains no more than the
gap anyway. A case's bound is that of any prices y of at least 0 (weak duality),

    sum_rows upper y + sum_columns max(0, worth - gas - (A^T y)) - gas of the moves that are used,

with a used move's own gas out of its maximum: it holds however exact the solver was. Minimum sizes and the number of
positions are left out, as in `gate`.
"""

from __future__ import annotations

import numpy as np

from defiyield_core.hourly.gate import Moves
from defiyield_core.hourly.pricing import Priced
from defiyield_core.hourly.programme import Programme, Solver, Vertex
from defiyield_core.units import FloatArray, IntArray

MOST_CASES = 12
_FREE, _UNUSED, _USED = -1, 0, 1
_NEGLIGIBLE = 1e-9


def is_proven(solver: Solver, moves: Moves, priced: Priced) -> bool:
    """Whether no plan gains more than the allowed gap at the only step of `moves`.

    False also where that is not settled in a few cases, and with dilution (growth is linear here). It is settled the
    other way where the moves of a case, with all of their gas, gain more.
    """
    if moves.tvl_usd is not None:
        return False
    programme, (opened, sold) = priced.programme, priced.left(moves)
    allowed = float(moves.allowed_usd[0]) / programme.unit_usd
    first = np.full(len(programme.worth), _FREE)
    trades = np.concatenate([opened[programme.opened], sold])
    first[: len(trades)][~trades] = _UNUSED
    waiting = [first]
    for _ in range(MOST_CASES):
        case = waiting.pop()
        cost = programme.worth - np.where(case == _USED, 0.0, programme.gas)
        vertex = solver.solve(programme, cost, np.where(case == _UNUSED, 0.0, 1.0))
        if vertex is None:
            return False
        if _bound(programme, case, cost, vertex) > allowed:
            if programme.worth @ vertex.x - programme.gas[vertex.x > _NEGLIGIBLE].sum() > allowed:
                return False
            understated = np.where((case == _FREE) & (vertex.x > _NEGLIGIBLE), programme.gas * (1.0 - vertex.x), 0.0)
            chosen = int(np.argmax(understated)) if len(understated) else -1
            if chosen < 0 or understated[chosen] <= _NEGLIGIBLE:
                return False
            waiting += [_with(case, chosen, _UNUSED), _with(case, chosen, _USED)]
        if not waiting:
            return True
    return False


def _bound(programme: Programme, case: IntArray, cost: FloatArray, vertex: Vertex) -> float:
    gains = np.maximum(cost - vertex.prices @ programme.matrix, 0.0)[case != _UNUSED]
    return float(programme.upper @ vertex.prices + gains.sum() - programme.gas[case == _USED].sum())


def _with(case: IntArray, column: int, state: int) -> IntArray:
    changed = case.copy()
    changed[column] = state
    return changed
