"""Etherscan v2: account data as rows of the raw tables.

Belongs here: the shapes of its answers, its error conventions, amounts from integers. Does not belong here:
HTTP and paging (see `live_accounts`).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import date, datetime
from typing import Any, Literal

import numpy as np
import pandas as pd

from defiyield_core.calendar import Window
from defiyield_core.contracts import table
from defiyield_core.errors import SourceError
from defiyield_core.sources.payload import Entries, as_object, clean, close_of, days_of, fetched
from defiyield_core.sources.port import Fetched
from defiyield_core.sources.tokens import canonical_token
from defiyield_core.units import BoolArray, FloatArray

URL = "https://api.etherscan.io/v2/api"
CHAIN_IDS = {
    "ethereum": 1, "optimism": 10, "bsc": 56, "polygon": 137, "base": 8453, "arbitrum": 42161, "avalanche": 43114,
}  # fmt: skip
ETH_DECIMALS = 18
MAX_DECIMALS = 255
UINT256_DIGITS = 78
Kind = Literal["txlist", "tokentx"]


def parse_transactions(
    payload: object,
    *,
    address: str,
    kind: Kind,
    window: Window,
    seen_at: datetime,
    source: str,
    chain: str = "Ethereum",
) -> Fetched:
    """Rows of `raw_etherscan_account_transactions` from a `txlist` or `tokentx` answer.

    `amount` is in tokens (`value / 10 ** decimals`), 0 where the transaction failed, because nothing moved;
    `fee_eth` is `gasUsed * gasPrice` of the transaction. A token is named by its contract, never by the symbol
    that the contract claims. `sequence` numbers the rows of one hash in the order of the answer. Refused,
    counted by reason: wrong types, missing fields. Transactions outside the window are left out.

    Raises:
        SourceError: the answer reports an error ("No transactions found" is none).
    """
    entries = Entries(result_list(payload))
    moments = entries.epochs("timeStamp")
    hashes = entries.texts("hash", required=True)
    senders = _lower(entries.texts("from", required=True))
    blocks = np.array([min(block, 2**62) for block in _integers(entries, "blockNumber")], dtype=np.int64)
    failed = np.array([_reverted(entry) for entry in entries.objects], dtype=bool)
    contracts, names, decimals = _tokens(entries, kind, chain)
    entries.inside(moments, window)
    return entries.rows(
        "raw_etherscan_account_transactions",
        {
            "date": days_of(moments),
            "address": address.lower(),
            "transaction_hash": hashes,
            "kind": kind,
            "sequence": pd.DataFrame({"hash": hashes}).groupby("hash", dropna=False).cumcount().to_numpy(),
            "block_number": blocks,
            "from_address": senders,
            "to_address": _lower(entries.texts("to")),
            "token": names,
            "token_address": contracts,
            "amount": _amounts(entries, decimals, failed),
            "fee_eth": _fees_eth(entries),
            "failed": failed,
            "valid_at": moments,
            "seen_at": np.datetime64(seen_at, "ns"),
            "source": source,
        },
    )


def parse_balance(
    payload: object,
    *,
    address: str,
    day: date,
    seen_at: datetime,
    source: str,
    token_address: str | None = None,
    decimals: int = ETH_DECIMALS,
    chain: str = "Ethereum",
) -> Fetched:
    """One row of `raw_etherscan_account_balances` from a `balance` (ETH) or `tokenbalance` answer.

    The balance is read as that of the end of `day`, or of `seen_at` where that is earlier.

    Raises:
        SourceError: the answer reports an error, or its result is no whole number.
    """
    result = _result(payload)
    balance = _whole(result)
    if balance is None:
        raise SourceError(f"Etherscan answered the balance '{clean(result)}'; expected a whole number; try again later")
    contract = token_address.lower() if token_address else None
    row: Mapping[str, object] = {
        "date": pd.Timestamp(day),
        "address": address.lower(),
        "token": canonical_token(contract, chain) if contract else "ETH",
        "token_address": contract,
        "amount": balance / 10**decimals,
        "valid_at": close_of(day, seen_at),
        "seen_at": seen_at,
        "source": source,
    }
    return fetched("raw_etherscan_account_balances", pd.DataFrame([row]), {})


def parse_block_number(payload: object) -> int:
    """The block of a `getblocknobytime` answer.

    Raises:
        SourceError: the answer reports an error, or its result is no whole number.
    """
    result = _result(payload)
    block = _whole(result)
    if block is None:
        raise SourceError(f"Etherscan answered the block '{clean(result)}'; expected a whole number; try again later")
    return block


def result_list(payload: object) -> list[Any]:
    """The rows of an account answer; empty when it says that there are none.

    Raises:
        SourceError: the answer reports an error, or its result is no list.
    """
    result = _result(payload)
    if not isinstance(result, list):
        raise SourceError(f"Etherscan answered a {type(result).__name__} where a list was expected; try again later")
    return result


def is_rate_limited(payload: object) -> bool:
    """Whether an answer (sent with status 200) says to come back later."""
    if not isinstance(payload, dict) or str(payload.get("status")) != "0":
        return False
    text = f"{payload.get('message')} {payload.get('result')}".lower()
    return any(phrase in text for phrase in ("rate limit", "timeout", "timed out", "server busy", "too busy"))


def contracts_of(payload: object) -> dict[str, int]:
    """Decimals by token contract (lower case) over the rows of a `tokentx` answer, in order of first appearance."""
    found: dict[str, int] = {}
    for row in result_list(payload):
        contract = row.get("contractAddress") if isinstance(row, dict) else None
        decimals = _whole(row.get("tokenDecimal")) if isinstance(row, dict) else None
        if isinstance(contract, str) and contract and decimals is not None and decimals <= MAX_DECIMALS:
            found.setdefault(contract.lower(), decimals)
    return found


def _result(payload: object) -> object:
    answer = as_object(payload, "Etherscan")
    if "result" not in answer:
        raise SourceError(f"Etherscan answered without a result: '{clean(answer.get('message'))}'; try again later")
    result = answer["result"]
    if str(answer.get("status")) == "1" or (isinstance(result, list) and not result and _says_empty(answer)):
        return result
    reason = result if isinstance(result, str) and result else answer.get("message")
    raise SourceError(f"Etherscan reported '{clean(reason)}'; check the key, its plan and its rate limit")


def _says_empty(answer: dict[str, Any]) -> bool:
    message = str(answer.get("message")).lower()
    return message.startswith("no ") and message.endswith("found")


def _integers(entries: Entries, key: str) -> list[int]:
    """A column of whole numbers of any size; refuses entries without one (0 in their place)."""
    found = [_whole(value) for value in entries.values(key)]
    entries.refuse(np.array([value is None for value in found], dtype=bool), f"{key} is not a whole number")
    return [value or 0 for value in found]


def _whole(value: object) -> int | None:
    if isinstance(value, int) and not isinstance(value, bool):
        return value if 0 <= value < 10**UINT256_DIGITS else None
    if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) <= UINT256_DIGITS:
        return int(value)
    return None


def _amounts(entries: Entries, decimals: Sequence[int], failed: BoolArray) -> FloatArray:
    """What each row moved, in tokens; nothing where the transaction failed."""
    rows = zip(_integers(entries, "value"), decimals, failed, strict=True)
    return np.array([0.0 if bad else value / 10**places for value, places, bad in rows], dtype=np.float64)


def _fees_eth(entries: Entries) -> FloatArray:
    """Gas paid by each transaction, `gasUsed * gasPrice`, in ETH."""
    pairs = zip(_integers(entries, "gasUsed"), _integers(entries, "gasPrice"), strict=True)
    return np.array([used * price / 10**ETH_DECIMALS for used, price in pairs], dtype=np.float64)


def _tokens(entries: Entries, kind: Kind, chain: str) -> tuple[object, object, list[int]]:
    """Per row the token's contract, canonical name and decimals."""
    count = len(entries.objects)
    if kind == "txlist":
        return None, "ETH", [ETH_DECIMALS] * count
    contracts = _lower(entries.texts("contractAddress", required=True))
    decimals = _integers(entries, "tokenDecimal")
    entries.refuse(np.array([places > MAX_DECIMALS for places in decimals], dtype=bool), "tokenDecimal is out of range")
    names = np.array([canonical_token(c, chain) if c else None for c in contracts], dtype=object)
    return contracts, names, [min(places, MAX_DECIMALS) for places in decimals]


def _lower(texts: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    column = np.empty(len(texts), dtype=object)
    column[:] = [text.lower() if text else None for text in texts]
    return column


def _reverted(entry: Mapping[str, Any]) -> bool:
    return str(entry.get("isError", "0")) == "1" or str(entry.get("txreceipt_status", "")) == "0"


def merged(parts: Sequence[Fetched]) -> Fetched:
    """Transactions of several addresses as one table.

    A transfer between two of the addresses is in both answers; `sequence` is numbered anew, so that both rows
    keep a key of their own.
    """
    name = "raw_etherscan_account_transactions"
    empty = table(name).empty()
    frame = pd.concat([part.frame for part in parts if len(part.frame)] or [empty], ignore_index=True)
    ordered = frame.sort_values(["transaction_hash", "kind", "address", "sequence"], kind="stable")
    ordered["sequence"] = ordered.groupby(["transaction_hash", "kind"]).cumcount()
    refused: Counter[str] = Counter()
    for part in parts:
        refused.update(part.refused)
    warnings = tuple(dict.fromkeys(note for part in parts for note in part.warnings))
    return fetched(name, ordered, refused, warnings=warnings, complete=all(part.complete for part in parts))
