"""The portfolio beside others: benchmarks, bounds that know later days, and random portfolios as one row."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

import pandas as pd

from defiyield_core.reporting.analysis import Analysis, RandomField, named_rows
from defiyield_core.reporting.figures import count, percent, usd
from defiyield_core.reporting.inputs import ReportInputs
from defiyield_core.reporting.markup import Html, element, join, table
from defiyield_core.reporting.metrics import PerformanceMetrics
from defiyield_core.reporting.plots import IDLE, MUTED, Band, Layer, Line, drawdown_plot, growth_plot, nav_plot
from defiyield_core.reporting.sheet.parts import name_of, note, signed_bps
from defiyield_core.reporting.tables import Column
from defiyield_core.reporting.vector import figure
from defiyield_core.units import FloatArray

_TAGS = {"benchmark": "benchmark", "bound": "bound: knows later days"}
_PHONE_COLUMNS = 3
_COLUMNS: tuple[tuple[str, str, Callable[[float], str]], ...] = (
    ("NAV", "nav_close_usd", usd),
    ("Fees", "fees_usd", usd),
    ("Mean idle", "mean_idle_share", lambda share: percent(share, digits=1)),
    ("Drawdown", "max_drawdown", percent),
    ("Volatility", "volatility", percent),
    ("Turnover", "turnover", lambda times: f"{times:.1f}x"),
)


def benchmarks(report: ReportInputs, found: Analysis) -> Html:
    """Figures side by side, NAV and drawdown."""
    heads = ("Net APY", "Against it", *(head for head, _, _ in _COLUMNS))
    rows = [_row(report, found.figures[0], item) for item in found.figures]
    randoms = found.randoms
    rows += [_random_row(randoms)] if randoms is not None else []
    shown = named_rows(report, found.compared)
    return join(
        (
            element("h2", "Performance against benchmarks"),
            element("div", _side_by_side(heads, rows), class_="wide"),
            element("div", _in_parts(heads, rows), class_="narrow"),
            note(_words(report, found)),
            *_worth(report, shown, randoms),
            element("h3", "Drawdown"),
            figure(drawdown_plot(shown)),
        )
    )


def _worth(report: ReportInputs, shown: Mapping[str, pd.DataFrame], randoms: RandomField | None) -> Iterable[Html]:
    """NAV over time; where money came or went, also what the first day's money grew to."""
    if report.carries:
        yield element("h3", "Net asset value")
        yield figure(nav_plot(shown, _band(randoms, randoms.nav) if randoms else ()))
    if not report.carries or any((rows["flows_usd"] != 0).any() for rows in shown.values()):
        yield element("h3", "Growth of the opening value, external flows excluded")
        yield figure(growth_plot(shown, _band(randoms, randoms.worth) if randoms else ()))


def _words(report: ReportInputs, found: Analysis) -> str:
    basis = (
        f"Net of gas and conversion fees, external flows excluded, {count(found.figures[0].days, 'day')}. “Against "
        f"it” is the net APY of {report.portfolio} less that of the row. Turnover counts deposits and withdrawals as "
        "multiples of mean NAV."
    )
    words = [basis]
    if any(report.role(item.portfolio) == "bound" for item in found.figures):
        words.append("A bound was decided with what later days brought: nobody could have been there.")
    if found.randoms is not None:
        number = len(found.randoms.figures)
        words.append(
            "Random portfolios choose without a view under the same limits and costs; 9 in 10 lie in the range. "
            f"{report.portfolio} earned more than {found.randoms.beaten} of the {number}."
        )
    return " ".join([*words, found.compared.note]).strip()


def _side_by_side(heads: tuple[str, ...], rows: list[list[str]]) -> Html:
    columns = [Column("Portfolio"), *(Column(head, numeric=True) for head in heads)]
    return table(columns, rows, caption="Portfolios side by side", strong_rows=1)


def _in_parts(heads: tuple[str, ...], rows: list[list[str]]) -> Html:
    """The same as tables of a few columns under each other: on a phone nothing is off the screen."""
    parts = []
    for first in range(0, len(heads), _PHONE_COLUMNS):
        last = first + _PHONE_COLUMNS
        shown = [[row[0], *row[first + 1 : last + 1]] for row in rows]
        parts.append(_side_by_side(heads[first:last], shown))
    return join(parts)


def _row(report: ReportInputs, first: PerformanceMetrics, item: PerformanceMetrics) -> list[str]:
    tag = _TAGS.get(report.role(item.portfolio))
    name = join((name_of(item.portfolio), element("span", tag, class_="tag"))) if tag else name_of(item.portfolio)
    against = "" if item is first else signed_bps(first.net_apy - item.net_apy)
    return [name, percent(item.net_apy), against, *(write(getattr(item, key)) for _, key, write in _COLUMNS)]


def _random_row(randoms: RandomField) -> list[str]:
    low, _, high = randoms.quantiles("net_apy")
    name = join((f"{len(randoms.figures)} random portfolios", element("span", "medians", class_="tag")))
    span = element("span", f"{percent(low)} to {percent(high)}", class_="tag")
    rest = (write(randoms.quantiles(key)[1]) for _, key, write in _COLUMNS)
    return [name, join((percent(randoms.quantiles("net_apy")[1]), span)), "", *rest]


def _band(randoms: RandomField, quantiles: FloatArray) -> tuple[Layer, ...]:
    low, middle, high = quantiles
    return (
        Band(f"{len(randoms.figures)} random portfolios, 5% to 95%", low, high, IDLE),
        Line("their median", middle, MUTED, ":", 1.4),
    )
