"""What plugins bring, as their last workers told: also known while none runs."""

from __future__ import annotations

from pydantic import TypeAdapter
from sqlalchemy import Connection, delete, insert, select

from moorage.models.installation import InstallationId
from moorage.models.views import ContributionsView
from moorage.store import schema
from moorage.store.database import Database

_table = schema.contributions
_views = TypeAdapter(ContributionsView)


class Contributions:
    def __init__(self, database: Database) -> None:
        self._database = database

    async def of(self, installation: InstallationId, code_hash: str) -> ContributionsView | None:
        """None: of this code no worker has told yet."""
        statement = select(_table.c.content).where(
            _table.c.installation == installation, _table.c.code_hash == code_hash
        )
        found = await self._database.read(lambda connection: connection.scalar(statement))
        return None if found is None else _views.validate_python(found)

    async def put(self, installation: InstallationId, code_hash: str, told: ContributionsView) -> None:
        """In the place of those before; of an installation that is gone, nothing. Raises NotStorable."""
        content = _views.dump_python(told)

        def work(connection: Connection) -> None:
            owner = schema.installations.c.id
            if connection.scalar(select(owner).where(owner == installation)) is None:
                return
            row = connection.execute(select(_table).where(_table.c.installation == installation)).one_or_none()
            if row is not None and row.code_hash == code_hash and _views.validate_python(row.content) == told:
                return
            connection.execute(delete(_table).where(_table.c.installation == installation))
            connection.execute(insert(_table).values(installation=installation, code_hash=code_hash, content=content))

        await self._database.write(work)
