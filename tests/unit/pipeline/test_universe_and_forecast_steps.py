"""The steps from raw rows to eligible pools: what a day's rows depend on, and what they never depend on."""

from __future__ import annotations

import json
from collections.abc import Iterable
from datetime import date, timedelta
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from defiyield_core.calendar import Window
from defiyield_core.contracts import table
from defiyield_core.parameters import parameters
from defiyield_core.pipeline.forecast_steps import FORECAST_STEPS, rulesets
from defiyield_core.pipeline.step import StepContext, execute
from defiyield_core.pipeline.universe_steps import UNIVERSE_STEPS
from defiyield_core.settings import Settings
from defiyield_core.sources.opening import open_source
from defiyield_core.universe.lists import change_list
from defiyield_core.warehouse.opening import open_warehouse
from defiyield_core.warehouse.port import TableWrite, Warehouse

STEPS = (*UNIVERSE_STEPS, *FORECAST_STEPS)
FIRST, N_DAYS = date(2025, 1, 1), 60
EVERYTHING = Window(FIRST, FIRST + timedelta(days=N_DAYS - 1))
RAW = (
    "raw_defillama_pools",
    "raw_defillama_pool_history",
    "raw_coinmarketcap_ohlcv",
    "raw_ethgastracker_hourly_gas_data",
)
OUTPUTS = sorted(
    {name for step in STEPS for name in step.writes} - {"approved_tokens", "blacklisted_tokens", "approved_protocols"}
)
TOKENS = ("USDC", "USDT", "DAI", "LUSD", "ETH")
POOLS = {
    "p-usdc": ("Ethereum", "aave-v3", "USDC"),
    "p-dai": ("Ethereum", "spark", "DAI"),
    "p-pair": ("Ethereum", "curve-dex", "USDC-USDT"),
    "p-lusd": ("Ethereum", "liquity-v1", "LUSD"),
    "p-susde": ("Ethereum", "ethena-usde", "sUSDe"),
    "p-base": ("Base", "aave-v3", "USDC"),
    "p-new": ("Ethereum", "morpho-blue", "USDT"),
    "p-dust": ("Ethereum", "morpho-blue", "USDC"),
}


def day(offset: int) -> date:
    """FIRST and so many days."""
    return FIRST + timedelta(days=offset)


def _stamped(rows: list[dict]) -> pd.DataFrame:
    frame = pd.DataFrame(rows)
    end_of_day = pd.to_datetime(frame["date"]) + pd.Timedelta("23:59:59")
    if "valid_at" not in frame:
        frame["valid_at"] = end_of_day
    return frame.assign(seen_at=end_of_day, source="test")


def raw_market() -> dict[str, pd.DataFrame]:
    """Raw rows of 60 days: a pool that begins late, one that vanishes, one day of outage, a depeg, a missing price."""
    generator = np.random.default_rng(23)
    snapshots, chart, candles, gas = [], [], [], []
    for offset in range(N_DAYS):
        today = day(offset)
        for pool, (chain, project, symbol) in POOLS.items():
            gone = (pool == "p-new" and offset < 20) or (pool == "p-dai" and offset > 45) or offset == 30
            if gone or generator.random() < 0.03:
                continue
            row = {"date": today, "pool_id": pool, "apy": 0.05 + 0.01 * generator.standard_normal()}
            row["tvl_usd"] = 5e4 if pool == "p-dust" else float(np.exp(generator.normal(18, 0.1)))
            if pool == "p-pair" and offset == 25:
                row["apy"] = 11.0
            snapshots.append(
                row | {"chain": chain, "project": project, "symbol": symbol, "stablecoin": True, "outlier": False}
            )
            if generator.random() < 0.9:
                chart.append(row)
        for token in TOKENS:
            price = 3000.0 if token == "ETH" else 1.0 + 0.001 * generator.standard_normal()
            if token == "LUSD" and 33 <= offset <= 36:
                price = 0.95
            if not (token == "DAI" and 10 <= offset <= 14):
                quote = "USDT" if token == "DAI" else "USD"
                candle = {"date": today, "symbol": token, "quote_currency": quote, "close": price}
                candles.append(candle | {"low": price, "market_cap_usd": 4e9 if token != "LUSD" else 1e8})
        for hour in range(0, 24, 6):
            moment = pd.Timestamp(today) + pd.Timedelta(hours=hour, minutes=7)
            fee = float(generator.exponential(10))
            gas.append(
                {"date": today, "valid_at": moment, "base_fee_gwei": fee, "priority_fee_gwei": 1.0, "eth_usd": 3e3}
            )
    return dict(zip(RAW, map(_stamped, (snapshots, chart, candles, gas)), strict=True))


def filled(rows: dict[str, pd.DataFrame]) -> StepContext:
    """A memory warehouse with raw rows and the shipped portfolios."""
    warehouse = open_warehouse("memory:")
    warehouse.replace([TableWrite(name, frame, EVERYTHING) for name, frame in rows.items() if len(frame)])
    settings = Settings.from_environment({}, source="simulated:1", warehouse="memory:")
    return StepContext(warehouse, open_source("simulated:1"), settings)


