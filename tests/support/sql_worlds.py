"""Two worlds for the same tests: the host's service behind the real broker and link, and the testing kit's fake."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import sqlite3
import tempfile
import threading
from collections.abc import Coroutine, Iterator
from pathlib import Path
from typing import Any, Protocol

from memory_link import Connected, RecordingAudit, connected

from moorage.broker.broker import Broker
from moorage.broker.scope import ScopeKind
from moorage.broker.services.sql import SqlService
from moorage.broker.services.sql.connection import SqliteLimits
from moorage.broker.services.sql.sqlite import SqliteDatabase
from moorage_proto.capability import Grants, parse
from moorage_sdk.channel import Channel
from moorage_sdk.scope import Scope
from moorage_sdk.services.sql import AsyncConnection, Connection
from moorage_sdk.testing.base import FakeScope
from moorage_sdk.testing.channel import LocalChannel
from moorage_sdk.testing.gate import Gate
from moorage_sdk.testing.sql import FakeSql
from moorage_sdk.worker.channel import LinkChannel
from moorage_sdk.worker.handover import Handover

WAIT_SECONDS = 10

SCHEMA = """
    CREATE TABLE users (id INTEGER PRIMARY KEY, name TEXT NOT NULL, email TEXT);
    CREATE TABLE plays (id INTEGER PRIMARY KEY, user_id INTEGER, track TEXT, rating INTEGER);
    CREATE TABLE salaries (id INTEGER PRIMARY KEY, user_id INTEGER, cents INTEGER);
    CREATE TABLE audited (id INTEGER PRIMARY KEY, note TEXT);
    CREATE TABLE audit_log (note TEXT);
    CREATE TABLE tags (name TEXT PRIMARY KEY, used INTEGER DEFAULT 0);
    CREATE TABLE owned (id INTEGER PRIMARY KEY, salary_id INTEGER REFERENCES salaries(id));
    CREATE VIEW everything AS SELECT users.name, salaries.cents FROM users JOIN salaries ON user_id = users.id;
    CREATE VIEW names AS SELECT id, name FROM users;
    CREATE VIEW nested AS SELECT cents FROM everything;
    CREATE INDEX salaries_by_user ON salaries (user_id);
    CREATE TRIGGER audited_insert AFTER INSERT ON audited BEGIN INSERT INTO audit_log VALUES (new.note); END;
    INSERT INTO users VALUES (1, 'Ada', 'ada@example.org'), (2, 'Grace', 'grace@example.org');
    INSERT INTO plays VALUES (1, 1, 'Army of Me', 3), (2, 2, 'Halleluhwah', 5);
    INSERT INTO salaries VALUES (1, 1, 100), (2, 2, 200);
    INSERT INTO tags VALUES ('rock', 1);
"""


class Worker(Protocol):
    """One worker's end, with the scope e-1 open."""

    channel: Channel

    def open_scope(self, scope: str) -> None: ...

    def end(self, *, success: bool, scope: str = "e-1") -> None:
        """As the host does when the task has ended; raises the commit's CallError."""

    def set_grants(self, *capabilities: str) -> None: ...


class World(Protocol):
    def worker(self, *capabilities: str, deny: tuple[str, ...] = (), installation: str = "churn") -> Worker: ...

    def rows(self, statement: str) -> list[tuple[Any, ...]]:
        """As the application's owner."""

    def contents(self) -> list[str]:
        """Everything there is, schema and rows, as SQL."""


def scoped(worker: Worker, scope: str = "e-1", backend: str = "main") -> Connection:
    return Connection(worker.channel, backend, scoped=True, scope=Scope(scope))


def unscoped(worker: Worker, scope: str = "e-1", backend: str = "main") -> Connection:
    return Connection(worker.channel, backend, scope=Scope(scope))


def scoped_async(worker: Worker, scope: str = "e-1") -> AsyncConnection:
    return AsyncConnection(worker.channel, scoped=True, scope=Scope(scope))


def granted(*capabilities: str, deny: tuple[str, ...] = (), epoch: int = 0) -> Grants:
    return Grants(tuple(map(parse, capabilities)), tuple(map(parse, deny)), epoch)


