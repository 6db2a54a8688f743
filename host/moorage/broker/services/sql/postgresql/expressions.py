"""Reads expressions of PostgreSQL's parse tree: what they touch, and that nothing is in them that is not known. Pure.

Every kind of node that may stand in an expression is listed with the fields that are read; a node or a field that is
not listed is refused. The tree is that of PostgreSQL's own grammar (libpg_query).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, Protocol

from moorage.broker.services.sql.postgresql.functions import FUNCTIONS, SEQUENCE_FUNCTIONS, TYPES
from moorage.broker.services.sql.postgresql.needs import Needs
from moorage.broker.services.sql.postgresql.scopes import CommonTables, Level
from moorage_proto.sqlite_access import Forbidden

#: A message of the parse tree.
Node = Any


class Queries(Protocol):
    """Reads queries within expressions."""

    def query(self, node: Node, parent: Level | None, known: CommonTables) -> object: ...


class Expressions:
    def __init__(self, needs: Needs, queries: Queries) -> None:
        self._needs = needs
        self._queries = queries

    def read_each(self, nodes: Iterable[Node], level: Level, known: CommonTables) -> None:
        for node in nodes:
            self.read(node, level, known)

    def read(self, node: Node, level: Level, known: CommonTables) -> None:
        """Raises Forbidden."""
        message = unwrapped(node)
        if message is None:
            return
        kind = message.DESCRIPTOR.name
        special = self._SPECIAL.get(kind)
        if special is not None:
            special(self, message, level, known)
            return
        if kind not in _FIELDS:
            raise Forbidden(f"{shown(kind)} is not available to plugins.")
        for field, value in message.ListFields():
            if field.name in _DATA:
                continue
            if field.name not in _FIELDS[kind]:
                raise Forbidden(f"{field.name} of {shown(kind)} is not available to plugins.")
            if field.message_type is not None:
                self.read_each(_several(value), level, known)

    def type_name(self, name: Node) -> None:
        """Raises Forbidden for types that tell of the schema, and for row types of tables."""
        parts = texts(name.names)
        if name.setof or name.pct_type or not parts:
            raise Forbidden("SETOF and %TYPE are not available to plugins; name the type itself.")
        schema, plain = ".".join(parts[:-1]), parts[-1]
        if schema in ("", "pg_catalog") and plain in TYPES:
            return
        if len(parts) > 2 or not self._needs.facts.has_type(schema, plain):
            raise Forbidden(
                f"The type {plain} is not available to plugins: those are PostgreSQL's own for values, and the "
                "database's enumerations, domains and extension types."
            )

    def _column(self, node: Node, level: Level, _: CommonTables) -> None:
        fields = [unwrapped(field) for field in node.fields]
        parts = [field.sval for field in fields if field.DESCRIPTOR.name == "String"]
        if len(parts) < len(fields):
            if len(parts) == 0:
                level.read_everything(self._needs)
            elif len(parts) <= 2:
                level.read_all_of(self._needs, parts[0] if len(parts) == 2 else "", parts[-1])
            else:
                raise Forbidden("A name has at most a schema, a table and a column.")
        elif len(parts) == 1:
            level.read_column(self._needs, parts[0])
        elif len(parts) <= 3:
            level.read_qualified(self._needs, parts[0] if len(parts) == 3 else "", parts[-2], parts[-1])
        else:
            raise Forbidden("A name has at most a schema, a table and a column.")

    def function(self, node: Node, level: Level, known: CommonTables) -> None:
        name = function_name(node)
        arguments = node.args
        if name in SEQUENCE_FUNCTIONS:
            self._sequence(name, node)
            arguments = node.args[1:]
        elif name not in FUNCTIONS:
            raise Forbidden(f"The function {name}() is not available to plugins.")
        self.read_each(arguments, level, known)
        self.read_each(node.agg_order, level, known)
        if node.HasField("agg_filter"):
            self.read(node.agg_filter, level, known)
        if node.HasField("over"):
            self.read(node.over, level, known)

    def _sequence(self, function: str, node: Node) -> None:
        first = _constant(node.args[0]) if node.args else None
        if first is None:
            raise Forbidden(f"{function}() takes the name of its sequence as a constant text here.")
        parts = sequence_parts(first)
        resource, found = self._needs.relation(*parts)
        belongs_to = found.of if found is not None else ""
        self._needs.sequence(SEQUENCE_FUNCTIONS[function], belongs_to or resource)

    def _cast(self, node: Node, level: Level, known: CommonTables) -> None:
        self.type_name(node.type_name)
        self.read_each(node.type_name.typmods, level, known)
        self.read(node.arg, level, known)

    def _sublink(self, node: Node, level: Level, known: CommonTables) -> None:
        check_operator(node.oper_name)
        if node.HasField("testexpr"):
            self.read(node.testexpr, level, known)
        self._queries.query(node.subselect, level, known)

    def _operator(self, node: Node, level: Level, known: CommonTables) -> None:
        check_operator(node.name)
        for side in ("lexpr", "rexpr"):
            if node.HasField(side):
                self.read(getattr(node, side), level, known)

    def _sort(self, node: Node, level: Level, known: CommonTables) -> None:
        check_operator(node.use_op)
        self.read(node.node, level, known)

    def _indirection(self, node: Node, level: Level, known: CommonTables) -> None:
        """``(expression).name`` calls a function of that name where the expression has no such field."""
        for step in node.indirection:
            message = unwrapped(step)
            if message.DESCRIPTOR.name == "String" and message.sval not in FUNCTIONS:
                raise Forbidden(
                    f"(...).{message.sval} is not available to plugins: PostgreSQL may take it for a function. Name "
                    "the column as table.column."
                )
            if message.DESCRIPTOR.name != "String":
                self.read(step, level, known)
        self.read(node.arg, level, known)

    def _target(self, node: Node, level: Level, known: CommonTables) -> None:
        self.read_each((step for step in node.indirection if step.HasField("a_indices")), level, known)
        if node.HasField("val"):
            self.read(node.val, level, known)

    def _present(self, node: Node, *_: object) -> None:
        """CURRENT_DATE and its like."""
        name = type(node).DESCRIPTOR.fields_by_name["op"].enum_type.values_by_number[node.op].name
        if name.removeprefix("SVFOP_") not in _PRESENT:
            raise Forbidden(f"{name.removeprefix('SVFOP_')} is not available to plugins: it names the host's role.")

    _SPECIAL: dict[str, Callable[[Expressions, Any, Level, CommonTables], None]] = {
        "A_Expr": _operator,
        "A_Indirection": _indirection,
        "ColumnRef": _column,
        "FuncCall": function,
        "ResTarget": _target,
        "SQLValueFunction": _present,
        "SortBy": _sort,
        "SubLink": _sublink,
        "TypeCast": _cast,
    }


def unwrapped(node: Node) -> Any:
    """What a Node is: exactly one of its fields is set, or none: None. Messages of other types are themselves."""
    if node.DESCRIPTOR.name != "Node":
        return node
    kind = node.WhichOneof("node")
    return None if kind is None else getattr(node, kind)


def texts(nodes: Iterable[Node]) -> list[str]:
    return [node.string.sval for node in nodes]


def function_name(node: Node) -> str:
    """Raises Forbidden for functions of other schemas than PostgreSQL's own."""
    parts = texts(node.funcname)
    if len(parts) == 1 or (len(parts) == 2 and parts[0] == "pg_catalog"):
        return parts[-1]
    raise Forbidden(f"The function {'.'.join(parts)}() is not available to plugins: only PostgreSQL's own are.")


