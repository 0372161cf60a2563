"""Fresh prices for the certificate, and the moves that even they do not rule out.

Belongs here: dual prices that make the bound of `gate` tight at one step. Does not belong here: the bound and its proof
(`gate`), the programme (`programme`). Whatever the solver answers, the bound is computed anew from its prices: an
inexact answer makes it loose, not wrong.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from defiyield_core.hourly.gate import Gains, GatePrices, Moves, completed, gains_usd
from defiyield_core.hourly.programme import Programme, Solver, programme_of
from defiyield_core.units import BoolArray

OUTLOOKS = ((0.0, 1.0), (2.0, 0.8), (6.0, 0.5), (24.0, 0.3))
"""Steps and share of gas, the boldest last. Rates are taken that many steps on, as if they went on drifting as they did
in the last one (up for deposits, down for what is held), and gas lower than it is: such prices go on proving for a
while."""


@dataclass(frozen=True)
class Priced:
    """Prices of one step and the bound they give there.

    Attributes:
        gains: of the moves, at these prices and at others that were tried.
    """

    programme: Programme
    prices: GatePrices
    excess_usd: float
    gains: tuple[Gains, ...]

    def left(self, moves: Moves) -> tuple[BoolArray, BoolArray]:
        """(P,) pools into which, and (H,) held pools out of which, a plan that gains more than the gap may move money.

        A plan that uses a move of negative gain gains at most the excess less that: where this is within the gap, the
        move is ruled out. That is so at any prices: what some of them rule out is out.
        """
        opened, sold = moves.room_usd[0] > 0, np.ones(len(moves.holding.held), dtype=bool)
        for gains in self.gains:
            beyond = float(gains.excess_usd[0] - moves.allowed_usd[0])
            opened = opened & (gains.deposit_usd[0] > -beyond)
            sold = sold & (gains.withdrawal_usd[0] > -beyond)
        return opened, sold


class Pricer:
    """Finds prices step by step; begins with the boldest outlook that promises to prove."""

    def __init__(self, solver: Solver) -> None:
        self._solver = solver
        self._boldest = len(OUTLOOKS) - 1

    def price(self, moves: Moves) -> Priced | None:
        """The best prices at the only step of `moves`; None where holding is no plan, nothing is held at all, or the
        solver fails.

        With dilution, growth is taken as if there were none: the prices are then good ones, not the best.
        """
        if len(moves.holding) != 1 or not moves.is_plan[0] or moves.holding.aum_usd[0] <= 0:
            return None
        programme = programme_of(moves)
        tried: list[tuple[GatePrices, Gains]] = []
        for outlook in range(self._boldest, -1, -1):
            found = self._at(moves, programme, OUTLOOKS[outlook])
            if found is None:
                break
            tried.append(found)
            if found[1].excess_usd[0] <= moves.allowed_usd[0]:
                is_first = outlook == self._boldest
                self._boldest = min(outlook + 1, len(OUTLOOKS) - 1) if is_first else outlook
                break
        else:
            self._boldest = 0
        if not tried:
            return None
        prices, best = min(tried, key=lambda pair: pair[1].excess_usd[0])
        return Priced(programme, prices, float(best.excess_usd[0]), tuple(gains for _, gains in tried))

    def _at(self, moves: Moves, programme: Programme, outlook: tuple[float, float]) -> tuple[GatePrices, Gains] | None:
        steps, share = outlook
        cost = programme.worth + steps * programme.drift - share * programme.gas
        vertex = self._solver.solve(programme, cost)
        if vertex is None:
            return None
        cash = np.full(len(moves.price_usd[0]), np.nan)
        cash[programme.tokens] = vertex.prices[:-3]
        prices = completed(GatePrices(cash, vertex.prices[-3:]), moves.prepared)
        return prices, gains_usd(moves, prices)
