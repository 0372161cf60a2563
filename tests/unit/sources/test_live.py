"""The live source against a local server: what is good is kept, what is bad is counted and said."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta

import pandas as pd
import pytest

from defiyield_core.calendar import Window, end_of
from defiyield_core.contracts import table
from defiyield_core.contracts.schema import conform
from defiyield_core.errors import ConfigurationError, SourceError
from defiyield_core.sources import open_source
from defiyield_core.sources.live import LiveSource
from defiyield_core.sources.live_settings import endpoints_from, keys_from
from tests.unit.sources.conftest import (
    SCAN_KEY,
    Asked,
    LocalServer,
    MakeSource,
    Reply,
    Scan,
    at,
    candle,
    chart_answer,
    chart_point,
    gas_answer,
    gas_hour,
    ohlcv_asset,
    plain_transaction,
    pool_entry,
    pools_answer,
)

DAY = date(2025, 6, 1)
WINDOW = Window(DAY, DAY)
KEY = "cmc-key-0123456789abcdef"
ACCOUNT, OTHER = "0x" + "aa" * 20, "0x" + "bb" * 20
NOON = 1748779200

# Pools


def test_within_six_hours_a_snapshot_describes_the_day_that_ended(server: LocalServer, live: MakeSource) -> None:
    server.routes["/defillama/pools"] = [Reply(pools_answer(pool_entry("a"), pool_entry("b", apy="x")))]
    fetched = live(datetime(2025, 6, 2, 5, 59)).pool_snapshots(WINDOW)
    assert fetched.frame["valid_at"].tolist() == [pd.Timestamp(end_of(DAY))]
    assert fetched.refused == {"apy is not a number": 1}
    assert fetched.complete
    assert fetched.warnings == ()


@pytest.mark.parametrize("now", [datetime(2025, 6, 2, 6), datetime(2025, 6, 1, 23, 59), datetime(2025, 6, 3, 1)])
def test_at_any_other_time_there_is_no_snapshot_and_no_request(
    server: LocalServer, live: MakeSource, now: datetime
) -> None:
    fetched = live(now).pool_snapshots(WINDOW)
    assert len(fetched.frame) == 0
    assert "within 6 hours after a day's end" in fetched.warnings[0]
    assert server.asked == []


def test_of_a_longer_window_only_the_last_day_has_a_snapshot(server: LocalServer, live: MakeSource) -> None:
    server.routes["/defillama/pools"] = [Reply(pools_answer(pool_entry("a")))]
    fetched = live().pool_snapshots(Window(date(2025, 5, 1), DAY))
    assert fetched.frame["date"].tolist() == [pd.Timestamp(DAY)]
    assert "31 of 32 days" in fetched.warnings[0]


def test_a_listing_without_a_usable_pool_is_an_outage(server: LocalServer, live: MakeSource) -> None:
    for body in (pools_answer(), pools_answer(1, 2)):
        server.routes["/defillama/pools"] = [Reply(body)]
        fetched = live().pool_snapshots(WINDOW)
        assert not fetched.complete
        assert "outage" in fetched.warnings[0]


def test_a_listing_that_cannot_be_fetched_is_an_error(server: LocalServer, live: MakeSource) -> None:
    server.routes["/defillama/pools"] = [Reply(status=500)]
    with pytest.raises(SourceError, match="status 500; gave up after 3 attempts"):
        live().pool_snapshots(WINDOW)


def test_the_current_listing_is_dated_today(server: LocalServer, live: MakeSource) -> None:
    server.routes["/defillama/pools"] = [Reply(pools_answer(pool_entry("a")))]
    row = live(datetime(2025, 6, 2, 15)).current_pools().frame.iloc[0]
    assert (row["date"], row["valid_at"]) == (pd.Timestamp("2025-06-02"), pd.Timestamp("2025-06-02T15:00"))


def test_charts_that_fail_are_counted_and_the_others_kept(server: LocalServer, live: MakeSource) -> None:
    good = chart_answer(chart_point("2025-06-01T10:00:00Z"), chart_point("2025-06-01T11:00:00Z", apy=-500))
    server.routes["/defillama/chart/good"] = [Reply(status=429, headers={"Retry-After": "1"}), Reply(good)]
    server.routes["/defillama/chart/empty"] = [Reply(chart_answer())]
    server.routes["/defillama/chart/broken"] = [Reply(b'{"status": "succ')]
    server.routes["/defillama/chart/shapeless"] = [Reply({"status": "success", "data": {"a": 1}})]
    server.routes["/defillama/chart/odd%2Fid%3F"] = [Reply(good)]
    asked = ["good", "empty", "broken", "shapeless", "odd/id?", "good"]
    fetched = live().pool_history(WINDOW, asked)
    assert fetched.frame["pool_id"].tolist() == ["good", "odd/id?"]
    assert fetched.refused == {"apy is below -1": 2, "chart not fetched": 2}
    assert not fetched.complete
    assert "2 of 5 pool charts" in fetched.warnings[0]
    assert server.times("/defillama/chart/broken") == 3


def test_when_no_chart_can_be_fetched_it_is_an_error(live: MakeSource) -> None:
    with pytest.raises(SourceError, match="none of 2 pool charts"):
        live().pool_history(WINDOW, ["a", "b"])


def test_no_pools_are_no_charts(server: LocalServer, live: MakeSource) -> None:
    fetched = live().pool_history(WINDOW, [])
    assert len(fetched.frame) == 0
    assert fetched.complete
    assert server.asked == []


def test_a_pool_id_that_climbs_out_of_its_path_stays_in_it(server: LocalServer, live: MakeSource) -> None:
    with pytest.raises(SourceError):
        live().pool_history(WINDOW, ["../../secret"])
    assert all(asked.path.startswith("/defillama/chart/") for asked in server.asked)


# Prices


def candles_route(*known: str) -> Callable[[Asked], Reply]:
    def route(asked: Asked) -> Reply:
        names = [name for name in asked.query["symbol"].split(",") if name in known]
        data = {name: [ohlcv_asset(name, candle("2025-06-01", 0.999))] for name in names}
        return Reply({"status": {"error_code": 0}, "data": data})

    return route


@dataclass
class Coins:
    """The coins API: every coin it is asked for has the price of its request's first day."""

    spans: list[tuple[int, int]] = field(default_factory=list)

    def __call__(self, asked: Asked) -> Reply:
        start, span = int(asked.query["start"]), int(asked.query["span"])
        self.spans.append((start, span))
        coins = asked.path.removeprefix("/defillama_coins/chart/").split(",")
        series = {"confidence": 0.99, "prices": [{"timestamp": start, "price": 1.001}]}
        return Reply({"coins": dict.fromkeys(coins, series)})


