"""A finished day as rows of the portfolio tables.

Belongs here: which number goes into which column. Does not belong here: computing money (see `day`).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date

import numpy as np
import pandas as pd

from defiyield_core import __version__
from defiyield_core.allocation.explain import Explanation, explain, is_by_rule
from defiyield_core.allocation.problem_file import problem_json
from defiyield_core.calendar import Window, end_of, utc_now
from defiyield_core.contracts import table
from defiyield_core.history import MarketHistory
from defiyield_core.policies.port import Decided
from defiyield_core.portfolio.day import ClosedDay
from defiyield_core.portfolio.spec import PortfolioSpec
from defiyield_core.portfolio.state import state_rows
from defiyield_core.units import DAYS_PER_YEAR, exact_sum
from defiyield_core.universe.lists import as_of
from defiyield_core.warehouse.port import TableWrite

Row = tuple[object, ...]
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


def decision_id(spec: PortfolioSpec, day: date) -> str:
    """Id of one decision: equal for equal portfolio file, day and code. Resume keeps only days of the same id."""
    flows = {str(moment): dict(tokens) for moment, tokens in spec.flows.items()}
    money = [dict(spec.wallet), list(spec.addresses), flows]
    rules = [spec.policy, dict(spec.policy_options), spec.parameters.model_dump()]
    config = [spec.name, str(day), *rules, *money, __version__]
    return hashlib.sha256(json.dumps(config, sort_keys=True).encode()).hexdigest()[:12]


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
        self._snapshots = {name: _Snapshots(frame) for name, frame in self.lists.items()}
        self._rules = json.dumps(self.spec.parameters.model_dump(), sort_keys=True)

    def add(self, closed: ClosedDay) -> Mapping[str, object]:
        """Book a day; the row of `portfolio_daily` as a mapping."""
        run_id = decision_id(self.spec, closed.state.day)
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
            self.rows["allocation_problems"].append((*key, _problem_text(decided)))
            self.rows["asset_allocation_details"].extend(_details(closed, decided, explanation, key))
            self.rows["allocation_transactions"].extend(_transactions(decided, key))
        return dict(zip(table("portfolio_daily").column_names, daily, strict=True))

    def writes(self, window: Window) -> tuple[TableWrite, ...]:
        """Everything booked, and the watermark, as one transaction's writes."""
        scope = {"portfolio": self.spec.name}
        writes = [
            TableWrite(name, pd.DataFrame(rows, columns=list(table(name).column_names)), window, scope)
            for name, rows in self.rows.items()
        ]
        now = utc_now()
        completed = [(self.spec.name, day, decision_id(self.spec, day), __version__, now) for day in window]
        frame = pd.DataFrame(completed, columns=list(table("completed_days").column_names))
        return (*writes, TableWrite("completed_days", frame, window, {"subject": self.spec.name}))

    def _daily(self, closed: ClosedDay, key: Row) -> Row:
        opened, state = closed.opened, closed.state
        accrual = exact_sum(opened.accrual_usd)
        transactions = closed.decided.decision.transactions if closed.decided else ()
        moves = [row for row in transactions if row.type in ("WITHDRAWAL", "ALLOCATION")]
        conversions = [row for row in transactions if row.type == "CONVERSION"]
        aum = state.aum_usd
        weighted = exact_sum(state.position_usd * np.nan_to_num(state.forecast_apy))
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
        tokens = np.array(self.market.tokens, dtype=object)
        decision = closed.decided.decision if closed.decided else None
        portfolio, day, run_id = key
        return (
            portfolio,
            day,
            run_id,
            self.spec.policy,
            self._rules,
            json.dumps(list(tokens[self.market.approved[t]])),
            self._snapshots["blacklisted_tokens"].text(closed.state.day),
            self._snapshots["approved_protocols"].text(closed.state.day),
            json.dumps(list(tokens[self.market.iceboxed[t]])),
            closed.status,
            closed.reason,
            decision.objective_usd if decision else None,
            decision.bound_usd if decision else None,
            decision.gap_bps if decision else None,
            decision.hold_objective_usd if decision else None,
            "; ".join(decision.notes) if decision else "",
            self.spec.parameters.engine if decision and not is_by_rule(decision) else None,
            explanation.break_even_days if explanation else None,
            json.dumps(dict(self.spec.policy_options), sort_keys=True),
        )

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


def _problem_text(decided: Decided) -> str:
    return json.dumps(problem_json(decided.problem), separators=(",", ":"))


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
