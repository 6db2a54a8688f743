"""What the host has open of a database: nothing, once the scopes have ended, wherever their calls were cancelled."""

from __future__ import annotations

import asyncio
import functools
import gc
import itertools
import threading
from collections.abc import AsyncIterator, Callable, Coroutine, Generator, Iterator
from pathlib import Path
from typing import Any

import pytest

from moorage.broker.services.base import Guard
from moorage.broker.services.sql import connection as connections
from moorage.broker.services.sql.base import Opening
from moorage.broker.services.sql.connection import SqliteConnection
from moorage.broker.services.sql.sqlite import SqliteDatabase
from moorage_proto.capability import Capability, Decision
from moorage_proto.errors import CallError, Reason

WAIT_SECONDS = 10


class Everything:
    """A guard that allows all; what is refused is tested elsewhere."""

    def decide(self, need: Capability) -> Decision:
        return Decision(True, need)

    def covers(self, need: Capability) -> bool:
        return True

    def require_any(self, backend: str) -> None: ...

    def refusal(self, need: Capability) -> Exception:
        raise AssertionError(need)


GUARD: Guard = Everything()  # type: ignore[assignment]


@pytest.fixture(autouse=True)
def no_garbage_collection() -> Iterator[None]:
    """What it closes some day is open until then."""
    enabled = gc.isenabled()
    gc.disable()
    yield
    if enabled:
        gc.enable()


@pytest.fixture
async def database(tmp_path: Path) -> AsyncIterator[SqliteDatabase]:
    made = SqliteDatabase("main", tmp_path / "app.db")
    await made.open()
    yield made
    await made.close()


def open_files(folder: Path) -> list[str]:
    found = []
    for link in Path("/proc/self/fd").iterdir():
        try:
            target = link.readlink()
        except FileNotFoundError:
            continue  # the one that lists them
        if target.is_relative_to(folder):
            found.append(target.name)
    return found


async def none_open(folder: Path) -> None:
    """What is closed in a thread of nobody's is closed soon."""
    async with asyncio.timeout(WAIT_SECONDS):
        while open_files(folder):
            await asyncio.sleep(0.001)


def connect(database: SqliteDatabase) -> SqliteConnection:
    return database.connect(Opening("churn", "moorage/churn/e-1", scoped=True))


async def run(connection: SqliteConnection, statement: str) -> None:
    await connection.execute(GUARD, statement, (), first_rows=2, deadline=None)


async def writes(connection: SqliteConnection) -> None:
    await run(connection, "CREATE TABLE IF NOT EXISTS n (i)")
    await run(connection, "INSERT INTO n VALUES (1), (2), (3)")
    await run(connection, "SELECT i FROM n")
    await connection.commit(None)


async def reads(connection: SqliteConnection) -> None:
    await run(connection, "SELECT value FROM json_each('[1, 2, 3, 4, 5]')")


class CancelledAt:
    """Awaits the work, and cancels the task that does so when it waits for the so-many-th time."""

    def __init__(self, work: Coroutine[Any, Any, None], wait: int) -> None:
        self._work = work
        self._wait = wait
        self.waits = 0

    def __await__(self) -> Generator[Any, Any, None]:
        steps = self._work.__await__()
        resume: Callable[[], Any] = functools.partial(steps.send, None)
        while True:
            try:
                waited_for = resume()
            except StopIteration:
                return
            if self.waits == self._wait:
                task = asyncio.current_task()
                assert task is not None
                task.cancel()
            self.waits += 1
            try:
                yield waited_for
                resume = functools.partial(steps.send, None)
            except BaseException as error:
                resume = functools.partial(steps.throw, error)


@pytest.mark.parametrize("work", [reads, writes], ids=lambda work: work.__name__)
async def test_a_call_is_cancelled_at_every_await(
    database: SqliteDatabase, tmp_path: Path, work: Callable[[SqliteConnection], Coroutine[Any, Any, None]]
):
    for wait in itertools.count():
        connection = connect(database)
        cancelled = CancelledAt(work(connection), wait)
        call = asyncio.create_task(_awaited(cancelled))
        await asyncio.wait([call], timeout=WAIT_SECONDS)
        await connection.finish(success=False)
        await connection.release()
        await none_open(tmp_path)
        if cancelled.waits <= wait:
            call.result()
            break
        assert call.cancelled()
    assert wait > 0


