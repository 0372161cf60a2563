"""The three reviewed lists: approved tokens, blacklisted tokens, approved protocols.

Belongs here: seeding them, restoring them as of a moment, and changing them with a name, a time and a reason.
Does not belong here: what follows from them (see `eligibility`). Entries are closed, never deleted, so any past day's
lists can be restored.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from defiyield_core.calendar import utc_now
from defiyield_core.contracts import table
from defiyield_core.contracts.schema import conform
from defiyield_core.errors import ConfigurationError
from defiyield_core.warehouse.port import TableWrite, Warehouse

SEEDS = Path(__file__).parent / "seeds"
SEEDED_AT = datetime(1970, 1, 1)
SEEDED_BY = "seed"
_ADDRESS = re.compile(r"0x[0-9a-f]{40}")


@dataclass(frozen=True)
class ListKind:
    """One list: its table and the column that names an entry."""

    table: str
    column: str
    upper: bool

    def canonical(self, name: str) -> str:
        """The entry's name as the list spells it."""
        return name.strip().upper() if self.upper and ":" not in name else name.strip().lower()


LIST_KINDS = {
    "tokens": ListKind("approved_tokens", "token", True),
    "blacklist": ListKind("blacklisted_tokens", "token", True),
    "protocols": ListKind("approved_protocols", "protocol", False),
}


def kind_of(kind: str) -> ListKind:
    """The list by that name.

    Raises:
        ConfigurationError: there is none.
    """
    if kind not in LIST_KINDS:
        raise ConfigurationError(f"no list '{kind}': choose one of {', '.join(LIST_KINDS)}")
    return LIST_KINDS[kind]


def entries_as_of(frame: pd.DataFrame, moment: datetime) -> pd.DataFrame:
    """The entries that stood on a list at a moment: added at or before it, not removed by then."""
    at = np.datetime64(moment)
    removed = frame["removed_at"].to_numpy(dtype="datetime64[ns]")
    stands = (frame["added_at"].to_numpy(dtype="datetime64[ns]") <= at) & ~(removed <= at)
    return frame[stands]


def as_of(frame: pd.DataFrame, moment: datetime) -> list[str]:
    """Names on a list at a moment, ascending.

    Args:
        frame: rows of one of the three tables.
    """
    column = "protocol" if "protocol" in frame.columns else "token"
    return sorted(set(entries_as_of(frame, moment)[column]))


def seed_frame(kind: str) -> pd.DataFrame:
    """The shipped entries of a list, valid from 1970-01-01."""
    spec = kind_of(kind)
    seeds = pd.read_csv(SEEDS / f"{spec.table}.csv", dtype=str, keep_default_na=False)
    frame = seeds.mask(seeds == "", None)
    if "pegged" in frame.columns:
        frame["pegged"] = frame["pegged"] == "true"
    frame = frame.assign(added_at=SEEDED_AT, removed_at=pd.NaT, changed_by=SEEDED_BY)
    return conform(table(spec.table), frame)


def seed_writes(warehouse: Warehouse) -> tuple[TableWrite, ...]:
    """What fills the lists that are still empty."""
    return tuple(
        TableWrite(spec.table, seed_frame(kind), None)
        for kind, spec in LIST_KINDS.items()
        if warehouse.read(spec.table).empty
    )


def seed_lists(warehouse: Warehouse) -> None:
    """Fill the lists that are still empty; a list with any entry, even a removed one, is left alone."""
    writes = seed_writes(warehouse)
    if writes:
        warehouse.replace(writes)


def list_entries(warehouse: Warehouse, kind: str, as_of: datetime | None = None) -> pd.DataFrame:
    """Entries of a list at a moment (now when None), by name.

    Args:
        kind: tokens, blacklist or protocols.

    Raises:
        ConfigurationError: no such list.
    """
    spec = kind_of(kind)
    stands = entries_as_of(warehouse.read(spec.table), as_of or utc_now())
    return stands.sort_values(spec.column, ignore_index=True)


