"""The end of the sheet: parameters, limits of what it can tell, and what identifies the run."""

from __future__ import annotations

from defiyield_core.reporting.inputs import ReportInputs
from defiyield_core.reporting.markup import Html, element, join
from defiyield_core.reporting.sheet.parts import note
from defiyield_core.reporting.survivorship import survivorship


def parameters(report: ReportInputs) -> Html:
    """Everything that the last decision was made with."""
    if not report.parameters:
        return join((element("h2", "Parameters"), element("p", "No decision has stored its parameters yet.")))
    items = (
        element("li", element("span", name), element("span", _value(value)))
        for name, value in sorted(report.parameters.items())
    )
    return join(
        (
            element("h2", "Parameters"),
            note("Of the last decision. Shares and rates are fractions: 0.25 is 25%."),
            element("ul", *items, class_="parameters"),
        )
    )


def limits(report: ReportInputs) -> Html:
    """Survivorship, and what no report of past yield can say."""
    return join(
        (
            element("h2", "What this does not tell"),
            element("p", survivorship(report)),
            element(
                "p",
                "APY is an effective annual rate. A forecast is no promise, and past yield is no guarantee of later "
                "yield. A share of a pool is a claim on its protocol: a loss there is not in these figures until it "
                "happens.",
            ),
        )
    )


def footer(report: ReportInputs) -> Html:
    """Run id, source, fingerprints."""
    facts = {
        **report.run_info,
        "days": str(report.window),
        "fingerprint of these figures": report.fingerprint(),
    }
    pairs = (part for name, value in facts.items() for part in (element("dt", name), element("dd", str(value))))
    return element("footer", element("dl", *pairs, class_="facts"))


def _value(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int | float):
        return f"{value:,.10g}"
    return str(value)
