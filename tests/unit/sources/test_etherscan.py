"""What Etherscan says, as transactions and balances."""

from __future__ import annotations

import json
from datetime import date, datetime
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from defiyield_core.calendar import Window, end_of
from defiyield_core.errors import SourceError
from defiyield_core.sources import etherscan
from defiyield_core.sources.port import Fetched
from tests.unit.sources.conftest import plain_transaction, scan_answer, token_transfer

SEEN = datetime(2025, 6, 2, 1)
DAY = date(2025, 6, 1)
WINDOW = Window(DAY, DAY)
NOON = 1748779200
ADDRESS = "0xAAaaAAaaAAaaAAaaAAaaAAaaAAaaAAaaAAaaAAaa"


def parse(*rows: Any, kind: etherscan.Kind = "txlist", address: str = ADDRESS, window: Window = WINDOW) -> Fetched:
    return etherscan.parse_transactions(
        scan_answer(list(rows)), address=address, kind=kind, window=window, seen_at=SEEN, source="test"
    )


def test_a_transaction_moves_ether_and_pays_gas() -> None:
    row = parse(plain_transaction(7, NOON)).frame.iloc[0]
    assert (row["token"], row["amount"]) == ("ETH", 1.5)
    assert row["fee_eth"] == 21_000 * 20 / 1e9
    assert row["token_address"] is None
    assert row["address"] == row["from_address"] == ADDRESS.lower()
    assert row["valid_at"] == pd.Timestamp("2025-06-01T12:00")
    assert row["block_number"] == 7
    assert not row["failed"]


def test_a_reverted_transaction_moved_nothing_but_paid_its_gas() -> None:
    for fields in ({"isError": "1"}, {"txreceipt_status": "0"}):
        row = parse(plain_transaction(7, NOON, **fields)).frame.iloc[0]
        assert row["failed"]
        assert (row["amount"], row["fee_eth"]) == (0.0, 0.00042)


def test_a_contract_creation_has_no_receiver() -> None:
    created = plain_transaction(7, NOON, to="", contractAddress="0x" + "9" * 40)
    row = parse(created).frame.iloc[0]
    assert row["to_address"] is None
    assert (row["token"], row["token_address"]) == ("ETH", None)


def test_a_transfer_counts_in_the_tokens_decimals() -> None:
    row = parse(token_transfer(7, NOON), kind="tokentx").frame.iloc[0]
    assert (row["token"], row["amount"]) == ("USDC", 2.5)


def test_a_token_that_calls_itself_usdc_is_named_by_its_contract() -> None:
    fake = "0x" + "Cd" * 20
    row = parse(token_transfer(7, NOON, contractAddress=fake, tokenSymbol="USDC"), kind="tokentx").frame.iloc[0]
    assert row["token"] == f"ethereum:{fake.lower()}"
    assert row["token_address"] == fake.lower()


def test_transfers_of_one_transaction_are_numbered() -> None:
    fetched = parse(
        token_transfer(7, NOON), token_transfer(8, NOON), token_transfer(7, NOON, value="1"), kind="tokentx"
    )
    numbered = fetched.frame.set_index(["transaction_hash", "sequence"])["amount"]
    assert numbered[f"0x{7:064x}"].to_dict() == {0: 2.5, 1: 1e-6}


def test_the_largest_amount_there_can_be_is_read() -> None:
    most = 2**256 - 1
    fetched = parse(token_transfer(7, NOON, value=str(most), tokenDecimal="0"), kind="tokentx")
    assert fetched.frame["amount"].tolist() == [float(most)]


def test_transactions_outside_the_window_are_left_out_without_being_counted() -> None:
    fetched = parse(
        plain_transaction(1, NOON - 86_400), plain_transaction(2, NOON), plain_transaction(3, NOON + 86_400)
    )
    assert fetched.frame["block_number"].tolist() == [2]
    assert fetched.refused == {}


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"value": "1e18"}, "value is not a whole number"),
        ({"value": "-5"}, "value is not a whole number"),
        ({"value": "9" * 200}, "value is not a whole number"),
        ({"value": 1.5}, "value is not a whole number"),
        ({"gasUsed": ""}, "gasUsed is not a whole number"),
        ({"timeStamp": "noon"}, "timeStamp is not a moment"),
        ({"hash": None}, "hash is not a text"),
        ({"from": 5}, "from is not a text"),
        ({"tokenDecimal": ""}, "tokenDecimal is not a whole number"),
        ({"tokenDecimal": "256"}, "tokenDecimal is out of range"),
        ({"contractAddress": ""}, "contractAddress is not a text"),
    ],
)
def test_a_row_that_cannot_be_used_is_counted_and_the_others_stay(fields: dict[str, Any], reason: str) -> None:
    fetched = parse(token_transfer(1, NOON), {**token_transfer(2, NOON), **fields}, kind="tokentx")
    assert fetched.frame["block_number"].tolist() == [1]
    assert fetched.refused == {reason: 1}


def test_no_transactions_found_is_empty_and_no_error() -> None:
    for message in ("No transactions found", "No records found"):
        assert etherscan.result_list(scan_answer([], "0", message)) == []


