"""Pictures in the metadata of a step's and a portfolio's newest partition.

Belongs here: what has pictures, what they read, and which pools they show. Does not belong here: drawing (see
`defiyield_core.reporting.forecast_charts` and `defiyield_core.reporting.charts`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import date, timedelta
from typing import TYPE_CHECKING, TypeAlias

import pandas as pd

from defiyield_core.calendar import Window
from defiyield_core.forecasting.registry import DEFAULT
from defiyield_core.panel import Panel
from defiyield_core.pipeline.score_steps import observed_pools
from defiyield_core.pipeline.step import StepContext

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from defiyield_core.reporting.forecast_charts import Fan
    from defiyield_core.reporting.inputs import ReportInputs

Pictures: TypeAlias = list[tuple[str, "Figure"]]
HISTORY_DAYS = 90
POOLS = 4
CARD_DAYS = 365
"""Days of cards that are drawn, at most."""
PORTFOLIO_DAYS = 365
"""Days up to the newest that a portfolio's pictures show, at most."""


def forecast_fans(core: StepContext, window: Window) -> Pictures:
    """The largest pools of the window's last day: 90 days of APY and of TVL, and what the default model expects."""
    from defiyield_core.reporting.forecast_charts import fan_chart

    day = Window(window.end, window.end)
    made = core.warehouse.read("pool_forecasts", day)
    if made.empty:
        return []
    model = DEFAULT if (made["model"] == DEFAULT).any() else str(made["model"].min())
    mine = made[made["model"] == model]
    observed = observed_pools(core, day, HISTORY_DAYS - 1)
    names = _pool_names(core, day)
    # A pool that is as large as another one and moves as it does is the same picture twice: one per protocol.
    nearest = mine[mine["horizon_days"] == mine["horizon_days"].min()].sort_values("tvl_usd", ascending=False)
    protocols = [names.get(pool, (pool, pool))[1] for pool in nearest["pool_id"]]
    chosen = nearest[~pd.Series(protocols, index=nearest.index).duplicated()].head(POOLS)["pool_id"].tolist()
    apy, tvl = [], []
    for pool in chosen:
        rows = mine[mine["pool_id"] == pool].sort_values("horizon_days")
        name = names.get(pool, (pool, pool))[0]
        size = f"${rows['tvl_usd'].iloc[0] / 1e6:,.0f}M"
        apy.append(_fan(rows, ("apy_at", "apy_at_lower", "apy_at_upper"), observed, "apy", (name, size)))
        tvl.append(_fan(rows, ("tvl_usd", "tvl_lower_usd", "tvl_upper_usd"), observed, "tvl_usd", (name, "")))
    title = f"{{}}: {HISTORY_DAYS} days, and what {model} expects on {window.end}"
    return [
        ("apy_fans", fan_chart(apy, title.format("APY"))),
        ("tvl_fans", fan_chart(tvl, title.format("TVL"), in_usd=True)),
    ]


def card_lines(core: StepContext, window: Window) -> Pictures:
    """Error and coverage of the default model over the last year of cards."""
    from defiyield_core.reporting.forecast_charts import quality_chart

    span = Window(window.end - timedelta(days=CARD_DAYS - 1), window.end)
    cards = core.warehouse.read("forecast_scorecard", span)
    found: Pictures = []
    for target, what in (("apy", "APY on the day"), ("mean_apy", "mean APY over the horizon")):
        mine = cards[(cards["model"] == DEFAULT) & (cards["target"] == target)]
        if len(mine):
            title = f"{DEFAULT}: {what}, cards up to {window.end}"
            found.append((f"{target}_quality", quality_chart(mine, title)))
    return found


PICTURES: Mapping[str, Callable[[StepContext, Window], Pictures]] = {
    "pool_forecasts": forecast_fans,
    "forecast_scorecard": card_lines,
}
"""By step: names and figures for the last partition of a run. Adding pictures is one entry."""


def portfolio_pictures(core: StepContext, portfolio: str, last: date) -> dict[str, Pictures]:
    """NAV and positions of the year up to a day, by the output of the portfolio that they belong to."""
    from defiyield_core.reporting import charts
    from defiyield_core.reporting.inputs import ReportInputs, held_values

    window, scope = Window(last - timedelta(days=PORTFOLIO_DAYS - 1), last), {"portfolio": portfolio}
    read = core.warehouse.read
    daily = {portfolio: read("portfolio_daily", window, scope=scope)}
    held = read("asset_allocations", window, scope=scope)
    named = read("asset_allocation_details", window, scope=scope, columns=("date", "pool_id", "protocol", "symbol"))
    book = ReportInputs(portfolio, daily, held, named, transactions=held.iloc[:0])
    return {
        "state": [("nav", charts.nav_chart(daily))],
        "allocations": [("positions", charts.positions_chart(held_values(book)))],
    }


def report_pictures(report: ReportInputs) -> Pictures:
    """The main pictures of a tear sheet: NAV and drawdown beside the other portfolios, and what was held."""
    from defiyield_core.reporting import charts
    from defiyield_core.reporting.analysis import named_rows
    from defiyield_core.reporting.inputs import comparison, held_values, protocol_shares, token_shares

    beside = named_rows(report, comparison(report))
    return [
        ("nav", charts.nav_chart(beside)),
        ("drawdown", charts.drawdown_chart(beside)),
        ("by_protocol", charts.allocation_chart(protocol_shares(report))),
        ("by_token", charts.allocation_chart(token_shares(report), owner="token")),
        ("positions", charts.positions_chart(held_values(report))),
    ]


def _pool_names(core: StepContext, day: Window) -> dict[str, tuple[str, str]]:
    """What a pool is called, and its protocol."""
    near = Window(day.end - timedelta(days=7), day.end)
    pools = core.warehouse.read("pools", near, columns=("pool_id", "protocol", "symbol", "chain"))
    return {row.pool_id: (f"{row.protocol} {row.symbol}", row.protocol) for row in pools.itertuples()}


def _fan(
    rows: pd.DataFrame, columns: tuple[str, str, str], observed: Panel, series: str, called: tuple[str, str]
) -> Fan:
    from defiyield_core.reporting.forecast_charts import Fan

    place = int(pd.Index(observed.ids).get_indexer([rows["pool_id"].iloc[0]])[0])
    point, lower, upper = (rows[name].to_numpy(dtype=float) for name in columns)
    horizons = rows["horizon_days"].to_numpy(dtype=float)
    return Fan(*called, observed.days, observed[series][:, place], horizons, point, lower, upper)
