"""The script of ``moorage sql plan``: what a database lacks for the present installations and their grants. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from moorage.broker.services.sql.postgresql import script
from moorage.broker.services.sql.postgresql.privileges import Privilege, RolePlan


@dataclass(frozen=True)
class Present:
    """What the database has for one role."""

    has_role: bool
    has_schema: bool
    privileges: frozenset[Privilege]
    #: Tables that have row security, and those on which the role is bound to its rows.
    guarded: frozenset[tuple[str, str]]
    bound: frozenset[tuple[str, str]]


def printed(
    backend: str, database: str, schema: str, plans: Sequence[tuple[RolePlan, Present]], *, commit_table: bool
) -> str:
    """For psql, as one transaction."""
    head = [
        f"-- What the database {database} lacks for the installations that use it as sql.{backend}.",
        "-- Run it as the owner of its tables, or as a superuser. A role can log in once it has a password:",
        "-- \\password ROLE",
        "BEGIN;",
        *_lines(script.close_public(database, schema)),
    ]
    if commit_table:
        head += _lines(script.create_commit_table(schema))
    guarded: set[tuple[str, str]] = set()
    for plan, present in plans:
        head += ["", f"-- {plan.installation}", *_lines(tuple(_of(plan, present, frozenset(guarded))))]
        guarded |= set(plan.rows)
    return "\n".join([*head, "", "COMMIT;", ""])


def _of(plan: RolePlan, present: Present, guarded: frozenset[tuple[str, str]]) -> Iterator[str]:
    if not present.has_role:
        yield script.create_role(plan.role)
    yield from script.own_schema(plan, has_schema=present.has_schema)
    if set(plan.rows) - present.bound:
        # What an earlier installation of this script guards is guarded by then.
        yield from script.bind_rows(plan, guarded=present.guarded | guarded)
    yield from script.grant_and_revoke(plan, present.privileges)


def _lines(statements: Sequence[str]) -> list[str]:
    return [f"{statement};" for statement in statements]
