"""Service Bus for tests: ``moorage.servicebus.put("orders", "1 cup")``, ``moorage.servicebus.bodies("invoices")``."""

from __future__ import annotations

import itertools
import time
import uuid
from dataclasses import dataclass, field
from typing import Any, Dict, Iterator, List, Optional, Set, Tuple

from moorage_proto import link_pb2, servicebus_pb2, values
from moorage_proto.capability import MAIN_BACKEND, need
from moorage_proto.errors import CallError, Reason, Status
from moorage_proto.servicebus_names import Entity, source, target
from moorage_sdk.services.servicebus.message import ServiceBusMessage, ServiceBusReceivedMessage, to_wire
from moorage_sdk.testing.base import FakeCaller, FakeScope

Settlement = servicebus_pb2.ServiceBusSettleRequest.Settlement

#: As Service Bus has it, unless it is told otherwise.
MAX_DELIVERY_COUNT = 10
LOCK_MILLIS = 60_000

_ACTIVE, _DEFERRED, _SCHEDULED = 0, 1, 2


@dataclass(eq=False)
class Stored:
    """A message in a queue."""

    message: servicebus_pb2.ServiceBusMessage
    number: int
    enqueued_millis: int
    delivery_count: int = 0
    state: int = _ACTIVE
    #: Where it was before it was dead-lettered, and its number there.
    origin: Optional[Tuple[str, int]] = None
    reason: str = ""
    description: str = ""

    def wire(self, delivery: int = 0) -> servicebus_pb2.ServiceBusReceivedMessage:
        wire = servicebus_pb2.ServiceBusReceivedMessage(
            delivery=delivery,
            message=self.message,
            sequence_number=self.number,
            delivery_count=self.delivery_count,
            enqueued_time_millis=self.enqueued_millis,
            state=self.state,
        )
        del wire.message.application_properties.entries[:]
        for entry in self.message.application_properties.entries:
            # As the host's library gives it: text comes as bytes.
            value = values.from_wire(entry.value)
            received = value.encode() if isinstance(value, str) else value
            wire.message.application_properties.entries.add(key=entry.key, value=values.to_wire(received))
        if delivery:
            wire.lock_token = uuid.uuid4().bytes
            wire.locked_until_millis = _now() + LOCK_MILLIS
        if self.origin is not None:
            wire.dead_letter_source, wire.enqueued_sequence_number = self.origin
            wire.dead_letter_reason, wire.dead_letter_error_description = self.reason, self.description
        return wire


@dataclass
class FakeQueue:
    """A queue, a subscription, or the subqueue of one."""

    name: str
    waiting: List[Stored] = field(default_factory=list)
    locked: List[Stored] = field(default_factory=list)
    deferred: Dict[int, Stored] = field(default_factory=dict)
    scheduled: Dict[int, servicebus_pb2.ServiceBusMessage] = field(default_factory=dict)
    completed: List[Stored] = field(default_factory=list)
    numbers: Iterator[int] = field(default_factory=lambda: itertools.count(1))

    def add(self, message: servicebus_pb2.ServiceBusMessage) -> Stored:
        copy = servicebus_pb2.ServiceBusMessage.FromString(message.SerializeToString())
        stored = Stored(copy, next(self.numbers), _now())
        self.waiting.append(stored)
        return stored

    def give_back(self, stored: Stored) -> None:
        if stored.state == _DEFERRED:
            self.deferred[stored.number] = stored
        else:
            self.waiting.append(stored)
            self.waiting.sort(key=lambda each: each.number)


