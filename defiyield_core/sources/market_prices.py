"""How prices and gas move in the simulated market.

Belongs here: candles of tokens on and off their peg, ETH, BTC, and gas by the hour.
Does not belong here: pools (`market_pools`) and the schedule of accidents (`market_catalogue`).

Everything is a loop over days whose step depends on the days before alone, with one random stream per token: days
added at the end change nothing before them, to the last bit.
"""

from __future__ import annotations

import math
import zlib
from dataclasses import replace
from datetime import date, timedelta

import numpy as np

from defiyield_core.calendar import DayArray
from defiyield_core.sources.market_catalogue import GAS_SPIKE_DAY, TOKENS, YEAR, TokenSpec, depegs
from defiyield_core.sources.replay import Candles, GasRows
from defiyield_core.units import BPS_PER_UNIT, FloatArray, daily_growth

_HOURS = 24
_GAS_MEDIAN_GWEI = 3.0
_GAS_SPIKE = 20.0
_ETH_USD = 3000.0
_BTC_USD = 95_000.0
_ETH_HOURLY_STD = 0.0062
_PRICE_DECIMALS = 6


def stream(seed: int, *names: str) -> np.random.Generator:
    """The random stream of one thing: it depends on the seed and its name, not on what else is drawn."""
    return np.random.Generator(np.random.PCG64([seed, zlib.crc32("|".join(names).encode())]))


def peg_shortfalls(days: int) -> dict[str, FloatArray]:
    """By token: how far its close is held under its peg each day (0.07 at 0.93), only for tokens that ever are."""
    shortfalls: dict[str, FloatArray] = {}
    for episode in depegs(days):
        series = shortfalls.setdefault(episode.symbol, np.zeros(days))
        for offset, close in enumerate(episode.closes[: days - episode.day]):
            series[episode.day + offset] = 1.0 - close
    return shortfalls


def token_candles(seed: int, calendar: DayArray) -> dict[str, Candles]:
    """Candles of every token of the catalogue, by symbol."""
    days = len(calendar)
    shortfalls = peg_shortfalls(days)
    wicks: dict[str, FloatArray] = {}
    for episode in depegs(days):
        series = wicks.setdefault(episode.symbol, np.zeros(days))
        series[episode.day : episode.day + len(episode.closes)] = episode.wick
    none = np.zeros(days)
    candles = {
        token.symbol: _token(
            token,
            stream(seed, "token", token.symbol),
            calendar,
            shortfalls.get(token.symbol, none),
            wicks.get(token.symbol, none),
        )
        for token in TOKENS
    }
    tether = candles["USDT"].close
    return {
        token.symbol: _requoted(candles[token.symbol], tether) if token.quote == "USDT" else candles[token.symbol]
        for token in TOKENS
    }


def _token(
    token: TokenSpec,
    random: np.random.Generator,
    calendar: DayArray,
    shortfall: FloatArray,
    wick: FloatArray,
) -> Candles:
    """Closes revert to the peg by 30 % a day; a candle reaches beyond open and close by half-normal noise."""
    days = len(calendar)
    shocks = random.standard_normal((days, 5)).tolist()
    noise = token.noise_bps / BPS_PER_UNIT
    growth = daily_growth(token.growth_apy)
    columns = np.empty((6, days))
    peg, off_peg, log_supply = token.price_usd, 0.0, math.log(token.market_cap_usd / token.price_usd)
    previous = peg
    for day, (close_shock, high_shock, low_shock, supply_shock, volume_shock) in enumerate(shocks):
        peg *= 1.0 + growth
        off_peg = 0.7 * off_peg + 0.7 * noise * close_shock
        close = peg * (1.0 + off_peg) * (1.0 - shortfall[day])
        high = max(previous, close) * (1.0 + noise * abs(high_shock))
        low = min(previous, close) * (1.0 - noise * abs(low_shock))
        low = min(low, close * (1.0 - wick[day])) if wick[day] else low
        # Holders redeem while it is off its peg.
        log_supply += 0.004 * supply_shock - 0.4 * shortfall[day]
        market_cap = math.exp(log_supply) * close
        volume = 0.04 * market_cap * math.exp(0.35 * volume_shock + 12.0 * shortfall[day])
        columns[:, day] = previous, high, low, close, volume, market_cap
        previous = close
    opens, highs, lows, closes = np.round(columns[:4], _PRICE_DECIMALS)
    volumes, market_caps = np.round(columns[4:], 0)
    dollars = np.full(days, "USD", dtype=object)
    return Candles(calendar, dollars, opens, highs, lows, closes, volumes, market_caps)


