"""Redis streams for the contract of sources: embedded, and on a real server behind a proxy."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace
from typing import Any

from fault_proxy import FaultProxy
from servers.redis import RedisServer
from source_worlds import DeadLetter

from moorage.broker.services.redis import RedisService
from moorage.broker.services.redis.line import Line
from moorage.broker.services.redis.service import RedisAccess
from moorage.config.services.redis import RedisBackend
from moorage.models.manifest import Trigger
from moorage.orchestrator.triggers.base import Signal
from moorage.orchestrator.triggers.dead_letter import Backoff
from moorage.orchestrator.triggers.redis_group import Stream
from moorage.orchestrator.triggers.redis_stream import StreamSource
from moorage_proto.capability import Grants

QUICK = Backoff(0.02, 0.1)
GROUP = "moorage.churn.orders"
DEAD = "orders:dead-letter"


class StreamWorld:
    """Implements ``SourceWorld``."""

    def __init__(self, service: RedisService, seen: RedisService, proxy: FaultProxy | None = None) -> None:
        """``seen``: the same server, past the proxy, for looking at what is there."""
        self.proxy = proxy
        self.service = service
        self._seen = seen
        self._sent = 0

    async def say(self, *command: Any) -> Any:
        line = await self._seen.access().open()
        try:
            (answer,) = await line.run([[_bytes(word) for word in command]], "", 5)
        finally:
            await line.close()
        return answer

    def source(self, consumer: str = "host-1", **options: Any) -> StreamSource:
        trigger = Trigger("redis", "orders", options={"mode": "stream", **options})
        return StreamSource(Stream.of("churn/orders", trigger), self._access, consumer, QUICK)

    def _access(self) -> RedisAccess:
        access = self.service.access()
        return access if self.proxy else replace(access, open=_stepped(access.open))

    async def send(self, *bodies: bytes) -> None:
        for body in bodies:
            await self.say("XADD", "orders", "*", "body", body)
        self._sent += len(bodies)

    def body(self, signal: Signal) -> bytes:
        return signal.input["fields"]["body"]

    async def acknowledged(self) -> int:
        """Of those that were delivered; the others are behind the group's position."""
        groups = await self.say("XINFO", "GROUPS", "orders")
        if not isinstance(groups, list) or not groups:
            return 0
        facts = dict(zip(groups[0][::2], groups[0][1::2], strict=True))
        ahead = await self.say("XRANGE", "orders", b"(" + facts[b"last-delivered-id"], "+")
        return self._sent - len(ahead) - facts[b"pending"]

    async def pending(self) -> list[Any]:
        return await self.say("XPENDING", "orders", GROUP, "-", "+", 1000)

    async def dead_letters(self) -> list[DeadLetter]:
        found = []
        for _, fields in await self.say("XRANGE", DEAD, "-", "+") or ():
            facts = dict(zip(fields[::2], fields[1::2], strict=True))
            found.append(DeadLetter(facts[b"body"], facts[b"moorage-error"].decode()))
        return found

    async def spoil_dead_letters(self) -> None:
        await self.say("SET", DEAD, "no stream")

    async def mend_dead_letters(self) -> None:
        await self.say("DEL", DEAD)


@contextlib.asynccontextmanager
async def embedded() -> AsyncIterator[StreamWorld]:
    service = _service(RedisBackend())
    yield StreamWorld(service, service)
    await service.close()


@contextlib.asynccontextmanager
async def real(server: RedisServer) -> AsyncIterator[StreamWorld]:
    async with FaultProxy(server.port) as proxy:
        service = _service(RedisBackend(url=server.url_at(proxy.port), timeout=2))
        seen = _service(RedisBackend(url=server.url))
        yield StreamWorld(service, seen, proxy)
        await service.close()
        await seen.close()


def _stepped(opened: Callable[[], Awaitable[Line]]) -> Callable[[], Awaitable[Line]]:
    """The embedded server answers at once. With steps of the event loop around each command, what can happen between
    sending and answering happens there, too.
    """

    async def open_stepped() -> Line:
        line = await opened()
        run = line.run

        async def stepped(*arguments: Any) -> list[Any]:
            await asyncio.sleep(0)
            answers = await run(*arguments)
            await asyncio.sleep(0)
            return answers

        line.run = stepped
        return line

    return open_stepped


def _service(backend: RedisBackend) -> RedisService:
    return RedisService.from_settings({"main": backend}, lambda _: Grants(()), "test")


def _bytes(word: Any) -> bytes:
    return word if isinstance(word, bytes) else str(word).encode()
