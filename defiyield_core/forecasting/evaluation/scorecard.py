"""The scorecard: every figure about the scored forecasts of a run, computed from their table alone.

Belongs here: what is on the card and how each figure is put together. Does not belong here: formulas (see `metrics`),
units of errors
(see `losses`), tests of significance (see `significance`), wording (see `report`).
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from datetime import date

import numpy as np
import pandas as pd

from defiyield_core.forecasting.evaluation.classifier import Yardstick, yardsticks
from defiyield_core.forecasting.evaluation.losses import REFERENCE, Group, groups
from defiyield_core.forecasting.evaluation.metrics import (
    coverage,
    mean_by_pool,
    mean_of_known,
    median_of_known,
    pinball,
    regret_of_top,
    relative_mae,
    scaled,
    spearman,
    weighted_mean,
)
from defiyield_core.forecasting.evaluation.scores import SCORED, Scores
from defiyield_core.forecasting.evaluation.significance import (
    Comparison,
    Interval,
    diebold_mariano,
    origins_per_block,
    overlapping_origins,
    pooled_skill,
)
from defiyield_core.forecasting.intervals import LOWER, UPPER
from defiyield_core.forecasting.port import GAS_ID
from defiyield_core.units import FloatArray

FEWEST_JUDGED_DAYS = 120
FEWEST_JUDGED_SHARE = 0.8
SMALLEST_JUDGED_TVL_USD = 500_000.0
FEWEST_WEEKS = 26
TUNED_THROUGH = date(2024, 11, 30)
"""Last day that any choice in the models was made on."""
RANKED = frozenset({"apy", "mean_apy"})
"""Targets by which pools are chosen."""


@dataclass(frozen=True)
class Pools:
    """Numbers of pools.

    Attributes:
        seen: in the data. scored: with a scored pair.
        judged: scored, with at least `fewest_days` observed days and a median TVL over 500,000 USD.
        fewest_days: 120, or less where the data are short (see `fewest_judged_days`).
    """

    seen: int
    scored: int
    judged: int
    fewest_days: int = FEWEST_JUDGED_DAYS


@dataclass(frozen=True)
class Result:
    """One model on one target and horizon; NaN where a figure is not known.

    Attributes:
        pools, pairs: scored pools, and pairs of pool and origin.
        mae_pp: mean over the pairs; `mae_median_pp` median over the pools' means; `mae_tvl_weighted_pp` their mean
            weighted by the pools' TVL.
        mase: median over pools of the mean error in daily changes up to the origin; rmsse: likewise, root mean square.
        pinball: median over pools of the mean loss of the two bounds, in the unit of the error.
        coverage: share of outcomes within the bounds. width_pp: median over pools of their mean distance (a few tiny
            pools have bounds beyond all measure).
        rank_correlation, regret_top5_pp: means over origins, among the eligible pools.
        relative_mae: median over judged pools of the error over that of persistence.
        share_of_pools_better: share of judged pools on which it is below 1.
        skill: 1 - total error over that of persistence, with the ends of its 95 % interval.
        dm_statistic, dm_p_value: Diebold and Mariano against persistence; negative: this model errs less.
    """

    target: str
    model: str
    horizon_days: int
    pools: int
    pairs: int
    mae_pp: float
    mae_median_pp: float
    mae_tvl_weighted_pp: float
    mase: float
    rmsse: float
    pinball: float
    coverage: float
    width_pp: float
    rank_correlation: float
    regret_top5_pp: float
    relative_mae: float
    share_of_pools_better: float
    skill: float
    skill_low: float
    skill_high: float
    dm_statistic: float
    dm_p_value: float


@dataclass(frozen=True)
class PoolRow:
    """One model on one judged pool, target and horizon."""

    pool_id: str
    symbol: str
    protocol: str
    target: str
    horizon_days: int
    model: str
    pairs: int
    mae_pp: float
    relative_mae: float


@dataclass(frozen=True)
class Skipped:
    """Pairs of pool and origin that could not be scored."""

    target: str
    horizon_days: int
    reason: str
    pairs: int


@dataclass(frozen=True)
class Run:
    """What was evaluated.

    Attributes:
        start: first origin. end: last day whose outcomes count. step_days: distance of origins.
    """

    default_model: str
    start: date
    end: date
    step_days: int
    tuned_through: date = TUNED_THROUGH


@dataclass(frozen=True)
class Scorecard:
    """The whole card.

    Attributes:
        origins: with at least one scored pair.
        skipped: number of pairs by reason, over all targets and horizons; `skipped_by` has them one by one.
        by_pool: judged pools only (`by_pool_frame` has all).
        warnings: sentences about what the figures cannot bear.
    """

    default_model: str
    start: date
    end: date
    step_days: int
    origins: int
    tuned_through: date
    pools: Pools
    results: tuple[Result, ...]
    yardsticks: tuple[Yardstick, ...]
    skipped: Mapping[str, int]
    skipped_by: tuple[Skipped, ...]
    by_pool: tuple[PoolRow, ...]
    warnings: tuple[str, ...]


def scorecard(scores: Scores, pools: pd.DataFrame, run: Run, probabilities: pd.DataFrame | None = None) -> Scorecard:
    """The card of a table of scores.

    Args:
        pools: a row per pool of the data: pool_id, symbol, protocol, observed_days, median_tvl_usd.
        probabilities: what models said of DefiLlama's classifier target (see `classifier`); None: not asked.
    """
    judged = judged_pools(pools)
    results = [result for group in groups(scores.frame) for result in _results(group, judged, run.step_days)]
    by_pool = by_pool_frame(scores, pools)
    kept = by_pool[by_pool["judged"]][[field.name for field in fields(PoolRow)]]
    refused = scores.skipped[(scores.skipped["reason"] != SCORED) & (scores.skipped["pairs"] > 0)]
    frame = scores.frame
    scored = set(frame["pool_id"]) - {GAS_ID}
    numbers = Pools(len(pools), len(scored), len(scored & judged), fewest_judged_days(pools))
    origins = int(frame["origin"].nunique())
    return Scorecard(
        run.default_model,
        run.start,
        run.end,
        run.step_days,
        origins,
        run.tuned_through,
        numbers,
        tuple(results),
        tuple(yardsticks(probabilities)) if probabilities is not None else (),
        {str(reason): int(rows["pairs"].sum()) for reason, rows in refused.groupby("reason", sort=True)},
        tuple(Skipped(*row) for row in refused[["target", "horizon_days", "reason", "pairs"]].itertuples(index=False)),
        tuple(PoolRow(*row) for row in kept.itertuples(index=False)),
        (*scores.warnings, *_warnings(frame, run, origins, numbers)),
    )


def fewest_judged_days(pools: pd.DataFrame) -> int:
    """`min(120, 0.8 x the most days that any pool was observed)`: short data still have pools that can be judged."""
    most = int(pools["observed_days"].max()) if len(pools) else 0
    return max(1, min(FEWEST_JUDGED_DAYS, round(FEWEST_JUDGED_SHARE * most)))


def judged_pools(pools: pd.DataFrame) -> set[str]:
    """Ids of the pools with at least `fewest_judged_days` observed days and a median TVL above 500,000 USD."""
    kept = (pools["observed_days"] >= fewest_judged_days(pools)) & (pools["median_tvl_usd"] > SMALLEST_JUDGED_TVL_USD)
    return set(pools.loc[kept, "pool_id"])


def fewest_origins(step_days: int) -> int:
    """Origins in 26 weeks."""
    return math.ceil(FEWEST_WEEKS * 7 / step_days)


def to_json(card: Scorecard) -> dict[str, object]:
    """The card as values of JSON: dates are text, a figure that is not known (or infinite) is None."""
    found = _plain(asdict(card))
    assert isinstance(found, dict)
    return found


def _plain(value: object) -> object:
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, Mapping):
        return {str(key): _plain(one) for key, one in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(one) for one in value]
    return value


def _warnings(frame: pd.DataFrame, run: Run, origins: int, pools: Pools) -> Iterator[str]:
    wanted = fewest_origins(run.step_days)
    if origins < wanted:
        yield (
            f"only {origins} origins could be scored, fewer than the {wanted} of {FEWEST_WEEKS} weeks: differences "
            "between models may be chance"
        )
    if not pools.scored:
        yield "no pair of pool and origin could be scored"
    elif not pools.judged:
        yield (
            f"no scored pool has {pools.fewest_days} observed days and a median TVL above "
            f"{SMALLEST_JUDGED_TVL_USD:,.0f} USD: there is no error relative to persistence"
        )
    elif pools.fewest_days < FEWEST_JUDGED_DAYS:
        yield f"short data: pools are judged from {pools.fewest_days} observed days on, not {FEWEST_JUDGED_DAYS}"
    if pools.scored and run.default_model not in set(frame["model"]):
        yield f"the default model, {run.default_model}, is not among those scored"
    if run.start <= run.tuned_through:
        yield f"origins up to {run.tuned_through} are days on which models were tuned: their errors flatter"


def _results(group: Group, judged: set[str], step_days: int) -> Iterator[Result]:
    known = np.array([pool in judged or pool == GAS_ID for pool in group.pools], dtype=bool)
    reference = group.loss(REFERENCE) if REFERENCE in group.own else None
    for model in group.own:
        loss = group.loss(model)
        scored = np.isfinite(group.own[model]["forecast"])
        by_pool = mean_by_pool(loss)
        ratio = relative_mae(loss, reference)[known] if reference is not None else np.empty(0)
        against = _against(loss, reference, group.horizon_days, step_days, is_reference=model == REFERENCE)
        yield Result(
            group.target,
            model,
            group.horizon_days,
            int(scored.any(axis=0).sum()),
            int(scored.sum()),
            mean_of_known(loss),
            median_of_known(by_pool),
            weighted_mean(by_pool, group.tvl_usd),
            *_scaled_errors(group, model),
            *_bounds(group, model),
            *_choice(group, model),
            median_of_known(ratio),
            mean_of_known(np.where(np.isnan(ratio), np.nan, ratio < 1.0)),
            *against,
        )


def _scaled_errors(group: Group, model: str) -> tuple[float, float]:
    """MASE and RMSSE."""
    error = group.own[model]["forecast"] - group.shared["actual"]
    absolute = mean_by_pool(scaled(error, group.shared["lifetime_scale"]))
    squared = mean_by_pool(scaled(error, group.shared["lifetime_rms"]) ** 2)
    return median_of_known(absolute), median_of_known(np.sqrt(squared))


def _bounds(group: Group, model: str) -> tuple[float, float, float]:
    """Pinball loss, coverage and width."""
    actual, lower, upper = group.shared["actual"], group.own[model]["lower"], group.own[model]["upper"]
    loss = 0.5 * (pinball(actual, lower, LOWER) + pinball(actual, upper, UPPER)) * group.unit
    width = (upper - lower) * group.unit
    return median_of_known(mean_by_pool(loss)), coverage(actual, lower, upper), median_of_known(mean_by_pool(width))


def _choice(group: Group, model: str) -> tuple[float, float]:
    """Rank correlation and regret among the eligible pools, means over the origins."""
    if group.target not in RANKED:
        return float("nan"), float("nan")
    eligible = group.shared["eligible"] > 0
    forecast = np.where(eligible, group.own[model]["forecast"], np.nan)
    actual = np.where(eligible, group.shared["actual"], np.nan)
    days = list(zip(forecast, actual, strict=True))
    ranks = np.array([spearman(*day) for day in days])
    return mean_of_known(ranks), 100.0 * mean_of_known(np.array([regret_of_top(*day) for day in days]))


def _against(
    loss: FloatArray, reference: FloatArray | None, horizon_days: int, step_days: int, *, is_reference: bool
) -> tuple[float, float, float, float, float]:
    """Skill with its interval, statistic and p-value of Diebold and Mariano."""
    nan = float("nan")
    if reference is None:
        return nan, nan, nan, nan, nan
    if is_reference:
        return 0.0, 0.0, 0.0, nan, nan
    skill: Interval = pooled_skill(loss, reference, origins_per_block(horizon_days, step_days))
    test: Comparison = diebold_mariano(loss, reference, overlapping_origins(horizon_days, step_days))
    return skill.value, skill.low, skill.high, test.statistic, test.p_value


def by_pool_frame(scores: Scores, pools: pd.DataFrame) -> pd.DataFrame:
    """A row per scored pool, target, horizon and model: the columns of `PoolRow` and `judged`."""
    known = pools.drop_duplicates("pool_id").set_index("pool_id")[["symbol", "protocol"]].fillna("")
    judged = judged_pools(pools)
    parts = []
    for group in groups(scores.frame[scores.frame["pool_id"] != GAS_ID]):
        names = known.reindex(group.pools).fillna("")
        reference = group.loss(REFERENCE) if REFERENCE in group.own else None
        for model in group.own:
            loss = group.loss(model)
            ratio = relative_mae(loss, reference) if reference is not None else np.full(len(group.pools), np.nan)
            part = {
                "pool_id": group.pools,
                "symbol": names["symbol"].to_numpy(),
                "protocol": names["protocol"].to_numpy(),
                "target": group.target,
                "horizon_days": group.horizon_days,
                "model": model,
                "pairs": np.isfinite(group.own[model]["forecast"]).sum(axis=0),
                "mae_pp": mean_by_pool(loss),
                "relative_mae": ratio,
                "judged": [pool in judged for pool in group.pools],
            }
            parts.append(pd.DataFrame(part))
    columns = [*(field.name for field in fields(PoolRow)), "judged"]
    return pd.concat(parts, ignore_index=True)[columns] if parts else _no_pools(columns)


def _no_pools(columns: Sequence[str]) -> pd.DataFrame:
    return pd.DataFrame({name: pd.Series(dtype=bool if name == "judged" else object) for name in columns})
