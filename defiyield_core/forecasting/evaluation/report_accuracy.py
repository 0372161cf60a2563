"""Sections of the forecast report about accuracy: errors, skill, bands, choice, TVL, gas, the yardstick.

Belongs here: tables of the scorecard and the sentences around them. Does not belong here: the order of the report (see
`report`), what follows from the numbers (see `report_findings`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

import numpy as np

from defiyield_core.backtest.forecast_value import PERSISTENCE
from defiyield_core.forecasting.evaluation import report_findings as findings
from defiyield_core.forecasting.evaluation import report_plots as plots
from defiyield_core.forecasting.evaluation.report_findings import TARGETS, ratio
from defiyield_core.forecasting.evaluation.scorecard import Result, Scorecard
from defiyield_core.reporting.document import Block, Heading, Paragraph, Picture, Table
from defiyield_core.reporting.figures import UNKNOWN, is_unknown, percent
from defiyield_core.reporting.tables import Column

_APY_TARGETS = ("apy", "mean_apy")
_UNITS = {"tvl": "%", "gas": "gwei"}
"""Unit of an error by target; points of APY for the others."""


def errors(card: Scorecard) -> list[Block]:
    """Error over that of persistence: the headline."""
    targets = [name for name in _APY_TARGETS if name in findings.targets_of(card)]
    blocks: list[Block] = [
        Heading("Error against persistence"),
        Paragraph(
            "Mean absolute error of a pool over that of persistence (tomorrow is like today) on the same days, median "
            "over pools. 1 is no better than persistence, 0.90 is a tenth less error."
        ),
    ]
    for target in targets:
        blocks += [Heading(_capital(TARGETS[target]), 3), _error_table(card, target)]
    if targets:
        horizons = findings.horizons_of(card, targets[0])
        panels = [_panel(card, target, horizons, lambda row: row.relative_mae) for target in targets]
        draw = partial(plots.relative_error, panels, horizons, card.default_model)
        blocks.append(Picture("error_by_horizon", "Error over that of persistence by days ahead", draw))
    return blocks


def fewer_origins(card: Scorecard) -> list[Block]:
    """The same errors, at the origins of another card."""
    return [
        Heading(f"The same with an origin every {findings.days(card.step_days)}", 3),
        Paragraph(
            f"{card.origins} origins from {card.start} on: a pool has so few errors then that the ratio of two means "
            "hangs on whether its rate moved on one of these days, and the median over pools on the weekday. "
            "These origins are marked `weekly` in `scores.parquet`."
        ),
        *(_error_table(card, name) for name in _APY_TARGETS if name in findings.targets_of(card)),
    ]


def _error_table(card: Scorecard, target: str) -> Table:
    return _by_horizon(card, target, "Relative error", lambda row: ratio(row.relative_mae))


def _by_horizon(card: Scorecard, target: str, title: str, told: Callable[[Result], str]) -> Table:
    """A row per model, a column per horizon."""
    horizons = findings.horizons_of(card, target)
    columns = (Column("model"), *(Column(findings.days(horizon), numeric=True) for horizon in horizons))
    rows = []
    for model in findings.models_of(card, target):
        found = [findings.result(card, target, model, horizon) for horizon in horizons]
        rows.append((f"`{model}`", *(told(row) if row is not None else UNKNOWN for row in found)))
    return Table(columns, tuple(rows), f"{title}, {TARGETS.get(target, target)}")


def _panel(card: Scorecard, target: str, horizons: Sequence[int], of: Callable[[Result], float]) -> plots.Panel:
    lines = []
    for model in findings.models_of(card, target):
        found = [findings.result(card, target, model, horizon) for horizon in horizons]
        values = tuple(of(row) if row is not None else float("nan") for row in found)
        if model != PERSISTENCE and np.isfinite(values).any():
            lines.append(plots.Line(model, values))
    return plots.Panel(TARGETS.get(target, target), tuple(lines))


def skill(card: Scorecard) -> list[Block]:
    """Skill of the default model with its interval, and the test of Diebold and Mariano."""
    heads = ("skill", "95% interval", "DM statistic", "p", "pools better", "pools", "pairs")
    blocks: list[Block] = [
        Heading("Is it skill?"),
        Paragraph(
            f"Skill of `{card.default_model}`: 1 less its total error over that of persistence. Its interval is a "
            "bootstrap that draws pools, and origins in blocks. A negative statistic of Diebold and Mariano (DM) says "
            "that its errors are the lower ones; p is the chance of such a statistic between equally good forecasts."
        ),
    ]
    return [*blocks, *_by_target(card, "Skill", heads, _skill_cells)]


def _skill_cells(row: Result) -> tuple[str, ...]:
    low, high = (percent(end, digits=1, signed=True) for end in (row.skill_low, row.skill_high))
    return (
        percent(row.skill, digits=1, signed=True),
        UNKNOWN if is_unknown(row.skill_low) else f"{low} to {high}",
        decimals(row.dm_statistic, 2),
        findings.p_value(row.dm_p_value).removeprefix("= "),
        percent(row.share_of_pools_better, digits=0),
        f"{row.pools:,}",
        f"{row.pairs:,}",
    )


def _by_target(
    card: Scorecard, title: str, heads: Sequence[str], cells: Callable[[Result], tuple[str, ...]]
) -> list[Block]:
    """A table per target for the default model, a row per horizon."""
    columns = (Column("days ahead"), *(Column(head, numeric=True) for head in heads))
    blocks: list[Block] = []
    for target in findings.targets_of(card):
        mine = [row for row in findings.of_model(card, card.default_model) if row.target == target]
        name = TARGETS.get(target, target)
        rows = tuple((str(row.horizon_days), *cells(row)) for row in mine)
        blocks += [Heading(_capital(name), 3), Table(columns, rows, f"{title}, {name}")] if mine else []
    return blocks


def bands(card: Scorecard) -> list[Block]:
    """Coverage and width of the default model's bands."""
    if all(is_unknown(row.coverage) for row in findings.of_model(card, card.default_model)):
        return []
    targets = [name for name in ("apy", "mean_apy", "tvl") if name in findings.targets_of(card)]
    horizons = findings.horizons_of(card, targets[0])
    panels = [_panel(card, target, horizons, lambda row: row.coverage) for target in targets]
    return [
        Heading("Do the bands hold?"),
        Paragraph(
            f"Bands of `{card.default_model}` are meant to hold 80% of outcomes. Between 75% and 85% is what is aimed "
            f"at."
        ),
        *_by_target(card, "Bands", ("inside", "median width"), _band_cells),
        Picture(
            "coverage",
            "Share of outcomes inside the bands by days ahead",
            partial(plots.coverage, panels, horizons, card.default_model),
        ),
    ]


