"""What SQLite's authorizer reports, translated to rights. Pure; the host's SQL service and the testing kit share it.

SQLite names every table and column that a statement touches, also through views, triggers, foreign keys and subqueries,
while it compiles the statement. That list decides, never the statement's text. Default is no: an action, function or
pragma that is not known here is refused. Views carry no rights of their own: the tables below them decide, so that a
view made by a plugin opens nothing. The authorizer's fifth argument, the view or trigger through which something is
reached, is left unread on purpose: a common table expression can give itself any name there.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Dict, FrozenSet, Iterable, List, Mapping, Optional, Protocol, Set, Tuple

from moorage_proto import capability
from moorage_proto.capability import ROWS_ALONE, Capability, Decision
from moorage_proto.sqlite_codes import Action, Code
from moorage_proto.sqlite_functions import FUNCTIONS

READ = "sql.read"
WRITE = "sql.write"
DEFINE = "sql.define"

#: SQL function of the host: a JSON array of what the caller may see of the schema table.
SCHEMA_FUNCTION = "moorage_schema"

#: Tables whose names begin so are the host's.
RESERVED_PREFIX = "moorage_"


@dataclass(frozen=True)
class SchemaObject:
    """A table, view or index as the schema declares it."""

    #: "table", "view" or "index".
    type: str
    name: str
    #: Of an index, its table; else the name itself.
    table: str


@dataclass(frozen=True)
class AccessNeed:
    """A right that a statement needs; of several verbs, any one will do."""

    verbs: Tuple[str, ...]
    table: str
    columns: Tuple[str, ...] = ()


class Forbidden(Exception):
    """What no grant allows; ``str()`` is the sentence."""


class Decider(Protocol):
    """The part of a guard that is needed here."""

    def decide(self, need: Capability) -> Decision: ...

    def covers(self, need: Capability) -> bool: ...


def needs_of(actions: Iterable[Action], objects: Optional[Mapping[str, SchemaObject]] = None) -> Tuple[AccessNeed, ...]:
    """The rights that a statement with these actions needs.

    ``objects`` are those that ``names_in`` asked for, by their folded names; None: not known, as when a virtual table
    compiles statements of its own while it runs. Raises Forbidden.
    """
    listed = list(actions)
    context = _Context(listed, objects)
    reads: Dict[str, Set[str]] = {}
    updates: Dict[str, Set[str]] = {}
    others: Dict[AccessNeed, None] = {}
    for action in listed:
        need = _need(action, context)
        if need is None:
            continue
        merged = reads if need.verbs == (READ,) else updates if need.verbs == (WRITE,) and need.columns else None
        if merged is None:
            others[need] = None
        else:
            merged.setdefault(need.table, set()).update(need.columns)
    return (
        *others,
        *(AccessNeed((READ,), table, _columns(columns)) for table, columns in reads.items()),
        *(
            AccessNeed((WRITE,), table, tuple(sorted(columns)))
            for table, columns in updates.items()
            if AccessNeed((WRITE,), table) not in others
        ),
    )


def names_in(actions: Iterable[Action]) -> Tuple[str, ...]:
    """What has to be looked up in the schema: whether it is a table, a view or an index, and its declared name."""
    wanted: Set[str] = set()
    for action in actions:
        if action.code == Code.PRAGMA and action.second:
            wanted |= {action.second, _autoindex_table(action.second)}
        elif action.code in _DATA and action.first and not fold(action.first).startswith("sqlite_"):
            wanted.add(action.first)
    return tuple(sorted(wanted))


def tables_made(actions: Iterable[Action]) -> Tuple[str, ...]:
    """Tables that a statement creates or alters, and to which it may add foreign keys."""
    made = (_defined_table(action) or "" for action in actions if action.code in _MAKE_TABLES)
    return tuple(sorted({table for table in made if not fold(table).startswith("sqlite_")}))


def reference_need(parent: str) -> AccessNeed:
    """For a foreign key: it can keep rows of its parent from being deleted, which no action tells of."""
    return AccessNeed((WRITE, DEFINE), parent)


def first_missing(needs: Iterable[AccessNeed], backend: str, guard: Decider) -> Optional[Capability]:
    """Decides what is covered; returns the first right that is not, worded as an operator would grant it.

    The missing one is not recorded yet: whether it is really needed may depend on a schema that has changed.
    """
    for need in needs:
        rights, missing = _weigh(need, backend, guard)
        if missing is not None:
            return missing
        for right in rights:
            if not guard.decide(right).allowed:
                return right
    return None


def is_covered(needs: Iterable[AccessNeed], backend: str, guard: Decider) -> bool:
    """Whether every need would be allowed now; records nothing."""
    return all(_weigh(need, backend, guard)[1] is None for need in needs)


def visible(found: SchemaObject, backend: str, guard: Decider) -> bool:
    """Whether the caller has any right to the table, and so may see that it is there."""
    return any(guard.covers(_any_columns(verb, found.table, backend)) for verb in (READ, WRITE, DEFINE))


def pragma_forbidden(action: Action) -> str:
    """The sentence for a pragma that must not even be compiled, as many take effect then; empty: it may be."""
    if bool(action.second) == (action.first in _TABLE_PRAGMAS | _INDEX_PRAGMAS) and action.first in _PRAGMAS:
        return ""
    return (
        f"PRAGMA {action.first} is not available to plugins; of the pragmas, "
        f"{', '.join(sorted(_TABLE_PRAGMAS | _INDEX_PRAGMAS))} are, for tables that were granted."
    )


def fold(name: str) -> str:
    """As SQLite compares names: without the case of ASCII letters only."""
    return "".join(character.lower() if character.isascii() else character for character in name)


class _Context:
    """What the other actions of the statement say about one of them."""

    def __init__(self, actions: List[Action], objects: Optional[Mapping[str, SchemaObject]]) -> None:
        codes = {action.code for action in actions}
        self.objects = objects
        #: Tables that the statement itself makes, changes or drops: compiling that reads and empties them.
        self.defined = {fold(table) for table in map(_defined_table, actions) if table}
        self.alters = Code.ALTER_TABLE in codes
        #: Statements in which SQLite itself searches the schema table, and into which no query can be written.
        self.searches_schema = bool(codes & _SEARCH_SCHEMA)
        self.builds_index = bool(codes & _BUILD_INDEX)

    def find(self, name: str) -> Optional[SchemaObject]:
        return (self.objects or {}).get(fold(name))


def _need(action: Action, context: _Context) -> Optional[AccessNeed]:
    """Raises Forbidden."""
    code = action.code
    if code in _FREE:
        return None
    if code in _DATA:
        return _data_need(action, context)
    if code == Code.FUNCTION:
        _check_function(fold(action.second or ""), context)
        return None
    if code in _DEFINES:
        return _define_need(action)
    if code == Code.PRAGMA:
        return _pragma_need(action, context)
    _check_implied(action, context)
    return None


def _data_need(action: Action, context: _Context) -> Optional[AccessNeed]:
    name = action.first or ""
    folded = fold(name)
    if folded.startswith("sqlite_"):
        _check_internal(action, folded, context)
        return None
    if folded in context.defined:
        return None
    found = context.find(name)
    if found is None and folded in _TABLE_FUNCTIONS:
        return None
    if found is not None and folded.startswith(RESERVED_PREFIX):
        raise Forbidden(f"Names that begin with {RESERVED_PREFIX} are the host's; {name} is not available to plugins.")
    if fold(action.database or "main") != "main" or _is_eponymous(action, found, context):
        raise Forbidden(f"{name} is none of the database's tables, and is not available to plugins.")
    # Where no column is read SQLite tells the name as the statement writes it.
    table = name if found is None else found.name
    if action.code == Code.READ:
        return None if _needs_nothing(action, found, context) else AccessNeed((READ,), table, (action.second or "",))
    return AccessNeed((WRITE,), table, (action.second,) if action.code == Code.UPDATE and action.second else ())


def _needs_nothing(action: Action, found: Optional[SchemaObject], context: _Context) -> bool:
    """Whether a read is of a view, or of a common table expression: what is below them is told by itself."""
    if found is not None:
        return found.type == "view"
    return not action.second and context.objects is not None


def _check_internal(action: Action, name: str, context: _Context) -> None:
    """Tables of SQLite's own, which it reads and writes while it carries out what was decided elsewhere."""
    schema = name in _SCHEMA_TABLES
    if schema and (action.code != Code.READ or fold(action.second or "") == "rowid"):
        # SQLite lets nobody write to its schema table by a statement of theirs ("may not be modified").
        return
    if context.searches_schema and (schema or name == "sqlite_sequence"):
        return
    if schema:
        raise Forbidden(
            "The schema table cannot be read by plugins. Reflect granted tables through SQLAlchemy's inspector, or "
            f"read what {SCHEMA_FUNCTION}() lists."
        )
    raise Forbidden(f"{name} is SQLite's own and is not available to plugins.")


