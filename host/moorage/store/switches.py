"""Switches for all installations at one time."""

from __future__ import annotations

from sqlalchemy import Connection, delete, insert, select

from moorage.models.switch import SwitchState
from moorage.store import schema
from moorage.store.database import Database

_table = schema.switches

#: The name of the one that there is.
ALL = "all"


class Switches:
    def __init__(self, database: Database) -> None:
        self._database = database

    async def get(self) -> SwitchState:
        """On, where nobody has touched it."""
        statement = select(_table).where(_table.c.name == ALL)
        row = await self._database.read(lambda connection: connection.execute(statement).one_or_none())
        return SwitchState() if row is None else SwitchState(row.is_on, row.reason, row.set_by, row.set_at)

    async def put(self, state: SwitchState) -> None:
        """In the place of what it was; ``state`` says when it was set."""

        def work(connection: Connection) -> None:
            connection.execute(delete(_table).where(_table.c.name == ALL))
            row = {"is_on": state.is_on, "reason": state.reason, "set_by": state.set_by, "set_at": state.set_at}
            connection.execute(insert(_table).values(name=ALL, **row))

        await self._database.write(work)
