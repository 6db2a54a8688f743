"""Which table a name in a statement belongs to, by the rules of PostgreSQL's own parser. Pure.

PostgreSQL looks for a column among what the FROM clause of the innermost query shows, then among that of the query
around it. Where this file cannot tell what a part of a statement shows, it takes a column for that of every table that
may be meant. What it must never do is stop looking at something that PostgreSQL would have passed by.
https://github.com/postgres/postgres/blob/REL_18_STABLE/src/backend/parser/parse_relation.c (colNameToVar)
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property

from moorage.broker.services.sql.postgresql.needs import SYSTEM_COLUMNS, Needs
from moorage_proto.sqlite_access import Forbidden

#: Among a query's columns: there are more, whose names are not known.
OPEN = "*"


@dataclass(frozen=True)
class Source:
    """One thing that a FROM clause shows, under a name; empty: it has none."""

    name: str
    #: Columns that it may have, in their order.
    columns: tuple[str, ...] = ()
    #: Those of them that it certainly has.
    certain: frozenset[str] = frozenset()
    #: Of a table or view: its name in capabilities.
    table: str = ""
    #: Of a table without an alias: it may be called by schema and name.
    schema: str = ""
    #: Nothing is known of its columns: they may have any name.
    is_open: bool = False
    #: ``source.name`` may be nothing but a column: PostgreSQL would call a function of that name on the whole row
    #: otherwise, whose value is a text where a function in FROM returns texts.
    is_strict: bool = False
    #: Of a join with an alias: what stands in it.
    members: tuple[Source, ...] = ()

    @property
    def shown_columns(self) -> tuple[str, ...]:
        """What ``*`` shows of it: nothing that it might not have, or a query around it would be passed by."""
        certain = tuple(column for column in self.columns if column in self.certain)
        return certain if len(certain) == len(self.columns) and not self.is_open else (*certain, OPEN)

    def may_have(self, column: str) -> bool:
        return column in self._names

    @cached_property
    def _names(self) -> frozenset[str]:
        return frozenset(self.columns)

    def note(self, needs: Needs, column: str) -> None:
        """That the column is read."""
        if self.table:
            needs.read(self.table, column)
        for member in self.members:
            if member.may_have(column) or column in SYSTEM_COLUMNS:
                member.note(needs, column)

    def note_all(self, needs: Needs) -> None:
        """That the whole row is read."""
        if self.table and not self.columns:
            needs.read_all(self.table)
        elif self.table:
            needs.read_each(self.table, self.columns)
        for member in self.members:
            member.note_all(needs)


@dataclass
class Level:
    """What one query shows to its expressions, and the query around it."""

    sources: list[Source] = field(default_factory=list)
    parent: Level | None = None

    def outwards(self) -> Iterator[Level]:
        level: Level | None = self
        while level is not None:
            yield level
            level = level.parent

    def named(self, name: str, schema: str = "") -> Source | None:
        """The innermost source of this name."""
        for level in self.outwards():
            for source in level.sources:
                if source.name == name and (not schema or source.schema == schema):
                    return source
        return None

    def has_column(self, column: str) -> bool:
        """On this level alone."""
        return any(source.may_have(column) for source in self.sources)

    def read_column(self, needs: Needs, column: str) -> None:
        """``column`` without a qualifier."""
        noted = False
        for level in self.outwards():
            found = [source for source in level.sources if source.may_have(column)]
            for source in found:
                source.note(needs, column)
            noted = noted or bool(found)
            if any(column in source.certain for source in found):
                return
            if column in SYSTEM_COLUMNS and level.sources:
                for source in level.sources:
                    source.note(needs, column)
                return
        whole = self.named(column)
        if whole is not None:
            whole.note_all(needs)
        elif not noted and not any(source.is_open for level in self.outwards() for source in level.sources):
            needs.missing(column)

    def read_qualified(self, needs: Needs, schema: str, name: str, column: str) -> None:
        """``name.column``, ``schema.name.column``."""
        source = self.named(name, schema)
        if source is None:
            needs.missing(f"{name}.{column}")
        elif column in source.certain or column in SYSTEM_COLUMNS or (source.may_have(column) and not source.is_strict):
            source.note(needs, column)
        elif source.is_strict:
            needs.missing(f"{name}.{column}")
        else:
            source.note_all(needs)

    def read_all_of(self, needs: Needs, schema: str, name: str) -> None:
        """``name.*``"""
        source = self.named(name, schema)
        if source is None:
            raise Forbidden(f"{name}.* names nothing that the FROM clause of this statement shows.")
        source.note_all(needs)

    def read_everything(self, needs: Needs) -> None:
        """``*``"""
        for source in self.sources:
            source.note_all(needs)


@dataclass(frozen=True)
class CommonTables:
    """The WITH queries that a name may mean, innermost first."""

    known: tuple[tuple[str, Source], ...] = ()

    def find(self, name: str) -> Source | None:
        return next((source for each, source in self.known if each == name), None)

    def with_one(self, name: str, source: Source) -> CommonTables:
        return CommonTables(((name, source), *self.known))
