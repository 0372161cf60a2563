"""The simulated market: one seed is one market, and it behaves like one."""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable
from datetime import date, timedelta

import numpy as np
import pandas as pd
import pytest

from defiyield_core.calendar import Window
from defiyield_core.contracts import table
from defiyield_core.contracts.checks import violations
from defiyield_core.contracts.schema import conform
from defiyield_core.errors import ConfigurationError
from defiyield_core.sources import open_source
from defiyield_core.sources.market_catalogue import GAS_SPIKE_DAY, OUTAGE_DAY, TOKENS, UNPRICED, depegs, pool_specs
from defiyield_core.sources.market_model import EPOCH, simulate_market
from defiyield_core.sources.port import Fetched
from defiyield_core.sources.simulated import SimulatedSource

SYMBOLS = [token.symbol for token in TOKENS]
APPROVED = {
    "aave-v3",
    "morpho-blue",
    "compound-v3",
    "fluid-lending",
    "curve-dex",
    "uniswap-v3",
    "spark",
    "sky-lending",
    "euler-v2",
    "yearn-finance",
}
Ask = Callable[[SimulatedSource, Window], Fetched]


def _ids(source: SimulatedSource) -> list[str]:
    return [listing["pool"] for listing in source.tables().listings]


QUESTIONS: dict[str, Ask] = {
    "raw_defillama_pools": lambda source, window: source.pool_snapshots(window),
    "raw_defillama_pool_history": lambda source, window: source.pool_history(window, _ids(source)),
    "raw_coinmarketcap_ohlcv": lambda source, window: source.token_ohlcv(window, [*SYMBOLS, UNPRICED]),
    "raw_ethgastracker_hourly_gas_data": lambda source, window: source.gas_hourly(window),
}


def _whole(source: SimulatedSource) -> Window:
    return Window(source.first_day, source.last_day)


@pytest.fixture(scope="module")
def source() -> SimulatedSource:
    return SimulatedSource(7, days=154)


@pytest.fixture(scope="module")
def snapshots(source: SimulatedSource) -> pd.DataFrame:
    return source.pool_snapshots(_whole(source)).frame


@pytest.fixture(scope="module")
def candles(source: SimulatedSource) -> pd.DataFrame:
    frame = source.token_ohlcv(_whole(source), [*SYMBOLS, UNPRICED]).frame
    return frame.set_index(["symbol", "date"]).sort_index()


def _apy(snapshots: pd.DataFrame, *, calm: bool = True) -> pd.DataFrame:
    """APY by day and pool, in points; only stablecoin pools that are there throughout when `calm`."""
    frame = snapshots[snapshots["stablecoin"] & ~snapshots["outlier"]] if calm else snapshots
    wide = 100.0 * frame.pivot(index="date", columns="pool_id", values="apy")
    return wide.loc[:, wide.count() > 140] if calm else wide


def _day(offset: int) -> pd.Timestamp:
    return pd.Timestamp(EPOCH) + pd.Timedelta(days=offset)


@pytest.mark.parametrize("name", QUESTIONS)
def test_rows_meet_their_contract(source: SimulatedSource, name: str) -> None:
    frame = QUESTIONS[name](source, _whole(source)).frame
    assert len(frame) > 1000
    pd.testing.assert_frame_equal(frame, conform(table(name), frame))
    assert violations(table(name), frame) == []


@pytest.mark.parametrize("name", QUESTIONS)
def test_a_market_is_the_same_whenever_it_is_drawn(source: SimulatedSource, name: str) -> None:
    first = QUESTIONS[name](source, _whole(source)).frame
    simulate_market.cache_clear()
    again = QUESTIONS[name](SimulatedSource(7, days=154), _whole(source)).frame
    other = QUESTIONS[name](SimulatedSource(8, days=154), _whole(source)).frame
    pd.testing.assert_frame_equal(first, again, check_exact=True)
    assert not first.equals(other)


@pytest.mark.parametrize("name", QUESTIONS)
def test_a_window_is_a_slice_of_the_whole(source: SimulatedSource, name: str) -> None:
    window = Window(EPOCH + timedelta(days=70), EPOCH + timedelta(days=95))
    whole = QUESTIONS[name](source, _whole(source)).frame
    inside = whole[whole["date"].between(pd.Timestamp(window.start), pd.Timestamp(window.end))]
    part = QUESTIONS[name](source, window).frame
    pd.testing.assert_frame_equal(part, inside.reset_index(drop=True), check_exact=True)


@pytest.mark.parametrize("name", QUESTIONS)
@pytest.mark.parametrize("days", [33, 92, 500])
def test_a_longer_market_begins_with_the_same_days(source: SimulatedSource, name: str, days: int) -> None:
    other = SimulatedSource(7, days=days)
    shared = Window(EPOCH, min(source.last_day, other.last_day))
    pd.testing.assert_frame_equal(
        QUESTIONS[name](source, shared).frame, QUESTIONS[name](other, shared).frame, check_exact=True
    )


