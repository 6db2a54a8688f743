"""The roles that the host makes for installations, in mode managed: made, and kept as the grants say."""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from moorage.broker.services.sql.postgresql import present, script
from moorage.broker.services.sql.postgresql.facts import INFORMATION_SCHEMA, Facts, Relation
from moorage.broker.services.sql.postgresql.operator import Operator, Transaction
from moorage.broker.services.sql.postgresql.privileges import (
    COMMIT_TABLE,
    RolePlan,
    defines,
    privileges,
    role_name,
    schema_name,
)
from moorage.models.installation import InstallationId
from moorage_proto.capability import Capability, Grants

log = logging.getLogger(__name__)

#: One host at a time changes roles: concurrent changes of one row of the catalogue fail.
_LOCK = 0x6D6F6F72


class RoleUnfit(Exception):
    """The role would be no fence; ``str()`` is the sentence for the operator, ``told`` the one for the plugin."""

    def __init__(self, problem: str, told: str = "its operator finds the reason in the host's log.") -> None:
        super().__init__(problem)
        self.told = told


@dataclass(frozen=True)
class Terms:
    """What the settings of a backend say of its roles."""

    backend: str
    database: str
    default_schema: str = "public"
    rows: Mapping[str, str] = field(default_factory=dict)
    commit_table: bool = False
    #: Names of the roles that were provided.
    provided: Mapping[InstallationId, str] = field(default_factory=dict)

    def role(self, installation: InstallationId) -> str:
        return self.provided.get(installation) or role_name(self.backend, self.database, installation)

    @property
    def bound(self) -> dict[tuple[str, str], str]:
        """Tables whose rows are of installations."""
        found = {self._place(table): column for table, column in self.rows.items()}
        if self.commit_table:
            found[self.default_schema, COMMIT_TABLE] = "installation"
        return found

    def _place(self, table: str) -> tuple[str, str]:
        schema, dot, name = table.rpartition(".")
        return (schema, name) if dot else (self.default_schema, table)


def plan_role(
    terms: Terms, installation: InstallationId, grants: Iterable[Grants], relations: Iterable[Relation]
) -> RolePlan:
    """What the role is to have: what any of the grants allows. Pure."""
    listed = tuple(grants)
    own = schema_name(installation)
    facts = Facts((own, terms.default_schema), own)

    def allows(right: Capability) -> bool:
        return any(each.decide(right).allowed for each in listed)

    def touches(verb: str, backend: str) -> bool:
        return any(each.touch(verb, backend) for each in listed)

    commit_schema = terms.default_schema if terms.commit_table else ""
    return RolePlan(
        installation,
        terms.role(installation),
        own,
        defines(touches, terms.backend),
        privileges(relations, facts, allows, terms.backend, commit_schema),
        terms.bound,
    )


@dataclass
class _Role:
    password: str = ""
    #: That it has rights by.
    grants: frozenset[Grants] = frozenset()
    #: Tables and their columns as they were when the rights were given.
    known: Mapping[tuple[str, str], Relation] = field(default_factory=dict)
    defines: bool = False


