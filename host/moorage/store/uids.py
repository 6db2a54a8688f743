"""The uids of a host's workers. A uid belongs to an installation's name for as long as data of that uid may remain."""

from __future__ import annotations

from datetime import UTC, datetime

from sqlalchemy import Connection, func, insert, select

from moorage.models.installation import InstallationId
from moorage.store import schema
from moorage.store.database import Database

_table = schema.uids


class Uids:
    def __init__(self, database: Database, host: str = "") -> None:
        self._database = database
        self._host = host

    async def allocate(self, installation: InstallationId, *, first: int) -> int:
        """The uid of that name: the one it has, or a new one, ``first`` or above all others."""

        def work(connection: Connection) -> int:
            here = _table.c.host == self._host
            own = connection.scalar(select(_table.c.uid).where(here, _table.c.installation == installation))
            if own is not None:
                return int(own)
            highest = connection.scalar(select(func.max(_table.c.uid)).where(here, _table.c.uid >= first))
            uid = first if highest is None else int(highest) + 1
            row = {"uid": uid, "installation": installation, "allocated_at": datetime.now(UTC)}
            connection.execute(insert(_table).values(host=self._host, **row))
            return uid

        return await self._database.write(work)
