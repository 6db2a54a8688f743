"""PostgreSQL as the store's database: engines, what is worth another try, and what an error may tell.

Writing transactions see one snapshot of the database (REPEATABLE READ): whoever writes a row that another host has
changed since is refused, and its work runs again. SERIALIZABLE would also refuse hosts that write different rows side
by side, as its locks are on pages of indexes: two hosts that begin executions would be in each other's way all the
time. What reads one row to write another takes a lock of its own instead (the audit's chain), or has a constraint to
run into.
"""

from __future__ import annotations

import contextlib
import math
import re
import time
from collections.abc import Generator, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, TypeVar

from sqlalchemy import URL, Connection, Engine, create_engine, event, text
from sqlalchemy.exc import DBAPIError, SQLAlchemyError

from moorage.store.errors import PostgresClientMissing

try:
    import psycopg
    import psycopg.types.string
except ImportError:
    INSTALLED = False
else:
    INSTALLED = True

T = TypeVar("T")

#: Held by the one who migrates, until its transaction ends. Any number, if it is always the same.
_MIGRATION_LOCK = 0x6D6F6F72

#: How often work is tried whose transaction failed so, by the code that PostgreSQL has for it.
_TRIES = {
    "40001": 12,  # another host changed a row first
    "40P01": 12,  # two waited for each other
    "23505": 3,  # another host inserted a row first: the work looks again. Or it is a mistake of the work's own
    "23503": 3,  # another host removed a row first
}

#: On top of the server's own limit, for it to answer; one that does not is cut off.
ANSWER_SECONDS = 5.0

#: libpq's words before the cause; they name the server.
_ADDRESS = re.compile(r"^.*?connection to server .*? failed: ", re.DOTALL)


@dataclass(frozen=True)
class Timeouts:
    connect: timedelta = timedelta(seconds=5)
    statement: timedelta = timedelta(seconds=30)


def is_postgresql(url: URL) -> bool:
    return url.get_backend_name() == "postgresql"


def make_engine(url: URL, timeouts: Timeouts, connections: int) -> Engine:
    """Raises PostgresClientMissing."""
    if not INSTALLED:
        raise PostgresClientMissing
    engine = create_engine(url, pool_size=connections, max_overflow=0, isolation_level="REPEATABLE READ")
    event.listen(engine, "do_connect", lambda _dialect, _record, _positional, named: _connect(named, timeouts))
    event.listen(engine, "checkin", lambda connection, _record: _bound(connection, timeouts))
    return engine


def for_reading(engine: Engine) -> Engine:
    """The same pool; each transaction reads one snapshot."""
    return engine.execution_options(postgresql_readonly=True)


def for_migrating(engine: Engine) -> Engine:
    """The same pool. Whoever waited for the lock must see what was done meanwhile."""
    return engine.execution_options(isolation_level="READ COMMITTED")


def lock_migrations(connection: Connection) -> None:
    """Until the transaction ends, one host alone gets past this, however long it takes."""
    connection.execute(text("SET LOCAL statement_timeout = 0"))
    driver: Any = connection.connection.dbapi_connection
    driver.limit_seconds = math.inf
    connection.execute(text("SELECT pg_advisory_xact_lock(:number)"), {"number": _MIGRATION_LOCK})


def worth_tries(error: SQLAlchemyError) -> int:
    """How often work may run, all in all, that failed so. Where other hosts were in the way that is more than once."""
    state = getattr(error.orig, "sqlstate", None) if isinstance(error, DBAPIError) else None
    return _TRIES.get(state or "", 1)


def problem(error: BaseException | None) -> str:
    """The server's own words without its details, which quote rows; and without its address. Empty: not its error."""
    if not INSTALLED or not isinstance(error, psycopg.Error):
        return ""
    primary = getattr(getattr(error, "diag", None), "message_primary", None)
    if primary:
        return str(primary)
    first = _ADDRESS.sub("", str(error).strip()).partition("\n")[0]
    return f"the database server cannot be used ({first.strip().rstrip('.')})"


if INSTALLED:

    class WithoutNul(psycopg.types.string.StrDumper):
        """PostgreSQL's texts cannot hold the character 0. Such a line of a log must not keep all others from being
        written.
        """

        def dump(self, obj: str) -> Any:
            return super().dump(obj.replace("\x00", "\ufffd") if "\x00" in obj else obj)

    class BoundedConnection(psycopg.Connection[Any]):
        """Waits no longer than ``limit_seconds`` for a reply: a server that stands still must not hold up the host."""

        limit_seconds = 30.0

        def wait(self, gen: Generator[Any, Any, T], *arguments: Any, **named: Any) -> T:
            """Implements psycopg's."""
            return super().wait(self._bounded(gen), *arguments, **named)

        def _bounded(self, gen: Generator[Any, Any, T]) -> Generator[Any, Any, T]:
            end = time.monotonic() + self.limit_seconds
            try:
                wanted = next(gen)
                while True:
                    ready = yield wanted
                    if not ready and time.monotonic() > end:
                        with contextlib.suppress(psycopg.Error):
                            self.close()
                        raise psycopg.OperationalError("it does not answer")
                    wanted = gen.send(ready)
            except StopIteration as found:
                result: T = found.value
                return result


def _connect(named: dict[str, Any], timeouts: Timeouts) -> Any:
    statement_ms = int(timeouts.statement.total_seconds() * 1000)
    arguments: dict[str, Any] = {
        "connect_timeout": int(timeouts.connect.total_seconds()),
        "application_name": "moorage",
        # A machine that is gone sends nothing.
        "keepalives_idle": 10,
        "keepalives_interval": 5,
        "keepalives_count": 3,
    }
    connection = BoundedConnection.connect(**(arguments | named))
    connection.adapters.register_dumper(str, WithoutNul)
    _bound(connection, timeouts)
    try:
        for statement in _session(statement_ms):
            connection.execute(statement)
        connection.commit()
    except BaseException:
        connection.close()
        raise
    return connection


def _bound(connection: Any, timeouts: Timeouts) -> None:
    """``connection`` None: it is gone."""
    if connection is not None:
        connection.limit_seconds = timeouts.statement.total_seconds() + ANSWER_SECONDS


def _session(statement_ms: int) -> Sequence[Any]:
    return (
        "SET TIME ZONE 'UTC'",
        f"SET statement_timeout = {statement_ms}",
        # Of a host that stands still others must not have to wait for its locks.
        f"SET idle_in_transaction_session_timeout = {2 * statement_ms}",
    )
