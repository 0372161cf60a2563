"""Branch and bound over the binaries of a programme, best bound first, with one warm linear solver.

Belongs here: the search, its incumbents, reduced cost fixing and lazily added cuts. Does not belong here: what the
columns mean (`milp`), which cuts there are (`tangents`).

Allocation problems have a root bound within tenths of a basis point of the optimum and trees of a few dozen nodes; a
general MIP solver spends most of its time on cuts, heuristics and restarts that these do not need. Every bound is a
linear programme's, so the proof is the same.
"""

from __future__ import annotations

import heapq
import time
from dataclasses import dataclass, field
from typing import Literal, Protocol

import numpy as np

from defiyield_core.allocation.engines.highs_solver import Cut, Point, Programme, Relaxation
from defiyield_core.units import BoolArray, FloatArray

INTEGRAL = 1e-7
"""A binary closer than this to 0 or 1 counts as whole; the amounts are solved again with it exactly there."""
ROUNDED_UP = 1e-6
CUT_ROUNDS_ROOT = 30
CUT_ROUNDS = 4
HEURISTIC_EVERY = 4
"""Nodes between two attempts at rounding a relaxation up."""
SearchStatus = Literal["optimal", "infeasible", "timeout"]


class Cuts(Protocol):
    """A concave objective that the programme overstates until cuts tell it where."""

    def excess(self, x: FloatArray) -> float:
        """By how much the programme's objective at `x` is above the true one."""
        ...

    def violated(self, x: FloatArray, tolerance: float) -> list[Cut]:
        """Rows, in the numbering of the written programme, that cut `x` off; none where its excess is tolerable."""
        ...


class NoCuts:
    """The objective is linear."""

    def excess(self, x: FloatArray) -> float:
        """Nothing."""
        return 0.0

    def violated(self, x: FloatArray, tolerance: float) -> list[Cut]:
        """None."""
        return []


@dataclass(frozen=True)
class Found:
    """What the search found.

    Attributes:
        x: the best point with whole binaries, in the numbering of the written programme; empty unless `optimal`.
        objective: the true one at `x`. bound: proven upper bound of it.
        cuts: rows that were added. root: the root relaxation; its duals price columns and rows of the programme.
    """

    status: SearchStatus
    x: FloatArray
    objective: float
    bound: float
    nodes: int
    cuts: tuple[Cut, ...]
    root: Point | None


@dataclass(order=True)
class _Node:
    order: tuple[float, int]
    lower: FloatArray = field(compare=False)
    upper: FloatArray = field(compare=False)
    point: Point = field(compare=False)


def search(programme: Programme, cuts: Cuts, start: FloatArray | None, gap: float, seconds: float) -> Found:
    """The maximum over whole binaries, to an absolute gap.

    Args:
        start: a point to begin with (doing nothing); used where the programme allows it.
        seconds: wall time after which the search gives up.
    """
    tree = _Tree(programme, cuts, gap, time.perf_counter() + seconds)
    if start is not None and programme.allows(start):
        tree.offer(float(programme.cost @ start) - cuts.excess(start), start)
    return tree.run()


