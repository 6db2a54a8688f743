"""Kafka for tests: ``moorage.kafka.values("plugin-topic")``."""

from __future__ import annotations

import collections
import time
from dataclasses import dataclass
from typing import DefaultDict, Iterable, List, Optional, Set, Tuple

from moorage_proto import errors, kafka_pb2, link_pb2
from moorage_proto.capability import MAIN_BACKEND
from moorage_proto.errors import CallError, Reason, Status
from moorage_proto.kafka_check import problem_of
from moorage_sdk.testing.base import FakeCaller


@dataclass(frozen=True)
class Message:
    """As a consumer would read it."""

    topic: str
    value: Optional[bytes]
    key: Optional[bytes]
    headers: Tuple[Tuple[str, Optional[bytes]], ...]
    partition: int
    offset: int
    timestamp_millis: int


class FakeKafka:
    """Topics are created on first use, with one partition unless a message names another."""

    name = "kafka"
    contract = kafka_pb2.DESCRIPTOR.services_by_name["KafkaService"]

    def __init__(self) -> None:
        self._messages: DefaultDict[Tuple[str, str], List[Message]] = collections.defaultdict(list)
        self._failing: Set[str] = set()

    def messages(self, topic: str, *, backend: str = MAIN_BACKEND) -> List[Message]:
        return list(self._messages[backend, topic])

    def values(self, topic: str, *, backend: str = MAIN_BACKEND) -> List[Optional[bytes]]:
        return [message.value for message in self._messages[backend, topic]]

    def fail(self, topic: str) -> None:
        """From now on messages to the topic are not delivered: the plugin gets a BackendError."""
        self._failing.add(topic)

    def produce(self, caller: FakeCaller, request: kafka_pb2.ProduceRequest) -> kafka_pb2.ProduceReply:  # noqa: ARG002 - the gate has decided
        if request.topic in self._failing:
            raise CallError(
                Status.UNAVAILABLE,
                Reason.BACKEND_UNAVAILABLE,
                f"Kafka has not taken the message to {request.topic}: the test said so with moorage.kafka.fail",
                retryable=True,
            )
        problem = problem_of(request)
        if problem:
            raise CallError(Status.INVALID_ARGUMENT, Reason.REQUEST_INVALID, problem)
        messages = self._messages[request.backend or MAIN_BACKEND, request.topic]
        message = Message(
            request.topic,
            request.value if request.HasField("value") else None,
            request.key if request.HasField("key") else None,
            tuple((header.key, header.value if header.HasField("value") else None) for header in request.headers),
            request.partition,
            sum(other.partition == request.partition for other in messages),
            request.timestamp_millis if request.HasField("timestamp_millis") else int(time.time() * 1000),
        )
        messages.append(message)
        return kafka_pb2.ProduceReply(
            partition=message.partition, offset=message.offset, timestamp_millis=message.timestamp_millis
        )

    def produce_batch(
        self, caller: FakeCaller, requests: Iterable[kafka_pb2.ProduceRequest]
    ) -> kafka_pb2.ProduceBatchReply:
        return kafka_pb2.ProduceBatchReply(deliveries=[self._delivered(caller, request) for request in requests])

    def _delivered(self, caller: FakeCaller, request: kafka_pb2.ProduceRequest) -> kafka_pb2.BatchedDelivery:
        try:
            return kafka_pb2.BatchedDelivery(delivered=self.produce(caller, request))
        except CallError as error:
            return kafka_pb2.BatchedDelivery(failed=errors.to_wire(error))

    def describe(self, welcome: link_pb2.Welcome) -> None:
        """The handshake says nothing of it."""

    def close(self) -> None:
        """Nothing is held."""
