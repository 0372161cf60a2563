"""What it cost: fees that were paid, and yield that was forgone."""

from __future__ import annotations

import math

from defiyield_core.reporting.analysis import Analysis
from defiyield_core.reporting.figures import usd
from defiyield_core.reporting.inputs import ReportInputs
from defiyield_core.reporting.markup import Html, element, join, table
from defiyield_core.reporting.plots import costs_plot
from defiyield_core.reporting.sheet.parts import note, rate
from defiyield_core.reporting.tables import Column
from defiyield_core.reporting.vector import figure


def costs(report: ReportInputs, found: Analysis) -> Html:
    """Drags in dollars and basis points a year, and the fees over time."""
    own = found.own
    rows = (
        ("Gas", own.gas_usd, own.gas_drag, "paid for deposits, withdrawals and conversions"),
        ("Conversion fees", own.conversion_usd, own.conversion_drag, "paid to change one token into another"),
        ("Idle money", own.idle_cost_usd, own.idle_drag, "what it would have earned at the rate of the rest"),
        ("Own deposits", found.dilution_usd, found.dilution_drag, _dilution(found.dilution_usd)),
    )
    known = [(amount, drag) for _, amount, drag, _ in rows if math.isfinite(amount) and math.isfinite(drag)]
    total = [math.fsum(amount for amount, _ in known), math.fsum(drag for _, drag in known)]
    columns = (
        Column("Drag"),
        Column("Over all days", numeric=True),
        Column("A year", numeric=True),
        Column("What it is"),
    )
    return join(
        (
            element("h2", "What it cost"),
            table(
                columns,
                [[name, usd(amount), rate(drag), words] for name, amount, drag, words in rows],
                caption="Costs and forgone yield",
                cards=True,
                footer=["Together", usd(total[0]), rate(total[1]), ""],
            ),
            element("h3", "Gas and conversion fees since the first day"),
            figure(costs_plot(report.daily[report.portfolio])),
            note("Fees left the portfolio; idle money and dilution are yield that it never received."),
        )
    )


def _dilution(cost: float) -> str:
    if math.isnan(cost):
        return "the rows at hand do not tell it"
    return "what they took off the pools' rates" if cost else "not modelled: pools pay their rate whatever we deposit"
