"""What a report is made from, and the views of it that several reports share.

Belongs here: `ReportInputs`, reading it from a warehouse, pool labels, the positions of the last day, the days on which
portfolios can be compared. Does not belong here: how any of it is shown.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta
from typing import Any, Literal, TypeAlias

import pandas as pd

from defiyield_core.calendar import Window, as_day
from defiyield_core.errors import DataError
from defiyield_core.reporting.daily import by_day
from defiyield_core.reporting.drags import books_dilute
from defiyield_core.warehouse.port import Warehouse

BENCHMARKS = ("hold_aave_usdc", "equal_weight")
"""Portfolios that the others are measured against: one lending pool without a trade, and equal parts."""
FORESIGHT = "perfect_foresight"
"""The run that knows what is coming: what any forecast could have earned at best."""
BEST_POOL = "best_pool_in_hindsight"
BOUNDS = (FORESIGHT, BEST_POOL)
"""Runs that know later days: limits to measure against, which nobody could have been."""
RANDOM = "random_"
"""How names of portfolios without a view begin; together they say what luck earns."""

Role: TypeAlias = Literal["subject", "other", "benchmark", "bound", "random"]
_SHORT_ID = 8
_POSITION_COLUMNS = ("pool_id", "label", "tokens", "value_usd", "share", "apy", "pool_group", "binding")


@dataclass(frozen=True)
class ReportInputs:
    """Frames of the contracts' tables for one portfolio and those it is compared with.

    Attributes:
        portfolio: name of the portfolio that the report is about; a key of `daily`.
        daily: `portfolio_daily` rows by portfolio name.
        positions, details, transactions: `asset_allocations`, `asset_allocation_details` and `allocation_transactions`
            of `portfolio` over its days.
        run_info: what identifies the run, for people: run id, policy, source, data fingerprint, code version.
        parameters: the last decision's parameters.
        benchmarks: names to mark as benchmarks and to show last.
        pools: `pools` rows for labels; None where only the details are at hand.
        ledger: `daily_ledger` rows of `portfolio` over its days and the day before, where that is stored; None: no
            profit can be attributed.
        positions_before: its `asset_allocations` of that day before; None or empty where it begins on the first.
        tvl: `pool_daily_metrics` rows (date, pool_id, tvl_usd_filled) where the books dilute; None: not at hand.
    """

    portfolio: str
    daily: Mapping[str, pd.DataFrame]
    positions: pd.DataFrame
    details: pd.DataFrame
    transactions: pd.DataFrame
    run_info: Mapping[str, str] = field(default_factory=dict)
    parameters: Mapping[str, Any] = field(default_factory=dict)
    benchmarks: tuple[str, ...] = BENCHMARKS
    pools: pd.DataFrame | None = None
    ledger: pd.DataFrame | None = None
    positions_before: pd.DataFrame | None = None
    tvl: pd.DataFrame | None = None

    def __post_init__(self) -> None:
        if self.portfolio not in self.daily:
            known = ", ".join(sorted(self.daily)) or "none"
            raise DataError(f"report: no portfolio_daily rows of '{self.portfolio}' (there are: {known})")
        for name, frame in self.daily.items():
            owner = str(by_day(frame)["portfolio"].iloc[0])
            if owner != name:
                raise DataError(f"report: the portfolio_daily rows given as '{name}' are those of '{owner}'")

    @property
    def last_day(self) -> date:
        """The last day of the portfolio that the report is about."""
        return as_day(self.daily[self.portfolio]["date"].max())

    @property
    def last_row(self) -> pd.Series:
        """That day's row of `portfolio_daily`."""
        return by_day(self.daily[self.portfolio]).iloc[-1]

    @property
    def window(self) -> Window:
        """All days of that portfolio."""
        return Window(as_day(self.daily[self.portfolio]["date"].min()), self.last_day)

    @property
    def carries(self) -> bool:
        """Whether positions carry over from day to day: not where `run_info` names another mode."""
        return self.run_info.get("mode", "carry") == "carry"

    def order(self) -> tuple[str, ...]:
        """The portfolio itself, the others by name, the benchmarks in their given order, bounds, random portfolios."""
        ranks = ("subject", "other", "benchmark", "bound", "random")
        given = {name: place for place, name in enumerate((*self.benchmarks, *BOUNDS))}
        return tuple(sorted(self.daily, key=lambda name: (ranks.index(self.role(name)), given.get(name, 0), name)))

    def role(self, name: str) -> Role:
        """What a portfolio is to this report."""
        if name == self.portfolio:
            return "subject"
        if name in self.benchmarks:
            return "benchmark"
        if name in BOUNDS:
            return "bound"
        return "random" if name.startswith(RANDOM) else "other"

    def is_benchmark(self, name: str) -> bool:
        """Whether to mark it as one."""
        return self.role(name) == "benchmark"

    def positions_today(self) -> pd.DataFrame:
        """Positions at the close of the last day (`positions_on`)."""
        nav_usd = float(self.last_row["aum_close_usd"])
        return positions_on(self.last_day, nav_usd, self.positions, self.details, self.pools)

    def trades_today(self) -> pd.DataFrame:
        """Transactions of the last day in the order of execution."""
        rows = self.transactions[self.transactions["date"] == pd.Timestamp(self.last_day)]
        return rows.sort_values("seq", ignore_index=True)

    def fingerprint(self) -> str:
        """16 hex digits of SHA-256 over every figure in the report: equal inputs, equal fingerprint."""
        digest = hashlib.sha256(self.portfolio.encode())
        frames = [(f"daily:{name}", self.daily[name]) for name in sorted(self.daily)]
        frames += [("positions", self.positions), ("details", self.details), ("trades", self.transactions)]
        frames += [("ledger", self.ledger)] if self.ledger is not None else []
        for name, frame in frames:
            ordered = frame[sorted(frame.columns)].sort_values(_key_of(frame), ignore_index=True)
            digest.update(name.encode() + ordered.to_csv(index=False, date_format="%Y-%m-%d").encode())
        digest.update(json.dumps(dict(self.parameters), sort_keys=True, default=str).encode())
        return digest.hexdigest()[:16]


