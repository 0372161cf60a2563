"""A real HTTP server on this machine, and payloads in the shapes of the APIs."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from defiyield_core.sources import live_accounts
from defiyield_core.sources.http import Clock, HttpClient, HttpPolicy
from defiyield_core.sources.live import LiveSource


@dataclass
class Reply:
    """What the server sends. `body` may be bytes, or anything that JSON can hold."""

    body: Any = None
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    stall_seconds: float = 0.0
    announce_bytes: int | None = None

    def encoded(self) -> bytes:
        return self.body if isinstance(self.body, bytes) else json.dumps(self.body).encode()


@dataclass
class Asked:
    """One request as the server saw it."""

    path: str
    query: dict[str, str]
    headers: dict[str, str]


Route = Callable[[Asked], Reply]


class LocalServer:
    """Answers by path: a list is sent in order (its last reply again and again), a function decides by the request."""

    def __init__(self) -> None:
        self.routes: dict[str, list[Reply] | Route] = {}
        self.asked: list[Asked] = []
        self._lock = threading.Lock()
        server = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                reply = server.reply(self.path, dict(self.headers))
                if reply.stall_seconds:
                    server.released.wait(reply.stall_seconds)
                body = reply.encoded()
                self.send_response(reply.status)
                length = len(body) if reply.announce_bytes is None else reply.announce_bytes
                for name, value in {"Content-Length": str(length), **reply.headers}.items():
                    self.send_header(name, value)
                self.end_headers()
                try:
                    self.wfile.write(body)
                except OSError:
                    self.close_connection = True  # the client has hung up, which is what some tests are about
                if length != len(body):
                    self.close_connection = True

            def log_message(self, format: str, *args: Any) -> None:
                """Say nothing."""

        self.released = threading.Event()

        class Quiet(ThreadingHTTPServer):
            def handle_error(self, request: Any, client_address: Any) -> None:
                """A client that hangs up is what some tests are about."""

        self._http = Quiet(("127.0.0.1", 0), Handler)
        self._http.daemon_threads = True
        self._thread = threading.Thread(target=lambda: self._http.serve_forever(poll_interval=0.01), daemon=True)
        self._thread.start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._http.server_address[1]}"

    def reply(self, target: str, headers: dict[str, str]) -> Reply:
        parts = urlsplit(target)
        asked = Asked(parts.path, {name: values[0] for name, values in parse_qs(parts.query).items()}, headers)
        with self._lock:
            self.asked.append(asked)
            route = self.routes.get(parts.path)
            if isinstance(route, list):
                return route.pop(0) if len(route) > 1 else route[0]
        return route(asked) if route else Reply({"message": "not found"}, status=404)

    def times(self, path: str) -> int:
        return sum(asked.path == path for asked in self.asked)

    def close(self) -> None:
        self.released.set()
        self._http.shutdown()
        self._http.server_close()


class FakeTime:
    """Seconds that pass only by waiting, so that no test waits; chance is fixed."""

    def __init__(self, chance: float = 0.5, now: datetime = datetime(2025, 6, 2, 1, tzinfo=UTC)) -> None:
        self.seconds = 0.0
        self.slept: list[float] = []
        self._now = now
        self._lock = threading.Lock()
        self.clock = Clock(lambda: self.seconds, self._sleep, lambda: self._now, lambda: chance)

    def _sleep(self, seconds: float) -> None:
        with self._lock:
            self.slept.append(seconds)
            self.seconds += seconds


@pytest.fixture
def server() -> Iterator[LocalServer]:
    local = LocalServer()
    yield local
    local.close()


@pytest.fixture
def fake_time() -> FakeTime:
    return FakeTime()


@pytest.fixture
def client(fake_time: FakeTime) -> Iterator[HttpClient]:
    policy = HttpPolicy(attempts=3, timeout_seconds=5.0, budget_seconds=100.0, default_requests_per_second=1e6)
    with HttpClient(policy, fake_time.clock) as http:
        yield http


def pool_entry(pool: str, **fields: Any) -> dict[str, Any]:
    """One entry of `/pools`."""
    return {
        "chain": "Ethereum",
        "project": "aave-v3",
        "symbol": "USDC",
        "tvlUsd": 1.5e9,
        "apyBase": 4.5,
        "apyReward": None,
        "apy": 4.5,
        "rewardTokens": None,
        "pool": pool,
        "stablecoin": True,
        "ilRisk": "no",
        "exposure": "single",
        "predictions": {"predictedClass": "Stable/Up", "predictedProbability": 84, "binnedConfidence": 3},
        "poolMeta": None,
        "mu": 5.0,
        "sigma": 0.2,
        "count": 900,
        "outlier": False,
        "underlyingTokens": ["0xA0b86991c6218b36c1d19D4a2e9Eb0cE3606eB48"],
        "apyMean30d": 5.25,
        "volumeUsd1d": None,
        **fields,
    }


def pools_answer(*entries: Any) -> dict[str, Any]:
    return {"status": "success", "data": list(entries)}


def chart_point(moment: str, **fields: Any) -> dict[str, Any]:
    return {"timestamp": moment, "tvlUsd": 1e6, "apy": 5.0, "apyBase": 5.0, "apyReward": None, "il7d": None, **fields}


def chart_answer(*points: Any) -> dict[str, Any]:
    return {"status": "success", "data": list(points)}


def candle(day: str, close: float = 1.0, **fields: Any) -> dict[str, Any]:
    """One candle of version 2."""
    quote = {"open": 1.0, "high": 1.01, "low": 0.99, "close": close, "volume": 5.0, "market_cap": 7.0, **fields}
    return {
        "time_open": f"{day}T00:00:00.000Z",
        "time_close": f"{day}T23:59:59.999Z",
        "quote": {"USD": quote},
    }


def ohlcv_asset(symbol: str, *candles: Any, **fields: Any) -> dict[str, Any]:
    return {"id": 1, "name": symbol, "symbol": symbol, "quotes": list(candles), **fields}


def gas_hour(period: str, **fields: Any) -> dict[str, Any]:
    return {"period": period, "baseFee": 2.0, "median": 3.5, "ethPrice": 2500.0, **fields}


def gas_answer(*hours: Any) -> dict[str, Any]:
    return {"data": {"network": "mainnet", "data": list(hours), "lastUpdate": 1}}


def plain_transaction(number: int, moment: int, **fields: Any) -> dict[str, Any]:
    """One row of `txlist`."""
    return {
        "blockNumber": str(number),
        "timeStamp": str(moment),
        "hash": f"0x{number:064x}",
        "from": "0xAAaaAAaaAAaaAAaaAAaaAAaaAAaaAAaaAAaaAAaa",
        "to": "0xbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb",
        "value": "1500000000000000000",
        "gasPrice": "20000000000",
        "gasUsed": "21000",
        "isError": "0",
        "txreceipt_status": "1",
        "contractAddress": "",
        **fields,
    }


def token_transfer(number: int, moment: int, **fields: Any) -> dict[str, Any]:
    """One row of `tokentx`."""
    row = plain_transaction(number, moment)
    del row["isError"], row["txreceipt_status"]
    usdc = {"contractAddress": "0xa0b86991c6218b36c1d19d4a2e9eb0ce3606eb48", "tokenSymbol": "USDC"}
    return {**row, **usdc, "tokenDecimal": "6", "value": "2500000", **fields}


def scan_answer(result: Any, status: str = "1", message: str = "OK") -> dict[str, Any]:
    return {"status": status, "message": message, "result": result}


API_NAMES = ("DEFILLAMA", "DEFILLAMA_COINS", "COINMARKETCAP", "ETHGASTRACKER", "ETHERSCAN")
SCAN_KEY = "SCANKEY0123456789ABCDEF"
MakeSource = Callable[..., LiveSource]


@pytest.fixture
def live(server: LocalServer, client: HttpClient) -> Iterator[MakeSource]:
    def make(now: datetime = datetime(2025, 6, 2, 1), **keys: str) -> LiveSource:
        urls = {f"DEFIYIELD_{name}_URL": f"{server.url}/{name.lower()}/" for name in API_NAMES}
        return LiveSource.from_environment({**urls, **keys}, client=client, now=lambda: now)

    yield make


class Scan:
    """Etherscan over a list of rows per address and kind: pages, block ranges, and its limit on the result window."""

    def __init__(self, rows: dict[tuple[str, str], list[dict[str, Any]]], balances: dict[str, str]) -> None:
        self.rows, self.balances = rows, balances
        self.broken: set[str] = set()
        self.busy = 0

    def __call__(self, asked: Asked) -> Reply:
        query = asked.query
        assert (query["apikey"], query["chainid"]) == (SCAN_KEY, "1")
        if self.busy:
            self.busy -= 1
            return Reply(scan_answer("Max calls per sec rate limit reached (3/sec)", "0", "NOTOK"))
        if query["action"] == "getblocknobytime":
            return Reply(scan_answer(str(int(query["timestamp"]) // 12)))
        if query["address"] in self.broken:
            return Reply(scan_answer(f"Invalid API Key (#err2)|{SCAN_KEY} {SCAN_KEY}", "0", "NOTOK"))
        if query["action"] in ("balance", "tokenbalance"):
            return Reply(scan_answer(self.balances.get(query.get("contractaddress", "ETH"), "oops")))
        return Reply(self._page(query))

    def _page(self, query: dict[str, str]) -> dict[str, Any]:
        page, offset = int(query["page"]), int(query["offset"])
        if page * offset > live_accounts.RESULT_WINDOW_ROWS:
            return scan_answer(None, "0", "Result window is too large")
        first, last = int(query["startblock"]), int(query["endblock"])
        every = self.rows.get((query["address"], query["action"]), [])
        found = [row for row in every if first <= int(row["blockNumber"]) <= last]
        part = found[(page - 1) * offset : page * offset]
        return scan_answer(part) if part else scan_answer([], "0", "No transactions found")


def at(second: int) -> int:
    """The block of a moment, in a chain of a block every 12 seconds."""
    return second // 12
