"""Everything that a plugin can hold open, and how each looks from the side of its backend."""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psycopg
from azure.servicebus import ServiceBusMessage
from azure.servicebus.aio import ServiceBusClient
from servers.postgres import PostgresServer
from servers.redis import RedisServer
from servers.servicebus import ServiceBusServer
from servers.web import WebServer

from moorage.app import Host
from moorage.events.events import ExecutionProgressed
from moorage.models.execution import ExecutionRequest

#: Until a worker has started and has something open.
OPEN_SECONDS = 30.0

PLUGIN = """
    import socket
    import threading
    from typing import Annotated

    import httpx
    from redis import Redis

    from moorage_sdk import Backend, Context, Plugin
    from moorage_sdk.config import ConfigChange
    from moorage_sdk.events import Events
    from moorage_sdk.kafka import Message, Producer
    from moorage_sdk.servicebus import ServiceBusClient
    from moorage_sdk.sql import Connection

    plugin = Plugin()

    def hold(ctx: Context) -> None:
        ctx.progress(0.5, "open")
        ctx.wait_cancelled(60)

    @plugin.task
    def warm(db: Connection, pg: Annotated[Connection, Backend("pg")], redis: Redis, kafka: Producer,
             bus: ServiceBusClient, http: httpx.Client, input: str) -> None:
        for one in (db, pg):
            one.execute("SELECT name FROM users").fetchall()
        bus.get_queue_receiver("orders").receive_messages(max_wait_time=0.1)
        redis.get("warm")
        kafka.send("held", "warm").result(timeout=20)
        http.get(input)

    @plugin.task
    def sqlite(ctx: Context, db: Connection) -> None:
        db.execute("INSERT INTO users (name) VALUES ('held')")
        hold(ctx)

    @plugin.task
    def sqlite_cursor(ctx: Context, db: Connection) -> None:
        db.cursor(server_side=True).execute("SELECT id FROM many").fetchone()
        hold(ctx)

    @plugin.task
    def postgres(ctx: Context, db: Annotated[Connection, Backend("pg")]) -> None:
        db.execute("UPDATE users SET name = 'held' WHERE id = 1")
        hold(ctx)

    @plugin.task
    def postgres_cursor(ctx: Context, db: Annotated[Connection, Backend("pg")]) -> None:
        db.cursor(server_side=True).execute("SELECT id FROM many").fetchone()
        hold(ctx)

    ENDLESS = "SELECT count(*) FROM many a, many b, many c WHERE a.id + b.id + c.id = 0"

    @plugin.task
    def sqlite_statement(ctx: Context, db: Connection) -> None:
        ctx.progress(0.5, "open")
        db.execute(ENDLESS)

    @plugin.task
    def postgres_statement(ctx: Context, db: Annotated[Connection, Backend("pg")]) -> None:
        ctx.progress(0.5, "open")
        db.execute(ENDLESS)

    @plugin.task
    def redis_watch(ctx: Context, redis: Redis) -> None:
        with redis.pipeline() as pipeline:
            pipeline.watch("watched")
            hold(ctx)

    @plugin.task
    def redis_subscription(ctx: Context, redis: Redis) -> None:
        listening = redis.pubsub()
        listening.subscribe("news")
        listening.get_message(timeout=10)
        hold(ctx)

    @plugin.task
    def redis_pop(ctx: Context, redis: Redis) -> None:
        ctx.progress(0.5, "open")
        redis.blpop("never", timeout=50)

    @plugin.task
    def servicebus(ctx: Context, bus: ServiceBusClient) -> None:
        receiver = bus.get_queue_receiver("orders")
        assert receiver.receive_messages(max_wait_time=10)
        hold(ctx)

    @plugin.task
    def http_response(ctx: Context, http: httpx.Client, input: str) -> None:
        with http.stream("GET", input, timeout=None) as response:
            next(response.iter_raw())
            hold(ctx)

    @plugin.task
    def http_request(ctx: Context, http: httpx.Client, input: str) -> None:
        def body():
            yield b"x" * 1000
            hold(ctx)
        http.post(input, content=body(), timeout=None)

    @plugin.task
    def events_subscription(ctx: Context, events: Events) -> None:
        with events.subscribe("track.*"):
            hold(ctx)

    @plugin.task
    def events_request(ctx: Context, events: Events) -> None:
        ctx.progress(0.5, "open")
        events.request("held.question", timeout=50)

    @plugin.reply_to("held.question")
    def answer(ctx: Context) -> None:
        ctx.wait_cancelled(50)

    @plugin.task
    def tunnel(ctx: Context, input: str) -> None:
        with socket.create_connection(("127.0.0.1", 3128), timeout=20) as proxied:
            proxied.sendall(f"CONNECT {input} HTTP/1.1\\r\\n\\r\\n".encode())
            assert b" 200 " in proxied.recv(100)
            hold(ctx)

    @plugin.task
    def kafka_batch(ctx: Context, kafka: Producer) -> None:
        def batch():
            yield Message("held", "one")
            hold(ctx)
        kafka.send_batch(batch())

    @plugin.on_config_changed
    def changed(change: ConfigChange, events: Events) -> None:
        if change.after.get("wait"):
            events.publish("held.hook")
            threading.Event().wait(60)
"""

