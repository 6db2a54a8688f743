"""The call of each service, made over and over."""

import statistics
import time
from typing import Annotated, Any, Awaitable, Callable, Dict, List

import httpx
from redis.asyncio import Redis

from moorage_sdk import Backend, Plugin
from moorage_sdk.config import Config
from moorage_sdk.events import Events
from moorage_sdk.kafka import Producer
from moorage_sdk.secrets import Secrets
from moorage_sdk.servicebus import ServiceBusMessage
from moorage_sdk.servicebus.aio import ServiceBusClient
from moorage_sdk.sql import AsyncConnection

plugin = Plugin()

QUERY = "SELECT name FROM users WHERE id = {}"


async def median(call: Callable[[], Awaitable[Any]], calls: int) -> float:
    """Seconds of one, after a few that are not counted."""
    spent: List[float] = []
    for _ in range(calls + calls // 10 + 1):
        began = time.perf_counter()
        await call()
        spent.append(time.perf_counter() - began)
    return statistics.median(spent[-calls:])


@plugin.task
async def execute(
    input: Dict[str, Any],  # noqa: A002 - the word that plugins use
    sqlite: AsyncConnection,
    postgresql: Annotated[AsyncConnection, Backend("postgresql")],
    redis: Redis,
    kafka: Producer,
    bus: ServiceBusClient,
    http: httpx.AsyncClient,
    events: Events,
    secrets: Secrets,
    config: Config,
) -> Dict[str, float]:
    async def produce() -> None:
        await kafka.send("bench", b"x" * 64)

    async def query(connection: AsyncConnection, placeholder: str) -> None:
        cursor = await connection.execute(QUERY.format(placeholder), (1,))
        await cursor.fetchall()

    async def get() -> None:
        (await http.get(input["url"])).raise_for_status()

    sender = bus.get_queue_sender("bench")

    async def send() -> None:
        await sender.send_messages(ServiceBusMessage(b"x" * 64))

    calls = {
        "config": lambda: config.get_async("word"),
        "secrets": lambda: secrets.get_async("BENCH"),
        "events": lambda: events.publish_async("bench", {"n": 1}),
        "sql, SQLite": lambda: query(sqlite, "?"),
        "sql, PostgreSQL": lambda: query(postgresql, "%s"),
        "redis": lambda: redis.get("bench:key"),
        "kafka": produce,
        "servicebus": send,
        "http": get,
    }
    return {name: await median(calls[name], input["calls"]) for name in input["services"]}
