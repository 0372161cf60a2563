"""The allocation problem written down naively, straight from its definition, to hold the engine against.

Nothing here is shared with the engine: every pool has every variable, fees and final wallet are explicit, the large
constants are crude, dollars are not scaled, and the required positions are counted as the definition counts them.
Tokens that must be converted are left out: the definition here is the one of the problem file.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import numpy as np
from scipy.optimize import Bounds, LinearConstraint, milp

from defiyield_core.allocation.problem import AllocationProblem

_Row = tuple[dict[int, float], float, float]


@dataclass(frozen=True)
class Naive:
    """Columns: d, w (n each), c (m, m), y, f (m each), then the binaries bd, bw, k (n each), q (m, m)."""

    cost: np.ndarray
    matrix: np.ndarray
    lower: np.ndarray
    upper: np.ndarray
    column_upper: np.ndarray
    integrality: np.ndarray


def naive(problem: AllocationProblem) -> Naive:
    """Minimise cost @ x subject to lower <= matrix @ x <= upper, 0 <= x <= column_upper."""
    n, m = len(problem.pool_ids), len(problem.tokens)
    at = _Columns.of(n, m)
    growth = (1 + problem.apy) ** (problem.parameters.horizon_days / 365) - 1
    legs = np.array([len(tokens) for tokens in problem.pool_tokens])
    cost, column_upper = np.zeros(at.total), np.full(at.total, np.inf)
    cost[at.d], cost[at.w] = -growth, growth
    cost[at.bd], cost[at.bw] = legs * problem.gas.deposit_usd, legs * problem.gas.withdrawal_usd
    cost[at.c], cost[at.q] = problem.parameters.conversion_rate, problem.gas.conversion_usd
    column_upper[at.binary] = 1.0
    column_upper[np.concatenate([np.diagonal(at.c), np.diagonal(at.q)])] = 0.0
    rows = [
        *_pool_rows(problem, at, column_upper),
        *_token_rows(problem, at),
        *_group_rows(problem, at),
    ]
    fees = {int(j): float(cost[j]) for j in np.concatenate([at.bd, at.bw, at.c.ravel(), at.q.ravel()])}
    rows.append((fees | {int(j): -1.0 for j in at.f}, 0, 0))
    matrix = np.zeros((len(rows), at.total))
    for number, (row, _, _) in enumerate(rows):
        matrix[number, list(row)] = list(row.values())
    integrality = np.zeros(at.total)
    integrality[at.binary] = 1
    bounds = np.array([(low, high) for _, low, high in rows])
    return Naive(cost, matrix, bounds[:, 0], bounds[:, 1], column_upper, integrality)


@dataclass(frozen=True)
class _Columns:
    d: np.ndarray
    w: np.ndarray
    c: np.ndarray
    y: np.ndarray
    f: np.ndarray
    bd: np.ndarray
    bw: np.ndarray
    k: np.ndarray
    q: np.ndarray
    total: int

    @classmethod
    def of(cls, n: int, m: int) -> _Columns:
        ends = np.cumsum([0, n, n, m * m, m, m, n, n, n, m * m])
        d, w, c, y, f, bd, bw, k, q = (np.arange(a, b) for a, b in itertools.pairwise(ends))
        return cls(d, w, c.reshape(m, m), y, f, bd, bw, k, q.reshape(m, m), int(ends[-1]))

    @property
    def binary(self) -> np.ndarray:
        return np.concatenate([self.bd, self.bw, self.k, self.q.ravel()])


def _pool_rows(problem: AllocationProblem, at: _Columns, column_upper: np.ndarray) -> list[_Row]:
    """Limits of each pool and the number of positions; closes the columns that may not be used."""
    rules, value, aum = problem.parameters, problem.position_usd, problem.aum_usd
    cap = np.maximum(np.minimum(rules.position_cap_share * aum, rules.pool_tvl_share * problem.tvl_usd), value)
    floor, least = max(rules.min_position_usd(aum), 1e-7 * aum), rules.min_transaction_value
    rows: list[_Row] = []
    for p, (d, w, bd, bw, k) in enumerate(zip(at.d, at.w, at.bd, at.bw, at.k, strict=True)):
        is_open = problem.depositable[p] and not problem.must_exit[p]
        if not is_open:
            column_upper[[d, bd]] = 0.0
        if not problem.withdrawable[p] or value[p] == 0:
            column_upper[[w, bw]] = 0.0
        rows += [
            ({d: 1, bd: -1.1 * aum}, -np.inf, 0),
            ({d: 1, bd: -least}, 0, np.inf),
            ({w: 1, bw: -value[p]}, -np.inf, 0),
            ({w: 1, bw: -min(least, value[p])}, 0, np.inf),
            ({bd: 1, bw: 1}, -np.inf, 1),
            ({d: 1, w: -1}, -np.inf, cap[p] - value[p]),
            ({d: 1, w: -1, k: -(min(floor, value[p]) if value[p] > 0 else floor)}, -value[p], np.inf),
        ]
        if problem.must_exit[p] and problem.withdrawable[p] and value[p] > 0:
            rows += [({w: 1}, value[p], np.inf), ({bw: 1}, 1, 1)]
        is_large = rules.pool_tvl_share * problem.tvl_usd[p] >= max(floor, least)
        column_upper[k] = float(is_open and (value[p] > 0 or is_large))
    needed = min(rules.required_pools, int(column_upper[at.k].sum()))
    return [*rows, ({int(k): 1.0 for k in at.k}, needed, np.inf)]


def _token_rows(problem: AllocationProblem, at: _Columns) -> list[_Row]:
    """wallet + withdrawn + converted in = final wallet + deposited + converted out + fees, for each token."""
    value, aum, m = problem.position_usd, problem.aum_usd, len(problem.tokens)
    rows: list[_Row] = [
        ({at.c[i, j]: 1, at.q[i, j]: -1.1 * aum}, -np.inf, 0) for i, j in itertools.product(range(m), range(m))
    ]
    for t in range(m):
        row = {int(at.y[t]): 1.0, int(at.f[t]): 1.0}
        for p, members in enumerate(problem.pool_tokens):
            held_usd = problem.positions[p, t] * problem.token_prices[t]
            row[int(at.w[p])] = -held_usd / value[p] if value[p] else 0.0
            if t in members:
                row[int(at.d[p])] = 1 / len(members)
        for j in range(m):
            if j != t:
                row |= {int(at.c[t, j]): 1.0, int(at.c[j, t]): -1.0}
        rows.append((row, problem.wallet_usd[t], problem.wallet_usd[t]))
    return rows


def _group_rows(problem: AllocationProblem, at: _Columns) -> list[_Row]:
    rows: list[_Row] = []
    for number, share in zip((1, 2, 3), problem.parameters.group_caps, strict=True):
        pools = np.flatnonzero(problem.group == number)
        held = float(problem.position_usd[pools].sum())
        row = {int(at.d[p]): 1.0 for p in pools} | {int(at.w[p]): -1.0 for p in pools}
        rows.append((row, -np.inf, max(share * problem.aum_usd, held) - held))
    return rows


def reference_objective(problem: AllocationProblem) -> float | None:
    """The best objective in USD by branch and bound over the naive model; None where nothing is feasible."""
    model = naive(problem)
    result = milp(
        model.cost,
        constraints=LinearConstraint(model.matrix, model.lower, model.upper),
        bounds=Bounds(np.zeros(len(model.cost)), model.column_upper),
        integrality=model.integrality,
        options={"mip_rel_gap": 0.0},
    )
    return None if result.x is None else _hold(problem) - float(result.fun)


def enumerated_objective(problem: AllocationProblem) -> float | None:
    """The same by trying every combination of the binaries, each a linear programme: for very small problems."""
    model = naive(problem)
    binary = np.flatnonzero((model.integrality == 1) & (model.column_upper > 0))
    best: float | None = None
    for values in itertools.product((0.0, 1.0), repeat=len(binary)):
        lower, upper = np.zeros(len(model.cost)), model.column_upper.copy()
        lower[binary] = upper[binary] = values
        result = milp(
            model.cost,
            constraints=LinearConstraint(model.matrix, model.lower, model.upper),
            bounds=Bounds(lower, upper),
        )
        if result.x is not None and (best is None or result.fun < best):
            best = float(result.fun)
    return None if best is None else _hold(problem) - best


def _hold(problem: AllocationProblem) -> float:
    growth = (1 + problem.apy) ** (problem.parameters.horizon_days / 365) - 1
    return float(problem.position_usd @ growth)
