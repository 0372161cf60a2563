"""Fresh prices for the certificate, and the moves that even they do not rule out.

Belongs here: dual prices that make the bound of `gate` tight at one step. Does not belong here: the bound and its proof
(`gate`), the programme (`programme`). Whatever the solver answers, the bound is computed anew from its prices: an
inexact answer makes it loose, not wrong.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from defiyield_core.hourly.gate import Gains, GatePrices, Moves, completed, gains_usd
from defiyield_core.hourly.programme import Programme, Solver, programme_of
from defiyield_core.units import BoolArray

Outlook = tuple[float, float]
OUTLOOKS: tuple[Outlook, ...] = ((6.0, 0.5), (0.0, 1.0))
"""Steps and share of gas. Rates are taken that many steps on, as if they went on drifting as they did in the last one
(up for deposits, down for what is held), and gas lower than it is: such prices go on proving for a while."""


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


def price(solver: Solver, moves: Moves, outlooks: Sequence[Outlook] = OUTLOOKS) -> Priced | None:
    """The best prices at the only step of `moves`; None where holding is no plan, nothing is held at all, or
    the solver fails.

    With dilution, growth is taken as if there were none: the prices are then good ones, not the best.

    Args:
        outlooks: tried in turn until one proves that holding is best.
    """
    if len(moves.holding) != 1 or not moves.is_plan[0] or moves.holding.aum_usd[0] <= 0:
        return None
    programme = programme_of(moves)
    tried: list[tuple[GatePrices, Gains]] = []
    for steps, share in outlooks:
        vertex = solver.solve(programme, programme.worth + steps * programme.drift - share * programme.gas)
        if vertex is None:
            break
        cash = np.full(len(moves.price_usd[0]), np.nan)
        cash[programme.tokens] = vertex.prices[:-3]
        prices = completed(GatePrices(cash, vertex.prices[-3:]), moves.prepared)
        tried.append((prices, gains_usd(moves, prices)))
        if tried[-1][1].excess_usd[0] <= moves.allowed_usd[0]:
            break
    if not tried:
        return None
    prices, best = min(tried, key=lambda pair: pair[1].excess_usd[0])
    return Priced(programme, prices, float(best.excess_usd[0]), tuple(gains for _, gains in tried))