@dataclass(frozen=True)
class Comparison:
    """Portfolios on the days they have in common.

    Attributes:
        daily: rows by name, in the report's order.
        note: what was left out to make them comparable; empty when nothing was.
    """

    daily: Mapping[str, pd.DataFrame]
    note: str


def comparison(report: ReportInputs) -> Comparison:
    """Every portfolio cut to the days that all of them have, so that no figure rests on a longer history.

    A portfolio without a day in common with the reported one is left out, and the note says so.
    """
    rows = {name: by_day(report.daily[name]) for name in report.order()}
    days: set[pd.Timestamp] = set(rows[report.portfolio]["date"])
    left_out = [name for name, frame in rows.items() if not days & set(frame["date"])]
    kept = {name: frame for name, frame in rows.items() if name not in left_out}
    for frame in kept.values():
        days &= set(frame["date"])
    if not days:
        only = {report.portfolio: rows[report.portfolio]}
        return Comparison(only, "The portfolios have no days in common: nothing is compared.")
    cut = {name: frame[frame["date"].isin(days)].reset_index(drop=True) for name, frame in kept.items()}
    notes = []
    if any(len(cut[name]) < len(frame) for name, frame in kept.items()):
        notes.append(f"Compared on the {len(days)} days that all have: {as_day(min(days))} to {as_day(max(days))}.")
    if left_out:
        notes.append(f"Left out, without a day in common: {', '.join(left_out)}.")
    return Comparison(cut, " ".join(notes))


