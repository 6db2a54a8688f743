"""Floods of bytes: large, deep, or never read."""

import asyncio
import threading
from collections import Counter
from typing import Any, Dict, Set

from flooder.base import Until, attempt, in_threads, plugin
from moorage_proto import value_pb2
from moorage_sdk import Context, channel
from moorage_sdk.kafka import Producer
from moorage_sdk.services.sql.state import CONNECT, EXECUTE, FETCH
from moorage_sdk.sql import connect, connect_async

MIB = 1024 * 1024

#: More at one time, with the SDK's own copies, are more than it may have.
QUEUED = 24


@plugin.task
def huge_parameters(input: float) -> Dict[str, int]:  # noqa: A002 - the SDK's word
    until = Until(input)
    data = b"x" * (12 * MIB)

    def work(counts: Counter) -> None:
        db = connect()
        while until.on:
            attempt(counts, lambda: db.execute("SELECT length(?)", (data,)).fetchall(), "calls of 12 MiB")

    return in_threads(4, work)


@plugin.task
async def queued_parameters(input: float) -> Dict[str, int]:  # noqa: A002 - the SDK's word
    """Behind one statement that takes its time others queue up, with all the bytes that the plugin has memory for."""
    until = Until(input)
    counts: Counter = Counter()
    db = connect_async()
    slow = asyncio.ensure_future(db.execute("SELECT count(*) FROM users a, users b, users c, users d, users e"))
    waiting: Set[asyncio.Future[None]] = set()

    async def one() -> None:
        try:
            await db.execute("SELECT length(?)", (b"x" * (4 * MIB),))
        except Exception as error:  # noqa: BLE001 - whatever it is, it is counted
            counts[type(error).__name__] += 1

    await asyncio.sleep(0.2)
    while until.on:
        waiting = {task for task in waiting if not task.done()}
        if len(waiting) < QUEUED:
            waiting.add(asyncio.ensure_future(one()))
            counts["sent, of 4 MiB"] += 1
        await asyncio.sleep(0.02)
    for task in (slow, *waiting):
        task.cancel()
    await asyncio.gather(slow, *waiting, return_exceptions=True)
    return dict(counts)


@plugin.task
def huge_rows(input: float) -> Dict[str, int]:  # noqa: A002 - the SDK's word
    until = Until(input)

    def work(counts: Counter) -> None:
        db = connect()
        while until.on:
            attempt(counts, lambda: db.execute("SELECT hex(zeroblob(4000000)) FROM users").fetchone(), "rows of 8 MB")

    return in_threads(4, work)


@plugin.task
def many_rows(input: float) -> Dict[str, int]:  # noqa: A002 - the SDK's word
    until = Until(input)

    def work(counts: Counter) -> None:
        db = connect()
        while until.on:
            for _ in db.execute("SELECT a.name, b.name, c.id FROM users a, users b, users c"):
                counts["rows"] += 1
                if not until.on:
                    break

    return in_threads(4, work)


@plugin.task
def unread_streams(input: float) -> Dict[str, int]:  # noqa: A002 - the SDK's word
    """Opens as many streams of rows as it may, and reads none of them."""
    until = Until(input)
    link = channel.current()
    kept: list[Any] = []
    counts: Counter = Counter()

    def one() -> None:
        connection = link.call(CONNECT, CONNECT.request(backend="main"), timeout=5).connection
        for _ in range(4):
            statement = "SELECT hex(zeroblob(100000)) FROM users a, users b"
            opened = link.call(EXECUTE, EXECUTE.request(connection=connection, statement=statement), timeout=5)
            kept.append(link.stream(FETCH, FETCH.request(cursor=opened.cursor)))
            counts["streams"] += 1

    while until.on:
        attempt(counts, one, "connections")
    return dict(counts)


