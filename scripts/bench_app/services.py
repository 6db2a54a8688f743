"""What the way through the broker adds to a call of each service.

The same call is made from a sandboxed plugin, and on the bare client in the host's process, in turn and against the
same servers.
"""

from __future__ import annotations

import asyncio
import os
import sqlite3
import statistics
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import psycopg
import redis.asyncio
from azure.servicebus import ServiceBusMessage
from azure.servicebus.aio import ServiceBusClient
from confluent_kafka import Producer

from moorage.app import Host
from moorage.config.settings import Settings

ROOT = Path(__file__).parents[2]
# The servers that the tests start.
sys.path.insert(0, str(ROOT / "tests" / "support"))
from servers.postgres import postgres_server  # noqa: E402
from servers.redis import redis_server  # noqa: E402

PLUGIN = Path(__file__).parent / "services_plugin"
NAME = "bench-services"
SERVICES = ("config", "secrets", "events", "sql, SQLite", "sql, PostgreSQL", "redis", "kafka", "servicebus", "http")
#: Of these there is no client to compare with: the host looks something up in its memory.
OWN = frozenset({"config", "secrets", "events"})

Call = Callable[[], Awaitable[Any]]


async def measure(folder: Path, rounds: int, calls: int) -> dict[str, dict[str, float]]:
    """By service: microseconds of a bare call (0: there is none) and of a brokered one, each the median of medians."""
    _make_database(folder / "bench.db")
    with postgres_server() as postgres, redis_server() as server:
        postgres.run("CREATE TABLE users (id INTEGER PRIMARY KEY, name TEXT)", "INSERT INTO users VALUES (1, 'Ada')")
        with server.client() as client:
            client.set("bench:key", "x" * 64)
        settings = Settings.model_validate(
            {
                "state_dir": folder / "state",
                "run_dir": folder / "run",
                "sql": {
                    "main": {"url": f"sqlite:///{folder / 'bench.db'}"},
                    "postgresql": {"url": postgres.url()},
                },
                "redis": {"main": {"url": server.url}},
                "installations": {NAME: {"config": {"word": "x" * 64}}},
            }
        )
        async with AsyncExitStack() as stack:
            host = await stack.enter_async_context(Host(settings))
            url = await stack.enter_async_context(_web())
            await host.install(PLUGIN, name=NAME, grant_required=True)
            await host.secrets.set(NAME, "BENCH", "x" * 64)
            bare = await stack.enter_async_context(_bare(host, folder, postgres.url(), server.url, url))
            found: dict[str, dict[str, list[float]]] = {name: {"bare": [], "brokered": []} for name in SERVICES}
            for number in range(rounds):
                print(f"bench: round {number + 1} of {rounds}", file=sys.stderr)
                for name in SERVICES:
                    if name in bare:
                        found[name]["bare"].append(await _median(bare[name], calls))
                    question = {"services": [name], "calls": calls, "url": url}
                    found[name]["brokered"].append((await host.call(NAME, input=question))[name])
    return {
        name: {kind: statistics.median(seconds) * 1e6 if seconds else 0.0 for kind, seconds in kinds.items()}
        for name, kinds in found.items()
    }


def show(found: Mapping[str, Mapping[str, float]]) -> None:
    print(f"\n{'service':<18}{'bare, us':>10}{'brokered, us':>14}{'times':>8}{'more, us':>10}")
    for name, figures in found.items():
        bare, brokered = figures["bare"], figures["brokered"]
        more = f"{brokered / bare:>8.1f}{brokered - bare:>10.0f}" if bare else f"{'':>18}"
        print(f"{name:<18}{bare if bare else float('nan'):>10.0f}{brokered:>14.0f}{more}")
    load = ", ".join(f"{one:.1f}" for one in os.getloadavg())
    print(f"\nMedians of lone calls, one after another, from async code. Load of this machine: {load}.")
    print("nan: the host answers from its memory, and there is no client to compare with.")


# -- the bare clients --------------------------------------------------------------------------------------------------


@asynccontextmanager
async def _bare(host: Host, folder: Path, postgres: str, redis_url: str, web: str) -> AsyncIterator[Mapping[str, Call]]:
    async with AsyncExitStack() as stack:
        database = sqlite3.connect(folder / "bench.db")
        stack.callback(database.close)
        connection = await stack.enter_async_context(await psycopg.AsyncConnection.connect(postgres))
        client = redis.asyncio.Redis.from_url(redis_url)
        stack.push_async_callback(client.aclose)
        producer = Producer({"bootstrap.servers": host.kafka_servers["main"], "linger.ms": 0})
        bus = ServiceBusClient.from_connection_string(host.servicebus_connection_strings["main"])
        sender = (await stack.enter_async_context(bus)).get_queue_sender("bench")
        await stack.enter_async_context(sender)
        http = await stack.enter_async_context(httpx.AsyncClient(trust_env=False))

        async def sqlite_query() -> None:
            database.execute("SELECT name FROM users WHERE id = ?", (1,)).fetchall()

        async def postgres_query() -> None:
            cursor = await connection.execute("SELECT name FROM users WHERE id = %s", (1,))
            await cursor.fetchall()

        async def produce() -> None:
            producer.produce("bench", b"x" * 64)
            producer.flush()

        async def send() -> None:
            await sender.send_messages(ServiceBusMessage(b"x" * 64))

        async def get() -> None:
            (await http.get(web)).raise_for_status()

        async def read() -> None:
            await client.get("bench:key")

        yield {
            "sql, SQLite": sqlite_query,
            "sql, PostgreSQL": postgres_query,
            "redis": read,
            "kafka": produce,
            "servicebus": send,
            "http": get,
        }


async def _median(call: Call, calls: int) -> float:
    spent = []
    for _ in range(calls + calls // 10 + 1):
        began = time.perf_counter()
        await call()
        spent.append(time.perf_counter() - began)
    return statistics.median(spent[-calls:])


@asynccontextmanager
async def _web() -> AsyncIterator[str]:
    """A server whose connections stay open."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while await reader.readuntil(b"\r\n\r\n"):
                writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 64\r\n\r\n" + b"x" * 64)
        except (asyncio.IncompleteReadError, OSError):
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/"
    server.close()


def _make_database(path: Path) -> None:
    with sqlite3.connect(path) as connection:
        connection.executescript(
            "PRAGMA journal_mode=WAL; CREATE TABLE users (id INTEGER PRIMARY KEY, name TEXT);"
            "INSERT INTO users VALUES (1, 'Ada');"
        )
    connection.close()
