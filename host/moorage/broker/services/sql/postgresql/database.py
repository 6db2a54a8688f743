"""PostgreSQL behind the SQL service: a role, a schema and a few connections for each installation."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Collection, Mapping

import psycopg

from moorage.broker.services.base import Guard
from moorage.broker.services.sql import refusals
from moorage.broker.services.sql.base import Opening
from moorage.broker.services.sql.postgresql import failures, present, script
from moorage.broker.services.sql.postgresql.catalog import Catalog
from moorage.broker.services.sql.postgresql.connection import PostgresConnection, PostgresLimits
from moorage.broker.services.sql.postgresql.facts import Relation
from moorage.broker.services.sql.postgresql.fences import Fence
from moorage.broker.services.sql.postgresql.operator import Operator
from moorage.broker.services.sql.postgresql.pool import Pool, PoolLimits
from moorage.broker.services.sql.postgresql.printed import printed
from moorage.broker.services.sql.postgresql.raw import BoundedConnection
from moorage.broker.services.sql.postgresql.roles import RoleUnfit, Terms, plan_role
from moorage.broker.services.sql.postgresql.server import Server
from moorage.broker.services.sql.postgresql.statements import Parser
from moorage.models.installation import InstallationId
from moorage_proto.capability import Grants

log = logging.getLogger(__name__)

#: Each takes little while it is in no transaction.
MAX_CONNECTIONS_EACH = 32

#: Executions whose commits are still told of; older ones have long had their outcome.
KEPT_COMMITS = "30 days"


class PostgresDatabase:
    """Implements ``Database``."""

    dialect = "postgresql"
    paramstyle = "numeric_dollar"

    def __init__(
        self,
        name: str,
        server: Server,
        operator: Operator,
        fence: Fence,
        terms: Terms,
        *,
        limits: PostgresLimits | None = None,
        pool: PoolLimits | None = None,
    ) -> None:
        self._name = name
        self._server = server
        self._operator = operator
        self._fence = fence
        self._terms = terms
        self._default_schema = terms.default_schema
        self._limits = limits or PostgresLimits()
        self._commit_table = terms.commit_table
        self._parser = Parser()
        self._places: dict[InstallationId, InstallationPlace] = {}
        self.pool = Pool(name, self._connect, pool or PoolLimits())

    @property
    def server_version(self) -> tuple[int, ...]:
        """Empty as long as the server was not reached."""
        return self._server.version

    async def open(self) -> None:
        """A server that cannot be reached now may be there later: that is told to those who then connect."""
        try:
            async with self._operator.transaction() as transaction:
                if self._commit_table:
                    await transaction.run(*script.create_commit_table(self._default_schema))
        except (psycopg.Error, OSError, TimeoutError) as error:
            log.warning("sql %s: %s", self._name, error)

    def connect(self, opening: Opening) -> PostgresConnection:
        place = self._place(opening.installation)
        if place.connections >= MAX_CONNECTIONS_EACH:
            raise refusals.too_many_connections(self._name, MAX_CONNECTIONS_EACH)
        return PostgresConnection(self._name, opening, self.pool, place, self._parser, self._limits, self._mark)

    async def committed(self, execution: str) -> bool:
        """Raises CallError when the database cannot be asked."""
        if not self._commit_table:
            return False
        try:
            async with self._operator.transaction() as transaction:
                return bool(await transaction.rows(script.find_commit(self._default_schema), (execution,)))
        except (psycopg.Error, OSError, TimeoutError) as error:
            log.warning("sql %s: %s", self._name, error)
            raise failures.unreachable(self._name) from None

    async def forget_commits(self, open_ones: Collection[str]) -> None:
        """Raises CallError when the database cannot be asked."""
        try:
            async with self._operator.transaction() as transaction:
                await transaction.rows(script.forget_commits(self._default_schema, KEPT_COMMITS), ([*open_ones],))
        except (psycopg.Error, OSError, TimeoutError) as error:
            log.warning("sql %s: %s", self._name, error)
            raise failures.unreachable(self._name) from None

    async def forget(self, installation: InstallationId) -> None:
        """Of one that was removed: its role goes, where the host made it. Raises CallError."""
        self._places.pop(installation, None)
        self.pool.forget(installation)
        await self._guarded(self._fence.forget(installation))

    async def plan(self, grants: Mapping[InstallationId, Grants]) -> str:
        """The SQL that gives the roles of these installations what they lack. Raises CallError."""
        try:
            async with self._operator.transaction() as transaction:
                relations = await present.relations(transaction, self._default_schema)
                plans = [
                    await present.with_partitions(transaction, plan_role(self._terms, name, [each], relations))
                    for name, each in sorted(grants.items())
                ]
                found = [(plan, await present.of_role(transaction, plan)) for plan in plans]
        except (psycopg.Error, OSError, TimeoutError) as error:
            log.warning("sql %s: %s", self._name, error)
            raise failures.unreachable(self._name) from None
        return printed(self._name, self._terms.database, self._default_schema, found, commit_table=self._commit_table)

    async def close(self) -> None:
        await self.pool.close()
        await self._operator.close()
        self._parser.close()

    async def ready(
        self, installation: InstallationId, grants: frozenset[Grants], relations: Mapping[tuple[str, str], Relation]
    ) -> None:
        """Raises CallError."""
        await self._guarded(self._fence.ready(installation, grants, relations))
        place = self._place(installation)
        place.settle(self._fence.own_schema(installation))

    async def _guarded(self, work: Awaitable[None]) -> None:
        try:
            await work
        except RoleUnfit as unfit:
            log.error("sql %s: %s", self._name, unfit)
            raise failures.not_prepared(self._name, unfit.told) from None
        except (OSError, TimeoutError, psycopg.OperationalError) as error:
            log.warning("sql %s: %s", self._name, error)
            raise failures.unreachable(self._name) from None
        except psycopg.Error as error:
            log.error("sql %s: its roles could not be prepared: %s", self._name, error)
            raise failures.not_prepared(self._name, "its operator finds the reason in the host's log.") from None

    async def _connect(self, installation: InstallationId) -> BoundedConnection:
        try:
            return await self._fence.connect(installation)
        except RoleUnfit as unfit:
            log.error("sql %s: %s", self._name, unfit)
            raise failures.not_prepared(self._name, unfit.told) from None

    def _place(self, installation: InstallationId) -> InstallationPlace:
        if installation not in self._places:
            path = self._fence.path(installation)
            catalog = Catalog(path, "", self._fence.is_role, self._fence.keeps)
            self._places[installation] = InstallationPlace(self, installation, catalog, is_role=self._fence.is_role)
        return self._places[installation]

    @property
    def _mark(self) -> str:
        return script.note_commit(self._default_schema) if self._commit_table else ""


class InstallationPlace:
    """Implements ``Place``."""

    def __init__(
        self, database: PostgresDatabase, installation: InstallationId, catalog: Catalog, *, is_role: bool
    ) -> None:
        self.catalog = catalog
        self.is_role = is_role
        self.cursors = 0
        self.connections = 0
        self._database = database
        self._installation = installation
        #: By what each present transaction is decided.
        self._deciding: dict[object, Grants] = {}
        self._counting: frozenset[Grants] = frozenset()

    async def ready(self, user: object, guard: Guard, relations: Mapping[tuple[str, str], Relation]) -> None:
        if self._deciding.get(user) is not guard.grants:
            self._deciding[user] = guard.grants
            self._counting = self._newest()
        await self._database.ready(self._installation, self._counting, relations)

    def leave(self, user: object) -> None:
        if self._deciding.pop(user, None) is not None:
            self._counting = self._newest()

    def _newest(self) -> frozenset[Grants]:
        """Workers of several versions may run beside each other, each with rights of its own."""
        newest = max((each.epoch for each in self._deciding.values()), default=0)
        return frozenset(each for each in self._deciding.values() if each.epoch == newest)

    def settle(self, own_schema: str) -> None:
        """Where it may define tables from now on."""
        if self.catalog.own != own_schema:
            self.catalog.own = own_schema
            self.catalog.forget()
