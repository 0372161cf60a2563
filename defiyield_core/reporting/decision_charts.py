"""Pictures of one decision: money by pool, by token, APY against amount, costs by type.

Belongs here: the figures behind these pictures, and the pictures. Does not belong here: reading the decision (see
`decision`), the page around them (see `decision_sheet`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import PercentFormatter

from defiyield_core.allocation.curves import RateCurve, Yields, yields_for
from defiyield_core.parameters import Parameters, parameters
from defiyield_core.reporting.chart_parts import (
    BAR_PX,
    axis_names,
    bars,
    is_narrow,
    legend,
    panels,
    points,
    shortened,
    tidy,
)
from defiyield_core.reporting.charts import IDLE, INK, MUTED, PAPER, SERIES, WIDE, ChartStyle, UsdFormatter
from defiyield_core.reporting.decision import DecisionReport
from defiyield_core.reporting.figures import percent, usd
from defiyield_core.reporting.inputs import label_of
from defiyield_core.units import DAYS_PER_YEAR, FloatArray, growth_over

MOST_POOLS = 14
_AROUND_PX = 40
_GRID_POINTS = 61
_UNKNOWN_TVL_USD = 1e18
"""Stands for a TVL that nobody knows: our money is nothing beside it."""
_MOVES = {"ALLOCATION": "Gas of deposits", "WITHDRAWAL": "Gas of withdrawals", "CONVERSION": "Gas of conversions"}
_HALF_CENT = 0.005


@dataclass(frozen=True)
class PoolCurve:
    """What a pool's position earns as it grows. Shapes: (k,) amounts from 0 to the largest position allowed.

    Attributes:
        average_apy: of all of the position; marginal_apy: of its last dollar, both by the law that the decision used.
        shared_apy: average where everybody's money shares a fixed reward, whatever the decision took.
        chosen_usd: the position after the decision; chosen_apy: its average.
    """

    label: str
    amount_usd: FloatArray
    average_apy: FloatArray
    marginal_apy: FloatArray
    shared_apy: FloatArray
    chosen_usd: float
    chosen_apy: float


@dataclass(frozen=True)
class DecisionFigures:
    """What the pictures of a decision show.

    Attributes:
        pools: label, before_usd and after_usd, the largest position first; pools that had or have money.
        tokens: token, in_pools_usd and idle_usd at the close, the largest first.
        costs: type and usd: gas of each kind of move and conversion fees; a kind without a move is 0.
        idle_usd, aum_usd: at the close, after costs.
        curves: of the pools with a position, the largest first. dilution: the law, `off` or another.
    """

    pools: pd.DataFrame
    tokens: pd.DataFrame
    costs: pd.DataFrame
    idle_usd: float
    aum_usd: float
    curves: tuple[PoolCurve, ...]
    dilution: str


def decision_figures(
    decision: DecisionReport,
    positions: pd.DataFrame,
    ledger: pd.DataFrame,
    rate_curves: Mapping[str, RateCurve] | None = None,
) -> DecisionFigures:
    """Gather the figures of a decision.

    Args:
        positions, ledger: its rows of `asset_allocations` and `daily_ledger`.
        rate_curves: of lending pools by pool id, where the problem is stored.
    """
    rules = parameters("seed", dict(decision.parameters))
    return DecisionFigures(
        pools=_pools(decision, positions),
        tokens=_tokens(ledger),
        costs=_costs(decision),
        idle_usd=float(decision.daily["idle_usd"]),
        aum_usd=float(decision.daily["aum_close_usd"]),
        curves=_curves(decision, rules, rate_curves or {}),
        dilution=rules.dilution,
    )


def _pools(decision: DecisionReport, positions: pd.DataFrame) -> pd.DataFrame:
    after = positions.groupby("pool_id")["value_usd"].sum()
    before = decision.details.set_index("pool_id")["value_before_usd"].astype(float)
    # Without a decision nothing moved.
    both = pd.DataFrame({"before_usd": before if len(before) else after, "after_usd": after}).fillna(0.0)
    both = both[(both > 0).any(axis=1)].reset_index(names="pool_id")
    both["label"] = [label_of(pool, decision.labels) for pool in both["pool_id"]]
    ordered = both.sort_values(["after_usd", "before_usd", "pool_id"], ascending=[False, False, True])
    return ordered[["label", "before_usd", "after_usd"]].reset_index(drop=True)


def _tokens(ledger: pd.DataFrame) -> pd.DataFrame:
    price = ledger["price_usd"].astype(float)
    found = pd.DataFrame(
        {
            "token": ledger["token"],
            "in_pools_usd": ledger["allocated_amount"] * price,
            "idle_usd": ledger["wallet_amount"] * price,
        }
    )
    total = found["in_pools_usd"] + found["idle_usd"]
    found = found.assign(total=total)[total >= _HALF_CENT].sort_values(["total", "token"], ascending=[False, True])
    return found.drop(columns="total").reset_index(drop=True)


def _costs(decision: DecisionReport) -> pd.DataFrame:
    moves = decision.moves
    gas = moves.groupby("type")["gas_cost_usd"].sum()
    rows = [(name, float(gas.get(kind, 0.0))) for kind, name in _MOVES.items()]
    rows.append(("Conversion fees", float(moves["conversion_cost_usd"].sum())))
    # The books may hold costs that no row of the plan names.
    rest = decision.costs_usd - sum(amount for _, amount in rows)
    if abs(rest) > _HALF_CENT:
        rows.append(("Other", rest))
    return pd.DataFrame(rows, columns=["type", "usd"])


def _curves(decision: DecisionReport, rules: Parameters, rate_curves: Mapping[str, RateCurve]) -> tuple[PoolCurve, ...]:
    book = decision.positions[decision.positions["apy_forecast"].notna()].reset_index(drop=True)
    if book.empty:
        return ()
    chosen = book["value_usd"].to_numpy(dtype=float)
    tvl = book["tvl_usd"].astype(float).fillna(_UNKNOWN_TVL_USD).to_numpy()
    growth = growth_over(book["apy_forecast"].to_numpy(dtype=float), rules.horizon_days)
    most = np.maximum(np.minimum(rules.position_cap_share * decision.aum_usd, rules.pool_tvl_share * tvl), chosen)
    own = book["value_before_usd"].to_numpy(dtype=float) if rules.tvl_includes_positions else np.zeros(len(book))
    by_number = {number: rate_curves[pool] for number, pool in enumerate(book["pool_id"]) if pool in rate_curves}
    law, _ = yields_for(rules.dilution, growth, tvl, own, most, by_number)
    shared, _ = yields_for("pro_rata", growth, tvl, own, most, {})
    amounts = np.linspace(0.0, most, _GRID_POINTS)
    average, even = (_average_apy(each, amounts, rules.horizon_days) for each in (law, shared))
    marginal = np.array([_yearly(law.slope(amount), rules.horizon_days) for amount in amounts])
    at_choice = _average_apy(law, chosen[None, :], rules.horizon_days)[0]
    return tuple(
        PoolCurve(
            label_of(pool, decision.labels),
            amounts[:, number],
            average[:, number],
            marginal[:, number],
            even[:, number],
            float(chosen[number]),
            float(at_choice[number]),
        )
        for number, pool in enumerate(book["pool_id"])
    )


def _average_apy(law: Yields, amounts: FloatArray, horizon_days: float) -> FloatArray:
    """(k, n) annualised growth of whole positions of `amounts` (k, n); of nothing, that of the first dollar."""
    rates = [np.where(each > 0, law.usd(each) / np.where(each > 0, each, 1.0), law.slope(each)) for each in amounts]
    return _yearly(np.array(rates), horizon_days)


def _yearly(growth: FloatArray, horizon_days: float) -> FloatArray:
    return np.asarray(np.maximum(1.0 + growth, 0.0) ** (DAYS_PER_YEAR / horizon_days) - 1.0, dtype=float)


def pool_chart(figures: DecisionFigures, style: ChartStyle = WIDE) -> Figure:
    """Money by pool after the decision and what is idle; a line marks what was there before."""
    shown, rest = figures.pools[:MOST_POOLS], figures.pools[MOST_POOLS:]
    names, before, after = list(shown["label"]), list(shown["before_usd"]), list(shown["after_usd"])
    if len(rest):
        names.append(f"{len(rest)} more pools")
        before.append(float(rest["before_usd"].sum()))
        after.append(float(rest["after_usd"].sum()))
    names, before, after = [*names, "idle in the wallet"], [*before, 0.0], [*after, figures.idle_usd]
    look: dict[str, Any] = {
        "colours": [*[SERIES[0]] * (len(names) - 1), IDLE],
        "marks": before,
        "letters": _letters(style),
    }
    figure, (axes,) = panels(style, "Allocation by pool", [""], height_px=BAR_PX * len(names) + _AROUND_PX + 24)
    bars(axes, style, names, after, _with_share(figures.aum_usd), **look)
    if not any(before):
        return legend(figure, style)
    marks = [Line2D([], [], color=SERIES[0], linewidth=8), Line2D([], [], color=INK, linewidth=2.2)]
    return legend(figure, style, marks, ["after the decision", "before it"])


def token_chart(figures: DecisionFigures, style: ChartStyle = WIDE) -> Figure:
    """Money by token at the close: in pools, and idle."""
    tokens = figures.tokens
    total = (tokens["in_pools_usd"] + tokens["idle_usd"]).tolist()
    figure, (axes,) = panels(
        style, "Allocation by token", [""], height_px=BAR_PX * max(len(tokens), 2) + _AROUND_PX + 24
    )
    if not total:
        return _empty(figure, axes, style, "There is no money.")
    bars(axes, style, list(tokens["token"]), total, _with_share(figures.aum_usd), colours=IDLE, letters=_letters(style))
    axes.barh(range(len(tokens)), tokens["in_pools_usd"], height=0.62, color=SERIES[0], linewidth=0)
    marks = [Line2D([], [], color=colour, linewidth=8) for colour in (SERIES[0], IDLE)]
    return legend(figure, style, marks, ["in pools", "idle in the wallet"])


def apy_chart(figures: DecisionFigures, style: ChartStyle = WIDE) -> Figure:
    """APY of each chosen pool against the amount in it, up to the largest position allowed, with what was chosen.

    Solid: average of the position. Dashed: its last dollar, where own deposits dilute. Dotted, where the decision took
    rates as they are: the average if everybody's money shares a fixed reward.
    """
    height = style.height_px + (18 * min(len(figures.curves), len(SERIES)) if is_narrow(style) else 40)
    figure, (axes,) = panels(style, "APY against amount", [""], height_px=height)
    if not figures.curves:
        return _empty(figure, axes, style, "No pool has a position.")
    diluted = figures.dilution != "off"
    handles, names = [], []
    for number, curve in enumerate(figures.curves[: len(SERIES)]):
        colour = SERIES[number]
        axes.plot(curve.amount_usd, curve.average_apy, color=colour, linewidth=1.8)
        second, dash = (curve.marginal_apy, "--") if diluted else (curve.shared_apy, ":")
        axes.plot(curve.amount_usd, second, color=colour, linewidth=1.3, linestyle=dash)
        look: dict[str, Any] = {"color": colour, "markeredgecolor": PAPER, "linestyle": "none"}
        axes.plot(curve.chosen_usd, curve.chosen_apy, "o", markersize=10, zorder=3, **look)
        handles.append(Line2D([], [], marker="o", markersize=8, color=colour))
        names.append(shortened(curve.label, _letters(style) + 8))
    handles.append(Line2D([], [], color=MUTED, linewidth=1.3, linestyle="--" if diluted else ":"))
    names.append("its last dollar" if diluted else "if own money dilutes the rate")
    tidy(axes, style)
    axes.yaxis.set_major_formatter(PercentFormatter(1.0))
    axes.xaxis.set_major_formatter(UsdFormatter())
    axes.set_xlim(left=0.0)
    axis_names(axes, style, x="Amount in the pool", y="APY")
    return legend(figure, style, handles, names)


def costs_chart(figures: DecisionFigures, style: ChartStyle = WIDE) -> Figure:
    """Costs of the decision by type, in USD."""
    costs = figures.costs
    figure, (axes,) = panels(style, "Costs by type", [""], height_px=BAR_PX * len(costs) + _AROUND_PX)
    total = float(costs["usd"].sum())
    bars(axes, style, list(costs["type"]), costs["usd"].tolist(), _with_share(total), letters=_letters(style))
    return legend(figure, style)


Draw = Callable[[DecisionFigures, ChartStyle], Figure]
PICTURES: Mapping[str, tuple[str, Draw]] = {
    "allocation_by_pool": ("Allocation by pool", pool_chart),
    "allocation_by_token": ("Allocation by token", token_chart),
    "apy_against_amount": ("APY against amount", apy_chart),
    "costs_by_type": ("Costs by type", costs_chart),
}
"""Titles and functions by the names of their files."""


def _with_share(whole_usd: float) -> Callable[[float], str]:
    def write(value: float) -> str:
        share = f" ({percent(value / whole_usd, digits=1)})" if whole_usd > 0 else ""
        return usd(value) + share

    return write


def _letters(style: ChartStyle) -> int:
    return 24 if is_narrow(style) else 36


def _empty(figure: Figure, axes: Axes, style: ChartStyle, text: str) -> Figure:
    axes.set_axis_off()
    axes.text(0.0, 0.5, text, transform=axes.transAxes, color=MUTED, fontsize=points(style))
    return legend(figure, style)