class FakeServiceBus:
    """Entities are there when they are first named; a name is a topic once it has a subscription."""

    name = "servicebus"
    contract = servicebus_pb2.DESCRIPTOR.services_by_name["ServiceBusService"]

    def __init__(self) -> None:
        self._queues: Dict[Tuple[str, str], FakeQueue] = {}
        self._sent: Dict[Tuple[str, str], List[servicebus_pb2.ServiceBusMessage]] = {}
        self._failing: Set[str] = set()

    # -- for the test -------------------------------------------------------------------------------------------

    def put(self, entity: str, body: Any = b"", *, backend: str = MAIN_BACKEND, **fields: Any) -> None:
        """As somebody else would send it: to a queue, topic or, for convenience, a single subscription."""
        message = body if hasattr(body, "application_properties") else ServiceBusMessage(body, **fields)
        named = source(entity)
        if named.is_target:
            self._publish(backend, named.name, to_wire(message))
        else:
            self._queue(backend, str(named)).add(to_wire(message))

    def subscribe(self, topic: str, subscription: str, *, backend: str = MAIN_BACKEND) -> None:
        """Makes a subscription before the plugin sends to the topic."""
        self._queue(backend, str(source(f"{topic}/subscriptions/{subscription}")))

    def sent(self, entity: str, *, backend: str = MAIN_BACKEND) -> List[ServiceBusReceivedMessage]:
        """What the plugin has sent there, also what was received since; not what it has scheduled."""
        sent = self._sent.get((backend, target(entity).name), [])
        return [ServiceBusReceivedMessage(Stored(message, 0, 0).wire()) for message in sent]

    def bodies(self, entity: str, *, backend: str = MAIN_BACKEND) -> List[bytes]:
        """Of what the plugin has sent there."""
        return [b"".join(message.body) for message in self.sent(entity, backend=backend)]

    def waiting(self, entity: str, *, backend: str = MAIN_BACKEND) -> List[ServiceBusReceivedMessage]:
        return _shown(self._queue(backend, str(source(entity))).waiting)

    def completed(self, entity: str, *, backend: str = MAIN_BACKEND) -> List[ServiceBusReceivedMessage]:
        return _shown(self._queue(backend, str(source(entity))).completed)

    def deferred(self, entity: str, *, backend: str = MAIN_BACKEND) -> List[ServiceBusReceivedMessage]:
        return _shown(list(self._queue(backend, str(source(entity))).deferred.values()))

    def dead_letters(self, entity: str, *, backend: str = MAIN_BACKEND) -> List[ServiceBusReceivedMessage]:
        """With ``dead_letter_reason`` and ``dead_letter_error_description``."""
        return self.waiting(f"{source(entity)}/$deadletterqueue", backend=backend)

    def scheduled(self, entity: str, *, backend: str = MAIN_BACKEND) -> List[ServiceBusReceivedMessage]:
        """With ``scheduled_enqueue_time_utc``."""
        queue = self._queue(backend, target(entity).name)
        return _shown([_scheduled(number, message) for number, message in sorted(queue.scheduled.items())])

    def expire_locks(self, entity: str, *, backend: str = MAIN_BACKEND) -> None:
        """What was received and not settled is handed out again; who settles it then is told that its lock is lost."""
        queue = self._queue(backend, str(source(entity)))
        locked, queue.locked = queue.locked, []
        for stored in locked:
            self._abandon(backend, queue, stored)

    def fail(self, entity: str) -> None:
        """From now on nothing can be sent there nor received: the plugin gets a BackendError."""
        self._failing.add(str(source(entity)))

    # -- for the plugin -----------------------------------------------------------------------------------------

    def send(
        self,
        caller: FakeCaller,  # noqa: ARG002 - the gate has decided
        request: servicebus_pb2.ServiceBusSendRequest,
    ) -> servicebus_pb2.ServiceBusSendReply:
        entity = target(request.entity)
        self._check(entity)
        for message in request.messages:
            self._sent.setdefault((request.backend or MAIN_BACKEND, entity.name), []).append(message)
            self._publish(request.backend, entity.name, message)
        return servicebus_pb2.ServiceBusSendReply()

    def schedule(
        self,
        caller: FakeCaller,  # noqa: ARG002 - the gate has decided
        request: servicebus_pb2.ServiceBusScheduleRequest,
    ) -> servicebus_pb2.ServiceBusScheduleReply:
        entity = target(request.entity)
        self._check(entity)
        queue = self._queue(request.backend, entity.name)
        found = []
        for message in request.messages:
            message.scheduled_enqueue_time_millis = request.enqueue_time_millis
            found.append(next(queue.numbers))
            queue.scheduled[found[-1]] = message
        return servicebus_pb2.ServiceBusScheduleReply(sequence_numbers=found)

    def cancel_scheduled(
        self,
        caller: FakeCaller,  # noqa: ARG002 - the gate has decided
        request: servicebus_pb2.ServiceBusCancelScheduledRequest,
    ) -> servicebus_pb2.ServiceBusCancelScheduledReply:
        queue = self._queue(request.backend, target(request.entity).name)
        if any(number not in queue.scheduled for number in request.sequence_numbers):
            raise _no_message(queue)
        for number in request.sequence_numbers:
            del queue.scheduled[number]
        return servicebus_pb2.ServiceBusCancelScheduledReply()

    def open_receiver(
        self, caller: FakeCaller, request: servicebus_pb2.ServiceBusOpenReceiverRequest
    ) -> servicebus_pb2.ServiceBusOpenReceiverReply:
        entity = source(request.entity)
        assert caller.guard is not None
        caller.guard.require(need("servicebus.receive", str(entity), backend=request.backend))
        self._check(entity)
        backend = request.backend or MAIN_BACKEND
        receiver = FakeReceiver(self, backend, self._queue(backend, str(entity)), locks=not request.receive_and_delete)
        return servicebus_pb2.ServiceBusOpenReceiverReply(receiver=caller.scope.hold(receiver))

    def receive(
        self, caller: FakeCaller, request: servicebus_pb2.ServiceBusReceiveRequest
    ) -> servicebus_pb2.ServiceBusMessages:
        receiver = _receiver(caller.scope, request.receiver)
        found = receiver.queue.waiting[: request.max_messages or 1]
        if not found and not request.max_wait_millis:
            raise CallError(
                Status.FAILED_PRECONDITION,
                Reason.BACKEND_FAILED,
                f"the plugin waits for a message of {receiver.queue.name} for ever, and the test has put none there; "
                "iterate over a receiver with max_wait_time",
            )
        del receiver.queue.waiting[: len(found)]
        return receiver.handed(found)

    def receive_deferred(
        self, caller: FakeCaller, request: servicebus_pb2.ServiceBusReceiveDeferredRequest
    ) -> servicebus_pb2.ServiceBusMessages:
        receiver = _receiver(caller.scope, request.receiver)
        if any(number not in receiver.queue.deferred for number in request.sequence_numbers):
            raise _no_message(receiver.queue)
        return receiver.handed([receiver.queue.deferred.pop(number) for number in request.sequence_numbers])

    def peek(
        self, caller: FakeCaller, request: servicebus_pb2.ServiceBusPeekRequest
    ) -> servicebus_pb2.ServiceBusMessages:
        receiver = _receiver(caller.scope, request.receiver)
        queue = receiver.queue
        start = request.from_sequence_number or receiver.last_peeked + 1
        known = [*queue.waiting, *queue.locked, *queue.deferred.values()]
        known += [_scheduled(number, message) for number, message in queue.scheduled.items()]
        found = sorted((each for each in known if each.number >= start), key=lambda each: each.number)
        found = found[: request.max_messages or 1]
        if found:
            receiver.last_peeked = found[-1].number
        return servicebus_pb2.ServiceBusMessages(messages=[stored.wire() for stored in found])

    def settle(
        self, caller: FakeCaller, request: servicebus_pb2.ServiceBusSettleRequest
    ) -> servicebus_pb2.ServiceBusSettleReply:
        receiver = _receiver(caller.scope, request.receiver)
        stored = receiver.take(request.delivery)
        queue = receiver.queue
        if request.settlement == Settlement.COMPLETE:
            queue.completed.append(stored)
        elif request.settlement == Settlement.ABANDON:
            self._abandon(receiver.backend, queue, stored)
        elif request.settlement == Settlement.DEFER:
            stored.state = _DEFERRED
            queue.deferred[stored.number] = stored
        elif request.settlement == Settlement.DEAD_LETTER:
            self._bury(receiver.backend, queue, stored, request.reason, request.error_description)
        else:
            raise CallError(Status.INVALID_ARGUMENT, Reason.REQUEST_INVALID, "a message is settled in some way")
        return servicebus_pb2.ServiceBusSettleReply()

    def renew_lock(
        self, caller: FakeCaller, request: servicebus_pb2.ServiceBusRenewLockRequest
    ) -> servicebus_pb2.ServiceBusRenewLockReply:
        _receiver(caller.scope, request.receiver).held(request.delivery)
        return servicebus_pb2.ServiceBusRenewLockReply(locked_until_millis=_now() + LOCK_MILLIS)

    def close_receiver(
        self, caller: FakeCaller, request: servicebus_pb2.ServiceBusCloseReceiverRequest
    ) -> servicebus_pb2.ServiceBusCloseReceiverReply:
        receiver = _receiver(caller.scope, request.receiver)
        caller.scope.drop(request.receiver)
        receiver.release()
        return servicebus_pb2.ServiceBusCloseReceiverReply()

    def describe(self, welcome: link_pb2.Welcome) -> None:
        """The handshake says nothing of it."""

    def close(self) -> None:
        """Nothing is held."""

    # -- inside -------------------------------------------------------------------------------------------------

    def _queue(self, backend: str, path: str) -> FakeQueue:
        return self._queues.setdefault((backend or MAIN_BACKEND, path), FakeQueue(path))

    def _publish(self, backend: str, name: str, message: servicebus_pb2.ServiceBusMessage) -> None:
        prefix = f"{name}/subscriptions/"
        subscriptions = [
            queue
            for (own, path), queue in self._queues.items()
            if own == (backend or MAIN_BACKEND) and path.startswith(prefix) and not source(path).is_dead_letters
        ]
        for queue in subscriptions or [self._queue(backend, name)]:
            queue.add(message)

    def _check(self, entity: Entity) -> None:
        if str(entity) in self._failing:
            raise CallError(
                Status.UNAVAILABLE,
                Reason.BACKEND_UNAVAILABLE,
                f"Service Bus does not answer for {entity}: the test said so with moorage.servicebus.fail",
                retryable=True,
            )

    def _abandon(self, backend: str, queue: FakeQueue, stored: Stored) -> None:
        stored.delivery_count += 1
        if stored.delivery_count >= MAX_DELIVERY_COUNT and not queue.name.endswith("/$deadletterqueue"):
            self._bury(backend, queue, stored, "MaxDeliveryCountExceeded", "it was handed out too often")
        else:
            queue.give_back(stored)

    def _bury(self, backend: str, queue: FakeQueue, stored: Stored, reason: str, description: str) -> None:
        suffix = "" if queue.name.endswith("/$deadletterqueue") else "/$deadletterqueue"
        buried = self._queue(backend, queue.name + suffix).add(stored.message)
        buried.origin, buried.reason, buried.description = (queue.name, stored.number), reason, description


