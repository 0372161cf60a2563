"""Branch and bound over the binaries of a programme, with one warm linear solver.

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
BROKEN, BROKEN_WHOLE = 1e-4, 1e-9
"""By how much a lazy row must be broken to be added: it only sharpens a bound, or a whole point would be wrong."""
CUT_ROUNDS_ROOT = 30
CUT_ROUNDS = 2
WORTH_SHRINKING = 0.2
"""Share of binaries that the root must rule out before a smaller programme is worth starting afresh."""
SearchStatus = Literal["optimal", "infeasible", "timeout"]


class Concave(Protocol):
    """A concave objective that the programme overstates until cuts tell it where."""

    def excess(self, x: FloatArray) -> float:
        """By how much the programme's objective at `x` is above the true one."""
        ...

    def violated(self, x: FloatArray, tolerance: float) -> list[Cut]:
        """Rows, in the numbering of the written programme, that cut `x` off; none where its excess is tolerable."""
        ...


class Lazy(Protocol):
    """Rows of the programme that a relaxation is given only where it breaks them."""

    def violated(self, x: FloatArray, tolerance: float) -> list[Cut]:
        """The rows, in the numbering of the written programme, that `x` breaks by more than `tolerance`."""
        ...


@dataclass(frozen=True)
class Found:
    """What the search found.

    Attributes:
        x: the best point with whole binaries, in the numbering of the written programme; empty unless `optimal`.
        objective: the true one at `x`. bound: proven upper bound of it.
        cuts: rows that were added. root_prices: what the root relaxation's rows are worth.
    """

    status: SearchStatus
    x: FloatArray
    objective: float
    bound: float
    nodes: int
    cuts: tuple[Cut, ...]
    root_prices: FloatArray


@dataclass(order=True)
class _Node:
    order: tuple[float, int]
    lower: FloatArray = field(compare=False)
    upper: FloatArray = field(compare=False)
    point: Point = field(compare=False)


def search(
    programme: Programme,
    lazy: Lazy,
    concave: Concave,
    start: FloatArray,
    gap: float,
    seconds: float,
) -> Found:
    """The maximum over whole binaries, to an absolute gap.

    Args:
        lazy: rows of the programme that are added where they matter.
        start: a point to begin with (doing nothing); used where the programme allows it.
        seconds: wall time after which the search gives up.
    """
    tree = _Tree(programme, lazy, concave, gap, time.perf_counter() + seconds)
    if programme.allows(start):
        tree.offer(float(programme.cost @ start) - concave.excess(start), start)
    return tree.run()


class _Losses:
    """What it has cost so far to force a binary up or down, per unit (its pseudo-costs), and the choice they make."""

    def __init__(self, weight: FloatArray) -> None:
        self._weight = weight
        self._sum, self._times = np.zeros((2, len(weight))), np.zeros((2, len(weight)))

    def learn(self, chosen: int, value: float, was: float, loss: float) -> None:
        """Forcing the binary from `was` to `value` took `loss` off the bound."""
        side = int(value)
        self._sum[side, chosen] += loss / max(abs(value - was), INTEGRAL)
        self._times[side, chosen] += 1

    def choose(self, values: FloatArray, free: BoolArray) -> int:
        """The binary whose two sides promise to lose most; -1 where all are whole."""
        undecided = np.where(free, np.minimum(values, 1.0 - values), 0.0)
        if not (undecided > INTEGRAL).any():
            return -1
        if not self._times.all(axis=0).any():
            return int(np.argmax(undecided * self._weight))
        typical = self._sum.sum(axis=1) / self._times.sum(axis=1)
        seen = np.maximum(self._times, 1)
        per_unit = np.where(self._times > 0, self._sum / seen, typical[:, None])
        score = np.maximum(per_unit[1] * (1 - values), 1e-4) * np.maximum(per_unit[0] * values, 1e-4)
        return int(np.argmax(np.where(undecided > INTEGRAL, score, -1.0)))


