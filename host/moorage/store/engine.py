"""Engines. This file alone knows what SQLite needs, and ``postgresql`` what that does; every other file of the store
speaks to any database.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from sqlalchemy import URL, Connection, Engine, create_engine, event

from moorage.store import postgresql
from moorage.store.postgresql import Timeouts, is_postgresql

#: Threads that read at one time; one further thread writes.
READERS = 2

#: Longest wait for another process that holds SQLite's write lock.
BUSY_TIMEOUT_MILLISECONDS = 5_000

_WRITES = "moorage_writes"


def for_file(path: Path) -> URL:
    return URL.create("sqlite", database=str(path))


def make_engine(url: URL, timeouts: Timeouts) -> Engine:
    """An engine with one connection for each of the store's threads. Connects on first use.

    Raises PostgresClientMissing.
    """
    if is_postgresql(url):
        # The one more is for what is urgent.
        return postgresql.make_engine(url, timeouts, READERS + 2)
    engine = create_engine(url, pool_size=READERS + 1, max_overflow=0)
    event.listen(engine, "connect", _on_connect)
    event.listen(engine, "begin", _on_begin)
    return engine


def for_writing(engine: Engine) -> Engine:
    """The same pool; its transactions may write."""
    return engine.execution_options(**{_WRITES: True})


def for_reading(engine: Engine) -> Engine:
    """The same pool; each of its transactions sees one moment of the database."""
    return postgresql.for_reading(engine) if is_postgresql(engine.url) else engine


def for_migrating(engine: Engine) -> Engine:
    """The same pool; its transactions may change the tables."""
    return postgresql.for_migrating(engine) if is_postgresql(engine.url) else for_writing(engine)


def prepare_file(url: URL) -> None:
    """Makes SQLite's file for its owner alone, before SQLite makes it for whom the umask says."""
    if url.get_backend_name() != "sqlite" or not url.database:
        return
    path = Path(url.database)
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))


def _on_connect(connection: Any, record: Any) -> None:  # noqa: ARG001 - the event's signature
    # The driver's own transactions would leave DDL outside: migrations could stop half-way.
    connection.isolation_level = None
    connection.execute(f"PRAGMA busy_timeout = {BUSY_TIMEOUT_MILLISECONDS}")
    connection.execute("PRAGMA journal_mode = WAL")
    # With WAL a killed process loses nothing; a machine without power may lose its last moments, and never corrupts.
    connection.execute("PRAGMA synchronous = NORMAL")
    connection.execute("PRAGMA foreign_keys = ON")


def _on_begin(connection: Connection) -> None:
    # A transaction that reads first and writes later may find the lock taken and cannot wait for it.
    writes = connection.get_execution_options().get(_WRITES, False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")
