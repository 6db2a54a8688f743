"""PostgreSQL's words for types and constraints, read. Pure."""

from __future__ import annotations

import re
from typing import Any, Callable, Dict, List, Optional, Tuple

from sqlalchemy import types as sqltypes
from sqlalchemy import util
from sqlalchemy.dialects import postgresql

#: A type of the database's own, by the name that format_type() gives it; None: there is none.
Named = Callable[[str], Optional[Any]]

_ARGUMENTS = re.compile(r"\(([^)]*)\)")
_ARRAY = re.compile(r"(?:\[\])+$")
_REFERENCE = re.compile(r"REFERENCES (?:(\"(?:[^\"]|\"\")+\"|\w+)\.)?(?:\"(?:[^\"]|\"\")+\"|\w+)\s*\(")
_RULE = r"(NO ACTION|RESTRICT|CASCADE|SET NULL(?: \([^)]*\))?|SET DEFAULT(?: \([^)]*\))?)"
_CHECK = re.compile(r"CHECK \((.+)\)( NO INHERIT)?( NOT VALID)?$", re.DOTALL)
_PARENTHESES = re.compile(r"'(?:[^']|'')*'|\"(?:[^\"]|\"\")*\"|[()]")
_SEQUENCE = re.compile(r"(nextval\(')([^']+)('.*$)")


def column_type(ischema_names: Dict[str, Any], text: str, column: str, collation: str, named: Named) -> Any:
    """The type that ``format_type()`` describes so: of SQLAlchemy's class for it, or one of the database's own."""
    plain = _ARRAY.sub("", text)
    found = _ARGUMENTS.search(plain)
    arguments = [part.strip() for part in found[1].split(",")] if found else []
    name = _ARGUMENTS.sub("", plain)
    made = _builtin(ischema_names, name, arguments, collation)
    if made is None:
        made = named(name)
    if made is None:
        util.warn(f"Did not recognize type '{name}' of column '{column}'")
        return sqltypes.NULLTYPE
    return made if plain == text else postgresql.ARRAY(made)


def _builtin(ischema_names: Dict[str, Any], name: str, arguments: List[str], collation: str) -> Optional[Any]:
    if name == "interval" or name.startswith("interval "):
        fields = name[len("interval ") :] or None
        return postgresql.INTERVAL(fields=fields, precision=_number(arguments))
    kind = ischema_names.get(name.lower())
    if kind is None:
        return None
    if name in ("numeric", "character varying", "character", "bit"):
        made = kind(*map(int, arguments))
    elif name == "bit varying":
        made = kind(*map(int, arguments), varying=True)
    elif name == "double precision":
        made = kind(53)
    elif name.startswith(("timestamp", "time")):
        made = kind(timezone=name.endswith("with time zone"), precision=_number(arguments))
    else:
        made = kind(*arguments)
    if collation:
        made.collation = collation
    return made


def _number(arguments: List[str]) -> Optional[int]:
    return int(arguments[0]) if arguments else None


def unquoted(name: str) -> Tuple[str, ...]:
    """A name, with its schema's where it has one, as ``format_type()`` writes it."""
    parts = re.findall(r"\"((?:[^\"]|\"\")+)\"|([^.\"]+)", name)
    return tuple(quoted.replace('""', '"') or bare for quoted, bare in parts)


def names_schema(definition: str) -> bool:
    """Whether a foreign key's table is not found without its schema's name."""
    found = _REFERENCE.search(definition)
    return found is not None and found[1] is not None


def foreign_key_options(definition: str) -> Dict[str, Any]:
    """As SQLAlchemy's inspector tells them: what is not the default."""
    tail = definition[definition.rfind("REFERENCES") :]
    options: Dict[str, Any] = {}
    for name, pattern in (("onupdate", f"ON UPDATE {_RULE}"), ("ondelete", f"ON DELETE {_RULE}")):
        rule = re.search(pattern, tail)
        if rule is not None and rule[1] != "NO ACTION":
            options[name] = rule[1]
    initially = re.search(r"INITIALLY (DEFERRED|IMMEDIATE)", tail)
    if initially is not None:
        options["initially"] = initially[1]
    if "DEFERRABLE" in tail:
        options["deferrable"] = "NOT DEFERRABLE" not in tail
    match = re.search(r"MATCH (FULL|PARTIAL|SIMPLE)", tail)
    if match is not None:
        options["match"] = match[1]
    return options


def check(definition: str) -> Tuple[str, Dict[str, Any]]:
    """The condition, and the options of PostgreSQL's own."""
    found = _CHECK.match(definition)
    if found is None:
        util.warn(f"Could not parse CHECK constraint text: {definition!r}")
        return "", {}
    options = {"no_inherit": True} if found[2] else {}
    if found[3]:
        options["not_valid"] = True
    return _unwrapped(found[1]), options


def _unwrapped(condition: str) -> str:
    """Without parentheses around the whole of it."""
    stripped = condition.strip()
    if not (stripped.startswith("(") and stripped.endswith(")")):
        return condition
    depth = 0
    for token in _PARENTHESES.finditer(stripped):
        depth += {"(": 1, ")": -1}.get(token[0], 0)
        if depth == 0 and token.end() < len(stripped):
            return condition
    return stripped[1:-1]


def qualified_default(default: str, schema: Optional[str]) -> Tuple[str, bool]:
    """A column's default with the schema of the sequence it takes, and whether it takes one."""
    found = _SEQUENCE.search(default)
    if found is None:
        return default, False
    if "." not in found[2] and schema is not None:
        default = f'{found[1]}"{schema}".{found[2]}{found[3]}'
    return default, True
