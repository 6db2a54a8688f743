"""From what was granted to an installation to the rights of its role in the database. Pure."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass

from moorage.broker.services.sql.postgresql.facts import RESERVED_PREFIX, Facts, Relation
from moorage.models.installation import InstallationId
from moorage_proto.capability import ROWS_ALONE, Capability, need
from moorage_proto.sqlite_access import DEFINE, READ, WRITE

#: PostgreSQL cuts longer names off.
MAX_NAME_BYTES = 63

COMMIT_TABLE = "moorage_commit"

#: Whether the installation has a right.
Allows = Callable[[Capability], bool]


@dataclass(frozen=True, slots=True, order=True)
class Privilege:
    """One right of a role to one table or sequence."""

    schema: str
    relation: str
    #: "SELECT", "UPDATE"...
    name: str
    #: Empty: the whole table.
    column: str = ""


@dataclass(frozen=True, slots=True)
class RolePlan:
    """What one installation's role is to have."""

    installation: InstallationId
    role: str
    #: Its own schema, whether or not it may define tables now.
    schema: str
    defines: bool
    privileges: frozenset[Privilege]
    #: Table, as (schema, name), to the column that says whose a row is.
    rows: Mapping[tuple[str, str], str]


def role_name(backend: str, database: str, installation: InstallationId) -> str:
    """Roles are of a whole cluster: the same plugin on another database has another."""
    place = hashlib.sha256(f"{backend}/{database}".encode()).hexdigest()[:8]
    return _short(f"{RESERVED_PREFIX}{place}_{installation}")


def schema_name(installation: InstallationId) -> str:
    return _short(RESERVED_PREFIX + re.sub(r"[^a-z0-9]+", "_", installation.lower()))


def privileges(
    relations: Iterable[Relation], facts: Facts, allows: Allows, backend: str, commit_schema: str = ""
) -> frozenset[Privilege]:
    """Exactly what the grants say, of the tables there are; ``commit_schema``: where executions are noted, if any."""
    found = {right for relation in relations for right in _of(relation, facts, allows, backend)}
    if commit_schema:
        for column in ("installation", "execution"):
            found.add(Privilege(commit_schema, COMMIT_TABLE, "INSERT", column))
    return frozenset(found)


def defines(allows_touch: Callable[[str, str], bool], backend: str) -> bool:
    return allows_touch(DEFINE, backend)


def _of(relation: Relation, facts: Facts, allows: Allows, backend: str) -> Iterator[Privilege]:
    if relation.name.startswith(RESERVED_PREFIX) or relation.schema.startswith(("pg_", RESERVED_PREFIX)):
        return
    resource = facts.resource(relation.schema, relation.name)

    def right(verb: str, columns: tuple[str, ...] = (), name: str = resource) -> bool:
        return allows(need(verb, name, backend=backend, columns=columns))

    def privilege(name: str, column: str = "") -> Privilege:
        return Privilege(relation.schema, relation.name, name, column)

    if relation.kind == "S":
        names = {resource, relation.of or resource}
        if any(right(WRITE, name=name) for name in names):
            yield from (privilege("USAGE"), privilege("UPDATE"))
        if any(right(READ, ROWS_ALONE, name) for name in names):
            yield privilege("SELECT")
        return
    if right(READ):
        yield privilege("SELECT")
    else:
        yield from (privilege("SELECT", column) for column in relation.columns if right(READ, (column,)))
    if right(WRITE):
        yield from (privilege("INSERT"), privilege("UPDATE"), privilege("DELETE"))
        if relation.kind in "rp":
            yield privilege("REFERENCES")
    else:
        yield from (privilege("UPDATE", column) for column in relation.columns if right(WRITE, (column,)))


def _short(name: str) -> str:
    if len(name.encode()) <= MAX_NAME_BYTES:
        return name
    return f"{name[: MAX_NAME_BYTES - 9]}_{hashlib.sha256(name.encode()).hexdigest()[:8]}"