class _Tree:
    """One search. Arrays over binaries are in the numbering of the current programme."""

    def __init__(self, programme: Programme, lazy: Lazy, concave: Concave, gap: float, deadline: float) -> None:
        self._size = len(programme.cost)
        self._lazy, self._concave, self._gap, self._deadline = lazy, concave, gap, deadline
        self._added: list[Cut] = []
        self._best, self._best_x = -np.inf, np.zeros(0)
        self._ceiling = -np.inf  # the highest bound of anything that was set aside
        self._nodes, self._root_prices = 0, np.zeros(0)
        self._open(programme)

    def _open(self, programme: Programme) -> None:
        self._programme = programme
        self._binary = np.flatnonzero(programme.is_binary)
        self._losses = _Losses(np.abs(programme.cost[self._binary]) + 1e-9)
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
            return self._found("infeasible", -np.inf)
        self._root_prices = self._solver.row_prices()
        bound = root.objective
        if bound > self._best + self._gap:
            self._round_up(root, lower, upper)
            point: Point | None = root
            if self._shrink(root):
                lower, upper = self._programme.lower[self._binary], self._programme.upper[self._binary]
                point = self._relaxed(lower, upper, CUT_ROUNDS_ROOT)
            if point is not None:
                bound = min(bound, point.objective)  # cuts may have brought it down to what nobody will look at
            left = self._best if point is None else self._branch(_Node((-bound, 0), lower, upper, point))
            if left is None:
                return self._found("timeout", float("nan"))
            bound = left
        if self._best == -np.inf:
            return self._found("infeasible", -np.inf)
        return self._found("optimal", max(bound, self._best, self._ceiling))

    def _found(self, status: SearchStatus, bound: float) -> Found:
        x = self._best_x if status == "optimal" else np.zeros(0)
        return Found(status, x, self._best, bound, self._nodes, tuple(self._added), self._root_prices)

    def _branch(self, first: _Node) -> float | None:
        """Work the tree off; the final bound, or None when time is up.

        The better child of a node follows it at once (the solver stands nearly there); else the best bound is next.
        """
        heap, made = [first], 1
        following: _Node | None = None
        while heap or following is not None:
            node, following = (following if following is not None else heapq.heappop(heap)), None
            bound = -node.order[0]
            if bound <= self._best + self._gap:
                self._ceiling = max(self._ceiling, bound)
                continue
            if time.perf_counter() > self._deadline:
                return None
            self._nodes += 1
            children = sorted(self._children(node, made))
            made += 2
            following = children[0] if children else None
            for child in children[1:]:
                heapq.heappush(heap, child)
        return self._best

    def _children(self, node: _Node, number: int) -> list[_Node]:
        """The node with its most costly binary up, and down, as far as either may still hold something better."""
        bound = -node.order[0]
        lower, upper = self._fixed(node)
        values = node.point.x[self._binary]
        chosen = self._losses.choose(values, lower < upper)
        if chosen < 0:
            self._ceiling = max(self._ceiling, bound)
            return []
        children = []
        for offset, value in enumerate((1.0, 0.0)):
            low, high = lower.copy(), upper.copy()
            low[chosen] = high[chosen] = value
            point = self._relaxed(low, high, CUT_ROUNDS)
            below = self._best if point is None else min(point.objective, bound)
            if np.isfinite(below):
                self._losses.learn(chosen, value, values[chosen], bound - below)
            if point is None:
                continue
            if below <= self._best + self._gap or self._is_whole(point):
                self._ceiling = max(self._ceiling, below)
            else:
                children.append(_Node((-below, number + offset), low, high, point))
        return children

    def _relaxed(self, lower: FloatArray, upper: FloatArray, rounds: int) -> Point | None:
        """The relaxation between these bounds, cut until it is exact where it is whole; whole points are offered."""
        self._solver.bound(self._binary, lower, upper)
        number = 0
        while True:
            point = self._solver.solve(worthless=self._best + self._gap)
            if point is None or point.objective <= self._best + self._gap:
                return point
            whole = self._is_whole(point)
            if number >= (CUT_ROUNDS_ROOT if whole else rounds):
                return point
            x = self._written(point.x)
            rows = self._lazy.violated(x, BROKEN_WHOLE if whole else BROKEN)
            if whole and not rows:
                self.offer(point.objective - self._concave.excess(x), x)
            rows += self._concave.violated(x, self._gap / 4)
            if not rows:
                return point
            self._added.extend(rows)
            self._solver.append(self._programme.translated(rows))
            number += 1

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

    def _shrink(self, root: Point) -> bool:
        """Drop what the root's reduced costs rule out, where that is much: the tree's programmes are then small."""
        free = self._programme.lower[self._binary] < self._programme.upper[self._binary]
        off, _ = self._decided(root, root.objective, free)
        if off.sum() < WORTH_SHRINKING * len(off):
            return False
        dropped = np.zeros(len(self._programme.cost), dtype=bool)
        dropped[self._binary[off]] = True
        self._open(self._programme.without(dropped))
        return True