def pool_labels(details: pd.DataFrame, pools: pd.DataFrame | None = None) -> dict[str, str]:
    """A readable name of every pool by its id: `protocol SYMBOL`, with pool_meta where it is known.

    Pools whose names would be equal get the first characters of their id, so that no two rows look the same.
    """
    names: dict[str, str] = {}
    for frame in (details, pools):
        if frame is None or frame.empty:
            continue
        last = frame.sort_values("date").drop_duplicates("pool_id", keep="last")
        metas = last["pool_meta"] if "pool_meta" in last else pd.Series(None, index=last.index, dtype=object)
        for pool_id, protocol, symbol, meta in zip(
            last["pool_id"], last["protocol"], last["symbol"], metas, strict=True
        ):
            extra = f" ({meta})" if isinstance(meta, str) and meta.strip() else ""
            names[pool_id] = f"{protocol} {symbol}{extra}"
    seen = pd.Series(list(names.values())).value_counts()
    return {pool: f"{name} [{pool[:_SHORT_ID]}]" if seen[name] > 1 else name for pool, name in names.items()}


def label_of(pool_id: str, labels: Mapping[str, str]) -> str:
    """The label, or the id itself, shortened, where a pool has none."""
    return labels.get(pool_id) or (pool_id if len(pool_id) <= 16 else f"pool {pool_id[:_SHORT_ID]}")


def positions_on(
    day: date,
    nav_usd: float,
    positions: pd.DataFrame,
    details: pd.DataFrame,
    pools: pd.DataFrame | None = None,
) -> pd.DataFrame:
    """Positions at the close of a day, one row per pool, the largest first.

    Columns: pool_id, label, tokens (joined by ` + `), value_usd, share (of `nav_usd`), apy (forecast fraction, NaN
    where unknown), pool_group (NaN where unknown), binding (empty where unknown).
    """
    held = positions[(positions["date"] == pd.Timestamp(day)) & (positions["value_usd"] > 0)]
    if held.empty:
        return pd.DataFrame({name: [] for name in _POSITION_COLUMNS})
    grouped = held.sort_values(["pool_id", "token"]).groupby("pool_id", sort=True)
    book = grouped.agg(tokens=("token", " + ".join), value_usd=("value_usd", "sum")).reset_index()
    today = details[details["date"] == pd.Timestamp(day)].drop_duplicates("pool_id").set_index("pool_id")
    labels = pool_labels(details, pools)
    book["label"] = [label_of(pool, labels) for pool in book["pool_id"]]
    book["share"] = book["value_usd"] / nav_usd if nav_usd > 0 else float("nan")
    book["apy"] = book["pool_id"].map(today["apy_forecast"].astype(float))
    book["pool_group"] = book["pool_id"].map(today["pool_group"].astype(float))
    book["binding"] = [str(today["binding"].get(pool) or "") for pool in book["pool_id"]]
    ordered = book.sort_values(["value_usd", "pool_id"], ascending=[False, True], ignore_index=True)
    return ordered[list(_POSITION_COLUMNS)]


def read_report_inputs(
    warehouse: Warehouse,
    portfolio: str,
    window: Window,
    *,
    compare_with: Sequence[str] = BENCHMARKS,
    run_info: Mapping[str, str] | None = None,
) -> ReportInputs:
    """Read everything a report needs. Portfolios to compare with that have no rows are left out.

    Raises:
        DataError: `portfolio` has no rows in the window.
    """
    names = dict.fromkeys((portfolio, *compare_with))
    daily = {name: warehouse.read("portfolio_daily", window, scope={"portfolio": name}) for name in names}
    daily = {name: frame for name, frame in daily.items() if not frame.empty}
    if portfolio not in daily:
        raise DataError(f"portfolio_daily: no rows of '{portfolio}' in {window}; run it over these days first")
    scope = {"portfolio": portfolio}
    first, last = (as_day(day) for day in daily[portfolio]["date"].agg(["min", "max"]))
    before = first - timedelta(days=1)
    decisions = warehouse.read("allocation_parameters", window, scope=scope)
    info, chosen = _last_decision(decisions)
    return ReportInputs(
        portfolio=portfolio,
        daily=daily,
        positions=warehouse.read("asset_allocations", window, scope=scope),
        details=warehouse.read("asset_allocation_details", window, scope=scope),
        transactions=warehouse.read("allocation_transactions", window, scope=scope),
        run_info={**info, **(run_info or {})},
        parameters=chosen,
        pools=warehouse.read("pools", Window(last, last)),
        ledger=warehouse.read("daily_ledger", Window(before, last), scope=scope),
        positions_before=warehouse.read("asset_allocations", Window(before, before), scope=scope),
        tvl=_tvl(warehouse, Window(first, last)) if dilutes(chosen) else None,
    )


