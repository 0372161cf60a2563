"""Our optimiser, the rules it is compared with, and cvxportfolio on the same days, pools, forecasts and caps.

Rows of money are net APY in percent. Rows of speed are of a whole run with its records, without loading.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from defiyield_core.backtest.engine import LoadedRange, decision_window, load_range, run_range
from defiyield_core.portfolio.spec import PortfolioSpec, find_portfolio
from defiyield_core.reporting.metrics import performance
from defiyield_core.settings import Settings
from defiyield_core.sources.opening import open_source
from tests.bench import competitors_cvxportfolio as rival
from tests.bench.competitors_market import asset_frames
from tests.bench.competitors_replay import as_policy
from tests.bench.measure import Measurement, recorded_folder

RULES = ("older_rule", "waterfall")
VARIANTS: dict[str, dict[str, Any]] = {
    "cvxportfolio (CLARABEL)": {"solver": "CLARABEL"},
    "cvxportfolio (HIGHS)": {"solver": "HIGHS"},
    "cvxportfolio (CLARABEL), blind to gas": {"solver": "CLARABEL", "gas": False},
    "cvxportfolio (CLARABEL), hard caps": {"solver": "CLARABEL", "hard_caps": True},
}
"""What `run_rival` is asked for. Gas is in its costs as a share of the trade, which is as near as it can say."""


@dataclass(frozen=True)
class _Contender:
    """One run. `own_apy` is what its own simulator says; None for one that has no other books than ours."""

    name: str
    net_apy: float
    fees_usd: float
    transactions: int
    days_per_second: float
    decided_per_second: float
    own_apy: float | None = None


def run() -> list[Measurement]:
    """Ours, the rules, and cvxportfolio where it is installed; figure by figure, side by side."""
    folder = recorded_folder()
    source = f"recorded:{folder}" if folder else "simulated"
    settings = Settings.from_environment({"DEFIYIELD_HOME": os.environ.get("DEFIYIELD_HOME", "var")}, source=source)
    portfolios = Path(settings.portfolios)
    ours = find_portfolio(portfolios, "baseline")
    others = [find_portfolio(portfolios / "rules", name) for name in RULES]
    others.append(find_portfolio(portfolios, "equal_weight"))
    opened = open_source(source)
    loaded = load_range(settings, decision_window(opened, ours, None, None), source=opened, specs=(ours, *others))
    contenders = [_contender(loaded, spec) for spec in (ours, *others)]
    if rival.is_installed():
        contenders.extend(_rivals(loaded, ours))
    skipped = [] if rival.is_installed() else [Measurement(f"skipped: {rival.MISSING}", 0, "runs")]
    return [*_rows(contenders, f"{len(loaded.window)} days, {'recorded' if folder else 'simulated'}"), *skipped]


def _rows(contenders: Sequence[_Contender], label: str) -> Iterator[Measurement]:
    for one in contenders:
        yield Measurement(f"net APY of {one.name}, at real gas in our books ({label})", 100 * one.net_apy, "%")
    for one in contenders:
        if one.own_apy is not None:
            yield Measurement(f"net APY of {one.name}, by its own simulator: no fixed gas", 100 * one.own_apy, "%")
    for one in contenders:
        yield Measurement(f"gas and fees of {one.name}, {one.transactions} transactions", one.fees_usd, "USD")
    for one in contenders:
        yield Measurement(f"speed of {one.name}, its own records included", one.days_per_second, "days/s")
    for one in contenders:
        yield Measurement(f"speed of {one.name}, decisions alone", one.decided_per_second, "days/s")


def _contender(loaded: LoadedRange, spec: PortfolioSpec) -> _Contender:
    loaded.market(spec)  # loading is no part of anybody's speed here
    timed = run_range(loaded, spec)
    daily = timed.run.daily
    made = performance(daily)
    return _Contender(
        name=spec.name,
        net_apy=made.net_apy,
        fees_usd=made.fees_usd,
        transactions=int(daily["n_transactions"].sum()),
        days_per_second=timed.days_per_second,
        decided_per_second=len(daily) / timed.decide_seconds,
    )


def _rivals(loaded: LoadedRange, ours: PortfolioSpec) -> Iterator[_Contender]:
    """cvxportfolio by its own simulator, and its decisions in our books."""
    (token, aum_usd), *_ = ours.wallet.items()
    frames = asset_frames(loaded.market(ours), ours.parameters, token, aum_usd)
    for name, asked in VARIANTS.items():
        made = rival.run_rival(frames, ours.parameters, aum_usd, **asked)
        with as_policy(made.targets) as policy:
            booked = _contender(loaded, replace(ours, name="replay", policy=policy, policy_options={}))
        yield replace(
            booked,
            name=name,
            days_per_second=made.days_per_second,
            decided_per_second=made.days / made.decide_seconds,
            own_apy=made.net_apy,
        )