def run(context: StepContext, windows: Iterable[Window]) -> dict[str, pd.DataFrame]:
    """All steps over the windows; the tables afterwards."""
    for window in windows:
        for step in STEPS:
            execute(step, context, window)
    return {name: context.warehouse.read(name) for name in OUTPUTS}


@pytest.fixture(scope="module")
def market() -> dict[str, pd.DataFrame]:
    """The raw rows, made once."""
    return raw_market()


@pytest.fixture(scope="module")
def whole(market: dict[str, pd.DataFrame]) -> dict[str, pd.DataFrame]:
    """Every table after one run over all days."""
    return run(filled(market), [EVERYTHING])


def until(frame: pd.DataFrame, last: date) -> pd.DataFrame:
    """Rows up to a day."""
    return frame[frame["date"] <= pd.Timestamp(last)].reset_index(drop=True)


def test_every_step_writes_the_tables_it_names(market: dict[str, pd.DataFrame]) -> None:
    context = filled(market)
    for step in STEPS:
        assert tuple(write.table for write in execute(step, context, EVERYTHING).writes) != ()
        assert {write.table for write in step.compute(context, EVERYTHING).writes} <= set(step.writes)


def test_every_upstream_step_comes_before() -> None:
    names = {"raw_pools", "raw_pool_history", "raw_token_ohlcv", "raw_gas_hourly"}
    for step in STEPS:
        assert set(step.upstream) <= names, step.name
        names.add(step.name)


def scrambled_after(frame: pd.DataFrame, last: date, seed: int) -> pd.DataFrame:
    """The frame with every number and description after a day made nonsense, and a third of those rows lost."""
    generator = np.random.default_rng(seed)
    later = (frame["date"] > last).to_numpy()
    changed = frame.copy()
    for column in changed.columns:
        if changed[column].dtype == np.float64:
            changed.loc[later, column] = generator.random(int(later.sum())) * 30
    if "pool_id" in changed:
        for column in {"project", "symbol", "chain"} & set(changed.columns):
            changed.loc[later, column] = "SCRAMBLED"
    return changed[~(later & (generator.random(len(changed)) < 0.3))]


@pytest.mark.parametrize("last", [12, 30, 34, 47])
def test_rows_of_a_day_do_not_change_whatever_comes_later(
    market: dict[str, pd.DataFrame], whole: dict[str, pd.DataFrame], last: int
) -> None:
    scrambled = {name: scrambled_after(frame, day(last), seed=last) for name, frame in market.items()}
    seen = run(filled(scrambled), [EVERYTHING])
    for name in OUTPUTS:
        pd.testing.assert_frame_equal(
            until(seen[name], day(last)), until(whole[name], day(last)), check_exact=True, obj=name
        )


def test_windows_of_any_length_give_the_same_rows(
    market: dict[str, pd.DataFrame], whole: dict[str, pd.DataFrame]
) -> None:
    chunked = run(filled(market), EVERYTHING.chunks(13))
    for name in OUTPUTS:
        pd.testing.assert_frame_equal(chunked[name], whole[name], check_exact=True, obj=name)


@pytest.mark.parametrize("offset", [0, 1, 31, 35, 38, 48, 59])
def test_a_day_alone_gives_the_rows_it_has_in_a_long_window(
    market: dict[str, pd.DataFrame], whole: dict[str, pd.DataFrame], offset: int
) -> None:
    alone = run(filled(market), [Window(day(offset), day(offset))])
    for name in OUTPUTS:
        same_day = whole[name][whole[name]["date"] == pd.Timestamp(day(offset))].reset_index(drop=True)
        pd.testing.assert_frame_equal(alone[name], same_day, check_exact=True, obj=name)


def test_running_again_changes_nothing(market: dict[str, pd.DataFrame], whole: dict[str, pd.DataFrame]) -> None:
    again = run(filled(market), [EVERYTHING, EVERYTHING])
    for name in OUTPUTS:
        pd.testing.assert_frame_equal(again[name], whole[name], check_exact=True, obj=name)


def test_an_empty_warehouse_gives_empty_tables_and_says_so() -> None:
    context = filled({})
    for step in STEPS:
        result = execute(step, context, Window(FIRST, day(2)))
        if step.writes and step.name not in ("token_lists", "icebox_tokens"):
            assert any("no rows for 3 of 3 days" in warning for warning in result.warnings), step.name
    assert all(context.warehouse.read(name).empty for name in OUTPUTS)


def reasons_of(rows: pd.DataFrame, pool: str, offset: int) -> tuple[bool, bool, str]:
    """Depositable, must exit and reasons of a pool on a day."""
    row = rows[(rows["pool_id"] == pool) & (rows["date"] == pd.Timestamp(day(offset)))].iloc[0]
    return bool(row["depositable"]), bool(row["must_exit"]), str(row["reasons"])


