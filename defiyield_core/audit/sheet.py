"""The page of an audit: one self-contained HTML file.

Belongs here: its sections and words. Does not belong here: figures and verdicts (see `verdict`), escaping (see
`reporting.markup`). The page asks nothing of any network, and says so in its content security policy.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from defiyield_core.audit.trials import FAMILIES
from defiyield_core.audit.verdict import SURVIVORSHIP, Audit, TrialResult
from defiyield_core.reporting.figures import count, percent
from defiyield_core.reporting.markup import Html, element, join, safe, table
from defiyield_core.reporting.style import STYLE
from defiyield_core.reporting.tables import Column

_POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src data:"
_OWN_STYLE = """
td.said,th.said{min-width:17rem}
.bars{margin:14px 0;padding:0;list-style:none}
.bars li{display:grid;grid-template-columns:13rem 1fr 9.5rem;gap:0 14px;align-items:center;padding:5px 0}
.bars .track{height:14px;background:var(--grid);border-radius:3px;overflow:hidden}
.bars .track i{display:block;height:100%;background:var(--series-1)}
.bars .track.less i{background:var(--series-2)}
.bars .track.more i{background:var(--series-3)}
.bars b{font-weight:400;text-align:right;font-variant-numeric:tabular-nums;white-space:nowrap}
.verdict{font-weight:650;white-space:nowrap}
@media screen and (max-width:640px){
.bars li{grid-template-columns:1fr auto;padding:7px 0}.bars .track{grid-column:1/-1;grid-row:2;margin-top:3px}
table.cards td.said,table.cards td.ask{display:block;text-align:left;margin-top:4px}
table.cards td.said::before,table.cards td.ask::before{content:none}}
"""
_FAMILY_NAMES = dict(
    zip(
        FAMILIES,
        ("Truncation", "Scrambling", "Stamps shifted", "Pools that die", "Reward tokens", "Stale data"),
        strict=True,
    )
)
TITLES = {
    "stamps_1d_late": "Stamps a day late",
    "stamps_1d_early": "Stamps a day early",
    "without_dying_pools": "Without dying pools",
    "rewards_unpaid": "Rewards unpaid",
    "rewards_left_out": "Rewards left out",
    "stale_1d": "Data 1 day old",
    "stale_3d": "Data 3 days old",
    "stale_7d": "Data 7 days old",
}


def audit_sheet(audit: Audit) -> str:
    """The page as HTML text."""
    head = element(
        "head",
        Html('<meta charset="utf-8">'),
        Html(f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">'),
        Html('<meta name="viewport" content="width=device-width,initial-scale=1">'),
        Html('<meta name="color-scheme" content="light dark">'),
        element("title", f"{audit.portfolio}: audit to {audit.end}"),
        element("style", Html(STYLE + _OWN_STYLE)),
    )
    sections = (_header(audit), _tiles(audit), _failure(audit), _look_ahead(audit), _sensitivity(audit), _limits(audit))
    page = element("html", head, element("body", element("main", join(sections))), lang="en")
    return f"<!doctype html>\n{page}\n"


def _header(audit: Audit) -> Html:
    days = (audit.end - audit.start).days + 1
    lead = (
        f"The backtest claims {percent(audit.net_apy)} a year over {count(days, 'day')}, net of gas and conversion "
        f"fees. {audit.conclusion}"
    )
    return element(
        "header",
        element("p", f"Audit · {audit.start} to {audit.end}", class_="kicker"),
        element("h1", audit.portfolio),
        element("p", lead, class_="lead"),
    )


def _tiles(audit: Audit) -> Html:
    passed = sum(result.verdict == "pass" for result in audit.look_ahead)
    tiles = [("Claimed net APY", percent(audit.net_apy), audit.source.partition(":")[0])]
    if audit.look_ahead:
        said = "decisions do not change" if audit.passed else "decisions change with later data"
        tiles.append(("Look-ahead trials passed", f"{passed} of {len(audit.look_ahead)}", said))
    measured = [result for result in audit.sensitivity if math.isfinite(result.lost_apy)]
    if measured:
        worst = max(measured, key=lambda result: result.lost_apy)
        tiles.append(("Most that disappears", f"{worst.lost_apy * 100:.2f} points", title_of(worst).lower()))
    return element(
        "dl",
        *(
            element("div", element("dt", name), element("dd", value), element("dd", extra), class_="tile")
            for name, value, extra in tiles
        ),
        class_="tiles",
    )


def _failure(audit: Audit) -> Html:
    failed = [result for result in audit.look_ahead if result.verdict != "pass"]
    if not failed:
        return Html("")
    first = failed[0]
    return element("div", element("p", title_of(first), f": {first.sentence}"), class_="warning", role="alert")


def title_of(result: TrialResult) -> Html:
    """The trial's name for people; a day stays on one line."""
    trial = result.trial
    if trial.name in TITLES:
        return safe(TITLES[trial.name])
    return Html(f"{safe(_FAMILY_NAMES[trial.family])} at {element('span', str(trial.day), class_='nowrap')}")


