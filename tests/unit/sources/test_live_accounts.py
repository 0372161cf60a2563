"""Accounts of live portfolios, read from a local server that pages and fails as Etherscan does."""

from __future__ import annotations

import logging
from datetime import date, datetime

import pandas as pd
import pytest

from defiyield_core.calendar import Window, end_of
from defiyield_core.contracts import table
from defiyield_core.errors import SourceError
from defiyield_core.sources import live_accounts
from tests.unit.sources.conftest import (
    SCAN_KEY,
    LocalServer,
    MakeSource,
    Reply,
    Scan,
    at,
    plain_transaction,
    token_transfer,
)

DAY = date(2025, 6, 1)
WINDOW = Window(DAY, DAY)
ACCOUNT, OTHER = "0x" + "aa" * 20, "0x" + "bb" * 20
NOON = 1748779200


def test_transactions_of_several_addresses_are_read(server: LocalServer, live: MakeSource) -> None:
    mine = [plain_transaction(at(NOON), NOON), plain_transaction(at(NOON + 600), NOON + 600, isError="1")]
    scan = Scan({(ACCOUNT, "txlist"): mine, (OTHER, "tokentx"): [token_transfer(at(NOON), NOON)]}, {})
    server.routes["/etherscan"] = scan
    fetched = live(ETHERSCAN_API_KEY=SCAN_KEY).account_transactions(WINDOW, [ACCOUNT.upper().replace("X", "x"), OTHER])
    assert fetched.frame.groupby(["address", "kind"]).size().to_dict() == {
        (ACCOUNT, "txlist"): 2,
        (OTHER, "tokentx"): 1,
    }
    assert fetched.complete