def _is_eponymous(action: Action, found: Optional[SchemaObject], context: _Context) -> bool:
    """Whether the name is one of a module that answers without having been created, such as dbstat."""
    folded = fold(action.first or "")
    if found is None and (folded in _MODULES or folded.startswith("pragma_")):
        return True
    return found is None and context.objects is not None and (action.code != Code.READ or bool(action.second))


def _check_function(name: str, context: _Context) -> None:
    if name in FUNCTIONS or name == SCHEMA_FUNCTION:
        return
    if context.alters and name.startswith("sqlite_"):
        if name == "sqlite_rename_table":
            raise Forbidden(
                "Renaming a table is not available to plugins, as SQLite does not say what the new name is. Create "
                "the table under its new name, copy the rows, and drop the old one."
            )
        return
    instead = _INSTEAD if "json_group" in name or "jsonb_group" in name else ""
    raise Forbidden(f"The function {name}() is not available to plugins.{instead}")


def _define_need(action: Action) -> Optional[AccessNeed]:
    table = _defined_table(action) or ""
    if fold(table).startswith("sqlite_"):
        # SQLite makes its own tables when they are first needed, and nobody else can (sqlite_sequence).
        return None
    # Of ALTER TABLE the first argument is the database, and the third the column that is dropped.
    if (action.first if action.code == Code.ALTER_TABLE else action.database) not in (None, "main"):
        raise Forbidden(_TEMPORARY)
    if fold(table).startswith(RESERVED_PREFIX):
        raise Forbidden(f"Names that begin with {RESERVED_PREFIX} are the host's; choose another one than {table}.")
    return AccessNeed((DEFINE,), table)


