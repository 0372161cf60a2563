"""The book: today's positions and trades, and where the money was over time."""

from __future__ import annotations

from defiyield_core.reporting.figures import count, day_text, is_unknown, percent, usd
from defiyield_core.reporting.inputs import (
    ReportInputs,
    held_values,
    label_of,
    pool_labels,
    protocol_shares,
    token_shares,
)
from defiyield_core.reporting.markup import Html, element, join, table
from defiyield_core.reporting.plots import positions_plot, shares_plot
from defiyield_core.reporting.sheet.parts import note, nowrap, share_bar
from defiyield_core.reporting.tables import Column
from defiyield_core.reporting.vector import figure

_TRADES_SHOWN = 40


def positions(report: ReportInputs) -> Html:
    """Positions of the last day with the constraint that holds each."""
    row, book = report.last_row, report.positions_today()
    nav, idle = float(row["aum_close_usd"]), float(row["idle_usd"])
    heading = element("h2", "Positions at the close of ", nowrap(report.last_day))
    if book.empty:
        return join((heading, element("p", f"No position is held: all of {usd(nav)} is idle in the wallet.")))
    rows: list[list[str]] = [
        [
            item.label,
            item.tokens,
            usd(item.value_usd),
            share_bar(item.share),
            percent(item.apy),
            "n/a" if is_unknown(item.pool_group) else f"{item.pool_group:.0f}",
            item.binding or "–",
        ]
        for item in book.itertuples()
    ]
    rows.append(["Idle in the wallet", "", usd(idle), share_bar(idle / nav if nav else 0.0), percent(0.0), "", ""])
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
            note(
                "Tier 1 is calm, 2 is moving, 3 is wild or too young. The last column names the constraint that "
                "keeps the position from being larger, or from being sold."
            ),
        )
    )


def trades(report: ReportInputs) -> Html:
    """Transactions of the last day in the order of execution."""
    heading = element("h2", "Transactions of ", nowrap(report.last_day))
    plan = report.trades_today()
    plan = plan[plan["type"] != "HOLD"]
    if plan.empty:
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
        for item in plan.head(_TRADES_SHOWN).itertuples()
    ]
    names = ("#", "Type", "From", "To", "Token", "Amount", "Cost")
    sums = [usd(float(plan[name].sum())) for name in ("amount_usd", "total_cost_usd")]
    parts = [
        heading,
        table(
            [Column(name, numeric=number >= 5) for number, name in enumerate(names)],
            rows,
            caption="Transactions in the order of execution",
            cards=True,
            footer=["", "Total", "", "", "", *sums],
        ),
    ]
    more = len(plan) - len(rows)
    if more > 0:
        parts.append(note(f"{count(more, 'more row')}, counted in the total."))
    return join(parts)


def development(report: ReportInputs) -> Html:
    """Allocation over time: by protocol, by token, by pool in dollars."""
    return join(
        (
            element("h2", "Where the money was"),
            element("h3", "By protocol"),
            figure(shares_plot(protocol_shares(report))),
            element("h3", "By token"),
            figure(shares_plot(token_shares(report), "token")),
            element("h3", "By pool, in dollars"),
            figure(positions_plot(held_values(report))),
        )
    )