def change_list(
    warehouse: Warehouse,
    kind: str,
    action: str,
    name: str,
    who: str,
    why: str,
    when: datetime | None = None,
    **fields: Any,
) -> pd.DataFrame:
    """Add an entry to a list or take one off it, and store that.

    Args:
        action: add or remove. who: made the change. why: the reason kept with it. when: from when on (now when None).
        fields: of a token that is added: `chain`, `address`, `pegged` (default True), `wraps`.

    Returns:
        All rows of the list afterwards.

    Raises:
        ConfigurationError: an unknown list, action or field, no name or reason, or a change that the list contradicts.
    """
    spec = kind_of(kind)
    stored = warehouse.read(spec.table)
    moment = when or utc_now()
    if action == "add":
        changed = add(stored, kind, name, who, why, moment, **fields)
    elif action == "remove":
        if fields:
            raise ConfigurationError(f"removing takes no further fields, got {', '.join(sorted(fields))}")
        changed = remove(stored, kind, name, who, why, moment)
    else:
        raise ConfigurationError(f"no action '{action}' on a list: choose add or remove")
    warehouse.replace([TableWrite(spec.table, changed, None)])
    return changed


def add(frame: pd.DataFrame, kind: str, name: str, who: str, why: str, when: datetime, **fields: Any) -> pd.DataFrame:
    """The list with one more entry.

    Raises:
        ConfigurationError: it is on the list already (or was until later), or a field is wrong.
    """
    spec = kind_of(kind)
    canonical = _checked(spec, name, who, why)
    mine = frame[frame[spec.column] == canonical]
    if mine["removed_at"].isna().any():
        raise ConfigurationError(f"{spec.table}: {canonical} is on the list already")
    if len(mine) and mine["removed_at"].max() > pd.Timestamp(when):
        raise ConfigurationError(
            f"{spec.table}: {canonical} was on the list until {mine['removed_at'].max()}; add it again from then on"
        )
    row: dict[str, Any] = {spec.column: canonical, "added_at": when, "removed_at": pd.NaT}
    row.update(changed_by=who.strip(), reason=why.strip(), **_token_fields(spec, fields))
    contract = table(spec.table)
    return pd.concat([conform(contract, frame), conform(contract, pd.DataFrame([row]))], ignore_index=True)


def remove(frame: pd.DataFrame, kind: str, name: str, who: str, why: str, when: datetime) -> pd.DataFrame:
    """The list with an entry closed: `removed_at` is set, the row stays.

    Raises:
        ConfigurationError: it is not on the list, or was added only after `when`.
    """
    spec = kind_of(kind)
    canonical = _checked(spec, name, who, why)
    is_open = ((frame[spec.column] == canonical) & frame["removed_at"].isna()).to_numpy()
    if not is_open.any():
        raise ConfigurationError(f"{spec.table}: {canonical} is not on the list")
    if (frame.loc[is_open, "added_at"] > pd.Timestamp(when)).any():
        raise ConfigurationError(f"{spec.table}: {canonical} was added only after {when}; remove it later")
    changed = frame.copy()
    changed.loc[is_open, "removed_at"] = pd.Timestamp(when)
    changed.loc[is_open, "changed_by"] = who.strip()
    changed.loc[is_open, "reason"] = [f"{why.strip()} (added for: {before})" for before in frame.loc[is_open, "reason"]]
    return conform(table(spec.table), changed)


def _checked(spec: ListKind, name: str, who: str, why: str) -> str:
    for what, text in (("name", name), ("who", who), ("why", why)):
        if not text.strip():
            raise ConfigurationError(f"{spec.table}: a change needs a {what}; it is kept with the entry")
    return spec.canonical(name)


def _token_fields(spec: ListKind, fields: dict[str, Any]) -> dict[str, Any]:
    allowed = {"chain", "address", "pegged", "wraps"} if spec.table == "approved_tokens" else set()
    unknown = sorted(set(fields) - allowed)
    if unknown:
        raise ConfigurationError(
            f"{spec.table}: no field {', '.join(unknown)} (there are: {', '.join(sorted(allowed)) or 'none'})"
        )
    if not allowed:
        return {}
    address = (fields.get("address") or "").strip().lower() or None
    if address and not _ADDRESS.fullmatch(address):
        raise ConfigurationError(f"{spec.table}: address '{address}' is not 0x and 40 hexadecimal digits")
    if address and not fields.get("chain"):
        raise ConfigurationError(f"{spec.table}: an address needs the chain it is on")
    wraps = (fields.get("wraps") or "").strip().upper() or None
    pegged = fields.get("pegged", wraps is None)
    if not isinstance(pegged, bool):
        raise ConfigurationError(f"{spec.table}: pegged must be true or false, got {pegged!r}")
    return {"chain": fields.get("chain"), "address": address, "pegged": pegged, "wraps": wraps}
