"""Two worlds for the tests of any service: real broker and link with the service behind, and the testing kit's fake."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Coroutine, Iterator
from typing import Any

from memory_link import RecordingAudit, connected
from sql_worlds import WAIT_SECONDS, FakeWorker, HostWorker, granted

from moorage.broker.broker import Broker
from moorage.broker.services.base import Service
from moorage_sdk.scope import Scope, entered
from moorage_sdk.testing.base import Fake
from moorage_sdk.testing.gate import Gate


class HostWorld:
    """The broker runs on an event loop of its own; the tests are the plugin's threads, or a plugin's event loop.

    ``services`` are not opened yet; they are made where no loop runs.
    """

    def __init__(self, *services: Service) -> None:
        self.audit = RecordingAudit()
        self.broker = Broker(services, self.audit)
        self.loop = asyncio.new_event_loop()
        self.thread = threading.Thread(target=self.loop.run_forever, name="host", daemon=True)
        self.thread.start()
        self._workers = contextlib.AsyncExitStack()
        self.do(self.broker.open())

    def worker(self, *capabilities: str, deny: tuple[str, ...] = (), installation: str = "churn") -> HostWorker:
        """With the scope ``e-1`` open; once for each installation."""
        grants = granted(*capabilities, deny=deny)
        link = self._workers.enter_async_context(connected(self.broker, grants, installation=installation))
        return HostWorker(self, self.do(link))  # type: ignore[arg-type]  # what it asks of a world is here

    def do(self, work: Coroutine[Any, Any, Any]) -> Any:
        """In the host's loop."""
        return asyncio.run_coroutine_threadsafe(work, self.loop).result(WAIT_SECONDS)

    def close(self) -> None:
        self.do(self._workers.aclose())
        self.do(self.broker.close())
        self.loop.call_soon_threadsafe(self.loop.stop)
        self.thread.join(WAIT_SECONDS)
        self.loop.close()


class FakeWorld:
    def __init__(self, *fakes: Fake) -> None:
        self._fakes = tuple(fakes)

    def worker(self, *capabilities: str, deny: tuple[str, ...] = (), installation: str = "churn") -> FakeWorker:
        gate = Gate(installation, self._fakes)
        gate.grants = granted(*capabilities, deny=deny)
        return FakeWorker(gate)

    def close(self) -> None:
        for fake in self._fakes:
            fake.close()


World = HostWorld | FakeWorld


@contextlib.contextmanager
def closing(world: World) -> Iterator[World]:
    try:
        yield world
    finally:
        world.close()


def in_scope(scope: str = "e-1") -> contextlib.AbstractContextManager[Any]:
    """What a task's code is surrounded by: calls belong to that scope."""
    return entered(Scope(scope, scope))
