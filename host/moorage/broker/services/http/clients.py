"""A client for each installation that makes requests, and none for those that do not."""

from __future__ import annotations

import asyncio
import contextlib
import functools
from collections.abc import AsyncIterator, Callable

from moorage.broker.services.http.client import Client
from moorage.models.installation import InstallationId
from moorage.owned import OwnedTasks

#: An installation that has made no request for so long keeps no connections.
IDLE_SECONDS = 30.0


class Clients:
    """Owns them from ``use`` to ``close``; one event loop."""

    def __init__(self, make: Callable[[], Client], idle_seconds: float = IDLE_SECONDS) -> None:
        self._make = make
        self._idle_seconds = idle_seconds
        self._clients: dict[InstallationId, Client] = {}
        self._timers: dict[InstallationId, asyncio.TimerHandle] = {}
        self._closing = OwnedTasks()

    def __len__(self) -> int:
        return len(self._clients)

    @contextlib.asynccontextmanager
    async def use(self, installation: InstallationId) -> AsyncIterator[Client]:
        client = self._clients.get(installation)
        if client is None:
            client = self._clients[installation] = self._make()
        timer = self._timers.pop(installation, None)
        if timer is not None:
            timer.cancel()
        client.in_use += 1
        try:
            yield client
        finally:
            client.in_use -= 1
            if not client.in_use and self._clients.get(installation) is client:
                loop = asyncio.get_running_loop()
                forget = functools.partial(self._forget, installation)
                self._timers[installation] = loop.call_later(self._idle_seconds, forget)

    async def close(self) -> None:
        for timer in self._timers.values():
            timer.cancel()
        self._timers.clear()
        clients, self._clients = self._clients, {}
        for client in clients.values():
            await client.close()
        await self._closing.settled()

    def _forget(self, installation: InstallationId) -> None:
        self._timers.pop(installation, None)
        client = self._clients.pop(installation)
        self._closing.start(client.close(), name=f"{installation} closes its connections")
