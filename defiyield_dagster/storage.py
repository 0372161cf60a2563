"""SQLite storage that writes a batch of events in two transactions.

Dagster's own SQLite storage opens an engine for every event and inspects the schema for every event of an asset,
and every partition of a backfill writes two: that is most of a backfill's time. Here `store_event_batch` writes the
asset events of a run in bulk. What is stored is the same: a test holds it against the stock storage.
Belongs here: nothing but that. It leans on private names of `SqlEventLogStorage`; where one is missing, and for
events that are not of assets, the events are written one by one as Dagster does.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby
from typing import Any

import sqlalchemy as sa
from dagster import EventLogEntry
from dagster._core.events import ASSET_EVENTS
from dagster._core.storage.event_log.schema import SqlEventLogStorageTable
from dagster._core.storage.event_log.sqlite.sqlite_event_log import SqliteEventLogStorage
from dagster._core.storage.sqlite_storage import DagsterSqliteStorage, _event_logs_directory
from dagster._serdes import ConfigurableClassData

EVENT_BATCH_SIZE = 500
"""Value of DAGSTER_EVENT_BATCH_SIZE that makes Dagster hand events over in batches."""
_LEANED_ON = (
    "_event_to_row",
    "_store_asset_event",
    "_store_asset_event_tags",
    "run_connection",
    "index_transaction",
)


class BatchedSqliteEventLogStorage(SqliteEventLogStorage):
    """Dagster's SQLite event log with bulk writes of a run's asset events."""

    def store_event_batch(self, events: Sequence[EventLogEntry]) -> None:
        """Store the events in order: stretches of one run's asset events in bulk, others (checks) one by one."""
        if any(not hasattr(self, name) for name in _LEANED_ON):
            super().store_event_batch(events)
            return
        for (run_id, of_asset), stretch in groupby(events, key=lambda event: (event.run_id, _is_of_asset(event))):
            if of_asset:
                self._store_asset_events(run_id, list(stretch))
            else:
                super().store_event_batch(list(stretch))

    def _store_asset_events(self, run_id: str, events: Sequence[EventLogEntry]) -> None:
        """Once in the run's shard and once in the index of all runs."""
        rows = [self._event_to_row(event) for event in events]
        with self.run_connection(run_id) as connection:
            connection.execute(SqlEventLogStorageTable.insert(), rows)
        with self.index_transaction() as connection:
            connection.execute(SqlEventLogStorageTable.insert(), rows)
            # The transaction holds SQLite's only write lock, so the new rows have consecutive ids.
            newest = connection.execute(sa.select(sa.func.max(SqlEventLogStorageTable.c.id))).scalar_one()
            ids = range(newest - len(rows) + 1, newest + 1)
            self._store_asset_event_tags(connection, events, list(ids))
            for position in _last_of_each_kind(events):
                self._store_asset_event(connection, events[position], ids[position])


def _is_of_asset(event: EventLogEntry) -> bool:
    return event.is_dagster_event and event.dagster_event_type in ASSET_EVENTS


def _last_of_each_kind(events: Sequence[EventLogEntry]) -> list[int]:
    """Positions of the last event of every asset and type: the asset's entry keeps only what the last one says."""
    last: dict[Any, int] = {}
    for position, event in enumerate(events):
        last[event.get_dagster_event().asset_key, event.dagster_event_type] = position
    return sorted(last.values())


class BatchedSqliteStorage(DagsterSqliteStorage):
    """What `dagster.yaml` names as custom storage in development."""

    def __init__(self, base_dir: str, inst_data: ConfigurableClassData | None = None) -> None:
        super().__init__(base_dir, inst_data)
        self._event_log_storage = BatchedSqliteEventLogStorage(_event_logs_directory(base_dir))

    @classmethod
    def from_config_value(cls, inst_data: ConfigurableClassData | None, config_value: Any) -> BatchedSqliteStorage:
        """Built by Dagster from `dagster.yaml`."""
        return cls(base_dir=config_value["base_dir"], inst_data=inst_data)
