"""One connection between a plugin and a host that it was granted: bytes both ways, counted and never looked into."""

from __future__ import annotations

import asyncio
import contextlib
from datetime import UTC, datetime

from moorage.broker.egress.private import may_be_private
from moorage.broker.link_state import LinkState
from moorage.broker.loop_shares import charged
from moorage.broker.net.dialler import Streams
from moorage.broker.net.request import Target
from moorage.broker.use import MethodUse
from moorage_proto.capability import Decision

#: Taken at a time from one end.
CHUNK_BYTES = 64 * 1024


def private_allowed(link: LinkState, target: Target, decision: Decision) -> bool:
    """Whether the target may be at a private address, by the present grants."""
    named = decision.rule is not None and decision.rule.resource == target.need.resource
    return may_be_private(target.host, named=named, covering=link.covering)


class Tunnel:
    """Implements ``Held``: the plugin's incarnation owns it."""

    def __init__(
        self, link: LinkState, counters: MethodUse, target: Target, near: Streams, far: Streams, *, private: bool
    ) -> None:
        """``near`` is the plugin's end; ``private``: the other one may be at a private address."""
        self._link = link
        self._private = private
        self._counters = counters
        self._target = target
        self._near = near
        self._far = far
        self._since = datetime.now(UTC)
        self._running: asyncio.Task[None] | None = None

    async def run(self) -> None:
        """Until one end has closed both ways, or it is released. Raises nothing."""
        self._running = asyncio.current_task()
        share = self._link.share
        outward = asyncio.create_task(
            charged(self._pump(self._near[0], self._far[1], outward=True), share), name=f"to {self._target}"
        )
        inward = asyncio.create_task(
            charged(self._pump(self._far[0], self._near[1], outward=False), share), name=f"of {self._target}"
        )
        try:
            await asyncio.wait((outward, inward))
        finally:
            for pump in (outward, inward):
                pump.cancel()
            for _, writer in (self._near, self._far):
                writer.transport.abort()

    async def finish(self, *, success: bool) -> None:
        """There is nothing to commit."""

    async def release(self) -> None:
        if self._running is not None and self._running is not asyncio.current_task():
            self._running.cancel()
            await asyncio.wait((self._running,))

    def revoked(self) -> bool:
        decision = self._link.grants.decide(self._target.need)
        return not decision.allowed or (self._private and not private_allowed(self._link, self._target, decision))

    def open_since(self) -> tuple[str, datetime] | None:
        return f"connection to {self._target}", self._since

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, outward: bool) -> None:
        """What one end sends until it has no more; then the other end is told so."""
        try:
            while data := await reader.read(CHUNK_BYTES):
                self._count(len(data), outward=outward)
                delay_seconds = max(self._link.quota.charge(len(data)), self._link.share(0.0))
                if delay_seconds > 0:
                    await asyncio.sleep(delay_seconds)
                writer.write(data)
                await writer.drain()
            if writer.can_write_eof():
                writer.write_eof()
        except OSError:
            # One end is gone: the other one is not kept waiting for it.
            for _, other in (self._near, self._far):
                with contextlib.suppress(OSError):
                    other.transport.abort()

    def _count(self, size_bytes: int, *, outward: bool) -> None:
        if outward:
            self._counters.bytes_in += size_bytes
        else:
            self._counters.bytes_out += size_bytes
