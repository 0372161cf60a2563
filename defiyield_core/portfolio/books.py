"""A finished day as rows of the portfolio tables.

Belongs here: which number goes into which column. Does not belong here: computing money (see `day`).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from itertools import compress
from typing import Any

import numpy as np
import pandas as pd

from defiyield_core import __version__
from defiyield_core.allocation.explain import Explanation, explain, is_by_rule
from defiyield_core.allocation.problem_file import problem_text
from defiyield_core.calendar import Window, end_of, utc_now
from defiyield_core.contracts import table
from defiyield_core.contracts.schema import Column, Table
from defiyield_core.history import MarketHistory
from defiyield_core.policies.port import Decided
from defiyield_core.portfolio.day import ClosedDay
from defiyield_core.portfolio.spec import PortfolioSpec
from defiyield_core.portfolio.state import state_rows
from defiyield_core.units import DAYS_PER_YEAR, BoolArray, exact_sum
from defiyield_core.universe.lists import as_of
from defiyield_core.warehouse.port import TableWrite

Row = tuple[object, ...]
QUOTED_LISTS = ("blacklisted_tokens", "approved_protocols")
"""Lists of which every decision keeps a snapshot."""
PORTFOLIO_DAY_TABLES = (
    "allocation_parameters",
    "allocation_problems",
    "asset_allocations",
    "asset_allocation_details",
    "allocation_transactions",
    "daily_ledger",
    "portfolio_daily",
    "portfolio_state",
)


_EPOCH = date(1970, 1, 1).toordinal()
_DAILY_COLUMNS = table("portfolio_daily").column_names


def decision_id(spec: PortfolioSpec, day: date) -> str:
    """Id of one decision: equal for equal portfolio file, day and code. Resume keeps only days of the same id."""
    return decision_ids(spec)(day)


def decision_ids(spec: PortfolioSpec) -> Callable[[date], str]:
    """`decision_id` of the portfolio by day, for many of them."""
    flows = {str(moment): dict(tokens) for moment, tokens in spec.flows.items()}
    money = [dict(spec.wallet), list(spec.addresses), flows]
    rules = [spec.policy, dict(spec.policy_options), spec.parameters.model_dump(), spec.mode]
    config = json.dumps([spec.name, *rules, *money, __version__], sort_keys=True)
    return lambda day: hashlib.sha256(f"{day} {config}".encode()).hexdigest()[:12]


@dataclass
class Books:
    """Rows collected over the days of a chunk, in the column order of each table.

    Attributes:
        lists: rows of `blacklisted_tokens` and `approved_protocols`, of which each day keeps its own snapshot.
    """

    spec: PortfolioSpec
    market: MarketHistory
    lists: Mapping[str, pd.DataFrame]
    ytd_growth: float = 1.0
    ytd_year: int = 0
    rows: dict[str, list[Row]] = field(default_factory=lambda: {name: [] for name in PORTFOLIO_DAY_TABLES})

    def __post_init__(self) -> None:
        self._before_last = dict.fromkeys(PORTFOLIO_DAY_TABLES, 0)
        self._decision_id = decision_ids(self.spec)
        self._snapshots = {name: _Snapshots(frame) for name, frame in self.lists.items()}
        self._rules = json.dumps(self.spec.parameters.model_dump(), sort_keys=True)
        self._options = json.dumps(dict(self.spec.policy_options), sort_keys=True)
        self._texts: dict[bytes, str] = {}

    @property
    def last_day(self) -> Mapping[str, list[Row]]:
        """Rows of the day that was booked last, by table."""
        return {name: rows[self._before_last[name] :] for name, rows in self.rows.items()}

    def restore(self, rows: Mapping[str, list[Row]], ytd_growth: float, ytd_year: int) -> None:
        """Book a day from rows that were booked before, with the growth since January they left."""
        self._before_last = {name: len(kept) for name, kept in self.rows.items()}
        for name in PORTFOLIO_DAY_TABLES:
            self.rows[name].extend(rows[name])
        self.ytd_growth, self.ytd_year = ytd_growth, ytd_year

    def add(self, closed: ClosedDay) -> Mapping[str, object]:
        """Book a day; the row of `portfolio_daily` as a mapping."""
        self._before_last = {name: len(kept) for name, kept in self.rows.items()}
        run_id = self._decision_id(closed.state.day)
        key: Row = (self.spec.name, closed.state.day, run_id)
        daily = self._daily(closed, key)
        decided = closed.decided
        explanation = explain(decided.problem, decided.decision) if decided is not None else None
        self.rows["portfolio_daily"].append(daily)
        self.rows["allocation_parameters"].append(self._parameters(closed, explanation, key))
        self.rows["asset_allocations"].extend(self._allocations(closed, key))
        self.rows["portfolio_state"].extend(state_rows(self.spec.name, closed.state, self.market))
        self.rows["daily_ledger"].extend(self._ledger(closed))
        if decided is not None and explanation is not None:
            self.rows["allocation_problems"].append((*key, problem_text(decided.problem)))
            self.rows["asset_allocation_details"].extend(_details(closed, decided, explanation, key))
            self.rows["allocation_transactions"].extend(_transactions(decided, key))
        return dict(zip(_DAILY_COLUMNS, daily, strict=True))

    def writes(self, window: Window) -> tuple[TableWrite, ...]:
        """Everything booked, and the watermark, as one transaction's writes."""
        scope = {"portfolio": self.spec.name}
        writes = [TableWrite(name, _frame(table(name), rows), window, scope) for name, rows in self.rows.items()]
        now = utc_now()
        completed = [(self.spec.name, day, self._decision_id(day), __version__, now) for day in window]
        frame = pd.DataFrame(completed, columns=list(table("completed_days").column_names))
        return (*writes, TableWrite("completed_days", frame, window, {"subject": self.spec.name}))

    def _daily(self, closed: ClosedDay, key: Row) -> Row:
        opened, state = closed.opened, closed.state
        accrual = exact_sum(opened.accrual_usd)
        transactions = closed.decided.decision.transactions if closed.decided else ()
        moves = [row for row in transactions if row.type in ("WITHDRAWAL", "ALLOCATION")]
        conversions = [row for row in transactions if row.type == "CONVERSION"]
        aum = state.aum_usd
        known = np.isfinite(state.forecast_apy)
        weighted = exact_sum(state.position_usd * np.where(known, state.forecast_apy, 0.0))
        day_yield = accrual / opened.aum_open_usd if opened.aum_open_usd else 0.0
        return (
            *key,
            opened.aum_open_usd,
            accrual,
            opened.forecast_accrual_usd,
            exact_sum(opened.revaluation_usd),
            exact_sum(opened.flows_usd),
            closed.gas_usd,
            closed.conversion_usd,
            aum,
            state.wallet_usd,
            sum(row.amount_usd for row in moves),
            int((state.positions > 0).any(axis=1).sum()),
            len(moves) + len(conversions),
            len(conversions),
            weighted / aum if aum else 0.0,
            (1.0 + day_yield) ** DAYS_PER_YEAR - 1.0,
            closed.status,
            closed.reason,
            int(opened.no_data.sum()),
        )

    def _parameters(self, closed: ClosedDay, explanation: Explanation | None, key: Row) -> Row:
        t = self.market.index_of(closed.state.day)
        decision = closed.decided.decision if closed.decided else None
        portfolio, day, run_id = key
        return (
            portfolio,
            day,
            run_id,
            self.spec.policy,
            self._rules,
            self._names(self.market.approved[t]),
            self._snapshots["blacklisted_tokens"].text(closed.state.day),
            self._snapshots["approved_protocols"].text(closed.state.day),
            self._names(self.market.iceboxed[t]),
            closed.status,
            closed.reason,
            decision.objective_usd if decision else None,
            decision.bound_usd if decision else None,
            decision.gap_bps if decision else None,
            decision.hold_objective_usd if decision else None,
            "; ".join(decision.notes) if decision else "",
            self.spec.parameters.engine if decision and not is_by_rule(decision) else None,
            explanation.break_even_days if explanation else None,
            self._options,
        )

    def _names(self, chosen: BoolArray) -> str:
        """The market's tokens that are chosen, as JSON: written anew only where the choice is new."""
        key = chosen.tobytes()
        if key not in self._texts:
            self._texts[key] = json.dumps(list(compress(self.market.tokens, chosen.tolist())))
        return self._texts[key]

    def _allocations(self, closed: ClosedDay, key: Row) -> list[Row]:
        state = closed.state
        return [
            (
                *key,
                self.market.pools.ids[pool],
                self.market.tokens[token],
                float(state.positions[pool, token]),
                float(state.positions[pool, token] * state.price_usd[token]),
            )
            for pool, token in zip(*np.nonzero(state.positions), strict=True)
        ]

    def _ledger(self, closed: ClosedDay) -> list[Row]:
        opened, state = closed.opened, closed.state
        accrual = exact_sum(opened.accrual_usd)
        day_yield = accrual / opened.aum_open_usd if opened.aum_open_usd else 0.0
        if state.day.year != self.ytd_year:
            self.ytd_year, self.ytd_growth = state.day.year, 1.0
        self.ytd_growth *= 1.0 + day_yield
        allocated = state.positions.sum(axis=0)
        nav = state.aum_usd
        touched = (state.wallet > 0) | (allocated > 0) | (opened.accrual_usd != 0) | (opened.revaluation_usd != 0)
        touched |= (closed.fees_usd != 0) | (opened.flows_usd != 0)
        return [
            (
                self.spec.name,
                state.day,
                self.market.tokens[token],
                float(state.wallet[token]),
                float(allocated[token]),
                float(state.price_usd[token]),
                float((state.wallet[token] + allocated[token]) * state.price_usd[token]),
                float(opened.accrual_usd[token]),
                float(opened.revaluation_usd[token]),
                float(closed.fees_usd[token]),
                float(opened.flows_usd[token]),
                nav,
                day_yield,
                self.ytd_growth - 1.0,
            )
            for token in np.flatnonzero(touched)
        ]


