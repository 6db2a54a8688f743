"""The SQL that gives an installation's role what it is to have: run by the host in mode managed, printed by
``moorage sql plan`` for whoever administers the database. Pure.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from itertools import groupby

from moorage.broker.services.sql.postgresql.privileges import COMMIT_TABLE, Privilege, RolePlan

#: Backends open at once by one role; the host opens fewer.
CONNECTION_LIMIT = 32


def quoted(name: str) -> str:
    """An identifier."""
    return '"' + name.replace('"', '""') + '"'


def literal(text: str) -> str:
    """With standard_conforming_strings, which is PostgreSQL's default."""
    return "'" + text.replace("'", "''") + "'"


def place(schema: str, name: str) -> str:
    return f"{quoted(schema)}.{quoted(name)}"


def create_role(role: str) -> str:
    return (
        f"CREATE ROLE {quoted(role)} LOGIN NOINHERIT NOCREATEDB NOCREATEROLE NOREPLICATION "
        f"CONNECTION LIMIT {CONNECTION_LIMIT}"
    )


def close_public(database: str, schema: str) -> tuple[str, ...]:
    """What every role has by default, and would let a plugin's make tables for itself."""
    return (
        f"REVOKE TEMPORARY ON DATABASE {quoted(database)} FROM PUBLIC",
        f"REVOKE CREATE ON SCHEMA {quoted(schema)} FROM PUBLIC",
    )


def create_commit_table(schema: str) -> tuple[str, ...]:
    table = place(schema, COMMIT_TABLE)
    return (
        f"CREATE TABLE IF NOT EXISTS {table} (installation text NOT NULL, execution text NOT NULL, "
        "at timestamptz NOT NULL DEFAULT now(), PRIMARY KEY (installation, execution))",
    )


def note_commit(schema: str) -> str:
    """$1 and $2: installation and execution. It fails where another attempt of the execution has committed."""
    values = "(installation, execution) VALUES ($1, $2)"
    return f"INSERT INTO {place(schema, COMMIT_TABLE)} {values}"


def find_commit(schema: str) -> str:
    """$1: the execution."""
    return f"SELECT 1 FROM {place(schema, COMMIT_TABLE)} WHERE execution = $1"  # noqa: S608 - of the host's settings


def forget_commits(schema: str, older_than: str) -> str:
    """$1: the executions whose notes are kept, however old."""
    old = f"at < pg_catalog.now() - interval {literal(older_than)} AND execution <> ALL ($1::text[])"
    return f"DELETE FROM {place(schema, COMMIT_TABLE)} WHERE {old}"  # noqa: S608 - of the host's settings


def own_schema(plan: RolePlan, *, has_schema: bool = False) -> tuple[str, ...]:
    """What is in it stays the role's when it may make nothing new."""
    schema, role = quoted(plan.schema), quoted(plan.role)
    if not plan.defines:
        return (f"REVOKE CREATE ON SCHEMA {schema} FROM {role}",) if has_schema else ()
    make = () if has_schema else (f"CREATE SCHEMA {schema}",)
    return (*make, f"GRANT USAGE, CREATE ON SCHEMA {schema} TO {role}")


def grant_and_revoke(plan: RolePlan, present: frozenset[Privilege] = frozenset()) -> tuple[str, ...]:
    """From what the role has to what it is to have; what is too much goes first."""
    role = quoted(plan.role)
    missing = plan.privileges - present
    schemas = sorted({right.schema for right in plan.privileges})
    return (
        *(f"REVOKE {_rights(group)} FROM {role}" for group in _grouped(present - plan.privileges)),
        *(f"GRANT USAGE ON SCHEMA {quoted(schema)} TO {role}" for schema in schemas if missing),
        *(f"GRANT {_rights(group)} TO {role}" for group in _grouped(missing)),
    )


def bind_rows(plan: RolePlan, *, guarded: frozenset[tuple[str, str]] = frozenset()) -> tuple[str, ...]:
    """A role sees and writes the rows of its own installation alone, whatever a statement says.

    ``guarded``: tables that have row security. Of others everybody else goes on seeing all rows. The policy
    names the role and compares with a constant: there is no setting that a statement could change.
    """
    found: list[str] = []
    for (schema, name), column in sorted(plan.rows.items()):
        table, role = place(schema, name), quoted(plan.role)
        test = f"{quoted(column)}::text = {literal(plan.installation)}"
        if (schema, name) not in guarded:
            found.append(f"ALTER TABLE {table} ENABLE ROW LEVEL SECURITY")
            found.append(f"DROP POLICY IF EXISTS moorage_others ON {table}")
            found.append(f"CREATE POLICY moorage_others ON {table} TO PUBLIC USING (true) WITH CHECK (true)")
        for kind in ("PERMISSIVE", "RESTRICTIVE"):
            policy = quoted(policy_name(plan.role, kind, column))
            found.append(f"DROP POLICY IF EXISTS {policy} ON {table}")
            found.append(f"CREATE POLICY {policy} ON {table} AS {kind} TO {role} USING ({test}) WITH CHECK ({test})")
    return tuple(found)


def policy_name(role: str, kind: str, column: str) -> str:
    """Of the two that bind a role: one lets it see its rows, the other keeps all policies of others from more."""
    told = hashlib.sha256(f"{role}/{column}".encode()).hexdigest()[:12]
    return f"{role[:40]}_{told}_{'rows' if kind == 'PERMISSIVE' else 'only'}"


def remove(plan: RolePlan) -> tuple[str, ...]:
    """Of an installation that is no more. Its tables stay, in its schema, and belong to whoever runs this."""
    role = quoted(plan.role)
    return (
        f"GRANT {role} TO CURRENT_USER",
        f"REASSIGN OWNED BY {role} TO CURRENT_USER",
        f"DROP OWNED BY {role}",
        f"DROP ROLE {role}",
    )


def _grouped(rights: Iterable[Privilege]) -> Iterator[tuple[Privilege, ...]]:
    """Of one table, whole rights and those to columns each by themselves."""

    def key(right: Privilege) -> tuple[str, str, bool, str]:
        return (right.schema, right.relation, bool(right.column), right.name if right.column else "")

    for _, group in groupby(sorted(rights, key=lambda right: (*key(right), right.name, right.column)), key):
        yield tuple(group)


def _rights(group: tuple[Privilege, ...]) -> str:
    """``SELECT, INSERT ON TABLE "public"."users"``, ``SELECT ("id", "name") ON TABLE ...``"""
    first = group[0]
    if first.column:
        columns = ", ".join(quoted(right.column) for right in group)
        names = f"{first.name} ({columns})"
    else:
        names = ", ".join(right.name for right in group)
    kind = "SEQUENCE" if {right.name for right in group} & {"USAGE"} else "TABLE"
    # PostgreSQL takes a sequence for a table as well: SELECT and UPDATE alone mean the same on both.
    return f"{names} ON {kind} {place(first.schema, first.relation)}"
