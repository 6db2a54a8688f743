"""The operator's own connection: for roles, rights, and what nobody may do in a plugin's name."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Sequence
from typing import Any

import psycopg

from moorage.broker.services.sql.postgresql import pipeline
from moorage.broker.services.sql.postgresql.raw import BoundedConnection
from moorage.broker.services.sql.postgresql.server import Server

#: For all that is done on it in one go.
SECONDS = 10.0


class Operator:
    """One connection, made when it is needed; whoever uses it has it alone."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self._connection: BoundedConnection | None = None
        self._lock = asyncio.Lock()

    @contextlib.asynccontextmanager
    async def transaction(self) -> AsyncIterator[Transaction]:
        """Committed at the end of the block, or rolled back. Raises psycopg.Error, OSError and TimeoutError."""
        async with asyncio.timeout(SECONDS), self._lock:
            if self._connection is not None and not self._connection.seems_alive():
                await self.close()
            if self._connection is None:
                self._connection = await self._server.connect("moorage", ("pg_catalog",))
            transaction = Transaction(self._connection)
            try:
                await transaction.run("BEGIN")
                yield transaction
                await transaction.run("COMMIT")
            except BaseException:
                # Whatever state it is in, closing it rolls back.
                self._connection.sever()
                await self._connection.close()
                self._connection = None
                raise

    async def close(self) -> None:
        if self._connection is not None:
            with contextlib.suppress(psycopg.Error):
                await self._connection.close()
            self._connection = None


class Transaction:
    def __init__(self, connection: BoundedConnection) -> None:
        self._connection = connection

    async def run(self, *statements: str) -> None:
        await pipeline.run(self._connection, [(statement, ()) for statement in statements])

    async def rows(self, statement: str, parameters: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        (reply,) = await pipeline.run(self._connection, [(statement, parameters)])
        return reply.take(reply.result.ntuples)

    def encrypted(self, password: str, role: str) -> str:
        """What the server stores of a password, so that its log never holds the password."""
        raw = self._connection.pgconn
        return raw.encrypt_password(password.encode(), role.encode(), b"scram-sha-256").decode()
