"""One queue: what waits, what is locked, what was deferred. No I/O; who asks says what time it is by the clock."""

from __future__ import annotations

import heapq
import itertools
import uuid
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from enum import Enum, IntEnum
from typing import Protocol
from uuid import UUID

from moorage.broker.services.servicebus.peer.codec import Int, Long, Symbol, Timestamp
from moorage.broker.services.servicebus.peer.message import Message
from moorage.broker.services.servicebus.peer.performatives import AmqpError

#: About what a stored message takes beside its bytes.
OVERHEAD_BYTES = 1024

#: In front of every subqueue of what could not be processed.
DEAD_LETTERS = "/$deadletterqueue"

_MAX_REASON_CHARACTERS = 4096


class MessageState(IntEnum):
    """As Service Bus numbers them."""

    ACTIVE = 0
    DEFERRED = 1
    SCHEDULED = 2


class Settlement(Enum):
    """By the words of the management operation."""

    COMPLETED = "completed"
    ABANDONED = "abandoned"
    #: Given back without having been tried.
    RELEASED = "released"
    DEFERRED = "defered"
    DEAD_LETTERED = "suspended"


@dataclass(slots=True, eq=False)
class Stored:
    """A message in a queue."""

    message: Message
    sequence_number: int
    enqueued_at: float
    expires_at: float
    #: What was taken of the budget for it, whatever has been added to it since.
    cost_bytes: int = 0
    #: How often it was handed out in vain.
    delivery_count: int = 0
    lock: UUID | None = None
    locked_until: float = 0.0
    is_deferred: bool = False

    def encode(self, state: MessageState = MessageState.ACTIVE) -> bytes:
        annotations = self.message.annotations
        annotations[Symbol("x-opt-sequence-number")] = Long(self.sequence_number)
        annotations[Symbol("x-opt-enqueued-time")] = Timestamp(int(self.enqueued_at * 1000))
        annotations[Symbol("x-opt-message-state")] = Int(MessageState.DEFERRED if self.is_deferred else state)
        annotations.pop("x-opt-locked-until", None)
        if self.lock is not None:
            annotations[Symbol("x-opt-locked-until")] = Timestamp(int(self.locked_until * 1000))
        return self.message.encode(self.delivery_count)

    def __lt__(self, other: Stored) -> bool:
        return self.sequence_number < other.sequence_number


class Consumer(Protocol):
    """A link on which a client receives."""

    @property
    def can_take(self) -> bool: ...

    @property
    def takes_locks(self) -> bool:
        """False: what it is handed is gone from the queue at once."""

    def deliver(self, stored: Stored) -> None: ...


class Budget:
    """Bytes that all messages of a namespace may take together."""

    def __init__(self, most: int) -> None:
        self._most = most
        self.used = 0

    def take(self, count: int) -> None:
        """Raises AmqpError."""
        if self.used + count > self._most:
            raise AmqpError("amqp:resource-limit-exceeded", f"the namespace is full: it holds {self._most} bytes")
        self.used += count

    def give_back(self, count: int) -> None:
        self.used -= count


