"""Another's broker that dies, comes back, stalls, resets and truncates, while messages are sent."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace

import pytest
from fault_proxy import FaultProxy
from servers.kafka import KafkaServer, free_port, kafka_server

from moorage.broker.services.base import Caller
from moorage.broker.services.kafka import KafkaService
from moorage.config.services.kafka import KafkaBackend
from moorage_proto import kafka_pb2
from moorage_proto.errors import CallError, Reason

from .conftest import read_messages

pytestmark = pytest.mark.system

#: Quick to come back, and to notice that nothing comes.
OPTIONS = {"reconnect.backoff.max.ms": 100, "request.timeout.ms": 1000, "socket.timeout.ms": 1000}
PATIENCE_SECONDS = 20.0


@pytest.fixture
def server() -> Iterator[KafkaServer]:
    with kafka_server() as made:
        made.make_topic("plays", 1)
        yield made


@pytest.fixture
async def proxied() -> AsyncIterator[tuple[FaultProxy, KafkaServer]]:
    """A broker that tells its clients to come by way of the proxy."""
    async with FaultProxy(0) as proxy:
        with kafka_server(proxy.port) as server:
            proxy.target_port = server.port
            await asyncio.to_thread(server.make_topic, "plays", 1)
            yield proxy, server


@pytest.fixture
async def produce(caller: Caller) -> AsyncIterator[Produce]:
    made = Produce(caller)
    yield made
    await made.close()


class Produce:
    def __init__(self, caller: Caller) -> None:
        self._caller = caller
        self._kafka: KafkaService | None = None

    async def connect(self, address: str) -> None:
        self._kafka = KafkaService.from_settings({"main": KafkaBackend(bootstrap_servers=address, options=OPTIONS)})
        await self._kafka.open()

    async def __call__(self, value: bytes, seconds: float = PATIENCE_SECONDS) -> int:
        """Its offset."""
        assert self._kafka is not None
        deadline = asyncio.get_running_loop().time() + seconds
        request = kafka_pb2.ProduceRequest(topic="plays", value=value, partition=0)
        return (await self._kafka.produce(replace(self._caller, deadline=deadline), request)).offset

    async def close(self) -> None:
        if self._kafka is not None:
            await self._kafka.close()


async def refused_in_time(produce: Produce, value: bytes) -> None:
    loop = asyncio.get_running_loop()
    began = loop.time()
    with pytest.raises(CallError) as failed:
        await produce(value, seconds=1.0)
    assert failed.value.reason == Reason.BACKEND_UNAVAILABLE
    assert failed.value.retryable
    assert "127.0.0.1" not in failed.value.message
    assert loop.time() - began < 2.0


async def test_a_broker_that_dies_and_comes_back(server: KafkaServer, produce: Produce) -> None:
    await produce.connect(server.address)
    assert await produce(b"before") == 0
    server.kill()
    await refused_in_time(produce, b"meanwhile")
    server.start()
    await asyncio.to_thread(server.make_topic, "plays", 1)
    # It has forgotten what it had in memory. The host was not restarted.
    offset = await produce(b"after")
    values = [
        message.value() for message in await asyncio.to_thread(read_messages, server.address, "plays", offset + 1)
    ]
    assert values[-1] == b"after"
    assert set(values[:-1]) <= {b"meanwhile"}


async def test_a_stall_is_an_error_in_time_and_over_when_it_is_over(
    proxied: tuple[FaultProxy, KafkaServer], produce: Produce
) -> None:
    proxy, server = proxied
    await produce.connect(server.address)
    assert await produce(b"before") == 0
    proxy.stall()
    await refused_in_time(produce, b"meanwhile")
    proxy.heal()
    assert await produce(b"after") >= 1


@pytest.mark.parametrize("fault", ["reset", "truncate"])
async def test_what_breaks_off_is_sent_again_and_in_order(
    proxied: tuple[FaultProxy, KafkaServer], produce: Produce, fault: str
) -> None:
    proxy, server = proxied
    await produce.connect(server.address)
    assert await produce(b"0") == 0
    sending = [asyncio.create_task(produce(b"%d" % number)) for number in range(1, 50)]
    await asyncio.sleep(0)
    if fault == "reset":
        proxy.reset()
    else:
        proxy.truncate(10)
        broken = proxy.accepted
        async with asyncio.timeout(PATIENCE_SECONDS):
            while proxy.accepted == broken and not all(task.done() for task in sending):
                await asyncio.sleep(0.01)
        proxy.heal()
    offsets = await asyncio.gather(*sending)
    assert list(offsets) == sorted(set(offsets)), "each was acknowledged once, in its order"
    count = max(offsets) + 1
    values = [message.value() for message in await asyncio.to_thread(read_messages, server.address, "plays", count)]
    # At least once: nothing that was acknowledged is missing, and first arrivals keep their order.
    assert list(dict.fromkeys(values)) == [b"%d" % number for number in range(50)]


async def test_a_batch_survives_a_reset(proxied: tuple[FaultProxy, KafkaServer], produce: Produce) -> None:
    proxy, server = proxied
    await produce.connect(server.address)
    assert await produce(b"first") == 0
    assert produce._kafka is not None

    async def requests() -> AsyncIterator[kafka_pb2.ProduceRequest]:
        for number in range(200):
            if number == 100:
                proxy.reset()
            yield kafka_pb2.ProduceRequest(topic="plays", value=b"%d" % number, partition=0)

    async with asyncio.timeout(PATIENCE_SECONDS):
        reply = await produce._kafka.produce_batch(produce._caller, requests())
    assert all(delivery.HasField("delivered") for delivery in reply.deliveries)
    assert len({delivery.delivered.offset for delivery in reply.deliveries}) == 200


async def test_a_port_that_nobody_listens_at(produce: Produce) -> None:
    await produce.connect(f"127.0.0.1:{free_port()}")
    await refused_in_time(produce, b"x")