def check_operator(name: Sequence[Node]) -> None:
    """``OPERATOR(schema.+)`` might be anybody's."""
    parts = texts(name)
    if len(parts) > 1 and parts[0] != "pg_catalog":
        raise Forbidden(f"The operator {'.'.join(parts)} is not available to plugins; write it without a schema.")


def sequence_parts(text: str) -> tuple[str, str]:
    """Schema and name, as PostgreSQL reads the text of a regclass: ``orders_id_seq``, ``"Odd"."name"``."""
    parts: list[str] = []
    rest = text
    while True:
        if rest.startswith('"'):
            end = 1
            while end < len(rest) and (rest[end] != '"' or rest[end : end + 2] == '""'):
                end += 2 if rest[end] == '"' else 1
            parts.append(rest[1:end].replace('""', '"'))
            rest = rest[end + 1 :]
        else:
            plain, dot, after = rest.partition(".")
            parts.append(plain.lower())
            rest = dot + after
        if not rest.startswith("."):
            break
        rest = rest[1:]
    bad = rest or not all(parts) or len(parts) > 2 or any(part != part.strip() or part.isdigit() for part in parts)
    if bad or not text.isascii():
        raise Forbidden(f"{text!r} is no name of a sequence.")
    return ("", parts[0]) if len(parts) == 1 else (parts[0], parts[1])


