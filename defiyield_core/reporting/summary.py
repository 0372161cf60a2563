"""The readable end of a run in a terminal: results side by side, today's positions and why, and where files are.

Belongs here: the words and the order of that text. Does not belong here: figures (see `metrics`) and table layout (see
`tables`).
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from defiyield_core.reporting.figures import basis_points, is_unknown, percent, usd
from defiyield_core.reporting.inputs import ReportInputs, comparison
from defiyield_core.reporting.metrics import PerformanceMetrics, performance
from defiyield_core.reporting.tables import Column, TextTable
from defiyield_core.units import daily_growth

NARROWEST = 80


def summary_text(report: ReportInputs, paths: Mapping[str, str | Path] | None = None, *, width: int = 100) -> str:
    """The summary, without a final line end.

    Args:
        paths: what was written where, by what it is (`tear sheet`, `warehouse`).
        width: columns of the terminal; at least 80 are used.
    """
    columns = max(width, NARROWEST)
    compared = comparison(report)
    figures = [performance(frame) for frame in compared.daily.values()]
    first = figures[0]
    parts = [
        f"RESULT  {first.first_day} to {first.last_day}, {first.days} days, net of gas and conversion fees",
        "",
        _results(report, figures).render(columns),
    ]
    said = [verdict(first, other) for other in figures[1:] if report.is_benchmark(other.portfolio)]
    said += [compared.note] if compared.note else []
    parts += ["", *said] if said else []
    parts += ["", *_positions(report, columns)]
    trouble = ", ".join(f"{status} {days}" for status, days in first.status_counts.items() if status != "ok")
    if trouble:
        parts += ["", f"Days of {report.portfolio} that did not end ok: {trouble} (it held and accrued)"]
    if paths:
        longest = max(map(len, paths))
        parts += ["", "FILES", "", *(f"{name:<{longest}}  {path}" for name, path in paths.items())]
    return "\n".join(parts)


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


def _results(report: ReportInputs, figures: list[PerformanceMetrics]) -> TextTable:
    heads = ("Net APY", "NAV", "Fees", "Idle", "Drawdown", "Turnover", "Days ok")
    rows = tuple(
        (
            f"{item.portfolio} *" if report.is_benchmark(item.portfolio) else item.portfolio,
            percent(item.net_apy),
            usd(item.nav_close_usd),
            usd(item.fees_usd),
            percent(item.mean_idle_share, digits=1),
            percent(item.max_drawdown),
            f"{item.turnover:.2f}x",
            f"{item.days - item.days_not_ok}/{item.days}",
        )
        for item in figures
    )
    marked = any(report.is_benchmark(item.portfolio) for item in figures)
    first = Column("Portfolio (* benchmark)" if marked else "Portfolio")
    return TextTable((first, *(Column(head, numeric=True) for head in heads)), rows)


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
