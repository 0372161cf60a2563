"""Postgres migrations: numbered files of `sql/`, each applied once, in order.

Belongs here: finding the files, applying what is missing, refusing what was edited. Does not belong here: their text
(`contracts.generate` writes the first one from the contracts; every later change is a new, reviewed file).

All that is missing is applied in one transaction under an advisory lock, so two processes may migrate at once and a
failed file leaves nothing behind. `schema_migrations` records name, SHA-256 and moment of each.
"""

from __future__ import annotations

import hashlib
import re
import sys
import sysconfig
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from defiyield_core.errors import DefiYieldError, WarehouseError

_NAME = re.compile(r"^(\d{4})_[a-z0-9_]+\.sql$")
_LOCK_ID = 4_603_100_729  # any number, as long as nothing else in the database locks it
_RECORD = """
create table if not exists schema_migrations (
    name text primary key,
    sha256 text not null,
    applied_at timestamp not null default (now() at time zone 'utc')
)
"""
HOW_TO_MIGRATE = "run `python -m defiyield_core.warehouse.migrations` as the owner of the tables"


@dataclass(frozen=True)
class Migration:
    """One numbered file."""

    name: str
    text: str

    @property
    def sha256(self) -> str:
        """Hash of the text as it was applied."""
        return hashlib.sha256(self.text.encode()).hexdigest()


def migrations_folder() -> Path:
    """`sql/` of the checkout, or the copy that an installation keeps in `share/defiyield/sql`.

    Raises:
        WarehouseError: neither is there.
    """
    candidates = [
        Path(__file__).parents[2] / "sql",
        Path(sysconfig.get_path("data")) / "share" / "defiyield" / "sql",
    ]
    for folder in candidates:
        if any(folder.glob("[0-9]*.sql")):
            return folder
    looked = " or ".join(str(folder) for folder in candidates)
    raise WarehouseError(f"the migrations of Postgres were not found in {looked}: install from a complete checkout")


def load_migrations(folder: Path | None = None) -> tuple[Migration, ...]:
    """The numbered files in order (others, such as roles.sql, are not migrations).

    Raises:
        WarehouseError: the numbers do not run from 0001 without a gap.
    """
    folder = folder or migrations_folder()
    files = sorted(path for path in folder.iterdir() if _NAME.match(path.name))
    for position, path in enumerate(files, start=1):
        if int(path.name[:4]) != position:
            raise WarehouseError(f"{folder}: number {position:04d} is missing or doubled, the next file is {path.name}")
    return tuple(Migration(path.name, path.read_text(encoding="utf-8")) for path in files)


def apply_missing(connection: Any, migrations: Sequence[Migration]) -> list[str]:
    """Apply what is missing, in the connection's transaction (which the caller commits); the names applied.

    Raises:
        WarehouseError: an applied file was edited since, or the database is ahead of these files.
    """
    with connection.cursor() as cursor:
        cursor.execute("select pg_advisory_xact_lock(%s)", (_LOCK_ID,))
        missing = missing_migrations(connection, migrations)
        if not missing:
            return []
        cursor.execute(_RECORD)
        for migration in missing:
            cursor.execute(migration.text)
            cursor.execute(
                "insert into schema_migrations (name, sha256) values (%s, %s)", (migration.name, migration.sha256)
            )
    return [migration.name for migration in missing]


def missing_migrations(connection: Any, migrations: Sequence[Migration]) -> list[Migration]:
    """What the database lacks, in order.

    Raises:
        WarehouseError: an applied file was edited since, or the database is ahead of these files.
    """
    applied = applied_migrations(connection)
    known = {migration.name: migration for migration in migrations}
    for name, sha256 in applied.items():
        if name not in known:
            raise WarehouseError(
                f"the database has migration {name}, which this version does not know: update the program"
            )
        if known[name].sha256 != sha256:
            raise WarehouseError(
                f"migration {name} was edited after it had been applied: restore it, and put the change into a new file"
            )
    missing = [migration for migration in migrations if migration.name not in applied]
    if applied and missing and missing[0].name < max(applied):
        raise WarehouseError(f"migration {missing[0].name} was skipped: {max(applied)} is applied already")
    return missing


def applied_migrations(connection: Any) -> dict[str, str]:
    """SHA-256 of the applied files by name, in order; empty in a fresh database."""
    with connection.cursor() as cursor:
        cursor.execute("select to_regclass('schema_migrations') is not null")
        if not cursor.fetchone()[0]:
            return {}
        cursor.execute("select name, sha256 from schema_migrations order by name")
        return dict(cursor.fetchall())


def main() -> int:
    """Migrate the warehouse that the environment names (DEFIYIELD_WAREHOUSE)."""
    from defiyield_core.settings import Settings
    from defiyield_core.warehouse.opening import open_warehouse

    try:
        warehouse = open_warehouse(Settings.from_environment().warehouse)
        applied = warehouse.migrate()
    except DefiYieldError as error:
        print(error, file=sys.stderr)
        return 2
    print(f"{warehouse.describe()}: {', '.join(applied) or 'nothing to apply'}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