@plugin.task
def deep_values(input: float) -> Dict[str, int]:  # noqa: A002 - the SDK's word
    """Parameters nested ten thousand times, which no protobuf library would write."""
    until = Until(input)
    link = channel.current()
    deep = _nested(10_000)

    def work(counts: Counter) -> None:
        connection = link.call(CONNECT, CONNECT.request(backend="main"), timeout=5).connection
        request = EXECUTE.request(connection=connection, statement="SELECT ?").SerializeToString()
        number = EXECUTE.request.DESCRIPTOR.fields_by_name["parameters"].number
        raw: Any = Raw(request + _field(number, deep))
        while until.on:
            attempt(counts, lambda: link.call(EXECUTE, raw, timeout=5), "taken")

    return in_threads(4, work)


@plugin.task
def wide_values(input: float) -> Dict[str, int]:  # noqa: A002 - the SDK's word
    """Parameters of very many small parts: little on the wire, much in memory."""
    until = Until(input)
    link = channel.current()
    wide = value_pb2.Value()
    wide.list.values.extend([value_pb2.Value(null=value_pb2.NULL)] * 500_000)

    def work(counts: Counter) -> None:
        connection = link.call(CONNECT, CONNECT.request(backend="main"), timeout=5).connection
        request = EXECUTE.request(connection=connection, statement="SELECT ?", parameters=[wide])
        while until.on:
            attempt(counts, lambda: link.call(EXECUTE, request, timeout=5), "taken")

    return in_threads(2, work)


@plugin.task
def huge_result(input: float) -> bytes:  # noqa: A002, ARG001 - the SDK's word
    """More than is kept with an execution; the host is asked again and again."""
    return b"x" * (12 * MIB)


@plugin.task
def large_result(input: float) -> bytes:  # noqa: A002, ARG001 - the SDK's word
    """Nearly as much as is kept."""
    return b"x" * (MIB - 100)


@plugin.task
def take(input: str) -> int:  # noqa: A002 - the SDK's word
    """For huge inputs."""
    return len(input)


@plugin.task
def kafka_messages(producer: Producer, input: float) -> Dict[str, int]:  # noqa: A002 - the SDK's word
    until = Until(input)

    def work(counts: Counter) -> None:
        while until.on:
            attempt(counts, lambda: producer.send("flood-small", b"m" * 100), "messages")

    counts = in_threads(4, work)
    producer.flush(20)
    return counts


@plugin.task
def kafka_bytes(producer: Producer, input: float) -> Dict[str, int]:  # noqa: A002 - the SDK's word
    until = Until(input)

    def work(counts: Counter) -> None:
        while until.on:
            attempt(counts, lambda: producer.send("flood-large", b"m" * 900_000), "messages of 0.9 MB")

    counts = in_threads(4, work)
    producer.flush(20)
    return counts


@plugin.task
def kafka_topics(producer: Producer, ctx: Context, input: float) -> Dict[str, int]:  # noqa: A002 - the SDK's word
    """Each message to a topic of its own, which comes into being with it."""
    until = Until(input)
    lock = threading.Lock()
    numbers = iter(range(10**9))

    def work(counts: Counter) -> None:
        while until.on:
            with lock:
                topic = f"flood-{ctx.execution}-{next(numbers)}"
            attempt(counts, lambda topic=topic: producer.send(topic, b"m"), "topics")

    return in_threads(4, work)


class Raw:
    """What the SDK takes for a message."""

    def __init__(self, data: bytes) -> None:
        self._data = data

    def SerializeToString(self) -> bytes:  # noqa: N802 - protobuf's name
        return self._data


def _nested(depth: int) -> bytes:
    """A Value, from the inside out: each a list of one."""
    value = b""
    for _ in range(depth):
        value = _field(14, _field(1, value))
    return value


def _field(number: int, data: bytes) -> bytes:
    """Protobuf's encoding of bytes, or of a message."""
    return _varint(number << 3 | 2) + _varint(len(data)) + data


def _varint(number: int) -> bytes:
    found = b""
    while number > 0x7F:
        found += bytes([number & 0x7F | 0x80])
        number >>= 7
    return found + bytes([number])
