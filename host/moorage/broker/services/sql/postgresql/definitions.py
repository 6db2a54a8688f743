"""Reads what makes, changes and drops tables, views, indexes, sequences and enumerations. Pure.

In PostgreSQL a plugin defines in its own schema only: tables of the application belong to others, whatever is granted.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from moorage.broker.services.sql.postgresql.expressions import Node, shown, texts, unwrapped
from moorage.broker.services.sql.postgresql.queries import Queries
from moorage.broker.services.sql.postgresql.scopes import CommonTables, Level, Source
from moorage_proto.sqlite_access import Forbidden


class Definitions:
    """Of one statement."""

    def __init__(self, queries: Queries) -> None:
        self._queries = queries
        self._needs = queries.needs
        self._expressions = queries.expressions

    def read(self, kind: str, node: Node) -> bool:
        """Whether it was a definition. Raises Forbidden."""
        read = self._READ.get(kind)
        if read is not None:
            read(self, node)
        return read is not None

    def _made(self, node: Node) -> str:
        """A new relation's name."""
        if node.relpersistence == "t":
            raise Forbidden(_TEMPORARY)
        return self._defined(node.schemaname, node.relname, is_new=True)

    def _changed(self, node: Node) -> str:
        return self._defined(node.schemaname, node.relname)

    def _defined(self, schema: str, name: str, *, is_new: bool = False) -> str:
        resource, found = self._needs.relation(schema, name)
        if found is not None and found.of and not is_new:
            resource = found.of
        own = self._needs.facts.own
        place = schema or (found.schema if found is not None and not is_new else own)
        self._needs.define(resource)
        if not own:
            self._needs.forbid(_NO_SCHEMA)
        elif place != own:
            self._needs.forbid(
                f"{resource} is not of the installation's own schema. In PostgreSQL plugins make, change and drop "
                "tables there only; the application's are changed by the application."
            )
        return resource

    def _create_table(self, node: Node) -> None:
        if node.inh_relations or node.HasField("partspec") or node.HasField("partbound"):
            raise Forbidden("Inheritance and partitions are not available to plugins.")
        if node.HasField("of_typename") or node.options or node.tablespacename or node.access_method:
            raise Forbidden("Of CREATE TABLE plugins have columns and constraints, and no options of its storage.")
        self._made(node.relation)
        columns = tuple(each.column_def.colname for each in node.table_elts if each.HasField("column_def"))
        level = _alone(columns)
        for each in (*node.table_elts, *node.constraints):
            self._element(each, level)

    def _element(self, node: Node, level: Level) -> None:
        message = unwrapped(node)
        kind = "" if message is None else message.DESCRIPTOR.name
        if message is not None and kind == "ColumnDef":
            self._column(message, level)
        elif message is not None and kind == "Constraint":
            self._constraint(message, level)
        elif message is not None and kind == "TableLikeClause":
            self._queries.table(message.relation).note_all(self._needs)
        else:
            raise Forbidden(f"{shown(kind)} is not available to plugins.")

    def _column(self, node: Node, level: Level) -> None:
        self._type(node.type_name)
        if node.fdwoptions or node.storage_name or node.compression:
            raise Forbidden("Of a column plugins have type, default and constraints, and no options of its storage.")
        if node.HasField("raw_default"):
            self._expressions.read(node.raw_default, level, CommonTables())
        for each in node.constraints:
            self._constraint(each.constraint, level)

    def _type(self, node: Node) -> None:
        self._expressions.type_name(node)
        self._expressions.read_each(node.typmods, Level(), CommonTables())

    def _constraint(self, node: Node, level: Level) -> None:
        if node.indexspace or node.access_method or node.exclusions or node.indexname:
            raise Forbidden("EXCLUDE, USING INDEX and tablespaces are not available to plugins.")
        if node.HasField("raw_expr"):
            self._expressions.read(node.raw_expr, level, CommonTables())
        if node.HasField("pktable"):
            self._needs.refer(self._needs.relation(node.pktable.schemaname, node.pktable.relname)[0])
        self._options(node.options, _IDENTITY)

    def _options(self, options: Iterable[Node], known: frozenset[str]) -> None:
        for option in options:
            if option.def_elem.defname not in known:
                raise Forbidden(f"The option {option.def_elem.defname} is not available to plugins.")

    def _create_table_as(self, node: Node) -> None:
        if _value(node, "objtype") not in ("OBJECT_TABLE", "OBJECT_MATVIEW") or node.is_select_into:
            raise Forbidden("SELECT INTO is not available to plugins. Write CREATE TABLE ... AS with sql.define.")
        into = node.into
        if into.options or into.access_method or into.table_space_name:
            raise Forbidden("Of CREATE TABLE ... AS plugins have no options of its storage.")
        self._queries.query(node.query, None, CommonTables())
        self._made(into.rel)

    def _create_view(self, node: Node) -> None:
        self._queries.query(node.query, None, CommonTables())
        self._made(node.view)
        self._options(node.options, frozenset({"check_option", "security_barrier", "security_invoker"}))

    def _create_index(self, node: Node) -> None:
        if node.concurrent:
            raise Forbidden("CREATE INDEX CONCURRENTLY is not available to plugins, as it cannot be rolled back.")
        if node.options or node.table_space:
            raise Forbidden("Of CREATE INDEX plugins have no options of its storage.")
        self._changed(node.relation)
        level = self._of(node.relation)
        for each in (*node.index_params, *node.index_including_params):
            element = each.index_elem
            if element.HasField("expr"):
                self._expressions.read(element.expr, level, CommonTables())
        if node.HasField("where_clause"):
            self._expressions.read(node.where_clause, level, CommonTables())

    def _of(self, node: Node) -> Level:
        """The columns of a table of the installation's own, for expressions of its indexes and constraints."""
        _, found = self._needs.relation(node.schemaname, node.relname)
        return Level([Source(node.relname, is_open=True)]) if found is None else _alone(found.columns)

    def _alter_table(self, node: Node) -> None:
        self._changed(node.relation)
        level = Level([*self._of(node.relation).sources, Source("", is_open=True)])
        for each in node.cmds:
            command = each.alter_table_cmd
            kind = _value(command, "subtype")
            if kind not in _ALTERATIONS:
                raise Forbidden(f"ALTER TABLE cannot {kind.removeprefix('AT_')} for plugins.")
            change = unwrapped(getattr(command, "def"))
            if change is None:
                continue
            if change.DESCRIPTOR.name in ("ColumnDef", "Constraint"):
                self._element(change, level)
            elif kind == "AT_SetIdentity":
                self._options(getattr(command, "def").list.items, _IDENTITY)
            else:
                self._expressions.read(change, level, CommonTables())

    def _rename(self, node: Node) -> None:
        kind = _value(node, "rename_type")
        if kind not in _RENAMED:
            raise Forbidden(f"{kind.removeprefix('OBJECT_')} is not renamed by plugins.")
        self._changed(node.relation)
        if kind in _RENAMED_WHOLE:
            self._defined(self._needs.facts.own, node.newname, is_new=True)

    def _drop(self, node: Node) -> None:
        kind = _value(node, "remove_type")
        if kind not in _DROPPED or node.concurrent:
            raise Forbidden(f"{kind.removeprefix('OBJECT_')} is not dropped by plugins.")
        for each in node.objects:
            names = texts(each.type_name.names) if each.HasField("type_name") else texts(each.list.items)
            if len(names) > 2:
                raise Forbidden("A name has at most a schema, a table and a column.")
            self._defined(names[0] if len(names) == 2 else "", names[-1])

    def _truncate(self, node: Node) -> None:
        for each in node.relations:
            resource, found = self._needs.relation(each.range_var.schemaname, each.range_var.relname)
            self._needs.write(resource)
            if found is not None and found.schema != self._needs.facts.own:
                self._needs.forbid(
                    f"{resource} is not of the installation's own schema: write DELETE in place of TRUNCATE."
                )

    def _create_sequence(self, node: Node) -> None:
        self._made(node.sequence)
        self._sequence_options(node.options)

    def _alter_sequence(self, node: Node) -> None:
        self._changed(node.sequence)
        self._sequence_options(node.options)

    def _sequence_options(self, options: Iterable[Node]) -> None:
        self._options(options, _IDENTITY | {"as", "owned_by"})
        for option in options:
            if option.def_elem.defname == "as":
                self._expressions.type_name(option.def_elem.arg.type_name)
            elif option.def_elem.defname == "owned_by":
                names = texts(option.def_elem.arg.list.items)
                if names != ["none"]:
                    self._defined(names[0] if len(names) == 3 else "", names[-2] if len(names) > 1 else "")

    def _create_enumeration(self, node: Node) -> None:
        self._named_type(node, is_new=True)

    def _alter_enumeration(self, node: Node) -> None:
        self._named_type(node)

    def _named_type(self, node: Node, *, is_new: bool = False) -> None:
        names = texts(node.type_name)
        self._defined(names[0] if len(names) == 2 else "", names[-1], is_new=is_new)

    def _comment(self, node: Node) -> None:
        kind = _value(node, "objtype")
        if kind not in _COMMENTED:
            raise Forbidden("Plugins comment on tables, views, columns, constraints, indexes and sequences.")
        names = texts(node.object.list.items)
        names = names[:-1] if kind in ("OBJECT_COLUMN", "OBJECT_TABCONSTRAINT") else names
        self._defined(names[0] if len(names) == 2 else "", names[-1])

    _READ: dict[str, Callable[[Definitions, Any], None]] = {
        "AlterEnumStmt": _alter_enumeration,
        "AlterSeqStmt": _alter_sequence,
        "AlterTableStmt": _alter_table,
        "CommentStmt": _comment,
        "CreateEnumStmt": _create_enumeration,
        "CreateSeqStmt": _create_sequence,
        "CreateStmt": _create_table,
        "CreateTableAsStmt": _create_table_as,
        "DropStmt": _drop,
        "IndexStmt": _create_index,
        "RenameStmt": _rename,
        "TruncateStmt": _truncate,
        "ViewStmt": _create_view,
    }