class Roles:
    """Of one backend."""

    def __init__(self, terms: Terms, operator: Operator) -> None:
        self._terms = terms
        self._operator = operator
        self._roles: dict[InstallationId, _Role] = {}
        self._locks: dict[InstallationId, asyncio.Lock] = {}
        self._warned = False

    async def ready(
        self, installation: InstallationId, grants: frozenset[Grants], relations: Mapping[tuple[str, str], Relation]
    ) -> None:
        """Raises RoleUnfit, psycopg.Error, OSError and TimeoutError."""
        if self._is_ready(installation, grants, relations):
            return
        async with self._locks.setdefault(installation, asyncio.Lock()):
            if not self._is_ready(installation, grants, relations):
                await self._prepare(installation, grants)

    async def renew(self, installation: InstallationId) -> None:
        """With another password. Raises as ``ready``."""
        async with self._locks.setdefault(installation, asyncio.Lock()):
            role = self._roles[installation]
            role.password = ""
            await self._prepare(installation, role.grants)

    def credentials(self, installation: InstallationId) -> tuple[str, str]:
        """Role and password. The password is this process's alone, and another one after each start."""
        return self._terms.role(installation), self._roles[installation].password

    def own_schema(self, installation: InstallationId) -> str:
        role = self._roles.get(installation)
        return schema_name(installation) if role is not None and role.defines else ""

    async def remove(self, installation: InstallationId) -> None:
        """Its tables stay, in its schema, and are the operator's from now on."""
        self._roles.pop(installation, None)
        role = self._terms.role(installation)
        async with self._operator.transaction() as transaction:
            if await present.has_role(transaction, role):
                plan = RolePlan(installation, role, schema_name(installation), False, frozenset(), {})
                await transaction.run(*script.remove(plan))

    def _is_ready(
        self, installation: InstallationId, grants: frozenset[Grants], relations: Mapping[tuple[str, str], Relation]
    ) -> bool:
        role = self._roles.get(installation)
        if role is None or not (role.grants is grants or role.grants == grants):
            return False
        others = (schema_name(installation), INFORMATION_SCHEMA)
        return all(
            role.known.get(name) == found
            for name, found in relations.items()
            # To indexes there are no rights.
            if found.schema not in others and found.kind not in "iI"
        )

    async def _prepare(self, installation: InstallationId, grants: frozenset[Grants]) -> None:
        role = self._roles.get(installation) or _Role()
        async with self._operator.transaction() as transaction:
            await transaction.rows("SELECT pg_catalog.pg_advisory_xact_lock($1)", (_LOCK,))
            if self._terms.commit_table:
                await transaction.run(*script.create_commit_table(self._terms.default_schema))
            relations = await present.relations(transaction, self._terms.default_schema)
            grantable = [relation for relation, can in relations.items() if can]
            plan = await present.with_partitions(transaction, plan_role(self._terms, installation, grants, grantable))
            password = role.password or secrets.token_urlsafe(32)
            await self._make(transaction, plan, password, is_new=not role.password)
            has_schema = await present.has_schema(transaction, plan.schema)
            await transaction.run(*script.own_schema(plan, has_schema=has_schema))
            await self._bind_rows(transaction, plan)
            has = await present.privileges(transaction, plan.role)
            await transaction.run(*script.grant_and_revoke(plan, has))
        known = {(each.schema, each.name): each for each in relations}
        self._roles[installation] = _Role(password, grants, known, plan.defines)

    async def _make(self, transaction: Transaction, plan: RolePlan, password: str, *, is_new: bool) -> None:
        role = script.quoted(plan.role)
        if not await present.has_role(transaction, plan.role):
            await transaction.run(script.create_role(plan.role))
        if is_new:
            verifier = script.literal(transaction.encrypted(password, plan.role))
            await transaction.run(
                f"ALTER ROLE {role} PASSWORD {verifier}",
                f"GRANT CONNECT ON DATABASE {script.quoted(self._terms.database)} TO {role}",
                *script.close_public(self._terms.database, self._terms.default_schema),
            )
            problem = await present.unfit(transaction, plan.role)
            if problem:
                raise RoleUnfit(problem)
            for sentence in await present.open_to_all(transaction, plan.role, self._terms.default_schema):
                self._warn(sentence)

    async def _bind_rows(self, transaction: Transaction, plan: RolePlan) -> None:
        """Before any right to the tables is given."""
        guarded, bound = await present.row_security(transaction, plan)
        if set(plan.rows) - bound:
            await transaction.run(*script.bind_rows(plan, guarded=guarded))

    def _warn(self, sentence: str) -> None:
        if not self._warned:
            log.warning("sql %s: %s", self._terms.backend, sentence)
        self._warned = True