def _frame(contract: Table, rows: Sequence[Row]) -> pd.DataFrame:
    """Booked rows as columns that are canonical already, so that the warehouse's checks have nothing to cast."""
    if not rows:
        return contract.empty()
    columns = zip(contract.columns, zip(*rows, strict=True), strict=True)
    return pd.DataFrame({column.name: _values(column, values) for column, values in columns}, copy=False)


def _values(column: Column, values: Sequence[Any]) -> np.ndarray:
    if column.type == "double":
        return np.array(values, dtype=np.float64)
    if column.type == "date":
        days = np.fromiter((day.toordinal() for day in values), np.int64, len(values)) - _EPOCH
        return days.astype("datetime64[D]").astype("datetime64[ns]")
    return np.array(values, dtype=object if column.type == "text" else None)


class _Snapshots:
    """A list as it stood at the end of days, as JSON: written anew only where the list has changed."""

    def __init__(self, frame: pd.DataFrame) -> None:
        self._frame = frame
        moments = frame[["added_at", "removed_at"]].to_numpy(dtype="datetime64[ns]").ravel()
        self._changes = np.unique(moments[~np.isnat(moments)])
        self._texts: dict[int, str] = {}

    def text(self, day: date) -> str:
        """The names on it at the end of the day."""
        moment = end_of(day)
        state = int(np.searchsorted(self._changes, np.datetime64(moment), side="right"))
        if state not in self._texts:
            self._texts[state] = json.dumps(as_of(self._frame, moment))
        return self._texts[state]