def _requoted(candles: Candles, tether: FloatArray) -> Candles:
    """The same candles as a USDT pair shows them."""
    return replace(
        candles,
        quote=np.full(len(candles.day), "USDT", dtype=object),
        open=np.round(candles.open / tether, _PRICE_DECIMALS),
        high=np.round(candles.high / tether, _PRICE_DECIMALS),
        low=np.round(candles.low / tether, _PRICE_DECIMALS),
        close=np.round(candles.close / tether, _PRICE_DECIMALS),
    )


def eth_by_hour(seed: int, days: int) -> FloatArray:
    """ETH in USD at the end of each hour, shape (days, 24): a random walk, drawn back a little over years."""
    shocks = _ETH_HOURLY_STD * stream(seed, "eth").standard_normal((days, _HOURS))
    prices = np.empty((days, _HOURS))
    log_price = math.log(_ETH_USD)
    for day in range(days):
        log_price -= 0.0015 * (log_price - math.log(_ETH_USD))
        path = log_price + np.cumsum(shocks[day])
        prices[day] = np.exp(path)
        log_price = float(path[-1])
    return np.round(prices, 2)


def coin_candles(seed: int, calendar: DayArray, eth: FloatArray) -> dict[str, Candles]:
    """ETH's candles from its hours, and BTC's, which follow three quarters of ETH's moves."""
    days = len(calendar)
    dollars = np.full(days, "USD", dtype=object)
    opens = np.append(eth[0, 0], eth[:-1, -1])
    highs, lows = np.maximum(eth.max(axis=1), opens), np.minimum(eth.min(axis=1), opens)
    closes = eth[:, -1]
    volume = np.round(closes * 6e6, 0)
    candles = {"ETH": Candles(calendar, dollars, opens, highs, lows, closes, volume, np.round(closes * 120.6e6, 0))}
    shocks = stream(seed, "btc").standard_normal((days, 3)).tolist()
    columns = np.empty((4, days))
    previous = _BTC_USD
    for day, (close_shock, high_shock, low_shock) in enumerate(shocks):
        close = previous * math.exp(0.75 * math.log(closes[day] / opens[day]) + 0.014 * close_shock)
        high = max(previous, close) * (1.0 + 0.006 * abs(high_shock))
        low = min(previous, close) * (1.0 - 0.006 * abs(low_shock))
        columns[:, day] = previous, high, low, close
        previous = close
    opens, highs, lows, closes = np.round(columns, 2)
    volume, cap = np.round(closes * 3.5e5, 0), np.round(closes * 19.8e6, 0)
    candles["BTC"] = Candles(calendar, dollars, opens, highs, lows, closes, volume, cap)
    return candles


def gas_by_hour(seed: int, first_day: date, eth: FloatArray) -> GasRows:
    """Gas of every hour: a slow daily level, an hourly one, a daily rhythm (cheap in the European morning), cheaper
    weekends, and one day a year at twenty times the price."""
    days = len(eth)
    levels = stream(seed, "gas", "day").standard_normal(days).tolist()
    shocks = stream(seed, "gas", "hour").standard_normal((days, _HOURS, 2)).tolist()
    rhythm = [0.35 * math.cos(2.0 * math.pi * (hour - 15) / _HOURS) for hour in range(_HOURS)]
    base, tip = np.empty((days, _HOURS)), np.empty((days, _HOURS))
    level = ripple = 0.0
    for day in range(days):
        level = 0.95 * level + 0.17 * levels[day]
        weekend = 0.18 if (first_day + timedelta(days=day)).weekday() >= 5 else 0.0
        spike = _GAS_SPIKE if day % YEAR == GAS_SPIKE_DAY else 1.0
        for hour, (base_shock, tip_shock) in enumerate(shocks[day]):
            ripple = 0.8 * ripple + 0.12 * base_shock
            base[day, hour] = _GAS_MEDIAN_GWEI * math.exp(level + ripple + rhythm[hour] - weekend) * spike
            tip[day, hour] = 0.35 * math.exp(0.5 * tip_shock) * math.sqrt(spike)
    hours = np.datetime64(first_day, "h") + np.arange(days * _HOURS)
    return GasRows(
        moment=hours.astype("datetime64[s]"),
        base_fee_gwei=np.round(base, 4).ravel(),
        priority_fee_gwei=np.round(tip, 4).ravel(),
        eth_usd=eth.ravel(),
    )