@pytest.mark.parametrize(
    "payload",
    [
        scan_answer("Max rate limit reached", "0", "NOTOK"),
        scan_answer("Invalid API Key", "0", "NOTOK"),
        scan_answer([], "0", "NOTOK"),
        scan_answer("No transactions found, they say", "0", "NOTOK"),
        scan_answer({"a": 1}),
        {"status": "1", "message": "OK"},
        {},
        None,
        [],
    ],
)
def test_an_answer_that_reports_an_error_is_an_error(payload: object) -> None:
    with pytest.raises(SourceError, match="Etherscan"):
        etherscan.parse_transactions(
            payload, address=ADDRESS, kind="txlist", window=WINDOW, seen_at=SEEN, source="test"
        )


def test_a_key_that_the_server_echoes_is_not_repeated() -> None:
    with pytest.raises(SourceError) as caught:
        etherscan.result_list(scan_answer("Invalid API Key (#err2)|ABCDEF", "0", "NOTOK"))
    assert "Invalid API Key" in str(caught.value)
    assert "ABCDEF" not in str(caught.value)


def test_a_rate_limit_is_told_from_other_errors() -> None:
    assert etherscan.is_rate_limited(scan_answer("Max calls per sec rate limit reached (3/sec)", "0", "NOTOK"))
    assert not etherscan.is_rate_limited(scan_answer("Invalid API Key", "0", "NOTOK"))
    assert not etherscan.is_rate_limited(scan_answer([], "0", "No transactions found"))
    assert not etherscan.is_rate_limited(scan_answer("rate limit reached"))
    assert not etherscan.is_rate_limited([])


def balance(result: Any, **token: Any) -> Fetched:
    return etherscan.parse_balance(scan_answer(result), address=ADDRESS, day=DAY, seen_at=SEEN, source="test", **token)


def test_a_balance_is_ether_unless_it_is_of_a_token() -> None:
    row = balance("1500000000000000000").frame.iloc[0]
    assert (row["token"], row["amount"], row["token_address"]) == ("ETH", 1.5, None)
    assert row["valid_at"] == pd.Timestamp(end_of(DAY))
    usdc = "0xA0b86991c6218b36c1d19D4a2e9Eb0cE3606eB48"
    row = balance("2500000", token_address=usdc, decimals=6).frame.iloc[0]
    assert (row["token"], row["amount"], row["token_address"]) == ("USDC", 2.5, usdc.lower())


@pytest.mark.parametrize("result", ["", "abc", "-1", None, [], "1.5"])
def test_a_balance_that_is_no_whole_number_is_an_error(result: Any) -> None:
    with pytest.raises(SourceError, match="whole number"):
        balance(result)


def test_a_block_number_is_read_and_anything_else_refused() -> None:
    assert etherscan.parse_block_number(scan_answer("22997210")) == 22_997_210
    with pytest.raises(SourceError, match="the block 'soon'"):
        etherscan.parse_block_number(scan_answer("soon"))


def test_contracts_are_found_in_transfers_with_their_decimals() -> None:
    other = "0x" + "Ef" * 20
    rows = [token_transfer(1, NOON), token_transfer(2, NOON, contractAddress=other, tokenDecimal="18"), 5, {}]
    assert etherscan.contracts_of(scan_answer(rows)) == {
        "0xa0b86991c6218b36c1d19d4a2e9eb0ce3606eb48": 6,
        other.lower(): 18,
    }


def test_a_transfer_between_two_own_addresses_keeps_both_rows() -> None:
    other = "0x" + "b" * 40
    parts = [parse(token_transfer(7, NOON), kind="tokentx", address=address) for address in (other, ADDRESS)]
    for order in (parts, parts[::-1]):
        merged = etherscan.merged(order).frame
        assert merged["address"].tolist() == [ADDRESS.lower(), other]
        assert merged["sequence"].tolist() == [0, 1]


def test_no_parts_merge_to_no_rows() -> None:
    assert len(etherscan.merged([]).frame) == 0


@pytest.mark.recorded
def test_recorded_answers_are_read_whole_or_are_reported_errors(recorded_dir: Path) -> None:
    files = sorted((recorded_dir / "api_samples" / "etherscan_v2_recorded").glob("*.json"))
    ever, rows, errors, empty = Window(date(2015, 1, 1), date(2030, 1, 1)), 0, 0, 0
    for file in files:
        sample = json.loads(file.read_text())
        asked, answer = sample["request"]["params"], sample["response"]
        if asked["action"] not in ("txlist", "tokentx"):
            continue
        stamps = {"address": asked["address"], "kind": asked["action"], "window": ever, "seen_at": SEEN, "source": "x"}
        if answer["message"] == "NOTOK":
            with pytest.raises(SourceError, match="Free API access"):
                etherscan.parse_transactions(answer, **stamps)
            errors += 1
            continue
        fetched = etherscan.parse_transactions(answer, **stamps)
        assert len(fetched.frame) == len(answer["result"])
        assert fetched.refused == {}
        rows += len(fetched.frame)
        empty += not answer["result"]
    assert rows > 200
    assert errors == 4
    assert empty == 4


@pytest.mark.recorded
def test_recorded_balances_are_read(recorded_dir: Path) -> None:
    file = recorded_dir / "api_samples" / "etherscan_v2_balance_official_example.json"
    fetched = etherscan.parse_balance(json.loads(file.read_text()), address=ADDRESS, day=DAY, seen_at=SEEN, source="x")
    assert fetched.frame["amount"].tolist() == [172774.397764084972158218]
