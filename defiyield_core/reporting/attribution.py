"""Where the money of a run came from: profit and loss by pool, protocol, chain, token and cause. Pure functions.

Belongs here: taking the books of a portfolio apart, day by day, and proving that the parts add up to them. Does not
belong here: showing it, or changing the books (see `portfolio.books`).

Per day, pool and token, with a0 the amount at yesterday's close, a1 the amount before today's trades (today's close
less deposits plus withdrawals), p0 and p1 the prices of the two days, and h the amount lost as the haircut of a pool
that is gone (0 otherwise):

    accrual     = (a1 - a0 + h) * p0
    revaluation = a1 * (p1 - p0) - h * p0
    gas         = - gas of the trades that enter or leave the pool
    conversion  = - conversion fees

The wallet is a place of its own, named `wallet`: its tokens are revalued (a0 * (p1 - p0)), and what conversions cost,
fees and their gas, is its loss, for a conversion serves no single pool. Costs belong to the token that paid them.
External flows are no profit: they change amounts only. Summed over pools and tokens, each cause is the column of
`portfolio_daily`, and all of them are `aum_close - flows - aum_open`.
Shapes: T days, C cells (a pool and one of its tokens), K tokens.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import pandas as pd

from defiyield_core.errors import DataError, LedgerError
from defiyield_core.portfolio.state import WALLET
from defiyield_core.reporting.daily import by_day, gains_usd, values
from defiyield_core.units import FloatArray, IntArray

CAUSES = ("accrual", "revaluation", "gas", "conversion")
DIMENSIONS = ("date", "pool_id", "protocol", "chain", "token", "cause")
UNKNOWN = "unknown"
HALF_CENT = 0.005
_HAIRCUT_USD = 1e-4
"""Where the ledger's accrual is above the growth of the positions by less, it is rounding and no haircut."""
_DUST_USD = 1e-9
"""A line of less is the rounding of a position that earned nothing."""


@dataclass(frozen=True)
class Attribution:
    """The parts of a run's profit.

    Attributes:
        lines: date, pool_id, protocol, chain, token, cause and usd (a cost is negative), only where there is any.
        total_usd: gain of the books, `sum of aum_close - flows - aum_open`.
        remainder_usd: total less the lines: below half a cent, on every day and in all, or there is no `Attribution`.
    """

    lines: pd.DataFrame
    total_usd: float
    remainder_usd: float

    def by(self, *names: str) -> pd.DataFrame:
        """Sums by one or more of `DIMENSIONS`: those columns and usd, in their order.

        Raises:
            DataError: a name that is no dimension, none, or one twice.
        """
        wrong = [name for name in names if name not in DIMENSIONS]
        if wrong or not names or len(set(names)) < len(names):
            raise DataError(f"attribution by {list(names)}: choose among {', '.join(DIMENSIONS)}, each once")
        return self.lines.groupby(list(names), as_index=False, sort=True)["usd"].sum()

    def in_cents(self, *names: str) -> pd.DataFrame:
        """The same in whole cents (column `cents`) that add up to the total in cents (see `to_cents`)."""
        sums = self.by(*names)
        cents = to_cents(values(sums, "usd"), self.total_usd)
        return sums.drop(columns="usd").assign(cents=cents)


def attribute(
    daily: pd.DataFrame,
    positions: pd.DataFrame,
    transactions: pd.DataFrame,
    ledger: pd.DataFrame,
    pools: pd.DataFrame,
) -> Attribution:
    """Take one portfolio's books apart.

    Args:
        daily, positions, transactions, ledger: rows of `portfolio_daily`, `asset_allocations`,
            `allocation_transactions` and `daily_ledger` of the same portfolio. Positions and ledger of the day before
            the first row of `daily` are needed unless the portfolio begins there; other days are left aside.
        pools: pool_id, protocol and chain of the pools (rows of `pools` or of `asset_allocation_details`; the last
            row of a pool counts). A pool that is not in it has the protocol and chain `unknown`.

    Raises:
        DataError: days are missing between the first and the last, rows of another portfolio, or a missing column.
        LedgerError: the parts do not add up to the books to half a cent, on a day and in a cause.
    """
    rows = by_day(daily)
    _check_scope(rows, {"asset_allocations": positions, "allocation_transactions": transactions, "ledger": ledger})
    days = pd.date_range(rows["date"].iloc[0], rows["date"].iloc[-1])
    if len(days) != len(rows):
        missing = days.difference(pd.DatetimeIndex(rows["date"]))[0].date()
        raise DataError(f"portfolio_daily: {missing} is missing: positions cannot be followed across it")
    grid = pd.DatetimeIndex([days[0] - pd.Timedelta(days=1), *days])
    moves = transactions[transactions["date"].isin(days)]
    parts = pd.concat([*_growth(grid, positions, moves, ledger), *_costs(moves)], ignore_index=True)
    parts = parts[parts["usd"].abs() > _DUST_USD]
    remainder = _proved(rows, parts)
    return Attribution(_labelled(parts, pools), float(gains_usd(rows).sum()), remainder)


