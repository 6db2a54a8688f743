from __future__ import annotations

import time
from collections.abc import AsyncIterator, Callable, Iterator

import pytest
from confluent_kafka import Consumer, Message, TopicPartition
from servers.kafka import KafkaServer, kafka_server

from moorage.broker.services.kafka import KafkaService
from moorage.broker.services.kafka.embedded import EmbeddedServer
from moorage.config.services.kafka import KafkaBackend

#: Partitions of a topic that the mock cluster makes.
PARTITIONS = 4

Read = Callable[[str, str, int], list[Message]]


def read_messages(address: str, topic: str, count: int) -> list[Message]:
    """Blocks until so many have arrived. By `assign`: a consumer group takes 3.6 s to form."""
    consumer = Consumer({"bootstrap.servers": address, "group.id": "test", "enable.auto.commit": False})
    try:
        consumer.assign([TopicPartition(topic, partition, 0) for partition in range(PARTITIONS)])
        found: list[Message] = []
        end = time.monotonic() + 10
        while len(found) < count and time.monotonic() < end:
            message = consumer.poll(0.2)
            if message is not None and message.error() is None:
                found.append(message)
        assert len(found) == count, f"{len(found)} of {count} messages arrived"
        return found
    finally:
        consumer.close()


@pytest.fixture
def read() -> Read:
    return read_messages


@pytest.fixture(scope="session")
def real_server() -> Iterator[KafkaServer]:
    with kafka_server() as server:
        yield server


@pytest.fixture(params=["embedded", "by address", pytest.param("real", marks=pytest.mark.system)])
async def kafka(request: pytest.FixtureRequest) -> AsyncIterator[KafkaService]:
    """Every test runs over the embedded cluster, over one that is reached by its address, and over another's broker."""
    server = EmbeddedServer()
    backend = KafkaBackend()
    if request.param == "by address":
        backend = KafkaBackend(bootstrap_servers=await server.start())
    elif request.param == "real":
        real: KafkaServer = request.getfixturevalue("real_server")
        real.forget()
        real.make_topic("plays", PARTITIONS)
        backend = KafkaBackend(bootstrap_servers=real.address)
    service = KafkaService.from_settings({"main": backend, "analytics": KafkaBackend()})
    await service.open()
    yield service
    await service.close()
    await server.stop()