def _defined_table(action: Action) -> Optional[str]:
    """The table (or view) that an action makes, changes or drops; indexes belong to their table."""
    if action.code not in _DEFINES:
        return None
    if action.code in (Code.CREATE_INDEX, Code.DROP_INDEX, Code.ALTER_TABLE):
        return action.second
    return action.first


def _pragma_need(action: Action, context: _Context) -> Optional[AccessNeed]:
    if action.first in _FREE_PRAGMAS:
        return None
    sentence = pragma_forbidden(action)
    if sentence:
        raise Forbidden(sentence)
    argument = action.second or ""
    found = context.find(argument) or context.find(_autoindex_table(argument))
    # A name that is not there is asked for before a table is created; it is decided as it was written.
    table = argument if found is None else found.table if action.first in _INDEX_PRAGMAS else found.name
    return AccessNeed((READ, WRITE, DEFINE), table, ROWS_ALONE)


def _autoindex_table(index: str) -> str:
    """The index of a primary key of a table without rowid is not in the schema table; its name tells the table's."""
    prefix = "sqlite_autoindex_"
    return index[len(prefix) :].rpartition("_")[0] if fold(index).startswith(prefix) else index


def _check_implied(action: Action, context: _Context) -> None:
    """Raises Forbidden unless another action, decided by itself, brings this one about."""
    if action.code == Code.REINDEX and context.builds_index:
        return
    if action.code == Code.DROP_TRIGGER and fold(action.second or "") in context.defined:
        return
    raise Forbidden(_SENTENCES.get(action.code, "This kind of statement is not available to plugins."))


def _columns(found: Set[str]) -> Tuple[str, ...]:
    """A table of which no column is read is still asked for its rows; beside columns that says nothing more."""
    return tuple(sorted(found - {""})) or ROWS_ALONE


def _weigh(need: AccessNeed, backend: str, guard: Decider) -> Tuple[Tuple[Capability, ...], Optional[Capability]]:
    """The rights that cover the need, or the one that is missing."""
    for verb in need.verbs:
        whole = capability.need(verb, need.table, backend=backend, columns=need.columns)
        if guard.covers(whole):
            return (whole,), None
    verb = need.verbs[0]
    single = [capability.need(verb, need.table, backend=backend, columns=(column,)) for column in need.columns]
    uncovered = [column for column in single if not guard.covers(column)]
    if single and not uncovered:
        return tuple(single), None
    columns: Tuple[str, ...] = ()
    if uncovered and guard.covers(_any_columns(verb, need.table, backend)):
        # Some of its columns are granted: the others are what is missing. Otherwise it is the table.
        columns = tuple(column.columns[0] for column in uncovered)
    return (), capability.need(verb, need.table, backend=backend, columns=columns)