def _alone(columns: tuple[str, ...]) -> Level:
    """Columns of the table that is made: using them in its own constraints needs nothing."""
    return Level([Source("", columns, frozenset(columns), is_open=True)])


def _value(message: Node, field: str) -> str:
    """Of an enumeration its name."""
    descriptor = type(message).DESCRIPTOR.fields_by_name[field]
    return str(descriptor.enum_type.values_by_number[getattr(message, field)].name)


_TEMPORARY = (
    "Temporary tables are not available to plugins. Use a common table expression, or a table of your own with "
    "sql.define."
)
_NO_SCHEMA = (
    "There is no schema for tables of plugins in this database. The host makes one for an installation with a right to "
    "sql.define, where the database has a role for each installation (mode managed or provided)."
)

_COMMENTED = frozenset(
    {
        "OBJECT_COLUMN",
        "OBJECT_INDEX",
        "OBJECT_SEQUENCE",
        "OBJECT_TABCONSTRAINT",
        "OBJECT_TABLE",
        "OBJECT_VIEW",
    }
)
_IDENTITY = frozenset(
    {"start", "increment", "minvalue", "maxvalue", "cache", "cycle", "restart", "generated", "sequence_name"}
)
_ALTERATIONS = frozenset(
    {
        "AT_AddColumn",
        "AT_AddConstraint",
        "AT_AddIdentity",
        "AT_AlterColumnType",
        "AT_ColumnDefault",
        "AT_DropColumn",
        "AT_DropConstraint",
        "AT_DropExpression",
        "AT_DropIdentity",
        "AT_DropNotNull",
        "AT_SetExpression",
        "AT_SetIdentity",
        "AT_SetNotNull",
        "AT_ValidateConstraint",
    }
)
_RENAMED_WHOLE = frozenset({"OBJECT_TABLE", "OBJECT_VIEW", "OBJECT_INDEX", "OBJECT_SEQUENCE"})
_RENAMED = _RENAMED_WHOLE | {"OBJECT_COLUMN", "OBJECT_TABCONSTRAINT"}
_DROPPED = frozenset(
    {"OBJECT_TABLE", "OBJECT_VIEW", "OBJECT_MATVIEW", "OBJECT_INDEX", "OBJECT_SEQUENCE", "OBJECT_TYPE"}
)
