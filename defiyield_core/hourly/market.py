"""A market at steps of a fraction of a day, and how the simulated market's days become hours.

Belongs here: arrays by step and the view of one step. Does not belong here: deciding (`loop`), what the daily market is
(`history`, `sources.market_model`).

Nothing here looks ahead: what a view at the end of hour h of day D holds follows from days before D, from the hours of
D up to h, and at the last hour from the close of D. Within the day

- rates move: `log(1 + apy)` drifts from yesterday's level to today's over six hours and carries noise that fades within
  hours; the day is scaled so that its hours compound to exactly the day's growth;
- TVL and prices go from yesterday's close to today's, on a geometric path;
- gas is the market's own gas of that hour;
- forecasts are an exponentially weighted mean of the hours' `log(1 + apy)` up to now, and the newest TVL;
- verdicts, risk groups, the icebox and lists are yesterday's until the day has ended.

Shapes: T steps, P pools, K tokens.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import date
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from defiyield_core.errors import ConfigurationError
from defiyield_core.history import MarketHistory, MarketView, PoolBook
from defiyield_core.sources.market_prices import stream
from defiyield_core.sources.replay import GasRows
from defiyield_core.units import FloatArray

HOURS = 24
FORECAST_ALPHA_DAYS = 1 / 7
"""Weight of a day's newest observations in the forecast: the exponential mean forgets a seventh a day."""
RAMP_HOURS = 6
_BY_TOKEN = ("price_usd", "price_age_days", "iceboxed", "approved", "market_cap_usd")
_BY_POOL = (
    "observed_apy",
    "filled_apy",
    "filled_tvl_usd",
    "flagged",
    "absent_days",
    "group",
    "depositable",
    "must_exit",
    "reasons",
    "forecast_apy",
    "forecast_tvl_usd",
)
_KNOWN_BY_THEN = (
    "absent_days",
    "group",
    "must_exit",
    "reasons",
    "price_age_days",
    "iceboxed",
    "approved",
    "market_cap_usd",
)
NOISE_STD, NOISE_KEPT = 0.03, 0.7
"""Of an hour's rate, relative, and the share of it that is left an hour later."""


