"""What there is in a database, as far as the caller has some right to it: for reflection."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from moorage.broker.services.base import Guard
from moorage.broker.services.sql.postgresql import inspection_queries as queries
from moorage.broker.services.sql.postgresql.catalog import Catalog, Query
from moorage.broker.services.sql.postgresql.facts import RESERVED_PREFIX, Facts
from moorage_proto import sql_pb2
from moorage_proto.capability import ROWS_ALONE, need
from moorage_proto.sqlite_access import DEFINE, READ, WRITE

_VERBS = (READ, WRITE, DEFINE)


async def inspected(
    query: Query, catalog: Catalog, guard: Guard, backend: str, schema: str, names: Sequence[str]
) -> sql_pb2.InspectReply:
    """Names and kinds; with ``names`` these relations in full."""
    return await _Inspection(query, catalog, guard, backend).reply(schema, names)


class _Inspection:
    def __init__(self, query: Query, catalog: Catalog, guard: Guard, backend: str) -> None:
        self._query = query
        self._path = catalog.path
        self._own = catalog.own
        self._facts = Facts(catalog.path, catalog.own)
        self._guard = guard
        self._backend = backend

    async def reply(self, schema: str, names: Sequence[str]) -> sql_pb2.InspectReply:
        found = await self._query(queries.RELATIONS, ([schema] if schema else list(self._path),))
        order = {name: index for index, name in enumerate(self._path)}
        found = sorted(found, key=lambda each: (order.get(each[1], 0), each[2]))
        reply = sql_pb2.InspectReply(default_schema=self._own or self._path[-1])
        relations: dict[int, sql_pb2.Relation] = {}
        seen: set[str] = set()
        for oid, place, name, kind, belongs_to, comment in found:
            # What an earlier schema of the path has under the same name is what a statement would find.
            if name in seen or not self._is_visible(place, belongs_to or name):
                continue
            seen.add(name)
            if kind == "sequence":
                reply.sequences.add(schema=place, name=name)
            elif not names or name in names:
                relations[oid] = sql_pb2.Relation(schema=place, name=name, kind=kind, comment=comment)
        await self._types(reply, tuple(relations))
        if names:
            await self._complete(relations)
        reply.relations.extend(relations.values())
        reply.schemas.extend(await self._schemas())
        return reply

    def _is_visible(self, schema: str, name: str) -> bool:
        is_others = schema.startswith((RESERVED_PREFIX, "pg_")) and schema not in self._path
        if is_others or name.startswith(RESERVED_PREFIX):
            return False
        resource = self._facts.resource(schema, name)
        return any(
            self._guard.covers(
                need(verb, resource, backend=self._backend, columns=() if verb == DEFINE else ROWS_ALONE)
            )
            for verb in _VERBS
        )

    def _shows_column(self, relation: sql_pb2.Relation, column: str) -> bool:
        resource = self._facts.resource(relation.schema, relation.name)
        return any(
            self._guard.covers(need(verb, resource, backend=self._backend, columns=() if verb == DEFINE else (column,)))
            for verb in _VERBS
        )

    async def _schemas(self) -> list[str]:
        """In which there is something to see."""
        found = await self._query(queries.RELATION_NAMES, ())
        return sorted({place for place, name in found if self._is_visible(place, name)} | {self._own} - {""})

    async def _complete(self, relations: dict[int, sql_pb2.Relation]) -> None:
        oids = (list(relations),)
        shown: dict[int, set[str]] = {oid: set() for oid in relations}
        whole: dict[int, bool] = dict.fromkeys(relations, True)
        for oid, identity, *rest in await self._query(queries.COLUMNS, oids):
            name, type_, not_null, default, generated, comment, collation = rest
            relation = relations[oid]
            if not self._shows_column(relation, name):
                whole[oid] = False
                continue
            shown[oid].add(name)
            relation.columns.add(
                name=name,
                type=type_,
                not_null=not_null,
                default_expression=default,
                generated=generated,
                identity=_identity(identity),
                comment=comment,
                collation=collation or "",
            )
        for oid, *constraint in await self._query(queries.CONSTRAINTS, oids):
            self._constraint(relations[oid], shown[oid], constraint)
        for oid, *index in await self._query(queries.INDEXES, oids):
            _index(relations[oid], shown[oid], whole[oid], index)
        for oid, definition in await self._query(queries.VIEWS, oids):
            if relations[oid].schema == self._own:
                relations[oid].definition = definition

    def _constraint(self, relation: sql_pb2.Relation, shown: set[str], row: Sequence[Any]) -> None:
        name, kind, columns, definition, place, table, referred_columns, comment = row
        if not set(columns) <= shown or (table is not None and not self._is_visible(place, table)):
            return
        made = relation.constraints.add(name=name, kind=kind, columns=columns, definition=definition, comment=comment)
        if table is not None:
            made.referred.schema, made.referred.name = place, table
            made.referred_columns.extend(referred_columns or ())

    async def _types(self, reply: sql_pb2.InspectReply, oids: Sequence[int]) -> None:
        """Enumerations and domains of the installation's own, and those that visible columns have."""
        for place, name, labels in await self._query(queries.ENUMERATIONS, (self._own, list(oids))):
            made = reply.enumerations.add(labels=labels, visible=place in self._path)
            made.name.schema, made.name.name = place, name
        for place, name, type_, not_null, default, collation, checks in await self._query(
            queries.DOMAINS, (self._own, list(oids))
        ):
            domain = reply.domains.add(
                type=type_,
                not_null=not_null,
                default_expression=default,
                collation=collation or "",
                visible=place in self._path,
            )
            domain.name.schema, domain.name.name = place, name
            for check, definition in checks or ():
                domain.constraints.add(name=check, kind="check", definition=definition)


def _identity(found: Sequence[Any] | None) -> sql_pb2.Identity | None:
    if not found:
        return None
    always, start, increment, minimum, maximum, cache, cycle = found
    return sql_pb2.Identity(
        always=always == "a",
        start=int(start),
        increment=int(increment),
        minimum=int(minimum),
        maximum=int(maximum),
        cache=int(cache),
        cycle=cycle in (True, "t", "true"),
    )


def _index(relation: sql_pb2.Relation, shown: set[str], is_whole: bool, row: Sequence[Any]) -> None:
    name, unique, primary, columns, expressions, key_count, method, predicate, constraint, distinct, options, text = row
    has_expression = predicate is not None or any(column is None for column in columns)
    if not {column for column in columns if column is not None} <= shown or (has_expression and not is_whole):
        return
    relation.indexes.add(
        name=name,
        unique=unique,
        primary=primary,
        columns=[column or "" for column in columns[:key_count]],
        expressions=list(expressions[:key_count]),
        included_columns=[column or "" for column in columns[key_count:]],
        method=method,
        predicate=predicate or "",
        constraint=constraint or "",
        nulls_not_distinct=bool(distinct),
        orders=[_order(option) for option in options[:key_count]],
        definition=text,
    )


def _order(option: int) -> str:
    """Bit 1: descending; bit 2: nulls first, which is what descending ones have by default."""
    descends, nulls_first = bool(option & 1), bool(option & 2)
    nulls = "" if descends == nulls_first else " nulls first" if nulls_first else " nulls last"
    return f"{'desc' if descends else ''}{nulls}".strip()
