"""Pictures of a set of scenarios: side by side, trade-offs, NAV, parameters, seeds.

Belongs here: one function per picture, each a matplotlib figure for a style. Does not belong here: figures and
sentences (see `scenario_tradeoffs`), pages (see `scenario_sheet`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import PercentFormatter

from defiyield_core.reporting.chart_parts import (
    BAR_PX,
    axis_names,
    bars,
    is_narrow,
    label,
    legend,
    panels,
    plain,
    points,
    shortened,
    tidy,
)
from defiyield_core.reporting.charts import GRID, IDLE, INK, MUTED, PAPER, SERIES, WIDE, ChartStyle, UsdFormatter, draw
from defiyield_core.reporting.daily import return_index, values
from defiyield_core.reporting.figures import UNKNOWN, percent
from defiyield_core.reporting.plots import Band, Line, Plot, nav_plot
from defiyield_core.reporting.scenario_tradeoffs import Comparison
from defiyield_core.units import FloatArray

MOST_BARS = 24
"""Above it, variants are dots in the order of their rank."""
MOST_LINES = 8
MOST_LABELS = 12
_OWN, _BASE = SERIES[0], SERIES[1]
_AROUND_PX = 62
_LEAST_SPAN = {"net_apy": 2e-3, "max_drawdown": 5e-4, "mean_hhi": 0.05, "allocation_pct": 0.02, "cost_pct": 5e-4}
"""Ends of a scale are at least so far apart: what nobody can tell apart must not look far apart."""
_SIDES = np.array([(1, 1), (1, -1), (-1, 1), (-1, -1), (1.4, 0), (-1.4, 0), (0, 1.4), (0, -1.4)]) / 1.1
"""Where a number may stand beside its point, the best place first."""


def side_by_side_chart(comparison: Comparison, style: ChartStyle = WIDE) -> Figure:
    """Share allocated, forecast APY of the book, cost share and solve time, a panel each; variants by rank.

    The first three are of the last close (costs: of all days, over AUM at the last close).
    """
    means = comparison.means
    shown: list[tuple[str, pd.Series, Callable[[float], str]]] = [
        ("Allocated", means["allocation_pct"] / 100, lambda value: percent(value, digits=1)),
        ("Weighted APY", means["weighted_apy"], percent),
        ("Costs of AUM", means["cost_pct"] / 100, percent),
        ("Solve time", means["solve_seconds"], _seconds),
    ]
    few = len(means) <= MOST_BARS
    height = BAR_PX * len(means) + _AROUND_PX if few else style.height_px * 0.6
    figure, axes = panels(style, "Side by side", [heading for heading, _, _ in shown], height_px=height)
    for number, (place, (_, column, write)) in enumerate(zip(axes, shown, strict=True)):
        if few:
            colours = [_colour(comparison, name) for name in means.index]
            bars(place, style, list(means.index), column.tolist(), write, colours=colours, letters=_letters(style))
            if number and not is_narrow(style):
                place.tick_params(axis="y", labelleft=False)
        else:
            _ranked_dots(place, style, comparison, column)
            if number < 3:
                place.yaxis.set_major_formatter(PercentFormatter(1.0))
    return legend(figure, style)


def _letters(style: ChartStyle) -> int:
    return 22 if is_narrow(style) else 26


def _seconds(value: float) -> str:
    if not np.isfinite(value):
        return UNKNOWN
    return f"{value:,.1f} s" if value >= 1 else f"{value * 1000:,.0f} ms"


def _colour(comparison: Comparison, name: str) -> str:
    if name == comparison.baseline:
        return _BASE
    return IDLE if comparison.means.loc[name, "is_bound"] else _OWN


def _ranked_dots(axes: Axes, style: ChartStyle, comparison: Comparison, column: pd.Series) -> None:
    places = np.arange(1, len(column) + 1)
    axes.plot(places, column.to_numpy(dtype=float), ".", color=_OWN, markersize=4, alpha=0.7)
    at = int(comparison.means.index.get_loc(comparison.baseline))
    axes.plot(places[at], column.iloc[at], "D", color=_BASE, markersize=6, markeredgecolor=PAPER)
    axis_names(axes, style, x="rank by net APY")
    tidy(axes, style, ticks=4)
    axes.set_ylim(_wide_enough(axes.get_ylim(), _LEAST_SPAN.get(str(column.name), 0.0)))


def trade_off_chart(comparison: Comparison, style: ChartStyle = WIDE) -> Figure:
    """Net APY against drawdown, fees and concentration; what is not dominated is filled. Numbers are ranks."""
    means = comparison.means
    fees = ("Fees", "fees_usd") if comparison.in_usd else ("Fees, bps of NAV", "fees_bps")
    shown = [("Largest drawdown", "max_drawdown"), fees]
    shown += [("Concentration (HHI)", "mean_hhi")] if means["mean_hhi"].notna().any() else []
    figure, axes = panels(style, "Trade-offs", [""] * len(shown), height_px=300 if is_narrow(style) else 340)
    for number, (place, (heading, column)) in enumerate(zip(axes, shown, strict=True)):
        _scatter(place, style, comparison, column)
        tidy(place, style, grid="both", ticks=4 if is_narrow(style) else 3)
        place.yaxis.set_major_formatter(PercentFormatter(1.0))
        if column == "max_drawdown":
            place.xaxis.set_major_formatter(PercentFormatter(1.0))
        elif column == "fees_usd":
            place.xaxis.set_major_formatter(UsdFormatter())
        axis_names(place, style, x=heading, y="Net APY" if number == 0 or is_narrow(style) else "")
    marks = _marks(comparison)
    handles = [Line2D([], [], linestyle="none", markersize=8, **look) for look in marks.values()]
    return legend(figure, style, handles, list(marks))


def _marks(comparison: Comparison) -> dict[str, dict[str, Any]]:
    """Looks by what they say, those that occur."""
    means, base = comparison.means, comparison.means.index == comparison.baseline
    looks: dict[str, tuple[Any, dict[str, Any]]] = {
        "not dominated": (means["not_dominated"] & ~base, {"marker": "o", "color": _OWN, "markeredgecolor": PAPER}),
        "dominated": (
            ~means["not_dominated"] & ~means["is_bound"] & ~base,
            {"marker": "o", "color": "none", "markeredgecolor": MUTED},
        ),
        comparison.baseline: (base, {"marker": "D", "color": _BASE, "markeredgecolor": PAPER}),
        "knows the future": (means["is_bound"] & ~base, {"marker": "^", "color": IDLE, "markeredgecolor": MUTED}),
    }
    return {name: look for name, (which, look) in looks.items() if np.any(which)}


def _scatter(axes: Axes, style: ChartStyle, comparison: Comparison, column: str) -> None:
    means = comparison.means.dropna(subset=[column, "net_apy"])
    kinds = pd.Series([_kind(comparison, str(name)) for name in means.index], index=means.index, dtype=object)
    for order, (kind, look) in enumerate(reversed(_marks(comparison).items())):
        over = 5 if kind == comparison.baseline else 2 + order
        shown = means[kinds == kind]
        axes.plot(shown[column], shown["net_apy"], linestyle="none", markersize=8, zorder=over, **look)
    axes.margins(0.14)
    axes.set_xlim(_wide_enough(axes.get_xlim(), _LEAST_SPAN.get(column, 0.0)))
    axes.set_ylim(_wide_enough(axes.get_ylim(), _LEAST_SPAN["net_apy"]))
    named = means if len(means) <= MOST_LABELS else means[means["not_dominated"]]
    if len(named) <= MOST_LABELS:
        _number(axes, style, means, named.dropna(subset="rank"), column)


def _wide_enough(ends: tuple[float, float], span: float) -> tuple[float, float]:
    """The ends, moved apart to a span."""
    low, high = ends
    missing = max(span - (high - low), 0.0) / 2
    return low - missing, high + missing


def _number(axes: Axes, style: ChartStyle, means: pd.DataFrame, named: pd.DataFrame, column: str) -> None:
    """Ranks beside their points, each on the side with most room."""
    (left, right), (bottom, top) = axes.get_xlim(), axes.get_ylim()
    width, height = 260.0, 250.0  # pixels of a panel, about

    def pixels(rows: pd.DataFrame) -> FloatArray:
        x, y = rows[column].to_numpy(dtype=float), rows["net_apy"].to_numpy(dtype=float)
        return np.column_stack([(x - left) / (right - left) * width, (y - bottom) / (top - bottom) * height])

    taken = pixels(means)
    for (_, row), point in zip(named.iterrows(), pixels(named), strict=True):
        spots = point + 14 * _SIDES
        gaps = np.sqrt(((spots[:, None, :] - taken[None, :, :]) ** 2).sum(axis=2)).min(axis=1)
        side = int(np.argmax(np.minimum(gaps, 13.0)))
        taken = np.vstack([taken, spots[side]])
        shift = tuple(9 * _SIDES[side])
        label(axes, style, str(row["rank"]), row[column], row["net_apy"], xytext=shift, ha="center")


def _kind(comparison: Comparison, name: str) -> str:
    row = comparison.means.loc[name]
    if name == comparison.baseline:
        return name
    return "knows the future" if row["is_bound"] else "not dominated" if row["not_dominated"] else "dominated"


def nav_chart(comparison: Comparison, style: ChartStyle = WIDE) -> Figure:
    """NAV of up to 8 runs as lines, the best first; of more as bands of percentiles, with the baseline and the best.

    Where the runs did not open with the same money it is the growth of one dollar instead.
    """
    ranked = [run for name in comparison.means.index for run in comparison.runs_of(name)]
    if len(ranked) <= MOST_LINES and comparison.in_usd:
        return draw(nav_plot({run.name: run.daily.assign(portfolio=run.name) for run in ranked}), style)
    series = np.array([_growth(run.rows, in_usd=comparison.in_usd) for run in ranked])
    days = np.asarray(ranked[0].rows["date"], dtype="datetime64[s]")
    title = "Net asset value" if comparison.in_usd else "Growth of one dollar"
    names = [name for name in comparison.means.index for _ in comparison.runs_of(name)]
    base = np.median(series[[name == comparison.baseline for name in names]], axis=0)
    best_name = str(comparison.choices.index[0]) if len(comparison.choices) else str(comparison.means.index[0])
    best = np.median(series[[name == best_name for name in names]], axis=0)
    low, first, middle, third, high = np.percentile(series, [5, 25, 50, 75, 95], axis=0)
    layers = (
        Line(f"best: {shortened(best_name, 28)}", best, SERIES[2], "-", 1.7),
        Line(comparison.baseline, base, _BASE, "--", 1.7),
        Line(f"median of {len(series)} runs", middle, _OWN, "-", 2.4),
        Band("half of the runs", first, third, _OWN),
        Band("90% of the runs", low, high, SERIES[4]),
    )
    kept = layers if best_name != comparison.baseline else layers[1:]
    return draw(Plot(title, days, kept, "usd"), style)


def _growth(rows: pd.DataFrame, *, in_usd: bool) -> Any:
    return values(rows, "aum_close_usd") if in_usd else return_index(rows)


def parameter_chart(effects: pd.DataFrame, style: ChartStyle = WIDE) -> Figure:
    """Net APY by value of each parameter that differs, all else equal, with the lowest and the highest run.

    Args:
        effects: of `scenario_effects.parameter_effects`.
    """
    effects = effects[effects["parameter"].isin(_first_parameters(effects))]
    rows = [
        _Range(row.value, row.mean_net_apy, row.lowest, row.highest, _OWN, heading=row.parameter)
        for row in effects.itertuples()
    ]
    return _ranges(style, "Net APY by parameter", rows)


def _first_parameters(effects: pd.DataFrame) -> list[str]:
    """Parameters, most important first, as long as their values have room."""
    sizes = effects.groupby("parameter", sort=False).size()
    return list(sizes.index[(sizes.cumsum() <= MOST_BARS) | (np.arange(len(sizes)) == 0)])


def seeds_chart(comparison: Comparison, style: ChartStyle = WIDE) -> Figure:
    """Net APY of every run of the variants that have several, a row each, with their mean."""
    rows = []
    for name in comparison.means.index[comparison.means["runs"] > 1][:MOST_BARS]:
        runs = [run.figures.net_apy for run in comparison.runs_of(name)]
        rows.append(_Range(name, float(np.mean(runs)), min(runs), max(runs), _colour(comparison, name), tuple(runs)))
    return _ranges(style, "Net APY over seeds", rows)


@dataclass(frozen=True)
class _Range:
    """A row: its mean between its lowest and highest value, and the single runs where they are to be seen.

    Rows in a row with one heading stand under it.
    """

    name: str
    mean: float
    low: float
    high: float
    colour: str
    runs: tuple[float, ...] = ()
    heading: str = ""


def _ranges(style: ChartStyle, title: str, rows: Sequence[_Range]) -> Figure:
    headings = {row.heading for row in rows} - {""}
    height = BAR_PX * (len(rows) + len(headings)) + _AROUND_PX
    figure, (axes,) = panels(style, title, [""], height_px=height)
    place, last, places = -1, "", []
    for row in rows:
        if row.heading != last:
            place, last = place + 1, row.heading
            text = shortened(row.heading, 40 if is_narrow(style) else 100)
            at: dict[str, Any] = {"transform": axes.get_yaxis_transform(), "va": "center", "fontweight": "bold"}
            axes.text(0.0, place, text, color=INK, fontsize=points(style), parse_math=False, **at)
        place += 1
        places.append(place)
        _add_range(axes, style, row, place)
    axes.set_yticks(places, [shortened(row.name, _letters(style)) for row in rows])
    plain(axes.get_yticklabels())
    axes.set_ylim(place + 0.6, -0.6)
    tidy(axes, style, grid="x", ticks=4 if is_narrow(style) else 7)
    axes.xaxis.set_major_formatter(PercentFormatter(1.0))
    # Room for the number behind the highest value.
    low, high = axes.get_xlim()
    axes.set_xlim(low, high + (high - low) * 6 * style.font_px / style.width_px)
    axes.tick_params(axis="y", labelcolor=INK)
    return legend(figure, style)


def _add_range(axes: Axes, style: ChartStyle, row: _Range, place: int) -> None:
    bar: dict[str, Any] = {"linewidth": 5, "solid_capstyle": "round", "zorder": 1}
    axes.plot([row.low, row.high], [place, place], color=GRID if row.runs else IDLE, **bar)
    axes.plot(row.runs, [place] * len(row.runs), ".", color=row.colour, markersize=6, alpha=0.5, zorder=2)
    axes.plot(row.mean, place, "o", color=row.colour, markersize=9, markeredgecolor=PAPER, zorder=3)
    label(axes, style, percent(row.mean), max(row.high, row.mean), place, xytext=(9, 0))
