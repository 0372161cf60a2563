"""Sample frames: 60 days of three portfolios that obey the accounting identities, made by code from a seed.

The market is invented (seven lending pools, three dollar tokens). Each day accrues yesterday's book, revalues it, then
moves it towards a policy's target at a cost, so the frames hang together the way the real ones do.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from datetime import date, timedelta
from typing import Any

import numpy as np
import pandas as pd

from defiyield_core.contracts import table
from defiyield_core.contracts.schema import conform
from defiyield_core.parameters import parameters
from defiyield_core.reporting import ReportInputs
from defiyield_core.units import annualised, daily_growth

START = date(2025, 3, 1)
DAYS = 60
PORTFOLIOS = ("baseline", "hold_aave_usdc", "equal_weight")
GAS_LEG_USD = 3.2
CONVERSION_RATE = 0.0004
TOKENS = ("USDC", "USDT", "DAI")


@dataclass(frozen=True)
class Pool:
    """An invented pool of one token."""

    pool_id: str
    protocol: str
    symbol: str
    token: str
    apy: float
    wobble: float
    group: int
    meta: str | None = None


POOLS = (
    Pool("aa9f3c2e-0001", "aave-v3", "USDC", "USDC", 0.043, 0.004, 1),
    Pool("aa9f3c2e-0002", "aave-v3", "USDT", "USDT", 0.049, 0.005, 1),
    Pool("b71d0e55-0003", "morpho-v1", "STEAKUSDC", "USDC", 0.064, 0.006, 2, "Steakhouse <USDC> & co"),
    Pool("b71d0e55-0004", "morpho-v1", "GTUSDC", "USDC", 0.058, 0.006, 2),
    Pool("c0ffee00-0005", "fluid-lending", "USDT", "USDT", 0.071, 0.010, 2),
    Pool("d15ea5e0-0006", "sky-lending", "SDAI", "DAI", 0.055, 0.001, 1),
    Pool("e1e1e1e1-0007", "euler-v2", "USDC", "USDC", 0.083, 0.018, 3),
)
FAILURES = {("baseline", 40): ("data_missing", "prices of 2025-04-10 are missing: CoinMarketCap answered 503")}
"""Days that did not end ok, by portfolio and number."""
BINDING = ("", "position cap 25%", "pool TVL share 5%", "group 2 cap 35%", "expected gain below cost")


@dataclass
class _Books:
    """Rows collected while a portfolio runs."""

    tables: dict[str, list[dict[str, Any]]] = field(default_factory=dict)

    def add(self, name: str, **row: Any) -> None:
        self.tables.setdefault(name, []).append(row)


def sample_tables(days: int = DAYS, start: date = START, seed: int = 7) -> dict[str, pd.DataFrame]:
    """Every portfolio table and `pools`, in the contracts' types, of all three portfolios."""
    market = _market(days, seed)
    books = _Books()
    for name in PORTFOLIOS:
        _run(name, start, market, books)
    for offset in range(days):
        for pool in POOLS:
            books.add(
                "pools",
                date=start + timedelta(days=offset),
                pool_id=pool.pool_id,
                chain="Ethereum",
                protocol=pool.protocol,
                symbol=pool.symbol,
                pool_meta=pool.meta,
                tokens=json.dumps([pool.token]),
                tvl_usd=2.5e8,
                first_day=start - timedelta(days=300),
            )
    return {name: conform(table(name), pd.DataFrame(rows)) for name, rows in books.tables.items()}


def sample_report(days: int = DAYS, tables: dict[str, pd.DataFrame] | None = None) -> ReportInputs:
    """The report on `baseline` against both benchmarks."""
    frames = tables or sample_tables(days)
    daily = frames["portfolio_daily"]
    chosen = frames["allocation_parameters"]
    mine = {name: frame[frame["portfolio"] == "baseline"] for name, frame in frames.items() if name != "pools"}
    last = chosen[chosen["portfolio"] == "baseline"].iloc[-1]
    return ReportInputs(
        portfolio="baseline",
        daily={name: daily[daily["portfolio"] == name] for name in PORTFOLIOS},
        positions=mine["asset_allocations"],
        details=mine["asset_allocation_details"],
        transactions=mine["allocation_transactions"],
        run_info={"run id": str(last["run_id"]), "policy": "optimiser", "source": "sample:7"},
        parameters=json.loads(last["parameters"]),
        pools=frames["pools"],
        ledger=mine["daily_ledger"],
        positions_before=mine["asset_allocations"].iloc[:0],
    )


@dataclass(frozen=True)
class _Market:
    apy: np.ndarray
    forecast: np.ndarray
    price: np.ndarray


