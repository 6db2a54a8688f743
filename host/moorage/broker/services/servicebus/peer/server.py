"""The peer on loopback, at a port of the system's choice, in the event loop that opens it."""

from __future__ import annotations

import asyncio
import logging
import time

from moorage.broker.services.servicebus.peer.connection import Connection
from moorage.broker.services.servicebus.peer.namespace import Namespace, no_alarm
from moorage.broker.services.servicebus.peer.sas import Authority

log = logging.getLogger(__name__)

HOST = "127.0.0.1"

#: Connections at a time; further ones are closed at once.
MAX_CONNECTIONS = 500


class Peer:
    """Used as ``async with``, or by ``open`` and ``close``."""

    def __init__(self, namespace: Namespace, authority: Authority, port: int = 0) -> None:
        """``port`` 0: any that is free; ``self.port`` says which, once open."""
        self.port = port
        self._namespace = namespace
        self._authority = authority
        self._server: asyncio.Server | None = None
        self._serving: set[asyncio.Task[None]] = set()
        self._timer: asyncio.TimerHandle | None = None
        self._due = float("inf")

    @property
    def connections(self) -> int:
        return len(self._serving)

    def connection_string(self, key_name: str) -> str:
        """As Azure's clients take it: ``UseDevelopmentEmulator`` makes them speak without TLS, and keep the port."""
        return (
            f"Endpoint=sb://{HOST}:{self.port};SharedAccessKeyName={key_name};"
            f"SharedAccessKey={self._authority.key(key_name)};UseDevelopmentEmulator=true;"
        )

    async def open(self) -> None:
        self._namespace.alarm = self._wake_at
        self._server = await asyncio.start_server(self._accept, HOST, self.port)
        self.port = self._server.sockets[0].getsockname()[1]

    async def close(self) -> None:
        """Ends all connections. May be called twice."""
        if self._server is None:
            return
        server, self._server = self._server, None
        server.close()
        self._namespace.alarm = no_alarm
        if self._timer is not None:
            self._timer.cancel()
        for task in self._serving:
            task.cancel()
        await asyncio.gather(*self._serving, return_exceptions=True)
        await server.wait_closed()

    async def __aenter__(self) -> Peer:
        await self.open()
        return self

    async def __aexit__(self, *raised: object) -> None:
        await self.close()

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if len(self._serving) >= MAX_CONNECTIONS:
            writer.transport.abort()
            return
        task = asyncio.current_task()
        assert task is not None
        self._serving.add(task)
        try:
            await Connection(self._namespace, self._authority, reader, writer).serve()
        except asyncio.CancelledError:
            # The peer is closed; asyncio's server would log a cancellation that it did not ask for.
            writer.transport.abort()
        except Exception:
            log.exception("a connection to the Service Bus peer failed")
            writer.transport.abort()
        finally:
            self._serving.discard(task)

    def _wake_at(self, at: float) -> None:
        if at >= self._due:
            return
        if self._timer is not None:
            self._timer.cancel()
        self._due = at
        self._timer = asyncio.get_running_loop().call_later(max(0.0, at - time.time()), self._tick)

    def _tick(self) -> None:
        self._due = float("inf")
        self._namespace.tick()
