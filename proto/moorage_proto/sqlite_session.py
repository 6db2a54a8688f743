"""One brokered connection to a SQLite file, as its thread sees it; the host's SQL service and the testing kit share it.

The ``sqlite3`` module begins no transactions here. A transaction begins with the first statement: deferred for one that
reads, immediate for one that writes. A transaction that has read and then writes is upgraded; when another has written
in between, that is a SERIALIZATION_FAILURE. Who may write at all at this moment is decided outside: ``run`` answers
None instead of beginning to write when it is not told that it may.
"""

from __future__ import annotations

import contextlib
import sqlite3
import time
from enum import Enum
from typing import Any, Callable, Dict, Iterator, List, Optional, Sequence, Tuple

from moorage_proto.capability import Capability
from moorage_proto.errors import CallError
from moorage_proto.sqlite_access import (
    SCHEMA_FUNCTION,
    AccessNeed,
    Forbidden,
    first_missing,
    is_covered,
    needs_of,
    reference_need,
    visible,
)
from moorage_proto.sqlite_authorizer import Authorizer, Judge, Plan
from moorage_proto.sqlite_codes import Action
from moorage_proto.sqlite_errors import (
    ERRORS,
    cursor_closed,
    deadline_exceeded,
    is_busy,
    is_stale_snapshot,
    rolled_back_by_sqlite,
    serialization_failure,
    translate,
)
from moorage_proto.sqlite_limits import apply
from moorage_proto.sqlite_result import Guard, OpenCursor, Result, batch

#: Virtual machine instructions between two looks at the clock, a millisecond or so: each look waits for the GIL.
PROGRESS_INSTRUCTIONS = 100_000

#: Longest wait for a writer in another process.
BUSY_SECONDS = 5.0

NEVER = float("inf")

#: In which commits are noted, where the host's settings say so.
COMMIT_TABLE = (
    "CREATE TABLE IF NOT EXISTS main.moorage_commit (installation TEXT NOT NULL, execution TEXT NOT NULL, "
    "at TEXT NOT NULL DEFAULT CURRENT_TIMESTAMP, PRIMARY KEY (installation, execution)) WITHOUT ROWID"
)


class Transaction(Enum):
    NONE = "none"
    #: Begun, but nothing was read yet: the next statement sees the newest state.
    BEGUN = "begun"
    READING = "reading"
    #: It holds SQLite's write lock.
    WRITING = "writing"


