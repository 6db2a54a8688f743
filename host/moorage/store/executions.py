"""Executions. The orchestrator alone writes them; each ends once."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import (
    Connection,
    Row,
    Select,
    Update,
    bindparam,
    exists,
    insert,
    literal,
    select,
    update,
)
from sqlalchemy.exc import IntegrityError

from moorage.models.execution import Attempt, Execution, ExecutionError, ExecutionState, ResourceUse, WorkerFacts
from moorage.models.installation import InstallationId
from moorage.store import schema
from moorage.store.attempts import attempt_values
from moorage.store.database import Database
from moorage.store.errors import ExecutionUnknown, StoreFailed
from moorage.store.hosts import database_now

_table = schema.executions
_OPEN = tuple(state for state in ExecutionState if not state.is_outcome)
_LARGE = ("input", "result", "error_traceback")
#: Races for one key that one submission may lose.
_RACES = 50
#: What a list shows.
_LISTED = [literal(None).label(column.name) if column.name in _LARGE else column for column in _table.c]

# What is written of each execution: made once, because making a statement costs more than sending it.
_INSERT = insert(_table)
_STARTED = update(_table).where(
    _table.c.id == bindparam("of"), _table.c.state == ExecutionState.QUEUED, _table.c.host == bindparam("of_host")
)
#: Of its row, while it is open, this host's, and in the same attempt.
_OWN = update(_table).where(
    _table.c.id == bindparam("of"),
    _table.c.state.in_(_OPEN),
    _table.c.host == bindparam("of_host"),
    _table.c.attempt == bindparam("of_attempt"),
)


class Executions:
    """A host's own open executions are written by it alone: what has another host by then is left as it is."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def create(self, execution: Execution) -> Execution:
        """Of one whose key was used before, the execution that has the key; else what was given.

        Raises NotStorable when the input is of a type that has no form in the store.
        """
        values = _new_values(execution)
        if not execution.key:
            await self._database.write(lambda connection: connection.execute(_INSERT, values))
            return execution

        def work(connection: Connection) -> Execution | None:
            row = connection.execute(_with_key(execution.key)).one_or_none()
            if row is not None:
                return _execution(row)
            try:
                with connection.begin_nested():
                    connection.execute(_INSERT, values)
            except IntegrityError:
                return None
            return execution

        # Whoever loses the race for a key sees the winner's row in its next transaction alone: PostgreSQL shows all of
        # this one what there was at its beginning. And a key whose row is deleted meanwhile is free again.
        for _ in range(_RACES):
            stored = await self._database.write(work)
            if stored is not None:
                return stored
        raise StoreFailed(f"the key {execution.key!r:.80} is taken and given back all the time")

    async def started(self, execution: str, *, at: datetime, worker: WorkerFacts, host: str = "") -> bool:
        """False: it is no longer queued in this host, and must not run."""
        values = {"state": ExecutionState.RUNNING, "started_at": at, "worker": _worker_values(worker)}
        return await self._change_one(_STARTED, {"of": execution, "of_host": host, **values})

    async def requeued(self, execution: str, *, host: str = "") -> bool:
        """Back into the queue; only for one whose task was never called. False: it has an outcome, or another host."""
        return await self._change_one(
            update(_table)
            .where(_table.c.id == execution, _table.c.state.in_(_OPEN), _table.c.host == host)
            .values(state=ExecutionState.QUEUED, started_at=None, worker=None)
        )

    async def again(self, execution: Execution, ended: Attempt) -> bool:
        """An attempt of it has ended, and it is queued for the next one, which ``execution`` has.

        False: it has an outcome, another attempt or another host.
        """

        def work(connection: Connection) -> bool:
            values = {**_changing_values(execution), "attempt": execution.attempt, "due_at": execution.due_at}
            if connection.execute(_OWN, {**_of(execution, ended.number), **values}).rowcount != 1:
                return False
            connection.execute(insert(schema.attempts).values(attempt_values(ended)))
            return True

        return await self._database.write(work)

    async def progressed(self, execution: str, *, progress: float, message: str, host: str = "") -> bool:
        """False: it does not run here."""
        return await self._change_one(
            update(_table)
            .where(_table.c.id == execution, _table.c.state == ExecutionState.RUNNING, _table.c.host == host)
            .values(progress=progress, progress_message=message)
        )

    async def finished(self, execution: Execution, last: Attempt | None = None) -> bool:
        """Writes the outcome and all else that changes in its life, with its ``last`` attempt if it had several.

        False: it has an outcome already, which stays; or another attempt or host, whose word it is.
        Raises NotStorable when the result is of a type that has no form in the store.
        """
        if not execution.state.is_outcome:
            raise ValueError(f"{execution.state} is no outcome")

        def work(connection: Connection) -> bool:
            values = {**_of(execution, execution.attempt), **_changing_values(execution)}
            if connection.execute(_OWN, values).rowcount != 1:
                return False
            if last is not None:
                connection.execute(insert(schema.attempts).values(attempt_values(last)))
            return True

        return await self._database.write(work)

    async def dropped(self, execution: Execution) -> bool:
        """As ``finished``, of one that is queued, whichever host has it in its queue. False: it is not queued."""
        return await self._change_one(
            update(_table)
            .where(_table.c.id == execution.id, _table.c.state == ExecutionState.QUEUED)
            .values(**_changing_values(execution))
        )

    async def moved(self, execution: str, *, before: str, after: str) -> bool:
        """Gives an open one of the host ``before`` to another. Of several that try, one succeeds; none while that host
        has a lease, and it may have one again.
        """
        hosts = schema.hosts.c

        def work(connection: Connection) -> bool:
            alive = exists().where(hosts.id == before, hosts.leased_until > database_now(connection))
            open_there = (_table.c.id == execution) & _table.c.state.in_(_OPEN) & (_table.c.host == before)
            return connection.execute(update(_table).where(open_there, ~alive).values(host=after)).rowcount == 1

        return await self._database.write(work)

    async def is_installed(self, installation: InstallationId) -> bool:
        """On any host of the store."""
        statement = select(schema.installations.c.id).where(schema.installations.c.id == installation)
        return await self._database.read(lambda connection: connection.scalar(statement)) is not None

    async def get(self, execution: str) -> Execution:
        """Raises ExecutionUnknown."""
        statement = select(_table).where(_table.c.id == execution)
        row = await self._database.read(lambda connection: connection.execute(statement).one_or_none())
        if row is None:
            raise ExecutionUnknown(execution)
        return _execution(row)

    async def with_key(self, key: str) -> Execution | None:
        """None: the key was never used."""
        row = await self._database.read(lambda connection: connection.execute(_with_key(key)).one_or_none())
        return None if row is None else _execution(row)

    async def list(
        self,
        *,
        installation: InstallationId | None = None,
        state: ExecutionState | None = None,
        trigger: str | None = None,
        after: str = "",
        before: str = "",
        limit: int = 50,
    ) -> tuple[Execution, ...]:
        """Newest first, without inputs, results and tracebacks, which may be large. ``trigger`` is a trigger's id.

        ``after`` and ``before``: ids that theirs are greater and less than; empty: no bound.
        """
        wanted = {_table.c.installation: installation, _table.c.state: state, _table.c.trigger_id: trigger}
        statement = select(*_LISTED).order_by(_table.c.id.desc()).limit(limit)
        statement = statement.where(*(column == value for column, value in wanted.items() if value is not None))
        if after:
            statement = statement.where(_table.c.id > after)
        if before:
            statement = statement.where(_table.c.id < before)
        rows = await self._database.read(lambda connection: connection.execute(statement).all())
        return tuple(_execution(row) for row in rows)

    async def open_ones(
        self, *hosts: str, states: Iterable[ExecutionState] = _OPEN, after: str = "", limit: int | None = None
    ) -> tuple[Execution, ...]:
        """Queued and running, oldest first; of these hosts, if any are named. ``after``: an id that theirs are greater
        than. Pages are quick for one state at a time.
        """
        statement = select(_table).where(_table.c.state.in_(states)).order_by(_table.c.id).limit(limit)
        if hosts:
            statement = statement.where(_table.c.host.in_(hosts))
        if after:
            statement = statement.where(_table.c.id > after)
        rows = await self._database.read(lambda connection: connection.execute(statement).all())
        return tuple(_execution(row) for row in rows)

    async def open_elsewhere(self, installation: InstallationId, *, trigger: str, task: str, host: str) -> bool:
        """Whether another host has an open one of the trigger; or, where that is empty, of the task."""
        group = _table.c.trigger_id == trigger if trigger else (_table.c.trigger_id == "") & (_table.c.task == task)
        statement = select(_table.c.id).where(
            _table.c.state.in_(_OPEN), _table.c.installation == installation, _table.c.host != host, group
        )
        found = await self._database.read(lambda connection: connection.execute(statement.limit(1)).first())
        return found is not None

    async def _change_one(self, statement: Update, values: dict[str, Any] | None = None) -> bool:
        return await self._database.write(lambda connection: connection.execute(statement, values).rowcount == 1)


