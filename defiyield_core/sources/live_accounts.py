"""Accounts on the chain, through Etherscan: paging, block ranges, token discovery.

Belongs here: which requests an account's balances and transactions take. Does not belong here: reading the answers
(see `etherscan`), the source port (see `live`).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from typing import Any

from defiyield_core.calendar import Window, end_of
from defiyield_core.errors import ConfigurationError, SourceError
from defiyield_core.sources import etherscan
from defiyield_core.sources.http import HttpClient
from defiyield_core.sources.payload import merge
from defiyield_core.sources.port import Fetched
from defiyield_core.sources.tokens import registry

PAGE_ROWS = 1_000
RESULT_WINDOW_ROWS = 10_000
"""Etherscan refuses `page * offset` beyond this; further rows are asked for from the last block on."""
MAX_ROWS = 200_000
MAX_TOKENS_PER_ADDRESS = 40
"""Contracts asked for per address, registered ones first: anyone can send spam tokens to an address."""
LAST_BLOCK = 999_999_999


@dataclass(frozen=True)
class ChainAccounts:
    """Etherscan's account endpoints of one chain.

    Attributes:
        url: base address of the API.
        key: API key.
        chain: chain by DefiLlama's name.
    """

    client: HttpClient
    url: str
    key: str = field(repr=False)
    chain: str = "Ethereum"

    def transactions(self, window: Window, address: str, *, seen_at: datetime, source: str) -> Fetched:
        """Rows of `raw_etherscan_account_transactions` of one address: plain transactions and token transfers.

        Raises:
            SourceError: a request failed.
        """
        blocks = self._blocks(window, seen_at)
        if blocks is None:
            return merge("raw_etherscan_account_transactions", [])
        kinds: tuple[etherscan.Kind, ...] = ("txlist", "tokentx")
        parts = []
        for kind in kinds:
            parts.append(
                etherscan.parse_transactions(
                    {"status": "1", "result": list(self._rows(kind, address, *blocks))},
                    address=address,
                    kind=kind,
                    window=window,
                    seen_at=seen_at,
                    source=source,
                    chain=self.chain,
                )
            )
        return merge("raw_etherscan_account_transactions", parts)

    def balances(self, day: date, address: str, *, seen_at: datetime, source: str) -> Fetched:
        """Rows of `raw_etherscan_account_balances` of one address: ETH, and every token that was ever transferred.

        Raises:
            SourceError: the balance of ETH or the list of tokens could not be read; a single token's failure is a
                warning, and the answer then is not complete.
        """
        name = "raw_etherscan_account_balances"
        stamps: dict[str, Any] = {"address": address, "day": day, "seen_at": seen_at, "source": source}
        parts = [etherscan.parse_balance(self._ask("balance", address=address, tag="latest"), **stamps)]
        transfers = list(self._rows("tokentx", address, 0, LAST_BLOCK))
        contracts = etherscan.contracts_of({"status": "1", "result": transfers})
        known = registry()
        network = self.chain.lower()
        ranked = sorted(contracts, key=lambda contract: (network, contract) not in known)
        warnings, failed = [], 0
        if len(ranked) > MAX_TOKENS_PER_ADDRESS:
            warnings.append(
                f"{address} has received {len(ranked)} tokens: the balances of {MAX_TOKENS_PER_ADDRESS} were read, "
                "registered tokens first"
            )
        for contract in ranked[:MAX_TOKENS_PER_ADDRESS]:
            try:
                answer = self._ask("tokenbalance", address=address, contractaddress=contract, tag="latest")
                parts.append(
                    etherscan.parse_balance(
                        answer, token_address=contract, decimals=contracts[contract], chain=self.chain, **stamps
                    )
                )
            except SourceError as error:
                failed += 1
                warnings.append(f"the balance of token {contract} at {address} could not be read: {error}")
        return merge(name, parts, warnings, complete=not failed)

    def _blocks(self, window: Window, seen_at: datetime) -> tuple[int, int] | None:
        """First and last block of the window; None when it has not begun."""
        start = datetime(window.start.year, window.start.month, window.start.day)
        end = min(end_of(window.end), seen_at)
        if start >= end:
            return None
        return self._block(start, "after"), self._block(end, "before")

    def _block(self, moment: datetime, closest: str) -> int:
        stamp = int(moment.replace(tzinfo=UTC).timestamp())
        answer = self._ask("getblocknobytime", module="block", timestamp=str(stamp), closest=closest)
        return etherscan.parse_block_number(answer)

    def _rows(self, kind: etherscan.Kind, address: str, first: int, last: int) -> Iterator[Any]:
        """Every row of an address between two blocks, ascending.

        Pages are read until a short one; after `RESULT_WINDOW_ROWS` rows the paging begins again at the last block
        seen, whose rows already given are passed over.
        """
        start, given, skip = first, 0, 0
        while start <= last:
            block, in_block, count = start, 0, 0
            for page in range(1, RESULT_WINDOW_ROWS // PAGE_ROWS + 1):
                rows = etherscan.result_list(
                    self._ask(
                        kind,
                        address=address,
                        startblock=str(start),
                        endblock=str(last),
                        page=str(page),
                        offset=str(PAGE_ROWS),
                        sort="asc",
                    )
                )
                for row in rows:
                    here = _block_of(row, block)
                    block, in_block = here, in_block + 1 if here == block else 1
                    count += 1
                    if count > skip:
                        yield row
                if len(rows) < PAGE_ROWS:
                    return
            given += count
            if block == start or given > MAX_ROWS:
                raise SourceError(
                    f"Etherscan has more {kind} rows of {address} than can be paged through; use a shorter window"
                )
            start, skip = block, in_block

    def _ask(self, action: str, *, module: str = "account", **params: str) -> object:
        chain_id = etherscan.CHAIN_IDS.get(self.chain.lower())
        if chain_id is None:
            raise ConfigurationError(
                f"chain '{self.chain}' has no known Etherscan id: use {', '.join(sorted(etherscan.CHAIN_IDS))}"
            )
        query = {"chainid": str(chain_id), "module": module, "action": action, **params, "apikey": self.key}
        return self.client.get_json(self.url, query, retry_if=etherscan.is_rate_limited)


def _block_of(row: object, default: int) -> int:
    number = row.get("blockNumber") if isinstance(row, dict) else None
    return int(number) if isinstance(number, (int, str)) and str(number).isdigit() else default