def serve_coins(server: LocalServer, monkeypatch: pytest.MonkeyPatch) -> Coins:
    coins, reply = Coins(), server.reply

    def by_prefix(target: str, headers: dict[str, str]) -> Reply:
        path = target.partition("?")[0]
        if path.startswith("/defillama_coins/chart/"):
            server.routes.setdefault(path, coins)
        return reply(target, headers)

    monkeypatch.setattr(server, "reply", by_prefix)
    return coins


OHLCV = "/coinmarketcap/v2/cryptocurrency/ohlcv/historical"


def test_candles_come_with_the_key_and_the_first_day_is_asked_for(
    server: LocalServer, live: MakeSource, monkeypatch: pytest.MonkeyPatch
) -> None:
    serve_coins(server, monkeypatch)
    server.routes[OHLCV] = candles_route("USDC", "USDT", "ETH", "BTC")
    fetched = live(COINMARKETCAP_API_KEY=KEY).token_ohlcv(WINDOW, ["usdc"])
    assert fetched.frame["symbol"].tolist() == ["BTC", "ETH", "USDC", "USDT"]
    assert fetched.frame["low"].notna().all()
    assert fetched.warnings == ()
    asked = server.asked[0]
    assert asked.headers["X-CMC_PRO_API_KEY"] == KEY
    assert (asked.query["time_start"], asked.query["time_end"]) == ("2025-05-31", "2025-06-01")


def test_without_a_key_prices_are_closes_and_a_warning_says_so(
    server: LocalServer, live: MakeSource, monkeypatch: pytest.MonkeyPatch
) -> None:
    coins = serve_coins(server, monkeypatch)
    unknown = "ethereum:0x" + "12" * 20
    fetched = live().token_ohlcv(WINDOW, ["USDC", unknown, "NOBODYKNOWS"])
    assert fetched.frame["symbol"].tolist() == ["BTC", "ETH", "USDC", "USDT", unknown]
    assert fetched.frame["low"].isna().all()
    assert "COINMARKETCAP_API_KEY is not set" in " ".join(fetched.warnings)
    assert "no price source for NOBODYKNOWS" in " ".join(fetched.warnings)
    moment = datetime.fromtimestamp(coins.spans[0][0], UTC)
    assert moment.date() == DAY
    assert (moment + timedelta(hours=1)).date() == DAY  # the search width does not reach the next day