def to_cents(amounts_usd: FloatArray, total_usd: float) -> IntArray:
    """(n,) whole cents that add up to the total rounded to a cent.

    Every amount is rounded down, then the cents that are left go to those that lost most by it (the first of equal
    ones), so that no amount is a cent or more off.

    Raises:
        DataError: the amounts do not add up to the total by more than half a cent.
    """
    apart = total_usd - math.fsum(amounts_usd.tolist())
    if not abs(apart) <= HALF_CENT:
        raise DataError(f"the amounts are {apart:,.4f} USD off the total of {total_usd:,.2f} USD")
    exact = np.asarray(amounts_usd, dtype=float) * 100.0
    cents = np.floor(exact).astype(np.int64)
    left = round(total_usd * 100.0) - int(cents.sum())
    order = np.argsort(cents - exact, kind="stable")
    # The total is rounded too: one cent more, or one fewer, than there are amounts to take it.
    for place in range(abs(left)):
        cents[order[place % len(order)] if left > 0 else order[-1 - place % len(order)]] += 1 if left > 0 else -1
    return cents


def _check_scope(rows: pd.DataFrame, frames: dict[str, pd.DataFrame]) -> None:
    name = rows["portfolio"].iloc[0]
    for table, frame in frames.items():
        others = sorted(set(frame["portfolio"]) - {name}) if "portfolio" in frame.columns else []
        if others:
            raise DataError(f"{table}: rows of {others} among those of '{name}'")


def _growth(
    grid: pd.DatetimeIndex, positions: pd.DataFrame, moves: pd.DataFrame, ledger: pd.DataFrame
) -> Iterable[pd.DataFrame]:
    """Lines of accrual and revaluation, of pools and of the wallet."""
    tokens = pd.Index(sorted({*ledger["token"], *positions["token"]}))
    price = _grid_of(grid, ledger, "token", tokens, "price_usd", np.nan)
    # A token without a row on a day was neither held nor touched, or sold at an unchanged price: the last one stands.
    price = pd.DataFrame(price).ffill().bfill().fillna(0.0).to_numpy()
    cells, amounts, moved = _amounts(grid, positions, moves)
    of_token = tokens.get_indexer(cells.get_level_values("token"))
    before, after = price[:-1][:, of_token], price[1:][:, of_token]
    untraded = amounts[1:] - moved
    grown_usd = (untraded - amounts[:-1]) * before
    booked = _grid_of(grid, ledger, "token", tokens, "accrual_usd", 0.0)[1:]
    lost_usd = _haircuts(grown_usd, booked, of_token)
    days = grid[1:]
    yield _lines(days, cells, grown_usd + lost_usd, "accrual")
    yield _lines(days, cells, untraded * (after - before) - lost_usd, "revaluation")
    wallet = _grid_of(grid, ledger, "token", tokens, "wallet_amount", 0.0)[:-1]
    places = pd.MultiIndex.from_product([[WALLET], tokens], names=["pool_id", "token"])
    yield _lines(days, places, wallet * np.diff(price, axis=0), "revaluation")


def _amounts(
    grid: pd.DatetimeIndex, positions: pd.DataFrame, moves: pd.DataFrame
) -> tuple[pd.MultiIndex, FloatArray, FloatArray]:
    """The cells, their amounts at the closes (T+1, C), and deposits less withdrawals of the days (T, C)."""
    deposits, withdrawals = moves[moves["type"] == "ALLOCATION"], moves[moves["type"] == "WITHDRAWAL"]
    traded = pd.concat(
        [
            deposits.rename(columns={"to_location": "pool_id"})[["date", "pool_id", "token", "amount"]],
            withdrawals.rename(columns={"from_location": "pool_id"})[["date", "pool_id", "token", "amount"]].assign(
                amount=-withdrawals["amount"]
            ),
        ]
    )
    held = positions[positions["date"].isin(grid)]
    keys = pd.concat([held[["pool_id", "token"]], traded[["pool_id", "token"]]]).drop_duplicates()
    cells = pd.MultiIndex.from_frame(keys.sort_values(["pool_id", "token"]))
    amounts = np.zeros((len(grid), len(cells)))
    moved = np.zeros_like(amounts)
    for frame, into in ((held, amounts), (traded, moved)):
        place = cells.get_indexer(pd.MultiIndex.from_frame(frame[["pool_id", "token"]]))
        np.add.at(into, (grid.get_indexer(pd.DatetimeIndex(frame["date"])), place), values(frame, "amount"))
    return cells, amounts, moved[1:]