def shown(kind: str) -> str:
    """A node's name for people: ``CopyStmt``, ``A_ArrayExpr``."""
    plain = kind.removeprefix("A_").removesuffix("Stmt").removesuffix("Expr")
    return "".join(f" {letter}" if letter.isupper() and index else letter for index, letter in enumerate(plain)).upper()


def _constant(node: Node) -> str | None:
    message = unwrapped(node)
    if message is not None and message.DESCRIPTOR.name == "TypeCast":
        parts = texts(message.type_name.names)
        if parts[-1:] != ["regclass"]:
            return None
        message = unwrapped(message.arg)
    if message is None or message.DESCRIPTOR.name != "A_Const" or message.WhichOneof("val") != "sval":
        return None
    return str(message.sval.sval)


def _several(value: Any) -> Iterable[Node]:
    return value if not hasattr(value, "DESCRIPTOR") else (value,)


_PRESENT = frozenset(
    {
        "CURRENT_DATE",
        "CURRENT_TIME",
        "CURRENT_TIME_N",
        "CURRENT_TIMESTAMP",
        "CURRENT_TIMESTAMP_N",
        "LOCALTIME",
        "LOCALTIME_N",
        "LOCALTIMESTAMP",
        "LOCALTIMESTAMP_N",
        "CURRENT_SCHEMA",
    }
)

#: Numbers, names and options that touch nothing, under the same name wherever they stand.
_DATA = frozenset({"location", "list_start", "list_end", "rexpr_list_start", "rexpr_list_end", "xpr"})

#: Of each node the fields that are read, and those that hold no node and say nothing of the schema.
_FIELDS: dict[str, frozenset[str]] = {
    name: frozenset(fields.split())
    for name, fields in {
        "A_ArrayExpr": "elements",
        "A_Const": "ival fval boolval sval bsval isnull",
        "A_Indices": "is_slice lidx uidx",
        "A_Star": "",
        "BitString": "bsval",
        "BoolExpr": "boolop args",
        "Boolean": "boolval",
        "BooleanTest": "arg booltesttype",
        "CaseExpr": "arg args defresult",
        "CaseWhen": "expr result",
        "CoalesceExpr": "args",
        "CollateClause": "arg collname",
        "Float": "fval",
        "GroupingFunc": "args",
        "GroupingSet": "kind content",
        "Integer": "ival",
        "List": "items",
        "MinMaxExpr": "op args",
        "MultiAssignRef": "source colno ncolumns",
        "NamedArgExpr": "arg name argnumber",
        "NullTest": "arg nulltesttype argisrow",
        "ParamRef": "number",
        "RowExpr": "args row_format colnames",
        "SetToDefault": "",
        "String": "sval",
        "WindowDef": "name refname partition_clause order_clause frame_options start_offset end_offset",
    }.items()
}