def test_every_page_is_read_and_every_row_once(
    server: LocalServer, live: MakeSource, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(live_accounts, "PAGE_ROWS", 5)
    monkeypatch.setattr(live_accounts, "RESULT_WINDOW_ROWS", 20)
    for count in (4, 5, 20, 21, 61):
        rows = [token_transfer(at(NOON) + number // 3, NOON, value=str(number)) for number in range(count)]
        server.routes["/etherscan"] = Scan({(ACCOUNT, "tokentx"): rows}, {})
        frame = live(ETHERSCAN_API_KEY=SCAN_KEY).account_transactions(WINDOW, [ACCOUNT]).frame
        assert sorted(round(amount * 1e6) for amount in frame["amount"]) == list(range(count))
        assert not frame.duplicated(list(table("raw_etherscan_account_transactions").key)).any()


def test_more_rows_in_one_block_than_can_be_paged_through_is_an_error(
    server: LocalServer, live: MakeSource, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(live_accounts, "PAGE_ROWS", 5)
    monkeypatch.setattr(live_accounts, "RESULT_WINDOW_ROWS", 20)
    rows = [plain_transaction(at(NOON), NOON) for _ in range(50)]
    server.routes["/etherscan"] = Scan({(ACCOUNT, "txlist"): rows}, {})
    with pytest.raises(SourceError, match="more txlist rows"):
        live(ETHERSCAN_API_KEY=SCAN_KEY).account_transactions(WINDOW, [ACCOUNT])


def test_a_rate_limit_that_comes_with_status_200_is_waited_out(server: LocalServer, live: MakeSource) -> None:
    scan = Scan({(ACCOUNT, "txlist"): [plain_transaction(at(NOON), NOON)]}, {})
    scan.busy = 2
    server.routes["/etherscan"] = scan
    assert len(live(ETHERSCAN_API_KEY=SCAN_KEY).account_transactions(WINDOW, [ACCOUNT]).frame) == 1


def test_an_address_that_fails_is_said_and_the_others_kept(server: LocalServer, live: MakeSource) -> None:
    scan = Scan({(ACCOUNT, "txlist"): [plain_transaction(at(NOON), NOON)]}, {})
    scan.broken = {OTHER}
    server.routes["/etherscan"] = scan
    fetched = live(ETHERSCAN_API_KEY=SCAN_KEY).account_transactions(WINDOW, [ACCOUNT, OTHER])
    assert fetched.frame["address"].tolist() == [ACCOUNT]
    assert not fetched.complete
    assert f"account {OTHER} could not be read: Etherscan reported 'Invalid API Key (#err2)'" in fetched.warnings[0]
    assert SCAN_KEY not in fetched.warnings[0]


def test_when_every_address_fails_it_is_an_error_and_no_key_leaks(
    server: LocalServer, live: MakeSource, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    scan = Scan({}, {})
    scan.broken = {ACCOUNT}
    for route in (scan, [Reply(b"cut {")], [Reply({"message": SCAN_KEY}, status=403)]):
        server.routes["/etherscan"] = route
        with pytest.raises(SourceError) as caught:
            live(ETHERSCAN_API_KEY=SCAN_KEY).account_transactions(WINDOW, [ACCOUNT])
        assert SCAN_KEY not in str(caught.value)
    assert SCAN_KEY not in caplog.text


def test_balances_are_ether_and_every_token_ever_received(server: LocalServer, live: MakeSource) -> None:
    usdc, other = "0xa0b86991c6218b36c1d19d4a2e9eb0ce3606eb48", "0x" + "cd" * 20
    transfers = [token_transfer(5, 1600000000), token_transfer(6, NOON, contractAddress=other, tokenDecimal="18")]
    server.routes["/etherscan"] = Scan(
        {(ACCOUNT, "tokentx"): transfers}, {"ETH": "2000000000000000000", usdc: "7500000", other: "10"}
    )
    fetched = live(ETHERSCAN_API_KEY=SCAN_KEY).account_balances(WINDOW, [ACCOUNT])
    assert fetched.frame.set_index("token")["amount"].to_dict() == {"ETH": 2.0, "USDC": 7.5, f"ethereum:{other}": 1e-17}
    assert fetched.frame["valid_at"].unique().tolist() == [pd.Timestamp(end_of(DAY))]
    assert fetched.complete


def test_one_token_that_fails_is_said_and_the_others_kept(server: LocalServer, live: MakeSource) -> None:
    server.routes["/etherscan"] = Scan({(ACCOUNT, "tokentx"): [token_transfer(5, NOON)]}, {"ETH": "1"})
    fetched = live(ETHERSCAN_API_KEY=SCAN_KEY).account_balances(WINDOW, [ACCOUNT])
    assert fetched.frame["token"].tolist() == ["ETH"]
    assert not fetched.complete
    assert "the balance of token 0xa0b8" in fetched.warnings[0]


def test_spam_tokens_do_not_crowd_out_registered_ones(
    server: LocalServer, live: MakeSource, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(live_accounts, "MAX_TOKENS_PER_ADDRESS", 3)
    spam = [token_transfer(n, NOON, contractAddress=f"0x{n:040x}") for n in range(1, 9)]
    contracts = {row["contractAddress"]: "1" for row in [*spam, token_transfer(9, NOON)]}
    rows = {(ACCOUNT, "tokentx"): [*spam, token_transfer(9, NOON)]}
    server.routes["/etherscan"] = Scan(rows, {"ETH": "1", **contracts})
    fetched = live(ETHERSCAN_API_KEY=SCAN_KEY).account_balances(WINDOW, [ACCOUNT])
    assert len(fetched.frame) == 4
    assert "USDC" in set(fetched.frame["token"])
    assert "has received 9 tokens" in fetched.warnings[0]


def test_balances_of_an_older_day_cannot_be_read(server: LocalServer, live: MakeSource) -> None:
    fetched = live(datetime(2025, 6, 9, 12), ETHERSCAN_API_KEY=SCAN_KEY).account_balances(WINDOW, [ACCOUNT])
    assert len(fetched.frame) == 0
    assert "only for today" in fetched.warnings[0]
    assert server.asked == []


def test_without_a_key_accounts_are_skipped_with_a_warning(server: LocalServer, live: MakeSource) -> None:
    for fetched in (live().account_transactions(WINDOW, [ACCOUNT]), live().account_balances(WINDOW, [ACCOUNT])):
        assert len(fetched.frame) == 0
        assert not fetched.complete
        assert "ETHERSCAN_API_KEY is not set: 1 accounts were not read" in fetched.warnings
    assert server.asked == []


def test_no_addresses_are_no_accounts_and_no_warning(live: MakeSource) -> None:
    for fetched in (live().account_transactions(WINDOW, []), live().account_balances(WINDOW, [])):
        assert len(fetched.frame) == 0
        assert fetched.complete
        assert fetched.warnings == ()
