"""What keeps installations apart in the database itself, beneath the host's own check: one class for each mode."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

import psycopg
from sqlalchemy.engine import URL

from moorage.broker.services.sql.postgresql import pipeline, script
from moorage.broker.services.sql.postgresql.facts import Relation
from moorage.broker.services.sql.postgresql.privileges import schema_name
from moorage.broker.services.sql.postgresql.raw import BoundedConnection
from moorage.broker.services.sql.postgresql.roles import Roles, RoleUnfit, Terms
from moorage.broker.services.sql.postgresql.server import Server
from moorage.models.installation import InstallationId
from moorage_proto.capability import Grants

#: How old may be what is known of the schema, where a role has the same rights: a late look gives nothing away then.
KNOWN_SECONDS = 30.0

Relations = Mapping[tuple[str, str], Relation]


class Fence(Protocol):
    """Of one backend. What it does may raise RoleUnfit, psycopg.Error, OSError and TimeoutError."""

    #: For how many seconds what was looked up of the schema counts.
    keeps: float
    #: Whether the database knows installations apart.
    is_role: bool

    async def ready(self, installation: InstallationId, grants: frozenset[Grants], relations: Relations) -> None:
        """The role is there, and has the rights that any of the grants says, to these relations too."""

    async def connect(self, installation: InstallationId) -> BoundedConnection:
        """Logged in as the installation, after ``ready``."""

    def path(self, installation: InstallationId) -> tuple[str, ...]:
        """Where names without a schema are looked up."""

    def own_schema(self, installation: InstallationId) -> str:
        """In which it may define tables; empty: in none."""

    async def forget(self, installation: InstallationId) -> None:
        """Of one that was removed."""


class ManagedFence:
    """Implements ``Fence``: the host makes the roles."""

    keeps = KNOWN_SECONDS
    is_role = True

    def __init__(self, server: Server, roles: Roles, terms: Terms) -> None:
        self._server = server
        self._roles = roles
        self._terms = terms

    async def ready(self, installation: InstallationId, grants: frozenset[Grants], relations: Relations) -> None:
        await self._roles.ready(installation, grants, relations)

    async def connect(self, installation: InstallationId) -> BoundedConnection:
        try:
            return await self._connect(installation)
        except psycopg.OperationalError:
            # The server may have lost the password: it was restored, or another host has given the role its own.
            await self._roles.renew(installation)
            return await self._connect(installation)

    async def _connect(self, installation: InstallationId) -> BoundedConnection:
        user, password = self._roles.credentials(installation)
        path = self.path(installation)
        return await self._server.connect(f"moorage/{installation}", path, user=user, password=password)

    def path(self, installation: InstallationId) -> tuple[str, ...]:
        return (schema_name(installation), self._terms.default_schema)

    def own_schema(self, installation: InstallationId) -> str:
        return self._roles.own_schema(installation)

    async def forget(self, installation: InstallationId) -> None:
        await self._roles.remove(installation)


class ProvidedFence:
    """Implements ``Fence``: whoever administers the database has made the roles, by the script of ``moorage sql plan``.

    What they may do is theirs to say; that they are a fence at all is looked at with each connection.
    """

    keeps = KNOWN_SECONDS
    is_role = True

    def __init__(self, server: Server, urls: Mapping[InstallationId, URL], terms: Terms) -> None:
        self._server = server
        self._urls = urls
        self._terms = terms
        self._own: dict[InstallationId, str] = {}

    async def ready(self, installation: InstallationId, *_: object) -> None:
        if installation not in self._urls:
            where = f"sql.{self._terms.backend}.roles.{installation}"
            sentence = f"the host's settings name no role for {installation}. Its operator adds one as {where}."
            raise RoleUnfit(sentence, f"{sentence} moorage sql plan prints what makes it.")

    async def connect(self, installation: InstallationId) -> BoundedConnection:
        path = self.path(installation)
        url = self._urls[installation]
        connection = await self._server.connect(f"moorage/{installation}", path, url=url)
        try:
            await self._look(connection, installation)
        except BaseException:
            await connection.close()
            raise
        return connection

    def path(self, installation: InstallationId) -> tuple[str, ...]:
        return (schema_name(installation), self._terms.default_schema)

    def own_schema(self, installation: InstallationId) -> str:
        return self._own.get(installation, "")

    async def forget(self, installation: InstallationId) -> None:
        self._own.pop(installation, None)

    async def _look(self, connection: BoundedConnection, installation: InstallationId) -> None:
        own = schema_name(installation)
        ((unfit, is_operators, creates),) = await _rows(connection, _UNFIT, self._server.user, own)
        if unfit:
            problem = "is a superuser, makes roles, replicates, bypasses row security, or is a member of others"
            raise RoleUnfit(f"the role of {installation} {problem}")
        if is_operators:
            raise RoleUnfit(f"the role of {installation} is the operator's own")
        for (schema, name), column in self._terms.bound.items():
            found = await _rows(connection, _BOUND, script.place(schema, name))
            if not found or not found[0][0]:
                raise RoleUnfit(f"the rows of {name} are not bound by {column} for the role of {installation}")
        self._own[installation] = own if creates else ""


class SingleFence:
    """Implements ``Fence`` by none: every statement runs with the rights of the URL's role."""

    #: Nothing but the host's check is there: it looks anew for each statement.
    keeps = 0.0
    is_role = False

    def __init__(self, server: Server, terms: Terms) -> None:
        self._server = server
        self._terms = terms

    async def ready(self, *_: object) -> None:
        """Nothing has to be there."""

    async def connect(self, installation: InstallationId) -> BoundedConnection:
        return await self._server.connect(f"moorage/{installation}", self.path(installation))

    def path(self, *_: object) -> tuple[str, ...]:
        return (self._terms.default_schema,)

    def own_schema(self, *_: object) -> str:
        return ""

    async def forget(self, *_: object) -> None:
        """Nothing was made for it."""