class _Tree:
    """One search. Arrays over binaries are in the numbering of the current programme."""

    def __init__(self, programme: Programme, cuts: Cuts, gap: float, deadline: float) -> None:
        self._size = len(programme.cost)
        self._cuts, self._gap, self._deadline = cuts, gap, deadline
        self._added: list[Cut] = []
        self._best, self._best_x = -np.inf, np.zeros(0)
        self._ceiling = -np.inf  # the highest bound of anything that was set aside
        self._nodes = 0
        self._open(programme)

    def _open(self, programme: Programme) -> None:
        self._programme = programme
        self._binary = np.flatnonzero(programme.is_binary)
        self._weight = np.abs(programme.cost[self._binary]) + 1e-9
        self._solver = Relaxation(programme)
        self._solver.append(programme.translated(self._added))

    def offer(self, objective: float, x: FloatArray) -> None:
        """A feasible point, in the numbering of the written programme."""
        if objective > self._best:
            self._best, self._best_x = objective, x

    def run(self) -> Found:
        lower, upper = self._programme.lower[self._binary], self._programme.upper[self._binary]
        root = self._relaxed(lower, upper, CUT_ROUNDS_ROOT)
        if root is None:
            return self._found("infeasible", -np.inf, None)
        bound = root.objective
        if bound > self._best + self._gap:
            self._round_up(root, lower, upper)
            self._shrink(root)
            lower, upper = self._programme.lower[self._binary], self._programme.upper[self._binary]
            point = self._relaxed(lower, upper, CUT_ROUNDS_ROOT)
            left = self._best if point is None else self._branch(_Node((-bound, 0), lower, upper, point))
            if left is None:
                return self._found("timeout", float("nan"), root)
            bound = left
        if self._best == -np.inf:
            return self._found("infeasible", -np.inf, root)
        return self._found("optimal", max(bound, self._best, self._ceiling), root)

    def _found(self, status: SearchStatus, bound: float, root: Point | None) -> Found:
        x = self._best_x if status == "optimal" else np.zeros(0)
        return Found(status, x, self._best, bound, self._nodes, tuple(self._added), root)

    def _branch(self, first: _Node) -> float | None:
        """Work the tree off; the final bound, or None when time is up."""
        heap, made = [first], 1
        while heap:
            node = heapq.heappop(heap)
            bound = -node.order[0]
            if bound <= self._best + self._gap:
                return bound
            if time.perf_counter() > self._deadline:
                return None
            self._nodes += 1
            lower, upper = self._fixed(node)
            if self._nodes % HEURISTIC_EVERY == 0:
                self._round_up(node.point, lower, upper)
            values = node.point.x[self._binary]
            undecided = np.where(lower < upper, np.minimum(values, 1.0 - values), 0.0)
            chosen = int(np.argmax(undecided * self._weight))
            if undecided[chosen] <= INTEGRAL:
                self._ceiling = max(self._ceiling, bound)
                continue
            for value in (1.0, 0.0):
                low, high = lower.copy(), upper.copy()
                low[chosen] = high[chosen] = value
                point = self._relaxed(low, high, CUT_ROUNDS)
                if point is None:
                    continue
                below = min(point.objective, bound)
                if below <= self._best + self._gap or self._is_whole(point):
                    self._ceiling = max(self._ceiling, below)
                else:
                    heapq.heappush(heap, _Node((-below, made), low, high, point))
                    made += 1
        return self._best

    def _relaxed(self, lower: FloatArray, upper: FloatArray, rounds: int) -> Point | None:
        """The relaxation between these bounds, cut until it is exact where it is whole; whole points are offered."""
        self._solver.bound(self._binary, lower, upper)
        for number in range(CUT_ROUNDS_ROOT):
            point = self._solver.solve()
            if point is None or point.objective <= self._best + self._gap:
                return point
            whole = self._is_whole(point)
            if whole or number < rounds:
                x = self._written(point.x)
                if whole:
                    self.offer(point.objective - self._cuts.excess(x), x)
                rows = self._cuts.violated(x, self._gap / 4)
                if rows:
                    self._added.extend(rows)
                    self._solver.append(self._programme.translated(rows))
                    continue
            return point
        return point

    def _is_whole(self, point: Point) -> bool:
        values = point.x[self._binary]
        return bool((np.minimum(values, 1.0 - values) <= INTEGRAL).all())

    def _written(self, x: FloatArray) -> FloatArray:
        full = np.zeros(self._size)
        full[self._programme.columns] = x
        return full

    def _round_up(self, point: Point, lower: FloatArray, upper: FloatArray) -> None:
        """Every binary that is used a little is used; the amounts are solved again."""
        whole = np.clip((point.x[self._binary] > ROUNDED_UP).astype(float), lower, upper)
        self._relaxed(whole, whole, CUT_ROUNDS_ROOT)

    def _fixed(self, node: _Node) -> tuple[FloatArray, FloatArray]:
        """Bounds of the node's binaries, less those that cannot pay any more: their reduced cost closes the gap."""
        off, on = self._decided(node.point, -node.order[0], node.lower < node.upper)
        return np.where(on, 1.0, node.lower), np.where(off, 0.0, node.upper)

    def _decided(self, point: Point, bound: float, free: BoolArray) -> tuple[BoolArray, BoolArray]:
        values, dual = point.x[self._binary], point.dual[self._binary]
        least = self._best + self._gap
        off = free & (values < INTEGRAL) & (bound + dual <= least)
        on = free & (values > 1 - INTEGRAL) & (bound - dual <= least)
        if off.any() or on.any():
            self._ceiling = max(self._ceiling, bound + float(np.where(off, dual, np.where(on, -dual, -np.inf)).max()))
        return off, on

    def _shrink(self, root: Point) -> None:
        """Drop what the root's reduced costs rule out: the trees' programmes are then small."""
        free = self._programme.lower[self._binary] < self._programme.upper[self._binary]
        off, _ = self._decided(root, root.objective, free)
        dropped = np.zeros(len(self._programme.cost), dtype=bool)
        dropped[self._binary[off]] = True
        self._open(self._programme.without(dropped))
