"""Forecasts in money: what was promised, what was paid, and what perfect foresight would have earned."""

from __future__ import annotations

from defiyield_core.reporting.analysis import Analysis
from defiyield_core.reporting.figures import count, is_unknown, percent, usd
from defiyield_core.reporting.inputs import ReportInputs
from defiyield_core.reporting.markup import Html, element, join
from defiyield_core.reporting.plots import apy_plot
from defiyield_core.reporting.sheet.parts import inline, measures, note, nowrap, rate
from defiyield_core.reporting.vector import figure


def forecasts(report: ReportInputs, found: Analysis) -> Html:
    """Realised against forecast APY, the error in dollars, regret and capture."""
    lists = [measures("Error of the forecasts", _error(found)), _foresight(found)]
    return join(
        (
            element("h2", "Realised against forecast APY"),
            note("What the pools paid on NAV each day, annualised, and what the forecasts of the day before had said."),
            figure(apy_plot(report.daily[report.portfolio])),
            element("div", *(each for each in lists if each), class_="pair"),
        )
    )


def _error(found: Analysis) -> list[tuple[str, str, str]]:
    own, error = found.own, found.error
    return [
        ("Promised", usd(own.forecast_accrual_usd), "by the forecasts of the day before, for what was held"),
        ("Paid", usd(own.accrual_usd), "by the pools"),
        ("Off in all", usd(error.total_usd, signed=True), "paid less promised: above 0 the forecasts were too low"),
        ("Mean error of a day", usd(error.bias_usd, signed=True), f"of {count(error.days, 'day')} with money at work"),
        ("Mean absolute error", usd(error.mean_absolute_usd), "of a day, whichever side"),
        ("Of what was paid", percent(error.share_of_accrual, digits=1), "absolute errors over accrual"),
    ]


def _foresight(found: Analysis) -> Html:
    against = found.regret
    if against is None:
        title = element("h3", "Against perfect foresight")
        return element("section", title, element("p", found.regret_gap)) if found.regret_gap else Html("")
    start = f"net APY of {found.reference}" if found.reference else "nothing earned"
    capture = "n/a" if is_unknown(against.capture) else percent(against.capture, digits=0)
    worst = float(against.usd_by_day.max())
    return measures(
        "Against perfect foresight",
        [
            ("Regret", usd(against.usd), "that a run knowing the coming rates earned more, net of costs"),
            ("Regret a year", rate(against.apy), "the same as net APY"),
            ("Capture", capture, f"of the way from the {start} to that of foresight"),
            ("Largest regret of a day", usd(worst), inline("on ", nowrap(against.worst_day))),
        ],
    )
