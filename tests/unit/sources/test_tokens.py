"""Which token a name means."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from defiyield_core.errors import DataError
from defiyield_core.sources import tokens
from defiyield_core.sources.tokens import canonical_token, known_address, pool_tokens

USDC = "0xA0b86991c6218b36c1d19D4a2e9Eb0cE3606eB48"
UNKNOWN = "0x" + "Ab" * 20


def test_a_symbol_is_upper_case() -> None:
    assert canonical_token(" USDe ", "Ethereum") == canonical_token("USDE", "Base") == "USDE"


def test_a_registered_address_is_its_symbol_in_any_spelling() -> None:
    for address in (USDC, USDC.lower(), f"ethereum:{USDC}", f"Ethereum:{USDC.lower()}"):
        assert canonical_token(address, "Ethereum") == "USDC"


def test_an_unknown_address_is_chain_and_address_in_lower_case() -> None:
    assert canonical_token(UNKNOWN, "Ethereum") == f"ethereum:{UNKNOWN.lower()}"


def test_a_registered_address_on_another_chain_is_another_token() -> None:
    assert canonical_token(USDC, "Base") == f"base:{USDC.lower()}"


def test_the_native_coin_is_eth_where_gas_is_eth() -> None:
    zero, marker = "0x" + "0" * 40, "0x" + "Ee" * 20
    assert {canonical_token(name, chain) for name in (zero, marker) for chain in ("Ethereum", "Base")} == {"ETH"}
    assert canonical_token(zero, "Polygon") == f"polygon:{zero}"


def test_an_address_that_tells_cases_apart_keeps_them() -> None:
    mint = "EPjFWdd5AufqSSqeM2qN1xzybapC8G4wEGGkZwyTDt1v"
    assert canonical_token(mint, "Solana") == f"solana:{mint}"


@given(st.text(min_size=1, max_size=60).filter(str.strip), st.sampled_from(["Ethereum", "Base", "Solana"]))
def test_the_canonical_name_is_its_own_canonical_name(name: str, chain: str) -> None:
    once = canonical_token(name, chain)
    assert canonical_token(once, chain) == once


def test_a_blank_name_is_refused() -> None:
    with pytest.raises(DataError, match="blank name"):
        canonical_token("  ", "Ethereum")


def test_a_pools_tokens_are_distinct_and_in_order() -> None:
    assert pool_tokens([USDC, "usdc", UNKNOWN, "DAI"], "X", "Ethereum") == (
        "USDC",
        f"ethereum:{UNKNOWN.lower()}",
        "DAI",
    )


def test_the_symbol_speaks_only_where_no_list_does() -> None:
    for nothing in (None, [], [None, 3], "null", "not json", '{"a": 1}', "[]"):
        assert pool_tokens(nothing, "DAI-USDC-usdt", "Ethereum") == ("DAI", "USDC", "USDT")
    assert pool_tokens(f'["{USDC}"]', "STEAKUSDC", "Ethereum") == ("USDC",)


def test_the_address_of_a_registered_token_is_known() -> None:
    assert known_address("usdc", "ethereum") == USDC.lower()
    assert known_address("USDC", "Nowhere") is None


def registry_of(path: Path, text: str, monkeypatch: pytest.MonkeyPatch) -> dict[tuple[str, str], str]:
    path.write_text(text)
    monkeypatch.setattr(tokens, "REGISTRY_PATH", path)
    return tokens.registry.__wrapped__()


def test_a_registry_that_names_a_contract_twice_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = "token,chain,address\nUSDC,Ethereum,0x1\nUSDT,ethereum,0X1\n"
    with pytest.raises(DataError, match="line 3: 0x1 on ethereum is USDT, but an earlier line names it USDC"):
        registry_of(tmp_path / "t.csv", text, monkeypatch)


def test_a_registry_without_its_columns_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(DataError, match="address"):
        registry_of(tmp_path / "t.csv", "token,chain\nUSDC,Ethereum\n", monkeypatch)


def test_a_token_without_an_address_is_no_contract(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = "token,chain,address\nusdc,Ethereum,0xA\nXYZ,,\n"
    assert registry_of(tmp_path / "t.csv", text, monkeypatch) == {("ethereum", "0xa"): "USDC"}
