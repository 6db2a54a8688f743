"""Outcomes in the order in which they came, and how far each trigger has followed them."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, insert, select, tuple_, update

from moorage.models.execution import ExecutionState
from moorage.models.installation import InstallationId
from moorage.models.trigger import TriggerId
from moorage.store import schema
from moorage.store.database import Database

_executions = schema.executions
_followed = schema.followed

_COLUMNS = (
    _executions.c.id,
    _executions.c.installation,
    _executions.c.task,
    _executions.c.state,
    _executions.c.trigger_id,
    _executions.c.ended_at,
)


@dataclass(frozen=True)
class Outcome:
    """What is needed to decide who follows on it."""

    execution: str
    installation: InstallationId
    task: str
    state: ExecutionState
    #: Of the trigger that started it.
    trigger_id: TriggerId
    ended_at: datetime


@dataclass(frozen=True)
class Followed:
    #: What ended before is none of its business.
    since: datetime
    #: What ended before this was taken.
    until: datetime


class Outcomes:
    def __init__(self, database: Database) -> None:
        self._database = database

    async def ended(self, after: datetime, execution: str = "", *, limit: int) -> tuple[Outcome, ...]:
        """Those that ended then or later, earliest first; of those that ended just then, with ids after this one."""
        at, name = _executions.c.ended_at, _executions.c.id
        statement = select(*_COLUMNS).where(at >= after, tuple_(at, name) > (after, execution))
        rows = await self._database.read(
            lambda connection: connection.execute(statement.order_by(at, name).limit(limit)).all()
        )
        return tuple(
            Outcome(row.id, row.installation, row.task, ExecutionState(row.state), row.trigger_id, row.ended_at)
            for row in rows
        )

    async def follow(self, trigger: TriggerId, at: datetime) -> Followed:
        """How far it is; a new one begins at that time. It is forgotten with its trigger."""

        def work(connection: Connection) -> Followed:
            row = connection.execute(select(_followed).where(_followed.c.trigger == trigger)).one_or_none()
            if row is not None:
                return Followed(row.since, row.until)
            connection.execute(insert(_followed).values(trigger=trigger, since=at, until=at))
            return Followed(at, at)

        return await self._database.write(work)

    async def reached(self, trigger: TriggerId, until: datetime) -> None:
        """It never goes back."""
        statement = (
            update(_followed).where(_followed.c.trigger == trigger, _followed.c.until < until).values(until=until)
        )
        await self._database.write(lambda connection: connection.execute(statement))
