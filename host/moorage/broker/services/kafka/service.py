"""The contract's KafkaService over named clusters."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack
from typing import Self

from moorage.broker import refusals
from moorage.broker.services.base import Caller
from moorage.broker.services.kafka.base import Cluster, KafkaAccess, OutgoingMessage
from moorage.broker.services.kafka.batch_room import BatchRoom
from moorage.broker.services.kafka.library import KafkaClientMissing
from moorage.broker.services.kafka.librdkafka import LibrdkafkaCluster
from moorage.config.services.kafka import KafkaBackend
from moorage.models.installation import InstallationId
from moorage_proto import errors, kafka_pb2
from moorage_proto.capability import MAIN_BACKEND
from moorage_proto.errors import CallError, Reason, Status
from moorage_proto.kafka_check import problem_of

log = logging.getLogger(__name__)

#: Messages of one batch.
MAX_BATCH = 100_000


class KafkaService:
    contract = kafka_pb2.DESCRIPTOR.services_by_name["KafkaService"]

    def __init__(self, clusters: Mapping[str, Cluster]) -> None:
        self._clusters = dict(clusters)
        self._rooms: dict[InstallationId, BatchRoom] = {}
        #: Why no cluster can be used, if so.
        self._missing = ""

    @classmethod
    def from_settings(cls, backends: Mapping[str, KafkaBackend]) -> Self:
        return cls({name: LibrdkafkaCluster(name, backend) for name, backend in backends.items()})

    @property
    def bootstrap_servers(self) -> Mapping[str, str]:
        """Addresses by cluster name, once open: where the host's own consumers, and people's, find the messages."""
        return {name: cluster.bootstrap_servers for name, cluster in self._clusters.items()}

    def access(self, backend: str = MAIN_BACKEND) -> KafkaAccess:
        """For the host's own consumers. Raises CallError."""
        return self._cluster(backend).access()

    async def open(self) -> None:
        """Without the client library the host still starts; calls are then answered with what to install."""
        async with AsyncExitStack() as opened:
            for cluster in self._clusters.values():
                try:
                    await cluster.open()
                except KafkaClientMissing as missing:
                    log.warning("%s", missing)
                    self._missing = str(missing)
                else:
                    opened.push_async_callback(cluster.close)
            opened.pop_all()

    async def close(self) -> None:
        """All at the same time: each waits some seconds for what is on its way."""
        await asyncio.gather(*(cluster.close() for cluster in self._clusters.values()))

    async def produce(self, caller: Caller, request: kafka_pb2.ProduceRequest) -> kafka_pb2.ProduceReply:
        cluster = self._cluster(request.backend)
        delivery = await cluster.produce(caller.installation, outgoing(request), caller.deadline)
        return kafka_pb2.ProduceReply(
            partition=delivery.partition, offset=delivery.offset, timestamp_millis=delivery.timestamp_millis
        )

    async def produce_batch(
        self, caller: Caller, requests: AsyncIterator[kafka_pb2.ProduceRequest]
    ) -> kafka_pb2.ProduceBatchReply:
        """They are on their way together, so that the library sends them in few requests, and in their order."""
        sent: list[asyncio.Task[kafka_pb2.BatchedDelivery]] = []
        room = self._rooms.setdefault(caller.installation, BatchRoom())
        room.users += 1
        try:
            async for request in requests:
                if len(sent) >= MAX_BATCH:
                    raise _invalid(f"One batch has at most {MAX_BATCH:,} messages; send the rest in another.")
                size = request.ByteSize()
                await room.take(size)
                delivery = asyncio.create_task(self._delivered(caller, request), name=f"{caller.label} batch")
                delivery.add_done_callback(lambda _, size=size: room.give_back(size))  # type: ignore[misc]
                sent.append(delivery)
            return kafka_pb2.ProduceBatchReply(deliveries=[await delivery for delivery in sent])
        finally:
            for delivery in sent:
                delivery.cancel()
            await asyncio.gather(*sent, return_exceptions=True)
            room.users -= 1
            if not room.users:
                del self._rooms[caller.installation]

    async def _delivered(self, caller: Caller, request: kafka_pb2.ProduceRequest) -> kafka_pb2.BatchedDelivery:
        try:
            return kafka_pb2.BatchedDelivery(delivered=await self.produce(caller, request))
        except CallError as error:
            return kafka_pb2.BatchedDelivery(failed=errors.to_wire(error))

    def _cluster(self, backend: str) -> Cluster:
        """Raises CallError."""
        if self._missing:
            raise CallError(Status.UNAVAILABLE, Reason.BACKEND_UNAVAILABLE, f"On this host: {self._missing}")
        name = backend or MAIN_BACKEND
        cluster = self._clusters.get(name)
        if cluster is None:
            name = refusals.shown(name)
            sentence = f"This host has no Kafka cluster named {name!r}. Its operator adds it under [kafka.{name}]."
            raise CallError(Status.NOT_FOUND, Reason.BACKEND_UNKNOWN, sentence)
        return cluster


def outgoing(request: kafka_pb2.ProduceRequest) -> OutgoingMessage:
    """Raises CallError(REQUEST_INVALID) for what Kafka could not take."""
    problem = problem_of(request)
    if problem:
        raise _invalid(problem)
    return OutgoingMessage(
        topic=request.topic,
        value=request.value if request.HasField("value") else None,
        key=request.key if request.HasField("key") else None,
        headers=tuple((header.key, header.value if header.HasField("value") else None) for header in request.headers),
        partition=request.partition if request.HasField("partition") else None,
        timestamp_millis=request.timestamp_millis if request.HasField("timestamp_millis") else None,
    )


def _invalid(sentence: str) -> CallError:
    return CallError(Status.INVALID_ARGUMENT, Reason.REQUEST_INVALID, sentence)