def _look_ahead(audit: Audit) -> Html:
    if not audit.look_ahead:
        return Html("")
    note = (
        "Truncation runs the portfolio on data that end on a day; scrambling replaces everything after the day with "
        "nonsense. Whatever was decided, held, moved and booked up to that day must come out the same, to the last bit."
    )
    columns = ("Net APY to then", "Under the trial", "Verdict")
    return join(
        (
            element("h2", "Do decisions look ahead?"),
            element("p", note),
            _table(
                columns,
                [
                    (title_of(one), percent(one.claimed_apy), percent(one.trial_apy), _verdict(one), one.sentence)
                    for one in audit.look_ahead
                ],
                "Look-ahead trials",
            ),
        )
    )


def _verdict(result: TrialResult) -> Html:
    return element("span", result.verdict, class_=f"verdict {'good' if result.verdict == 'pass' else 'bad'}")


def _table(heads: Sequence[str], rows: Sequence[Sequence[str]], caption: str) -> Html:
    columns = (Column("Trial"), *(Column(head, numeric=head != "Verdict") for head in heads), Column("What it says"))
    markup = table(columns, rows, caption=caption, cards=True)
    said = '<td data-label="What it says"'
    return Html(markup.replace(said, f'{said} class="said"'))


def _sensitivity(audit: Audit) -> Html:
    if not audit.sensitivity:
        return Html("")
    rows = [
        (
            title_of(one),
            percent(one.trial_apy),
            _lost(one),
            percent(one.lost_share, digits=1, signed=True),
            one.sentence,
        )
        for one in audit.sensitivity
    ]
    note = (
        "None of these can be failed: they say on what the APY hangs. In each, decisions see the changed data and the "
        "books accrue what pools truly paid, except where rewards are not paid. “Lost” is claimed less "
        "found, in percentage points; a minus is a gain."
    )
    return join(
        (
            element("h2", "How much of the APY hangs on what?"),
            element("p", note),
            _bars(audit),
            _table(("Net APY", "Lost", "Of the claim"), rows, "Sensitivity trials"),
        )
    )


def _lost(result: TrialResult) -> str:
    return percent(result.lost_apy, signed=True).removesuffix("%")


def _bars(audit: Audit) -> Html:
    """Net APY claimed and under every trial, as lengths from 0."""
    shown = [one for one in audit.sensitivity if math.isfinite(one.trial_apy)]
    longest = max((audit.net_apy, *(one.trial_apy for one in shown)), default=0.0)
    if not shown or not longest > 0:
        return Html("")
    items = [("Claimed", audit.net_apy, "", "track")]
    items += [
        (title_of(one), one.trial_apy, _lost_words(one), "track less" if one.lost_apy > 0 else "track more")
        for one in shown
    ]
    return element(
        "ul",
        *(
            element(
                "li",
                element("span", name),
                element("span", element("i", style=f"width:{max(apy, 0.0) / longest:.2%}"), class_=kind),
                element("b", f"{percent(apy)}{words}"),
            )
            for name, apy, words, kind in items
        ),
        class_="bars",
    )


def _lost_words(result: TrialResult) -> str:
    gained = percent(-result.lost_apy, signed=True).removesuffix("%")
    return f" ({gained})"


def _limits(audit: Audit) -> Html:
    dying = (
        "Pools count as dying by hindsight: they had no row for the last 3 days of the window or more, or 10 % or less "
        "of their highest TVL was left. Of a lending pool TVL is the liquidity that can be withdrawn, which falls when "
        "it is borrowed."
    )
    forecasts = (
        "Forecasts are not trained anew where only stamps or ages change: they move with their data. Without rewards "
        "they are."
    )
    said = [
        SURVIVORSHIP,
        dying,
        forecasts,
        *(f"Warning of the run: {text}." for text in audit.warnings),
    ]
    facts = (
        ("Source", audit.source),
        ("Data fingerprint", audit.fingerprint),
        ("Seed of the trials", str(audit.seed)),
    )
    return join(
        (
            element("h2", "What this cannot say"),
            element("ul", *(element("li", text) for text in said)),
            element(
                "dl",
                *(element(tag, text) for fact in facts for tag, text in zip(("dt", "dd"), fact, strict=True)),
                class_="facts",
            ),
            element("footer", "Past results, and trials of them, promise nothing about the future."),
        )
    )
