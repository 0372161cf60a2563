"""The top of the sheet: what it is about, the result in a sentence and in tiles."""

from __future__ import annotations

import pandas as pd

from defiyield_core.reporting.analysis import Analysis
from defiyield_core.reporting.figures import basis_points, count, day_text, percent, usd
from defiyield_core.reporting.inputs import ReportInputs
from defiyield_core.reporting.markup import Html, element, join
from defiyield_core.reporting.metrics import PerformanceMetrics
from defiyield_core.reporting.summary import difference


def header(report: ReportInputs, found: Analysis) -> Html:
    """Title, lead and tiles."""
    own, subject = found.own, found.figures[0]
    earned = own.nav_close_usd - own.nav_open_usd - own.flows_usd
    against = [difference(subject, other) for other in found.figures[1:] if report.is_benchmark(other.portfolio)]
    lead = (
        f"Over {count(own.days, 'day')} the portfolio {'earned' if earned >= 0 else 'lost'} {usd(abs(earned))} "
        f"net of {usd(own.fees_usd)} in gas and conversion fees."
        f"{' It earned ' + ' and '.join(against) + '.' if against else ''}"
    )
    return join(
        (
            element(
                "header",
                element("p", f"Portfolio tear sheet · {own.first_day} to {own.last_day}", class_="kicker"),
                element("h1", report.portfolio),
                element("p", lead, class_="lead"),
            ),
            _tiles(report.last_row, own),
            _today_warning(report.last_row),
        )
    )


def _tiles(row: pd.Series, own: PerformanceMetrics) -> Html:
    nav, idle = float(row["aum_close_usd"]), float(row["idle_usd"])
    mean_idle = f"mean {percent(own.mean_idle_share, digits=1)}"
    tiles = (
        ("Net asset value", usd(nav), f"from {usd(own.nav_open_usd)}"),
        ("Net APY", percent(own.net_apy), f"total return {percent(own.total_return, signed=True)}"),
        ("Forecast APY", percent(float(row["weighted_apy"])), "of today's book, idle at 0"),
        ("Fees", usd(own.fees_usd), f"{basis_points(own.fees_bps_of_nav / 1e4, digits=1)} of mean NAV"),
        ("Largest drawdown", percent(own.max_drawdown), day_text(own.max_drawdown_day) if own.max_drawdown_day else ""),
        ("Idle", percent(idle / nav if nav else float("nan"), digits=1), mean_idle),
    )
    boxes = (
        element("div", element("dt", name), element("dd", value), element("dd", extra), class_="tile")
        for name, value, extra in tiles
    )
    return element("dl", *boxes, class_="tiles")


def _today_warning(row: pd.Series) -> Html:
    if row["status"] == "ok":
        return Html("")
    reason = str(row["reason"] or "no reason was recorded")
    text = f"The last day did not end ok ({row['status']}): {reason}. The portfolio holds."
    return element("div", element("p", text), class_="warning", role="note")