@dataclass(frozen=True)
class StepMarket:
    """A market with a row for every step.

    Attributes:
        rows: the arrays of a market with T rows; `rows.days` names the day of each step. Ages and `absent_days` stay in
            days, rates are effective annual ones.
        steps_per_day: 24 for hours, 1 for days.
    """

    rows: MarketHistory
    steps_per_day: int

    def __post_init__(self) -> None:
        if self.steps_per_day < 1:
            raise ConfigurationError(f"steps_per_day must be at least 1, not {self.steps_per_day}")
        if len(self.rows.days) % self.steps_per_day:
            raise ConfigurationError(
                f"a market of {len(self.rows.days)} steps does not consist of whole days of {self.steps_per_day} steps"
            )

    def __len__(self) -> int:
        return len(self.rows.days)

    @property
    def steps_per_year(self) -> int:
        """365 days of them."""
        return 365 * self.steps_per_day

    @cached_property
    def moments(self) -> npt.NDArray[np.datetime64]:
        """(T,) when each step begins, `datetime64[s]`; a step of a day is stamped with the day."""
        seconds = np.arange(len(self)) % self.steps_per_day * (86_400 // self.steps_per_day)
        return np.asarray(self.rows.days.astype("datetime64[s]") + seconds.astype("timedelta64[s]"))

    def day(self, step: int) -> date:
        """The day that the step belongs to."""
        return self.rows.days[step].astype(date)

    def is_last_of_day(self, step: int) -> bool:
        """Whether the day ends with this step."""
        return (step + 1) % self.steps_per_day == 0

    def view(self, step: int) -> MarketView:
        """What is known at the end of the step. `apy_history` holds the step's rates alone."""
        rows = self.rows
        return MarketView(
            day=self.day(step),
            pools=rows.pools,
            tokens=rows.tokens,
            apy=rows.filled_apy[step],
            tvl_usd=rows.filled_tvl_usd[step],
            apy_history=rows.observed_apy[step : step + 1],
            forecast_apy=rows.forecast_apy[step],
            forecast_tvl_usd=rows.forecast_tvl_usd[step],
            group=rows.group[step],
            depositable=rows.depositable[step],
            must_exit=rows.must_exit[step],
            reasons=tuple(rows.reasons[step]),
            price_usd=rows.price_usd[step],
            price_age_days=rows.price_age_days[step],
            on_peg=~rows.iceboxed[step],
            approved=rows.approved[step],
            pegged=rows.pegged,
            market_cap_usd=rows.market_cap_usd[step],
            gas_price_gwei=float(rows.gas_price_gwei[step]),
            eth_usd=float(rows.eth_usd[step]),
            gas_age_days=int(rows.gas_age_days[step]),
        )


def narrowed(market: StepMarket, wallet: Iterable[str]) -> StepMarket:
    """The market without what cannot matter to a portfolio that begins with these tokens: pools that never take a
    deposit, and tokens that are in no other pool, not in the wallet, and never the one to flee to."""
    rows = market.rows
    pools = np.flatnonzero(rows.depositable.any(axis=0))
    flee_to = rows.approved & ~rows.iceboxed & rows.pegged & (rows.price_usd > 0)
    largest = np.argmax(np.where(flee_to, np.nan_to_num(rows.market_cap_usd), -1.0), axis=1)
    names = {rows.tokens[token] for token in np.unique(largest)} | set(wallet)
    names |= {rows.tokens[token] for pool in pools for token in rows.pools.tokens[pool]}
    tokens = np.array([number for number, token in enumerate(rows.tokens) if token in names], dtype=np.int64)
    place = {int(token): number for number, token in enumerate(tokens)}
    book = PoolBook(
        ids=tuple(rows.pools.ids[pool] for pool in pools),
        symbols=tuple(rows.pools.symbols[pool] for pool in pools),
        protocols=tuple(rows.pools.protocols[pool] for pool in pools),
        chains=tuple(rows.pools.chains[pool] for pool in pools),
        tokens=tuple(tuple(place[token] for token in rows.pools.tokens[pool]) for pool in pools),
    )
    arrays = {name: getattr(rows, name)[:, pools] for name in _BY_POOL}
    arrays |= {name: getattr(rows, name)[:, tokens] for name in _BY_TOKEN}
    kept = tuple(rows.tokens[token] for token in tokens)
    values: dict[str, Any] = {**arrays, "pegged": rows.pegged[tokens], "pools": book, "tokens": kept}
    return replace(market, rows=replace(rows, **values))


def daily_market(history: MarketHistory) -> StepMarket:
    """The market of a history at steps of a day: the same rows."""
    return StepMarket(history, 1)


def hourly_market(history: MarketHistory, gas: GasRows, seed: int) -> StepMarket:
    """The hours of a history's days but the first, which only says what was known before.

    Args:
        gas: of every hour of these days. seed: of the rates' noise; equal seeds give equal hours.

    Raises:
        ConfigurationError: less than two days, or an hour without gas.
    """
    days = len(history.days)
    if days < 2:
        raise ConfigurationError("an hourly market needs two days: the first one only says what was known before")
    first = np.datetime64(history.days[1], "s")
    at = np.searchsorted(gas.moment, first + np.arange((days - 1) * HOURS) * np.timedelta64(3600, "s"))
    if at[-1] >= len(gas.moment) or (gas.moment[at] != first + np.arange(len(at)) * np.timedelta64(3600, "s")).any():
        raise ConfigurationError(f"an hour of {history.days[1]}..{history.days[-1]} has no gas price")
    observed = _hours_of_rates(history, seed)
    tvl_usd = _geometric(history.filled_tvl_usd)
    forecast = _forecast(history, observed)
    known = np.isfinite(forecast) & np.isfinite(tvl_usd)
    values: dict[str, Any] = {
        **{name: _known_by_then(getattr(history, name)) for name in _KNOWN_BY_THEN},
        "days": np.repeat(history.days[1:], HOURS),
        "observed_apy": observed,
        "filled_apy": _last_known(np.concatenate([history.filled_apy[:1], observed]))[1:],
        "filled_tvl_usd": tvl_usd,
        "flagged": np.repeat(history.flagged[1:], HOURS, axis=0),
        "depositable": _known_by_then(history.depositable) & known,
        "forecast_apy": np.where(known, forecast, np.nan),
        "forecast_tvl_usd": np.where(known, tvl_usd, np.nan),
        "price_usd": _geometric(history.price_usd),
        "gas_price_gwei": (gas.base_fee_gwei + gas.priority_fee_gwei)[at],
        "eth_usd": gas.eth_usd[at],
        "gas_age_days": np.zeros(len(at), dtype=np.int64),
    }
    return StepMarket(replace(history, **values), HOURS)


def _known_by_then(values: np.ndarray) -> np.ndarray:
    """(T, ...) yesterday's until the last hour, at which the day's own is known."""
    hours = np.repeat(values[:-1], HOURS, axis=0)
    hours[HOURS - 1 :: HOURS] = values[1:]
    return hours


def _geometric(values: FloatArray) -> FloatArray:
    """(T, ...) from each day's close to the next; a day that misses one of them has the other."""
    before, after = values[:-1], values[1:]
    before, after = np.where(np.isfinite(before), before, after), np.where(np.isfinite(after), after, before)
    share = (np.arange(HOURS) + 1.0) / HOURS
    usable = (before > 0) & (after > 0)
    ratio = np.where(usable, np.divide(after, before, out=np.ones_like(after), where=usable), 1.0)
    paths = np.where(usable, before, after)[:, None] * ratio[:, None] ** share[None, :, None]
    paths[:, -1] = after
    return np.asarray(paths.reshape(-1, values.shape[1]))


def _hours_of_rates(history: MarketHistory, seed: int) -> FloatArray:
    """(T, P) effective annual rates; the hours of a day compound to the day's growth, a day without a row has none."""
    log_rate = np.log1p(np.maximum(history.observed_apy, -0.999))
    today = log_rate[1:]
    yesterday = np.where(np.isfinite(log_rate[:-1]), log_rate[:-1], today)
    share = np.minimum((np.arange(HOURS) + 1.0) / RAMP_HOURS, 1.0)[None, :, None]
    level = yesterday[:, None] * (1.0 - share) + today[:, None] * share
    paths = level * np.exp(_noise(history, seed).reshape(level.shape))
    mean = paths.mean(axis=1)
    scale = np.divide(today, mean, out=np.ones_like(mean), where=mean != 0)
    paths = np.where(((mean > 0) == (today > 0))[:, None], paths * scale[:, None], today[:, None])
    return np.asarray(np.expm1(paths).reshape(-1, log_rate.shape[1]))


def _noise(history: MarketHistory, seed: int) -> FloatArray:
    """(T, P) an autoregressive path for each pool from a stream of its own: neither other pools nor the length of the
    market change it."""
    steps = (len(history.days) - 1) * HOURS
    shocks = np.stack([stream(seed, "hourly", pool).standard_normal(steps) for pool in history.pools.ids], axis=1)
    path = NOISE_STD * np.sqrt(1.0 - NOISE_KEPT**2) * shocks
    path[0] = NOISE_STD * shocks[0]
    for step in range(1, steps):
        path[step] += NOISE_KEPT * path[step - 1]
    return np.asarray(path)


def _forecast(history: MarketHistory, observed: FloatArray) -> FloatArray:
    """(T, P) expected rate: the exponential mean of `log(1 + apy)`, begun with the forecast of the day before."""
    flagged = np.repeat(history.flagged[1:], HOURS, axis=0)
    seen = np.log1p(np.where(flagged, np.nan, observed))
    weight = 1.0 - (1.0 - FORECAST_ALPHA_DAYS) ** (1.0 / HOURS)
    level = np.log1p(history.forecast_apy[0])
    levels = np.empty_like(seen)
    for step, row in enumerate(seen):
        level = np.where(np.isfinite(level), level, row)
        level = np.where(np.isfinite(row), level + weight * (row - level), level)
        levels[step] = level
    age_days = _known_by_then(history.absent_days)
    return np.where(age_days >= 3, np.nan, np.expm1(levels))


def _last_known(values: FloatArray) -> FloatArray:
    """Each column's last finite value so far."""
    rows = np.maximum.accumulate(np.where(np.isfinite(values), np.arange(len(values))[:, None], 0), axis=0)
    return np.asarray(np.take_along_axis(values, rows, axis=0))