def protocol_shares(report: ReportInputs, *, at_most: int = 6) -> pd.DataFrame:
    """Share of the closing value by protocol and day (index: days; columns: protocols by mean share, then `other`).

    The rest of each row is idle. A pool that no decision lists counts as `unknown`.
    """
    protocols = report.details.drop_duplicates("pool_id", keep="last").set_index("pool_id")["protocol"]
    return _shares(report, report.positions["pool_id"].map(protocols).fillna("unknown"), at_most)


def token_shares(report: ReportInputs, *, at_most: int = 6) -> pd.DataFrame:
    """The same by token in pools."""
    return _shares(report, report.positions["token"], at_most)


def held_values(report: ReportInputs, *, at_most: int = 8) -> pd.DataFrame:
    """USD at the close by pool and day: the pools of most value over all days by label, `other pools`, `idle`."""
    labels = pool_labels(report.details, report.pools)
    named = {pool: label_of(pool, labels) for pool in report.positions["pool_id"].unique()}
    found = _largest(_values(report, report.positions["pool_id"].map(named)), at_most, "other pools")
    return found.assign(idle=by_day(report.daily[report.portfolio])["idle_usd"].to_numpy(dtype=float))


def _shares(report: ReportInputs, whose: pd.Series, at_most: int) -> pd.DataFrame:
    closing = by_day(report.daily[report.portfolio]).set_index("date")["aum_close_usd"]
    held = _values(report, whose)
    return _largest(held.div(closing.where(closing > 0), axis=0).fillna(0.0), at_most, "other")


def _values(report: ReportInputs, whose: pd.Series) -> pd.DataFrame:
    """USD at the closes by day of the portfolio and owner; 0 where nothing is held."""
    days = pd.DatetimeIndex(by_day(report.daily[report.portfolio])["date"], name="date")
    held = report.positions.groupby(["date", whose.rename("whose")])["value_usd"].sum().unstack()
    return held.reindex(days).fillna(0.0)


def _largest(amounts: pd.DataFrame, at_most: int, rest: str) -> pd.DataFrame:
    """The columns of the largest means, the largest first, and the sum of all others."""
    ranked = amounts.mean().sort_values(ascending=False, kind="stable").index.tolist()
    top = amounts[ranked[:at_most]].copy()
    if len(ranked) > at_most:
        top[rest] = amounts[ranked[at_most:]].sum(axis=1)
    return top


def dilutes(parameters: Mapping[str, Any]) -> bool | None:
    """`books_dilute`; None where the parameters do not say it."""
    try:
        return books_dilute(parameters)
    except KeyError:
        return None


def _tvl(warehouse: Warehouse, window: Window) -> pd.DataFrame:
    return warehouse.read("pool_daily_metrics", window, columns=("date", "pool_id", "tvl_usd_filled"))


def _last_decision(decisions: pd.DataFrame) -> tuple[dict[str, str], dict[str, Any]]:
    if decisions.empty:
        return {}, {}
    last = decisions.sort_values("date").iloc[-1]
    try:
        chosen = json.loads(last["parameters"])
    except ValueError as error:
        raise DataError(f"allocation_parameters.parameters of run {last['run_id']} is not JSON: {error}") from error
    return {"run id": str(last["run_id"]), "policy": str(last["policy"])}, dict(chosen)


def _key_of(frame: pd.DataFrame) -> list[str]:
    keys = ("portfolio", "date", "seq", "pool_id", "token")
    return [name for name in keys if name in frame.columns and not frame[name].isna().any()]
