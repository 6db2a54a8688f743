"""Redis channels: each message starts an execution, at most once, as Redis has it: who does not listen misses it."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections import deque
from collections.abc import AsyncGenerator, Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from moorage.broker.services.redis.line import Line, LineSilent
from moorage.broker.services.redis.service import RedisAccess
from moorage.broker.services.redis.wire import ServerError
from moorage.models.trigger import TriggerId
from moorage.orchestrator.triggers.base import Door, NotNow, Signal, SourceFailed
from moorage.orchestrator.triggers.crew import Crew, settled
from moorage.orchestrator.triggers.dead_letter import Backoff
from moorage_proto.errors import CallError

log = logging.getLogger(__name__)

#: Messages, and their bytes, that wait for room in the door; beyond, the oldest are dropped.
CAPACITY = 1_000
MAX_BYTES = 16 * 1024 * 1024

#: Between two signs of life of the server.
SILENCE_SECONDS = 15.0

#: Between attempts to reach a server that is away; after so many it is said. What waits is worked on meanwhile.
RECONNECTS = Backoff(0.1, 2.0)
ATTEMPTS = 5

_SIGN = b"moorage: alive"

Message = dict[str, Any]


@dataclass(frozen=True)
class Channel:
    """What a trigger listens to."""

    trigger: TriggerId
    #: With ``*``, ``?``, ``[...]`` or ``\\``: a pattern, as PSUBSCRIBE takes it.
    name: str

    @property
    def is_pattern(self) -> bool:
        return any(sign in self.name for sign in "*?[\\")


class ChannelSource:
    """Implements ``Source``; one host alone is to listen, as each that listens is told of each message."""

    def __init__(
        self,
        channel: Channel,
        access: Callable[[], RedisAccess],
        skipped: Callable[[int], Awaitable[None]] | None = None,
        capacity: int = CAPACITY,
    ) -> None:
        """``access``: of its server; may raise CallError. ``skipped`` is told how many messages were dropped."""
        self._channel = channel
        self._reach = access
        self._skipped = skipped
        self._capacity = capacity
        self._waiting: deque[Message] = deque()
        self._waiting_bytes = 0
        self._in_door = 0
        #: Since it was told.
        self._dropped = 0
        #: Over the source's whole life.
        self.dropped = 0
        #: Set while the server delivers.
        self.listening = asyncio.Event()

    async def run(self, door: Door) -> None:
        try:
            self._access = self._reach()
        except CallError as error:
            raise SourceFailed(error.message) from error
        self._door = door
        self._crew = Crew()
        try:
            self._crew.start(self._listen, f"{self._channel.trigger} listens")
            await self._crew.failed()
        finally:
            await settled(self._crew.close(), f"close {self._channel.trigger}")

    # -- listening ----------------------------------------------------------------------------------------------------

    async def _listen(self) -> None:
        failures = 0
        delays = RECONNECTS.delays()
        while True:
            try:
                async for message in self._messages():
                    self._arrived(message)
            except SourceFailed as failed:
                if self.listening.is_set():
                    failures, delays = 0, RECONNECTS.delays()
                self.listening.clear()
                failures += 1
                if failures == ATTEMPTS:
                    raise
                log.warning("%s: %s", self._channel.trigger, failed)
                await asyncio.sleep(next(delays))

    async def _messages(self) -> AsyncGenerator[Message, None]:
        """On one connection. Raises SourceFailed."""
        try:
            line = await self._access.open()
            try:
                await line.run([(b"PING",)], f"moorage/trigger/{self._channel.trigger}", self._access.timeout_seconds)
                await line.send(
                    [(b"PSUBSCRIBE" if self._channel.is_pattern else b"SUBSCRIBE", self._channel.name.encode())]
                )
                async with contextlib.aclosing(_replies(line)) as replies:
                    async for reply in replies:
                        message = self._understood(reply)
                        if message is not None:
                            yield message
            finally:
                await line.close()
        except LineSilent as error:
            raise self._failed("does not answer any more. It is tried again") from error
        except CallError as error:
            raise SourceFailed(error.message) from error

    def _understood(self, reply: Any) -> Message | None:
        """Raises SourceFailed for a refusal."""
        if isinstance(reply, ServerError):
            raise self._failed(
                f"refuses the channel {self._channel.name!r}: {reply.code}. Its operator allows it there"
            )
        kind, *rest = reply
        if kind in (b"subscribe", b"psubscribe"):
            self.listening.set()
        if kind == b"message":
            return {"channel": _text(rest[0]), "pattern": "", "data": rest[1]}
        if kind == b"pmessage":
            return {"channel": _text(rest[1]), "pattern": _text(rest[0]), "data": rest[2]}
        return None

    def _failed(self, problem: str) -> SourceFailed:
        return SourceFailed(f"The Redis server {self._access.server!r} {problem}.")

    # -- what has arrived ---------------------------------------------------------------------------------------------

    def _arrived(self, message: Message) -> None:
        self._waiting.append(message)
        self._waiting_bytes += len(message["data"])
        while len(self._waiting) > self._capacity or (len(self._waiting) > 1 and self._waiting_bytes > MAX_BYTES):
            self._next()
            self._drop()
        self._admit()

    def _next(self) -> Message:
        message = self._waiting.popleft()
        self._waiting_bytes -= len(message["data"])
        return message

    def _admit(self) -> None:
        while self._waiting and self._in_door < self._door.slots:
            message = self._next()
            task = self._crew.start(lambda message=message: self._carry(message), self._channel.trigger)  # type: ignore[misc]
            if task is None:
                return
            self._in_door += 1
            task.add_done_callback(self._left)

    def _left(self, _: asyncio.Task[None]) -> None:
        self._in_door -= 1
        self._admit()

    async def _carry(self, message: Message) -> None:
        try:
            await self._door.take(Signal(key="", input=message, position=message["channel"]))
        except NotNow as reason:
            log.info("%s: a message is dropped: %s", self._channel.trigger, reason)
            self._drop()
        await self._tell()

    def _drop(self) -> None:
        self._dropped += 1
        self.dropped += 1

    async def _tell(self) -> None:
        if not self._dropped:
            return
        count, self._dropped = self._dropped, 0
        log.warning("%s: %d messages of channel %r were dropped", self._channel.trigger, count, self._channel.name)
        if self._skipped is not None:
            await self._skipped(count)


async def _replies(line: Line) -> AsyncGenerator[Any, None]:
    """What arrives, without end. Raises LineSilent when the server shows no sign of life, or CallError."""
    is_asked = False
    reading = asyncio.create_task(line.receive(), name="redis channel")
    try:
        while True:
            await asyncio.wait((reading,), timeout=SILENCE_SECONDS)
            if not reading.done():
                if is_asked:
                    raise LineSilent
                is_asked = True
                await line.send([(b"PING", _SIGN)])
                continue
            is_asked, reply = False, reading.result()
            reading = asyncio.create_task(line.receive(), name="redis channel")
            if reply not in ([b"pong", _SIGN], _SIGN):
                yield reply
    finally:
        reading.cancel()
        await asyncio.wait((reading,))


def _text(name: bytes) -> str:
    return name.decode(errors="backslashreplace")
