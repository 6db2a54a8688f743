"""The authorizer of one SQLite connection: what a statement needs, before it runs; and the same held while it runs.

A statement is planned by compiling ``EXPLAIN`` of it, which runs nothing: the authorizer takes down every table and
column, and the program's own Transaction instruction says whether it writes. When it then runs, the authorizer allows
what was planned, and decides anything beyond that by itself.

Two things the authorizer is not told of, and they are looked for here: the columns that joins by USING and NATURAL
compare (``sqlite_words``: plugins may not write them, and where the application's views do, tables are needed as a
whole), and tables that are copied page by page (``_untold``).

What was tried before: deciding by the first keyword (``WITH ... INSERT`` and comments defeat it), and leaving compiled
statements to the ``sqlite3`` module's cache (a statement that was compiled for one caller ran for another without the
authorizer being asked again). A plan is therefore made from a text that no cache holds, and rights are decided anew for
every call.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import sqlite3
from collections import OrderedDict
from dataclasses import dataclass
from typing import Any, Callable, Dict, FrozenSet, Iterator, List, Mapping, Optional, Sequence, Tuple

from moorage_proto.sqlite_access import (
    READ,
    SCHEMA_FUNCTION,
    AccessNeed,
    Forbidden,
    SchemaObject,
    fold,
    names_in,
    needs_of,
    pragma_forbidden,
    tables_made,
)
from moorage_proto.sqlite_codes import Action, Code
from moorage_proto.sqlite_limits import MAX_VALUE_BYTES, limit_values, value_bytes
from moorage_proto.sqlite_words import joins_by_name

#: Of one connection.
MAX_PLANS = 256

#: Whether an action may go on that no plan foresaw.
Judge = Callable[[Action], bool]


@dataclass(frozen=True)
class Plan:
    """What is known of a statement before it runs."""

    actions: FrozenSet[Action]
    needs: Tuple[AccessNeed, ...]
    #: Whether it opens a transaction on the file at all; ``SELECT 1`` does not.
    touches_file: bool
    writes: bool
    inserts: bool
    #: SAVEPOINT, RELEASE or ROLLBACK TO, which need a transaction around them.
    marks: bool
    #: Tables that may have other foreign keys after it.
    tables_made: Tuple[str, ...]
    #: Whether plans made before it are worthless after it.
    changes_schema: bool
    #: Whether it calls the host's function that lists the schema.
    lists_schema: bool
    #: The longest value while it runs.
    value_bytes: int


class Authorizer:
    """Used by one thread at a time, as its connection is."""

    def __init__(self, raw: sqlite3.Connection) -> None:
        self._raw = raw
        self._plans: OrderedDict[str, Plan] = OrderedDict()
        self._texts = itertools.count(1)
        #: Asked for every action; None: the statements of this side itself, which may do anything.
        self._decide: Optional[Callable[[Action], bool]] = None
        raw.set_authorizer(self._callback)

    def plan(self, statement: str, parameters: Sequence[Any]) -> Plan:
        """Compiles the statement, or remembers that it did. Of the parameters only the number matters.

        Raises Forbidden, and sqlite3's errors.
        """
        plan = self._plans.get(statement)
        if plan is None:
            plan = self._compile(statement, parameters)
            self._plans[statement] = plan
            if len(self._plans) > MAX_PLANS:
                self._plans.popitem(last=False)
        else:
            self._plans.move_to_end(statement)
        return plan

    def forget(self) -> None:
        """The schema was changed on this connection."""
        self._plans.clear()

    def reload(self) -> None:
        """The schema was changed on another: SQLite notices when it runs a statement, but not when it compiles one."""
        self._plans.clear()
        self._raw.execute("SELECT 1 FROM main.sqlite_master LIMIT 1").fetchall()

    @contextlib.contextmanager
    def enforcing(self, plan: Plan, judge: Judge) -> Iterator[None]:
        """Within it, statements may do what the plan says, and beyond it what the judge allows.

        Beyond it is what virtual tables compile while they run (full-text search reads tables of its own), and what a
        schema that changed in between makes of the statement.
        """
        limit_values(self._raw, plan.value_bytes)
        try:
            with self._deciding(lambda action: action in plan.actions or judge(action)):
                yield
        finally:
            limit_values(self._raw, MAX_VALUE_BYTES)

    def objects(self, names: Tuple[str, ...]) -> Mapping[str, SchemaObject]:
        """The tables, views and indexes of these names, by folded name."""
        found: Dict[str, SchemaObject] = {}
        for name in names:
            row = self._raw.execute(
                "SELECT type, name, tbl_name FROM main.sqlite_master "
                "WHERE name = ? COLLATE NOCASE AND type != 'trigger'",
                (name,),
            ).fetchone()
            if row is not None:
                found[fold(name)] = SchemaObject(*row)
        return found

    def parents(self, tables: Tuple[str, ...]) -> FrozenSet[str]:
        """What foreign keys of these tables refer to, other than themselves."""
        found = set()
        for table in tables:
            quoted = table.replace('"', '""')
            rows = self._raw.execute(f'PRAGMA main.foreign_key_list("{quoted}")').fetchall()
            found |= {row[2] for row in rows if fold(row[2]) != fold(table)}
        declared = self.objects(tuple(found))
        return frozenset(declared[fold(name)].name if fold(name) in declared else name for name in found)

    def schema_json(self, visible: Callable[[SchemaObject], bool]) -> str:
        """What the schema function answers: the visible tables, views and indexes with their SQL."""
        rows = self._raw.execute("SELECT type, name, tbl_name, sql FROM main.sqlite_master WHERE type != 'trigger'")
        return json.dumps(
            [
                {"type": kind, "name": name, "tbl_name": table, "sql": sql}
                for kind, name, table, sql in rows.fetchall()
                if not fold(name).startswith("sqlite_") and visible(SchemaObject(kind, name, table))
            ]
        )

    def _compile(self, statement: str, parameters: Sequence[Any]) -> Plan:
        taken: Dict[Action, None] = {}
        pragmas: List[str] = []

        def take(action: Action) -> bool:
            sentence = pragma_forbidden(action) if action.code == Code.PRAGMA else ""
            if sentence:
                pragmas.append(sentence)
            else:
                taken[action] = None
            return not sentence

        if joins_by_name(statement):
            raise Forbidden(
                "Joins by USING and NATURAL are not available to plugins, as SQLite does not say which columns they "
                "compare. Write ON a.id = b.id; quote a name that is one of these words."
            )
        try:
            with self._deciding(take):
                # The number keeps the module's cache of compiled statements from ever knowing the text.
                program = self._raw.execute(f"EXPLAIN /* {next(self._texts)} */ {statement}", parameters).fetchall()
        except sqlite3.DatabaseError as error:
            if pragmas:
                raise Forbidden(pragmas[0]) from None
            if 'near "explain": syntax error' in str(error).lower():
                raise Forbidden("EXPLAIN is not available to plugins; explain the statement on a copy.") from None
            raise
        return self._planned(tuple(taken), program)

    def _planned(self, actions: Tuple[Action, ...], program: List[Tuple[Any, ...]]) -> Plan:
        if any(instruction[1] == "Vacuum" for instruction in program):
            raise Forbidden("VACUUM is the operator's to run: it rewrites the whole database.")
        transactions = [instruction for instruction in program if instruction[1] == "Transaction"]
        codes = {action.code for action in actions}
        objects = self.objects(names_in(actions))
        needs = needs_of(actions, objects)
        if self._views_join_by_name(objects):
            needs = tuple(AccessNeed((READ,), need.table) if need.verbs == (READ,) else need for need in needs)
        return Plan(
            actions=frozenset(actions),
            needs=(*needs, *self._untold(actions, program)),
            touches_file=bool(transactions),
            # P2 of the instruction: "if non-zero, then a write-transaction is started".
            writes=any(instruction[3] for instruction in transactions),
            inserts=Code.INSERT in codes,
            marks=Code.SAVEPOINT in codes,
            tables_made=tables_made(actions),
            changes_schema=bool(codes & _CHANGE_SCHEMA) or any(map(_rolls_back, actions)),
            lists_schema=any(fold(action.second or "") == SCHEMA_FUNCTION for action in _functions(actions)),
            value_bytes=value_bytes(program),
        )

    def _views_join_by_name(self, objects: Mapping[str, SchemaObject]) -> bool:
        """Whether the application's views do; then every table of the statement is needed as a whole."""
        views = [found.name for found in objects.values() if found.type == "view"]
        rows = [self._raw.execute("SELECT sql FROM main.sqlite_master WHERE name = ?", (name,)) for name in views]
        return any(joins_by_name(sql) for row in rows for (sql,) in row.fetchall())

    def _untold(self, actions: Tuple[Action, ...], program: List[Tuple[Any, ...]]) -> Iterator[AccessNeed]:
        """Tables that the program reads and the authorizer was told nothing of; they are needed as a whole.

        ``INSERT INTO mine SELECT * FROM theirs`` copies a table without naming one of its columns.
        """
        told = {fold(action.first) for action in actions if action.code in _NAME_TABLES and action.first}
        told |= {fold(action.second) for action in actions if action.code in _CHANGE_SCHEMA and action.second}
        # P2 of the instruction is the first page of a table or index, P3 the database: 0 is main, page 1 its schema.
        pages = {step[3] for step in program if step[1] == "OpenRead" and step[4] == 0 and step[3] > 1}
        for page in sorted(pages):
            row = self._raw.execute("SELECT tbl_name FROM main.sqlite_master WHERE rootpage = ?", (page,)).fetchone()
            if row is not None and fold(row[0]) not in told:
                yield AccessNeed((READ,), row[0])

    @contextlib.contextmanager
    def _deciding(self, decide: Callable[[Action], bool]) -> Iterator[None]:
        before, self._decide = self._decide, decide
        try:
            yield
        finally:
            self._decide = before

    def _callback(
        self, code: int, first: Optional[str], second: Optional[str], database: Optional[str], _inner: Optional[str]
    ) -> int:
        decide = self._decide
        if decide is None or decide(Action(code, first, second, database)):
            return sqlite3.SQLITE_OK
        return sqlite3.SQLITE_DENY


_NAME_TABLES = frozenset({Code.READ, Code.INSERT, Code.UPDATE, Code.DELETE, Code.CREATE_TABLE, Code.DROP_TABLE})

_CHANGE_SCHEMA = frozenset(
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


def _rolls_back(action: Action) -> bool:
    """ROLLBACK TO a savepoint undoes changes of the schema, too."""
    return action.code == Code.SAVEPOINT and action.first == "ROLLBACK"


def _functions(actions: Tuple[Action, ...]) -> Iterator[Action]:
    return (action for action in actions if action.code == Code.FUNCTION)
