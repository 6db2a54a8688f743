"""One statement of a plugin: what it is, and which rights it takes. Pure.

The text is read by PostgreSQL's own grammar (libpg_query), and the same text is what PostgreSQL is given, so that the
two cannot read it differently. Default is no: a statement, a node or a function that is not known here is refused.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import postgast
from google.protobuf.message import DecodeError

from moorage.broker.services.sql.postgresql.definitions import Definitions
from moorage.broker.services.sql.postgresql.expressions import Node, sequence_parts, shown, texts, unwrapped
from moorage.broker.services.sql.postgresql.facts import Facts
from moorage.broker.services.sql.postgresql.functions import SEQUENCE_FUNCTIONS, TYPES
from moorage.broker.services.sql.postgresql.needs import Needs
from moorage.broker.services.sql.postgresql.nesting import MAX_LEVELS, levels
from moorage.broker.services.sql.postgresql.queries import Queries
from moorage.broker.services.sql.postgresql.scopes import CommonTables
from moorage_proto.sqlite_access import AccessNeed, Forbidden

#: Of a statement's text.
MAX_BYTES = 256 * 1024

#: Texts up to this size cannot be nested deeper than is parsed at once; longer ones are looked through before, in a
#: thread of their own.
INLINE_BYTES = 2 * MAX_LEVELS

#: Things in FROM clauses; columns that are named; the one times the other, which is what looking for them takes; names
#: of tables and types.
MAX_SOURCES = 500
MAX_COLUMN_NAMES = 10_000
MAX_LOOKS = 1_000_000
MAX_NAMES = 1000

#: Statements whose trees are kept.
MAX_KNOWN = 256

_SETTINGS = frozenset({"lock_timeout", "statement_timeout", "timezone"})
_SHOWN = frozenset(
    {
        "client_encoding",
        "datestyle",
        "default_transaction_isolation",
        "integer_datetimes",
        "intervalstyle",
        "server_encoding",
        "server_version",
        "server_version_num",
        "standard_conforming_strings",
        "timezone",
        "transaction_deferrable",
        "transaction_isolation",
        "transaction_read_only",
    }
)


class SyntaxWrong(Exception):
    """The text is no statement; ``str()`` is PostgreSQL's own sentence."""


@dataclass(frozen=True, slots=True)
class Statement:
    """Read, but not decided."""

    text: str
    kind: str
    node: Any
    #: Schema, which may be empty, and name of each table, sequence, index or type that it may name.
    names: frozenset[tuple[str, str]] = frozenset()
    #: Names of its WITH queries: they may be what a name means.
    common: frozenset[str] = frozenset()
    #: How many values its placeholders take: the highest number among them.
    parameters: int = 0
    #: INSERT, UPDATE and the like are in it, maybe in a WITH query.
    changes_rows: bool = False

    @property
    def ends_cursors(self) -> bool:
        """ROLLBACK TO a savepoint; it undoes changes of the schema, too."""
        return self.kind == "TransactionStmt"


@dataclass(frozen=True, slots=True)
class Plan:
    """What a statement takes, by the facts it was planned with."""

    needs: tuple[AccessNeed, ...] = ()
    #: It may be read through a cursor of the server, part by part.
    streams: bool = False
    writes: bool = False
    defines: bool = False
    #: Sentences for who has all of the needs, why it is refused all the same.
    forbidden: str = ""
    unknown_column: str = ""


class Parser:
    """Keeps what short texts came to, and one thread for long ones."""

    def __init__(self) -> None:
        self._known: dict[str, Statement] = {}
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="moorage-sql-parser")

    async def parse(self, text: str) -> Statement:
        """Raises SyntaxWrong, and Forbidden for several statements at once."""
        known = self._known.get(text)
        if known is not None:
            return known
        try:
            size = len(text.encode())
        except UnicodeEncodeError:
            raise SyntaxWrong("The statement is no valid text: it holds a lone surrogate.") from None
        if "\x00" in text:
            raise SyntaxWrong("The statement holds a null character.")
        if size > MAX_BYTES:
            raise Forbidden(f"A statement has at most {MAX_BYTES // 1024} KiB; this one has {size // 1024}. Split it.")
        if size <= INLINE_BYTES:
            if len(self._known) >= MAX_KNOWN:
                self._known.clear()
            found = self._known[text] = _parse(text)
            return found
        return await asyncio.get_running_loop().run_in_executor(self._thread, _parse_long, text)

    def close(self) -> None:
        self._thread.shutdown(wait=False)