def _band_cells(row: Result) -> tuple[str, ...]:
    return percent(row.coverage, digits=1), _size(row.width_pp, row.target)


def choice(card: Scorecard) -> list[Block]:
    """Rank correlation and regret."""
    tables: list[Block] = []
    for title, told in (
        ("Rank correlation of forecast and outcome", lambda row: decimals(row.rank_correlation, 3)),
        ("Regret of the top 5, points of APY", lambda row: decimals(row.regret_top5_pp, 2)),
    ):
        tables += [Heading(title, 3), _by_horizon(card, "mean_apy", title, told)]
    return [
        Heading("Choosing among the eligible pools"),
        Paragraph(
            "Mean APY over the horizon, among the pools that a portfolio might have used on the day. Regret is the "
            "mean outcome of the best five pools less that of the five with the highest forecast."
        ),
        *tables,
    ]


def other_targets(card: Scorecard) -> list[Block]:
    """TVL and gas: the error of every model over that of persistence."""
    targets = [name for name in findings.targets_of(card) if name not in _APY_TARGETS]
    if not targets:
        return []
    blocks: list[Block] = [Heading("TVL and gas" if "gas" in targets else "TVL")]
    for target in targets:
        blocks += [Heading(_capital(TARGETS.get(target, target)), 3), _error_table(card, target)]
    return blocks


def yardstick(card: Scorecard) -> list[Block]:
    """DefiLlama's classifier target."""
    if not card.yardsticks:
        return []
    rows = tuple(
        (
            f"`{row.model}`",
            decimals(row.auc, 3),
            decimals(row.brier, 3),
            f"{row.rows:,}",
            percent(row.base_rate, digits=1),
        )
        for row in sorted(card.yardsticks, key=lambda row: -row.auc)
    )
    heads = ("AUC", "Brier", "pairs", "held")
    said = findings.yardstick_finding(card)
    return [
        Heading("DefiLlama's classifier as a yardstick"),
        Paragraph(
            "The question of DefiLlama's own model, rebuilt: will the median APY of the next 30 days be at least 80% "
            "of today's? `defillama_forest` is a random forest on its inputs, refitted on past labels only; the others "
            "are what bands for 30 days imply. Higher AUC and lower Brier are better."
        ),
        Table((Column("model"), *(Column(head, numeric=True) for head in heads)), rows, "Will the yield hold?"),
        *([Paragraph(said)] if said else []),
    ]


def in_full(card: Scorecard) -> list[Block]:
    """All metrics of every model, a table per target."""
    blocks: list[Block] = [
        Heading("Every figure"),
        Paragraph(
            "MAE over all pairs, as the median over pools, and weighted by TVL; MASE and RMSSE: error over the mean "
            "absolute and the root mean square daily change of the past, median over pools; pinball: mean loss of the "
            "two bounds, median over pools. Errors of TVL are in percent of the pool's mean TVL.",
            quiet=True,
        ),
    ]
    heads = ("days", "MAE", "median", "by TVL", "MASE", "RMSSE", "pinball")
    for target in findings.targets_of(card):
        rows = tuple(
            _full_row(row)
            for horizon in findings.horizons_of(card, target)
            for row in (findings.result(card, target, model, horizon) for model in findings.models_of(card, target))
            if row is not None
        )
        columns = (Column("model"), *(Column(head, numeric=True) for head in heads))
        unit = _UNITS.get(target, "points")
        title = f"{_capital(TARGETS.get(target, target))}, {unit}"
        blocks += [Heading(title, 3), Table(columns, rows, title)]
    return blocks


def _full_row(row: Result) -> tuple[str, ...]:
    return (
        f"`{row.model}`",
        str(row.horizon_days),
        decimals(row.mae_pp, 3),
        decimals(row.mae_median_pp, 3),
        decimals(row.mae_tvl_weighted_pp, 3),
        decimals(row.mase, 2),
        decimals(row.rmsse, 2),
        decimals(row.pinball, 4),
    )


def decimals(value: float | None, digits: int) -> str:
    """A number with a fixed number of decimals."""
    return UNKNOWN if value is None or is_unknown(value) else f"{value:,.{digits}f}"


def _size(value: float, target: str) -> str:
    unit = _UNITS.get(target, "points")
    return f"{decimals(value, 2)} {unit}" if unit != "%" else f"{decimals(value, 1)}%"


def _capital(text: str) -> str:
    return text[0].upper() + text[1:]