def test_the_order_of_questions_does_not_matter() -> None:
    window = Window(EPOCH + timedelta(days=10), EPOCH + timedelta(days=12))
    one, two = SimulatedSource(3, days=40), SimulatedSource(3, days=40)
    forward = [ask(one, window).frame for ask in QUESTIONS.values()]
    simulate_market.cache_clear()
    backward = [ask(two, window).frame for ask in reversed(QUESTIONS.values())]
    for left, right in zip(forward, reversed(backward), strict=True):
        pd.testing.assert_frame_equal(left, right, check_exact=True)


def test_the_universe_is_wide_enough_to_choose_from(snapshots: pd.DataFrame) -> None:
    day = snapshots[snapshots["date"] == _day(140)]
    usable = day[day["stablecoin"] & (day["chain"] == "Ethereum") & day["project"].isin(APPROVED) & ~day["outlier"]]
    assert len(usable) >= 45
    assert usable["project"].nunique() == len(APPROVED)
    assert usable["underlying_tokens"].map(json.loads).map(len).max() == 3
    assert day.loc[day["stablecoin"], "chain"].isin(["Base", "Arbitrum"]).sum() >= 8
    assert (~day["stablecoin"]).sum() >= 3
    assert (~day["project"].isin(APPROVED)).sum() >= 4
    assert usable["tvl_usd"].median() > 5e6
    assert all(str(uuid.UUID(pool)) == pool for pool in day["pool_id"])


def test_pools_of_one_seed_have_ids_of_their_own() -> None:
    mine, yours = ([listing["pool"] for listing in SimulatedSource(seed, days=1).tables().listings] for seed in (1, 2))
    assert len(set(mine)) == len(mine) == len(pool_specs())
    assert not set(mine) & set(yours)


def test_parts_add_up_to_the_whole_rate(snapshots: pd.DataFrame) -> None:
    divided = snapshots[snapshots["apy_base"].notna()]
    np.testing.assert_allclose(
        divided["apy"], divided["apy_base"] + divided["apy_reward"].fillna(0.0), rtol=0, atol=2e-7
    )
    assert snapshots.loc[snapshots["project"] == "sky-lending", "apy_base"].isna().all()


def test_rates_are_spread_between_pools_and_persist_within_one(snapshots: pd.DataFrame) -> None:
    apy = _apy(snapshots)
    levels = apy.median()
    assert levels.quantile(0.1) > 2.0
    assert 4.0 < levels.median() < 9.0
    assert levels.quantile(0.95) < 18.0
    assert levels.quantile(0.9) > 1.8 * levels.quantile(0.1)
    logs = np.log(apy)
    assert 0.6 < np.median([logs[pool].autocorr(1) for pool in logs]) < 0.97
    assert np.median([logs[pool].autocorr(30) for pool in logs]) < 0.4


def test_pools_move_together_but_not_in_step(snapshots: pd.DataFrame) -> None:
    logs = np.log(_apy(snapshots)).rolling(5).mean()
    lending = logs.loc[:, logs.std() > 0.05].corr().to_numpy()
    assert 0.2 < np.median(lending) < 0.9


def test_every_risk_group_is_populated(snapshots: pd.DataFrame) -> None:
    apy = _apy(snapshots)
    change, sd7, sd30 = apy.diff().abs(), apy.rolling(7).std(), apy.rolling(30).std()
    known = sd30.notna()
    first = ((change <= 1) & (sd7 <= 1.5) & (sd30 <= 2))[known].sum().sum() / known.sum().sum()
    second = ((change <= 3) & (sd7 <= 4) & (sd30 <= 5))[known].sum().sum() / known.sum().sum() - first
    assert 0.3 < first < 0.8
    assert 0.1 < second < 0.6
    assert first + second < 0.98


def test_rates_jump_and_the_jumps_fade(snapshots: pd.DataFrame) -> None:
    logs = np.log(_apy(snapshots))
    jumps = logs.diff() > 0.5
    assert jumps.to_numpy().sum() > 50
    later = (logs.shift(-6) - logs)[jumps].stack()
    assert later.median() < -0.3


def test_rewards_change_in_steps(snapshots: pd.DataFrame) -> None:
    rewards = snapshots.pivot(index="date", columns="pool_id", values="apy_reward").dropna(axis=1, how="all")
    moves = np.log(rewards).diff().abs()
    assert 0.01 < (moves > 0.2).to_numpy().mean() < 0.1
    assert moves.stack().median() < 0.05


