"""The public APIs over a simulated market, as a server on this machine tells them at a moment.

Belongs here: the server and the live source that asks it. Does not belong here: what is asked of them (see the tests).
The market is written as JSON by the functions that replay it, so that the live source reads what a replay would.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date, datetime, timedelta
from typing import Any

import numpy as np

from defiyield_core.calendar import Window
from defiyield_core.sources.http import HttpClient, HttpPolicy
from defiyield_core.sources.live import LiveSource
from defiyield_core.sources.replay import MarketTables, _between, _charts, _gas, _ohlcv, _snapshot
from tests.unit.sources.conftest import API_NAMES, Asked, LocalServer, Reply

BEGINNING = date(1970, 1, 1)
GAS_HOURS = 7 * 24
"""How far back the gas API goes."""
KEYS = {"COINMARKETCAP_API_KEY": "price-key"}
POLICY = HttpPolicy(attempts=1, default_requests_per_second=1e6)


class MarketServer(LocalServer):
    """`/pools`, `/chart/POOL`, candles and gas of a market, as they are `at` a moment: nothing later is told.

    Attributes:
        at: the present, naive UTC; tests move it.
        untold: day -> pools that its snapshot leaves out though their charts go on.
    """

    def __init__(self, market: MarketTables, at: datetime) -> None:
        super().__init__()
        self.at = at
        self.untold: dict[date, frozenset[str]] = {}
        self._market = market
        self._charts: tuple[date, dict[str, Any]] | None = None

    def reply(self, target: str, headers: dict[str, str]) -> Reply:
        path = target.partition("?")[0]
        if path == "/defillama/pools":
            self.routes[path] = self._pools
        elif path.startswith("/defillama/chart/"):
            self.routes[path] = self._chart
        elif path == "/coinmarketcap/v2/cryptocurrency/ohlcv/historical":
            self.routes[path] = self._candles
        elif path == "/ethgastracker/api/gas/average":
            self.routes[path] = self._hours
        elif path.startswith("/defillama_coins/chart/"):
            self.routes[path] = lambda _: Reply({"coins": {}})
        return super().reply(target, headers)

    @property
    def last_day(self) -> date:
        """The day that ended last."""
        return self.at.date() - timedelta(days=1)

    def _so_far(self) -> Window:
        return Window(BEGINNING, self.last_day)

    def _pools(self, asked: Asked) -> Reply:
        rows = self._market.pools
        span = _between(rows.day, Window(self.last_day, self.last_day))
        untold = self.untold.get(self.last_day, frozenset())
        told = [entry for entry in _snapshot(self._market.listings, rows, span) if entry["pool"] not in untold]
        return Reply({"status": "success", "data": told})

    def _chart(self, asked: Asked) -> Reply:
        pool = asked.path.rpartition("/")[2]
        if self._charts is None or self._charts[0] != self.last_day:
            rows = self._market.pools
            known = rows.take(_between(rows.day, self._so_far()))
            self._charts = (self.last_day, _charts(self._market.listings, known))
        return Reply(self._charts[1].get(pool, {"status": "success", "data": []}))

    def _candles(self, asked: Asked) -> Reply:
        first = date.fromisoformat(asked.query["time_start"]) + timedelta(days=1)
        window = Window(first, min(date.fromisoformat(asked.query["time_end"]), self.last_day))
        symbols = [symbol for symbol in asked.query["symbol"].split(",") if symbol in self._market.candles]
        return Reply({"data": {symbol: [_ohlcv(symbol, self._market.candles[symbol], window)] for symbol in symbols}})

    def _hours(self, asked: Asked) -> Reply:
        after = int(np.searchsorted(self._market.gas.moment, np.datetime64(self.at), side="left"))
        return Reply(_gas(self._market.gas, slice(max(after - GAS_HOURS, 0), after)))


@contextmanager
def live_source(server: MarketServer) -> Iterator[LiveSource]:
    """The live source that asks the server, at the server's moment."""
    urls = {f"DEFIYIELD_{name}_URL": f"{server.url}/{name.lower()}" for name in API_NAMES}
    with HttpClient(POLICY) as client:
        yield LiveSource.from_environment({**urls, **KEYS}, client=client, now=lambda: server.at)
