"""Connections to checked addresses alone. httpcore opens all of its connections through this."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Sequence

import httpcore

from moorage.broker.egress.resolver import Address
from moorage.broker.services.http.listening import ListeningStream

#: From a canonical host and port to the addresses that may be connected to.
Resolve = Callable[[str, int], Awaitable[Sequence[Address]]]


class PinnedBackend(httpcore.AsyncNetworkBackend):
    """Resolves once and connects to what was checked; the name goes on being used for TLS and the Host header."""

    def __init__(self, resolve: Resolve) -> None:
        self._resolve = resolve
        self._inner = httpcore.AnyIOBackend()

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,  # noqa: ARG002
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None,  # noqa: ARG002
    ) -> httpcore.AsyncNetworkStream:
        try:
            async with asyncio.timeout(timeout) as limit:
                addresses = await self._resolve(host, port)
                return await self._first(addresses, limit)
        except TimeoutError:
            raise httpcore.ConnectTimeout from None

    async def connect_unix_socket(
        self,
        path: str,  # noqa: ARG002
        timeout: float | None = None,  # noqa: ARG002
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None,  # noqa: ARG002
    ) -> httpcore.AsyncNetworkStream:
        raise httpcore.ConnectError("the host's sockets are not for plugins")

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)

    async def _first(self, addresses: Sequence[Address], limit: asyncio.Timeout) -> httpcore.AsyncNetworkStream:
        """One after another, in the resolver's order; each that does not answer gets its share of the time."""
        failure: Exception = httpcore.ConnectError()
        for number, address in enumerate(addresses):
            share = None
            end = limit.when()
            if end is not None:
                share = (end - asyncio.get_running_loop().time()) / (len(addresses) - number)
            try:
                return ListeningStream(await self._inner.connect_tcp(address.ip, address.port, timeout=share))
            except (httpcore.ConnectError, httpcore.ConnectTimeout) as error:
                failure = error
        raise failure