def _details(closed: ClosedDay, decided: Decided, explanation: Explanation, key: Row) -> list[Row]:
    problem, decision, chains = decided.problem, decided.decision, closed.view.pools.chains
    after, aum = decision.positions @ problem.token_prices, problem.aum_usd
    columns = (
        problem.pool_ids,
        problem.pool_symbols,
        problem.pool_protocols,
        [chains[pool] for pool in decided.pool_index.tolist()],
        problem.group.tolist(),
        problem.apy.tolist(),
        problem.tvl_usd.tolist(),
        problem.position_usd.tolist(),
        after.tolist(),
        (after / aum if aum else np.zeros(len(after))).tolist(),
        explanation.binding,
        explanation.shadow_price_bps.tolist(),
        explanation.marginal_apy.tolist(),
        explanation.capacity_usd.tolist(),
        explanation.break_even_apy.tolist(),
    )
    return [(*key, *row) for row in zip(*columns, strict=True)]


def _transactions(decided: Decided, key: Row) -> list[Row]:
    return [
        (
            *key,
            row.seq,
            row.type,
            row.from_location,
            row.to_location,
            row.token,
            row.to_token,
            row.amount,
            row.amount_usd,
            row.gas_cost_usd,
            row.conversion_cost_usd,
            row.total_cost_usd,
            row.fee_token,
        )
        for row in decided.decision.transactions
    ]
