"""Tables of a set of scenarios: summary, results, allocations, transactions; as frames, CSV and parquet.

Belongs here: columns and their meaning, and writing them so that equal runs give equal bytes (timings aside). Does not
belong here: what is said about them (see `scenario_tradeoffs`, `scenario_sheet`).
Rows are in the order of the scenarios' names.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from defiyield_core.errors import ConfigurationError
from defiyield_core.reporting.scenarios import Scenario, checked, variants

SUMMARY_COLUMNS = (
    "scenario",
    "total_aum",
    "total_allocated",
    "total_unallocated",
    "total_cost",
    "num_pools",
    "num_transactions",
    "weighted_apy",
    "allocation_pct",
    "cost_pct",
    "solve_time",
)
ALLOCATION_COLUMNS = ("scenario", "date", "pool_id", "symbol", "protocol", "token", "amount", "value_usd")
TRANSACTION_COLUMNS = (
    "scenario",
    "date",
    "run_id",
    "seq",
    "type",
    "from_location",
    "to_location",
    "token",
    "to_token",
    "amount",
    "amount_usd",
    "gas_cost_usd",
    "conversion_cost_usd",
    "total_cost_usd",
    "fee_token",
)
CRITERIA = {"net_apy": (1.0, 1e-4), "max_drawdown": (-1.0, 1e-4), "fees_bps": (-1.0, 0.1), "mean_hhi": (-1.0, 0.01)}
"""What `pareto` weighs: whether more is better (1) or worse (-1), and the step below which a difference is none."""


def summary_frame(scenarios: Iterable[Scenario]) -> pd.DataFrame:
    """One row per scenario, money in USD.

    Columns:
        scenario: name. total_aum, total_allocated, total_unallocated: value of the portfolio, of its positions and of
            its wallet at the last day's close. num_pools: pools held then. weighted_apy: forecast APY of that book, a
            fraction, idle money counted as 0.
        total_cost: gas and conversion fees over all days. num_transactions: trades over all days.
        allocation_pct: `100 * total_allocated / total_aum`. cost_pct: `100 * total_cost / total_aum`. Both are percent
            numbers (0 to 100) and NaN when nothing is left.
        solve_time: seconds that deciding took.

    Raises:
        DataError: see `scenarios.checked`.
    """
    rows = [_summary_row(item) for item in checked(scenarios)]
    return pd.DataFrame(rows, columns=list(SUMMARY_COLUMNS))


def _summary_row(item: Scenario) -> dict[str, Any]:
    last = item.rows.iloc[-1]
    aum, idle = float(last["aum_close_usd"]), float(last["idle_usd"])
    cost = item.figures.fees_usd
    return {
        "scenario": item.name,
        "total_aum": aum,
        "total_allocated": aum - idle,
        "total_unallocated": idle,
        "total_cost": cost,
        "num_pools": int(last["n_positions"]),
        "num_transactions": int(item.rows["n_transactions"].sum()),
        "weighted_apy": float(last["weighted_apy"]),
        "allocation_pct": 100.0 * (aum - idle) / aum if aum > 0 else math.nan,
        "cost_pct": 100.0 * cost / aum if aum > 0 else math.nan,
        "solve_time": float(item.solve_seconds),
    }


def results_frame(scenarios: Iterable[Scenario]) -> pd.DataFrame:
    """One row per scenario: how well it did. Rates and shares are fractions; NaN where a figure is not defined.

    Columns:
        scenario, variant (runs that differ in their seed only), group, policy, mode, seed (missing: none), days.
        net_apy, total_return, volatility, sharpe, max_drawdown, turnover, mean_idle_share, days_not_ok: see
            `metrics.PerformanceMetrics`. fees_usd: gas and conversion; fees_bps: the same in basis points of mean NAV.
        mean_hhi: concentration of the positions, mean over days. solve_seconds: what deciding took.

    Raises:
        DataError: see `scenarios.checked`.
    """
    ordered = checked(scenarios)
    variant = variants(ordered)
    frame = pd.DataFrame([{**_identity(item, variant[item.name]), **_results(item)} for item in ordered])
    return frame.astype({"seed": "Int64"})


def _identity(item: Scenario, variant: str) -> dict[str, Any]:
    return {
        "scenario": item.name,
        "variant": variant,
        "group": item.group,
        "policy": item.policy,
        "mode": item.mode,
        "seed": pd.NA if item.seed is None else item.seed,
    }


def _results(item: Scenario) -> dict[str, Any]:
    figures = item.figures
    return {
        "days": figures.days,
        "net_apy": figures.net_apy,
        "total_return": figures.total_return,
        "volatility": figures.volatility,
        "sharpe": figures.sharpe,
        "max_drawdown": figures.max_drawdown,
        "fees_usd": figures.fees_usd,
        "fees_bps": figures.fees_bps_of_nav,
        "turnover": figures.turnover,
        "mean_idle_share": figures.mean_idle_share,
        "mean_hhi": item.hhi,
        "days_not_ok": figures.days_not_ok,
        "solve_seconds": float(item.solve_seconds),
    }


def pareto(frame: pd.DataFrame) -> pd.Series:
    """Which rows no other row dominates: at least as good in every one of `CRITERIA` and better in one.

    More net APY is better; less drawdown, less fees (of NAV) and less concentration are. Values are rounded to the
    steps of `CRITERIA` first (a basis point of APY and drawdown): nobody chooses by less. An unknown value counts as
    the worst there is, so a row does not win by it; a criterion that no row knows decides nothing.

    Args:
        frame: rows of `results_frame`, or means of them.

    Returns:
        Booleans with the frame's index. Equal rows do not dominate each other.
    """
    scores = np.column_stack(
        [sign * np.round(frame[name].to_numpy(dtype=float) / step) for name, (sign, step) in CRITERIA.items()]
    )
    scores = np.where(np.isnan(scores), -np.inf, scores)
    no_worse = (scores[:, None, :] >= scores[None, :, :]).all(axis=2)
    better = (scores[:, None, :] > scores[None, :, :]).any(axis=2)
    return pd.Series(~(no_worse & better).any(axis=0), index=frame.index, name="not_dominated")


def allocations_frame(scenarios: Iterable[Scenario]) -> pd.DataFrame:
    """Positions at the close of every day of every scenario that kept them (`ALLOCATION_COLUMNS`).

    Symbol and protocol are those of the day's decision, or the last known ones of the pool; missing where no decision
    lists it.
    """
    parts = [_allocations(item) for item in checked(scenarios) if item.positions is not None]
    types = {"date": "datetime64[ns]", "amount": float, "value_usd": float}
    return _stacked(parts, ALLOCATION_COLUMNS, types)


def _allocations(item: Scenario) -> pd.DataFrame:
    assert item.positions is not None
    held = item.positions.assign(scenario=item.name)
    if item.details is None:
        held = held.assign(symbol=None, protocol=None)
    else:
        named = item.details.sort_values("date")[["date", "pool_id", "symbol", "protocol"]]
        last = named.drop_duplicates("pool_id", keep="last").set_index("pool_id")
        held = held.merge(named.drop_duplicates(["date", "pool_id"], keep="last"), on=["date", "pool_id"], how="left")
        for column in ("symbol", "protocol"):
            held[column] = held[column].where(held[column].notna(), held["pool_id"].map(last[column]))
    return held.sort_values(["date", "pool_id", "token"])


def transactions_frame(scenarios: Iterable[Scenario]) -> pd.DataFrame:
    """Trades of every scenario that kept them, in the order of execution (`TRANSACTION_COLUMNS`).

    A row of a plan that only holds a position is no trade and left out, as it is in `num_transactions` of the summary.
    """
    kept = [(item.name, item.transactions) for item in checked(scenarios) if item.transactions is not None]
    trades = [(name, frame[frame["type"] != "HOLD"]) for name, frame in kept]
    parts = [frame.assign(scenario=name).sort_values(["date", "seq"]) for name, frame in trades]
    money = [name for name in TRANSACTION_COLUMNS if name == "amount" or name.endswith("_usd")]
    types = {"date": "datetime64[ns]", "seq": "int64", **dict.fromkeys(money, float)}
    return _stacked(parts, TRANSACTION_COLUMNS, types)


def _stacked(parts: list[pd.DataFrame], columns: tuple[str, ...], types: dict[str, Any]) -> pd.DataFrame:
    """The parts under each other in fixed columns and types, whichever of them are empty."""
    filled = [part[list(columns)] for part in parts if len(part)]
    frame = pd.concat(filled, ignore_index=True) if filled else pd.DataFrame(columns=list(columns))
    frame = frame.astype({**dict.fromkeys(columns, object), **types})
    texts = [name for name in columns if name not in types]
    # One kind of missing text, or equal runs would differ in bytes.
    frame[texts] = frame[texts].where(frame[texts].notna(), None)
    return frame


def write_exports(folder: Path, scenarios: Iterable[Scenario]) -> dict[str, Path]:
    """Write `summary`, `allocations` and `transactions`, each as .csv and .parquet; the paths by file name.

    Equal scenarios give equal bytes, but for the column `solve_time`. A file is replaced as a whole.

    Raises:
        ConfigurationError: the folder cannot be made or written.
        DataError: see `scenarios.checked`.
    """
    ordered = checked(scenarios)
    frames = {
        "summary": summary_frame(ordered),
        "allocations": allocations_frame(ordered),
        "transactions": transactions_frame(ordered),
    }
    paths: dict[str, Path] = {}
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, frame in frames.items():
            for path in write_table(frame, folder, name):
                paths[path.name] = path
    except OSError as error:
        raise ConfigurationError(f"{folder}: the exports cannot be written: {error}") from error
    return paths


def write_table(frame: pd.DataFrame, folder: Path, name: str) -> tuple[Path, Path]:
    """A frame as `NAME.csv` (days as YYYY-MM-DD, numbers in full) and `NAME.parquet`, each replaced as a whole."""
    csv, parquet = folder / f"{name}.csv", folder / f"{name}.parquet"
    for path in (csv, parquet):
        partial = path.with_suffix(path.suffix + ".partial")
        if path is csv:
            frame.to_csv(partial, index=False, date_format="%Y-%m-%d", lineterminator="\n")
        else:
            frame.to_parquet(partial, index=False)
        partial.replace(path)
    return csv, parquet
