"""Kafka topics for the contract of sources: in memory, librdkafka's mock cluster, and a broker behind a proxy."""

from __future__ import annotations

import asyncio
import contextlib
import uuid
from collections.abc import AsyncIterator
from typing import Any

import pytest
from confluent_kafka import Consumer, Producer, TopicPartition
from fault_proxy import FaultProxy
from memory_kafka import MemoryKafka
from servers.kafka import KafkaServer, kafka_server
from source_worlds import DeadLetter

from moorage.broker.services.kafka import KafkaService, library
from moorage.broker.services.kafka.base import KafkaAccess
from moorage.config.services.kafka import KafkaBackend
from moorage.models.manifest import Trigger
from moorage.orchestrator.triggers import kafka_commits, kafka_dead_letters, kafka_polling
from moorage.orchestrator.triggers.base import Signal
from moorage.orchestrator.triggers.dead_letter import Backoff
from moorage.orchestrator.triggers.kafka import KafkaSource, Topic

QUICK = Backoff(0.02, 0.1)
GROUP = "moorage.churn.orders"

#: The broker of the tests waits as long before it tells a group's members what they have.
OPTIONS: dict[str, Any] = {"session.timeout.ms": 6000, "heartbeat.interval.ms": 500}


class TopicWorld:
    """Implements ``SourceWorld``, over any cluster that the client library reaches."""

    def __init__(self, access: KafkaAccess, proxy: FaultProxy | None = None) -> None:
        self.proxy = proxy
        self.access = access
        self.topic = f"orders-{uuid.uuid4().hex[:8]}"
        self._delivery_seconds = kafka_dead_letters.DELIVERY_SECONDS

    def source(self, trigger: str = "churn/orders", **options: Any) -> KafkaSource:
        found = Topic.of(trigger, Trigger("kafka", self.topic, options=options))
        return KafkaSource(found, lambda: self.access, QUICK)

    async def send(self, *bodies: bytes | None, **fields: Any) -> None:
        await self.access.prepare(self.topic)
        await asyncio.to_thread(self._produce, bodies, fields)

    def body(self, signal: Signal) -> bytes:
        return signal.input["value"]

    async def acknowledged(self) -> int:
        return await asyncio.to_thread(self._committed)

    async def dead_letters(self) -> list[DeadLetter]:
        return await asyncio.to_thread(self._dead)

    async def spoil_dead_letters(self) -> None:
        """None is acknowledged in time."""
        kafka_dead_letters.DELIVERY_SECONDS = 0.0

    async def mend_dead_letters(self) -> None:
        kafka_dead_letters.DELIVERY_SECONDS = self._delivery_seconds

    def _produce(self, bodies: tuple[bytes | None, ...], fields: dict[str, Any]) -> None:
        producer = Producer({"bootstrap.servers": self.access.options["bootstrap.servers"], "log_level": 0})
        for body in bodies:
            producer.produce(self.topic, body, **fields)
        assert producer.flush(20) == 0

    def _committed(self) -> int:
        with self._consumer(GROUP) as consumer:
            partitions = consumer.list_topics(self.topic, timeout=10).topics[self.topic].partitions
            found = consumer.committed([TopicPartition(self.topic, each) for each in partitions], timeout=10)
        return sum(max(0, each.offset) for each in found)

    def _dead(self) -> list[DeadLetter]:
        topic = f"{self.topic}.dead-letter"
        found: list[DeadLetter] = []
        with self._consumer("looking") as consumer:
            partitions = consumer.list_topics(topic, timeout=10).topics[topic].partitions
            consumer.assign([TopicPartition(topic, each, 0) for each in partitions])
            while partitions and (message := consumer.poll(1.0)) is not None:
                if message.error() is None:
                    found.append(_dead_letter(message))
        return found

    @contextlib.contextmanager
    def _consumer(self, group: str):
        consumer = Consumer(
            {
                "bootstrap.servers": self.access.options["bootstrap.servers"],
                "group.id": group,
                "enable.auto.commit": False,
                "log_level": 0,
            }
        )
        try:
            yield consumer
        finally:
            consumer.close()


class MemoryWorld(TopicWorld):
    def __init__(self) -> None:
        super().__init__(KafkaAccess("main", {}, self._prepare))
        self.cluster = MemoryKafka()

    @property
    def committed(self) -> dict[int, int]:
        group = self.cluster.groups.get(GROUP)
        return {} if group is None else {partition: offset for (_, partition), offset in group.committed.items()}

    async def _prepare(self, topic: str) -> None:
        self.cluster.topics.setdefault(topic, [[] for _ in range(3)])

    def _produce(self, bodies: tuple[bytes | None, ...], fields: dict[str, Any]) -> None:
        for body in bodies:
            self.cluster.append(self.topic, body, **fields)

    def _committed(self) -> int:
        return sum(self.committed.values())

    def _dead(self) -> list[DeadLetter]:
        partitions = self.cluster.topics.get(f"{self.topic}.dead-letter", ())
        return [_dead_letter(message) for log in partitions for message in log]


@contextlib.asynccontextmanager
async def in_memory(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[MemoryWorld]:
    world = MemoryWorld()
    monkeypatch.setattr(library, "confluent_kafka", world.cluster.library)
    for module, name in ((kafka_polling, "POLL_SECONDS"), (kafka_commits, "PAUSE_SECONDS")):
        monkeypatch.setattr(module, name, 0.005)
    yield world
    await world.mend_dead_letters()


@contextlib.asynccontextmanager
async def embedded() -> AsyncIterator[TopicWorld]:
    async with _hosted(KafkaBackend()) as access:
        world = TopicWorld(access)
        yield world
        await world.mend_dead_letters()


@contextlib.asynccontextmanager
async def real(server: KafkaServer) -> AsyncIterator[TopicWorld]:
    async with _hosted(KafkaBackend(bootstrap_servers=server.address, options=OPTIONS)) as access:
        world = TopicWorld(access)
        server.make_topic(world.topic, 3)
        server.make_topic(f"{world.topic}.dead-letter", 1)
        yield world
        await world.mend_dead_letters()


@contextlib.asynccontextmanager
async def behind_proxy() -> AsyncIterator[TopicWorld]:
    """A broker of its own: it tells clients the proxy's address."""
    async with FaultProxy(0) as proxy:
        with kafka_server(proxy.port) as server:
            proxy.target_port = server.port
            backend = KafkaBackend(bootstrap_servers=f"127.0.0.1:{proxy.port}", options=OPTIONS)
            async with _hosted(backend) as access:
                world = TopicWorld(access, proxy)
                await asyncio.to_thread(server.make_topic, world.topic, 3)
                yield world


@contextlib.asynccontextmanager
async def _hosted(backend: KafkaBackend) -> AsyncIterator[KafkaAccess]:
    service = KafkaService.from_settings({"main": backend})
    await service.open()
    try:
        yield service.access()
    finally:
        await service.close()


def _dead_letter(message: Any) -> DeadLetter:
    return DeadLetter(message.value(), dict(message.headers())["moorage-error"].decode())
