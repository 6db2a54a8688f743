"""From a checked host to an open connection: resolved once, and connected to what was checked."""

from __future__ import annotations

import asyncio
import contextlib
import logging

from moorage.broker.egress.resolver import Address, LookUp, resolve, system_look_up
from moorage_proto.errors import CallError, Reason, Status

log = logging.getLogger(__name__)

#: Until a connection stands, with the time for its name.
CONNECT_SECONDS = 15.0

#: Of one direction, in the host.
BUFFER_BYTES = 256 * 1024

Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]


class Dialler:
    def __init__(self, look_up: LookUp = system_look_up) -> None:
        self._look_up = look_up

    async def dial(self, host: str, port: int, *, allow_private: bool) -> Streams:
        """``host`` is canonical. Raises CallError: refused for its address, unknown, or not to be reached."""
        try:
            async with asyncio.timeout(CONNECT_SECONDS):
                addresses = await resolve(host, port, allow_private=allow_private, look_up=self._look_up)
                return await _first(addresses)
        except (OSError, TimeoutError) as error:
            log.info("a plugin's connection to %s:%d: %s", host, port, error)
            sentence = f"{host}:{port} cannot be reached from this host at the moment."
            raise CallError(Status.UNAVAILABLE, Reason.BACKEND_UNAVAILABLE, sentence, retryable=True) from error


async def _first(addresses: list[Address]) -> Streams:
    """The first that answers, in the resolver's order."""
    for address in addresses[:-1]:
        with contextlib.suppress(OSError):
            return await _connect(address)
    return await _connect(addresses[-1])


async def _connect(address: Address) -> Streams:
    return await asyncio.open_connection(address.ip, address.port, limit=BUFFER_BYTES)
