"""Streams that listen while they are written to.

A server may answer, and close, before it has read all of a request: 413, say. Who does not listen meanwhile learns of
the closing by a failed write; uvloop then gives the connection up with the answer that had arrived.
"""

from __future__ import annotations

import asyncio
import ssl
from typing import Any

import httpcore

_READ_BYTES = 64 * 1024


class ListeningStream(httpcore.AsyncNetworkStream):
    """Of one connection. From its first write on one read is ahead; nothing of what it brings is lost."""

    def __init__(self, inner: httpcore.AsyncNetworkStream) -> None:
        self._inner = inner
        self._ahead: asyncio.Task[bytes] | None = None
        #: Of what was read ahead, what nobody has taken yet.
        self._rest = b""

    async def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        if self._ahead is not None:
            await asyncio.wait((self._ahead,), timeout=timeout)
            if not self._ahead.done():
                raise httpcore.ReadTimeout
            ahead, self._ahead = self._ahead, None
            self._rest = ahead.result()
        elif not self._rest:
            return await self._inner.read(max_bytes, timeout)
        taken, self._rest = self._rest[:max_bytes], self._rest[max_bytes:]
        return taken

    async def write(self, buffer: bytes, timeout: float | None = None) -> None:
        if self._ahead is None and not self._rest:
            self._ahead = asyncio.create_task(self._inner.read(_READ_BYTES), name="http listens")
        await self._inner.write(buffer, timeout)

    async def aclose(self) -> None:
        try:
            await self._inner.aclose()
        finally:
            await self._stop_listening()

    async def start_tls(
        self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> httpcore.AsyncNetworkStream:
        """Before the first write: its first bytes are the other side's own."""
        return ListeningStream(await self._inner.start_tls(ssl_context, server_hostname, timeout))

    def get_extra_info(self, info: str) -> Any:
        return self._inner.get_extra_info(info)

    async def _stop_listening(self) -> None:
        ahead, self._ahead = self._ahead, None
        if ahead is not None:
            ahead.cancel()
            await asyncio.gather(ahead, return_exceptions=True)
