"""The names that PostgreSQL gives to columns without an alias. Pure.

https://github.com/postgres/postgres/blob/REL_18_STABLE/src/backend/parser/parse_target.c (FigureColnameInternal)
"""

from __future__ import annotations

from collections.abc import Callable

from moorage.broker.services.sql.postgresql.expressions import Node, texts, unwrapped

UNNAMED = "?column?"

#: The name, and how good it is: 2 of a column or function, 1 of a type, 0 none.
Named = tuple[str, int]

_FIXED = {
    "A_ArrayExpr": "array",
    "CoalesceExpr": "coalesce",
    "GroupingFunc": "grouping",
    "RowExpr": "row",
}


def column_name(node: Node) -> str:
    return _named(node)[0] or UNNAMED


def _named(node: Node) -> Named:
    message = unwrapped(node)
    if message is None:
        return "", 0
    kind = message.DESCRIPTOR.name
    if kind in _FIXED:
        return _FIXED[kind], 2
    name = _NAMES.get(kind)
    return name(message) if name is not None else ("", 0)


def _of_column(message: Node) -> Named:
    return next(reversed([each.string.sval for each in message.fields if each.HasField("string")]), ""), 2


def _of_indirection(message: Node) -> Named:
    names = [step.string.sval for step in message.indirection if step.HasField("string")]
    return (names[-1], 2) if names else _named(message.arg)


def _of_cast(message: Node) -> Named:
    found = _named(message.arg)
    return found if found[1] == 2 else (texts(message.type_name.names)[-1], 1)


def _of_case(message: Node) -> Named:
    found = _named(message.defresult)
    return found if found[1] == 2 else ("case", 1)


def _of_operator(message: Node) -> Named:
    return ("nullif", 2) if _value(message, "kind") == "AEXPR_NULLIF" else ("", 0)


def _of_sublink(message: Node) -> Named:
    kind = _value(message, "sub_link_type")
    if kind == "EXISTS_SUBLINK":
        return "exists", 2
    if kind == "ARRAY_SUBLINK":
        return "array", 2
    if kind == "EXPR_SUBLINK":
        select = message.subselect.select_stmt
        while select.HasField("larg"):
            select = select.larg
        if not select.target_list:
            return "column1", 2
        target = select.target_list[0].res_target
        return (target.name, 2) if target.name else _named(target.val)
    return "", 0


def _value(message: Node, field: str) -> str:
    """Of an enumeration its name."""
    descriptor = type(message).DESCRIPTOR.fields_by_name[field]
    return str(descriptor.enum_type.values_by_number[getattr(message, field)].name)


#: Of kinds of nodes that have a name, or take that of what is in them.
_NAMES: dict[str, Callable[[Node], Named]] = {
    "A_Expr": _of_operator,
    "A_Indirection": _of_indirection,
    "CaseExpr": _of_case,
    "CollateClause": lambda message: _named(message.arg),
    "ColumnRef": _of_column,
    "FuncCall": lambda message: (texts(message.funcname)[-1], 2),
    "MinMaxExpr": lambda message: (_value(message, "op").removeprefix("IS_").lower(), 2),
    "SQLValueFunction": lambda message: (_value(message, "op").removeprefix("SVFOP_").removesuffix("_N").lower(), 2),
    "SubLink": _of_sublink,
    "TypeCast": _of_cast,
}