def _haircuts(grown_usd: FloatArray, booked_usd: FloatArray, of_token: IntArray) -> FloatArray:
    """(T, C) dollars at yesterday's prices that haircuts took, which the books call revaluation.

    Positions shrink by a haircut as they do by a negative rate. The ledger's accrual by token (T, K) tells them apart:
    what it has above the growth of the positions was taken, from those that shrank, in proportion to how much.
    """
    grown = np.zeros_like(booked_usd)
    np.add.at(grown.T, of_token, grown_usd.T)
    taken = booked_usd - grown
    shrunk = np.maximum(-grown_usd, 0.0)
    total = np.zeros_like(booked_usd)
    np.add.at(total.T, of_token, shrunk.T)
    share = np.divide(taken, total, out=np.zeros_like(taken), where=(taken > _HAIRCUT_USD) & (total > _HAIRCUT_USD))
    return np.asarray(shrunk * np.minimum(share, 1.0)[:, of_token], dtype=float)


def _costs(moves: pd.DataFrame) -> Iterable[pd.DataFrame]:
    """Lines of gas and conversion fees, negative."""
    paid = moves[moves["total_cost_usd"] != 0]
    place = np.where(
        paid["type"] == "WITHDRAWAL", paid["from_location"], np.where(paid["type"] == "CONVERSION", WALLET, "")
    )
    place = np.where(place == "", paid["to_location"], place)
    for cause in ("gas", "conversion"):
        yield pd.DataFrame(
            {
                "date": paid["date"],
                "pool_id": place,
                "token": paid["fee_token"],
                "cause": cause,
                "usd": -paid[f"{cause}_cost_usd"],
            }
        )


def _proved(rows: pd.DataFrame, parts: pd.DataFrame) -> float:
    """Total less the parts.

    Raises:
        LedgerError: it, or a cause on a day, is half a cent or more off the books.
    """
    days = pd.DatetimeIndex(rows["date"])
    sums = parts.groupby(["date", "cause"])["usd"].sum().unstack(fill_value=0.0)
    sums = sums.reindex(index=days, columns=list(CAUSES)).fillna(0.0)
    for cause in CAUSES:
        sign = 1.0 if cause in ("accrual", "revaluation") else -1.0
        apart = sign * values(rows, f"{cause}_usd") - sums[cause].to_numpy()
        wrong = np.flatnonzero(~(np.abs(apart) < HALF_CENT))
        if len(wrong):
            first = int(wrong[0])
            hint = " (are the positions and the ledger of the day before there?)" if first == 0 else ""
            raise LedgerError(
                f"attribution: {cause} on {days[first].date()} is {apart[first]:,.4f} USD off the books{hint}"
            )
    remainder = math.fsum([*gains_usd(rows).tolist(), *(-parts["usd"]).tolist()])
    if not abs(remainder) < HALF_CENT:
        raise LedgerError(f"attribution: {remainder:,.4f} USD of the books' gain have no cause")
    return remainder


def _labelled(parts: pd.DataFrame, pools: pd.DataFrame) -> pd.DataFrame:
    """The lines with protocol and chain, in the order of `DIMENSIONS`."""
    missing = [name for name in ("pool_id", "protocol", "chain") if name not in pools.columns]
    if missing:
        raise DataError(f"pools: columns {missing} are missing, attribution needs them")
    ordered = pools.sort_values("date", kind="stable") if "date" in pools.columns else pools
    labels = ordered.drop_duplicates("pool_id", keep="last").set_index("pool_id")
    named = {
        name: parts["pool_id"].map(labels[name]).fillna(UNKNOWN).where(parts["pool_id"] != WALLET, WALLET)
        for name in ("protocol", "chain")
    }
    lines = parts.assign(**named)[[*DIMENSIONS, "usd"]]
    return lines.sort_values(list(DIMENSIONS), ignore_index=True)


def _grid_of(
    grid: pd.DatetimeIndex, frame: pd.DataFrame, key: str, names: pd.Index, column: str, otherwise: float
) -> FloatArray:
    """(T+1, names) a column by day and name."""
    within = frame[frame["date"].isin(grid)]
    array = np.full((len(grid), len(names)), otherwise)
    rows, columns = grid.get_indexer(pd.DatetimeIndex(within["date"])), names.get_indexer(within[key])
    array[rows, columns] = values(within, column)
    return array


def _lines(days: pd.DatetimeIndex, cells: pd.MultiIndex, usd: FloatArray, cause: str) -> pd.DataFrame:
    day, cell = np.nonzero(usd)
    return pd.DataFrame(
        {
            "date": days[day],
            "pool_id": cells.get_level_values("pool_id")[cell],
            "token": cells.get_level_values("token")[cell],
            "cause": cause,
            "usd": usd[day, cell],
        }
    )
