"""Attempts that have ended, of executions that have, or had, more than one."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from sqlalchemy import Row, select

from moorage.models.execution import Attempt, ExecutionError, ExecutionState, ResourceUse, WorkerFacts
from moorage.store import schema
from moorage.store.database import Database

_table = schema.attempts


class Attempts:
    """Read here; written with their executions, in the same transactions (``executions.py``)."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def list(self, execution: str) -> tuple[Attempt, ...]:
        """Oldest first; none of an execution that was tried once."""
        statement = select(_table).where(_table.c.execution == execution).order_by(_table.c.number)
        rows = await self._database.read(lambda connection: connection.execute(statement).all())
        return tuple(_attempt(row) for row in rows)


def attempt_values(attempt: Attempt) -> dict[str, Any]:
    error = attempt.error
    return {
        "execution": attempt.execution,
        "number": attempt.number,
        "state": attempt.state,
        "started_at": attempt.started_at,
        "ended_at": attempt.ended_at,
        "error_type": None if error is None else error.type,
        "error_message": None if error is None else error.message,
        "error_traceback": None if error is None else error.traceback,
        "error_remedy": None if error is None else error.remedy,
        "worker": None if attempt.worker is None else asdict(attempt.worker),
        "use": None if attempt.use is None else asdict(attempt.use),
    }


def _attempt(row: Row[Any]) -> Attempt:
    error = None
    if row.error_type is not None:
        error = ExecutionError(row.error_type, row.error_message, row.error_traceback, row.error_remedy)
    return Attempt(
        execution=row.execution,
        number=row.number,
        state=ExecutionState(row.state),
        started_at=row.started_at,
        ended_at=row.ended_at,
        error=error,
        worker=None if row.worker is None else WorkerFacts(**row.worker),
        use=None if row.use is None else ResourceUse(**row.use),
    )
