"""The readable end of a run in a terminal: results side by side, today's positions and why, and where files are.

Belongs here: the words and the order of that text. Does not belong here: figures (see `metrics`) and table layout (see
`tables`).
"""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from pathlib import Path

from defiyield_core.reporting.analysis import Analysis, RandomField, analyse
from defiyield_core.reporting.figures import basis_points, count, is_unknown, percent, usd
from defiyield_core.reporting.inputs import ReportInputs
from defiyield_core.reporting.metrics import PerformanceMetrics
from defiyield_core.reporting.survivorship import survivorship_short
from defiyield_core.reporting.tables import Column, TextTable
from defiyield_core.units import daily_growth

NARROWEST = 80
_LABEL = 10
"""Letters that a label and the space after it take."""
_MARKS = {"benchmark": " *", "bound": " +"}


def summary_text(
    report: ReportInputs,
    paths: Mapping[str, str | Path] | None = None,
    *,
    width: int = 100,
    analysis: Analysis | None = None,
) -> str:
    """The summary, without a final line end.

    Args:
        paths: what was written where, by what it is (`tear sheet`, `warehouse`).
        width: columns of the terminal; at least 80 are used.
        analysis: of the same report, where it is at hand.
    """
    columns, found = max(width, NARROWEST), analysis or analyse(report)
    first = found.figures[0]
    parts = [
        f"RESULT  {first.first_day} to {first.last_day}, {first.days} days, net of gas and conversion fees",
        "",
        _results(report, found.figures, found.randoms).render(columns),
    ]
    said = [verdict(first, other) for other in found.figures[1:] if report.is_benchmark(other.portfolio)]
    said += _yardsticks(report, found)
    said += [found.compared.note] if found.compared.note else []
    parts += ["", *(line for text in said for line in _wrapped(text, columns))] if said else []
    parts += ["", *(line for text in _figures(found) for line in _wrapped(text, columns))]
    parts += ["", *_positions(report, columns)]
    trouble = ", ".join(f"{status} {days}" for status, days in first.status_counts.items() if status != "ok")
    if trouble:
        parts += ["", f"Days of {report.portfolio} that did not end ok: {trouble} (it held and accrued)"]
    parts += ["", *_wrapped(f"Survivorship: {survivorship_short(report)}", columns)]
    if paths:
        longest = max(map(len, paths))
        parts += ["", "FILES", "", *(f"{name:<{longest}}  {path}" for name, path in paths.items())]
    return "\n".join(parts)


def _yardsticks(report: ReportInputs, found: Analysis) -> list[str]:
    """What luck and perfect foresight would have earned."""
    said = []
    if found.randoms is not None:
        low, middle, high = (percent(value) for value in found.randoms.quantiles("net_apy"))
        beaten, number = found.randoms.beaten, len(found.randoms.figures)
        said.append(
            f"{report.portfolio} earned more than {beaten} of {number} random portfolios "
            f"(median {middle}, 9 in 10 between {low} and {high})."
        )
    against = found.regret
    if against is not None:
        text = f"Perfect foresight earned {usd(against.usd)} more ({basis_points(against.apy)} a year)"
        share = f"{percent(against.capture, digits=0)} of the way there from {found.reference or 'nothing'}"
        said.append(f"{text}." if is_unknown(against.capture) else f"{text}: {report.portfolio} went {share}.")
    return said + ([found.regret_gap] if found.regret_gap else [])


def _figures(found: Analysis) -> list[str]:
    """Risk, drags and the error of forecasts, a line each."""
    own, error = found.own, found.error
    length = f" for {count(round(own.max_drawdown_days), 'day')}" if own.max_drawdown_days else ""
    drags = (("gas", own.gas_drag), ("conversion", own.conversion_drag), ("idle", own.idle_drag))
    told = [*drags, ("own deposits", found.dilution_drag)] if found.dilution_drag else drags
    risk = (
        f"Sharpe {_ratio(own.sharpe)}, Sortino {_ratio(own.sortino)}, volatility {percent(own.volatility)}, "
        f"drawdown {percent(own.max_drawdown)}{length}, worst 30 days {percent(own.worst_30_days, signed=True)}"
    )
    forecast = (
        f"promised {usd(own.forecast_accrual_usd)}, paid {usd(own.accrual_usd)}, off by "
        f"{usd(error.mean_absolute_usd)} a day ({percent(error.share_of_accrual, digits=0)} of what was paid)"
    )
    drag = f"{', '.join(f'{name} {basis_points(rate, digits=1)}' for name, rate in told)} a year"
    lines = (("Risk", risk), ("Drags", drag), ("Forecast", forecast))
    return [f"{label:<{_LABEL}}{text}" for label, text in lines]


