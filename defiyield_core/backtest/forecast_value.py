"""What forecasts are worth in money: one portfolio, the same market, costs and days, only the forecasts swapped.

Belongs here: running the books, their figures, capture. Does not belong here: reading arguments, printing (see
`commands.forecast_value`), the report (see `forecasting.evaluation.report`).

Which pools may be used is judged once, on the forecasts of one model, and is the same for every run: otherwise a
forecast would be paid for opening other pools and not for choosing among them.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from defiyield_core.backtest.alone import lists_of, run_alone
from defiyield_core.backtest.engine import LoadedRange, load_range
from defiyield_core.backtest.foresight import Expected, with_forecasts, with_foresight
from defiyield_core.calendar import Window
from defiyield_core.errors import ConfigurationError
from defiyield_core.forecasting.port import horizon_of
from defiyield_core.forecasting.registry import DEFAULT, find_forecaster
from defiyield_core.history import MarketHistory, load_market
from defiyield_core.parameters import Parameters
from defiyield_core.portfolio.loop import OnDay
from defiyield_core.portfolio.spec import PortfolioSpec
from defiyield_core.reporting.metrics import PerformanceMetrics, daily_returns, performance
from defiyield_core.reporting.yardsticks import capture
from defiyield_core.settings import Settings
from defiyield_core.sources.port import Source
from defiyield_core.units import DAYS_PER_YEAR, FloatArray

PERSISTENCE, FORESIGHT = "persistence", "foresight"
MODELS = (PERSISTENCE, "ewma", DEFAULT)
BOOKS_USD = (10_000.0, 100_000.0, 1_000_000.0, 20_000_000.0)
TOKEN = "USDC"  # noqa: S105
_BLOCK_DAYS = 28
_DRAWS = 2000
_SEED = 20241201
_TAIL = 0.025


@dataclass(frozen=True)
class ValueRow:
    """One book under one forecast.

    Attributes:
        money: returns and costs. mean_positions: pools held at the close, mean over days.
        gain_apy: net APY less that of persistence with the same book, a fraction.
        gain_low, gain_high: 95 % interval of the same gain, by a bootstrap of blocks of 28 days.
        capture: gain over that of foresight; NaN where foresight gains less than a basis point.
    """

    forecast: str
    book_usd: float
    money: PerformanceMetrics
    mean_positions: float
    gain_apy: float
    gain_low: float
    gain_high: float
    capture: float


@dataclass(frozen=True)
class ForecastValue:
    """The comparison.

    Attributes:
        judged_by: the forecaster whose forecasts decide which pools may be used, for every run.
        unknown_share: by forecast, share of the pool-days open to deposits that it says nothing about.
        rows: by book, then by forecast: persistence first, foresight last.
        daily: rows of `portfolio_daily` of every run with `forecast` and `book_usd` before them.
    """

    portfolio: str
    start: date
    end: date
    horizon_days: int
    judged_by: str
    unknown_share: Mapping[str, float]
    rows: tuple[ValueRow, ...]
    daily: pd.DataFrame

    def row(self, forecast: str, book_usd: float) -> ValueRow:
        """The row of a run."""
        return next(row for row in self.rows if (row.forecast, row.book_usd) == (forecast, book_usd))

    @property
    def books_usd(self) -> tuple[float, ...]:
        """Sizes in their order."""
        return tuple(dict.fromkeys(row.book_usd for row in self.rows))

    @property
    def forecasts(self) -> tuple[str, ...]:
        """Forecasts in their order."""
        return tuple(dict.fromkeys(row.forecast for row in self.rows))


def forecast_value(
    settings: Settings,
    source: Source,
    spec: PortfolioSpec,
    window: Window,
    *,
    models: Sequence[str] = MODELS,
    books_usd: Sequence[float] = BOOKS_USD,
    judged_by: str = DEFAULT,
    told: Callable[[str], OnDay | None] = lambda _: None,
) -> ForecastValue:
    """Run the portfolio with every book under every forecast and under foresight.

    The preset is that of the portfolio for every size. Foresight sees the days that the source has after the window.

    Args:
        models: names of forecasters, `persistence` among them.
        judged_by: the forecaster whose forecasts decide which pools may be used.
        told: makes the day's listener of a run by its name.

    Raises:
        ConfigurationError: persistence is not among the models, or a forecaster is unknown.
    """
    if PERSISTENCE not in models:
        raise ConfigurationError(f"forecasts are compared with {PERSISTENCE}: it must be among the models")
    for model in models:
        find_forecaster(model)
    judging = sized(spec, judged_by, 0.0)
    specs = [replace(spec, parameters=_rules(spec, model)) for model in dict.fromkeys((*models, judged_by))]
    seen = _with_days_after(window, horizon_of(spec.parameters), source)
    loaded = load_range(settings, seen, source=source, specs=specs)
    markets = markets_of(loaded, judging.parameters, models)
    names = f"{spec.name}, {{}}, {{:,.0f}} USD"
    runs = {
        (forecast, book): run_alone(
            market,
            sized(spec, judged_by, book),
            lists_of(loaded.warehouse),
            last=window.end,
            on_day=told(names.format(forecast, book)),
        ).daily
        for book in books_usd
        for forecast, market in markets.items()
    }
    unknown = {name: unknown_share(market, window) for name, market in markets.items()}
    return summarised(judging, window, unknown, runs)


def _rules(spec: PortfolioSpec, model: str) -> Parameters:
    return spec.parameters.with_overrides({"forecaster": model})


def _with_days_after(window: Window, horizon_days: int, source: Source) -> Window:
    last = window.end + timedelta(days=horizon_days)
    return Window(window.start, min(last, source.last_day) if source.last_day is not None else window.end)


def sized(spec: PortfolioSpec, judged_by: str, book_usd: float) -> PortfolioSpec:
    """The portfolio with another wallet, under the rules of the model that judges."""
    return replace(spec, parameters=_rules(spec, judged_by), wallet={TOKEN: book_usd}, flows={}, addresses=())


def markets_of(loaded: LoadedRange, rules: Parameters, models: Sequence[str]) -> dict[str, MarketHistory]:
    """The market of the rules under the forecasts of each model, and last under foresight."""
    ordinary = load_market(loaded.warehouse, rules, loaded.window, held_tokens=(TOKEN,))
    markets = {}
    for model in models:
        other = rules.with_overrides({"forecaster": model})
        theirs = load_market(loaded.warehouse, other, loaded.window, held_tokens=(TOKEN,))
        markets[model] = with_forecasts(ordinary, Expected(theirs.forecast_apy, theirs.forecast_tvl_usd))
    return {**markets, FORESIGHT: with_foresight(ordinary, horizon_of(rules))}


def unknown_share(market: MarketHistory, window: Window) -> float:
    """Share of the pool-days open to deposits within the window on which the market has no forecast of the APY."""
    kept = slice(market.index_of(window.start), market.index_of(window.end) + 1)
    open_days = market.depositable[kept]
    return float(np.isnan(market.forecast_apy[kept])[open_days].mean()) if open_days.any() else float("nan")


def summarised(
    spec: PortfolioSpec, window: Window, unknown: Mapping[str, float], runs: Mapping[tuple[str, float], pd.DataFrame]
) -> ForecastValue:
    """Figures of runs by forecast and book; the portfolio is the one whose rules judged."""
    rows = []
    for (forecast, book), daily in runs.items():
        reference, best = performance(runs[PERSISTENCE, book]), performance(runs[FORESIGHT, book])
        money = performance(daily)
        gain = money.net_apy - reference.net_apy
        low, high = gain_interval(daily_returns(daily), daily_returns(runs[PERSISTENCE, book]))
        rows.append(
            ValueRow(
                forecast=forecast,
                book_usd=book,
                money=money,
                mean_positions=float(daily["n_positions"].mean()),
                gain_apy=gain,
                gain_low=low,
                gain_high=high,
                capture=capture(money.net_apy, reference.net_apy, best.net_apy),
            )
        )
    every = [daily.assign(forecast=forecast, book_usd=book) for (forecast, book), daily in runs.items()]
    frame = pd.concat(every, ignore_index=True)
    frame = frame[["forecast", "book_usd", *frame.columns.drop(["forecast", "book_usd"])]]
    return ForecastValue(
        portfolio=spec.name,
        start=window.start,
        end=window.end,
        horizon_days=horizon_of(spec.parameters),
        judged_by=spec.parameters.forecaster,
        unknown_share=dict(unknown),
        rows=tuple(rows),
        daily=frame,
    )


def gain_interval(returns: FloatArray, reference: FloatArray) -> tuple[float, float]:
    """95 % interval of the gain in net APY over the reference.

    Days are drawn in circular blocks of 28; each draw's gain is the difference of `exp(365 mean log(1 + r)) - 1`.
    (NaN, NaN) below two blocks.
    """
    count = len(returns)
    if count < 2 * _BLOCK_DAYS or min(returns.min(), reference.min()) <= -1.0:
        return float("nan"), float("nan")
    random = np.random.default_rng(_SEED)
    begin = random.integers(0, count, (_DRAWS, math.ceil(count / _BLOCK_DAYS)))
    taken = (begin[:, :, None] + np.arange(_BLOCK_DAYS)).reshape(_DRAWS, -1)[:, :count] % count
    mine, theirs = (np.expm1(DAYS_PER_YEAR * np.log1p(part)[taken].mean(axis=1)) for part in (returns, reference))
    low, high = np.quantile(mine - theirs, [_TAIL, 1.0 - _TAIL])
    return float(low), float(high)


def value_json(value: ForecastValue) -> dict[str, Any]:
    """Plain values: what was compared, and a record per run; null for what is not a number."""
    return {
        "portfolio": value.portfolio,
        "start": str(value.start),
        "end": str(value.end),
        "horizon_days": value.horizon_days,
        "eligibility_judged_by": value.judged_by,
        "eligible_pool_days_without_forecast": {name: _plain(share) for name, share in value.unknown_share.items()},
        "runs": [_record(row) for row in value.rows],
    }


def _record(row: ValueRow) -> dict[str, Any]:
    own = ("gain_apy", "gain_low", "gain_high", "capture", "mean_positions")
    money = {name: figure for name, figure in row.money.as_dict().items() if name != "portfolio"}
    compared = {name: _plain(getattr(row, name)) for name in own}
    return {"forecast": row.forecast, "book_usd": row.book_usd, **compared, **money}


def _plain(number: float) -> float | None:
    return number if math.isfinite(number) else None


def write_value(value: ForecastValue, folder: Path) -> Path:
    """Write `value.json` (the figures) and `value.parquet` (the days of every run); the path of the first.

    Raises:
        ConfigurationError: the folder cannot be made or written.
    """
    path = folder / "value.json"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(value_json(value), indent=2) + "\n")
        value.daily.to_parquet(folder / "value.parquet", index=False)
    except OSError as error:
        raise ConfigurationError(f"--out {folder}: cannot be written: {error}") from error
    return path
