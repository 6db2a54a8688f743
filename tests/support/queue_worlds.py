"""Queues of Service Bus for the contract of at-least-once sources: our AMQP peer, with Azure's client."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator

import pytest
from fault_proxy import FaultProxy
from servicebus_worlds import quicken
from source_worlds import DeadLetter

from moorage.broker.services.servicebus.library import client
from moorage.broker.services.servicebus.peer import Declared, Limits, Namespace, Peer, SharedKeys
from moorage.broker.services.servicebus.peer.sas import SharedKey
from moorage.models.manifest import Trigger
from moorage.orchestrator.triggers import servicebus
from moorage.orchestrator.triggers.base import Signal
from moorage.orchestrator.triggers.servicebus import ServiceBusSource, entity_of, receiver_of

ORDERS = entity_of(Trigger("servicebus", "orders"))


class QueueWorld:
    """Implements ``SourceWorld`` over one queue."""

    def __init__(self, peer: Peer, namespace: Namespace, proxy: FaultProxy | None) -> None:
        self.proxy = proxy
        self._peer = peer
        self._namespace = namespace
        self._sent = 0

    async def send(self, *bodies: bytes) -> None:
        async with self._client() as connected, connected.get_queue_sender("orders") as sender:
            for first in range(0, len(bodies), 100):
                await sender.send_messages([client().ServiceBusMessage(body) for body in bodies[first : first + 100]])
        self._sent += len(bodies)

    def source(self) -> ServiceBusSource:
        text = self._peer.connection_string("root")
        if self.proxy is not None:
            text = text.replace(str(self._peer.port), str(self.proxy.port))
        return ServiceBusSource("main", ORDERS, lambda: receiver_of(text, ORDERS, "moorage/churn/orders"))

    def body(self, signal: Signal) -> bytes:
        body: bytes = signal.input["body"]
        return body

    async def acknowledged(self) -> int:
        return self._sent - sum(self._namespace.queue("orders").counts)

    async def dead_letters(self) -> list[DeadLetter]:
        async with self._client() as connected, connected.get_queue_receiver("orders", sub_queue="deadletter") as dead:
            found = await dead.peek_messages(100)
        return [
            DeadLetter(b"".join(each.body), str(each.dead_letter_error_description).rpartition(": ")[2])
            for each in found
        ]

    async def spoil_dead_letters(self) -> None:
        pytest.skip("to put a message aside is to acknowledge it: it is one operation")

    async def mend_dead_letters(self) -> None:
        """They are never spoilt."""

    def _client(self):
        return client().aio.ServiceBusClient.from_connection_string(self._peer.connection_string("root"))


@contextlib.asynccontextmanager
async def embedded() -> AsyncIterator[QueueWorld]:
    """Locks are short: what a crash leaves behind comes again by their end."""
    namespace = Namespace(Declared(), Limits(lock_seconds=0.5))
    with pytest.MonkeyPatch.context() as patched:
        quicken(patched)
        async with _peer(namespace) as peer:
            yield QueueWorld(peer, namespace, None)


@contextlib.asynccontextmanager
async def behind_proxy() -> AsyncIterator[QueueWorld]:
    namespace = Namespace(Declared(), Limits(lock_seconds=2.0))
    with pytest.MonkeyPatch.context() as patched:
        quicken(patched)
        patched.setattr("moorage.broker.services.servicebus.line.ATTEMPT_SECONDS", 1.0)
        patched.setattr(servicebus, "SILENCE", servicebus.SILENCE / 20)
        async with _peer(namespace) as peer, FaultProxy(peer.port) as proxy:
            yield QueueWorld(peer, namespace, proxy)


def _peer(namespace: Namespace) -> Peer:
    return Peer(namespace, SharedKeys({"root": SharedKey("c2VjcmV0", None)}))
