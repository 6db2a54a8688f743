"""What a scope holds of SQL: connections and their cursors, under the handles that the worker names them by."""

from __future__ import annotations

from datetime import datetime

from moorage.broker.scope import Scope
from moorage.broker.services.sql import refusals
from moorage.broker.services.sql.base import Connection, Cursor

_KEY = "sql"


class HeldConnection:
    """Implements ``Held``."""

    def __init__(self, scope: Scope, backend: str, connection: Connection, *, is_scoped: bool) -> None:
        self.backend = backend
        self.connection = connection
        self.is_scoped = is_scoped
        self._scope = scope
        self._cursors: dict[int, HeldCursor] = {}
        self.handle = scope.hold(self)
        if is_scoped:
            scope.keyed[_KEY, backend] = self

    @classmethod
    def joined(cls, scope: Scope, backend: str) -> HeldConnection | None:
        """The scoped connection, where the scope has one already."""
        found = scope.keyed.get((_KEY, backend))
        return found if isinstance(found, HeldConnection) else None

    def hold(self, cursor: Cursor) -> int:
        """The handle of a new cursor of this connection."""
        held = HeldCursor(self._scope, self, cursor)
        self._cursors[held.handle] = held
        return held.handle

    def drop(self, handle: int) -> None:
        self._cursors.pop(handle, None)
        self._scope.drop(handle)

    def forget_cursors(self) -> None:
        """They ended with their transaction."""
        for handle in list(self._cursors):
            self.drop(handle)

    async def close(self) -> None:
        self.forget_cursors()
        self._scope.drop(self.handle)
        await self.connection.release()

    async def finish(self, *, success: bool) -> None:
        await self.connection.finish(success=success)

    async def release(self) -> None:
        await self.connection.release()

    def revoked(self) -> bool:
        return self.connection.revoked()

    def uncommitted(self) -> bool:
        """Implements ``Committing``: other connections are rolled back by the end of their scope, whatever it was."""
        return self.is_scoped and self.connection.transaction_since is not None

    def open_since(self) -> tuple[str, datetime] | None:
        """Implements ``Telling``: of a transaction, not of a connection that waits."""
        since = self.connection.transaction_since
        return None if since is None else (f"transaction on sql {self.backend}", since)


class HeldCursor:
    """Implements ``Held``."""

    def __init__(self, scope: Scope, connection: HeldConnection, cursor: Cursor) -> None:
        self.cursor = cursor
        self._connection = connection
        self.handle = scope.hold(self)

    async def close(self) -> None:
        self._connection.drop(self.handle)
        await self.cursor.release()

    async def finish(self, *, success: bool) -> None:
        await self.cursor.finish(success=success)

    async def release(self) -> None:
        await self.cursor.release()

    def revoked(self) -> bool:
        return self.cursor.revoked()


def connection_of(scope: Scope, handle: int) -> HeldConnection:
    """Raises CallError when the handle names nothing, or something else, of this scope."""
    found = scope.resource(handle)
    if not isinstance(found, HeldConnection):
        raise refusals.not_a("connection", handle)
    return found


def cursor_of(scope: Scope, handle: int) -> HeldCursor:
    """Raises CallError when the handle names nothing, or something else, of this scope."""
    found = scope.resource(handle)
    if not isinstance(found, HeldCursor):
        raise refusals.not_a("cursor", handle)
    return found
