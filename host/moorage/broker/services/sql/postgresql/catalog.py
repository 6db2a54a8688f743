"""Looks up what statements name, as the installation's own role sees it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from moorage.broker.services.sql.postgresql.facts import INFORMATION_SCHEMA, Facts, Relation
from moorage.broker.services.sql.postgresql.statements import INLINE_BYTES, Plan, Statement, plan

#: Runs a query of the host's own.
Query = Callable[[str, Sequence[Any]], Awaitable[list[tuple[Any, ...]]]]

#: Plans kept for the next time that the same text comes.
MAX_PLANS = 512

#: Names that are kept, of those that are not there too.
MAX_ASKED = 10_000

_RELATIONS = """
SELECT n.nspname, c.relname, c.relkind::pg_catalog.text,
  ARRAY(SELECT a.attname::pg_catalog.text FROM pg_catalog.pg_attribute a
        WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped ORDER BY a.attnum),
  (SELECT o.relname FROM pg_catalog.pg_depend d JOIN pg_catalog.pg_class o ON o.oid = d.refobjid
   WHERE c.relkind = 'S' AND d.classid = 'pg_catalog.pg_class'::pg_catalog.regclass AND d.objid = c.oid
     AND d.refclassid = d.classid AND d.deptype IN ('a', 'i') LIMIT 1),
  (SELECT o.relname FROM pg_catalog.pg_index i JOIN pg_catalog.pg_class o ON o.oid = i.indrelid
   WHERE i.indexrelid = c.oid)
FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f', 'S', 'i', 'I')
  AND c.relname = ANY ($1::pg_catalog.text[]) AND n.nspname = ANY ($2::pg_catalog.text[])
"""

#: Not the types of tables' rows, whose values would tell of their columns; but all of the catalogue's.
_TYPES = """
SELECT n.nspname, t.typname
FROM pg_catalog.pg_type t JOIN pg_catalog.pg_namespace n ON n.oid = t.typnamespace
WHERE t.typname = ANY ($1::pg_catalog.text[]) AND (n.nspname = 'pg_catalog' OR
  t.typtype IN ('b', 'd', 'e', 'r', 'm') AND t.typcategory <> 'A' AND n.nspname = ANY ($2::pg_catalog.text[]))
"""


@dataclass
class Catalog:
    """What is known of the schema, of one installation. Names that are not there are looked up each time."""

    path: tuple[str, ...]
    #: The installation's own schema; empty: it has none.
    own: str
    shows_information: bool
    #: For how many seconds what was looked up counts.
    keep: float
    _relations: dict[tuple[str, str], Relation] = field(default_factory=dict)
    _types: set[tuple[str, str]] = field(default_factory=set)
    #: What was asked for, whether or not it was found.
    _asked: set[tuple[str, str]] = field(default_factory=set)
    _plans: dict[str, Plan] = field(default_factory=dict)
    _since: float = 0.0

    def known(self, statement: Statement) -> Plan | None:
        """From the last time that the same text came."""
        self._expire()
        return self._plans.get(statement.text)

    async def plan(self, statement: Statement, query: Query) -> Plan:
        """Raises Forbidden, and what the query raises."""
        if len(self._asked) > MAX_ASKED:
            self.forget()
        wanted = statement.names - self._asked
        if wanted:
            await self._look_up(wanted, query)
        facts = Facts(self.path, self.own, self._relations, frozenset(self._types), self.shows_information)
        made = plan(statement, facts)
        unknown = {name for name in statement.names if not _is_known(facts, statement, *name)}
        if made.unknown_column:
            self.forget()
        elif unknown or made.defines:
            # They may be there the next time.
            self._asked -= unknown
        elif len(statement.text) <= INLINE_BYTES:
            if len(self._plans) >= MAX_PLANS:
                self._plans.clear()
            self._plans[statement.text] = made
        return made

    def relations_of(self, names: Iterable[tuple[str, str]]) -> Mapping[tuple[str, str], Relation]:
        """Those of the names that are there."""
        facts = Facts(self.path, self.own, self._relations)
        found = (facts.find(*name) for name in names)
        return {(each.schema, each.name): each for each in found if each is not None}

    def forget(self) -> None:
        """The schema has changed, or may have."""
        self._relations.clear()
        self._types.clear()
        self._asked.clear()
        self._plans.clear()

    def _expire(self) -> None:
        now = asyncio.get_running_loop().time()
        if now - self._since > self.keep:
            self.forget()
            self._since = now

    async def _look_up(self, names: Iterable[tuple[str, str]], query: Query) -> None:
        plain = sorted({name for _, name in names})
        schemas = sorted({schema for schema, _ in names if schema} | set(self.path))
        if not self.shows_information:
            schemas = [schema for schema in schemas if schema != INFORMATION_SCHEMA]
        for schema, name, kind, columns, filled, indexed in await query(_RELATIONS, (plain, schemas)):
            belongs_to = filled or indexed or ""
            if belongs_to and schema not in self.path:
                belongs_to = f"{schema}.{belongs_to}"
            self._relations[schema, name] = Relation(schema, name, kind, tuple(columns), belongs_to)
        for schema, name in await query(_TYPES, (plain, schemas)):
            self._types.add((schema, name))
        self._asked.update(names)


def _is_known(facts: Facts, statement: Statement, schema: str, name: str) -> bool:
    if not schema and name in statement.common:
        return True
    return facts.find(schema, name) is not None or facts.has_type(schema, name)