def test_a_long_window_and_many_tokens_are_asked_for_in_parts(
    server: LocalServer, live: MakeSource, monkeypatch: pytest.MonkeyPatch
) -> None:
    coins = serve_coins(server, monkeypatch)
    tokens = [f"ethereum:0x{number:040x}" for number in range(1, 31)]
    fetched = live().token_ohlcv(Window(date(2024, 12, 1), DAY), tokens)
    assert sorted(span for _, span in coins.spans) == [83, 83, 100, 100]
    assert fetched.frame["symbol"].nunique() == 33


def test_what_coinmarketcap_cannot_give_comes_as_a_close(
    server: LocalServer, live: MakeSource, monkeypatch: pytest.MonkeyPatch
) -> None:
    serve_coins(server, monkeypatch)
    server.routes[OHLCV] = candles_route("USDT", "ETH", "BTC")
    fetched = live(COINMARKETCAP_API_KEY=KEY).token_ohlcv(WINDOW, ["USDC"])
    assert fetched.frame.set_index("symbol")["low"].notna().to_dict() == {
        "BTC": True,
        "ETH": True,
        "USDC": False,
        "USDT": True,
    }
    assert "close-only prices from DefiLlama for USDC" in " ".join(fetched.warnings)


def test_a_plan_without_history_falls_back_to_closes_without_showing_the_key(
    server: LocalServer, live: MakeSource, monkeypatch: pytest.MonkeyPatch
) -> None:
    serve_coins(server, monkeypatch)
    refusal = {"status": {"error_code": 1006, "error_message": f"Your plan of key {KEY} lacks this endpoint"}}
    for reply in (Reply(refusal, status=403), Reply(refusal)):
        server.routes[OHLCV] = [reply]
        fetched = live(COINMARKETCAP_API_KEY=KEY).token_ohlcv(WINDOW, [])
        assert fetched.frame["symbol"].tolist() == ["BTC", "ETH", "USDT"]
        warnings = " ".join(fetched.warnings)
        assert "lacks this endpoint" in warnings
        assert KEY not in warnings


def test_when_no_price_can_be_had_it_is_an_error_without_the_key(server: LocalServer, live: MakeSource) -> None:
    server.routes[OHLCV] = [Reply({"status": {"error_code": 1001, "error_message": f"bad key {KEY}"}})]
    with pytest.raises(SourceError, match=r"no prices for 2025-06-01: .*bad key") as caught:
        live(COINMARKETCAP_API_KEY=KEY).token_ohlcv(WINDOW, [])
    assert KEY not in str(caught.value)


def test_a_failed_part_of_the_closes_leaves_the_answer_incomplete(
    server: LocalServer, live: MakeSource, monkeypatch: pytest.MonkeyPatch
) -> None:
    serve_coins(server, monkeypatch)
    tokens = [f"ethereum:0x{number:040x}" for number in range(1, 31)]
    coins = sorted([*tokens, "coingecko:ethereum", "coingecko:bitcoin", "coingecko:tether"])
    server.routes[f"/defillama_coins/chart/{','.join(coins[20:])}"] = [Reply(status=500)]
    fetched = live().token_ohlcv(WINDOW, tokens)
    assert len(fetched.frame) == 20
    assert not fetched.complete


# Gas

AVERAGE = "/ethgastracker/api/gas/average"


def test_a_day_of_gas_is_complete_with_its_24_hours(server: LocalServer, live: MakeSource) -> None:
    server.routes[AVERAGE] = [Reply(gas_answer(*(gas_hour(f"2025-06-01T{h:02}:00:00Z") for h in range(24))))]
    fetched = live().gas_hourly(WINDOW)
    assert len(fetched.frame) == 24
    assert fetched.complete
    assert fetched.warnings == ()
    assert server.asked[0].query == {}


