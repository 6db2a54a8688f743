"""A host's broker in this process, and the worker's end of a link to it, granted everything."""

from __future__ import annotations

import asyncio
import contextlib
import tempfile
import threading
from collections.abc import Coroutine, Iterator
from typing import Any

from memory_link import RecordingAudit, connected
from servers.postgres import postgres_server
from sql_worlds import HostWorker, granted

from moorage.broker.broker import Broker
from moorage.broker.services.sql import SqlService
from moorage.config.services.sql import SqlBackend
from moorage_sdk import channel, scope
from moorage_sdk import host as hosts
from moorage_sdk.services.sqlalchemy import engine as _registers_the_dialects  # noqa: F401 - as its name says

EVERYTHING = ("sql.read:**", "sql.write:**", "sql.define:**")

#: The scope that is open on the link.
SCOPE = "e-1"
WAIT_SECONDS = 30


@contextlib.contextmanager
def brokered(database: str) -> Iterator[None]:
    """Engines of this process go through the broker; what it has is gone at the end."""
    with _settings(database) as settings, _Host(settings) as host:
        channel.install(HostWorker(host, host.connected).channel)  # type: ignore[arg-type]  # it asks for no more
        scope.set_incarnation(scope.Scope(SCOPE))
        hosts.install(_told(host.service))
        try:
            yield
        finally:
            channel.install(None)


@contextlib.contextmanager
def _settings(database: str) -> Iterator[SqlBackend]:
    if database == "sqlite":
        with tempfile.TemporaryDirectory(prefix="moorage-dialects-") as folder:
            yield SqlBackend(url=f"sqlite:///{folder}/app.db")
    else:
        with postgres_server() as server:
            yield SqlBackend(url=server.url(), connections=40, connections_each=30)


def _told(service: SqlService) -> hosts.HostFacts:
    """As the handshake does."""
    backends = {
        known.name: hosts.SqlBackend(known.name, known.dialect, known.paramstyle, tuple(known.server_version))
        for known in service.backends
    }
    return hosts.HostFacts("dialects", sql_backends=backends)


class _Host:
    """Broker and service run on an event loop of their own, as a host's do."""

    def __init__(self, settings: SqlBackend) -> None:
        self.service = SqlService.from_settings({"main": settings})
        self.loop = asyncio.new_event_loop()
        self.thread = threading.Thread(target=self.loop.run_forever, name="host", daemon=True)
        self._stack = contextlib.AsyncExitStack()

    def __enter__(self) -> _Host:
        self.thread.start()
        self.connected = self.do(self._open())
        return self

    def __exit__(self, *_: object) -> None:
        self.do(self._stack.aclose())
        self.loop.call_soon_threadsafe(self.loop.stop)
        self.thread.join(WAIT_SECONDS)
        self.loop.close()

    def do(self, work: Coroutine[Any, Any, Any]) -> Any:
        return asyncio.run_coroutine_threadsafe(work, self.loop).result(WAIT_SECONDS)

    async def _open(self) -> Any:
        broker = Broker([self.service], RecordingAudit())
        await broker.open()
        self._stack.push_async_callback(broker.close)
        return await self._stack.enter_async_context(connected(broker, granted(*EVERYTHING), installation="dialects"))