class Queue:
    def __init__(
        self,
        name: str,
        *,
        clock: Callable[[], float],
        alarm: Callable[[float], None],
        budget: Budget,
        lock_seconds: float,
        max_delivery_count: int,
    ) -> None:
        self.name = name
        self.consumers: list[Consumer] = []
        #: Whether somebody has received here; what was only sent to may still turn out to be a topic.
        self.was_received_from = False
        self._clock = clock
        self._alarm = alarm
        self._budget = budget
        self._lock_seconds = lock_seconds
        self._max_delivery_count = max_delivery_count
        self.numbers = itertools.count(1)
        self._ready: list[Stored] = []
        #: In the order in which the locks expire: each lasts as long as the others.
        self._locked: OrderedDict[UUID, Stored] = OrderedDict()
        self._deferred: dict[int, Stored] = {}
        self._dead_letters: Queue | None = None

    @property
    def dead_letters(self) -> Queue:
        """Of a subqueue: itself."""
        if self.name.endswith(DEAD_LETTERS):
            return self
        if self._dead_letters is None:
            self._dead_letters = Queue(
                self.name + DEAD_LETTERS,
                clock=self._clock,
                alarm=self._alarm,
                budget=self._budget,
                lock_seconds=self._lock_seconds,
                max_delivery_count=2**31,
            )
        return self._dead_letters

    @property
    def all(self) -> tuple[Queue, ...]:
        """Itself and its subqueue, as far as there is one."""
        return (self,) if self._dead_letters is None else (self, self._dead_letters)

    @property
    def counts(self) -> tuple[int, int, int]:
        """Messages that wait, are locked, were deferred."""
        return len(self._ready), len(self._locked), len(self._deferred)

    # -- in -----------------------------------------------------------------------------------------------------

    def publish(self, messages: Sequence[Message]) -> None:
        """All or none. Raises AmqpError."""
        self._budget.take(sum(message.size + OVERHEAD_BYTES for message in messages))
        for message in messages:
            self._put(message, message.size + OVERHEAD_BYTES)
        self.pump()

    def take_over(self, other: Queue) -> None:
        """All that waits there waits here."""
        waiting, other._ready = other._ready, []
        for stored in sorted(waiting):
            self.add(stored.message, stored.cost_bytes)

    def add(self, message: Message, cost_bytes: int) -> None:
        """What is counted already."""
        self._put(message, cost_bytes)
        self.pump()

    def _put(self, message: Message, cost_bytes: int) -> None:
        now = self._clock()
        lifetime = message.time_to_live_millis
        expires_at = float("inf") if lifetime is None else now + lifetime / 1000
        heapq.heappush(self._ready, Stored(message, next(self.numbers), now, expires_at, cost_bytes))

    # -- out ----------------------------------------------------------------------------------------------------

    def pump(self) -> None:
        """Hands out what waits to who has asked for it, in turns."""
        while self._ready:
            consumer = next((each for each in self.consumers if each.can_take), None)
            if consumer is None:
                return
            self.consumers.remove(consumer)
            self.consumers.append(consumer)
            stored = heapq.heappop(self._ready)
            if stored.expires_at <= self._clock():
                self._budget.give_back(stored.cost_bytes)
                continue
            if consumer.takes_locks:
                self._lock(stored)
            else:
                self._budget.give_back(stored.cost_bytes)
            consumer.deliver(stored)

    def peek(self, from_sequence_number: int, count: int) -> list[Stored]:
        """In any state; without changing it."""
        now = self._clock()
        known = itertools.chain(self._ready, self._locked.values(), self._deferred.values())
        found = [each for each in known if each.sequence_number >= from_sequence_number and each.expires_at > now]
        return heapq.nsmallest(count, found)

    def receive_deferred(self, sequence_numbers: Sequence[int], *, lock: bool) -> list[Stored]:
        """Raises AmqpError when one of them was not deferred; none is taken then."""
        if any(number not in self._deferred for number in sequence_numbers):
            raise AmqpError("com.microsoft:message-not-found", "a message of these numbers was not deferred")
        found = [self._deferred.pop(number) for number in dict.fromkeys(sequence_numbers)]
        for stored in found:
            if lock:
                self._lock(stored)
            else:
                self._budget.give_back(stored.cost_bytes)
        return found

    # -- locks --------------------------------------------------------------------------------------------------

    def renew(self, locks: Sequence[UUID]) -> list[float]:
        """Until when they last now. Raises AmqpError when one was lost."""
        held = [self._held(lock) for lock in locks]
        for stored in held:
            self._extend(stored)
        return [stored.locked_until for stored in held]

    def settle(self, lock: UUID, how: Settlement, reason: str = "", description: str = "") -> None:
        """Raises AmqpError when the lock was lost."""
        stored = self._held(lock)
        self._unlock(stored)
        if how is Settlement.COMPLETED:
            self._budget.give_back(stored.cost_bytes)
        elif how is Settlement.DEFERRED:
            stored.is_deferred = True
            self._deferred[stored.sequence_number] = stored
        elif how is Settlement.DEAD_LETTERED:
            self._bury(stored, reason, description)
        else:
            self._give_back(stored, counts=how is Settlement.ABANDONED)

    def expire_locks(self) -> float:
        """Takes back what was held too long; when there is to be looked again."""
        now = self._clock()
        while self._locked:
            stored = next(iter(self._locked.values()))
            if stored.locked_until > now:
                return stored.locked_until
            self._unlock(stored)
            self._give_back(stored, counts=True)
        return float("inf")

    def _held(self, lock: UUID) -> Stored:
        stored = self._locked.get(lock)
        if stored is None or stored.locked_until <= self._clock():
            raise AmqpError("com.microsoft:message-lock-lost", "the lock has expired, or the message is settled")
        return stored

    def _unlock(self, stored: Stored) -> None:
        assert stored.lock is not None
        del self._locked[stored.lock]
        stored.lock = None

    def _lock(self, stored: Stored) -> None:
        stored.lock = uuid.uuid4()
        self._extend(stored)

    def _extend(self, stored: Stored) -> None:
        assert stored.lock is not None
        stored.locked_until = self._clock() + self._lock_seconds
        self._locked.pop(stored.lock, None)
        self._locked[stored.lock] = stored
        self._alarm(stored.locked_until)

    # -- back ---------------------------------------------------------------------------------------------------

    def _give_back(self, stored: Stored, *, counts: bool) -> None:
        stored.delivery_count += counts
        if stored.delivery_count >= self._max_delivery_count:
            description = f"it was handed out {stored.delivery_count} times, and nobody completed it"
            self._bury(stored, "MaxDeliveryCountExceeded", description)
        elif stored.is_deferred:
            self._deferred[stored.sequence_number] = stored
        else:
            heapq.heappush(self._ready, stored)
            self.pump()

    def _bury(self, stored: Stored, reason: str, description: str) -> None:
        message = stored.message
        message.application_properties["DeadLetterReason"] = reason[:_MAX_REASON_CHARACTERS]
        message.application_properties["DeadLetterErrorDescription"] = description[:_MAX_REASON_CHARACTERS]
        message.annotations[Symbol("x-opt-deadletter-source")] = self.name
        message.annotations[Symbol("x-opt-enqueue-sequence-number")] = Long(stored.sequence_number)
        self.dead_letters.add(message, stored.cost_bytes)

    def __iter__(self) -> Iterator[Stored]:
        """What waits, in its order; for tests and people."""
        return iter(sorted(self._ready))
