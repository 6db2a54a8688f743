"""What a scope holds of Redis: connections with something open on them, and subscriptions."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Iterable
from datetime import UTC, datetime
from typing import Any

from moorage.broker.scope import Scope
from moorage.broker.services.base import Guard
from moorage.broker.services.redis import refusals
from moorage.broker.services.redis.line import Line
from moorage.broker.services.redis.lines import Lines
from moorage.broker.services.redis.server import Server
from moorage_proto.capability import Capability
from moorage_proto.redis_access import Session

#: About what a right takes that is remembered, beside its text.
NEED_BYTES = 256


class Holding:
    """Implements ``Held``: one connection that is a scope's own. It ends with the scope, or with a right it needs."""

    def __init__(self, scope: Scope, server: Server, lines: Lines, line: Line, what: str) -> None:
        self.server = server
        self.line = line
        #: Its calls run one after another.
        self.turn = asyncio.Lock()
        self._scope = scope
        self._lines = lines
        self._what = what
        self._since = datetime.now(UTC)
        self._guard: Guard | None = None
        self._needs: dict[Capability, None] = {}
        self._remembered = 0
        self._given_back = False
        self.handle = scope.hold(self)

    def needs(self, guard: Guard, needs: Iterable[Capability]) -> None:
        """From now on it may stay only while these are allowed. Raises CallError(QUOTA_EXCEEDED)."""
        self._guard = guard
        new = [need for need in dict.fromkeys(needs) if need not in self._needs]
        size = sum(NEED_BYTES + len(need.resource) for need in new)
        self._lines.remember(size)
        self._remembered += size
        self._needs.update(dict.fromkeys(new))

    def needs_no_longer(self, needs: Iterable[Capability]) -> None:
        for need in needs:
            self._needs.pop(need, None)

    async def close(self, *, reusable: bool = False) -> None:
        """Its service is done with it. May be called twice."""
        self._scope.drop(self.handle)
        if not self._given_back:
            self._given_back = True
            self._lines.remember(-self._remembered)
            await self._lines.give_back(self.line, reusable=reusable)

    async def finish(self, *, success: bool) -> None:
        """Nothing is committed by the end of a scope: a transaction without its EXEC is forgotten."""

    async def release(self) -> None:
        await self.close()

    def revoked(self) -> bool:
        return self._guard is not None and not all(self._guard.covers(need) for need in self._needs)

    def open_since(self) -> tuple[str, datetime] | None:
        return f"{self._what} on redis {self.server.name}", self._since


class HeldLine(Holding):
    """With a WATCH or MULTI open, or a command that waits."""

    def __init__(self, scope: Scope, server: Server, lines: Lines, line: Line) -> None:
        super().__init__(scope, server, lines, line, "connection")
        self.session = Session()


#: Between two signs of life on a subscription.
SILENCE_SECONDS = 15.0

_SIGN = b"moorage: alive"


class HeldSubscription(Holding):
    def __init__(self, scope: Scope, server: Server, lines: Lines, line: Line) -> None:
        super().__init__(scope, server, lines, line, "subscription")

    async def deliveries(self) -> AsyncGenerator[Any, None]:
        """What arrives, without end. Raises CallError when the connection is lost, or the server silent."""
        is_asked = False
        reading = asyncio.create_task(self.line.receive(), name=f"subscription {self.handle}")
        try:
            while True:
                await asyncio.wait((reading,), timeout=SILENCE_SECONDS)
                if not reading.done():
                    if is_asked:
                        raise refusals.unavailable(self.server.name, "does not answer any more")
                    is_asked = True
                    await self.line.send([(b"PING", _SIGN)])
                    continue
                is_asked, reply = False, reading.result()
                reading = asyncio.create_task(self.line.receive(), name=f"subscription {self.handle}")
                if reply not in ([b"pong", _SIGN], _SIGN):
                    yield reply
        finally:
            reading.cancel()
            await asyncio.wait((reading,))


def held_line(scope: Scope, handle: int) -> HeldLine:
    """Raises CallError when the handle names nothing, or something else, of this scope."""
    found = scope.resource(handle)
    if not isinstance(found, HeldLine):
        raise refusals.not_a("connection", handle)
    return found


def held_subscription(scope: Scope, handle: int) -> HeldSubscription:
    """Raises CallError when the handle names nothing, or something else, of this scope."""
    found = scope.resource(handle)
    if not isinstance(found, HeldSubscription):
        raise refusals.not_a("subscription", handle)
    return found