@functools.cache
def _image() -> bytes:
    """A database file with the schema: made once, as every table costs its writes to the disk."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "image.db"
        with contextlib.closing(sqlite3.connect(path)) as raw:
            raw.execute("PRAGMA journal_mode = WAL")
            raw.executescript(f"BEGIN; {SCHEMA} COMMIT;")
        return path.read_bytes()


class HostWorld:
    """Broker and service run on an event loop of their own; the tests are the plugin's threads."""

    def __init__(self, folder: Path, limits: SqliteLimits) -> None:
        self.paths = {"main": folder / "app.db", "other": folder / "other.db"}
        self._write_files()
        self.audit = RecordingAudit()
        self.databases = {name: SqliteDatabase(name, path, limits) for name, path in self.paths.items()}
        self._run()

    def _run(self) -> None:
        self.loop = asyncio.new_event_loop()
        self.thread = threading.Thread(target=self.loop.run_forever, name="host", daemon=True)
        self.thread.start()
        self._stack = contextlib.AsyncExitStack()
        self._workers: dict[str, contextlib.AsyncExitStack] = {}
        self.broker = self.do(self._open())

    def reset(self) -> None:
        """As new, but for the threads and the loop."""
        self.do(self._end_workers())
        self._write_files()
        self.audit.passed.clear()
        self.audit.refused.clear()

    def worker(self, *capabilities: str, deny: tuple[str, ...] = (), installation: str = "churn") -> HostWorker:
        """A further one of an installation replaces the one before."""
        return HostWorker(self, self.do(self._connect(granted(*capabilities, deny=deny), installation)))

    def rows(self, statement: str, backend: str = "main") -> list[tuple[Any, ...]]:
        with contextlib.closing(sqlite3.connect(self.paths[backend], isolation_level=None)) as raw:
            return raw.execute(statement).fetchall()

    def contents(self) -> list[str]:
        with contextlib.closing(sqlite3.connect(self.paths["main"])) as raw:
            return list(raw.iterdump())

    def do(self, work: Coroutine[Any, Any, Any]) -> Any:
        return asyncio.run_coroutine_threadsafe(work, self.loop).result(WAIT_SECONDS)

    def close(self) -> None:
        self.do(self._end())
        self.loop.call_soon_threadsafe(self.loop.stop)
        self.thread.join(WAIT_SECONDS)
        self.loop.close()

    async def _connect(self, grants: Grants, installation: str) -> Connected:
        stack = self._workers.pop(installation, None)
        if stack is not None:
            await stack.aclose()
        self._workers[installation] = stack = contextlib.AsyncExitStack()
        return await stack.enter_async_context(connected(self.broker, grants, installation=installation))

    async def _end_workers(self) -> None:
        for worker in self._workers.values():
            await worker.aclose()
        self._workers.clear()

    def _write_files(self) -> None:
        for path in self.paths.values():
            for file in path.parent.glob(f"{path.name}*"):
                file.unlink()
            path.write_bytes(_image())

    async def _end(self) -> None:
        await self._end_workers()
        await self._stack.aclose()

    async def _open(self) -> Broker:
        broker = Broker([SqlService(self.databases)], self.audit)
        await broker.open()
        self._stack.push_async_callback(broker.close)
        return broker


class HostWorker:
    def __init__(self, world: HostWorld, connected: Connected) -> None:
        self.world = world
        self.session = connected.session
        self.link = connected.worker
        self.loop = world.loop
        self.channel = LinkChannel(self)  # type: ignore[arg-type]
        self._handover = Handover(world.loop)
        self._epoch = 0

    def open_scope(self, scope: str) -> None:
        async def opened() -> None:
            self.session.open_scope(ScopeKind.EXECUTION, scope, execution=scope)

        self.world.do(opened())

    def end(self, *, success: bool, scope: str = "e-1") -> None:
        self.world.do(self.session.close_scope(scope, success=success))

    def die(self) -> None:
        """The link is lost, as when the process was killed."""
        self.world.do(self.session.end())

    def set_grants(self, *capabilities: str) -> None:
        self._epoch += 1

        async def changed() -> None:
            await self.session.set_grants(granted(*capabilities, epoch=self._epoch))

        self.world.do(changed())

    # What LinkChannel asks of a LinkThread

    def post(self, callback: Any, *arguments: Any) -> None:
        self._handover.post(callback, *arguments)

    def is_current(self) -> bool:
        return threading.current_thread() is self.world.thread


class FakeWorld:
    def __init__(self) -> None:
        self.sql = FakeSql()
        for backend in ("main", "other"):
            self.sql.database(backend)._path.write_bytes(_image())

    def worker(self, *capabilities: str, deny: tuple[str, ...] = (), installation: str = "churn") -> FakeWorker:
        gate = Gate(installation, (self.sql,))
        gate.grants = granted(*capabilities, deny=deny)
        return FakeWorker(gate)

    def rows(self, statement: str) -> list[tuple[Any, ...]]:
        return self.sql.rows(statement)

    def contents(self) -> list[str]:
        with contextlib.closing(self.sql.database().connect()) as raw:
            return list(raw.iterdump())

    def close(self) -> None:
        self.sql.close()


class FakeWorker:
    def __init__(self, gate: Gate) -> None:
        self.gate = gate
        self.channel = LocalChannel(gate)
        self.open_scope("e-1")

    def open_scope(self, scope: str) -> None:
        self.gate.scopes[scope] = FakeScope(scope, scope)

    def end(self, *, success: bool, scope: str = "e-1") -> None:
        self.gate.scopes[scope].end(success=success)

    def set_grants(self, *capabilities: str) -> None:
        self.gate.grants = granted(*capabilities)


@contextlib.contextmanager
def closing_world(world: Any) -> Iterator[Any]:
    try:
        yield world
    finally:
        world.close()
