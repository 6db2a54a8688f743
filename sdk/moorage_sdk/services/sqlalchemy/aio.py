"""Async connections for SQLAlchemy: its greenlets call what looks like a sync driver, and wait in the event loop."""

from __future__ import annotations

from typing import Any, List, Optional, Sequence, Tuple

from sqlalchemy.util import await_only

from moorage_sdk import channel
from moorage_sdk.services.sql import AsyncConnection, AsyncCursor
from moorage_sdk.services.sqlalchemy.driver import Driver

try:
    from sqlalchemy.engine import AdaptedConnection
except ImportError:  # SQLAlchemy 1.4
    from sqlalchemy.engine.interfaces import AdaptedConnection


class AsyncDriver(Driver):
    """As Driver; its connections are awaited beneath."""

    def connect(self, backend: str, scoped: bool = False) -> Any:
        return Adapted(AsyncConnection(channel.current(), backend, scoped=scoped))


class AsyncBrokered:
    """Of a dialect; comes before everything else."""

    is_async = True
    name: str

    @classmethod
    def dbapi(cls) -> Any:
        """SQLAlchemy 1.4's name of import_dbapi."""
        return AsyncDriver(cls.name)

    def get_driver_connection(self, connection: Any) -> Any:
        return connection.driver_connection


class AdaptedCursor:
    """The whole result is fetched when the statement is executed, as SQLAlchemy asks of async drivers."""

    server_side = False

    def __init__(self, cursor: AsyncCursor) -> None:
        self._cursor = cursor
        self._rows: List[Tuple[Any, ...]] = []

    @property
    def description(self) -> Any:
        return self._cursor.description

    @property
    def rowcount(self) -> int:
        return self._cursor.rowcount

    @property
    def lastrowid(self) -> Optional[int]:
        return self._cursor.lastrowid

    @property
    def arraysize(self) -> int:
        return self._cursor.arraysize

    @arraysize.setter
    def arraysize(self, rows: int) -> None:
        self._cursor.arraysize = rows

    @property
    def timeout(self) -> Optional[float]:
        return self._cursor.timeout

    @timeout.setter
    def timeout(self, seconds: Optional[float]) -> None:
        self._cursor.timeout = seconds

    def execute(self, statement: str, parameters: Any = None) -> None:
        await_only(self._cursor.execute(statement, parameters))
        if self._cursor.description is not None:
            self._rows = await_only(self._cursor.fetchall())
            self._rows.reverse()

    def executemany(self, statement: str, rows: Sequence[Any]) -> None:
        await_only(self._cursor.executemany(statement, rows))

    def fetchone(self) -> Optional[Tuple[Any, ...]]:
        return self._rows.pop() if self._rows else None

    def fetchmany(self, size: Optional[int] = None) -> List[Tuple[Any, ...]]:
        count = min(self.arraysize if size is None else size, len(self._rows))
        return [self._rows.pop() for _ in range(count)]

    def fetchall(self) -> List[Tuple[Any, ...]]:
        return self.fetchmany(len(self._rows))

    def setinputsizes(self, *sizes: Any) -> None:
        """Nothing: PEP 249 allows that."""

    def close(self) -> None:
        """The rows have all come: the host holds nothing for it."""
        self._rows = []

    async def _async_soft_close(self) -> None:
        """SQLAlchemy 2.1's: the rows stay, the driver's cursor may go. There is nothing to let go."""


class StreamingCursor(AdaptedCursor):
    """For ``session.stream()``: rows come as they are asked for."""

    server_side = True

    def execute(self, statement: str, parameters: Any = None) -> None:
        await_only(self._cursor.execute(statement, parameters))

    def fetchone(self) -> Optional[Tuple[Any, ...]]:
        return await_only(self._cursor.fetchone())

    def fetchmany(self, size: Optional[int] = None) -> List[Tuple[Any, ...]]:
        return await_only(self._cursor.fetchmany(size))

    def fetchall(self) -> List[Tuple[Any, ...]]:
        return await_only(self._cursor.fetchall())

    def close(self) -> None:
        await_only(self._cursor.close())


class Adapted(AdaptedConnection):
    """An AsyncConnection that greenlets use. Ends that send nothing need no greenlet."""

    #: Set on the driver's connection rather than here.
    _SETTINGS = frozenset({"autocommit", "isolation_level", "read_only", "deferrable", "timeout", "json_loads"})

    def __init__(self, connection: AsyncConnection) -> None:
        self._connection: Any = connection

    @property
    def driver_connection(self) -> Any:
        return self._connection

    def cursor(self, server_side: bool = False) -> AdaptedCursor:
        if server_side:
            return StreamingCursor(self._connection.cursor(server_side=True))
        return AdaptedCursor(self._connection.cursor())

    def inspect(self, schema: str = "", names: Sequence[str] = ()) -> Any:
        return await_only(self._connection.inspect(schema, names))

    def commit(self) -> None:
        if self._connection.in_transaction:
            await_only(self._connection.commit())

    def rollback(self) -> None:
        if self._connection.in_transaction and not self._connection.is_sealed:
            await_only(self._connection.rollback())

    def close(self) -> None:
        if not self._connection.is_scoped:
            await_only(self._connection.close())

    def __getattr__(self, name: str) -> Any:
        return getattr(self._connection, name)

    def __setattr__(self, name: str, value: Any) -> None:
        if name in self._SETTINGS:
            setattr(self._connection, name, value)
        else:
            object.__setattr__(self, name, value)
