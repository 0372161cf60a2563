"""What events do to the answers of a source, in worked numbers, and what they must not do."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from defiyield_core.calendar import Window
from defiyield_core.stress.events import ApyCollapse, GasSpike, MissingData, PoolTarget, TokenDepeg, TvlFall
from defiyield_core.stress.source import StressedSource
from defiyield_core.universe.prices import token_candles
from tests.unit.stress.small import AAVE, MARKET, MORPHO, HandMade, day, days

WHOLE = days(0, 9)
TOKENS = ("DAI", "USDC")


def stressed(*events):
    return StressedSource(HandMade(), events)


def of_pool(frame: pd.DataFrame, pool: str, column: str) -> list[float]:
    """A column of a pool, up to what floats can tell."""
    return [float(f"{value:.12g}") for value in frame.loc[frame["pool_id"] == pool, column]]


@pytest.mark.parametrize("table", ["pool_snapshots", "pool_history"])
def test_a_protocol_loses_four_fifths_of_its_tvl_and_no_other_one_does(table):
    source = stressed(TvlFall(day=day(8), days=1, target=PoolTarget(protocols=("aave-v3",))))
    arguments = () if table == "pool_snapshots" else ([AAVE, MORPHO],)
    frame = getattr(source, table)(days(7, 9), *arguments).frame
    assert of_pool(frame, AAVE, "tvl_usd") == [1e8, 2e7, 1e8]
    assert of_pool(frame, MORPHO, "tvl_usd") == [1e8, 1e8, 1e8]


def test_overlapping_falls_act_together():
    fall = TvlFall(day=day(8), days=None)
    assert of_pool(stressed(fall, fall).pool_history(days(8, 9), [MORPHO]).frame, MORPHO, "tvl_usd") == [4e6, 4e6]


def test_a_collapse_takes_its_share_of_every_part_of_the_rate():
    source = stressed(ApyCollapse(day=day(1), days=2, target=PoolTarget(pools=(AAVE,)), share=0.5))
    frame = source.pool_history(days(0, 3), [AAVE, MORPHO]).frame
    assert of_pool(frame, AAVE, "apy") == [0.06, 0.035, 0.04, 0.09]
    assert of_pool(frame, AAVE, "apy_base") == [0.05, 0.03, 0.035, 0.08]
    assert of_pool(frame, AAVE, "apy_reward") == [0.01, 0.005, 0.005, 0.01]
    assert of_pool(frame, MORPHO, "apy") == [0.1] * 4


def test_a_token_that_recovers_opens_whole_falls_and_comes_back():
    source = stressed(TokenDepeg(day=day(1), days=2, tokens=("usdc",), depth=0.1))
    rows = source.token_ohlcv(days(0, 3), TOKENS).frame.query("symbol == 'USDC'")
    assert rows["close"].round(12).tolist() == [1.0, 0.9, 0.9, 1.0]
    assert rows["open"].round(12).tolist() == [1.0, 1.0, 0.9, 1.0]
    assert rows["high"].round(12).tolist() == [1.001, 1.001, 0.9009, 1.001]
    assert rows["low"].round(12).tolist() == [0.999, 0.8991, 0.8991, 0.999]
    assert rows["market_cap_usd"].tolist() == [1e9, 9e8, 9e8, 1e9]


def test_a_token_that_does_not_recover_stays_down():
    source = stressed(TokenDepeg(day=day(1), days=None, tokens=("USDC",), depth=0.1))
    rows = source.token_ohlcv(WHOLE, TOKENS).frame.query("symbol == 'USDC'")
    assert rows["close"].round(12).tolist() == [1.0] + [0.9] * 9


def test_a_fall_of_tether_leaves_dollar_prices_of_what_is_quoted_in_it():
    plain = token_candles(HandMade().token_ohlcv(WHOLE, TOKENS).frame)
    event = TokenDepeg(day=day(3), days=4, tokens=("USDT",), depth=0.2)
    fallen = token_candles(stressed(event).token_ohlcv(WHOLE, TOKENS).frame)
    names = ["open_usd", "high_usd", "low_usd", "close_usd"]
    for token in ("DAI", "USDC"):
        before, after = (rows.loc[rows["token"] == token, names].to_numpy() for rows in (plain, fallen))
        np.testing.assert_allclose(after, before, rtol=1e-14)
    assert fallen.query("token == 'USDT'")["close_usd"].round(12).tolist() == [1.0] * 3 + [0.8] * 4 + [1.0] * 3


def test_a_token_quoted_in_tether_falls_in_dollars():
    event = TokenDepeg(day=day(0), days=None, tokens=("DAI", "USDT"), depth=0.5)
    fallen = token_candles(stressed(event).token_ohlcv(days(4, 4), TOKENS).frame).set_index("token")["close_usd"]
    assert fallen.round(12).to_dict() == {"DAI": 0.4995, "USDC": 1.0, "USDT": 0.5}


def test_a_depeg_of_a_token_without_candles_is_told():
    event = TokenDepeg(day=day(1), days=1, tokens=("NONE",), depth=0.1)
    assert "NONE has no candle" in stressed(event).token_ohlcv(WHOLE, TOKENS).warnings[0]


def test_gas_times_twenty_on_its_days():
    frame = stressed(GasSpike(day=day(1), days=1)).gas_hourly(days(0, 2)).frame
    assert frame["base_fee_gwei"].tolist() == [10.0, 200.0, 10.0]
    assert frame["priority_fee_gwei"].tolist() == [1.0, 20.0, 1.0]
    assert frame["eth_usd"].tolist() == [2000.0] * 3


def test_a_missing_pool_has_no_rows_while_its_source_is_up():
    source = stressed(MissingData(day=day(1), days=2, what="pools", target=PoolTarget(protocols=("aave-v3",))))
    for fetched in (source.pool_history(days(0, 3), [AAVE, MORPHO]), source.pool_snapshots(days(0, 3))):
        assert fetched.frame["pool_id"].value_counts().to_dict() == {MORPHO: 4, AAVE: 2}
        assert fetched.complete
        assert not fetched.warnings
    assert len(source.gas_hourly(days(0, 3)).frame) == 4


@pytest.mark.parametrize(
    ("what", "left"),
    [("pools", (2, 3, 9)), ("prices", (6, 1, 9)), ("gas", (6, 3, 3)), ("everything", (2, 1, 3))],
)
def test_an_outage_leaves_no_rows_and_says_that_the_source_was_down(what, left):
    """Two pools, a token of three quoted in dollars, gas, on three days, two of them without data."""
    source = stressed(MissingData(day=day(1), days=2, what=what))
    window = days(0, 2)
    pools, prices, gas = (
        source.pool_history(window, [AAVE, MORPHO]),
        source.token_ohlcv(window, TOKENS),
        source.gas_hourly(window),
    )
    counts = len(pools.frame), len(prices.frame) // 3, 3 * len(gas.frame)
    assert counts == left
    down = [not fetched.complete for fetched in (pools, prices, gas)]
    assert down == [what in (name, "everything") for name in ("pools", "prices", "gas")]
    assert all(
        fetched.complete != any("has no rows" in said for said in fetched.warnings) for fetched in (pools, prices)
    )


def test_missing_prices_of_one_token():
    source = stressed(MissingData(day=day(1), days=1, what="prices", tokens=("dai",)))
    fetched = source.token_ohlcv(days(0, 1), TOKENS)
    assert fetched.frame.groupby("symbol").size().to_dict() == {"DAI": 1, "USDC": 2, "USDT": 2}
    assert fetched.complete


def test_without_an_event_in_the_window_the_answer_is_the_other_source_s():
    inner = HandMade()
    source = StressedSource(inner, [GasSpike(day=day(5), days=1), TvlFall(day=day(5), days=1)])
    for ask in (lambda s: s.gas_hourly(days(0, 4)), lambda s: s.pool_snapshots(days(6, 9))):
        pd.testing.assert_frame_equal(ask(source).frame, ask(inner).frame)
    assert source.account_balances(WHOLE, ["0x1"]).warnings == ("no accounts",)
    assert source.account_transactions(WHOLE, ["0x1"]).warnings == ("no accounts",)
    assert (source.first_day, source.last_day) == (inner.first_day, inner.last_day)


def test_the_name_tells_events_apart():
    names = {stressed().name, *(stressed(GasSpike(day=day(5), days=n)).name for n in (1, 2, 2))}
    assert len(names) == 3
    assert "made by hand" in names


EVENTS = (
    TokenDepeg(day=MARKET.first_day.replace(month=2), days=5, tokens=("USDC", "USDT"), depth=0.1),
    TvlFall(day=MARKET.first_day.replace(month=2), days=None, target=PoolTarget(protocols=("aave-v3",))),
    ApyCollapse(day=MARKET.first_day.replace(month=2), days=9),
    GasSpike(day=MARKET.first_day.replace(month=2), days=4),
    MissingData(day=MARKET.first_day.replace(month=2, day=6), days=2, what="everything"),
    MissingData(
        day=MARKET.first_day.replace(month=2, day=9), days=3, what="pools", target=PoolTarget(protocols=("morpho-v1",))
    ),
)


def answers(source, window: Window) -> dict[str, pd.DataFrame]:
    ids = sorted(MARKET.pool_snapshots(Window(MARKET.first_day, MARKET.last_day)).frame["pool_id"].unique())
    return {
        "history": source.pool_history(window, ids).frame,
        "snapshots": source.pool_snapshots(window).frame,
        "prices": source.token_ohlcv(window, ["DAI", "USDC", "USDT"]).frame,
        "gas": source.gas_hourly(window).frame,
    }


def test_nothing_changes_before_an_event_and_everything_from_it_on():
    whole = Window(MARKET.first_day, MARKET.last_day)
    plain, changed = answers(MARKET, whole), answers(StressedSource(MARKET, EVENTS), whole)
    first = pd.Timestamp(EVENTS[0].day)
    for name in plain:
        before, after = (rows[name].loc[lambda f: f["date"] < first] for rows in (plain, changed))
        assert len(before)
        pd.testing.assert_frame_equal(after, before)
        assert not plain[name].equals(changed[name])


def test_a_day_gives_the_same_rows_alone_and_inside_a_longer_window():
    source = StressedSource(MARKET, EVENTS)
    whole = answers(source, Window(MARKET.first_day, MARKET.last_day))
    for offset in (30, 31, 33, 35, 36, 38, 40, 45):
        single = _day(offset)
        alone = answers(StressedSource(MARKET, EVENTS), single)
        for name, rows in whole.items():
            inside = rows[rows["date"] == pd.Timestamp(single.start)].reset_index(drop=True)
            pd.testing.assert_frame_equal(alone[name], inside, check_dtype=False)


def _day(offset: int) -> Window:
    moment = list(Window(MARKET.first_day, MARKET.last_day))[offset]
    return Window(moment, moment)
