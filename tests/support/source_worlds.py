"""What the contract of at-least-once sources asks of each technology, and a host's way to listen."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from typing import Protocol

from fault_proxy import FaultProxy
from source_doors import BookDoor

from moorage.orchestrator.triggers.base import Signal, Source, SourceFailed

#: Before a source that failed is made again.
AGAIN_SECONDS = 0.05

DEADLINE_SECONDS = 30.0


@dataclass(frozen=True)
class DeadLetter:
    body: bytes
    #: The sentence of the execution's error.
    reason: str


class SourceWorld(Protocol):
    """A server with one topic, stream or queue, and a group that reads it."""

    #: Where faults can be made; None: there is no network in between.
    proxy: FaultProxy | None

    async def send(self, *bodies: bytes) -> None: ...

    def source(self) -> Source:
        """A new one, of the same group, host and trigger as those before."""

    def body(self, signal: Signal) -> bytes: ...

    async def acknowledged(self) -> int:
        """How many of the messages the server will not deliver again, dead ones included."""

    async def dead_letters(self) -> list[DeadLetter]: ...

    async def spoil_dead_letters(self) -> None:
        """They cannot be written from now on."""

    async def mend_dead_letters(self) -> None: ...


@contextlib.asynccontextmanager
async def listening(world: SourceWorld, door: BookDoor) -> AsyncIterator[Listener]:
    """As a host does: a source that fails is made again."""
    listener = Listener(world.source, door)
    task = asyncio.create_task(listener.listen(), name="listener")
    try:
        yield listener
    finally:
        task.cancel()
        async with asyncio.timeout(15):
            await asyncio.wait((task,))
        if not task.cancelled():
            task.result()


class Listener:
    def __init__(self, make: Callable[[], Source], door: BookDoor) -> None:
        self._make = make
        self._door = door
        #: Sentences of those that failed.
        self.problems: list[str] = []

    async def listen(self) -> None:
        while True:
            try:
                await self._make().run(self._door)
            except SourceFailed as failed:
                self.problems.append(str(failed))
                await asyncio.sleep(AGAIN_SECONDS)


async def until(condition: Callable[[], Awaitable[bool]], seconds: float = DEADLINE_SECONDS) -> None:
    async with asyncio.timeout(seconds):
        while not await condition():
            await asyncio.sleep(0.01)