#: Without those to servers whose ports are not known yet.
RIGHTS = (
    *("sql.write:users", "sql.read:users", "sql.read:many"),
    *("sql.write:pg/users", "sql.read:pg/users", "sql.read:pg/many"),
    *("redis.read:**", "redis.write:**", "redis.subscribe:news", "servicebus.receive:orders", "kafka.produce:held"),
    *("events.subscribe:track.*", "events.request:held.*", "events.reply:held.*", "events.publish:held.*"),
)


@dataclass
class World:
    host: Host
    database: Path
    postgres: PostgresServer
    redis: RedisServer
    bus: ServiceBusServer
    web: WebServer
    #: Of the server that accepts and says nothing.
    silent_port: int
    silent: list[asyncio.StreamWriter] = field(default_factory=list)

    async def begin(self, task: str, input: Any = None) -> None:  # noqa: A002 - the task's own word for it
        """Returns when the plugin says that it is open."""
        async with asyncio.timeout(OPEN_SECONDS), self.host.events.subscribe(ExecutionProgressed) as progressed:
            execution = await self.host.submit(ExecutionRequest("holder", task, input))
            ended = asyncio.create_task(self.host.wait(execution.id), name="until it has ended")
            opened = asyncio.create_task(progressed.__anext__(), name="until it is open")
            await asyncio.wait((ended, opened), return_when=asyncio.FIRST_COMPLETED)
            assert opened.done(), f"it ended: {ended.result().error}"
            ended.cancel()


#: Whether the backend sees it open.
Seen = Callable[[World], Awaitable[bool]]


def _writer_lock_taken(world: World) -> bool:
    with contextlib.closing(sqlite3.connect(world.database, timeout=0, isolation_level=None)) as connection:
        try:
            connection.execute("BEGIN IMMEDIATE")
        except sqlite3.OperationalError:
            return True
        assert connection.execute("SELECT count(*) FROM users WHERE name = 'held'").fetchone() == (0,)
        return False


async def sees_sqlite(world: World) -> bool:
    return _writer_lock_taken(world)


async def sees_sqlite_reader(world: World) -> bool:
    """A log that cannot be emptied is one that somebody reads: TRUNCATE waits for readers."""
    with contextlib.closing(sqlite3.connect(world.database, timeout=0, isolation_level=None)) as connection:
        connection.execute("INSERT INTO users (name) VALUES ('another')")
        return bool(connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0])


async def sees_postgres(world: World) -> bool:
    ((transactions,),) = world.postgres.run(
        "SELECT count(*) FROM pg_stat_activity WHERE usename LIKE 'moorage%' AND xact_start IS NOT NULL"
    )
    return bool(transactions)


