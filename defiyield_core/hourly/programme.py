"""The relaxation of one step as a small linear programme: a column for each move, a row for each token and group.

Belongs here: its arrays, and the solver that holds it. Does not belong here: what its prices prove (`pricing`), fixing
moves (`branch`).

A move x is a share of the largest amount, 0 to 1; without dilution, the programme of all moves is

    max  sum_p [(growth_p + k) D_p - (1 - k) gas_p] x_p - sum_h [(growth_h + k) v_h + (1 - k) gas_h] x_h
         - (1 - k) sum_ij [rate C_ij + gas] x_ij
    per token: deposited + converted out - withdrawn - converted in <= W_t
    per group: deposited - withdrawn <= cap_G - held_G

in the notation of `gate`. It leaves out the budget's price (`b` is 0), a pool that is deposited to and withdrawn from,
and gas that is paid in full for a part of a move: each only raises the optimum. In basis points of AUM.
"""

from __future__ import annotations

from dataclasses import dataclass

import highspy
import numpy as np

from defiyield_core.hourly.gate import Moves
from defiyield_core.units import BPS_PER_UNIT, FloatArray, IntArray


@dataclass(frozen=True)
class Programme:
    """Columns: deposits into `opened`, withdrawals from the held pools, conversions. Rows: `tokens`, three groups.

    Attributes:
        unit_usd: a basis point of AUM. opened: pools that take a deposit. tokens: those of the first rows.
        worth: what a whole move adds before gas. drift: what its rate's last change would add once more. gas: of it.
        matrix: (rows, columns). upper: (rows,).
    """

    unit_usd: float
    opened: IntArray
    tokens: IntArray
    worth: FloatArray
    drift: FloatArray
    gas: FloatArray
    matrix: FloatArray
    upper: FloatArray


def programme_of(moves: Moves) -> Programme:
    """The programme of the only step of `moves`."""
    holding, prepared, charge = moves.holding, moves.prepared, moves.idle_charge
    unit = float(holding.aum_usd[0]) / BPS_PER_UNIT
    room, value, held = moves.room_usd[0] / unit, holding.value_usd[0] / unit, holding.held
    opened = np.flatnonzero(room > 0)
    pairs, most = moves.conversions
    most = most[0] / unit
    tokens, sales = len(moves.price_usd[0]), len(opened) + np.arange(len(held))
    swaps = len(opened) + len(held) + np.arange(len(pairs))
    matrix = np.zeros((tokens + 3, len(opened) + len(held) + len(pairs)))
    matrix[:tokens, : len(opened)] = (prepared.token_weight[opened] * room[opened, None]).T
    matrix[tokens + moves.group[0, opened], np.arange(len(opened))] = room[opened]
    matrix[:tokens, sales] = -(holding.factor[0][:, None] * holding.book.positions[held] * moves.price_usd[0]).T / unit
    matrix[tokens + moves.group[0, held], sales] = -value
    matrix[pairs[:, 0], swaps], matrix[pairs[:, 1], swaps] = most, -most
    growth = moves.growth[0] + charge
    change = moves.growth[0] - prepared.horizon_growth[max(holding.first - 1, 0)]
    fees = -(1.0 - charge) * prepared.parameters.conversion_rate * most
    swap_gas = np.full(len(pairs), moves.conversion_gas_usd[0])
    gas = np.concatenate([moves.deposit_gas_usd[0, opened], moves.withdrawal_gas_usd[0], swap_gas])
    up, down = np.maximum(change[opened], 0.0) * room[opened], np.maximum(-change[held], 0.0) * value
    used = np.flatnonzero((matrix[:tokens] != 0).any(axis=1))
    return Programme(
        unit_usd=unit,
        opened=opened,
        tokens=used,
        worth=np.concatenate([growth[opened] * room[opened], -growth[held] * value, fees]),
        drift=np.concatenate([up, down, np.zeros(len(pairs))]),
        gas=(1.0 - charge) * gas / unit,
        matrix=matrix[np.concatenate([used, tokens + np.arange(3)])],
        upper=np.concatenate([holding.token_usd[0, used], moves.group_slack_usd[0]]) / unit,
    )


@dataclass(frozen=True)
class Vertex:
    """An optimum: (columns,) shares of the moves and (rows,) prices, at least 0."""

    x: FloatArray
    prices: FloatArray


class Solver:
    """HiGHS with one programme in it: a solve starts from where the last one stood."""

    def __init__(self) -> None:
        self._highs = highspy.Highs()
        for name, value in (("output_flag", False), ("threads", 1), ("presolve", "off"), ("simplex_scale_strategy", 0)):
            self._highs.setOptionValue(name, value)
        self._loaded: Programme | None = None

    def _load(self, programme: Programme) -> None:
        rows, columns = programme.matrix.shape
        row, column = np.nonzero(programme.matrix)
        self._columns, self._zeros = np.arange(columns, dtype=np.int32), np.zeros(columns)
        self._highs.passModel(
            columns,
            rows,
            len(row),
            int(highspy.MatrixFormat.kRowwise),
            int(highspy.ObjSense.kMaximize),
            0.0,
            self._zeros,
            self._zeros,
            np.ones(columns),
            np.full(rows, -highspy.kHighsInf),
            programme.upper,
            np.searchsorted(row, np.arange(rows)).astype(np.int32),
            column.astype(np.int32),
            programme.matrix[row, column],
            np.zeros(columns, dtype=np.int32),
        )
        self._loaded = programme

    def solve(self, programme: Programme, cost: FloatArray, most: FloatArray | None = None) -> Vertex | None:
        """The optimum at these costs, with these largest shares where they are given (else as they were, 1 at first);
        None where the solver fails."""
        if programme is not self._loaded:
            self._load(programme)
        self._highs.changeColsCost(len(cost), self._columns, cost)
        if most is not None:
            self._highs.changeColsBounds(len(cost), self._columns, self._zeros, most)
        self._highs.run()
        if self._highs.getModelStatus() != highspy.HighsModelStatus.kOptimal:
            return None
        solution = self._highs.getSolution()
        return Vertex(np.array(solution.col_value), np.abs(np.array(solution.row_dual)))