def _market(days: int, seed: int) -> _Market:
    """(days, pools) realised and forecast APY, (days, tokens) prices. The forecast is yesterday's smoothed rate."""
    random = np.random.default_rng(seed)
    base = np.array([pool.apy for pool in POOLS])
    wobble = np.array([pool.wobble for pool in POOLS])
    apy, level = np.empty((days, len(POOLS))), base.copy()
    for day in range(days):
        level = base + 0.85 * (level - base) + wobble * random.normal(size=len(POOLS)) * 0.6
        apy[day] = np.maximum(level, 0.002)
    apy[days // 2, 6] += 0.35
    smooth = np.vstack([apy[max(0, day - 6) : day + 1].mean(axis=0) for day in range(days)])
    price = 1.0 + 0.0002 * random.normal(size=(days, len(TOKENS)))
    price[days * 2 // 3 : days * 2 // 3 + 3, 1] -= np.array([0.002, 0.004, 0.0015])[: max(0, days - days * 2 // 3)]
    return _Market(apy, smooth, price)


def _target(name: str, day: int, market: _Market) -> np.ndarray | None:
    """Shares of NAV by pool, or None to hold."""
    if name == "hold_aave_usdc":
        return np.eye(len(POOLS))[0] if day == 0 else None
    if name == "equal_weight":
        return np.full(len(POOLS), 1 / len(POOLS)) if day % 30 == 0 else None
    if day % 9:
        return None
    shares, left = np.zeros(len(POOLS)), 0.985
    group_left = {1: 0.35, 2: 0.35, 3: 0.25}
    for pool in np.argsort(-market.forecast[day]):
        shares[pool] = min(0.25, left, group_left[POOLS[pool].group])
        group_left[POOLS[pool].group] -= shares[pool]
        left -= shares[pool]
    return shares


def _run(name: str, start: date, market: _Market, books: _Books) -> None:
    """One portfolio over all days. Positions are token amounts; idle money is USDC."""
    token = np.array([TOKENS.index(pool.token) for pool in POOLS])
    held, wallet = np.zeros(len(POOLS)), 1_000_000.0
    before, promised, ytd = market.price[0], np.zeros(len(POOLS)), 1.0
    for day in range(len(market.apy)):
        price = market.price[day]
        opening = float(held @ before[token] + wallet * before[0])
        grown = held * daily_growth(market.apy[day])
        accrual, by_pool = float(grown @ before[token]), grown * before[token]
        expected = float((held * before[token]) @ daily_growth(promised))
        held = held + grown
        moved = held * (price - before)[token]
        idle_moved = wallet * (price[0] - before[0])
        values_before = held * price[token]
        trade = _trade(held, wallet, price, token, _target(name, day, market))
        held, wallet, promised = trade.held, trade.wallet, market.forecast[day]
        values = held * price[token]
        nav = float(values.sum() + wallet * price[0])
        ytd *= 1 + accrual / opening
        head = {"portfolio": name, "date": start + timedelta(days=day), "run_id": f"{name}-{day:04d}-5f2c"}
        status, reason = FAILURES.get((name, day), ("ok", ""))
        books.add(
            "portfolio_daily",
            **head,
            aum_open_usd=opening,
            accrual_usd=accrual,
            forecast_accrual_usd=expected,
            revaluation_usd=float(moved.sum() + idle_moved),
            flows_usd=0.0,
            gas_usd=trade.gas,
            conversion_usd=trade.conversion,
            aum_close_usd=nav,
            idle_usd=wallet * price[0],
            turnover_usd=trade.turnover,
            n_positions=int((held > 0).sum()),
            n_transactions=len(trade.rows),
            token_changes=sum(row["type"] == "CONVERSION" for row in trade.rows),
            weighted_apy=float(values @ promised) / nav,
            realised_apy=annualised(accrual / opening, 1),
            status=status,
            reason=reason,
            no_data_pools=int(status != "ok"),
        )
        _decision_rows(books, head, values_before, values, held, promised, nav)
        _plan_rows(books, head, trade, status, reason)
        parts = {"accrual": by_pool, "moved": moved, "idle_moved": idle_moved, "ytd": ytd, "opening": opening}
        _ledger_rows(books, head, held, wallet, price, token, trade, nav, parts)
        before = price


@dataclass(frozen=True)
class _Trade:
    held: np.ndarray
    wallet: float
    gas: float = 0.0
    conversion: float = 0.0
    turnover: float = 0.0
    rows: tuple[dict[str, Any], ...] = ()


def _trade(held: np.ndarray, wallet: float, price: np.ndarray, token: np.ndarray, target: np.ndarray | None) -> _Trade:
    """Move to the target through USDC; costs are paid from the wallet's USDC."""
    if target is None:
        return _Trade(held, wallet)
    nav = float(held @ price[token] + wallet * price[0])
    change = target * nav * 0.999 - held * price[token]
    change[np.abs(change) < 0.004 * nav] = 0.0
    rows: list[dict[str, Any]] = []
    for pool in (*np.flatnonzero(change < 0), *np.flatnonzero(change > 0)):
        name, usd = TOKENS[token[pool]], abs(float(change[pool]))
        place = POOLS[pool].pool_id
        if change[pool] < 0:
            rows.append(_row("WITHDRAWAL", place, "wallet", name, name, usd, price))
        if name != "USDC":
            source, target_token = (name, "USDC") if change[pool] < 0 else ("USDC", name)
            rows.append(_row("CONVERSION", "wallet", "wallet", source, target_token, usd, price))
        if change[pool] > 0:
            rows.append(_row("ALLOCATION", "wallet", place, name, name, usd, price))
    gas = sum(row["gas_cost_usd"] for row in rows)
    conversion = sum(row["conversion_cost_usd"] for row in rows)
    after = held + change / price[token]
    return _Trade(
        held=after,
        wallet=(nav - gas - conversion - float(after @ price[token])) / price[0],
        gas=gas,
        conversion=conversion,
        turnover=float(np.abs(change).sum()),
        rows=tuple(rows),
    )


def _row(
    kind: str, source: str, target: str, token: str, to_token: str, usd: float, price: np.ndarray
) -> dict[str, Any]:
    fee = usd * CONVERSION_RATE if kind == "CONVERSION" else 0.0
    return {
        "type": kind,
        "from_location": source,
        "to_location": target,
        "token": token,
        "to_token": to_token,
        "amount": usd / price[TOKENS.index(token)],
        "amount_usd": usd,
        "gas_cost_usd": GAS_LEG_USD,
        "conversion_cost_usd": fee,
        "total_cost_usd": GAS_LEG_USD + fee,
        "fee_token": "USDC",
    }


def _decision_rows(
    books: _Books,
    head: dict[str, Any],
    before: np.ndarray,
    values: np.ndarray,
    held: np.ndarray,
    forecast: np.ndarray,
    nav: float,
) -> None:
    for number, pool in enumerate(POOLS):
        if values[number] > 0:
            books.add(
                "asset_allocations",
                **head,
                pool_id=pool.pool_id,
                token=pool.token,
                amount=held[number],
                value_usd=values[number],
            )
        share = values[number] / nav
        binding = BINDING[1] if share > 0.24 else BINDING[pool.group + 1] if share > 0 else BINDING[4]
        books.add(
            "asset_allocation_details",
            **head,
            pool_id=pool.pool_id,
            symbol=pool.symbol,
            protocol=pool.protocol,
            chain="Ethereum",
            pool_group=pool.group,
            apy_forecast=forecast[number],
            tvl_usd=2.5e8,
            value_before_usd=before[number],
            value_usd=values[number],
            share_of_aum=share,
            binding=binding,
        )


def _plan_rows(books: _Books, head: dict[str, Any], trade: _Trade, status: str, reason: str) -> None:
    for seq, row in enumerate(trade.rows, start=1):
        books.add("allocation_transactions", **head, seq=seq, **row)
    books.add(
        "allocation_parameters",
        **head,
        policy="optimiser",
        parameters=parameters("default").model_dump_json(),
        approved_tokens=json.dumps(TOKENS),
        blacklisted_tokens="[]",
        approved_protocols=json.dumps(sorted({pool.protocol for pool in POOLS})),
        icebox_tokens="[]",
        status=status,
        reason=reason,
        objective_usd=1900.0,
        bound_usd=1900.0,
        gap_bps=0.0,
        hold_objective_usd=1850.0,
        notes="",
    )


def _ledger_rows(
    books: _Books,
    head: dict[str, Any],
    held: np.ndarray,
    wallet: float,
    price: np.ndarray,
    token: np.ndarray,
    trade: _Trade,
    nav: float,
    parts: dict[str, Any],
) -> None:
    for number, name in enumerate(TOKENS):
        mine = token == number
        allocated, idle = float(held[mine].sum()), wallet if name == "USDC" else 0.0
        books.add(
            "daily_ledger",
            portfolio=head["portfolio"],
            date=head["date"],
            token=name,
            wallet_amount=idle,
            allocated_amount=allocated,
            price_usd=price[number],
            value_usd=(allocated + idle) * price[number],
            accrual_usd=float(parts["accrual"][mine].sum()),
            revaluation_usd=float(parts["moved"][mine].sum()) + (parts["idle_moved"] if number == 0 else 0.0),
            fees_usd=trade.gas + trade.conversion if name == "USDC" else 0.0,
            flows_usd=0.0,
            nav_usd=nav,
            realised_day_yield=float(parts["accrual"].sum()) / parts["opening"],
            realised_ytd_yield=parts["ytd"] - 1.0,
        )
