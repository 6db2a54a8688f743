"""Reads FROM clauses: what they show, and to whom. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from moorage.broker.services.sql.postgresql.expressions import Node, function_name, shown, texts, unwrapped
from moorage.broker.services.sql.postgresql.functions import RECORD_FUNCTIONS, TABLE_COLUMNS
from moorage.broker.services.sql.postgresql.scopes import OPEN, CommonTables, Level, Source
from moorage_proto.sqlite_access import Forbidden

if TYPE_CHECKING:
    from moorage.broker.services.sql.postgresql.queries import Queries


@dataclass
class FromClause:
    """Read item by item, from left to right: LATERAL ones see what stands before them."""

    queries: Queries
    parent: Level | None
    known: CommonTables
    sources: list[Source] = field(default_factory=list)

    def read(self, items: Iterable[Node]) -> Level:
        """The level of the query's expressions."""
        for item in items:
            self.sources = [*self.sources, *self._item(item)]
        return Level(self.sources, self.parent)

    def _item(self, node: Node) -> list[Source]:
        message = unwrapped(node)
        assert message is not None, "the grammar has no empty item"
        kind = message.DESCRIPTOR.name
        if kind == "RangeVar":
            return [self._named(message)]
        if kind == "RangeSubselect":
            return [self._subquery(message)]
        if kind == "JoinExpr":
            return self._join(message)
        if kind == "RangeFunction":
            return [self._function(message)]
        if kind == "RangeTableSample":
            self.queries.expressions.read_each((*message.args, message.repeatable), Level(), self.known)
            if texts(message.method)[-1] not in ("bernoulli", "system"):
                raise Forbidden("TABLESAMPLE takes SYSTEM or BERNOULLI here.")
            return self._item(message.relation)
        raise Forbidden(f"{shown(kind)} is not available to plugins.")

    def _named(self, node: Node) -> Source:
        if not node.schemaname:
            common = self.known.find(node.relname)
            if common is not None:
                return renamed(replace(common, name=node.relname), node)
        return self.queries.table(node)

    def _subquery(self, node: Node) -> Source:
        around = Level(self.sources, self.parent) if node.lateral else self.parent
        columns = self.queries.query(node.subquery, around, self.known)
        return renamed(Source("", columns, frozenset(columns) - {OPEN}, is_open=OPEN in columns), node)

    def _join(self, node: Node) -> list[Source]:
        if node.is_natural:
            raise Forbidden("NATURAL JOIN is not available to plugins. Write ON a.id = b.id, or USING (id).")
        before = self.sources
        left = self._item(node.larg)
        self.sources = [*before, *left]
        right = self._item(node.rarg)
        self.sources = before
        inside = Level([*left, *right], self.parent)
        for column in texts(node.using_clause):
            for source in inside.sources:
                if source.may_have(column):
                    source.note(self.queries.needs, column)
        if node.HasField("quals"):
            self.queries.expressions.read(node.quals, inside, self.known)
        shown_ = [*left, *right]
        if node.HasField("join_using_alias"):
            using = tuple(texts(node.using_clause))
            shown_.append(Source(node.join_using_alias.aliasname, using, frozenset(using), members=(*left, *right)))
        if not node.HasField("alias"):
            return shown_
        columns = tuple(column for source in shown_ for column in source.columns)
        joined = Source(
            node.alias.aliasname,
            columns,
            frozenset().union(*(source.certain for source in shown_)),
            members=tuple(shown_),
            is_open=any(s.is_open for s in shown_),
        )
        return [renamed(joined, node, self.queries)]

    def _function(self, node: Node) -> Source:
        around = Level(self.sources, self.parent)
        # PostgreSQL calls a column by the alias where there is one function alone.
        alias = node.alias.aliasname if len(node.functions) == 1 else ""
        columns: list[str] = []
        uncertain: set[int] = set()
        for item in node.functions:
            call, definitions = item.list.items[0], item.list.items[1:]
            before = len(columns)
            columns += self._call(call, alias, around)
            if function_name(call.func_call) == "unnest":
                # Of rows it shows their fields.
                uncertain.update(range(before, len(columns)))
            columns += self._defined(definition for each in definitions for definition in each.list.items)
        columns += self._defined(node.coldeflist)
        if node.ordinality:
            columns.append("ordinality")
        name = node.alias.aliasname or function_name(node.functions[0].list.items[0].func_call)
        named = tuple(texts(node.alias.colnames))
        found = (*named, *columns[len(named) :])
        certain = frozenset(
            column for index, column in enumerate(found) if index < len(named) or index not in uncertain
        )
        return Source(name, found, certain, is_strict=True)

    def _call(self, node: Node, alias: str, around: Level) -> list[str]:
        call = unwrapped(node)
        if call is None or call.DESCRIPTOR.name != "FuncCall":
            raise Forbidden("Of functions in FROM there are calls alone here.")
        self.queries.expressions.read(call, around, self.known)
        name = function_name(call)
        if name in RECORD_FUNCTIONS:
            return []
        if name == "unnest" and len(call.args) > 1:
            # As many functions, in place of one.
            return [name] * len(call.args)
        return list(TABLE_COLUMNS.get(name, (alias or name,)))

    def _defined(self, definitions: Iterable[Node]) -> list[str]:
        names = []
        for definition in definitions:
            self.queries.expressions.type_name(definition.column_def.type_name)
            names.append(definition.column_def.colname)
        return names


def renamed(source: Source, node: Node, queries: Queries | None = None) -> Source:
    """By the alias of an item: ``AS name (first, second)``."""
    if not node.HasField("alias"):
        return source
    names = tuple(texts(node.alias.colnames))
    if not names:
        return replace(source, name=node.alias.aliasname)
    if source.table or source.members:
        # Which of its columns the names stand for is not followed: all of them are taken as read.
        assert queries is not None, "tables and joins are renamed with what they need"
        source.note_all(queries.needs)
    if source.table:
        columns = (*names, *source.columns[len(names) :])
        return Source(
            node.alias.aliasname, columns, frozenset(columns), is_open=source.is_open, is_strict=source.is_strict
        )
    if source.members:
        # USING makes one column of two, so that the places of those without a name are not known.
        return Source(node.alias.aliasname, (*names, *source.columns), frozenset(names), is_open=source.is_open)
    columns = (*names, *source.columns[len(names) :])
    return Source(node.alias.aliasname, (*columns, *source.columns), frozenset(names), is_open=source.is_open)
