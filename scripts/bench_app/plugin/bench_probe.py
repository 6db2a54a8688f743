"""Measures calls to the host from inside a worker. The call is a checked, audited one: a setting of 64 bytes."""

import asyncio
import threading
import time
from dataclasses import dataclass
from typing import Dict, List

from moorage_proto import config_pb2
from moorage_proto.methods import service_methods
from moorage_sdk import Plugin, channel
from moorage_sdk.sql import Connection

plugin = Plugin()

GET = service_methods(config_pb2, "ConfigService")["get"]
REQUEST = config_pb2.GetSettingRequest(key="payload")


@dataclass
class Count:
    calls: int


def median_seconds(samples: List[float]) -> float:
    return sorted(samples)[len(samples) // 2]


@plugin.task
async def lone_async(count: Count) -> float:
    """Median seconds of one call after another, from a coroutine."""
    host, samples = channel.current(), []
    for _ in range(count.calls):
        began = time.perf_counter()
        await host.call_async(GET, REQUEST)
        samples.append(time.perf_counter() - began)
    return median_seconds(samples)


@plugin.task
def lone_sync(count: Count) -> float:
    """The same from a thread."""
    return median_seconds(sync_samples(count.calls))


def sync_samples(calls: int) -> List[float]:
    host, samples = channel.current(), []
    for _ in range(calls):
        began = time.perf_counter()
        host.call(GET, REQUEST)
        samples.append(time.perf_counter() - began)
    return samples


@plugin.task
async def in_flight(count: Count) -> float:
    """Calls a second with 256 in flight."""
    host = channel.current()
    remaining = iter(range(count.calls))

    async def caller() -> None:
        for _ in remaining:
            await host.call_async(GET, REQUEST)

    began = time.perf_counter()
    await asyncio.gather(*(caller() for _ in range(256)))
    return count.calls / (time.perf_counter() - began)


@plugin.task
async def beside_bulk(db: Connection, count: Count) -> Dict[str, float]:
    """Median seconds of small calls while a thread streams rows of 64 KiB, and the bytes that came a second."""
    stop, moved = threading.Event(), [0]

    def stream() -> None:
        cursor = db.cursor()
        while not stop.is_set():
            cursor.execute("SELECT content FROM blobs")
            for (content,) in cursor:
                moved[0] += len(content)
                if stop.is_set():
                    break

    loop = asyncio.get_running_loop()
    streaming = loop.run_in_executor(None, stream)
    began = time.perf_counter()
    median = await lone_async(count)
    rate = moved[0] / (time.perf_counter() - began)
    stop.set()
    await streaming
    return {"median_seconds": median, "bytes_per_second": rate}