def _any_columns(verb: str, table: str, backend: str) -> Capability:
    return capability.need(verb, table, backend=backend, columns=() if verb == DEFINE else ROWS_ALONE)


_FREE: FrozenSet[int] = frozenset({Code.SELECT, Code.RECURSIVE, Code.SAVEPOINT})
_DATA: FrozenSet[int] = frozenset({Code.READ, Code.INSERT, Code.UPDATE, Code.DELETE})
_DEFINES: FrozenSet[int] = frozenset(
    {
        Code.CREATE_TABLE,
        Code.DROP_TABLE,
        Code.CREATE_VIEW,
        Code.DROP_VIEW,
        Code.CREATE_INDEX,
        Code.DROP_INDEX,
        Code.ALTER_TABLE,
    }
)
_MAKE_TABLES: FrozenSet[int] = frozenset({Code.CREATE_TABLE, Code.ALTER_TABLE})
_SEARCH_SCHEMA: FrozenSet[int] = frozenset(
    {Code.DROP_TABLE, Code.DROP_VIEW, Code.DROP_INDEX, Code.ALTER_TABLE, Code.CREATE_INDEX}
)
_BUILD_INDEX: FrozenSet[int] = frozenset({Code.CREATE_INDEX, Code.CREATE_TABLE, Code.ALTER_TABLE})

_SCHEMA_TABLES = frozenset({"sqlite_master", "sqlite_schema", "sqlite_temp_master", "sqlite_temp_schema"})
_TABLE_PRAGMAS = frozenset({"table_info", "table_xinfo", "index_list", "foreign_key_list"})
_INDEX_PRAGMAS = frozenset({"index_info", "index_xinfo"})
#: A counter, which full-text search asks for.
_FREE_PRAGMAS = frozenset({"data_version"})
_PRAGMAS = _TABLE_PRAGMAS | _INDEX_PRAGMAS | _FREE_PRAGMAS
#: Table-valued functions; they read their arguments alone.
_TABLE_FUNCTIONS = frozenset({"json_each", "json_tree"})
_MODULES = frozenset({"dbstat", "bytecode", "tables_used", "completion", "fsdir", "zipfile", "csv"})

_INSTEAD = (
    " It takes memory without bound. Write '[' || group_concat(json_quote(x)) || ']', or make the JSON of the rows in "
    "the plugin."
)
_TEMPORARY = (
    "Temporary tables, views, indexes and triggers are not available to plugins. Use a common table expression, or a "
    "table of your own with sql.define."
)
_TRIGGER = (
    "Triggers are not available to plugins: they would run with the rights of whoever writes to the table. Write what "
    "they would do as statements of your own."
)
_TRANSACTION = (
    "Transactions are begun by the first statement and ended by the connection's commit() and rollback(), not by "
    "statements. SAVEPOINT is available."
)
_ATTACH = "Databases are not attached by plugins; ask for another backend of the host's by its name."
_VIRTUAL = "Virtual tables are not created or dropped by plugins; ask the operator to create it."

_SENTENCES: Dict[int, str] = {
    Code.CREATE_TEMP_INDEX: _TEMPORARY,
    Code.CREATE_TEMP_TABLE: _TEMPORARY,
    Code.CREATE_TEMP_TRIGGER: _TEMPORARY,
    Code.CREATE_TEMP_VIEW: _TEMPORARY,
    Code.DROP_TEMP_INDEX: _TEMPORARY,
    Code.DROP_TEMP_TABLE: _TEMPORARY,
    Code.DROP_TEMP_TRIGGER: _TEMPORARY,
    Code.DROP_TEMP_VIEW: _TEMPORARY,
    Code.CREATE_TRIGGER: _TRIGGER,
    Code.DROP_TRIGGER: _TRIGGER,
    Code.TRANSACTION: _TRANSACTION,
    Code.ATTACH: _ATTACH,
    Code.DETACH: _ATTACH,
    Code.CREATE_VTABLE: _VIRTUAL,
    Code.DROP_VTABLE: _VIRTUAL,
    Code.ANALYZE: "ANALYZE is the operator's to run, as it changes how all statements are planned.",
    Code.REINDEX: "REINDEX is the operator's to run.",
}