def plan(statement: Statement, facts: Facts) -> Plan:
    """Raises Forbidden."""
    kind, node = statement.kind, statement.node
    if kind == "TransactionStmt":
        return _transaction(node)
    if kind == "VariableSetStmt":
        return _setting(node)
    if kind == "VariableShowStmt":
        if node.name.lower() not in _SHOWN:
            raise Forbidden(f"SHOW {node.name} is not available to plugins; {', '.join(sorted(_SHOWN))} are.")
        return Plan()
    needs = Needs(facts)
    queries = Queries(needs)
    if not Definitions(queries).read(kind, node):
        if kind not in _QUERIES:
            raise Forbidden(_SENTENCES.get(kind, f"{shown(kind)} is not available to plugins."))
        queries.query(node, None, CommonTables())
    return Plan(
        needs.all,
        streams=kind == "SelectStmt" and not statement.changes_rows,
        writes=needs.writes,
        defines=needs.defines,
        forbidden=needs.forbidden,
        unknown_column=needs.unknown_column,
    )


def _transaction(node: Node) -> Plan:
    kind = type(node).DESCRIPTOR.fields_by_name["kind"].enum_type.values_by_number[node.kind].name
    if kind not in ("TRANS_STMT_SAVEPOINT", "TRANS_STMT_RELEASE", "TRANS_STMT_ROLLBACK_TO"):
        raise Forbidden(
            "Transactions are begun by the first statement and ended by the connection's commit() and rollback(), not "
            "by statements. SAVEPOINT is available."
        )
    if node.savepoint_name.startswith("moorage_"):
        raise Forbidden("Names that begin with moorage_ are the host's; choose another one for the savepoint.")
    return Plan()


def _setting(node: Node) -> Plan:
    kind = type(node).DESCRIPTOR.fields_by_name["kind"].enum_type.values_by_number[node.kind].name
    name = node.name.lower()
    if kind == "VAR_SET_MULTI" and name == "transaction":
        return Plan()
    if kind == "VAR_SET_VALUE" and node.is_local and name in _SETTINGS:
        return Plan()
    raise Forbidden(
        "Settings of the session are not changed by plugins. There are SET TRANSACTION, and SET LOCAL for "
        f"{', '.join(sorted(_SETTINGS))}."
    )


def _parse_long(text: str) -> Statement:
    try:
        if levels(text) > MAX_LEVELS:
            raise Forbidden(_TOO_DEEP)
    except postgast.PgQueryError as error:
        raise SyntaxWrong(str(error.message)) from None
    return _parse(text)


def _parse(text: str) -> Statement:
    try:
        tree = postgast.parse(text)
    except postgast.PgQueryError as error:
        raise SyntaxWrong(str(error.message)) from None
    except DecodeError:
        raise Forbidden(_TOO_DEEP) from None
    if not tree.stmts:
        raise SyntaxWrong("The statement is empty.")
    if len(tree.stmts) > 1:
        raise Forbidden("One statement at a time; these are several.")
    message = unwrapped(tree.stmts[0].stmt)
    return _gathered(text, message)


def _gathered(text: str, message: Any) -> Statement:
    """With everything that may have to be looked up."""
    names: set[tuple[str, str]] = set()
    common: set[str] = set()
    kinds: Counter[str] = Counter()
    parameters = 0
    waiting = [message]
    while waiting:
        node = waiting.pop()
        kind = node.DESCRIPTOR.name
        kinds[kind] += 1
        if kind == "RangeVar":
            names.add((node.schemaname, node.relname))
        elif kind == "CommonTableExpr":
            common.add(node.ctename)
        elif kind == "ParamRef":
            parameters = max(parameters, node.number)
        elif kind == "TypeName":
            _gather_name(texts(node.names), names)
        elif kind == "FuncCall" and node.args and texts(node.funcname)[-1] in SEQUENCE_FUNCTIONS:
            _gather_sequence(node.args[0], names)
        elif kind in ("DropStmt", "CommentStmt", "AlterEnumStmt"):
            _gather_objects(node, names)
        for field, value in node.ListFields():
            if field.message_type is not None:
                waiting.extend(value if not hasattr(value, "DESCRIPTOR") else (value,))
    _check_size(kinds, len(names))
    return Statement(
        text,
        message.DESCRIPTOR.name,
        message,
        frozenset(names),
        frozenset(common),
        parameters,
        changes_rows=not _CHANGES.isdisjoint(kinds),
    )


