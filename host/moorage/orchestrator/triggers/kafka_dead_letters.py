"""Messages of a topic whose executions have failed for good, produced to another topic."""

from __future__ import annotations

import asyncio
from typing import Any

from moorage.broker.services.kafka.base import KafkaAccess, OutgoingMessage
from moorage.broker.services.kafka.producer import Producer
from moorage.models.execution import Execution
from moorage.orchestrator.triggers.dead_letter import Backoff, DeadLetterRefused, insist, reasons
from moorage_proto.errors import CallError

#: Until Kafka has acknowledged one.
DELIVERY_SECONDS = 15.0

#: How long closing waits for those on their way.
CLOSE_SECONDS = 1.0


class KafkaDeadLetters:
    """Its producer is made for the first of them. Whoever makes it closes it."""

    def __init__(self, access: KafkaAccess, topic: str, client_id: str, backoff: Backoff) -> None:
        self._access = access
        self._topic = topic
        self._config = {
            **access.options,
            "client.id": client_id,
            # Whatever was delivered can be put aside; the cluster has the last word.
            "message.max.bytes": 1_000_000_000,
            "max.in.flight.requests.per.connection": 1,
            "linger.ms": 0,
        }
        self._backoff = backoff
        self._producer: Producer | None = None

    async def put(self, message: Any, execution: Execution) -> None:
        """Returns when Kafka has acknowledged it. ``message``: a ``confluent_kafka.Message``. Raises SourceFailed."""
        what = f"Message {message.offset()} of partition {message.partition()} of {message.topic()!r}"
        await insist(lambda: self._put(dead_letter(self._topic, message, execution)), what, self._backoff)

    async def close(self) -> None:
        if self._producer is not None:
            await self._producer.close(CLOSE_SECONDS)

    async def _put(self, message: OutgoingMessage) -> None:
        if self._producer is None or self._producer.broken:
            await self.close()
            self._producer = Producer(self._access.cluster, self._config)
        try:
            await self._access.prepare(self._topic)
            await self._producer.produce(message, asyncio.get_running_loop().time() + DELIVERY_SECONDS)
        except CallError as error:
            raise DeadLetterRefused(str(error)) from error


def dead_letter(topic: str, message: Any, execution: Execution) -> OutgoingMessage:
    """With all that the message had, and where it was, and why it is here, as headers."""
    kind, timestamp_millis = message.timestamp()
    where = (
        ("moorage-topic", message.topic()),
        ("moorage-partition", str(message.partition())),
        ("moorage-offset", str(message.offset())),
    )
    told = tuple((name, text.encode()) for name, text in (*where, *reasons(execution)))
    return OutgoingMessage(
        topic=topic,
        value=message.value(),
        key=message.key(),
        headers=(*(message.headers() or ()), *told),
        timestamp_millis=timestamp_millis if kind else None,
    )
