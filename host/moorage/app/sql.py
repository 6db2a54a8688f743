"""Databases as people look after them: which there are, and what they lack for the present installations."""

from __future__ import annotations

from moorage.app.wiring import Wiring
from moorage.errors import MoorageError, NotFound
from moorage.models.installation import InstallationId
from moorage.models.sql import SqlBackendView
from moorage_proto.capability import Grants
from moorage_proto.errors import CallError

VERBS = ("sql.read", "sql.write", "sql.define")


class DatabaseUnknown(NotFound):
    code = "database_unknown"

    def __init__(self, name: str) -> None:
        super().__init__(f"There is no database {name!r}. Add it to the host's settings as [sql.{name}].")


class DatabaseUnavailable(MoorageError):
    code = "database_unavailable"


class Sql:
    """Implements ``moorage.web.operations.SqlOperations``."""

    def __init__(self, parts: Wiring) -> None:
        self._parts = parts

    def backends(self) -> tuple[SqlBackendView, ...]:
        service = self._parts.services.sql
        return tuple(
            SqlBackendView(
                told.name,
                told.dialect,
                str(service.fences.get(told.name, "")),
                ".".join(map(str, told.server_version)),
            )
            for told in service.backends
        )

    async def plan(self, backend: str) -> str:
        """The SQL that gives the roles of the present installations what they lack; empty: there is nothing to run.

        Raises DatabaseUnknown, DatabaseUnavailable.
        """
        if backend not in {told.name for told in self.backends()}:
            raise DatabaseUnknown(backend)
        grants: dict[InstallationId, Grants] = {}
        for installation in await self._parts.store.installations.list():
            effective = await self._parts.store.grants.effective(installation.id)
            if any(effective.touch(verb, backend) for verb in VERBS):
                grants[installation.id] = effective
        try:
            return await self._parts.services.sql.plan(backend, grants)
        except CallError as error:
            raise DatabaseUnavailable(error.message) from None
