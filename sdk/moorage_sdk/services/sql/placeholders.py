"""A statement's placeholders, as plugins write them, to those that the database takes. Pure.

SQLite: ``?``, and ``:name`` with a mapping, as in the ``sqlite3`` module. PostgreSQL: ``%s``, and ``%(name)s`` with a
mapping, with ``%%`` for a percent sign, as in psycopg; or PostgreSQL's own ``$1``. Without parameters a statement is
sent as it stands.
"""

from __future__ import annotations

import functools
import re
from typing import Any, Dict, List, Mapping, Optional, Sequence, Tuple, Union

from moorage_sdk.services.sql.errors import misused

Parameters = Union[Sequence[Any], Mapping[str, Any], None]

#: A statement as it is sent, and where each of its parameters comes from: a name, or None for the next one.
Template = Tuple[str, Tuple[Optional[str], ...]]

_PERCENT = re.compile(r"%(?:\((?P<name>[^)]*)\))?(?P<kind>.|$)", re.DOTALL)
_NUMBERED = re.compile(r"\$\d")

#: What stands in texts, quoted names and comments is none of SQLite's parameters.
_SQLITE = re.compile(
    r"""
    '(?:[^']|'')*' | "(?:[^"]|"")*" | `(?:[^`]|``)*` | \[[^\]]*\]
    | --[^\n]* | /\*.*?(?:\*/|\Z)
    | [:@$](?P<name>[A-Za-z_]\w*)
    """,
    re.DOTALL | re.VERBOSE,
)


def filled(paramstyle: str, statement: str, parameters: Parameters) -> Tuple[str, Sequence[Any]]:
    """What is sent of one statement. ``paramstyle`` is the backend's, as the host tells it.

    Raises ProgrammingError when parameters and placeholders do not fit each other.
    """
    if parameters is None:
        return statement, ()
    sent, names = template(paramstyle, statement, parameters)
    return sent, arranged(names, parameters)


def template(paramstyle: str, statement: str, parameters: Parameters) -> Template:
    """For parameters of this kind. No names at all: a sequence is sent as it is."""
    named = isinstance(parameters, Mapping)
    if paramstyle == "qmark":
        return _of_sqlite(statement) if named else (statement, ())
    if paramstyle == "numeric_dollar":
        return _of_postgresql(statement, named)
    if named:
        raise misused("Parameters of this database are a sequence, not a mapping.")
    return statement, ()


def arranged(names: Tuple[Optional[str], ...], parameters: Parameters) -> Sequence[Any]:
    """In the order in which they are sent."""
    if isinstance(parameters, Mapping):
        try:
            return [parameters[name or ""] for name in names]
        except KeyError as missing:
            raise misused(f"The statement has the parameter {missing.args[0]!r}, which the mapping lacks.") from None
    if parameters is None or isinstance(parameters, (str, bytes)) or not hasattr(parameters, "__iter__"):
        raise misused("Parameters are a sequence, one for each placeholder, or a mapping by their names.")
    listed = parameters if isinstance(parameters, (list, tuple)) else list(parameters)
    if names and len(names) != len(listed):
        raise misused(f"The statement has {len(names)} placeholders, and {len(listed)} parameters were given.")
    return listed


@functools.lru_cache(maxsize=512)
def _of_sqlite(statement: str) -> Template:
    names: List[Optional[str]] = []

    def mark(found: re.Match[str]) -> str:
        if found["name"] is None:
            return found[0]
        names.append(found["name"])
        return "?"

    return _SQLITE.sub(mark, statement), tuple(names)


@functools.lru_cache(maxsize=512)
def _of_postgresql(statement: str, named: bool) -> Template:
    marks = [found for found in _PERCENT.finditer(statement) if found["kind"] in ("s", "b", "t")]
    if not named and not marks and _NUMBERED.search(statement):
        # PostgreSQL's own placeholders, among which a percent sign is one.
        return statement, ()
    names: List[Optional[str]] = []
    numbers: Dict[str, int] = {}

    def number(found: re.Match[str]) -> str:
        kind, name = found["kind"], found["name"]
        if kind == "%" and name is None:
            return "%"
        if kind not in ("s", "b", "t") or not kind:
            raise misused(
                f"Placeholders are %s and %(name)s, and a percent sign is %%; the statement has {found[0]!r}."
            )
        if (name is not None) != named:
            wanted = "%(name)s, as a mapping was given" if named else "%s, as a sequence was given"
            raise misused(f"Placeholders have to be {wanted}; the statement has {found[0]!r}.")
        if name is None:
            names.append(None)
            return f"${len(names)}"
        if name not in numbers:
            names.append(name)
            numbers[name] = len(names)
        return f"${numbers[name]}"

    sent = _PERCENT.sub(number, statement)
    return sent, tuple(names)
