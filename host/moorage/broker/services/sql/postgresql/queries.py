"""Reads queries and what changes rows: SELECT, VALUES, INSERT, UPDATE, DELETE, MERGE. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from moorage.broker.services.sql.postgresql.expressions import (
    Expressions,
    Node,
    check_operator,
    shown,
    texts,
    unwrapped,
)
from moorage.broker.services.sql.postgresql.from_clause import FromClause, renamed
from moorage.broker.services.sql.postgresql.needs import Needs
from moorage.broker.services.sql.postgresql.output import column_name
from moorage.broker.services.sql.postgresql.scopes import OPEN, CommonTables, Level, Source
from moorage_proto.sqlite_access import Forbidden

#: The names of a query's columns; OPEN in place of those that are not known for certain.
Columns = tuple[str, ...]

#: PostgreSQL's own bound.
MAX_COLUMNS = 1664


class Queries:
    """Of one statement."""

    def __init__(self, needs: Needs) -> None:
        self.needs = needs
        self.expressions = Expressions(needs, self)

    def query(self, node: Node, parent: Level | None, known: CommonTables) -> Columns:
        """The names of its columns. Raises Forbidden."""
        message = unwrapped(node)
        kind = "" if message is None else message.DESCRIPTOR.name
        read = self._READ.get(kind)
        if read is None:
            raise Forbidden(f"{shown(kind)} is not available to plugins here.")
        return read(self, message, parent, known)

    def table(self, node: Node) -> Source:
        """A table or view, to be read."""
        source = self._relation(node)
        if source.table:
            self.needs.read_rows(source.table)
        return renamed(source, node, self)

    def _relation(self, node: Node) -> Source:
        if node.catalogname:
            raise Forbidden("A name has at most a schema, a table and a column.")
        resource, found = self.needs.relation(node.schemaname, node.relname)
        if found is None:
            return Source(node.relname, table=resource, schema=node.schemaname, is_open=True)
        is_open = not found.columns
        # Of the information schema the columns may be unknown; it shows nothing that was not granted.
        return Source(
            node.relname,
            found.columns,
            frozenset(found.columns),
            table=resource,
            schema=found.schema,
            is_open=is_open,
            is_strict=not is_open,
        )

    def _select(self, node: Node, parent: Level | None, known: CommonTables) -> Columns:
        known = self.common(node, parent, known)
        if node.HasField("into_clause"):
            raise Forbidden("SELECT INTO is not available to plugins. Write CREATE TABLE ... AS with sql.define.")
        if node.HasField("larg"):
            names = self._select(node.larg, parent, known)
            self._select(node.rarg, parent, known)
            level = Level([], parent)
        else:
            level = FromClause(self, parent, known).read(node.from_clause)
            names = self._targets(node, level, known)
        read = self.expressions.read
        for field in ("where_clause", "having_clause", "limit_offset", "limit_count"):
            if node.HasField(field):
                read(getattr(node, field), level, known)
        self._sorted(node, level, known, frozenset(names))
        self.expressions.read_each(node.window_clause, level, known)
        for each in node.locking_clause:
            self._lock(texts_of_relations(each.locking_clause.locked_rels), level)
        return names

    def _sorted(self, node: Node, level: Level, known: CommonTables, outputs: frozenset[str]) -> None:
        """GROUP BY, DISTINCT ON and ORDER BY, in which a name may be that of an output column."""
        for each in node.group_clause:
            name = _bare_name(each)
            if not (name in outputs and not level.has_column(name)):
                self.expressions.read(each, level, known)
        for each in node.sort_clause:
            check_operator(each.sort_by.use_op)
        for each in (*node.distinct_clause, *node.sort_clause):
            if unwrapped(each) is not None and _bare_name(each) not in outputs:
                self.expressions.read(each, level, known)

    def _targets(self, node: Node, level: Level, known: CommonTables) -> Columns:
        if node.values_lists:
            self.expressions.read_each(node.values_lists, level, known)
            width = len(node.values_lists[0].list.items)
            return tuple(f"column{number + 1}" for number in range(width))
        # First: it is what refuses more columns than there can be.
        names = self._names(node.target_list, level)
        self.expressions.read_each(node.target_list, level, known)
        return names

    def _names(self, targets: Iterable[Node], level: Level) -> Columns:
        names: list[str] = []
        for target in targets:
            star = _star(target.res_target.val)
            if star is None:
                expands = _expands(target.res_target.val)
                names.append(OPEN if expands else target.res_target.name or column_name(target.res_target.val))
                continue
            named = level.named(star) if star else None
            for source in level.sources if not star else [named] if named is not None else []:
                names += source.shown_columns
            if len(names) > MAX_COLUMNS:
                raise Forbidden(f"A query has at most {MAX_COLUMNS} columns; this one has more.")
        return tuple(names)

    def _lock(self, names: list[str], level: Level) -> None:
        """FOR UPDATE and its like."""
        sources = [level.named(name) for name in names] if names else level.sources
        tables = [source.table for source in sources if source is not None and source.table]
        if len(tables) < len(sources):
            # What stands below a subquery is locked as well.
            tables += self.needs.tables_read
        for table in dict.fromkeys(tables):
            self.needs.lock(table)

    def common(self, node: Node, parent: Level | None, known: CommonTables) -> CommonTables:
        """With the queries of its WITH clause."""
        if not node.HasField("with_clause"):
            return known
        queries = [each.common_table_expr for each in node.with_clause.ctes]
        if node.with_clause.recursive:
            # Each may name any of them, itself too; what columns those have is not known yet.
            for query in queries:
                known = known.with_one(query.ctename, Source(query.ctename, is_open=True))
        for query in queries:
            if query.HasField("search_clause") or query.HasField("cycle_clause"):
                raise Forbidden("SEARCH and CYCLE are not available to plugins; keep the path in a column.")
            columns = self.query(query.ctequery, parent, known)
            named = tuple(texts(query.aliascolnames))
            certain = frozenset(named or columns) - {OPEN}
            source = Source(query.ctename, (*named, *columns), certain, is_open=OPEN in columns)
            known = known.with_one(query.ctename, source)
        return known

    def _insert(self, node: Node, parent: Level | None, known: CommonTables) -> Columns:
        known = self.common(node, parent, known)
        target = self._target(node.relation)
        self.needs.write(target.table)
        self.expressions.read_each(node.cols, Level(), known)
        if unwrapped(node.select_stmt) is not None:
            self.query(node.select_stmt, parent, known)
        level = Level([target], parent)
        if node.HasField("on_conflict_clause"):
            self._conflict(node.on_conflict_clause, target, known)
        return self._returning(node, level, known)

    def _conflict(self, node: Node, target: Source, known: CommonTables) -> None:
        level = Level([target])
        if node.HasField("infer"):
            if node.infer.conname:
                target.note_all(self.needs)
            for element in node.infer.index_elems:
                self._index_element(element.index_elem, level, known)
            if node.infer.HasField("where_clause"):
                self.expressions.read(node.infer.where_clause, level, known)
        excluded = Source("excluded", target.columns, target.certain, table=target.table, is_open=target.is_open)
        both = Level([target, excluded])
        self._assign(node.target_list, target, both, known)
        if node.HasField("where_clause"):
            self.expressions.read(node.where_clause, both, known)

    def _index_element(self, node: Node, level: Level, known: CommonTables) -> None:
        if node.name:
            level.read_column(self.needs, node.name)
        if node.HasField("expr"):
            self.expressions.read(node.expr, level, known)

    def _update(self, node: Node, parent: Level | None, known: CommonTables) -> Columns:
        known = self.common(node, parent, known)
        target = self._target(node.relation)
        clause = FromClause(self, parent, known, [target])
        level = clause.read(node.from_clause)
        self._assign(node.target_list, target, level, known)
        if node.HasField("where_clause"):
            self.expressions.read(node.where_clause, level, known)
        return self._returning(node, level, known)

    def _delete(self, node: Node, parent: Level | None, known: CommonTables) -> Columns:
        known = self.common(node, parent, known)
        target = self._target(node.relation)
        self.needs.write(target.table)
        level = FromClause(self, parent, known, [target]).read(node.using_clause)
        if node.HasField("where_clause"):
            self.expressions.read(node.where_clause, level, known)
        return self._returning(node, level, known)

    def _merge(self, node: Node, parent: Level | None, known: CommonTables) -> Columns:
        known = self.common(node, parent, known)
        target = self._target(node.relation)
        level = FromClause(self, parent, known, [target]).read([node.source_relation])
        self.expressions.read(node.join_condition, level, known)
        self.needs.read_rows(target.table)
        for each in node.merge_when_clauses:
            clause = each.merge_when_clause
            if clause.HasField("condition"):
                self.expressions.read(clause.condition, level, known)
            command = _command(clause)
            if command == "CMD_UPDATE":
                self._assign(clause.target_list, target, level, known)
            elif command in ("CMD_INSERT", "CMD_DELETE"):
                self.needs.write(target.table)
                self.expressions.read_each(clause.values, level, known)
            elif command != "CMD_NOTHING":
                raise Forbidden("Of MERGE there are INSERT, UPDATE, DELETE and DO NOTHING here.")
        return self._returning(node, level, known)

    def _assign(self, targets: Iterable[Node], target: Source, level: Level, known: CommonTables) -> None:
        for each in targets:
            self.needs.update(target.table, each.res_target.name)
            self.expressions.read(each, level, known)

    def _target(self, node: Node) -> Source:
        """Never a query of a WITH clause, whatever its name."""
        source = self._relation(node)
        if not source.table:
            raise Forbidden("The information schema cannot be written.")
        return renamed(source, node, self)

    def _returning(self, node: Node, level: Level, known: CommonTables) -> Columns:
        if not node.HasField("returning_clause"):
            return ()
        clause = node.returning_clause
        target = level.sources[0]
        before = [option.returning_option.value for option in clause.options] or ["old", "new"]
        versions = [
            Source(name, target.columns, frozenset(), table=target.table, is_open=target.is_open)
            for name in before
            if level.named(name) is None
        ]
        # Last: a column without a qualifier is never meant to be of a version.
        wider = Level(level.sources, Level(versions, level.parent))
        self.expressions.read_each(clause.exprs, wider, known)
        return self._names(clause.exprs, level)

    _READ: dict[str, Callable[[Queries, Any, Level | None, CommonTables], Columns]] = {
        "SelectStmt": _select,
        "InsertStmt": _insert,
        "UpdateStmt": _update,
        "DeleteStmt": _delete,
        "MergeStmt": _merge,
    }


def texts_of_relations(nodes: Iterable[Node]) -> list[str]:
    return [node.range_var.relname for node in nodes]


def _bare_name(node: Node) -> str:
    """Of a single name without a qualifier, as ORDER BY may have it; else empty."""
    message = unwrapped(node)
    if message is not None and message.DESCRIPTOR.name == "SortBy":
        message = unwrapped(message.node)
    if message is None or message.DESCRIPTOR.name != "ColumnRef" or len(message.fields) != 1:
        return ""
    return str(message.fields[0].string.sval)


def _star(node: Node) -> str | None:
    """Of ``*`` empty, of ``name.*`` the name; None: it is neither."""
    message = unwrapped(node)
    if message is None or message.DESCRIPTOR.name != "ColumnRef" or not message.fields[-1].HasField("a_star"):
        return None
    return str(message.fields[-2].string.sval) if len(message.fields) > 1 else ""


def _expands(node: Node) -> bool:
    """``(expression).*``: which columns come of it depends on its type."""
    message = unwrapped(node)
    if message is None or message.DESCRIPTOR.name != "A_Indirection":
        return False
    return bool(message.indirection[-1].HasField("a_star"))


def _command(clause: Node) -> str:
    values = type(clause).DESCRIPTOR.fields_by_name["command_type"].enum_type.values_by_number
    return str(values[clause.command_type].name)
