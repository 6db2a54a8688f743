"""A worker is killed inside everything that it can hold open: the backend is free of it at once, and so is the host.

Each test looks from the backend's own side, and then at what the host has open: calls, scopes, tasks, descriptors.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sqlite3
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path

import pytest
import pytest_asyncio
from host_books import Books, books, nothing_left, session_of
from open_things import OPEN_SECONDS, PLUGIN, RIGHTS, THINGS, Thing, World
from plugin_projects import write_plugin
from servers.postgres import PostgresServer, postgres_server
from servers.redis import RedisServer, redis_server
from servers.servicebus import ServiceBusServer, servicebus_server
from servers.web import Received, web_server

from moorage.app import Host
from moorage.broker.session import BrokerSession
from moorage.config.settings import Settings
from moorage.models.config import ConfigOrder

# Servers and a host are started for the first one.
pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(120)]

#: Built once for all system tests.
SHARED = ("runtimes", "sdk")

#: From the kill until nothing is left.
GONE_SECONDS = 8.0


async def drip(received: Received, writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
    while True:
        writer.write(b"x" * 1000)
        await writer.drain()
        await asyncio.sleep(0.01)


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("application") / "application.db"
    with contextlib.closing(sqlite3.connect(path)) as connection:
        connection.executescript(
            """
            PRAGMA journal_mode=WAL;
            CREATE TABLE users (id INTEGER PRIMARY KEY, name TEXT NOT NULL);
            CREATE TABLE many (id INTEGER PRIMARY KEY);
            INSERT INTO users (name) VALUES ('Ada');
            INSERT INTO many SELECT value FROM (
              WITH RECURSIVE number(value) AS (SELECT 1 UNION ALL SELECT value + 1 FROM number WHERE value < 20000)
              SELECT value FROM number);
            """
        )
    return path


@pytest.fixture(scope="module")
def postgres() -> Iterator[PostgresServer]:
    with postgres_server() as server:
        server.run("CREATE ROLE operator LOGIN CREATEROLE PASSWORD 'pw'", "CREATE DATABASE application OWNER operator")
        server.run("ALTER SCHEMA public OWNER TO operator", database="application")
        server.run(
            "CREATE TABLE users (id integer PRIMARY KEY, name text NOT NULL)",
            "CREATE TABLE many (id integer PRIMARY KEY)",
            "INSERT INTO users VALUES (1, 'Ada')",
            "INSERT INTO many SELECT generate_series(1, 20000)",
            database="application",
            user="operator",
            password="pw",
        )
        yield server


@pytest.fixture(scope="module")
def redis() -> Iterator[RedisServer]:
    with redis_server() as server:
        yield server


@pytest.fixture(scope="module")
def bus() -> Iterator[ServiceBusServer]:
    with servicebus_server(queues=["orders"]) as server:
        yield server


@pytest.fixture(scope="module")
def settings(
    tmp_path_factory: pytest.TempPathFactory,
    built: Path,
    database: Path,
    postgres: PostgresServer,
    redis: RedisServer,
    bus: ServiceBusServer,
) -> Iterator[Settings]:
    state = tmp_path_factory.mktemp("state")
    state.chmod(0o700)
    for name in SHARED:
        (state / name).symlink_to(built / name)
    with tempfile.TemporaryDirectory(prefix="mrg-") as run_dir:
        yield Settings.model_validate(
            {
                "state_dir": state,
                "run_dir": run_dir,
                "sql": {
                    "main": {"url": f"sqlite:///{database}"},
                    "pg": {"url": postgres.url("operator", "pw", "application")},
                },
                "redis": {"main": {"url": redis.url}},
                "servicebus": {"main": {"connection_string": bus.connection_string()}},
                "supervision": {"restarts": 1000, "backoff_first": 0, "backoff_most": 0},
            }
        )


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def world(
    tmp_path_factory: pytest.TempPathFactory,
    settings: Settings,
    database: Path,
    postgres: PostgresServer,
    redis: RedisServer,
    bus: ServiceBusServer,
) -> AsyncIterator[World]:
    silent: list[asyncio.StreamWriter] = []

    async def accept(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        silent.append(writer)

    listening = await asyncio.start_server(accept, "127.0.0.1", 0)
    port = listening.sockets[0].getsockname()[1]
    async with listening, web_server() as web, Host(settings) as host:
        web.on("/drip", drip)
        http = (f"http.{method}:http://{web.origin}/**" for method in ("get", "post"))
        rights = (*RIGHTS, f"net.connect:localhost:{port}", *http)
        project = write_plugin(
            tmp_path_factory.mktemp("plugins"), PLUGIN, name="holder", required=rights, dependencies=["httpx", "redis"]
        )
        await host.install(project, grant_required=True)
        # What is pooled, or made once, is there from here on.
        await host.call("holder", "warm", f"http://{web.origin}/")
        await host.stop("holder")
        yield World(host, database, postgres, redis, bus, web, port, silent)


async def until(check: Callable[[], Awaitable[bool]], what: str, seconds: float = GONE_SECONDS) -> None:
    try:
        async with asyncio.timeout(seconds):
            while not await check():
                await asyncio.sleep(0.01)
    except TimeoutError:
        pytest.fail(f"after {seconds:g} s not yet: {what}")


async def end_worker(world: World, how: str) -> None:
    if how == "kill":
        await world.host.kill("holder")
        return
    view = await world.host.installation("holder")
    (pid,) = [one.pid for one in view.incarnations if one.stopped_at is None]
    os.kill(pid, signal.SIGKILL)


async def check_host(world: World, session: BrokerSession, before: Books) -> None:
    """A worker that was started again meanwhile is stopped: what is compared are hosts without one."""

    async def free() -> bool:
        return nothing_left(session)

    async def as_before() -> bool:
        return not books().beyond(before)

    await until(free, "no call, scope or holding of the dead worker")
    await world.host.stop("holder")
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(GONE_SECONDS):
            while not await as_before():
                await asyncio.sleep(0.01)
    assert books().beyond(before) == []


@pytest.mark.parametrize("end", ["kill", "SIGKILL"])
@pytest.mark.parametrize("thing", THINGS, ids=lambda thing: thing.task)
async def test_nothing_is_left_of(world: World, thing: Thing, end: str) -> None:
    if thing.prepare is not None:
        await thing.prepare(world)
    before = books()
    await world.begin(thing.task, None if thing.input is None else thing.input(world))
    await until(lambda: thing.seen(world), "open, as the backend sees it", OPEN_SECONDS)
    session = session_of(world.host, "holder")
    assert not nothing_left(session)

    await end_worker(world, end)

    async def gone() -> bool:
        return not await thing.seen(world)

    await until(gone, "free, as the backend sees it")
    await check_host(world, session, before)


@pytest.mark.parametrize("end", ["kill", "SIGKILL"])
async def test_a_change_of_settings_is_not_kept_waiting(world: World, end: str) -> None:
    before = books()
    await world.host.start("holder")
    session = session_of(world.host, "holder")
    hooks = world.host.bus.subscribe("held.hook")
    changing = asyncio.create_task(world.host.config.change("holder", ConfigOrder(set={"wait": True})))
    async with asyncio.timeout(OPEN_SECONDS):
        await hooks.__anext__()
        await hooks.aclose()

    await end_worker(world, end)
    async with asyncio.timeout(GONE_SECONDS):
        await changing
    await world.host.config.change("holder", ConfigOrder(unset=("wait",)))
    await check_host(world, session, before)


@pytest.mark.parametrize("end", ["kill", "SIGKILL"])
async def test_a_change_of_levels_is_not_kept_waiting(world: World, end: str) -> None:
    before = books()
    view = await world.host.start("holder")
    session = session_of(world.host, "holder")
    (pid,) = [one.pid for one in view.incarnations if one.stopped_at is None]
    os.kill(pid, signal.SIGSTOP)
    setting = asyncio.create_task(world.host.log_levels.set("holder", 10))

    async def told() -> bool:
        return bool(world.host._parts.log_levels.of("holder"))

    await until(told, "the change is stored, and the worker being told of it", OPEN_SECONDS)

    await end_worker(world, end)
    async with asyncio.timeout(GONE_SECONDS):
        await setting
    await check_host(world, session, before)