@pytest.mark.parametrize(
    "statement",
    [
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT count(*) FROM n",
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT i FROM n WHERE i < 2",
        "SELECT abs(-9223372036854775807 - value) FROM json_each('[0, 1]')",
        "INSERT INTO one VALUES (1)",
    ],
    ids=["its first step", "a later row", "a row that fails", "a constraint"],
)
async def test_a_statement_that_failed_or_was_stopped_keeps_no_file_open(
    database: SqliteDatabase, tmp_path: Path, statement: str
):
    """Its error is kept, as some traceback always is."""
    connection = connect(database)
    await run(connection, "CREATE TABLE one (i PRIMARY KEY)")
    await run(connection, "INSERT INTO one VALUES (1)")
    deadline = asyncio.get_running_loop().time() + 0.05

    with pytest.raises(CallError) as kept:
        await connection.execute(GUARD, statement, (), first_rows=2, deadline=deadline)
    await connection.release()

    assert kept.value.__traceback__ is not None
    await none_open(tmp_path)


async def _awaited(work: CancelledAt) -> None:
    await work


async def test_a_connection_is_released_while_it_opens(database: SqliteDatabase, tmp_path: Path, monkeypatch):
    """As when a handler outlives its scope."""
    opening, opened = threading.Event(), threading.Event()
    real = database._open_file

    def slow():
        opening.set()
        opened.wait(WAIT_SECONDS)
        return real()

    monkeypatch.setattr(database, "_open_file", slow)
    connection = connect(database)
    call = asyncio.create_task(run(connection, "SELECT 1"))
    await asyncio.to_thread(opening.wait, WAIT_SECONDS)
    await connection.release()
    opened.set()

    with pytest.raises(CallError) as closed:
        await call
    assert closed.value.reason == Reason.HANDLE_UNKNOWN
    await none_open(tmp_path)


async def test_a_connection_is_cancelled_while_it_opens(database: SqliteDatabase, tmp_path: Path, monkeypatch):
    """The thread goes on when nobody waits any more, and closes what it opened."""
    monkeypatch.setattr("moorage.broker.services.sql.threads.GRACE_SECONDS", 0.01)
    opening, opened = threading.Event(), threading.Event()
    real = database._open_file

    def slow():
        opening.set()
        opened.wait(WAIT_SECONDS)
        return real()

    monkeypatch.setattr(database, "_open_file", slow)
    connection = connect(database)
    call = asyncio.create_task(run(connection, "SELECT 1"))
    await asyncio.to_thread(opening.wait, WAIT_SECONDS)
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    await connection.release()
    opened.set()

    monkeypatch.setattr(database, "_open_file", real)
    other = connect(database)
    await run(other, "SELECT 1")
    await other.release()
    await none_open(tmp_path)


async def test_a_call_that_does_not_end_in_time_closes_its_connection_in_the_end(
    database: SqliteDatabase, tmp_path: Path, monkeypatch
):
    monkeypatch.setattr(connections, "CLOSE_SECONDS", 0.01)
    connection = connect(database)
    await run(connection, "SELECT 1")
    started, go_on = threading.Event(), threading.Event()
    session = connection._session
    assert session is not None
    monkeypatch.setattr(session, "stop", lambda: None)

    def stuck() -> None:
        started.set()
        go_on.wait(WAIT_SECONDS)

    async def turn() -> None:
        async with connection._turn(None):
            await connection._in_thread(stuck)

    call = asyncio.create_task(turn())
    await asyncio.to_thread(started.wait, WAIT_SECONDS)
    await connection.release()
    assert open_files(tmp_path)
    go_on.set()
    await call

    await none_open(tmp_path)


async def test_connections_are_released_while_all_threads_are_taken(database: SqliteDatabase, tmp_path: Path):
    go_on = threading.Event()
    connection = connect(database)
    await run(connection, "SELECT 1")
    share = connection._share
    stuck = [
        asyncio.create_task(share.run(lambda: go_on.wait(WAIT_SECONDS), lambda: None, lambda: None)) for _ in "1234"
    ]
    await asyncio.sleep(0)

    await connection.release()

    assert open_files(tmp_path) == []
    go_on.set()
    await asyncio.gather(*stuck)
