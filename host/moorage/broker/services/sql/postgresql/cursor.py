"""Rows of a statement that were not sent yet."""

from __future__ import annotations

from typing import Protocol

from moorage.broker.services.sql.base import Rows
from moorage.broker.services.sql.postgresql.session import OpenCursor


class Owner(Protocol):
    """The connection that it belongs to."""

    async def fetch(self, cursor: OpenCursor, rows: int, deadline: float | None) -> Rows: ...

    async def close_cursor(self, cursor: OpenCursor) -> None: ...

    def revoked(self) -> bool: ...


class PostgresCursor:
    """Implements ``Cursor``."""

    def __init__(self, connection: Owner, cursor: OpenCursor) -> None:
        self._connection = connection
        self._cursor = cursor
        self._released = False

    async def fetch(self, rows: int, deadline: float | None) -> Rows:
        return await self._connection.fetch(self._cursor, rows, deadline)

    async def finish(self, *, success: bool) -> None:
        """Nothing: its connection is finished."""

    async def release(self) -> None:
        if not self._released:
            self._released = True
            await self._connection.close_cursor(self._cursor)

    def revoked(self) -> bool:
        return self._connection.revoked()
