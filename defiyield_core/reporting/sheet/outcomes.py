"""Days worth explaining: the worst ones with their reasons, and those that did not end ok."""

from __future__ import annotations

from defiyield_core.reporting.days import DayNote, days_not_ok, worst_days
from defiyield_core.reporting.figures import count, percent, usd
from defiyield_core.reporting.inputs import ReportInputs
from defiyield_core.reporting.markup import Html, element, join, table
from defiyield_core.reporting.metrics import PerformanceMetrics
from defiyield_core.reporting.sheet.parts import note, nowrap
from defiyield_core.reporting.tables import Column

_DAYS_SHOWN = 30


def worst(report: ReportInputs) -> Html:
    """The largest losses and what caused them."""
    notes = worst_days(report.daily[report.portfolio])
    heading = element("h2", "Worst days")
    if not notes:
        return join((heading, element("p", "No day lost money.")))
    return join((heading, _days_table(notes, "Days with the largest losses", "What caused it")))


def statuses(report: ReportInputs, own: PerformanceMetrics) -> Html:
    """Days by status, and every day that failed."""
    total = sum(own.status_counts.values())
    counted = [[status, f"{days:,}", percent(days / total, digits=1)] for status, days in own.status_counts.items()]
    names = (Column("Status"), Column("Days", numeric=True), Column("Share", numeric=True))
    parts = [element("h2", "Outcome of days"), table(names, counted, caption="Days by status")]
    notes = days_not_ok(report.daily[report.portfolio])
    if notes:
        parts.append(note("On every other day than an ok one the portfolio held, and still accrued."))
        parts.append(_days_table(notes[:_DAYS_SHOWN], "Days that did not end ok", "Outcome"))
    if len(notes) > _DAYS_SHOWN:
        parts.append(note(f"{count(len(notes) - _DAYS_SHOWN, 'earlier day')} not shown."))
    return join(parts)


def _days_table(notes: tuple[DayNote, ...], caption: str, last: str) -> Html:
    rows = [
        [
            nowrap(day.day),
            percent(day.net_return, digits=3, signed=True),
            usd(day.gain_usd, signed=True),
            day.reason,
        ]
        for day in notes
    ]
    columns = (Column("Day"), Column("Net return", numeric=True), Column("Gain", numeric=True), Column(last))
    return table(columns, rows, caption=caption, cards=True)
