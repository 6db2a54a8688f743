"""Carries events between hosts by way of a Redis channel. What cannot be carried is lost, as Redis has it."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import secrets
from collections import deque
from collections.abc import Callable
from typing import Any

from google.protobuf.message import DecodeError

from moorage.broker.services.events.hub import MAX_DATA_BYTES
from moorage.broker.services.events.wire import event_from_wire, event_to_wire
from moorage.models.event import PluginEvent
from moorage.owned import OwnedTasks
from moorage_proto import events_pb2, topics
from moorage_proto.values import ValueInvalid

log = logging.getLogger(__name__)

CHANNEL = "moorage:events"

#: Events that wait to be carried; beyond, the oldest are dropped.
CAPACITY = 1_000

#: Between attempts to reach a server that is away.
FIRST_DELAY_SECONDS, LONGEST_DELAY_SECONDS = 0.1, 5.0

_HOST_LENGTH = 16


class RedisRelay:
    """Implements the hub's ``Receiver``. Whoever opens it closes it."""

    def __init__(self, connect: Callable[[], Any], arrived: Callable[[PluginEvent], None]) -> None:
        """``connect`` makes a ``redis.asyncio.Redis``; ``arrived`` is told of each event of another host."""
        self._connect = connect
        self._arrived = arrived
        #: In front of each message, so that a host knows its own.
        self._host = secrets.token_hex(_HOST_LENGTH // 2).encode()
        self._waiting: deque[bytes] = deque()
        self._dropped = 0
        self._something = asyncio.Event()
        self._tasks = OwnedTasks()
        self._running: list[asyncio.Task[None]] = []
        #: Set while it listens.
        self.listening = asyncio.Event()

    async def open(self) -> None:
        """Returns at once: a server that is away is no error yet."""
        for work, name in ((self._listen, "events from other hosts"), (self._carry, "events to other hosts")):
            self._running.append(self._tasks.start(self._again(work), name))

    async def close(self) -> None:
        for task in self._running:
            task.cancel()
        await self._tasks.settled()

    def offer(self, event: PluginEvent) -> None:
        if len(self._waiting) >= CAPACITY:
            self._waiting.popleft()
            self._dropped += 1
        self._waiting.append(self._host + event_to_wire(event).SerializeToString())
        self._something.set()

    async def _again(self, work: Callable[[Any], Any]) -> None:
        """Until it is cancelled, on a new connection whenever one breaks."""
        delay = FIRST_DELAY_SECONDS
        while True:
            client = self._connect()
            try:
                await work(client)
                delay = FIRST_DELAY_SECONDS
            except Exception as error:  # noqa: BLE001 - whatever the client library raises, the next connection may work
                log.warning("the Redis server that carries events cannot be used (%s); it is tried again", error)
            finally:
                self.listening.clear()
                with contextlib.suppress(Exception):
                    await client.aclose()
            await asyncio.sleep(delay)
            delay = min(delay * 2, LONGEST_DELAY_SECONDS)

    async def _listen(self, client: Any) -> None:
        async with client.pubsub() as subscription:
            await subscription.subscribe(CHANNEL)
            async for message in subscription.listen():
                if message["type"] == "subscribe":
                    self.listening.set()
                else:
                    self._receive(message["data"])

    def _receive(self, data: Any) -> None:
        if not isinstance(data, bytes) or data.startswith(self._host) or len(data) > 2 * MAX_DATA_BYTES:
            return
        try:
            event = event_from_wire(events_pb2.Event.FromString(data[_HOST_LENGTH:]))
        except (DecodeError, ValueInvalid, OverflowError) as error:
            log.warning("what came on the channel %s is no event: %s", CHANNEL, error)
            return
        if event.id and not topics.problem_of(event.topic):
            self._arrived(event)

    async def _carry(self, client: Any) -> None:
        while True:
            while self._waiting:
                # It stays in front until it is sent, so that a broken connection does not lose it.
                message = self._waiting[0]
                await client.publish(CHANNEL, message)
                if self._waiting and self._waiting[0] is message:
                    self._waiting.popleft()
            if self._dropped:
                log.error("%d events were not carried to other hosts: the Redis server was away", self._dropped)
                self._dropped = 0
            self._something.clear()
            await self._something.wait()
