"""The reviewed lists: seeded, restored as of any day, changed with a name and a reason."""

from __future__ import annotations

from datetime import datetime

import pandas as pd
import pytest

from defiyield_core.errors import ConfigurationError
from defiyield_core.universe.lists import (
    LIST_KINDS,
    add,
    as_of,
    change_list,
    list_entries,
    remove,
    seed_frame,
    seed_lists,
    seed_writes,
)
from defiyield_core.warehouse.opening import open_warehouse
from defiyield_core.warehouse.port import Warehouse

MAY, JUNE, JULY = (datetime(2025, month, 1) for month in (5, 6, 7))


@pytest.fixture
def warehouse() -> Warehouse:
    """Seeded lists."""
    fresh = open_warehouse("memory:")
    seed_lists(fresh)
    return fresh


@pytest.mark.parametrize(("kind", "size"), [("tokens", 28), ("blacklist", 6), ("protocols", 34)])
def test_the_shipped_lists_stand_since_the_beginning_of_time(kind: str, size: int) -> None:
    seeds = seed_frame(kind)
    assert len(as_of(seeds, datetime(1970, 1, 1))) == len(seeds) == size


def test_no_shipped_token_is_approved_and_blacklisted() -> None:
    approved, blacklisted = seed_frame("tokens"), seed_frame("blacklist")
    assert not set(approved["token"]) & set(blacklisted["token"])
    assert approved["token"].str.isupper().all()


def test_shipped_addresses_are_contracts_of_one_token_each() -> None:
    addresses = seed_frame("tokens")["address"].dropna()
    assert addresses.is_unique
    assert addresses.str.fullmatch(r"0x[0-9a-f]{40}").all()


def test_shares_of_funds_whose_price_grows_are_not_pegged() -> None:
    seeds = seed_frame("tokens").set_index("token")
    assert not seeds.loc[["OUSG", "USDY", "USTB"], "pegged"].any()
    assert seeds.loc[["USDC", "DAI", "CRVUSD"], "pegged"].all()


def test_seeding_again_changes_nothing(warehouse: Warehouse) -> None:
    change_list(warehouse, "tokens", "remove", "LUSD", "ana", "keeps losing its peg", JUNE)
    assert seed_writes(warehouse) == ()


def test_a_removed_token_is_still_on_the_list_of_the_days_before(warehouse: Warehouse) -> None:
    change_list(warehouse, "tokens", "remove", "lusd", "ana", "keeps losing its peg", JUNE)
    stored = warehouse.read("approved_tokens")
    assert "LUSD" in as_of(stored, MAY)
    assert "LUSD" not in as_of(stored, JUNE)
    row = stored.set_index("token").loc["LUSD"]
    assert (row["changed_by"], row["removed_at"]) == ("ana", pd.Timestamp(JUNE))
    assert row["reason"].startswith("keeps losing its peg")


def test_a_token_may_come_back_and_its_absence_is_remembered(warehouse: Warehouse) -> None:
    change_list(warehouse, "protocols", "remove", "Maple", "ana", "incident", MAY)
    change_list(warehouse, "protocols", "add", "maple", "ben", "resolved", JULY)
    stored = warehouse.read("approved_protocols")
    assert ["maple" in as_of(stored, moment) for moment in (datetime(2025, 4, 1), JUNE, JULY)] == [True, False, True]
    assert (stored["protocol"] == "maple").sum() == 2


def test_a_wrapper_is_added_with_what_it_wraps(warehouse: Warehouse) -> None:
    change_list(warehouse, "tokens", "add", "sUSDe", "ana", "reviewed", JUNE, wraps="USDe")
    row = list_entries(warehouse, "tokens", JULY).set_index("token").loc["SUSDE"]
    assert (row["wraps"], bool(row["pegged"])) == ("USDE", False)


def test_a_token_on_the_list_cannot_be_added_twice(warehouse: Warehouse) -> None:
    with pytest.raises(ConfigurationError, match="USDC is on the list already"):
        change_list(warehouse, "tokens", "add", "usdc", "ana", "why not", JUNE)


def test_history_is_not_rewritten(warehouse: Warehouse) -> None:
    change_list(warehouse, "tokens", "remove", "LUSD", "ana", "off its peg", JUNE)
    with pytest.raises(ConfigurationError, match="was on the list until"):
        change_list(warehouse, "tokens", "add", "LUSD", "ana", "back", MAY)
    with pytest.raises(ConfigurationError, match="was added only after"):
        change_list(warehouse, "tokens", "remove", "DAI", "ana", "gone", datetime(1969, 12, 31))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("stocks", "add", "X", "ana", "why"), "no list 'stocks'"),
        (("tokens", "drop", "X", "ana", "why"), "no action 'drop'"),
        (("tokens", "remove", "NOPE", "ana", "why"), "NOPE is not on the list"),
        (("tokens", "add", " ", "ana", "why"), "needs a name"),
        (("tokens", "add", "X", "", "why"), "needs a who"),
        (("tokens", "add", "X", "ana", " "), "needs a why"),
    ],
)
def test_a_change_that_makes_no_sense_is_refused(
    warehouse: Warehouse, arguments: tuple[str, str, str, str, str], message: str
) -> None:
    before = warehouse.read("approved_tokens")
    with pytest.raises(ConfigurationError, match=message):
        change_list(warehouse, *arguments)
    pd.testing.assert_frame_equal(warehouse.read("approved_tokens"), before)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"address": "0x12", "chain": "Ethereum"}, "40 hexadecimal digits"),
        ({"address": "0x" + "a" * 40}, "needs the chain"),
        ({"colour": "red"}, "no field colour"),
        ({"pegged": "maybe"}, "pegged must be true or false"),
    ],
)
def test_a_wrong_field_of_a_token_is_refused(fields: dict[str, str], message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        add(seed_frame("tokens"), "tokens", "NEW", "ana", "why", JUNE, **fields)


def test_the_lists_stay_frames_that_can_be_stored() -> None:
    for kind, spec in LIST_KINDS.items():
        seeds = seed_frame(kind)
        name = seeds[spec.column].iloc[0]
        assert len(remove(seeds, kind, name, "ana", "why", JUNE)) == len(seeds)
        assert name not in as_of(remove(seeds, kind, name, "ana", "why", JUNE), JUNE)
