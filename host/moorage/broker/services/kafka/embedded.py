"""The embedded Kafka: librdkafka's own mock cluster, which other processes can connect to. It forgets at exit."""

from __future__ import annotations

import asyncio
from typing import Any

from moorage.broker.services.kafka.library import client

START_SECONDS = 5.0


class EmbeddedServer:
    """Lives as long as the producer object in whose configuration it stands."""

    def __init__(self) -> None:
        self._owner: Any = None

    async def start(self) -> str:
        """Returns its address. Topics come into being when they are first used."""
        self._owner = client().Producer({"test.mock.num.brokers": 1, "log_level": 4})
        metadata = await asyncio.to_thread(self._owner.list_topics, timeout=START_SECONDS)
        return ",".join(f"{broker.host}:{broker.port}" for broker in metadata.brokers.values())

    async def make_topic(self, topic: str) -> None:
        """Consumers do not make those that they ask for. Does nothing when it is there, or the server is stopped."""
        if self._owner is not None:
            await asyncio.to_thread(self._owner.list_topics, topic, timeout=START_SECONDS)

    async def stop(self) -> None:
        self._owner = None