def test_money_follows_yield(snapshots: pd.DataFrame) -> None:
    frame = snapshots[snapshots["stablecoin"] & ~snapshots["outlier"]]
    apy = frame.pivot(index="date", columns="pool_id", values="apy")
    tvl = np.log(frame.pivot(index="date", columns="pool_id", values="tvl_usd"))
    relative = np.log(apy).sub(np.log(apy).median(axis=1), axis=0)
    # Flows over a week from pools' own usual size, against how much they paid at its start.
    flows, signal = (tvl.shift(-7) - tvl).stack(), (relative - relative.mean()).stack()
    both = pd.concat([flows, signal], axis=1).dropna()
    assert both.corr(method="spearman").iloc[0, 1] > 0.03


def test_pools_open_and_close_and_miss_days(snapshots: pd.DataFrame) -> None:
    there = snapshots.pivot(index="date", columns="pool_id", values="tvl_usd").notna()
    first, last = there.idxmax(), there[::-1].idxmax()
    assert (first > _day(10)).sum() >= 6
    closed = last < _day(150)
    assert closed.sum() >= 3
    missing = {
        pool: (~there.loc[first[pool] : last[pool], pool]).drop(_day(OUTAGE_DAY), errors="ignore") for pool in there
    }
    runs = [int(length) for gap in missing.values() for length in gap.groupby((~gap).cumsum()).sum() if length]
    assert runs.count(1) > 10
    assert 2 <= max(runs) <= 8
    assert sum(runs) < 0.02 * there.size


def test_a_closing_pool_is_drained_first(snapshots: pd.DataFrame) -> None:
    tvl = snapshots.pivot(index="date", columns="pool_id", values="tvl_usd")
    for pool in tvl.columns[tvl.loc[_day(150) :].isna().all()]:
        series = tvl[pool].dropna()
        assert series.iloc[-1] < 0.3 * series.iloc[-16]


def test_tiny_pools_promise_the_absurd(snapshots: pd.DataFrame) -> None:
    absurd = snapshots[snapshots["outlier"]]
    assert (absurd["apy"] > 10.0).any()
    assert absurd["tvl_usd"].max() < 1e6
    assert snapshots.loc[~snapshots["outlier"], "apy"].max() < 3.0


def test_on_one_day_the_whole_source_is_down(source: SimulatedSource) -> None:
    day = EPOCH + timedelta(days=OUTAGE_DAY)
    for answer in (
        source.pool_snapshots(Window(day, day)),
        source.pool_history(Window(day, day), _ids(source)),
    ):
        assert answer.frame.empty
        assert not answer.complete
        assert str(day) in answer.warnings[0]
    assert len(source.gas_hourly(Window(day, day)).frame) == 24
    week = source.pool_history(Window(day - timedelta(days=3), day + timedelta(days=3)), _ids(source))
    assert week.frame["date"].nunique() == 6
    assert not week.complete
    assert source.pool_history(Window(EPOCH, day - timedelta(days=1)), _ids(source)).complete


def test_pegged_tokens_stay_within_a_percent_of_a_dollar_outside_the_episodes(candles: pd.DataFrame) -> None:
    struck = {(episode.symbol, _day(episode.day + k)) for episode in depegs(154) for k in range(-1, 12)}
    for token in TOKENS:
        rows = candles.loc[token.symbol]
        assert (rows["low"] <= rows[["open", "close"]].min(axis=1)).all()
        assert (rows["high"] >= rows[["open", "close"]].max(axis=1)).all()
        if token.pegged:
            calm = rows[[(token.symbol, day) not in struck for day in rows.index]]
            assert calm["low"].gt(0.99).all()
            assert calm["high"].lt(1.01).all()
            assert calm["close"].sub(1.0).abs().median() < 0.002


def test_a_dollar_breaks_and_recovers(candles: pd.DataFrame) -> None:
    episode = next(depegs(154))
    closes, lows = (candles.loc[episode.symbol][name] for name in ("close", "low"))
    assert 0.92 < closes.min() < 0.94
    assert lows.min() < closes.min()
    assert (lows < 0.98).sum() >= 2
    assert abs(closes.loc[_day(episode.day + 15)] - 1.0) < 0.004
    caps = candles.loc[episode.symbol]["market_cap_usd"]
    assert caps.loc[_day(episode.day + 8)] < 0.95 * caps.loc[_day(episode.day - 1)]


def test_one_bad_print_is_no_depeg(candles: pd.DataFrame) -> None:
    dai = candles.loc["DAI"]
    assert (dai["low"] < 0.98).sum() == 1
    assert (dai["close"] > 0.99).all()


