"""Executions. The orchestrator alone writes them; each ends once."""

from __future__ import annotations

from dataclasses import asdict
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Row, Update, insert, select, update

from moorage.models.execution import Execution, ExecutionError, ExecutionState, ResourceUse, WorkerFacts
from moorage.models.installation import InstallationId
from moorage.store import schema
from moorage.store.database import Database
from moorage.store.errors import ExecutionUnknown

_table = schema.executions
_OPEN = tuple(state for state in ExecutionState if not state.is_outcome)


class Executions:
    def __init__(self, database: Database) -> None:
        self._database = database

    async def create(self, execution: Execution) -> None:
        """Raises NotStorable when the input is of a type that has no form in the store."""
        statement = insert(_table).values(
            id=execution.id,
            installation=execution.installation,
            plugin=execution.plugin,
            version=execution.version,
            task=execution.task,
            trigger=execution.trigger,
            attempt=execution.attempt,
            queued_at=execution.queued_at,
            input=execution.input,
            timeout_seconds=None if execution.timeout is None else execution.timeout.total_seconds(),
            trigger_id=execution.trigger_id,
            by=execution.by,
            key=execution.key or None,
            retry_of=execution.retry_of,
            due_at=execution.due_at,
            host=execution.host,
            patient=execution.patient,
            attempts=execution.attempts,
            **_changing_values(execution),
        )
        await self._database.write(lambda connection: connection.execute(statement))

    async def started(self, execution: str, *, at: datetime, worker: WorkerFacts) -> bool:
        """False: it is no longer queued, and must not run."""
        return await self._change_one(
            update(_table)
            .where(_table.c.id == execution, _table.c.state == ExecutionState.QUEUED)
            .values(state=ExecutionState.RUNNING, started_at=at, worker=_worker_values(worker))
        )

    async def requeued(self, execution: str) -> bool:
        """Back into the queue; only for one whose task was never called. False: it has an outcome."""
        return await self._change_one(
            update(_table)
            .where(_table.c.id == execution, _table.c.state.in_(_OPEN))
            .values(state=ExecutionState.QUEUED, started_at=None, worker=None)
        )

    async def progressed(self, execution: str, *, progress: float, message: str) -> bool:
        """False: it does not run."""
        return await self._change_one(
            update(_table)
            .where(_table.c.id == execution, _table.c.state == ExecutionState.RUNNING)
            .values(progress=progress, progress_message=message)
        )

    async def finished(self, execution: Execution) -> bool:
        """Writes the outcome and all else that changes in its life. False: it has an outcome already, which stays.

        Raises NotStorable when the result is of a type that has no form in the store.
        """
        if not execution.state.is_outcome:
            raise ValueError(f"{execution.state} is no outcome")
        return await self._change_one(
            update(_table)
            .where(_table.c.id == execution.id, _table.c.state.in_(_OPEN))
            .values(**_changing_values(execution))
        )

    async def get(self, execution: str) -> Execution:
        """Raises ExecutionUnknown."""
        statement = select(_table).where(_table.c.id == execution)
        row = await self._database.read(lambda connection: connection.execute(statement).one_or_none())
        if row is None:
            raise ExecutionUnknown(execution)
        return _execution(row)

    async def list(self, *, installation: InstallationId | None = None, limit: int = 50) -> tuple[Execution, ...]:
        """Newest first."""
        statement = select(_table).order_by(_table.c.id.desc()).limit(limit)
        if installation is not None:
            statement = statement.where(_table.c.installation == installation)
        rows = await self._database.read(lambda connection: connection.execute(statement).all())
        return tuple(_execution(row) for row in rows)

    async def open_ones(self) -> tuple[Execution, ...]:
        """Queued and running, oldest first."""
        statement = select(_table).where(_table.c.state.in_(_OPEN)).order_by(_table.c.id)
        rows = await self._database.read(lambda connection: connection.execute(statement).all())
        return tuple(_execution(row) for row in rows)

    async def _change_one(self, statement: Update) -> bool:
        return await self._database.write(lambda connection: connection.execute(statement).rowcount == 1)


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
        error = ExecutionError(row.error_type, row.error_message, row.error_traceback, row.error_remedy)
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
