"""The contract's KafkaService over named clusters."""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping
from contextlib import AsyncExitStack
from typing import Self

from moorage.broker import refusals
from moorage.broker.services.base import Caller
from moorage.broker.services.kafka.base import Cluster, OutgoingMessage
from moorage.broker.services.kafka.library import KafkaClientMissing
from moorage.broker.services.kafka.librdkafka import LibrdkafkaCluster
from moorage.config.services.kafka import KafkaBackend
from moorage_proto import kafka_pb2
from moorage_proto.capability import MAIN_BACKEND
from moorage_proto.errors import CallError, Reason, Status

log = logging.getLogger(__name__)

#: Kafka's own rule. A name that breaks it would be tried again and again until the deadline.
_TOPIC = re.compile(r"(?!\.{1,2}$)[A-Za-z0-9._-]{1,249}")

MAX_PARTITION = 2**31 - 1


class KafkaService:
    contract = kafka_pb2.DESCRIPTOR.services_by_name["KafkaService"]

    def __init__(self, clusters: Mapping[str, Cluster]) -> None:
        self._clusters = dict(clusters)
        self._opened = AsyncExitStack()
        #: Why no cluster can be used, if so.
        self._missing = ""

    @classmethod
    def from_settings(cls, backends: Mapping[str, KafkaBackend]) -> Self:
        return cls({name: LibrdkafkaCluster(name, backend) for name, backend in backends.items()})

    @property
    def bootstrap_servers(self) -> Mapping[str, str]:
        """Addresses by cluster name, once open: where the host's own consumers, and people's, find the messages."""
        return {name: cluster.bootstrap_servers for name, cluster in self._clusters.items()}

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
            self._opened = opened.pop_all()

    async def close(self) -> None:
        await self._opened.aclose()

    async def produce(self, caller: Caller, request: kafka_pb2.ProduceRequest) -> kafka_pb2.ProduceReply:
        if self._missing:
            raise CallError(Status.UNAVAILABLE, Reason.BACKEND_UNAVAILABLE, f"On this host: {self._missing}")
        name = request.backend or MAIN_BACKEND
        cluster = self._clusters.get(name)
        if cluster is None:
            name = refusals.shown(name)
            sentence = f"This host has no Kafka cluster named {name!r}. Its operator adds it under [kafka.{name}]."
            raise CallError(Status.NOT_FOUND, Reason.BACKEND_UNKNOWN, sentence)
        message = outgoing(request)
        delivery = await cluster.produce(caller.installation, message, caller.deadline)
        return kafka_pb2.ProduceReply(
            partition=delivery.partition, offset=delivery.offset, timestamp_millis=delivery.timestamp_millis
        )


def outgoing(request: kafka_pb2.ProduceRequest) -> OutgoingMessage:
    """Raises CallError(REQUEST_INVALID) for what Kafka could not take."""
    if not _TOPIC.fullmatch(request.topic):
        raise _invalid(
            f"{request.topic[:249]!r} cannot be the name of a Kafka topic; use up to 249 letters, digits, '.', '_' "
            "or '-'."
        )
    if request.partition > MAX_PARTITION:
        raise _invalid(f"Kafka has no partition {request.partition}; the numbers end at {MAX_PARTITION}.")
    if request.HasField("timestamp_millis") and request.timestamp_millis <= 0:
        raise _invalid("The time of a Kafka message counts in milliseconds since 1970 and has to be positive.")
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
