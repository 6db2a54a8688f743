"""From a checked host to an open connection: resolved once, and connected to what was checked."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import re
import ssl
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import Self

from moorage.broker.egress.resolver import Address, HostUnknown, LookUp, resolve, system_look_up
from moorage.broker.egress.upstream import Upstream
from moorage.config.services.http import HttpSettings
from moorage_proto import hostname
from moorage_proto.errors import CallError, Reason, Status

log = logging.getLogger(__name__)

#: Until a connection stands, with the time for its name.
CONNECT_SECONDS = 15.0

#: Of one direction, in the host.
BUFFER_BYTES = 256 * 1024

Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]

_ESTABLISHED = re.compile(rb"HTTP/1\.[01] 2[0-9][0-9][ \r]")


class Dialler:
    def __init__(
        self,
        look_up: LookUp = system_look_up,
        upstream: Upstream | None = None,
        trusted: ssl.SSLContext | None = None,
    ) -> None:
        """``upstream``: the proxy that the operator has all connections made by; it resolves names itself. ``trusted``
        is for one that is spoken to over TLS.
        """
        self.look_up = look_up
        self._upstream = upstream
        self._trusted = trusted

    @classmethod
    def from_settings(cls, settings: HttpSettings) -> Self:
        """Raises UpstreamInvalid; OSError or ssl.SSLError for authorities that cannot be read."""
        if settings.proxy is None:
            return cls()
        upstream = Upstream.parse(settings.proxy)
        trusted = ssl.create_default_context(cafile=settings.ca_file) if upstream.scheme == "https" else None
        return cls(upstream=upstream, trusted=trusted)

    async def dial(self, host: str, port: int, *, allow_private: bool, look_up: LookUp | None = None) -> Streams:
        """``host`` is canonical; ``look_up`` takes the place of this dialler's own.

        Raises CallError: refused for its address, unknown, or not to be reached.
        """
        check = partial(resolve, host, port, allow_private=allow_private, look_up=look_up or self.look_up)
        try:
            async with asyncio.timeout(CONNECT_SECONDS):
                if self._upstream is not None:
                    return await _through(self._upstream, self._trusted, host, port, check)
                return await _first(await check())
        except (OSError, TimeoutError, asyncio.IncompleteReadError, asyncio.LimitOverrunError) as error:
            log.info("a plugin's connection to %s:%d: %s", host, port, error or type(error).__name__)
            sentence = f"{host}:{port} cannot be reached from this host at the moment."
            raise CallError(Status.UNAVAILABLE, Reason.BACKEND_UNAVAILABLE, sentence, retryable=True) from error


async def _through(
    upstream: Upstream, trusted: ssl.SSLContext | None, host: str, port: int, check: Callable[[], Awaitable[object]]
) -> Streams:
    """What this machine knows to be private is refused here; of names that it does not know the proxy decides."""
    with contextlib.suppress(HostUnknown):
        await check()
    reader, writer = await asyncio.open_connection(
        upstream.host, upstream.port, limit=BUFFER_BYTES, ssl=trusted if upstream.scheme == "https" else None
    )
    try:
        target = f"{hostname.in_url(host)}:{port}"
        head = f"CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n"
        if upstream.authorization:
            head += f"Proxy-Authorization: {upstream.authorization}\r\n"
        writer.write(f"{head}\r\n".encode())
        answer = await reader.readuntil(b"\r\n\r\n")
        if not _ESTABLISHED.match(answer):
            raise ConnectionError(f"the operator's proxy answered {answer.splitlines()[0]!r}")
    except BaseException:
        writer.transport.abort()
        raise
    return reader, writer


async def _first(addresses: Sequence[Address]) -> Streams:
    """One after another, in the resolver's order; each that does not answer gets its share of the time."""
    failure: Exception = OSError("no address")
    for number, address in enumerate(addresses):
        try:
            async with asyncio.timeout(CONNECT_SECONDS / 2 / (len(addresses) - number)):
                return await asyncio.open_connection(address.ip, address.port, limit=BUFFER_BYTES)
        except (OSError, TimeoutError) as error:
            failure = error
    raise failure
