"""What a scorecard says in sentences: where forecasts help, and where they do not. Pure functions of the numbers.

Belongs here: comparing figures and wording what follows. Does not belong here: tables and the order of the report (see
`report`), pictures (see `report_plots`).
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from defiyield_core.backtest.forecast_value import FORESIGHT, PERSISTENCE, ForecastValue, ValueRow
from defiyield_core.forecasting.evaluation.scorecard import PoolRow, Result, Scorecard
from defiyield_core.reporting.figures import basis_points, count, is_unknown, percent, usd

BASELINES = ("persistence", "ewma", "median_7d", "ses")
TARGETS = {
    "apy": "APY on the last day",
    "mean_apy": "mean APY over the horizon",
    "tvl": "TVL on the last day",
    "gas": "mean gas price over the horizon",
}
SMALL_CAPTURE = 0.25
LEAST_P = 0.05
COVERAGE_RANGE = (0.75, 0.85)


def result(card: Scorecard, target: str, model: str, horizon_days: int) -> Result | None:
    """The row of the scorecard, if there is one."""
    found = (row for row in card.results if (row.target, row.model, row.horizon_days) == (target, model, horizon_days))
    return next(found, None)


def of_model(card: Scorecard, model: str) -> list[Result]:
    """Rows of one model: targets in the order of `TARGETS`, then horizons."""
    order = {name: place for place, name in enumerate(TARGETS)}
    rows = [row for row in card.results if row.model == model]
    return sorted(rows, key=lambda row: (order.get(row.target, len(order)), row.horizon_days))


def targets_of(card: Scorecard) -> list[str]:
    """Targets that were scored, in the order of `TARGETS`."""
    scored = {row.target for row in card.results}
    return [*(name for name in TARGETS if name in scored), *sorted(scored - set(TARGETS))]


def distinct(card: Scorecard) -> list[Result]:
    """Rows of the default model without the mean over a single day, which is the APY on it."""
    rows = of_model(card, card.default_model)
    both = {row.target for row in rows if row.horizon_days == 1} >= {"apy", "mean_apy"}
    return [row for row in rows if not (both and (row.target, row.horizon_days) == ("mean_apy", 1))]


def horizons_of(card: Scorecard, target: str) -> list[int]:
    """Horizons that were scored for a target."""
    return sorted({row.horizon_days for row in card.results if row.target == target})


def models_of(card: Scorecard, target: str) -> list[str]:
    """Models that were scored for a target: the default one first, the baselines last."""
    scored = list(dict.fromkeys(row.model for row in card.results if row.target == target))
    rank = {card.default_model: -1, **{name: 1 + place for place, name in enumerate(reversed(BASELINES))}}
    return sorted(scored, key=lambda name: (rank.get(name, 0), name))


def what(row: Result) -> str:
    """`mean APY over the horizon, 7 days ahead`."""
    return f"{TARGETS.get(row.target, row.target)}, {days(row.horizon_days)} ahead"


def days(horizon: int) -> str:
    """`1 day`, `7 days`."""
    return count(horizon, "day")


def ratio(value: float) -> str:
    """An error over that of persistence; infinite where persistence is without error."""
    return "∞" if value == math.inf else "n/a" if is_unknown(value) else f"{value:.3f}"


def headline(card: Scorecard) -> str:
    """One sentence on the error of the default model over that of persistence, and on its skill."""
    said = []
    for target in ("apy", "mean_apy"):
        rows = [row for row in of_model(card, card.default_model) if row.target == target]
        if rows:
            told = ", ".join(f"{ratio(row.relative_mae)} at {row.horizon_days}" for row in rows)
            said.append(f"{TARGETS[target]}: {told}")
    if not said:
        return f"`{card.default_model}` was not scored on APY."
    return (
        f"Error of `{card.default_model}` over that of persistence, median over pools, by days ahead (below 1 is "
        f"better): {'; '.join(said)}."
    )


def unproven(card: Scorecard) -> list[str]:
    """Where the skill of the default model may be chance, or is negative."""
    said = []
    for row in distinct(card):
        skill = percent(row.skill, digits=1)
        low, high = (percent(end, digits=1) for end in (row.skill_low, row.skill_high))
        if is_unknown(row.skill_low):
            said.append(f"{_first(what(row))}: skill {skill}, its interval is not known.")
        elif row.skill_high < 0:
            said.append(f"{_first(what(row))}: worse than persistence, skill {skill} ({low} to {high}).")
        elif row.skill_low <= 0:
            said.append(f"{_first(what(row))}: the interval of the skill contains 0: {skill} ({low} to {high}).")
    return said


def insignificant(card: Scorecard) -> list[str]:
    """Where the test of Diebold and Mariano does not tell the default model from persistence."""
    rows = [row for row in distinct(card) if not row.dm_p_value < LEAST_P]
    return [
        f"{_first(what(row))}: p {p_value(row.dm_p_value)} (statistic {_number(row.dm_statistic)})." for row in rows
    ]


def beaten(card: Scorecard) -> list[str]:
    """Where another model has a lower median error than the default one."""
    said = []
    for row in distinct(card):
        others = [
            other
            for other in card.results
            if (other.target, other.horizon_days) == (row.target, row.horizon_days)
            and other.model != row.model
            and other.relative_mae < row.relative_mae
        ]
        if others:
            best = min(others, key=lambda other: other.relative_mae)
            kind = "the baseline " if best.model in BASELINES else ""
            more = f", and {count(len(others) - 1, 'other')}" if len(others) > 1 else ""
            said.append(
                f"{_first(what(row))}: {kind}`{best.model}` has {ratio(best.relative_mae)}{more}, "
                f"`{row.model}` {ratio(row.relative_mae)}."
            )
    return said


def off_coverage(card: Scorecard) -> list[str]:
    """Where the bands of 80 % hold too few or too many outcomes."""
    low, high = COVERAGE_RANGE
    return [
        f"{_first(what(row))}: {percent(row.coverage, digits=1)} of outcomes are inside."
        for row in distinct(card)
        if not is_unknown(row.coverage) and not low <= row.coverage <= high
    ]


def no_better_choice(card: Scorecard) -> list[str]:
    """Where the default model orders the eligible pools no better than persistence."""
    said = []
    for row in distinct(card):
        naive = result(card, row.target, PERSISTENCE, row.horizon_days)
        if naive is None or row.target not in ("apy", "mean_apy"):
            continue
        if row.rank_correlation <= naive.rank_correlation:
            said.append(
                f"{_first(what(row))}: rank correlation {row.rank_correlation:.3f}, persistence "
                f"{naive.rank_correlation:.3f}."
            )
        if row.regret_top5_pp >= naive.regret_top5_pp:
            said.append(
                f"{_first(what(row))}: regret of the top 5 {row.regret_top5_pp:.2f} points, persistence "
                f"{naive.regret_top5_pp:.2f}."
            )
    return said


def yardstick_finding(card: Scorecard) -> str:
    """Where the default model stands against the rebuilt classifier; empty when either is missing."""
    by_model = {row.model: row for row in card.yardsticks}
    mine, forest = by_model.get(card.default_model), by_model.get("defillama_forest")
    if mine is None or forest is None:
        return ""
    better = "better" if mine.auc > forest.auc else "no better"
    closer = "better" if mine.brier < forest.brier else "no better"
    return (
        f"`{mine.model}` orders pools {better} than the classifier (AUC {mine.auc:.3f} against {forest.auc:.3f}) and "
        f"its probabilities are {closer} (Brier {mine.brier:.3f} against {forest.brier:.3f})."
    )


def points_lost(row: PoolRow) -> float:
    """Points of APY by which the mean error is larger than that of persistence: `MAE (1 - 1 / relative)`."""
    return row.mae_pp * (1.0 - 1.0 / row.relative_mae)


def worse_pools(card: Scorecard, target: str, horizon_days: int) -> list[PoolRow]:
    """Pools on which the default model errs more than persistence, those that lose most points first."""
    rows = [
        row
        for row in card.by_pool
        if (row.target, row.model, row.horizon_days) == (target, card.default_model, horizon_days)
    ]
    return sorted((row for row in rows if row.relative_mae > 1.0), key=lambda row: (-points_lost(row), row.pool_id))


def always_worse(card: Scorecard) -> list[PoolRow]:
    """Pools (a row each) that are worse than persistence for every target of APY and every horizon."""
    rows = [row for row in card.by_pool if row.model == card.default_model and row.target in ("apy", "mean_apy")]
    by_pool: dict[str, list[PoolRow]] = {}
    for row in rows:
        if not math.isnan(row.relative_mae):
            by_pool.setdefault(row.pool_id, []).append(row)
    worse = [found[0] for found in by_pool.values() if all(row.relative_mae > 1.0 for row in found)]
    return sorted(worse, key=lambda row: (row.symbol, row.protocol, row.pool_id))


def value_findings(value: ForecastValue, model: str) -> list[str]:
    """Sizes at which the capture is negative, small or undefined, or the gain may be chance."""
    said = []
    for book in value.books_usd if model in value.forecasts else ():
        row = value.row(model, book)
        if math.isnan(row.capture):
            said.append(f"{usd(book)}: even foresight gains less than a basis point over persistence.")
        elif row.capture < 0:
            said.append(f"{usd(book)}: the model earns {basis_points(-row.gain_apy)} a year less than persistence.")
        elif row.capture < SMALL_CAPTURE:
            said.append(f"{usd(book)}: only {percent(row.capture, digits=0)} of what foresight gains is captured.")
        if is_unknown(row.gain_low):
            said.append(f"{usd(book)}: too few days for an interval of the gain.")
        elif row.gain_low <= 0:
            low, high = (basis_points(end, signed=True) for end in (row.gain_low, row.gain_high))
            said.append(f"{usd(book)}: the interval of the gain reaches below 0: {low} to {high}.")
    return said


def value_sentences(value: ForecastValue, model: str) -> list[str]:
    """What the model gained at each size, and whether it came from better pools or lower costs."""
    said = []
    for book in value.books_usd if model in value.forecasts else ():
        row, naive, best = (value.row(name, book) for name in (model, PERSISTENCE, FORESIGHT))
        verb = "more" if row.gain_apy >= 0 else "less"
        said.append(
            f"{usd(book)}: {basis_points(abs(row.gain_apy))} a year {verb} than persistence, foresight "
            f"{basis_points(best.gain_apy, signed=True)}. {_source_of_gain(row, naive)}"
        )
    return said


def _source_of_gain(row: ValueRow, naive: ValueRow) -> str:
    paid = row.money.gross_apy - naive.money.gross_apy
    cheaper = naive.money.fees_usd - row.money.fees_usd
    pools = f"{basis_points(abs(paid))} {'more' if paid >= 0 else 'less'}"
    costs = f"{usd(abs(cheaper), digits=0)} {'less' if cheaper >= 0 else 'more'}"
    return f"Its pools paid {pools} a year before costs, and {costs} went into fees."


def pool_name(row: PoolRow) -> str:
    """`USDC, aave-v3`."""
    return f"{row.symbol}, {row.protocol}"


def pool_id_name(row: PoolRow) -> str:
    """`USDC, aave-v3 (aa70268e)`: with the beginning of its id, for several pools may have one name."""
    return f"{pool_name(row)} ({row.pool_id[:8]})"


def named(rows: Sequence[PoolRow], at_most: int) -> str:
    """Pools by name, shortened."""
    shown = "; ".join(pool_id_name(row) for row in rows[:at_most])
    return shown + (f"; and {len(rows) - at_most} more" if len(rows) > at_most else "")


def _first(text: str) -> str:
    return text[0].upper() + text[1:]


def p_value(value: float) -> str:
    """`= 0.031`, or `< 0.001`."""
    return "is not known" if is_unknown(value) else "< 0.001" if value < 0.001 else f"= {value:.3f}"


def _number(value: float) -> str:
    return "n/a" if is_unknown(value) else f"{value:.2f}"