async def sees_postgres_row(world: World) -> bool:
    try:
        world.postgres.run("SELECT id FROM users WHERE id = 1 FOR UPDATE NOWAIT", database="application")
    except psycopg.errors.LockNotAvailable:
        return True
    assert world.postgres.run("SELECT name FROM users WHERE id = 1", database="application") == [("Ada",)]
    return await sees_postgres(world)


def held_in_redis(**what: str) -> Seen:
    async def seen(world: World) -> bool:
        clients = await asyncio.to_thread(world.redis.clients)
        return any(all(client[key] == value for key, value in what.items()) for client in clients)

    return seen


async def sees_watch(world: World) -> bool:
    """The connection is no longer of those at rest: it has the name of the execution."""
    return any("/e-" in client["name"] for client in await asyncio.to_thread(world.redis.clients))


async def sees_message_taken(world: World) -> bool:
    """Whoever asks for it does not get it. One who gets it is told how often it was delivered before."""
    async with (
        ServiceBusClient.from_connection_string(world.bus.connection_string()) as client,
        client.get_queue_receiver("orders") as receiver,
    ):
        messages = await receiver.receive_messages(max_wait_time=0.5)
        for message in messages:
            assert (message.delivery_count or 0) >= 1
            await receiver.complete_message(message)
        return not messages


async def sees_http(world: World) -> bool:
    return world.web.open > 0


async def sees_reader(world: World) -> bool:
    return any(not reader._closed for reader in world.host._parts.hub._readers._readers)


async def sees_scope_of_event(world: World) -> bool:
    """The host has no other side here but its own."""
    return any(
        scope.kind == "event"
        for session in world.host._parts.broker.sessions.values()
        for scope in session._link.scopes.values()
    )


async def sees_tunnel(world: World) -> bool:
    for client in world.silent:
        client.write(b"x")
    await asyncio.sleep(0)
    world.silent[:] = [client for client in world.silent if not client.is_closing()]
    return bool(world.silent)


async def sees_postgres_work(world: World) -> bool:
    ((active,),) = world.postgres.run(
        "SELECT count(*) FROM pg_stat_activity WHERE usename LIKE 'moorage%' AND state = 'active'"
    )
    return bool(active)


def handled(method: str) -> Seen:
    """The backend is a part of the host: it works as long as the handler of the call does."""

    async def seen(_: World) -> bool:
        return any(method in task.get_name() for task in asyncio.all_tasks())

    return seen


@dataclass(frozen=True)
class Thing:
    task: str
    seen: Seen
    input: Callable[[World], str] | None = None
    prepare: Callable[[World], Awaitable[None]] | None = None


async def send_a_message(world: World) -> None:
    async with (
        ServiceBusClient.from_connection_string(world.bus.connection_string()) as client,
        client.get_queue_sender("orders") as sender,
    ):
        await sender.send_messages(ServiceBusMessage("one"))


THINGS = (
    Thing("sqlite", sees_sqlite),
    Thing("sqlite_cursor", sees_sqlite_reader),
    Thing("postgres", sees_postgres_row),
    Thing("postgres_cursor", sees_postgres),
    Thing("sqlite_statement", handled("SqlService/Execute")),
    Thing("postgres_statement", sees_postgres_work),
    Thing("redis_watch", sees_watch),
    Thing("redis_subscription", held_in_redis(sub="1")),
    Thing("redis_pop", held_in_redis(cmd="blpop")),
    Thing("servicebus", sees_message_taken, prepare=send_a_message),
    Thing("http_response", sees_http, input=lambda world: f"http://{world.web.origin}/drip"),
    Thing("http_request", sees_http, input=lambda world: f"http://{world.web.origin}/mirror"),
    Thing("events_subscription", sees_reader),
    Thing("events_request", sees_scope_of_event),
    Thing("tunnel", sees_tunnel, input=lambda world: f"localhost:{world.silent_port}"),
    Thing("kafka_batch", handled("KafkaService/ProduceBatch")),
)
