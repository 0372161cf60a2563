"""Books of a small market and three portfolios, made by code: every table that the marts read. The identities hold.

`alpha` starts with a million and trades every tenth day, `beta` starts empty and has external flows, `gamma` loses
everything ten days before the end. Numbers are deliberately not round: their sums differ in the last digits when they
are added up in another order.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from datetime import date, timedelta
from typing import Any

import numpy as np
import pandas as pd

from defiyield_core.calendar import Window
from defiyield_core.contracts import table
from defiyield_core.warehouse import TableWrite, Warehouse

FIRST = date(2024, 12, 20)
DAYS = 60
WINDOW = Window(FIRST, FIRST + timedelta(days=DAYS - 1))
LAST = WINDOW.end
TOKENS = ("USDC", "GHO")
RULESETS = ("0a1b2c3d4e", "f0e1d2c3b4")
ENDED_DAY, FLAGGED_DAY, LOSS_DAY = 40, DAYS - 3, DAYS - 10


@dataclass(frozen=True)
class Pool:
    """One pool of the market; `apy` is its mean, `ended` its number of days."""

    id: str
    chain: str
    protocol: str
    symbol: str
    tokens: tuple[str, ...]
    group: int
    apy: float
    ended: int = DAYS


POOLS = (
    Pool("b1f0-usdc", "Ethereum", "aave-v3", "USDC", ("USDC",), 1, 0.0613),
    Pool("a2e0-usdc", "Ethereum", "morpho-blue", "USDC", ("USDC",), 2, 0.0907),
    Pool("c3d0-pair", "Ethereum", "curve-dex", "USDC-GHO", ("USDC", "GHO"), 3, 0.1201),
    Pool("d4c0-gone", "Ethereum", "gone-finance", "GHO", ("GHO",), 2, 0.30, ended=ENDED_DAY),
    Pool("e5b0-wild", "Base", "wild-farm", "USDC", ("USDC",), 3, 0.40),
)
HELD = POOLS[:3]


def fill(warehouse: Warehouse) -> None:
    """Write everything in one transaction."""
    frames = {**_market(), **_quality(), **_portfolios()}
    writes = []
    for name, rows in frames.items():
        for scope, part in _by_scope(name, pd.DataFrame(rows)):
            writes.append(TableWrite(name, part, WINDOW, scope))
    warehouse.replace(writes)


def _by_scope(name: str, frame: pd.DataFrame) -> list[tuple[dict[str, str], pd.DataFrame]]:
    if not table(name).scope:
        return [({}, frame)]
    return [({"portfolio": portfolio}, part) for portfolio, part in frame.groupby("portfolio")]


def _market() -> dict[str, list[dict[str, Any]]]:
    random = np.random.default_rng(7)
    rows: dict[str, list[dict[str, Any]]] = {
        name: [] for name in ("pools", "pool_daily_metrics", "pool_groups", "pool_forecasts", "eligible_pools")
    }
    for day, today in enumerate(WINDOW):
        for pool in POOLS[: 5 if day % 7 else 4]:  # the last pool has gaps
            if day >= pool.ended:
                continue
            key = {"date": today, "pool_id": pool.id}
            tvl_usd = 1e7 * random.random() + 1 / 3
            apy = pool.apy * (1 + 0.1 * random.standard_normal())
            is_flagged = pool is POOLS[4] and day >= FLAGGED_DAY
            if day % 13 != 12:  # a held pool may lack a description for a day
                rows["pools"].append(key | _description(pool) | {"tvl_usd": tvl_usd})
                rows["pool_groups"].append(key | {"pool_group": pool.group, "reason": "made up"})
            rows["pool_daily_metrics"].append(
                key
                | {"apy": apy, "tvl_usd": tvl_usd, "apy_filled": apy, "tvl_usd_filled": tvl_usd, "is_carried": False}
                | {"is_flagged": is_flagged, "apy_mean_7d": apy, "apy_mean_30d": pool.apy, "apy_std_7d": 0.003}
                | {"apy_std_30d": None if day < 2 else pool.apy / 7, "history_days": day + 1}
                | {"missing_share_30d": 0.0, "age_days": 0}
            )
            for horizon in (1, 14):
                if not is_flagged:
                    forecast = {"model": "combination", "horizon_days": horizon, "apy": apy + horizon / 1000}
                    rows["pool_forecasts"].append(key | forecast | {"tvl_usd": tvl_usd, "observed_age_days": 0})
            for ruleset in RULESETS if day == DAYS - 1 else (*RULESETS, "0000000000"):  # the third is out of force
                wild = pool is POOLS[4]
                reasons = "chain_not_approved!; forecast_missing" if wild else ""
                judged = {"depositable": not wild, "must_exit": wild, "reasons": reasons, "notes": ""}
                if not (ruleset == RULESETS[1] and pool is POOLS[1]):
                    rows["eligible_pools"].append(key | {"ruleset": ruleset} | judged)
    return rows


def _quality() -> dict[str, list[dict[str, Any]]]:
    """Scores of two models, and the cards of every day that follow from them. `ewma` is the better one for the APY."""
    from defiyield_core.forecasting.matured_card import card_rows

    random = np.random.default_rng(13)
    rows: list[dict[str, Any]] = []
    for day, today in enumerate(WINDOW):
        for target, size, names in (
            ("apy", 0.05, [pool.id for pool in POOLS]),
            ("mean_apy", 0.05, [pool.id for pool in POOLS]),
            ("tvl", 1e7 / 3, [pool.id for pool in POOLS]),
            ("gas", 11.1, ["gas"]),
        ):
            for name in names:
                for horizon in (1, 7):
                    actual = size * (1 + 0.2 * random.standard_normal())
                    key = {"date": today, "target": target, "pool_id": name, "horizon_days": horizon}
                    key |= {"origin": today - timedelta(days=horizon), "actual": actual, "naive_scale": 0.1 * size}
                    for model in ("ewma", "persistence"):
                        spread = size * (0.02 if model == "ewma" and "apy" in target else 0.1)
                        point = actual + spread * random.standard_normal()
                        if day >= horizon:
                            bounds = {"lower": point - spread, "upper": point + spread}
                            rows.append(key | {"model": model, "forecast": point} | bounds)
    scores = pd.DataFrame(rows).assign(date=lambda made: pd.to_datetime(made["date"]))
    cards = card_rows(scores, WINDOW)
    return {"forecast_scores": rows, "forecast_scorecard": [dict(row) for _, row in cards.iterrows()]}


def _description(pool: Pool) -> dict[str, Any]:
    return {
        "chain": pool.chain,
        "protocol": pool.protocol,
        "symbol": pool.symbol,
        "tokens": json.dumps(list(pool.tokens)),
        "first_day": FIRST,
    }


@dataclass
class Book:
    """One portfolio as it goes through the days: token amounts in the wallet and in pools, and the rows so far."""

    name: str
    wallet: dict[str, float]
    positions: dict[tuple[str, str], float] = field(default_factory=dict)
    price: dict[str, float] = field(default_factory=lambda: {"USDC": 1.0, "GHO": 0.9987})
    closed_usd: float = 0.0
    rows: dict[str, list[dict[str, Any]]] = field(default_factory=dict)

    def value(self, token: str) -> float:
        """Of one token, wallet and pools together."""
        return (self.wallet[token] + self.allocated(token)) * self.price[token]

    def allocated(self, token: str) -> float:
        """Amount of one token in pools."""
        return sum(amount for (_, held), amount in self.positions.items() if held == token)

    def add(self, name: str, today: date, **values: Any) -> None:
        """One row."""
        self.rows.setdefault(name, []).append({"portfolio": self.name, "date": today, **values})


def _portfolios() -> dict[str, list[dict[str, Any]]]:
    random = np.random.default_rng(11)
    books = [
        Book("alpha", {"USDC": 1_000_000.0, "GHO": 1234.56789}),
        Book("beta", {"USDC": 0.0, "GHO": 0.0}),
        Book("gamma", {"USDC": 50_000.0, "GHO": 0.0}),
    ]
    rows: dict[str, list[dict[str, Any]]] = {}
    for book in books:
        book.closed_usd = sum(book.value(token) for token in TOKENS)
        for day, today in enumerate(WINDOW):
            _close_day(book, day, today, random)
        for name, made in book.rows.items():
            rows.setdefault(name, []).extend(made)
    return rows


def _close_day(book: Book, day: int, today: date, random: np.random.Generator) -> None:
    accrual = dict.fromkeys(TOKENS, 0.0)
    for (pool_id, token), amount in book.positions.items():
        rate = next(pool.apy for pool in POOLS if pool.id == pool_id) * (1 + 0.2 * random.random())
        gained = amount * ((1 + rate) ** (1 / 365) - 1)
        book.positions[pool_id, token] = amount + gained
        accrual[token] += gained * book.price[token]
    before = dict(book.price)
    book.price["GHO"] = 0.9987 + 0.002 * random.standard_normal()
    if book.name == "gamma" and day >= LOSS_DAY:
        book.price = dict.fromkeys(TOKENS, 0.0)
    amounts = {token: book.wallet[token] + book.allocated(token) for token in TOKENS}
    revaluation = {token: amounts[token] * (book.price[token] - before[token]) for token in TOKENS}
    flows = {0: 250_000.0 / 3, 30: -10_000.0 / 7, 45: 5e4}.get(day, 0.0) if book.name == "beta" else 0.0
    book.wallet["USDC"] += flows
    gas, conversion = _trade(book, day, today) if book.price["USDC"] else (0.0, 0.0)
    _book_day(book, today, accrual, revaluation, flows, gas, conversion)


def _trade(book: Book, day: int, today: date) -> tuple[float, float]:
    """Every tenth day most of the wallet's USDC goes into the next pool; gas and conversion in USD."""
    if day % 10 or book.wallet["USDC"] < 1000:
        return 0.0, 0.0
    pool = HELD[(day // 10) % len(HELD)]
    gas, conversion = 7.7 / 3 + day / 100, 0.0004 * 1000 / 3 if len(pool.tokens) > 1 else 0.0
    book.wallet["USDC"] -= gas + conversion
    moved = book.wallet["USDC"] * 0.6
    book.wallet["USDC"] -= moved
    for token in pool.tokens:
        added = moved / len(pool.tokens) / book.price[token]
        book.positions[pool.id, token] = book.positions.get((pool.id, token), 0.0) + added
    cost = {"gas_cost_usd": gas, "conversion_cost_usd": conversion, "total_cost_usd": gas + conversion}
    common = {"run_id": f"{book.name}{day}", "token": "USDC", "to_token": "USDC", "amount": moved, "amount_usd": moved}
    free = dict.fromkeys(cost, 0.0)
    into = {"from_location": "wallet", "to_location": pool.id}
    book.add("allocation_transactions", today, seq=1, type="ALLOCATION", **into, **common, **cost)
    book.add("allocation_transactions", today, seq=2, type="HOLD", **into, **common, **free)
    return gas, conversion


def _book_day(
    book: Book,
    today: date,
    accrual: dict[str, float],
    revaluation: dict[str, float],
    flows: float,
    gas: float,
    conversion: float,
) -> None:
    nav = sum(book.value(token) for token in TOKENS)
    idle = sum(book.wallet[token] * book.price[token] for token in TOKENS)
    for token in TOKENS:
        spent, received = (gas + conversion, flows) if token == "USDC" else (0.0, 0.0)
        own = {"accrual_usd": accrual[token], "revaluation_usd": revaluation[token]}
        _book_token(book, today, token, nav_usd=nav, fees_usd=spent, flows_usd=received, **own)
    for (pool_id, token), amount in book.positions.items():
        value = amount * book.price[token]
        book.add("asset_allocations", today, run_id="r", pool_id=pool_id, token=token, amount=amount, value_usd=value)
    book.add(
        "portfolio_daily",
        today,
        run_id="r",
        aum_open_usd=book.closed_usd,
        accrual_usd=sum(accrual.values()),
        forecast_accrual_usd=0.0,
        revaluation_usd=sum(revaluation.values()),
        flows_usd=flows,
        gas_usd=gas,
        conversion_usd=conversion,
        aum_close_usd=nav,
        idle_usd=idle,
        turnover_usd=0.0,
        n_positions=len(book.positions),
        n_transactions=int(gas > 0),
        token_changes=0,
        weighted_apy=0.0,
        realised_apy=0.0,
        status="ok",
        reason="",
        no_data_pools=0,
    )
    book.closed_usd = nav


def _book_token(book: Book, today: date, token: str, **amounts: float) -> None:
    book.add(
        "daily_ledger",
        today,
        token=token,
        wallet_amount=book.wallet[token],
        allocated_amount=book.allocated(token),
        price_usd=book.price[token],
        value_usd=book.value(token),
        realised_day_yield=0.0,
        realised_ytd_yield=0.0,
        **amounts,
    )
