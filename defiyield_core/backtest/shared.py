"""Markets on disk, mapped into the memory of many processes: read-only data that is there once.

Belongs here: writing and opening a `MarketHistory`. Does not belong here: who runs on it (see `sweep`).
Plain arrays and JSON; nothing that executes when it is read.
"""

from __future__ import annotations

import json
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

import numpy as np

from defiyield_core.history import MarketHistory, PoolBook

_LABELS = "labels.json"
_TEXTS = "reasons"


def share_market(market: MarketHistory, folder: Path) -> None:
    """Write the market into an empty or new folder: an array a file, the labels as JSON."""
    folder.mkdir(parents=True, exist_ok=True)
    texts, codes = np.unique(market.reasons.astype(str), return_inverse=True)
    for name, values in _arrays(market).items():
        np.save(folder / f"{name}.npy", values, allow_pickle=False)
    np.save(folder / f"{_TEXTS}.npy", codes.reshape(market.reasons.shape).astype(np.int32), allow_pickle=False)
    labels = {"pools": asdict(market.pools), "tokens": market.tokens, "reasons": texts.tolist()}
    (folder / _LABELS).write_text(json.dumps(labels))


def open_market(folder: Path) -> MarketHistory:
    """The market of a folder; its arrays are mapped and cannot be written."""
    labels = json.loads((folder / _LABELS).read_text())
    values: dict[str, Any] = {}
    for path in folder.glob("*.npy"):
        values[path.stem] = np.asarray(np.load(path, mmap_mode="r", allow_pickle=False))
    pools = {name: tuple(items) for name, items in labels["pools"].items()}
    pools["tokens"] = tuple(tuple(members) for members in pools["tokens"])
    values[_TEXTS] = np.array(labels["reasons"], dtype=object)[values[_TEXTS]]
    return MarketHistory(pools=PoolBook(**pools), tokens=tuple(labels["tokens"]), **values)


def _arrays(market: MarketHistory) -> dict[str, np.ndarray]:
    named = {item.name: getattr(market, item.name) for item in fields(market)}
    return {name: value for name, value in named.items() if isinstance(value, np.ndarray) and name != _TEXTS}
