"""Floods of calls to the host."""

import asyncio
from collections import Counter
from typing import Any, Awaitable, Callable, Dict

from flooder.base import Until, attempt, in_threads, plugin
from moorage_proto import kafka_pb2
from moorage_proto.methods import service_methods
from moorage_sdk import channel
from moorage_sdk.config import Config
from moorage_sdk.sql import Connection, connect, connect_async

IN_FLIGHT = 800

PRODUCE = service_methods(kafka_pb2, "KafkaService")["produce"]


@plugin.task
def calls_threads(config: Config, input: float) -> Dict[str, int]:  # noqa: A002 - the SDK's word
    until = Until(input)

    def work(counts: Counter) -> None:
        while until.on:
            attempt(counts, lambda: config.get("greeting"), "calls")

    return in_threads(16, work)


@plugin.task
async def calls_async(config: Config, input: float) -> Dict[str, int]:  # noqa: A002 - the SDK's word
    return await _many(input, lambda _: config.get_async("greeting"))


@plugin.task
async def statements(input: float) -> Dict[str, int]:  # noqa: A002 - the SDK's word
    """On 30 connections, which is nearly all that an installation may have."""
    connections = [connect_async() for _ in range(30)]

    async def one(number: int) -> None:
        cursor = await connections[number % 30].execute("SELECT count(*) FROM users a, users b, users c")
        await cursor.fetchall()

    return await _many(input, one)


@plugin.task
async def denied_async(input: float) -> Dict[str, int]:  # noqa: A002 - the SDK's word
    """Each asks for another topic, so that no two denials are alike."""
    link = channel.current()

    async def one(number: int) -> None:
        await link.call_async(PRODUCE, PRODUCE.request(topic=f"secret-{number}"))

    return await _many(input, one)


@plugin.task
def denied_threads(input: float) -> Dict[str, int]:  # noqa: A002 - the SDK's word
    until = Until(input)

    def work(counts: Counter) -> None:
        db: Connection = connect()
        while until.on:
            counts["asked"] += 1
            attempt(counts, lambda: db.execute(f"INSERT INTO users VALUES ({counts['asked']}, 'x')"), "written")

    return in_threads(16, work)


@plugin.task
def heavy_statements(input: float) -> Dict[str, int]:  # noqa: A002 - the SDK's word
    """Statements that compute for as long as they may."""
    until = Until(input)

    def work(counts: Counter) -> None:
        db = connect()
        while until.on:
            attempt(
                counts, lambda: db.execute("SELECT count(*) FROM users a, users b, users c, users d, users e"), "ran"
            )

    return in_threads(8, work)


@plugin.task
def sorted_rows(input: float) -> Dict[str, int]:  # noqa: A002 - the SDK's word
    """Statements whose rows have to be sorted before the first can be sent."""
    until = Until(input)
    statement = "SELECT a.name || b.name || c.name FROM users a, users b, users c, users d ORDER BY 1"

    def work(counts: Counter) -> None:
        db = connect()
        while until.on:
            attempt(counts, lambda: db.execute(statement), "ran")

    return in_threads(4, work)


async def _many(seconds: float, call: Callable[[int], Awaitable[Any]]) -> Dict[str, int]:
    """Hundreds at one time, all the time."""
    until = Until(seconds)
    counts: Counter = Counter()

    async def one(number: int) -> None:
        while until.on:
            number += IN_FLIGHT
            try:
                await call(number)
            except Exception as error:  # noqa: BLE001 - whatever it is, it is counted
                counts[type(error).__name__] += 1
            else:
                counts["calls"] += 1

    await asyncio.gather(*(one(number) for number in range(IN_FLIGHT)))
    return dict(counts)
