"""The contract's ServiceBusService over named namespaces."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from typing import Any, Self

from moorage.broker import refusals
from moorage.broker.scope import Scope, ScopeKind
from moorage.broker.services.base import Caller
from moorage.broker.services.servicebus import messages
from moorage.broker.services.servicebus.embedded import GrantsOf
from moorage.broker.services.servicebus.library import ServiceBusClientMissing, client
from moorage.broker.services.servicebus.namespace import ServiceBusNamespace
from moorage.broker.services.servicebus.receiver import Receiver
from moorage.config.services.servicebus import ServiceBusBackend
from moorage_proto import servicebus_names as entities
from moorage_proto import servicebus_pb2
from moorage_proto.capability import MAIN_BACKEND, need
from moorage_proto.errors import CallError, Reason, Status

log = logging.getLogger(__name__)

#: Messages that one call sends, looks at or receives.
MAX_MESSAGES = 1000

#: Of the messages of one call: to encode each holds the event loop for some microseconds.
MAX_PROPERTIES = 10_000

#: Messages that are translated before others have their turn.
TURN = 100

#: For messages, in one call; who waits for longer asks again.
LONGEST_WAIT_SECONDS = 3600.0


class ServiceBusService:
    contract = servicebus_pb2.DESCRIPTOR.services_by_name["ServiceBusService"]

    def __init__(self, namespaces: Mapping[str, ServiceBusNamespace]) -> None:
        self._namespaces = dict(namespaces)
        self._opened = AsyncExitStack()
        #: Why no namespace can be used, if so.
        self._missing = ""

    @classmethod
    def from_settings(cls, backends: Mapping[str, ServiceBusBackend], grants_of: GrantsOf | None = None) -> Self:
        """``grants_of``: what the keys of the embedded namespaces may do. Raises ServiceBusSettingsInvalid."""
        return cls({name: ServiceBusNamespace(name, backend, grants_of) for name, backend in backends.items()})

    @property
    def connection_strings(self) -> Mapping[str, str]:
        """By namespace, once open: for the host's own consumers, and people's. Never told to plugins."""
        return {name: namespace.connection_string for name, namespace in self._namespaces.items()}

    async def open(self) -> None:
        """Without the client library the host still starts; calls are then answered with what to install."""
        async with AsyncExitStack() as opened:
            for namespace in self._namespaces.values():
                try:
                    await namespace.open()
                except ServiceBusClientMissing as missing:
                    log.warning("%s", missing)
                    self._missing = str(missing)
                except BaseException:
                    await namespace.close()
                    raise
                else:
                    opened.push_async_callback(namespace.close)
            self._opened = opened.pop_all()

    async def close(self) -> None:
        await self._opened.aclose()

    # -- sending ------------------------------------------------------------------------------------------------

    async def send(
        self, caller: Caller, request: servicebus_pb2.ServiceBusSendRequest
    ) -> servicebus_pb2.ServiceBusSendReply:
        entity = entities.target(request.entity)
        namespace = await self._namespace(request.backend)
        _check_count(len(request.messages))
        sent = await _outgoing(request.messages)
        await namespace.send(caller.installation, entity, sent, caller.deadline)
        return servicebus_pb2.ServiceBusSendReply()

    async def schedule(
        self, caller: Caller, request: servicebus_pb2.ServiceBusScheduleRequest
    ) -> servicebus_pb2.ServiceBusScheduleReply:
        entity = entities.target(request.entity)
        namespace = await self._namespace(request.backend)
        _check_count(len(request.messages))
        at = messages.moment(request.enqueue_time_millis)
        sent = await _outgoing(request.messages)
        numbers = await namespace.schedule(caller.installation, entity, sent, at, caller.deadline)
        return servicebus_pb2.ServiceBusScheduleReply(sequence_numbers=numbers)

    async def cancel_scheduled(
        self, caller: Caller, request: servicebus_pb2.ServiceBusCancelScheduledRequest
    ) -> servicebus_pb2.ServiceBusCancelScheduledReply:
        entity = entities.target(request.entity)
        namespace = await self._namespace(request.backend)
        _check_count(len(request.sequence_numbers))
        await namespace.cancel(caller.installation, entity, request.sequence_numbers, caller.deadline)
        return servicebus_pb2.ServiceBusCancelScheduledReply()

    # -- receiving ----------------------------------------------------------------------------------------------

    async def open_receiver(
        self, caller: Caller, request: servicebus_pb2.ServiceBusOpenReceiverRequest
    ) -> servicebus_pb2.ServiceBusOpenReceiverReply:
        entity = entities.source(request.entity)
        backend = request.backend or MAIN_BACKEND
        guard = caller.guard
        assert guard is not None
        needed = need("servicebus.receive", str(entity), backend=backend)
        guard.require(needed)
        namespace = await self._namespace(request.backend)
        line, give_back = namespace.borrow(caller.installation, entity, locks=not request.receive_and_delete)
        try:
            await line.open(caller.deadline)
        except BaseException:
            give_back(line)
            raise
        receiver = Receiver(
            backend,
            line,
            namespace.holding(caller.installation),
            locks=not request.receive_and_delete,
            # An execution ends in time; what belongs to the worker itself might hold its messages for ever.
            renews=caller.scope.kind is not ScopeKind.INCARNATION,
            is_revoked=lambda: not guard.covers(needed),
            give_back=give_back,
        )
        return servicebus_pb2.ServiceBusOpenReceiverReply(receiver=caller.scope.hold(receiver))

    async def receive(
        self, caller: Caller, request: servicebus_pb2.ServiceBusReceiveRequest
    ) -> servicebus_pb2.ServiceBusMessages:
        receiver = _receiver(caller.scope, request.receiver)
        most = _count(request.max_messages)
        seconds = request.max_wait_millis / 1000 or LONGEST_WAIT_SECONDS
        found = await receiver.receive(most, min(seconds, LONGEST_WAIT_SECONDS), caller.deadline)
        return servicebus_pb2.ServiceBusMessages(messages=found)

    async def receive_deferred(
        self, caller: Caller, request: servicebus_pb2.ServiceBusReceiveDeferredRequest
    ) -> servicebus_pb2.ServiceBusMessages:
        receiver = _receiver(caller.scope, request.receiver)
        _check_count(len(request.sequence_numbers))
        found = await receiver.receive_deferred(request.sequence_numbers, caller.deadline)
        return servicebus_pb2.ServiceBusMessages(messages=found)

    async def peek(
        self, caller: Caller, request: servicebus_pb2.ServiceBusPeekRequest
    ) -> servicebus_pb2.ServiceBusMessages:
        receiver = _receiver(caller.scope, request.receiver)
        most = _count(request.max_messages)
        found = await receiver.peek(most, request.from_sequence_number, caller.deadline)
        return servicebus_pb2.ServiceBusMessages(messages=found)

    async def settle(
        self, caller: Caller, request: servicebus_pb2.ServiceBusSettleRequest
    ) -> servicebus_pb2.ServiceBusSettleReply:
        receiver = _receiver(caller.scope, request.receiver)
        await receiver.settle(
            request.delivery,
            request.settlement,
            caller.deadline,
            reason=request.reason,
            description=request.error_description,
        )
        return servicebus_pb2.ServiceBusSettleReply()

    async def renew_lock(
        self, caller: Caller, request: servicebus_pb2.ServiceBusRenewLockRequest
    ) -> servicebus_pb2.ServiceBusRenewLockReply:
        receiver = _receiver(caller.scope, request.receiver)
        until = await receiver.renew(request.delivery, caller.deadline)
        return servicebus_pb2.ServiceBusRenewLockReply(locked_until_millis=until)

    async def close_receiver(
        self, caller: Caller, request: servicebus_pb2.ServiceBusCloseReceiverRequest
    ) -> servicebus_pb2.ServiceBusCloseReceiverReply:
        receiver = _receiver(caller.scope, request.receiver)
        caller.scope.drop(request.receiver)
        await receiver.release()
        return servicebus_pb2.ServiceBusCloseReceiverReply()

    async def _namespace(self, backend: str) -> ServiceBusNamespace:
        if self._missing:
            raise CallError(Status.UNAVAILABLE, Reason.BACKEND_UNAVAILABLE, f"On this host: {self._missing}")
        name = backend or MAIN_BACKEND
        namespace = self._namespaces.get(name)
        if namespace is None:
            name = refusals.shown(name)
            sentence = f"This host has no Service Bus namespace named {name!r}."
            remedy = f"Its operator adds it under [servicebus.{name}]."
            raise CallError(Status.NOT_FOUND, Reason.BACKEND_UNKNOWN, f"{sentence} {remedy}")
        if not client.cache_info().currsize:
            # The first time it is imported; the event loop has other things to do meanwhile.
            await asyncio.to_thread(client)
        return namespace


async def _outgoing(wire: Sequence[servicebus_pb2.ServiceBusMessage]) -> list[Any]:
    """Of the library's kind; others have their turn between some of them. Raises CallError(REQUEST_INVALID)."""
    count = sum(len(message.application_properties.entries) for message in wire)
    if count > MAX_PROPERTIES:
        sentence = (
            f"The messages of one call may have {MAX_PROPERTIES:,} application properties together. Make several."
        )
        raise CallError(Status.INVALID_ARGUMENT, Reason.REQUEST_INVALID, sentence)
    sent = []
    for number, message in enumerate(wire, 1):
        sent.append(messages.outgoing(message))
        if number % TURN == 0:
            await asyncio.sleep(0)
    return sent


def _receiver(scope: Scope, handle: int) -> Receiver:
    """Raises CallError when the handle names nothing, or something else, of this scope."""
    found = scope.resource(handle)
    if not isinstance(found, Receiver):
        sentence = f"Handle {handle} is no receiver of Service Bus. Name the one that OpenReceiver has answered."
        raise CallError(Status.INVALID_ARGUMENT, Reason.REQUEST_INVALID, sentence)
    return found


def _count(asked: int) -> int:
    return min(max(asked, 1), MAX_MESSAGES)


def _check_count(count: int) -> None:
    if not 0 < count <= MAX_MESSAGES:
        sentence = f"{count:,} messages are named, and a call is about 1 to {MAX_MESSAGES:,}. Make several calls."
        raise CallError(Status.INVALID_ARGUMENT, Reason.REQUEST_INVALID, sentence)