async def _rows(connection: BoundedConnection, statement: str, *parameters: str) -> list[tuple[object, ...]]:
    (reply,) = await pipeline.run(connection, [(statement, parameters)])
    return reply.take(reply.result.ntuples)


_UNFIT = """
SELECT r.rolsuper OR r.rolbypassrls OR r.rolcreaterole OR r.rolreplication
    OR EXISTS (SELECT 1 FROM pg_catalog.pg_auth_members m WHERE m.member = r.oid),
  r.rolname = $1,
  EXISTS (SELECT 1 FROM pg_catalog.pg_namespace n
          WHERE n.nspname = $2 AND pg_catalog.has_schema_privilege(n.oid, 'CREATE'))
FROM pg_catalog.pg_roles r WHERE r.rolname = current_user
"""

#: Row security is on for the role, and one of the policies is its own and restrictive; so it is on what partitions the
#: role has rights to.
_BOUND = """
WITH RECURSIVE below AS (
  SELECT pg_catalog.to_regclass($1)::pg_catalog.oid AS oid
  UNION SELECT i.inhrelid FROM pg_catalog.pg_inherits i JOIN below ON i.inhparent = below.oid)
SELECT pg_catalog.bool_and(pg_catalog.row_security_active(c.oid) AND EXISTS (
    SELECT 1 FROM pg_catalog.pg_policy p JOIN pg_catalog.pg_roles r ON r.oid = ANY (p.polroles)
    WHERE p.polrelid = c.oid AND NOT p.polpermissive AND r.rolname = current_user))
FROM below JOIN pg_catalog.pg_class c ON c.oid = below.oid
WHERE c.oid = pg_catalog.to_regclass($1)
  OR pg_catalog.has_any_column_privilege(c.oid, 'SELECT, INSERT, UPDATE')
  OR pg_catalog.has_table_privilege(c.oid, 'DELETE')
"""