def test_gas_that_does_not_cover_the_window_says_so(server: LocalServer, live: MakeSource) -> None:
    hours = [gas_hour(f"2025-06-01T{h:02}:00:00Z") for h in range(24)] + [gas_hour("2025-05-31T23:00:00Z")]
    server.routes[AVERAGE] = [Reply(gas_answer(*hours))]
    fetched = live(ETHGASTRACKER_API_KEY="gas-key").gas_hourly(Window(date(2025, 5, 25), DAY))
    assert len(fetched.frame) == 25
    assert not fetched.complete
    assert "6 days have no gas price and 1 have fewer than 24 hours" in fetched.warnings[0]
    assert server.asked[0].query == {"apiKey": "gas-key"}


def test_an_empty_gas_answer_is_no_rows_and_incomplete(server: LocalServer, live: MakeSource) -> None:
    server.routes[AVERAGE] = [Reply(gas_answer())]
    fetched = live().gas_hourly(WINDOW)
    assert len(fetched.frame) == 0
    assert not fetched.complete


# All of it


def test_rows_meet_their_contracts(server: LocalServer, live: MakeSource, monkeypatch: pytest.MonkeyPatch) -> None:
    serve_coins(server, monkeypatch)
    server.routes["/defillama/pools"] = [Reply(pools_answer(pool_entry("a")))]
    server.routes["/defillama/chart/a"] = [Reply(chart_answer(chart_point("2025-06-01T10:00:00Z")))]
    server.routes[AVERAGE] = [Reply(gas_answer(gas_hour("2025-06-01T01:00:00Z")))]
    server.routes["/etherscan"] = Scan({(ACCOUNT, "txlist"): [plain_transaction(at(NOON), NOON)]}, {"ETH": "1"})
    source = live(ETHERSCAN_API_KEY=SCAN_KEY)
    answers = {
        "raw_defillama_pools": source.pool_snapshots(WINDOW),
        "raw_defillama_pool_history": source.pool_history(WINDOW, ["a"]),
        "raw_coinmarketcap_ohlcv": source.token_ohlcv(WINDOW, ["USDC"]),
        "raw_ethgastracker_hourly_gas_data": source.gas_hourly(WINDOW),
        "raw_etherscan_account_balances": source.account_balances(WINDOW, [ACCOUNT]),
        "raw_etherscan_account_transactions": source.account_transactions(WINDOW, [ACCOUNT]),
    }
    for name, fetched in answers.items():
        contract = table(name)
        assert len(fetched.frame) > 0
        pd.testing.assert_frame_equal(conform(contract, fetched.frame), fetched.frame)
        assert not fetched.frame.duplicated(list(contract.key)).any()
        assert fetched.frame["date"].isin([pd.Timestamp(DAY)]).all()
        assert (fetched.frame["valid_at"] <= pd.Timestamp(end_of(DAY))).all()
        assert (fetched.frame["valid_at"] <= fetched.frame["seen_at"]).all()
        assert fetched.frame["source"].str.startswith("live ").all()


def test_the_source_begins_120_days_ago_and_has_no_last_day(live: MakeSource) -> None:
    source = live(datetime(2025, 6, 2, 1))
    assert source.first_day == date(2025, 2, 2)
    assert source.last_day is None
    assert source.name == "live"


def test_it_opens_by_its_name() -> None:
    source = open_source("live")
    assert isinstance(source, LiveSource)
    source.close()


@pytest.mark.parametrize(
    "address",
    ["http://yields.example", "ftp://127.0.0.1", "yields.example", "https://", "http://localhost.evil.example"],
)
def test_a_base_address_that_is_not_https_is_refused(address: str) -> None:
    with pytest.raises(ConfigurationError, match="DEFIYIELD_DEFILLAMA_URL"):
        endpoints_from({"DEFIYIELD_DEFILLAMA_URL": address})


def test_the_public_apis_are_the_default() -> None:
    endpoints = endpoints_from({})
    assert endpoints.defillama == "https://yields.llama.fi"
    assert endpoints.etherscan == "https://api.etherscan.io/v2/api"


def test_keys_are_trimmed_hidden_and_refused_when_they_cannot_be_sent() -> None:
    keys = keys_from({"COINMARKETCAP_API_KEY": f" {KEY}\n", "ETHERSCAN_API_KEY": " "})
    assert keys.coinmarketcap == KEY
    assert keys.etherscan is None
    assert keys.secrets == (KEY,)
    assert KEY not in repr(keys)
    with pytest.raises(ConfigurationError, match="ETHERSCAN_API_KEY has characters") as caught:
        keys_from({"ETHERSCAN_API_KEY": "abc def-secret"})
    assert "secret" not in str(caught.value)