def test_pools_of_the_broken_dollar_lose_deposits(snapshots: pd.DataFrame) -> None:
    episode = next(depegs(154))
    holds = snapshots["underlying_tokens"].map(json.loads)
    specs = {
        listing["pool"]: spec
        for listing, spec in zip(SimulatedSource(7, days=154).tables().listings, pool_specs(), strict=True)
    }
    exposed = snapshots["pool_id"].map(lambda pool: episode.symbol in specs[pool].tokens)
    assert holds.map(len).eq(snapshots["pool_id"].map(lambda pool: len(specs[pool].tokens))).all()
    totals = snapshots[exposed].groupby("date")["tvl_usd"].sum()
    assert totals.loc[_day(episode.day + 7)] < 0.8 * totals.loc[_day(episode.day - 1)]


def test_one_token_is_quoted_in_usdt_and_one_has_no_price(candles: pd.DataFrame) -> None:
    assert set(candles.loc["PYUSD"]["quote_currency"]) == {"USDT"}
    assert set(candles.drop("PYUSD", level="symbol")["quote_currency"]) == {"USD"}
    assert UNPRICED not in candles.index.get_level_values("symbol")
    assert any(UNPRICED in spec.tokens for spec in pool_specs())


def test_eth_wanders_and_its_candles_agree_with_the_gas_prices(source: SimulatedSource, candles: pd.DataFrame) -> None:
    eth = candles.loc["ETH"]
    hourly = source.gas_hourly(_whole(source)).frame
    assert eth["close"].to_numpy() == pytest.approx(hourly.groupby("date")["eth_usd"].last().to_numpy())
    returns = np.log(eth["close"]).diff().dropna()
    assert 0.015 < returns.std() < 0.06
    btc = np.log(candles.loc["BTC"]["close"]).diff().dropna()
    assert 0.5 < np.corrcoef(returns, btc)[0, 1] < 0.99


def test_gas_has_a_daily_rhythm_and_one_day_of_twenty_times_the_price(source: SimulatedSource) -> None:
    gas = source.gas_hourly(_whole(source)).frame
    assert gas.groupby("date").size().eq(24).all()
    by_hour = gas.groupby(gas["valid_at"].dt.hour)["base_fee_gwei"].median()
    assert by_hour.loc[13:17].mean() > 1.4 * by_hour.loc[1:5].mean()
    daily = gas.groupby("date")["base_fee_gwei"].mean()
    around = daily.loc[_day(GAS_SPIKE_DAY - 5) : _day(GAS_SPIKE_DAY + 5)]
    assert around.idxmax() == _day(GAS_SPIKE_DAY)
    assert around.max() > 10 * around.median()
    assert 0.3 < daily.median() < 30


def test_five_years_have_pools_and_accidents_to_the_end() -> None:
    long = SimulatedSource(7, days=1826)
    assert long.last_day == date(2029, 12, 31)
    last = long.pool_snapshots(Window(long.last_day, long.last_day)).frame
    assert last["stablecoin"].sum() > 80
    assert last.loc[~last["outlier"], "apy"].median() < 0.2
    year = Window(date(2029, 1, 1), long.last_day)
    assert len({episode.symbol for episode in depegs(1826)}) >= 4
    assert 100 < long.token_ohlcv(year, ["ETH"]).frame.query("symbol == 'ETH'")["close"].median() < 50_000


def test_more_pools_can_be_asked_for() -> None:
    few, many = SimulatedSource(7, days=40, pools=12), SimulatedSource(7, days=40, pools=250)
    day = Window(EPOCH + timedelta(days=39), EPOCH + timedelta(days=39))
    assert len(few.tables().listings) == 12
    assert len(set(_ids(many))) == 250
    assert len(many.pool_snapshots(day).frame) > 230


def test_its_length_comes_from_the_environment_unless_given(monkeypatch: pytest.MonkeyPatch) -> None:
    assert open_source("simulated").last_day == EPOCH + timedelta(days=153)
    monkeypatch.setenv("DEFIYIELD_SIMULATED_DAYS", "40")
    assert open_source("simulated:5").last_day == EPOCH + timedelta(days=39)
    assert open_source("simulated:5").name == "simulated:5"
    assert SimulatedSource(5, days=50).last_day == EPOCH + timedelta(days=49)
    monkeypatch.setenv("DEFIYIELD_FIRST_DAY", "2025-01-10")
    assert open_source("simulated").first_day == date(2025, 1, 10)


@pytest.mark.parametrize(
    ("days", "message"), [("soon", "whole number"), ("0", "from 1 to 1826"), ("99999", "from 1 to 1826")]
)
def test_an_impossible_length_is_refused(monkeypatch: pytest.MonkeyPatch, days: str, message: str) -> None:
    monkeypatch.setenv("DEFIYIELD_SIMULATED_DAYS", days)
    with pytest.raises(ConfigurationError, match=message):
        SimulatedSource(7)


def test_an_impossible_seed_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="seed"):
        SimulatedSource(-1)
    with pytest.raises(ConfigurationError, match="whole number"):
        open_source("simulated:x")