def _check_size(kinds: Counter[str], names: int) -> None:
    """Deciding is the host's own time, which others wait for. Raises Forbidden."""
    sources = sum(kinds[kind] for kind in _SOURCES)
    columns = kinds["ColumnRef"]
    if sources > MAX_SOURCES or columns > MAX_COLUMN_NAMES or sources * columns > MAX_LOOKS or names > MAX_NAMES:
        raise Forbidden(
            f"The statement is too large to be decided: it has {sources} items in FROM clauses (of {MAX_SOURCES}), "
            f"names columns {columns} times (of {MAX_COLUMN_NAMES}, less with many items) and {names} tables and types "
            f"(of {MAX_NAMES}). Split it, or give values as parameters."
        )


def _gather_name(parts: list[str], names: set[tuple[str, str]]) -> None:
    if len(parts) == 1 and parts[0] not in TYPES:
        names.add(("", parts[0]))
    elif len(parts) == 2 and parts[0] != "pg_catalog":
        names.add((parts[0], parts[1]))


def _gather_sequence(node: Any, names: set[tuple[str, str]]) -> None:
    constant = node.type_cast.arg if node.HasField("type_cast") else node
    if constant.a_const.HasField("sval"):
        names.add(sequence_parts(constant.a_const.sval.sval))


def _gather_objects(node: Any, names: set[tuple[str, str]]) -> None:
    found = [node.object] if hasattr(node, "object") else getattr(node, "objects", [])
    for each in found:
        parts = [item.string.sval for item in each.list.items if item.HasField("string")]
        # Of a column's comment the table is what stands before it.
        for count in (len(parts), len(parts) - 1):
            _gather_name(parts[:count], names)


_TOO_DEEP = (
    "The statement is nested too deeply: about 30 levels of parentheses, operators in a chain, joins or UNIONs are "
    "taken. Split it, or put lists into arrays."
)
_CHANGES = frozenset({"InsertStmt", "UpdateStmt", "DeleteStmt", "MergeStmt"})
_QUERIES = _CHANGES | {"SelectStmt"}
_SOURCES = ("CommonTableExpr", "RangeFunction", "RangeSubselect", "RangeVar")

_SENTENCES = {
    "CallStmt": "Procedures are not available to plugins; run their statements on a connection.",
    "CopyStmt": "COPY is not available to plugins. Insert rows with executemany(), and read them with SELECT.",
    "CreateTrigStmt": "Triggers are not available to plugins: they would run with the rights of whoever writes.",
    "CreateFunctionStmt": "Functions are not available to plugins: their statements would be decided by nobody.",
    "DoStmt": "DO is not available to plugins. Run its statements one by one.",
    "ExecuteStmt": "EXECUTE is not available to plugins; statements are prepared by the host where that is of use.",
    "PrepareStmt": "PREPARE is not available to plugins; statements are prepared by the host where that is of use.",
    "DeclareCursorStmt": "DECLARE is not available to plugins; rows are streamed by the host's cursor anyway.",
    "ExplainStmt": "EXPLAIN is not available to plugins; explain the statement on a copy.",
    "LockStmt": "LOCK is not available to plugins. Lock rows with SELECT ... FOR UPDATE.",
    "ListenStmt": "LISTEN is not available to plugins; use the host's events.",
    "NotifyStmt": "NOTIFY is not available to plugins; use the host's events.",
    "VacuumStmt": "VACUUM and ANALYZE are the operator's to run.",
}
