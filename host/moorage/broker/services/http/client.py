"""The connections of one installation. They are never another's: no login or other state of a connection mixes."""

from __future__ import annotations

import asyncio
import contextlib
import functools
from collections.abc import AsyncIterator

import httpcore

from moorage.broker.egress.resolver import Address, BoundedLookUp, HostUnknown, LookUp, resolve
from moorage.broker.services.http.base import Bounds, Timeouts
from moorage.broker.services.http.network import PinnedBackend
from moorage.broker.services.http.outward import Outward
from moorage.owned import OwnedTasks
from moorage_proto.http_access import Outgoing


class Client:
    """Of one installation, for as long as it makes requests."""

    def __init__(self, bounds: Bounds, outward: Outward, look_up: LookUp) -> None:
        self._bounds = bounds
        self._proxied = outward.proxied
        self._look_up = BoundedLookUp(look_up)
        # A connection to a private address, made for a request that may, must not be there for one that may not.
        self._pools = {
            allow_private: outward.pool(PinnedBackend(functools.partial(self._resolve, allow_private)), bounds)
            for allow_private in (False, True)
        }
        #: By origin, of requests in flight.
        self._slots: dict[str, _Slots] = {}
        self._closing = OwnedTasks()
        #: Requests in flight.
        self.in_use = 0

    async def close(self) -> None:
        await self._closing.settled()
        for pool in self._pools.values():
            await pool.aclose()

    @contextlib.asynccontextmanager
    async def exchange(
        self,
        outgoing: Outgoing,
        headers: list[tuple[bytes, bytes]],
        body: AsyncIterator[bytes] | None,
        timeouts: Timeouts,
        *,
        allow_private: bool,
    ) -> AsyncIterator[httpcore.Response]:
        """One request; the response streams. Raises httpcore's exceptions, HostRefused and HostUnknown."""
        url = outgoing.url
        limits = {"connect": timeouts.connect, "read": timeouts.read, "write": timeouts.write, "pool": timeouts.pool}
        request = httpcore.Request(
            outgoing.method,
            httpcore.URL(scheme=url.scheme, host=url.host, port=url.port, target=url.target),
            headers=headers,
            content=body,
            extensions={"timeout": limits},
        )
        async with self._slot(url.origin, timeouts.pool):
            if self._proxied:
                await self._check_proxied(url.host, url.port, timeouts.connect, allow_private)
            response = await self._pools[allow_private].handle_async_request(request)
            try:
                yield response
            finally:
                # Whoever is cancelled here leaves no connection half closed, which would count as busy for ever.
                await asyncio.shield(self._closing.start(response.aclose(), name=f"close a response of {url.origin}"))

    @contextlib.asynccontextmanager
    async def _slot(self, origin: str, seconds: float | None) -> AsyncIterator[None]:
        slots = self._slots.setdefault(origin, _Slots(self._bounds.connections_per_host))
        slots.users += 1
        try:
            try:
                async with asyncio.timeout(seconds):
                    await slots.free.acquire()
            except TimeoutError:
                raise httpcore.PoolTimeout from None
            try:
                yield
            finally:
                slots.free.release()
        finally:
            slots.users -= 1
            if not slots.users:
                del self._slots[origin]

    async def _resolve(self, allow_private: bool, host: str, port: int) -> list[Address]:
        return await resolve(host, port, allow_private=allow_private, look_up=self._look_up)

    async def _check_proxied(self, host: str, port: int, seconds: float, allow_private: bool) -> None:
        """What this machine knows to be private is refused here; of names that it does not know the proxy decides."""
        try:
            async with asyncio.timeout(seconds):
                with contextlib.suppress(HostUnknown):
                    await self._resolve(allow_private, host, port)
        except TimeoutError:
            raise httpcore.ConnectTimeout from None


class _Slots:
    """Of one origin."""

    def __init__(self, count: int) -> None:
        self.free = asyncio.Semaphore(count)
        self.users = 0
