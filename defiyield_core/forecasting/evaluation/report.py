"""The report on forecasts: markdown, one HTML page, and pictures. Every word and number in it is generated.

Belongs here: the order of the report and its tables. Does not belong here: metrics (see `scorecard`), what follows from
them (see `report_findings`), pictures (see `report_plots`).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd

from defiyield_core.backtest.forecast_value import PERSISTENCE, ForecastValue, ValueRow
from defiyield_core.errors import ConfigurationError
from defiyield_core.forecasting.evaluation import report_accuracy as accuracy
from defiyield_core.forecasting.evaluation import report_findings as findings
from defiyield_core.forecasting.evaluation import report_plots as plots
from defiyield_core.forecasting.evaluation.evaluate import Evaluation
from defiyield_core.forecasting.evaluation.report_findings import ratio
from defiyield_core.forecasting.evaluation.scorecard import PoolRow, Scorecard
from defiyield_core.forecasting.evaluation.scores import Scores
from defiyield_core.reporting.document import (
    Block,
    Bullets,
    Document,
    Heading,
    Paragraph,
    Picture,
    Table,
    html,
    markdown,
    png,
)
from defiyield_core.reporting.figures import basis_points, count, is_unknown, percent, usd
from defiyield_core.reporting.tables import Column

PATHS_HORIZON_DAYS = 7
_WORST_SHOWN = 10
_NAMED = 15


def write_report(found: Evaluation, out_dir: Path, value: ForecastValue | None = None) -> Path:
    """Write `report.md`, `report.html` and a PNG per picture; the path of the page.

    Raises:
        ConfigurationError: the folder cannot be made or written.
    """
    document = forecast_report(found, value)
    try:
        out_dir.mkdir(parents=True, exist_ok=True)
        for picture in document.pictures:
            (out_dir / f"{picture.name}.png").write_bytes(png(picture))
        (out_dir / "report.md").write_text(markdown(document, "{}.png".format))
        page = out_dir / "report.html"
        page.write_text(html(document))
    except OSError as error:
        raise ConfigurationError(f"--out {out_dir}: cannot be written: {error}") from error
    return page


def forecast_report(found: Evaluation, value: ForecastValue | None = None) -> Document:
    """The report as blocks.

    Args:
        value: what the forecasts earned; None leaves that section out.
    """
    scores, card = found.scores, found.card
    sections: list[list[Block]] = [
        _done(card),
        accuracy.errors(card),
        accuracy.fewer_origins(found.weekly.card) if found.weekly is not None else [],
        accuracy.skill(card),
        accuracy.bands(card),
        accuracy.choice(card),
        _pools(card),
        _paths(scores, card),
        accuracy.other_targets(card),
        accuracy.yardstick(card),
        _value(value, card.default_model) if value is not None else [],
        _limits(card, value),
        accuracy.in_full(card),
    ]
    return Document(
        title="What the forecasts are worth",
        kicker=f"Forecasts against what came, {card.start} to {card.end}",
        lead=findings.headline(card),
        blocks=tuple(block for section in sections for block in section),
    )


def _done(card: Scorecard) -> list[Block]:
    models = ", ".join(f"`{name}`" for name in findings.models_of(card, "mean_apy"))
    every = "every day" if card.step_days == 1 else f"every {findings.days(card.step_days)}"
    skipped = [
        f"{reason}: {count(pairs, 'pair')} of pool and origin"
        for reason, pairs in sorted(card.skipped.items(), key=lambda item: -item[1])
        if pairs
    ]
    blocks: list[Block] = [
        Heading("What was done"),
        Paragraph(
            f"{count(card.origins, 'origin')}, {every} from {card.start} on, outcomes up to {card.end}. At each origin "
            f"a model sees that day and what came before it, nothing later. Nothing was tuned on these days: tuning "
            f"ended on {card.tuned_through}. Models: {models}; portfolios use `{card.default_model}` unless told "
            f"otherwise."
        ),
        Paragraph(
            f"{count(card.pools.seen, 'stablecoin pool')} seen, {card.pools.scored} scored. Errors relative to "
            f"persistence are medians over the {card.pools.judged} pools with at least 120 observed days and a median "
            f"TVL above $500,000. All models are scored on the same pairs."
        ),
    ]
    for title, items in (("Not scored:", skipped), ("Read with care:", card.warnings)):
        blocks += [Paragraph(title), Bullets(tuple(items))] if items else []
    return blocks


def _pools(card: Scorecard) -> list[Block]:
    target = "apy"
    rows = [row for row in card.by_pool if row.model == card.default_model and row.target == target]
    if not rows:
        return []
    horizons = sorted({row.horizon_days for row in rows})
    ratios = [
        (findings.days(horizon), np.array([row.relative_mae for row in rows if row.horizon_days == horizon]))
        for horizon in horizons
    ]
    return [
        Heading("Pool by pool"),
        Paragraph(
            f"Each dot is a pool: error of `{card.default_model}` over that of persistence for the APY on the last "
            f"day. Blue is better than persistence, red is not; the bar is the median. Pools beyond the scale stand at "
            f"its edge."
        ),
        Picture("error_by_pool", "Error over that of persistence by pool", partial(plots.pool_errors, ratios)),
    ]


def _paths(scores: Scores, card: Scorecard) -> list[Block]:
    chosen = _chosen_pools(scores.frame, card)
    frame = scores.frame
    kept = frame[
        (frame["target"] == "apy")
        & (frame["model"] == card.default_model)
        & (frame["horizon_days"] == PATHS_HORIZON_DAYS)
    ].sort_values("target_date")
    if not chosen:
        return []
    paths = [
        plots.PoolPath(
            f"{findings.pool_name(row)} ({why}, {row.relative_mae:.2f})", kept[kept["pool_id"] == row.pool_id]
        )
        for why, row in chosen
    ]
    return [
        Heading("A few pools"),
        Paragraph(
            f"APY {findings.days(PATHS_HORIZON_DAYS)} ahead: what was forecast for a day, its band, and what came. The "
            "largest pool, and those where the error over that of persistence (the number) is lowest, median and "
            "highest."
        ),
        Picture("pools", "Forecasts and outcomes of a few pools", partial(plots.pool_paths, paths)),
    ]


def _chosen_pools(frame: pd.DataFrame, card: Scorecard) -> list[tuple[str, PoolRow]]:
    """The largest pool, and the best, the median and the worst one; each at most once."""
    rows = [
        row
        for row in card.by_pool
        if (row.target, row.model, row.horizon_days) == ("apy", card.default_model, PATHS_HORIZON_DAYS)
        and not is_unknown(row.relative_mae)
    ]
    if not rows:
        return []
    size = frame.groupby("pool_id")["tvl_usd"].mean()
    rows = sorted(rows, key=lambda row: (row.relative_mae, row.pool_id))
    wanted = (
        ("largest", max(rows, key=lambda row: float(size.get(row.pool_id, 0.0)))),
        ("best", rows[0]),
        ("median", rows[len(rows) // 2]),
        ("worst", rows[-1]),
    )
    chosen: dict[str, tuple[str, PoolRow]] = {}
    for why, row in wanted:
        chosen.setdefault(row.pool_id, (why, row))
    return list(chosen.values())


def _value(value: ForecastValue, model: str) -> list[Block]:
    heads = ("net APY", "gain", "capture", "95% interval", "pools paid", "fees", "turnover")
    labels = [usd(book) for book in value.books_usd]
    columns = (Column("forecast"), *(Column(head, numeric=True) for head in heads))
    tables: list[Block] = []
    for book in value.books_usd:
        rows = tuple((f"`{row.forecast}`", *_value_cells(row)) for row in value.rows if row.book_usd == book)
        tables += [Heading(usd(book), 3), Table(columns, rows, f"Net APY and capture, {usd(book)}")]
    days = count((value.end - value.start).days + 1, "day")
    failed = [row for row in value.rows if row.money.days_not_ok]
    return [
        Heading("What it earns"),
        Paragraph(
            f"Portfolio `{value.portfolio}`, {days} of decisions from {value.start} to {value.end}: the same "
            f"optimiser, parameters, costs, books and pools, only the forecast is swapped. Which pools may be used is "
            f"judged on the forecasts of `{value.judged_by}` in every run, and the parameters are the same at every "
            f"size. `foresight` is told what each pool pays over the next {value.horizon_days} days and its TVL at "
            f"their end. It decides day by day like the others, so it bounds what a forecast of this horizon can earn "
            f"under these rules, not what is possible. Gain is the net APY over that of persistence, capture the gain "
            f"as a share of what foresight gains."
        ),
        *tables,
        Paragraph(
            "Pools paid is the APY before costs. The interval of the gain is a bootstrap of blocks of 28 days; it says "
            "nothing about other markets than this one.",
            quiet=True,
        ),
        Picture(
            "value", "Net APY by size of the book and forecast", partial(plots.value_by_book, value, labels, model)
        ),
        Bullets(tuple(findings.value_sentences(value, model))),
        *([Paragraph(_failed_days(failed))] if failed else []),
    ]


def _value_cells(row: ValueRow) -> tuple[str, ...]:
    money = row.money
    compared = row.forecast != PERSISTENCE
    interval = f"{basis_points(row.gain_low, signed=True)} to {basis_points(row.gain_high, signed=True)}"
    return (
        percent(money.net_apy),
        basis_points(row.gain_apy, signed=True) if compared else "",
        percent(row.capture, digits=0) if compared else "",
        interval if compared and not is_unknown(row.gain_low) else "",
        percent(money.gross_apy),
        usd(money.fees_usd, digits=0),
        f"{money.turnover:.1f}x",
    )


def _failed_days(rows: Sequence[ValueRow]) -> str:
    told = ", ".join(f"{usd(row.book_usd)} under `{row.forecast}` {row.money.days_not_ok}" for row in rows)
    return f"Days on which a run held because no decision could be made: {told}."


def _limits(card: Scorecard, value: ForecastValue | None) -> list[Block]:
    model = card.default_model
    told = [
        (f"`{model}` may owe its skill to chance, or has none", findings.unproven(card)),
        ("The test of Diebold and Mariano sees no difference from persistence", findings.insignificant(card)),
        ("Another model has the lower median error", findings.beaten(card)),
        ("Bands hold too few or too many outcomes", findings.off_coverage(card)),
        ("It orders the eligible pools no better than persistence", findings.no_better_choice(card)),
        (
            "It earns little, nothing, or what may be chance",
            findings.value_findings(value, model) if value is not None else [],
        ),
    ]
    blocks: list[Block] = [Heading("Where it does not help")]
    for title, items in told:
        if items:
            blocks += [Heading(title, 3), Bullets(tuple(items))]
    clean = [title[0].lower() + title[1:] for title, items in told[: -1 if value is None else None] if not items]
    if clean:
        blocks.append(Paragraph(f"Looked for and not found: {'; '.join(clean)}."))
    return [*blocks, *_worse_pools(card)]


def _worse_pools(card: Scorecard) -> list[Block]:
    rows = [row for row in card.by_pool if (row.target, row.model) == ("apy", card.default_model)]
    known = [row.horizon_days for row in rows if not math.isnan(row.relative_mae)]
    horizons = sorted(set(known))
    if not horizons:
        return []
    shares = [
        f"{findings.days(horizon)}: {len(findings.worse_pools(card, 'apy', horizon))} of {known.count(horizon)}"
        for horizon in horizons
    ]
    blocks: list[Block] = [
        Heading("Pools on which persistence is better", 3),
        Paragraph(
            f"By days ahead, for the APY on the last day: {'; '.join(shares)}. Pools whose rate does not move, where "
            "persistence is without error (∞), are among them."
        ),
        *_worst(card, PATHS_HORIZON_DAYS if PATHS_HORIZON_DAYS in horizons else horizons[0]),
    ]
    always = findings.always_worse(card)
    if always:
        said = count(len(always), "pool is", "pools are")
        blocks.append(Paragraph(f"{said} worse at every horizon: {findings.named(always, _NAMED)}."))
    return blocks


def _worst(card: Scorecard, horizon_days: int) -> list[Block]:
    worst = findings.worse_pools(card, "apy", horizon_days)[:_WORST_SHOWN]
    if not worst:
        return []
    rows = tuple(
        (
            findings.pool_id_name(row),
            accuracy.decimals(findings.points_lost(row), 2),
            accuracy.decimals(row.mae_pp, 2),
            ratio(row.relative_mae),
            str(row.pairs),
        )
        for row in worst
    )
    heads = ("points worse", "MAE, points", "over persistence", "pairs")
    columns = (Column("pool"), *(Column(head, numeric=True) for head in heads))
    title = f"Those that lose most at {findings.days(horizon_days)}"
    return [Paragraph(f"{title}:"), Table(columns, rows, title)]