def test_pools_are_judged_as_the_domain_says(whole: dict[str, pd.DataFrame]) -> None:
    rows = whole["eligible_pools"]
    assert reasons_of(rows, "p-usdc", 29) == (True, False, "")
    assert reasons_of(rows, "p-base", 29) == (False, True, "chain_not_approved!")
    assert reasons_of(rows, "p-susde", 29) == (False, True, "token_not_approved:SUSDE!")
    assert reasons_of(rows, "p-dust", 29) == (False, False, "forecast_tvl_below_limit")
    assert reasons_of(rows, "p-lusd", 29) == (False, False, "token_market_cap_below_limit:LUSD")
    assert reasons_of(rows, "p-lusd", 34) == (False, True, "token_iceboxed:LUSD!; token_market_cap_below_limit:LUSD")
    assert reasons_of(rows, "p-pair", 25) == (False, False, "no_forecast; flagged")


def test_a_vanished_pool_is_gone_after_three_days_and_the_outage_of_all_is_nobodys_fault(
    whole: dict[str, pd.DataFrame],
) -> None:
    rows = whole["eligible_pools"]
    assert "pool_gone" not in reasons_of(rows, "p-dai", 47)[2]
    assert reasons_of(rows, "p-dai", 52) == (False, True, "pool_gone!; no_forecast")
    outage = rows[rows["date"] == pd.Timestamp(day(30))]
    assert len(outage) >= 7 and not outage["reasons"].str.contains("pool_gone").any()


def test_a_token_taken_off_the_list_forces_the_exit_from_that_day_on(market: dict[str, pd.DataFrame]) -> None:
    context = filled(market)
    run(context, [Window(FIRST, day(1))])
    change_list(context.warehouse, "tokens", "remove", "USDC", "ana", "test", pd.Timestamp(day(28)).to_pydatetime())
    rows = run(context, [Window(day(26), day(29))])["eligible_pools"]
    assert "token_not_approved:USDC!" not in reasons_of(rows, "p-usdc", 27)[2]
    assert reasons_of(rows, "p-usdc", 28)[1:] == (True, "token_not_approved:USDC!")


def test_portfolios_with_equal_rules_share_one_pass(market: dict[str, pd.DataFrame], tmp_path: Path) -> None:
    for name, overrides in (("a", {}), ("b", {"min_pools": 2}), ("c", {"horizon_days": 7, "icebox_policy": "hold"})):
        spec = {"name": name, "wallet": {"USDC": 1000}, "preset": "default", "overrides": overrides}
        (tmp_path / f"{name}.yaml").write_text(json.dumps(spec))
    base = filled(market)
    settings = Settings(base.settings.source, "memory:", tmp_path, tmp_path)
    context = StepContext(base.warehouse, base.source, settings)
    assert len(rulesets(context)) == 2
    tables = run(context, [EVERYTHING])
    assert set(tables["pool_forecasts"]["horizon_days"]) == {1, 7, 14, 30}
    rows = tables["eligible_pools"]
    hold = parameters("default", {"horizon_days": 7, "icebox_policy": "hold"}).ruleset
    assert reasons_of(rows[rows["ruleset"] == hold], "p-lusd", 34)[1] is False
    assert reasons_of(rows[rows["ruleset"] == parameters("default").ruleset], "p-lusd", 34)[1] is True


def check_contract(warehouse: Warehouse, name: str) -> None:
    """Values of a table are within the bounds of its contract."""
    frame = warehouse.read(name)
    for column in table(name).columns:
        values = frame[column.name].dropna()
        assert column.nullable or len(values) == len(frame), f"{name}.{column.name}"
        if column.low is not None:
            assert (values >= column.low).all(), f"{name}.{column.name}"
        if column.high is not None:
            assert (values <= column.high).all(), f"{name}.{column.name}"


@pytest.mark.recorded
def test_the_recorded_spring_gives_pools_to_choose_from(recorded_dir: Path) -> None:
    from defiyield_core.pipeline.ingest_steps import INGEST_STEPS

    source = open_source(f"recorded:{recorded_dir}")
    settings = Settings.from_environment({}, source=f"recorded:{recorded_dir}", warehouse="memory:")
    context = StepContext(open_warehouse("memory:"), source, settings)
    window = Window(date(2025, 3, 1), date(2025, 4, 15))
    for step in (*UNIVERSE_STEPS[:1], *INGEST_STEPS, *UNIVERSE_STEPS[1:], *FORECAST_STEPS):
        execute(step, context, window)
    rows = context.warehouse.read("eligible_pools")
    rows = rows[rows["ruleset"] == parameters("default").ruleset]
    per_day = rows.groupby("date")["depositable"].sum()
    assert len(per_day) == len(window)
    assert per_day.min() >= parameters("default").min_pools
    assert (rows["must_exit"] == rows["reasons"].str.contains("!", regex=False)).all()
    assert not (rows["depositable"] & rows["must_exit"]).any()
    for name in OUTPUTS:
        check_contract(context.warehouse, name)
