"""Batches that a cluster does not take wait in the plugin, and not in the host."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace

import pytest

from moorage.broker.services.base import Caller
from moorage.broker.services.kafka import KafkaService
from moorage.broker.services.kafka.base import Delivery, OutgoingMessage
from moorage.broker.services.kafka.batch_room import MAX_BYTES, MAX_MESSAGES, BatchRoom
from moorage_proto import kafka_pb2

MIB = 1024 * 1024


class StuckCluster:
    """Takes messages, and acknowledges none until it is freed."""

    bootstrap_servers = ""

    def __init__(self) -> None:
        self.free = asyncio.Event()
        self.taken: dict[str, int] = {}

    async def open(self) -> None:
        pass

    async def close(self) -> None:
        pass

    async def produce(self, installation: str, message: OutgoingMessage, deadline: float | None) -> Delivery:
        self.taken[installation] = self.taken.get(installation, 0) + 1
        await self.free.wait()
        return Delivery(0, 0, 0)


async def messages(count: int, size_bytes: int) -> AsyncIterator[kafka_pb2.ProduceRequest]:
    for _ in range(count):
        yield kafka_pb2.ProduceRequest(topic="t", value=bytes(size_bytes))


async def settled() -> None:
    for _ in range(20):
        await asyncio.sleep(0)


async def test_batches_of_an_installation_hold_so_many_bytes_together(caller: Caller) -> None:
    cluster = StuckCluster()
    service = KafkaService({"main": cluster})
    batches = [asyncio.create_task(service.produce_batch(caller, messages(40, MIB))) for _ in range(3)]
    async with asyncio.timeout(10):
        while sum(cluster.taken.values()) < MAX_BYTES // MIB - 1:
            await asyncio.sleep(0)
        await settled()
        assert cluster.taken == {"churn": MAX_BYTES // MIB - 1}
        other = asyncio.create_task(service.produce_batch(replace(caller, installation="other"), messages(1, MIB)))
        await settled()
        assert cluster.taken["other"] == 1
        cluster.free.set()
        assert [len((await batch).deliveries) for batch in batches] == [40, 40, 40]
        await other
    assert service._rooms == {}


async def test_a_batch_that_is_given_up_gives_its_room_back(caller: Caller) -> None:
    cluster = StuckCluster()
    service = KafkaService({"main": cluster})
    batch = asyncio.create_task(service.produce_batch(caller, messages(40, MIB)))
    await settled()
    batch.cancel()
    with pytest.raises(asyncio.CancelledError):
        await batch
    assert service._rooms == {}


async def test_what_is_larger_than_all_room_passes_alone() -> None:
    room = BatchRoom()
    await room.take(2 * MAX_BYTES)
    waiting = asyncio.create_task(room.take(1))
    await settled()
    assert not waiting.done()
    room.give_back(2 * MAX_BYTES)
    await waiting
    for _ in range(MAX_MESSAGES - 1):
        await room.take(0)
    full = asyncio.create_task(room.take(0))
    await settled()
    assert not full.done()
    room.give_back(0)
    await full
