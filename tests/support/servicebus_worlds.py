"""The Service Bus contract over the fake, the embedded peer and a peer in another process, called in one way."""

from __future__ import annotations

import asyncio
import importlib
import itertools
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from typing import Any, Protocol

import pytest
from memory_link import SCOPE, RecordingAudit, connected, grants
from servers.servicebus import servicebus_server

from moorage.broker.broker import Broker
from moorage.broker.services.servicebus import ServiceBusService
from moorage.config.services.servicebus import ServiceBusBackend
from moorage_proto import servicebus_pb2
from moorage_proto.capability import Grants
from moorage_proto.methods import service_methods
from moorage_sdk import scope as scopes
from moorage_sdk.scope import Scope
from moorage_sdk.testing.base import FakeScope
from moorage_sdk.testing.channel import LocalChannel
from moorage_sdk.testing.gate import Gate
from moorage_sdk.testing.servicebus import FakeServiceBus

METHODS = service_methods(servicebus_pb2, "ServiceBusService")

EVERYTHING = ("servicebus.send:**", "servicebus.receive:**")


class World(Protocol):
    async def call(self, method: str, **fields: Any) -> Any:
        """Raises CallError."""

    async def end_scope(self) -> None:
        """And a new one begins."""


class FakeWorld:
    def __init__(self, *capabilities: str, deny: Iterable[str] = ()) -> None:
        self._gate = Gate("churn", (FakeServiceBus(),))
        self._gate.grants = grants(*capabilities, deny=deny)
        self._gate.scopes[SCOPE] = FakeScope(SCOPE)
        self._channel = LocalChannel(self._gate)

    async def call(self, method: str, **fields: Any) -> Any:
        with scopes.entered(Scope(SCOPE)):
            return self._channel.call(METHODS[method], METHODS[method].request(**fields))

    async def end_scope(self) -> None:
        self._gate.scopes[SCOPE].end(success=True)
        self._gate.scopes[SCOPE] = FakeScope(SCOPE)


class LinkWorld:
    """A worker's link to a broker."""

    def __init__(self, link: Any) -> None:
        self.link = link
        self._scope = SCOPE
        self._numbers = itertools.count(2)

    async def call(self, method: str, *, timeout: float = 20, **fields: Any) -> Any:
        request = METHODS[method].request(**fields)
        return await self.link.worker.call(METHODS[method], request, scope=self._scope, timeout=timeout)

    async def end_scope(self, *, success: bool = True) -> None:
        from moorage.broker.scope import ScopeKind

        await self.link.session.close_scope(self._scope, success=success)
        self._scope = f"e-{next(self._numbers)}"
        self.link.session.open_scope(ScopeKind.EXECUTION, self._scope, execution=self._scope)


@asynccontextmanager
async def brokered(
    backend: ServiceBusBackend, allowed: Grants | None = None
) -> AsyncIterator[tuple[LinkWorld, ServiceBusService, Broker]]:
    """The embedded peer, if it is that, asks the grants of the link."""
    broker: Broker

    def grants_of(installation: str) -> Grants:
        return broker.grants_of(installation)

    service = ServiceBusService.from_settings({"main": backend}, grants_of)
    broker = Broker([service], RecordingAudit())
    await broker.open()
    try:
        async with connected(broker, allowed or grants(*EVERYTHING)) as link:
            yield LinkWorld(link), service, broker
    finally:
        await broker.close()


@asynccontextmanager
async def world_of(kind: str, *capabilities: str, deny: Iterable[str] = ()) -> AsyncIterator[World]:
    """``kind``: fake, embedded, real."""
    allowed = capabilities or EVERYTHING
    if kind == "fake":
        yield FakeWorld(*allowed, deny=deny)
    elif kind == "embedded":
        async with brokered(ServiceBusBackend(), grants(*allowed, deny=deny)) as (world, _, _):
            yield world
    else:
        with servicebus_server() as server:
            backend = ServiceBusBackend(connection_string=server.connection_string())
            async with brokered(backend, grants(*allowed, deny=deny)) as (world, _, _):
                yield world


#: Modules of Azure's library that wait by polling.
_POLLING = (
    "_pyamqp.aio._client_async",
    "_pyamqp.aio._connection_async",
    "_pyamqp.aio._session_async",
    "aio._servicebus_sender_async",
    "aio._servicebus_receiver_async",
)


class _QuickAsyncio:
    """As asyncio, with shorter naps."""

    def __getattr__(self, name: str) -> Any:
        return getattr(asyncio, name)

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(min(seconds, 0.005))


def quicken(monkeypatch: pytest.MonkeyPatch) -> None:
    """To open and to close a link the library sleeps half a second in all, whoever answers it; tests need not."""
    for name in _POLLING:
        monkeypatch.setattr(importlib.import_module(f"azure.servicebus.{name}"), "asyncio", _QuickAsyncio())
