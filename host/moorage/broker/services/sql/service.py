"""The SQL service: the contract's messages in, the databases' answers out."""

from __future__ import annotations

import logging
from collections.abc import AsyncGenerator, AsyncIterator, Collection, Mapping, Sequence
from itertools import zip_longest
from typing import Any, Self

from moorage.broker.services.base import Caller, Guard
from moorage.broker.services.sql import refusals
from moorage.broker.services.sql.backends import databases
from moorage.broker.services.sql.base import Answer, Database, Opening
from moorage.broker.services.sql.held import HeldConnection, connection_of, cursor_of
from moorage.broker.services.sql.pace import PaceOf
from moorage.config.services.sql import SqlBackend, SqlMode
from moorage.models.installation import InstallationId
from moorage_proto import link_pb2, sql_pb2, value_pb2, values
from moorage_proto.capability import MAIN_BACKEND, Grants
from moorage_proto.errors import CallError
from moorage_proto.values import ValueInvalid

log = logging.getLogger(__name__)

#: Of one row; no database takes more.
MAX_PARAMETERS = 65_535


class SqlService:
    """Implements ``Service``. What it opens is held by the caller's scope."""

    contract = sql_pb2.DESCRIPTOR.services_by_name["SqlService"]

    def __init__(
        self,
        backends: Mapping[str, Database],
        fences: Mapping[str, SqlMode] | None = None,
        noting: Collection[str] = (),
    ) -> None:
        """``noting``: names of those databases in which each commit of an execution is noted."""
        self._backends = backends
        self._noting = [backends[name] for name in noting]
        #: Of database servers, by name: how they keep installations apart.
        self.fences = fences or {}

    @classmethod
    def from_settings(cls, settings: Mapping[str, SqlBackend], pace_of: PaceOf = lambda _: None) -> Self:
        """Raises SettingsInvalid."""
        fences = {name: backend.fence for name, backend in settings.items() if backend.fence is not None}
        noting = [name for name, backend in settings.items() if backend.commit_table]
        return cls(databases(settings, pace_of), fences, noting)

    @property
    def backends(self) -> tuple[link_pb2.SqlBackend, ...]:
        """For the handshake: what a worker is told of them."""
        return tuple(
            link_pb2.SqlBackend(
                name=name,
                dialect=database.dialect,
                paramstyle=database.paramstyle,
                server_version=database.server_version,
            )
            for name, database in self._backends.items()
        )

    async def open(self) -> None:
        for database in self._backends.values():
            await database.open()

    async def plan(self, backend: str, grants: Mapping[InstallationId, Grants]) -> str:
        """As ``Database.plan``. Raises CallError."""
        if backend not in self._backends:
            raise refusals.backend_unknown(backend)
        return await self._backends[backend].plan(grants)

    @property
    def notes_commits(self) -> bool:
        """Whether there is a database that ``committed`` asks."""
        return bool(self._noting)

    async def committed(self, execution: str) -> bool:
        """Whether the host has committed what it did in some database that notes commits.

        Raises CallError when one of them cannot be asked, and no other knows of it.
        """
        failure: CallError | None = None
        for database in self._noting:
            try:
                if await database.committed(execution):
                    return True
            except CallError as error:
                failure = failure or error
        if failure is not None:
            raise failure
        return False

    async def forget_commits(self, open_ones: Collection[str]) -> None:
        """What was noted long ago, where that can be done now. ``open_ones``: executions that have no outcome yet."""
        for database in self._noting:
            try:
                await database.forget_commits(open_ones)
            except CallError as error:
                log.warning("old notes of commits are deleted another time: %s", error)

    async def forget(self, installation: InstallationId) -> None:
        """Implements ``Forgetting``."""
        failure: CallError | None = None
        for database in self._backends.values():
            try:
                await database.forget(installation)
            except CallError as error:
                failure = failure or error
        if failure is not None:
            raise failure

    async def close(self) -> None:
        for database in self._backends.values():
            await database.close()

    def connect(self, caller: Caller, request: sql_pb2.ConnectRequest) -> sql_pb2.ConnectReply:
        name = request.backend or MAIN_BACKEND
        if name not in self._backends:
            raise refusals.backend_unknown(name)
        held = HeldConnection.joined(caller.scope, name) if request.scoped else None
        if held is None:
            opening = Opening(caller.installation, caller.label, request.scoped, caller.scope.execution)
            held = HeldConnection(caller.scope, name, self._backends[name].connect(opening), is_scoped=request.scoped)
        return sql_pb2.ConnectReply(connection=held.handle)

    async def execute(self, caller: Caller, request: sql_pb2.ExecuteRequest) -> sql_pb2.ExecuteReply:
        held = connection_of(caller.scope, request.connection)
        answer = await held.connection.execute(
            _guard(caller),
            request.statement,
            _parameters(request.parameters),
            first_rows=request.first_rows,
            deadline=caller.deadline,
        )
        return _reply(held, answer)

    async def execute_many(
        self, caller: Caller, requests: AsyncIterator[sql_pb2.ExecuteManyRequest]
    ) -> sql_pb2.ExecuteReply:
        """Each item runs as it arrives; the transaction stays open between them as between statements."""
        held: HeldConnection | None = None
        statement = ""
        row_count = 0
        async for request in requests:
            if held is None:
                held, statement = connection_of(caller.scope, request.connection), request.statement
                _guard(caller).require_any(held.backend)
            rows = [_parameters(row.parameters) for row in request.rows]
            if rows:
                answer = await held.connection.execute_many(_guard(caller), statement, rows, deadline=caller.deadline)
                row_count += max(answer.row_count, 0)
        if held is None:
            raise refusals.request_invalid("ExecuteMany takes at least one item: connection, statement and rows.")
        return sql_pb2.ExecuteReply(row_count=row_count)

    async def fetch(self, caller: Caller, request: sql_pb2.FetchRequest) -> AsyncGenerator[sql_pb2.Rows, None]:
        """The next batch is read when the last one was taken; whoever stops taking closes the cursor."""
        held = cursor_of(caller.scope, request.cursor)
        try:
            while (rows := await held.cursor.fetch(request.batch_rows, caller.deadline)).rows:
                yield rows
        finally:
            await held.close()

    async def close_cursor(self, caller: Caller, request: sql_pb2.CloseCursorRequest) -> sql_pb2.CloseCursorReply:
        await cursor_of(caller.scope, request.cursor).close()
        return sql_pb2.CloseCursorReply()

    async def commit(self, caller: Caller, request: sql_pb2.CommitRequest) -> sql_pb2.CommitReply:
        held = connection_of(caller.scope, request.connection)
        await held.connection.commit(caller.deadline)
        held.forget_cursors()
        return sql_pb2.CommitReply()

    async def rollback(self, caller: Caller, request: sql_pb2.RollbackRequest) -> sql_pb2.RollbackReply:
        held = connection_of(caller.scope, request.connection)
        await held.connection.rollback(caller.deadline)
        held.forget_cursors()
        return sql_pb2.RollbackReply()

    async def cancel_statement(
        self, caller: Caller, request: sql_pb2.CancelStatementRequest
    ) -> sql_pb2.CancelStatementReply:
        await connection_of(caller.scope, request.connection).connection.cancel()
        return sql_pb2.CancelStatementReply()

    async def inspect(self, caller: Caller, request: sql_pb2.InspectRequest) -> sql_pb2.InspectReply:
        held = connection_of(caller.scope, request.connection)
        return await held.connection.inspect(
            _guard(caller), request.schema, tuple(request.names), deadline=caller.deadline
        )

    async def close_connection(
        self, caller: Caller, request: sql_pb2.CloseConnectionRequest
    ) -> sql_pb2.CloseConnectionReply:
        """Of a scoped connection nothing happens: its scope ends it."""
        held = connection_of(caller.scope, request.connection)
        if not held.is_scoped:
            await held.close()
        return sql_pb2.CloseConnectionReply()


def _guard(caller: Caller) -> Guard:
    assert caller.guard is not None, "the contract gives these methods a late rule"
    return caller.guard


def _parameters(wire: Sequence[value_pb2.Value]) -> list[Any]:
    try:
        values.check_parts(wire, MAX_PARAMETERS)
        return [values.from_wire(value) for value in wire]
    except ValueInvalid as error:
        raise refusals.request_invalid(f"A parameter cannot be read: {error}.") from None


def _reply(held: HeldConnection, answer: Answer) -> sql_pb2.ExecuteReply:
    reply = sql_pb2.ExecuteReply(
        columns=[
            sql_pb2.Column(name=name, type=type_)
            for name, type_ in zip_longest(answer.columns, answer.types, fillvalue="")
        ],
        rows=answer.rows.rows,
        row_count=answer.row_count,
        last_row_id=answer.last_row_id,
    )
    if answer.cursor is not None:
        reply.cursor = held.hold(answer.cursor)
    return reply
