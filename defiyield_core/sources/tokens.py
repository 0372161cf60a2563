"""Canonical token identity: which token a symbol or an address means.

Belongs here: the one rule by which a token is named. Does not belong here: whether a token may be held. A token
is named by its upper-case symbol where its contract is in the registry (the seed list of approved tokens), by
`chain:address` where it is not, and by the upper-case symbol where a source gives no address. A symbol that a
contract claims for itself is never trusted: anyone can deploy a token that calls itself USDC.
"""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Iterable
from functools import lru_cache
from pathlib import Path

from defiyield_core.errors import DataError

REGISTRY_PATH = Path(__file__).parents[1] / "universe" / "seeds" / "approved_tokens.csv"
_HEX_ADDRESS = re.compile(r"0x[0-9a-fA-F]{40,64}")
_BASE58_ADDRESS = re.compile(r"[1-9A-HJ-NP-Za-km-z]{32,44}")
_NATIVE_ADDRESSES = ("0x" + "0" * 40, "0x" + "e" * 40)
_ETH_CHAINS = ("ethereum", "arbitrum", "optimism", "op mainnet", "base", "linea", "scroll", "zksync era", "blast")


def canonical_token(symbol_or_address: str, chain: str) -> str:
    """The canonical name of a token on `chain`.

    `0xA0b8...eB48` on Ethereum -> `USDC` (in the registry); an unknown address -> `ethereum:0x...`, lower case;
    a symbol -> upper case. `ethereum:0x...` is read as chain and address, so that the function is idempotent.
    The native coin's pseudo-addresses are ETH on chains whose gas is ETH.

    Raises:
        DataError: the name is blank.
    """
    return _canonical(symbol_or_address, chain)


def pool_tokens(underlying: Iterable[object] | str | None, symbol: str, chain: str) -> tuple[str, ...]:
    """The distinct canonical tokens of a pool, in the order of the source.

    Args:
        underlying: addresses or symbols, as a list or as its JSON text; entries that are no text are passed
        over.
        symbol: the pool's symbol, split at `-` when there is no usable list.
    """
    listed = _listed(underlying)
    names = [name for name in listed if isinstance(name, str) and name.strip()]
    if not names:
        names = [part for part in symbol.split("-") if part.strip()]
    return tuple(dict.fromkeys(canonical_token(name, chain) for name in names))


def known_address(token: str, chain: str) -> str | None:
    """The contract of a registered token on a chain, lower case; None where the registry has none."""
    wanted = token.strip().upper()
    for (known_chain, address), name in registry().items():
        if name == wanted and known_chain == chain.strip().lower():
            return address
    return None


@lru_cache(maxsize=1)
def registry() -> dict[tuple[str, str], str]:
    """Canonical names of known contracts by (chain, address), both lower case; empty when the seed list is not there.

    Raises:
        DataError: the list lacks a column, or gives one contract two names.
    """
    if not REGISTRY_PATH.exists():
        return {}
    with REGISTRY_PATH.open(newline="", encoding="utf-8") as file:
        reader = csv.DictReader(file)
        missing = {"token", "chain", "address"} - set(reader.fieldnames or ())
        if missing:
            raise DataError(f"{REGISTRY_PATH.name}: columns {sorted(missing)} are missing; restore the seed list")
        names: dict[tuple[str, str], str] = {}
        for line, row in enumerate(reader, start=2):
            chain, address = (row["chain"] or "").strip().lower(), (row["address"] or "").strip().lower()
            token = (row["token"] or "").strip().upper()
            if chain and address and token and names.setdefault((chain, address), token) != token:
                raise DataError(
                    f"{REGISTRY_PATH.name} line {line}: {address} on {chain} is {token}, but an earlier line names it "
                    f"{names[(chain, address)]}; a contract has one name"
                )
        return names


@lru_cache(maxsize=65536)
def _canonical(symbol_or_address: str, chain: str) -> str:
    name, network = symbol_or_address.strip(), chain.strip().lower()
    prefix, colon, rest = name.partition(":")
    if colon and _is_address(rest):
        network, name = prefix.strip().lower(), rest
    if not name:
        raise DataError(
            f"a token on {chain or 'an unnamed chain'} has a blank name; every token needs a symbol or an address"
        )
    if not _is_address(name):
        return name.upper()
    address = name.lower() if name.startswith("0x") else name  # base58 addresses tell upper from lower case
    if address in _NATIVE_ADDRESSES and network in _ETH_CHAINS:
        return "ETH"
    return registry().get((network, address.lower())) or f"{network}:{address}"


def _is_address(text: str) -> bool:
    return bool(_HEX_ADDRESS.fullmatch(text) or _BASE58_ADDRESS.fullmatch(text))


def _listed(underlying: Iterable[object] | str | None) -> Iterable[object]:
    if isinstance(underlying, str):
        try:
            parsed = json.loads(underlying)
        except ValueError:
            return ()
        return parsed if isinstance(parsed, list) else ()
    return () if underlying is None else underlying
