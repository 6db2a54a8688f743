"""A Kafka cluster by way of librdkafka: an embedded one, or the operator's own. One code path for both."""

from __future__ import annotations

import asyncio
import logging
import time
from typing import Any

from moorage.broker.services.kafka.base import Delivery, KafkaAccess, OutgoingMessage, unavailable
from moorage.broker.services.kafka.embedded import EmbeddedServer
from moorage.broker.services.kafka.library import client
from moorage.broker.services.kafka.producer import Producer
from moorage.config.services.kafka import KafkaBackend
from moorage.errors import ExitCode, Invalid
from moorage.models.installation import InstallationId
from moorage_proto.errors import CallError, Reason, Status

log = logging.getLogger(__name__)

EMBEDDED = "embedded"

#: A group that has had a member takes the mock cluster its session's time, less a second, to form again: by default,
#: 44 s.
EMBEDDED_CONSUMERS = {"session.timeout.ms": 3000, "heartbeat.interval.ms": 500}

#: Longest time until a message is acknowledged or given up, for callers without a deadline of their own.
DELIVERY_SECONDS = 30.0

#: How long closing waits for messages on their way.
FLUSH_SECONDS = 5.0

#: A producer that was not used for so long is closed when another installation needs one.
IDLE_SECONDS = 300.0

#: Of one installation, while the host runs. The library remembers each topic that a producer has named, the embedded
#: cluster each that was ever written to, and a grant may allow any number of names.
MAX_TOPICS = 1_000

#: An answer has to reach the caller before its own patience ends: this part of its time, at most that many seconds.
MARGIN, MAX_MARGIN_SECONDS = 0.1, 0.25


class KafkaSettingsInvalid(Invalid):
    code = "kafka_settings_invalid"
    exit_code = ExitCode.CONFIG

    def __init__(self, cluster: str, problem: str) -> None:
        super().__init__(f"[kafka.{cluster}] cannot be used: {problem}. Its options are librdkafka's own settings.")


class LibrdkafkaCluster:
    """Each installation has a producer of its own, 0.3 ms and 315 KiB: the cluster's operator sees the installation in
    ``client.id``, and one that floods its queue holds up nobody else.
    """

    def __init__(self, name: str, backend: KafkaBackend) -> None:
        self._name = name
        self._backend = backend
        self._server = EmbeddedServer() if backend.bootstrap_servers == EMBEDDED else None
        self._address = backend.bootstrap_servers
        self._producers: dict[InstallationId, Producer] = {}
        self._topics: dict[InstallationId, set[str]] = {}
        self._closing: set[asyncio.Task[None]] = set()
        self._open = False

    @property
    def bootstrap_servers(self) -> str:
        return self._address

    async def open(self) -> None:
        """Raises KafkaClientMissing or KafkaSettingsInvalid."""
        if self._server is not None:
            self._address = await self._server.start()
        try:
            # With a logger nothing of it is written past the host's own log.
            client().Producer(self._config("check"), logger=log)
        except client().KafkaException as error:
            await self.close()
            raise KafkaSettingsInvalid(self._name, error.args[0].str()) from error
        self._open = True

    async def produce(self, installation: InstallationId, message: OutgoingMessage, deadline: float | None) -> Delivery:
        if not self._open:
            raise unavailable(self._name, "is being closed")
        self._count_topic(installation, message.topic)
        now = asyncio.get_running_loop().time()
        patience = DELIVERY_SECONDS if deadline is None else min(DELIVERY_SECONDS, deadline - now)
        margin = min(MAX_MARGIN_SECONDS, patience * MARGIN)
        return await self._producer(installation).produce(message, now + patience - margin)

    def access(self) -> KafkaAccess:
        if not self._open:
            raise unavailable(self._name, "is not open")
        own = EMBEDDED_CONSUMERS if self._server is not None else {}
        options = {**own, **self._backend.options, "bootstrap.servers": self._address}
        return KafkaAccess(self._name, options, self._prepare)

    async def _prepare(self, topic: str) -> None:
        if self._server is not None:
            await self._server.make_topic(topic)

    async def close(self) -> None:
        self._open = False
        for installation in tuple(self._producers):
            self._retire(installation)
        if self._closing:
            await asyncio.wait(self._closing)
        if self._server is not None:
            await self._server.stop()

    def _count_topic(self, installation: InstallationId, topic: str) -> None:
        """Raises CallError(QUOTA_EXCEEDED)."""
        known = self._topics.setdefault(installation, set())
        if topic not in known and len(known) >= MAX_TOPICS:
            sentence = (
                f"{installation} has written to {MAX_TOPICS:,} topics of the Kafka cluster {self._name!r}, and may not"
                " write to further ones. Use keys, or partitions, to tell messages apart."
            )
            raise CallError(Status.RESOURCE_EXHAUSTED, Reason.QUOTA_EXCEEDED, sentence)
        known.add(topic)

    def _producer(self, installation: InstallationId) -> Producer:
        producer = self._producers.get(installation)
        if producer is not None and not producer.broken:
            return producer
        long_ago = time.monotonic() - IDLE_SECONDS
        for known, other in tuple(self._producers.items()):
            if other.broken or other.last_used < long_ago:
                self._retire(known)
        producer = self._producers[installation] = Producer(self._name, self._config(installation))
        return producer

    def _retire(self, installation: InstallationId) -> None:
        producer = self._producers.pop(installation)
        task = asyncio.create_task(producer.close(FLUSH_SECONDS), name=f"close kafka {self._name} {installation}")
        self._closing.add(task)
        task.add_done_callback(self._closing.discard)

    def _config(self, installation: InstallationId) -> dict[str, Any]:
        return {
            "client.id": f"moorage/{installation}",
            # Keeps the order when the library sends again. The option `enable.idempotence` would also keep it from
            # writing twice, but makes the first message of each producer wait for 0.05 to 1 s.
            "max.in.flight.requests.per.connection": 1,
            "delivery.timeout.ms": int(DELIVERY_SECONDS * 1000),
            # A lone message is sent at once; under load batches form while others are on their way.
            "linger.ms": 0,
            # Beyond, producing waits: the queue is memory of the host.
            "queue.buffering.max.kbytes": 32 * 1024,
            **self._backend.options,
            "bootstrap.servers": self._address,
        }