def _of(execution: Execution, attempt: int) -> dict[str, Any]:
    """The values by which ``_OWN`` finds it."""
    return {"of": execution.id, "of_host": execution.host, "of_attempt": attempt}


def _with_key(key: str) -> Select[Any]:
    return select(_table).where(_table.c.key == key)


def _new_values(execution: Execution) -> dict[str, Any]:
    return {
        "id": execution.id,
        "installation": execution.installation,
        "plugin": execution.plugin,
        "version": execution.version,
        "task": execution.task,
        "trigger": execution.trigger,
        "attempt": execution.attempt,
        "queued_at": execution.queued_at,
        "input": execution.input,
        "timeout_seconds": None if execution.timeout is None else execution.timeout.total_seconds(),
        "trigger_id": execution.trigger_id,
        "by": execution.by,
        "key": execution.key or None,
        "retry_of": execution.retry_of,
        "due_at": execution.due_at,
        "host": execution.host,
        "patient": execution.patient,
        "attempts": execution.attempts,
        **_changing_values(execution),
    }


def _worker_values(worker: WorkerFacts | None) -> dict[str, Any] | None:
    return None if worker is None else asdict(worker)


def _changing_values(execution: Execution) -> dict[str, Any]:
    error = execution.error
    return {
        "state": execution.state,
        "started_at": execution.started_at,
        "worker": _worker_values(execution.worker),
        "ended_at": execution.ended_at,
        "result": execution.result,
        "error_type": None if error is None else error.type,
        "error_message": None if error is None else error.message,
        "error_traceback": None if error is None else error.traceback,
        "error_remedy": None if error is None else error.remedy,
        "use": None if execution.use is None else asdict(execution.use),
        "progress": execution.progress,
        "progress_message": execution.progress_message,
    }


def _execution(row: Row[Any]) -> Execution:
    error = None
    if row.error_type is not None:
        error = ExecutionError(row.error_type, row.error_message, row.error_traceback or "", row.error_remedy)
    return Execution(
        id=row.id,
        installation=row.installation,
        plugin=row.plugin,
        version=row.version,
        task=row.task,
        trigger=row.trigger,
        state=ExecutionState(row.state),
        queued_at=row.queued_at,
        input=row.input,
        result=row.result,
        error=error,
        attempt=row.attempt,
        started_at=row.started_at,
        ended_at=row.ended_at,
        progress=row.progress,
        progress_message=row.progress_message,
        worker=None if row.worker is None else WorkerFacts(**row.worker),
        timeout=None if row.timeout_seconds is None else timedelta(seconds=row.timeout_seconds),
        trigger_id=row.trigger_id,
        by=row.by,
        key=row.key or "",
        retry_of=row.retry_of,
        due_at=row.due_at,
        host=row.host,
        use=None if row.use is None else ResourceUse(**row.use),
        patient=row.patient,
        attempts=row.attempts,
    )