class SqliteSession:
    """Every method may block and is called by one thread at a time; ``stop`` comes from any."""

    def __init__(self, raw: sqlite3.Connection, backend: str, pace: Optional[Callable[[bool], bool]] = None) -> None:
        """``raw`` is in autocommit mode (``isolation_level=None``) and is used by nobody else.

        ``pace`` is called before a statement or a batch of rows (True), and every millisecond or so of one (False), in
        its thread; it may make it wait a little, and tells whether it should wait longer.
        """
        apply(raw)
        self._raw = raw
        self._backend = backend
        self._authorizer = Authorizer(raw)
        self._schema_listing = "[]"
        self._cursors: List[OpenCursor] = []
        #: Of the present transaction, by the guard that allowed them last.
        self._used: Dict[Tuple[AccessNeed, ...], Guard] = {}
        self._changed_schema = False
        #: Why the authorizer stopped the statement that runs.
        self._refusal: Optional[Exception] = None
        self._pace = pace
        self._stop_at = NEVER
        #: ``stop`` was called since the last ``bound``.
        self._stopped = False
        self.transaction = Transaction.NONE
        #: Why the transaction is gone although the plugin has not ended it; it has to roll back to go on.
        self.lost: Optional[CallError] = None
        raw.create_function(SCHEMA_FUNCTION, 0, lambda: self._schema_listing)
        raw.set_progress_handler(self._is_overdue, PROGRESS_INSTRUCTIONS)
        self._schema_version = self._read_schema_version()

    def run(
        self, guard: Guard, statement: str, parameters: Sequence[Any], *, may_write: bool, first_rows: int = 0
    ) -> Optional[Result]:
        """Decides and runs one statement; None: it writes, and ``may_write`` says not yet. Nothing has run then.

        Raises CallError.
        """
        with self._attempt():
            plan = self._ready(guard, statement, parameters, may_write)
            if plan is None:
                return None
            with self._checking_references(plan, guard), self._authorizer.enforcing(plan, self._judge(guard)):
                raw = self._execute(plan, lambda cursor: cursor.execute(statement, parameters))
                return self._result(OpenCursor(raw, plan, guard), first_rows)

    def run_many(
        self, guard: Guard, statement: str, rows: Sequence[Sequence[Any]], *, may_write: bool
    ) -> Optional[Result]:
        """As ``run``, once for each of the rows, of which there is at least one."""
        with self._attempt():
            plan = self._ready(guard, statement, rows[0], may_write)
            if plan is None:
                return None
            with self._authorizer.enforcing(plan, self._judge(guard)):
                raw = self._execute(plan, lambda cursor: cursor.executemany(statement, rows))
                raw.close()
                return Result((), [], None, raw.rowcount, None)

    def fetch(self, cursor: OpenCursor, rows: int = 0) -> List[Tuple[Any, ...]]:
        """The next rows; none: that was all, and the cursor is closed.

        Raises CallError, also when the transaction has ended since.
        """
        if self.lost is not None:
            raise self.lost
        if cursor not in self._cursors:
            raise cursor_closed()
        with self._attempt(), self._authorizer.enforcing(cursor.plan, self._judge(cursor.guard)):
            found, _ = batch(cursor.raw, rows)
        if not found:
            self.close_cursor(cursor)
        return found

    @property
    def open_cursors(self) -> int:
        return len(self._cursors)

    def close_cursor(self, cursor: OpenCursor) -> None:
        cursor.raw.close()
        if cursor in self._cursors:
            self._cursors.remove(cursor)

    def commit(self) -> None:
        """Cursors close with it. When it raises CallError the transaction is still open."""
        if self.lost is not None:
            raise self.lost
        self._close_cursors()
        if self.transaction is Transaction.NONE:
            return
        with self._attempt():
            self._own("COMMIT")
        self._ended()

    def note_commit(self, installation: str, execution: str) -> None:
        """In the transaction that is committed next: what is committed is the work of this execution.

        For who may write at this moment. Raises CallError: of an integrity error, where another attempt of it has
        committed.
        """
        if self.lost is not None:
            raise self.lost
        if self.transaction is not Transaction.WRITING:
            self.commit()
            self._own("BEGIN IMMEDIATE")
            self.transaction = Transaction.WRITING
        with self._attempt():
            self._own(COMMIT_TABLE)
            note = "INSERT INTO main.moorage_commit (installation, execution) VALUES (?, ?)"
            self._raw.execute(note, (installation, execution))

    def rollback(self) -> None:
        self.lost = None
        self._close_cursors()
        if self._raw.in_transaction:
            with contextlib.suppress(sqlite3.OperationalError):
                self._raw.execute("ROLLBACK")
        if self._changed_schema:
            self._authorizer.forget()
        self._ended()

    def abandon(self, why: CallError) -> None:
        """Rolls back on the host's own account; every use raises the error until the plugin rolls back itself."""
        self.rollback()
        self.lost = why

    def close(self) -> None:
        # By itself closing does not roll back while any statement is alive, and a traceback can keep one alive.
        self.rollback()
        self._raw.close()

    def bound(self, stop_at: float) -> None:
        """From now on statements end when ``time.monotonic()`` reaches this. Not while one runs."""
        if self._stopped:
            # What was stopped may have ended before it noticed. SQLite would interrupt the next statement in its
            # place, and goes on interrupting until no statement is left.
            self._stopped = False
            self._close_cursors()
        self._stop_at = stop_at

    def stop(self) -> None:
        """Ends what runs, soon; from any thread.

        The progress handler alone would leave as many calls of slow functions as there are instructions between looks.
        """
        self._stop_at = 0.0
        self._stopped = True
        with contextlib.suppress(sqlite3.ProgrammingError):
            self._raw.interrupt()

    def is_revoked(self) -> bool:
        """Whether the present transaction or an open cursor used what is no longer granted."""
        used = [*self._used.items(), *((cursor.plan.needs, cursor.guard) for cursor in self._cursors)]
        return not all(is_covered(needs, self._backend, guard) for needs, guard in used)

    def _ready(self, guard: Guard, statement: str, parameters: Sequence[Any], may_write: bool) -> Optional[Plan]:
        """Plans, decides, begins. The plan counts only for the schema that the transaction sees."""
        if self.lost is not None:
            raise self.lost
        while True:
            plan = self._authorizer.plan(statement, parameters)
            if not self._is_allowed(guard, plan):
                self._authorizer.reload()
                continue
            if plan.writes and not may_write:
                return None
            if self._begin(plan):
                return plan
            self._authorizer.reload()

    def _is_allowed(self, guard: Guard, plan: Plan) -> bool:
        """False: not by a plan for a schema that is no more. Raises the refusal."""
        missing = first_missing(plan.needs, self._backend, guard)
        if missing is not None:
            if self._is_outdated():
                return False
            raise _refusal(guard, missing)
        if plan.needs:
            self._used[plan.needs] = guard
        else:
            guard.require_any(self._backend)
        if plan.lists_schema:
            self._schema_listing = self._authorizer.schema_json(lambda found: visible(found, self._backend, guard))
        return True

    def _judge(self, guard: Guard) -> Judge:
        def allows(action: Action) -> bool:
            try:
                missing = first_missing(needs_of((action,)), self._backend, guard)
            except Forbidden as forbidden:
                self._refusal = translate(forbidden)
                return False
            if missing is not None:
                self._refusal = _refusal(guard, missing)
            return missing is None

        return allows

    def _begin(self, plan: Plan) -> bool:
        """Whether the schema is still the one that the plan was made for."""
        if self.transaction is Transaction.NONE:
            if not (plan.touches_file or plan.marks):
                return True
            self._own("BEGIN IMMEDIATE" if plan.writes else "BEGIN")
            self.transaction = Transaction.WRITING if plan.writes else Transaction.BEGUN
        elif self.transaction is not Transaction.BEGUN:
            return True
        if not plan.touches_file:
            return True
        # Reading the version takes the snapshot that the transaction keeps.
        version = self._read_schema_version()
        if self.transaction is Transaction.BEGUN:
            self.transaction = Transaction.READING
        known, self._schema_version = self._schema_version, version
        return version == known

    @contextlib.contextmanager
    def _checking_references(self, plan: Plan, guard: Guard) -> Iterator[None]:
        """The authorizer says nothing of the foreign keys that a table is given: they are looked at, and undone."""
        if not plan.tables_made:
            yield
            return
        before = self._authorizer.parents(plan.tables_made)
        self._own("SAVEPOINT moorage_define")
        try:
            yield
            added = self._authorizer.parents(plan.tables_made) - before
            missing = first_missing(map(reference_need, sorted(added)), self._backend, guard)
            if missing is not None:
                raise _refusal(guard, missing)
        except BaseException:
            if self._raw.in_transaction:
                self._own("ROLLBACK TO moorage_define")
            raise
        finally:
            if self._raw.in_transaction:
                self._own("RELEASE moorage_define")

    def _is_outdated(self) -> bool:
        """Whether plans were made for another schema than the next transaction will see."""
        if self.transaction is not Transaction.NONE:
            return False
        known, self._schema_version = self._schema_version, self._read_schema_version()
        return self._schema_version != known

    def _execute(self, plan: Plan, run: Callable[[sqlite3.Cursor], Any]) -> sqlite3.Cursor:
        cursor = self._raw.cursor()
        with _closed_on_error(cursor):
            if plan.writes and self.transaction is not Transaction.WRITING:
                self._upgrade(lambda: run(cursor))
            else:
                run(cursor)
        if plan.changes_schema:
            self._changed_schema = True
            self._authorizer.forget()
        return cursor

    def _upgrade(self, run: Callable[[], Any]) -> None:
        """The first write of a transaction that has begun as a reader."""
        try:
            self._patiently(run)
        except sqlite3.Error as error:
            if is_stale_snapshot(error):
                raise serialization_failure() from None
            if not is_busy(error):
                # The statement failed for a reason of its own, with the write lock in hand.
                self.transaction = Transaction.WRITING
            raise
        self.transaction = Transaction.WRITING

    def _result(self, cursor: OpenCursor, first_rows: int) -> Result:
        raw = cursor.raw
        columns = tuple(column[0] for column in raw.description or ())
        with _closed_on_error(raw):
            rows, complete = batch(raw, first_rows)
        last_row_id = raw.lastrowid if cursor.plan.inserts else None
        if complete:
            row_count = raw.rowcount
            raw.close()
            return Result(columns, rows, None, row_count, last_row_id)
        self._cursors.append(cursor)
        return Result(columns, rows, cursor, -1, last_row_id)

    @contextlib.contextmanager
    def _attempt(self) -> Iterator[None]:
        """Translates errors, and notes what they did to the transaction."""
        before = self.transaction
        self._refusal = None
        while self._must_wait(between=True) and time.monotonic() < self._stop_at:
            pass
        try:
            yield
        except (CallError, *ERRORS) as error:
            told = error if isinstance(error, CallError) else self._explain(error)
            self._after_failure(before, told)
            raise told from None

    def _explain(self, error: BaseException) -> Exception:
        if self._refusal is not None:
            return self._refusal
        if str(error) == "interrupted":
            # SQLite goes on interrupting until no statement is left.
            self._close_cursors()
            return deadline_exceeded()
        return translate(error)

    def _after_failure(self, before: Transaction, error: Exception) -> None:
        if before is Transaction.NONE:
            # Nothing was done before this statement: an empty transaction would only hold up others.
            if self.transaction is not Transaction.NONE:
                self.rollback()
        elif not self._raw.in_transaction and self.lost is None:
            # Some failures make SQLite roll back everything: INSERT OR ROLLBACK, an interrupted write, a full disk.
            self.abandon(rolled_back_by_sqlite(error))

    def _own(self, statement: str) -> List[Any]:
        """One of this side's own statements, which nothing is decided for."""
        found: List[Any] = self._patiently(lambda: self._raw.execute(statement).fetchall())
        return found

    def _patiently(self, run: Callable[[], Any]) -> Any:
        """Waits for a writer in another process; SQLite itself waits for some milliseconds of that at a time."""
        until = min(self._stop_at, time.monotonic() + BUSY_SECONDS)
        while True:
            try:
                return run()
            except sqlite3.OperationalError as error:
                if not is_busy(error) or is_stale_snapshot(error) or time.monotonic() >= until:
                    raise

    def _read_schema_version(self) -> int:
        return int(self._own("PRAGMA main.schema_version")[0][0])

    def _close_cursors(self) -> None:
        for cursor in self._cursors:
            cursor.raw.close()
        self._cursors.clear()

    def _ended(self) -> None:
        self.transaction = Transaction.NONE
        self._used.clear()
        self._changed_schema = False

    def _is_overdue(self) -> bool:
        self._must_wait(between=False)
        return time.monotonic() >= self._stop_at

    def _must_wait(self, *, between: bool) -> bool:
        """After it has waited a little. A writer is not held up: others wait for it."""
        return self._pace is not None and self.transaction is not Transaction.WRITING and self._pace(between)


@contextlib.contextmanager
def _closed_on_error(cursor: sqlite3.Cursor) -> Iterator[None]:
    """The traceback keeps the cursor, and a statement that is alive keeps the file open though its connection is
    closed: until a garbage collection, and how many there are meanwhile is the plugin's to choose.
    """
    try:
        yield
    except BaseException:
        cursor.close()
        raise


def _refusal(guard: Guard, missing: Capability) -> Exception:
    guard.decide(missing)
    return guard.refusal(missing)
