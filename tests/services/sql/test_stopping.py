"""Stopping one statement, seen at the checked session: what comes after it is not stopped in its place."""

from __future__ import annotations

import sqlite3
import time

import pytest

from moorage_proto.capability import Capability, Decision
from moorage_proto.errors import CallError, Reason
from moorage_proto.sqlite_session import SqliteSession


class Everything:
    """A guard that allows all; what is refused is tested elsewhere."""

    def decide(self, need: Capability) -> Decision:
        return Decision(True, need)

    def covers(self, need: Capability) -> bool:
        return True

    def require_any(self, backend: str) -> None: ...

    def refusal(self, need: Capability) -> Exception:
        raise AssertionError(need)


@pytest.fixture
def session():
    raw = sqlite3.connect(":memory:", isolation_level=None)
    raw.executescript("CREATE TABLE n (i); INSERT INTO n SELECT value FROM json_each('[1, 2, 3, 4, 5, 6]')")
    session = SqliteSession(raw, "main")
    yield session
    session.close()


def test_a_stop_that_comes_too_late_does_not_hit_the_next_statement(session: SqliteSession) -> None:
    cursor = session.run(Everything(), "SELECT i FROM n", (), may_write=False, first_rows=2).cursor
    assert cursor is not None

    session.stop()  # nothing runs, but the cursor still stands among the rows
    session.bound(time.monotonic() + 10)

    assert session.run(Everything(), "SELECT 1", (), may_write=False).rows == [(1,)]
    with pytest.raises(CallError) as closed:
        session.fetch(cursor)
    assert closed.value.reason != Reason.DEADLINE_EXCEEDED


def test_without_a_stop_the_cursor_goes_on(session: SqliteSession) -> None:
    cursor = session.run(Everything(), "SELECT i FROM n", (), may_write=False, first_rows=2).cursor

    session.bound(time.monotonic() + 10)

    assert session.fetch(cursor) == [(3,), (4,), (5,), (6,)]
