"""The tear sheet: one self-contained HTML page about a portfolio, to read, print and pass on.

Belongs here: the page around its sections and their order. Does not belong here: the sections (see `sheet`), figures
(see `analysis`), pictures (see `plots`). The page asks nothing of any network, and says so in its content security
policy.
"""

from __future__ import annotations

from defiyield_core.reporting.analysis import Analysis, analyse
from defiyield_core.reporting.inputs import ReportInputs
from defiyield_core.reporting.markup import Html, element, join
from defiyield_core.reporting.sheet.book import development, positions, trades
from defiyield_core.reporting.sheet.compared import benchmarks
from defiyield_core.reporting.sheet.contribution import contribution
from defiyield_core.reporting.sheet.costs import costs
from defiyield_core.reporting.sheet.foot import footer, limits, parameters
from defiyield_core.reporting.sheet.forecasts import forecasts
from defiyield_core.reporting.sheet.head import header
from defiyield_core.reporting.sheet.outcomes import statuses, worst
from defiyield_core.reporting.sheet.risk import risk_and_return
from defiyield_core.reporting.style import STYLE
from defiyield_core.reporting.survivorship import SIMULATED, SURVIVORSHIP

__all__ = ["SIMULATED", "SURVIVORSHIP", "tear_sheet"]

_POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src data:"


def tear_sheet(report: ReportInputs, analysis: Analysis | None = None) -> str:
    """The page as HTML text.

    Args:
        analysis: of the same report, where it is at hand.

    Raises:
        DataError: the frames break what `ReportInputs` and `metrics.by_day` ask for.
    """
    found = analysis or analyse(report)
    sections = (
        header(report, found),
        benchmarks(report, found),
        risk_and_return(found),
        costs(report, found),
        contribution(report, found),
        forecasts(report, found),
        positions(report),
        trades(report),
        development(report),
        worst(report),
        statuses(report, found.own),
        parameters(report),
        limits(report),
        footer(report),
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