class FakeReceiver:
    """Implements ``base.Held``: what is not settled when its scope ends is abandoned."""

    def __init__(self, bus: FakeServiceBus, backend: str, queue: FakeQueue, *, locks: bool) -> None:
        self.backend = backend
        self.queue = queue
        self.last_peeked = 0
        self._bus = bus
        self._locks = locks
        self._deliveries: Dict[int, Stored] = {}
        self._numbers = itertools.count(1)

    def handed(self, found: List[Stored]) -> servicebus_pb2.ServiceBusMessages:
        if not self._locks:
            return servicebus_pb2.ServiceBusMessages(messages=[stored.wire() for stored in found])
        wire = []
        for stored in found:
            number = next(self._numbers)
            self._deliveries[number] = stored
            self.queue.locked.append(stored)
            wire.append(stored.wire(number))
        return servicebus_pb2.ServiceBusMessages(messages=wire)

    def held(self, delivery: int) -> Stored:
        """Raises CallError(MESSAGE_LOCK_LOST)."""
        stored = self._deliveries.get(delivery)
        if stored is None or not any(each is stored for each in self.queue.locked):
            self._deliveries.pop(delivery, None)
            raise CallError(
                Status.ABORTED,
                Reason.MESSAGE_LOCK_LOST,
                f"the message of {self.queue.name} was settled already, or its lock has expired; settle messages once",
            )
        return stored

    def take(self, delivery: int) -> Stored:
        """Raises CallError(MESSAGE_LOCK_LOST)."""
        stored = self.held(delivery)
        del self._deliveries[delivery]
        self.queue.locked.remove(stored)
        return stored

    def finish(self, *, success: bool) -> None:
        """A message's fate is decided by its settlement, not by the scope's end."""

    def release(self) -> None:
        for delivery in list(self._deliveries):
            stored = self._deliveries.pop(delivery)
            if stored in self.queue.locked:
                self.queue.locked.remove(stored)
                self._bus._abandon(self.backend, self.queue, stored)  # noqa: SLF001 - one fake


def _receiver(scope: FakeScope, handle: int) -> FakeReceiver:
    found: Any = scope.held[handle]
    assert isinstance(found, FakeReceiver)
    return found


def _scheduled(number: int, message: servicebus_pb2.ServiceBusMessage) -> Stored:
    return Stored(message, number, message.scheduled_enqueue_time_millis, state=_SCHEDULED)


def _shown(found: List[Stored]) -> List[ServiceBusReceivedMessage]:
    return [ServiceBusReceivedMessage(stored.wire()) for stored in found]


def _no_message(queue: FakeQueue) -> CallError:
    sentence = f"{queue.name} has no message of such a number in this state"
    return CallError(Status.NOT_FOUND, Reason.BACKEND_FAILED, sentence)


def _now() -> int:
    return int(time.time() * 1000)
