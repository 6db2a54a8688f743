"""SQLite behind the SQL service: one file, one writer at a time, a connection for every scope that asks."""

from __future__ import annotations

import contextlib
import json
import sqlite3
from collections.abc import Callable, Collection
from pathlib import Path

from moorage.broker.services.sql import refusals
from moorage.broker.services.sql.base import Opening
from moorage.broker.services.sql.connection import SqliteConnection, SqliteLimits
from moorage.broker.services.sql.pace import PaceOf
from moorage.broker.services.sql.threads import Threads
from moorage.broker.services.sql.writer_lock import WriterLock
from moorage_proto.sqlite_session import COMMIT_TABLE, SqliteSession

#: Each holds up to three descriptors of the host.
MAX_CONNECTIONS_EACH = 32

#: Executions whose commits are still told of; older ones have long had their outcome.
KEPT_COMMITS = "30 days"

#: SQLite polls so long by itself before it says that the file is busy.
BUSY_POLL_SECONDS = 0.05

#: Of the pages that one connection keeps in memory, and of what it sorts there before it takes to temporary files.
CACHE_KIB = 2048


class SqliteDatabase:
    """Implements ``Database``."""

    dialect = "sqlite"
    paramstyle = "qmark"
    server_version = sqlite3.sqlite_version_info

    def __init__(
        self,
        name: str,
        path: Path,
        limits: SqliteLimits | None = None,
        *,
        pace_of: PaceOf = lambda _: None,
        commit_table: bool = False,
    ) -> None:
        self._name = name
        self._path = path
        self._limits = limits or SqliteLimits()
        self._pace_of = pace_of
        self._commit_table = commit_table
        self._writer = WriterLock()
        self._threads: Threads | None = None

    async def open(self) -> None:
        """Switches the file to write-ahead logging, so that readers and the writer do not wait for each other.

        A file that cannot be opened now may be there later: that is told to those who then connect.
        """
        self._threads = Threads(self._name, self._pace_of)
        await self._threads.run(self._prepare_file)

    def connect(self, opening: Opening) -> SqliteConnection:
        assert self._threads is not None, "the database is open"
        share = self._threads.share(opening.installation)
        if share.connections >= MAX_CONNECTIONS_EACH:
            raise refusals.too_many_connections(self._name, MAX_CONNECTIONS_EACH)
        pace = share.pace
        look = None if pace is None else pace.look
        return SqliteConnection(
            self._name,
            opening,
            lambda: self._open_session(look),
            share,
            self._writer,
            self._limits,
            notes_commits=self._commit_table,
        )

    async def committed(self, execution: str) -> bool:
        if not self._commit_table:
            return False
        assert self._threads is not None, "the database is open"
        return await self._threads.run(lambda: self._is_noted(execution))

    async def forget_commits(self, open_ones: Collection[str]) -> None:
        assert self._threads is not None, "the database is open"
        await self._threads.run(lambda: self._forget_commits(open_ones))

    async def plan(self, _: object) -> str:
        return ""

    async def forget(self, _: object) -> None:
        """Nothing was made for it: tables that it defined are the file's."""

    async def close(self) -> None:
        if self._threads is not None:
            self._threads.close()

    def _prepare_file(self) -> None:
        with contextlib.suppress(sqlite3.Error), contextlib.closing(self._open_file()) as raw:
            raw.execute("PRAGMA journal_mode = WAL")
            if self._commit_table:
                raw.execute(COMMIT_TABLE)

    def _forget_commits(self, open_ones: Collection[str]) -> None:
        statement = (
            "DELETE FROM moorage_commit WHERE at < datetime('now', ?)"
            " AND execution NOT IN (SELECT value FROM json_each(?))"
        )
        try:
            with contextlib.closing(self._open_file()) as raw:
                raw.execute(statement, (f"-{KEPT_COMMITS}", json.dumps([*open_ones])))
        except sqlite3.Error as error:
            raise refusals.unavailable(self._name, str(error)) from None

    def _is_noted(self, execution: str) -> bool:
        try:
            with contextlib.closing(self._open_file()) as raw:
                found = raw.execute("SELECT 1 FROM moorage_commit WHERE execution = ?", (execution,)).fetchone()
        except sqlite3.Error as error:
            raise refusals.unavailable(self._name, str(error)) from None
        return found is not None

    def _open_session(self, look: Callable[[bool], bool] | None) -> SqliteSession:
        with contextlib.ExitStack() as on_failure:
            try:
                raw = on_failure.enter_context(contextlib.closing(self._open_file()))
                self._bound_growth(raw)
                session = SqliteSession(raw, self._name, look)
            except sqlite3.Error as error:
                raise refusals.unavailable(self._name, str(error)) from None
            on_failure.pop_all()
            return session

    def _open_file(self) -> sqlite3.Connection:
        """The module's cache of compiled statements is off: the authorizer sees every statement when it runs."""
        raw = sqlite3.connect(
            self._path,
            timeout=BUSY_POLL_SECONDS,
            isolation_level=None,
            check_same_thread=False,
            cached_statements=0,
        )
        raw.execute(f"PRAGMA cache_size = -{CACHE_KIB}")
        # In memory they would be bounded by nothing; on disk they are by the time of the statement.
        raw.execute("PRAGMA temp_store = FILE")
        raw.execute("PRAGMA foreign_keys = ON")
        # Functions and virtual tables that a view or a default names have to be harmless ones.
        raw.execute("PRAGMA trusted_schema = OFF")
        return raw

    def _bound_growth(self, raw: sqlite3.Connection) -> None:
        ((pages,),) = raw.execute("PRAGMA page_count").fetchall()
        ((page_bytes,),) = raw.execute("PRAGMA page_size").fetchall()
        raw.execute(f"PRAGMA max_page_count = {pages + self._limits.growth_bytes // page_bytes}")