def _ratio(value: float) -> str:
    return "n/a" if is_unknown(value) else f"{value:,.1f}"


def _wrapped(text: str, width: int) -> list[str]:
    """Lines of the text; those after a label begin where its text does."""
    labelled = text[_LABEL - 2 : _LABEL] == "  "
    return textwrap.wrap(text, width, subsequent_indent=" " * _LABEL if labelled else "", break_on_hyphens=False)


def verdict(subject: PerformanceMetrics, other: PerformanceMetrics) -> str:
    """One sentence of what the subject earned against another portfolio, in basis points a year."""
    return f"{subject.portfolio} earned {difference(subject, other)}."


def difference(subject: PerformanceMetrics, other: PerformanceMetrics) -> str:
    """`177 bps a year more than NAME`, by net APY."""
    gain = subject.net_apy - other.net_apy
    if is_unknown(gain):
        return f"what cannot be compared with {other.portfolio} (a net APY is not defined)"
    if abs(gain) < 0.5e-4:
        return f"the same as {other.portfolio} to a basis point a year"
    more = "more" if gain > 0 else "less"
    return f"{basis_points(abs(gain))} a year {more} than {other.portfolio}"


def _results(report: ReportInputs, figures: Sequence[PerformanceMetrics], randoms: RandomField | None) -> TextTable:
    heads = ("Net APY", "NAV", "Fees", "Idle", "Drawdown", "Turnover", "Days ok")
    rows: list[tuple[str, ...]] = [
        (
            f"{item.portfolio}{_MARKS.get(report.role(item.portfolio), '')}",
            percent(item.net_apy),
            usd(item.nav_close_usd),
            usd(item.fees_usd),
            percent(item.mean_idle_share, digits=1),
            percent(item.max_drawdown),
            f"{item.turnover:.2f}x",
            f"{item.days - item.days_not_ok}/{item.days}",
        )
        for item in figures
    ]
    if randoms is not None:
        rows.append(_median_row(randoms))
    roles = {report.role(item.portfolio) for item in figures}
    marks = [text for role, text in (("benchmark", "* benchmark"), ("bound", "+ bound")) if role in roles]
    first = Column(f"Portfolio ({', '.join(marks)})" if marks else "Portfolio")
    return TextTable((first, *(Column(head, numeric=True) for head in heads)), tuple(rows))


def _median_row(randoms: RandomField) -> tuple[str, ...]:
    def middle(name: str) -> float:
        return randoms.quantiles(name)[1]

    return (
        f"{len(randoms.figures)} random, medians",
        percent(middle("net_apy")),
        usd(middle("nav_close_usd")),
        usd(middle("fees_usd")),
        percent(middle("mean_idle_share"), digits=1),
        percent(middle("max_drawdown")),
        f"{middle('turnover'):.2f}x",
        "",
    )


def _positions(report: ReportInputs, width: int) -> list[str]:
    row = report.last_row
    nav, idle = float(row["aum_close_usd"]), float(row["idle_usd"])
    book = report.positions_today()
    head = f"POSITIONS  {report.portfolio}, close of {report.last_day}"
    if book.empty:
        return [head, "", f"none: all of {usd(nav)} is idle in the wallet"]
    rows = [
        (item.label, usd(item.value_usd), percent(item.share, digits=1), percent(item.apy), item.binding or "-")
        for item in book.itertuples()
    ]
    share = idle / nav if nav else float("nan")
    rows.append(("idle in the wallet", usd(idle), percent(share, digits=1), percent(0.0), "-"))
    table = TextTable(
        (
            Column("Pool"),
            Column("Value", numeric=True),
            Column("Share", numeric=True),
            Column("APY", numeric=True),
            Column("What holds it there"),
        ),
        tuple(rows),
        footer=("NAV", usd(nav), percent(1.0, digits=1), percent(float(row["weighted_apy"])), ""),
    )
    daily = float((book["value_usd"] * daily_growth(book["apy"].fillna(0.0).to_numpy(dtype=float))).sum())
    return [head, "", table.render(width), "", f"Expected yield of a day at these forecasts: {usd(daily)}"]
