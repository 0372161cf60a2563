"""The tear sheet: one self-contained HTML page about a portfolio, to read, print and pass on.

Belongs here: the page's sections and words. Does not belong here: figures (see `metrics`), pictures (see `charts`),
escaping (see `markup`). The page asks nothing of any network, and says so in its content security policy.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import date

import pandas as pd
from matplotlib.figure import Figure

from defiyield_core.reporting import charts
from defiyield_core.reporting.days import DayNote, days_not_ok, worst_days
from defiyield_core.reporting.figures import basis_points, count, day_text, is_unknown, percent, usd
from defiyield_core.reporting.inputs import (
    Comparison,
    ReportInputs,
    comparison,
    label_of,
    pool_labels,
    protocol_shares,
)
from defiyield_core.reporting.markup import Html, element, join, safe, table
from defiyield_core.reporting.metrics import PerformanceMetrics, performance
from defiyield_core.reporting.style import STYLE
from defiyield_core.reporting.summary import difference
from defiyield_core.reporting.tables import Column

SURVIVORSHIP = (
    "Only pools listed when the data was recorded are in it. The history of pools that died before the recording is "
    "not in the data, so past results are better than what an investor of the time would have met."
)
SIMULATED = "The market of this report is simulated: it says how the system behaves, not what any pool would have paid."
NARROW = charts.ChartStyle(width_px=390, height_px=290, font_px=12.5, titled=False)
SCREEN = charts.ChartStyle(width_px=950, height_px=360, font_px=14.0, titled=False)
_POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src data:"
_TRADES_SHOWN = 40
_STATUS_DAYS_SHOWN = 30


def tear_sheet(report: ReportInputs) -> str:
    """The page as HTML text.

    Raises:
        DataError: the frames break what `ReportInputs` and `metrics.by_day` ask for.
    """
    compared = comparison(report)
    figures = [performance(frame) for frame in compared.daily.values()]
    own = performance(report.daily[report.portfolio])
    sections = (
        _header(report, own, figures),
        _benchmarks(report, compared, figures),
        _positions(report),
        _trades(report),
        _development(report),
        _worst(report),
        _statuses(report, own),
        _parameters(report),
        _limits(report),
        _footer(report),
    )
    title = f"{report.portfolio}: tear sheet to {report.last_day}"
    head = element(
        "head",
        Html('<meta charset="utf-8">'),
        Html(f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">'),
        Html('<meta name="viewport" content="width=device-width,initial-scale=1">'),
        Html('<meta name="color-scheme" content="light dark">'),
        element("title", title),
        element("style", Html(STYLE)),
    )
    page = element("html", head, element("body", element("main", join(sections))), lang="en")
    return f"<!doctype html>\n{page}\n"


def _header(report: ReportInputs, own: PerformanceMetrics, figures: list[PerformanceMetrics]) -> Html:
    row = report.last_row
    nav, idle = float(row["aum_close_usd"]), float(row["idle_usd"])
    earned = nav - own.nav_open_usd - own.flows_usd
    against = [difference(figures[0], other) for other in figures[1:] if report.is_benchmark(other.portfolio)]
    lead = (
        f"Over {count(own.days, 'day')} the portfolio {'earned' if earned >= 0 else 'lost'} {usd(abs(earned))} "
        f"net of {usd(own.fees_usd)} in gas and conversion fees."
        f"{' It earned ' + ' and '.join(against) + '.' if against else ''}"
    )
    tiles = (
        ("Net asset value", usd(nav), f"from {usd(own.nav_open_usd)}"),
        ("Net APY", percent(own.net_apy), f"total return {percent(own.total_return, signed=True)}"),
        ("Forecast APY", percent(float(row["weighted_apy"])), "of today's book, idle at 0"),
        ("Fees", usd(own.fees_usd), f"{basis_points(own.fees_bps_of_nav / 1e4, digits=1)} of mean NAV"),
        ("Largest drawdown", percent(own.max_drawdown), day_text(own.max_drawdown_day) if own.max_drawdown_day else ""),
        (
            "Idle",
            percent(idle / nav if nav else float("nan"), digits=1),
            f"mean {percent(own.mean_idle_share, digits=1)}",
        ),
    )
    return join(
        (
            element(
                "header",
                element("p", f"Portfolio tear sheet · {own.first_day} to {own.last_day}", class_="kicker"),
                element("h1", report.portfolio),
                element("p", lead, class_="lead"),
            ),
            element(
                "dl",
                *(
                    element("div", element("dt", name), element("dd", value), element("dd", extra), class_="tile")
                    for name, value, extra in tiles
                ),
                class_="tiles",
            ),
            _today_warning(row),
        )
    )


def _today_warning(row: pd.Series) -> Html:
    if row["status"] == "ok":
        return Html("")
    reason = str(row["reason"] or "no reason was recorded")
    text = f"The last day did not end ok ({row['status']}): {reason}. The portfolio holds."
    return element("div", element("p", text), class_="warning", role="note")


def _benchmarks(report: ReportInputs, compared: Comparison, figures: list[PerformanceMetrics]) -> Html:
    heads = ("Net APY", "Against it", "NAV", "Fees", "Mean idle", "Drawdown", "Volatility", "Turnover")
    rows = [_benchmark_row(report, figures[0], item) for item in figures]
    note = (
        f"Net of gas and conversion fees, external flows excluded, {count(figures[0].days, 'day')}. “Against it” is "
        f"the net APY of {report.portfolio} less that of the row. Turnover counts deposits and withdrawals as "
        "multiples of mean NAV."
    )
    return join(
        (
            element("h2", "Performance against benchmarks"),
            element("div", _side_by_side(heads, rows), class_="wide"),
            element("div", _upended(heads, rows), class_="narrow"),
            element("p", f"{note} {compared.note}", class_="note"),
            element("h3", "Net asset value"),
            _figure("nav", "Net asset value by portfolio", lambda style: charts.nav_chart(compared.daily, style)),
            element("h3", "Drawdown"),
            _figure("fall", "Drawdown by portfolio", lambda style: charts.drawdown_chart(compared.daily, style)),
        )
    )


def _side_by_side(heads: tuple[str, ...], rows: list[list[str]]) -> Html:
    columns = [Column("Portfolio"), *(Column(head, numeric=True) for head in heads)]
    return table(columns, rows, caption="Portfolios side by side", strong_rows=1)


def _upended(heads: tuple[str, ...], rows: list[list[str]]) -> Html:
    """The same with a column per portfolio: on a phone, figures of one kind stay on one line."""
    columns = [Column(""), *(Column(row[0], numeric=True) for row in rows)]
    turned = [[head, *(row[number] for row in rows)] for number, head in enumerate(heads, start=1)]
    return table(columns, turned, caption="Portfolios side by side")


def _benchmark_row(report: ReportInputs, first: PerformanceMetrics, item: PerformanceMetrics) -> list[str]:
    gain = first.net_apy - item.net_apy
    marked = [Html(" "), element("span", "benchmark", class_="tag")] if report.is_benchmark(item.portfolio) else []
    against: str = ""
    if item is not first and not is_unknown(gain):
        against = element("span", basis_points(gain, signed=True), class_="good" if gain >= 0 else "bad")
    return [
        Html("".join((safe(item.portfolio).replace("_", "_<wbr>"), *marked))),
        percent(item.net_apy),
        against,
        usd(item.nav_close_usd),
        usd(item.fees_usd),
        percent(item.mean_idle_share, digits=1),
        percent(item.max_drawdown),
        percent(item.volatility),
        f"{item.turnover:.2f}x",
    ]


def _positions(report: ReportInputs) -> Html:
    row, book = report.last_row, report.positions_today()
    nav, idle = float(row["aum_close_usd"]), float(row["idle_usd"])
    heading = element("h2", "Positions at the close of ", _nowrap(report.last_day))
    if book.empty:
        return join((heading, element("p", f"No position is held: all of {usd(nav)} is idle in the wallet.")))
    rows: list[list[str]] = [
        [
            item.label,
            item.tokens,
            usd(item.value_usd),
            _share(item.share),
            percent(item.apy),
            "n/a" if is_unknown(item.pool_group) else f"{item.pool_group:.0f}",
            item.binding or "–",
        ]
        for item in book.itertuples()
    ]
    rows.append(["Idle in the wallet", "", usd(idle), _share(idle / nav if nav else 0.0), percent(0.0), "", ""])
    names = ("Pool", "Tokens", "Value", "Share", "Forecast APY", "Tier", "What holds it there")
    total = ["NAV", "", usd(nav), percent(1.0, digits=1), percent(float(row["weighted_apy"])), "", ""]
    return join(
        (
            heading,
            table(
                [Column(name, numeric=2 <= number <= 5) for number, name in enumerate(names)],
                rows,
                caption="Positions with share, forecast APY and binding constraint",
                cards=True,
                footer=total,
            ),
            element(
                "p",
                "Tier 1 is calm, 2 is moving, 3 is wild or too young. The last column names the constraint that "
                "keeps the position from being larger, or from being sold.",
                class_="note",
            ),
        )
    )


def _share(fraction: float) -> Html:
    width = 0.0 if is_unknown(fraction) else min(max(fraction, 0.0), 1.0) * 100
    bar = element("span", element("i", style=f"width:{width:.1f}%"), class_="bar")
    return element("span", percent(fraction, digits=1), bar)


def _nowrap(day: date) -> Html:
    return element("span", day.isoformat(), class_="nowrap")


def _trades(report: ReportInputs) -> Html:
    heading = element("h2", "Transactions of ", _nowrap(report.last_day))
    trades = report.trades_today()
    trades = trades[trades["type"] != "HOLD"]
    if trades.empty:
        busy = report.transactions[report.transactions["type"] != "HOLD"]
        last = f" The last trade was on {day_text(busy['date'].max())}." if len(busy) else ""
        return join((heading, element("p", f"None: the decision was to hold.{last}")))
    labels = pool_labels(report.details, report.pools)
    rows = [
        [
            f"{item.seq}",
            item.type.capitalize(),
            label_of(item.from_location, labels),
            label_of(item.to_location, labels),
            item.token if item.token == item.to_token else f"{item.token} to {item.to_token}",
            usd(item.amount_usd),
            usd(item.total_cost_usd),
        ]
        for item in trades.head(_TRADES_SHOWN).itertuples()
    ]
    names = ("#", "Type", "From", "To", "Token", "Amount", "Cost")
    more = len(trades) - len(rows)
    total = [
        "",
        "Total",
        "",
        "",
        "",
        usd(float(trades["amount_usd"].sum())),
        usd(float(trades["total_cost_usd"].sum())),
    ]
    parts = [
        heading,
        table(
            [Column(name, numeric=number >= 5) for number, name in enumerate(names)],
            rows,
            caption="Transactions in the order of execution",
            cards=True,
            footer=total,
        ),
    ]
    if more > 0:
        parts.append(element("p", f"{count(more, 'more row')}, counted in the total.", class_="note"))
    return join(parts)


def _development(report: ReportInputs) -> Html:
    daily, shares = report.daily[report.portfolio], protocol_shares(report)
    return join(
        (
            element("h2", "Where the money was"),
            _figure("shares", "Share of NAV by protocol", lambda style: charts.allocation_chart(shares, style)),
            element("h2", "Realised against forecast APY"),
            element(
                "p",
                "What the pools paid on NAV each day, annualised, and what the forecasts of the day before had said.",
                class_="note",
            ),
            _figure("apy", "Realised and forecast APY", lambda style: charts.apy_chart(daily, style)),
            element("h2", "Costs since the first day"),
            _figure("costs", "Gas and conversion fees, cumulative", lambda style: charts.costs_chart(daily, style)),
        )
    )


def _figure(name: str, title: str, draw: Callable[[charts.ChartStyle], Figure]) -> Html:
    """The picture twice: for screens and paper, and for phones."""
    parts = [
        element("div", Html(charts.to_svg(draw(style), name=f"{name}-{kind}", title=safe(title))), class_=kind)
        for kind, style in (("wide", SCREEN), ("narrow", NARROW))
    ]
    return element("figure", *parts)


def _worst(report: ReportInputs) -> Html:
    notes = worst_days(report.daily[report.portfolio])
    heading = element("h2", "Worst days")
    if not notes:
        return join((heading, element("p", "No day lost money.")))
    return join((heading, _days_table(notes, "Days with the largest losses", "What caused it")))


def _statuses(report: ReportInputs, own: PerformanceMetrics) -> Html:
    counted = [[status, f"{days:,}", percent(days / own.days, digits=1)] for status, days in own.status_counts.items()]
    names = (Column("Status"), Column("Days", numeric=True), Column("Share", numeric=True))
    parts = [element("h2", "Outcome of days"), table(names, counted, caption="Days by status")]
    notes = days_not_ok(report.daily[report.portfolio])
    if notes:
        parts.append(
            element("p", "On every other day than an ok one the portfolio held, and still accrued.", class_="note")
        )
        parts.append(_days_table(notes[:_STATUS_DAYS_SHOWN], "Days that did not end ok", "Outcome"))
    if len(notes) > _STATUS_DAYS_SHOWN:
        rest = count(len(notes) - _STATUS_DAYS_SHOWN, "earlier day")
        parts.append(element("p", f"{rest} not shown.", class_="note"))
    return join(parts)


def _days_table(notes: tuple[DayNote, ...], caption: str, last: str) -> Html:
    rows = [
        [
            _nowrap(note.day),
            percent(note.net_return, digits=3, signed=True),
            usd(note.gain_usd, signed=True),
            note.reason,
        ]
        for note in notes
    ]
    columns = (Column("Day"), Column("Net return", numeric=True), Column("Gain", numeric=True), Column(last))
    return table(columns, rows, caption=caption, cards=True)


def _parameters(report: ReportInputs) -> Html:
    if not report.parameters:
        return join((element("h2", "Parameters"), element("p", "No decision has stored its parameters yet.")))
    items = (
        element("li", element("span", name), element("span", _value(value)))
        for name, value in sorted(report.parameters.items())
    )
    return join(
        (
            element("h2", "Parameters"),
            element("p", "Of the last decision. Shares and rates are fractions: 0.25 is 25%.", class_="note"),
            element("ul", *items, class_="parameters"),
        )
    )


def _value(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int | float):
        return f"{value:,.10g}"
    return str(value)


def _limits(report: ReportInputs) -> Html:
    source = report.run_info.get("source", "")
    parts = [element("h2", "What this does not tell")]
    if source.startswith("simulated"):
        parts.append(element("p", SIMULATED))
    else:
        parts.append(element("p", SURVIVORSHIP))
    parts.append(
        element(
            "p",
            "APY is an effective annual rate. A forecast is no promise, and past yield is no guarantee of later yield. "
            "A share of a pool is a claim on its protocol: a loss there is not in these figures until it happens.",
        )
    )
    return join(parts)


def _footer(report: ReportInputs) -> Html:
    facts = {
        **report.run_info,
        "days": str(report.window),
        "fingerprint of these figures": report.fingerprint(),
    }
    pairs = (part for name, value in facts.items() for part in (element("dt", name), element("dd", str(value))))
    return element("footer", element("dl", *pairs, class_="facts"))
