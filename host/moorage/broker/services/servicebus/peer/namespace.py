"""What a peer keeps: queues, topics with their subscriptions, and what is scheduled. No I/O.

Names are as Service Bus has them: without regard to case, ``topic/subscriptions/name`` and ``.../$deadletterqueue``.
"""

from __future__ import annotations

import heapq
import itertools
import re
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from moorage.broker.services.servicebus.peer.codec import Symbol
from moorage.broker.services.servicebus.peer.message import BATCH_FORMAT, Message, batched
from moorage.broker.services.servicebus.peer.performatives import AmqpError
from moorage.broker.services.servicebus.peer.queue import (
    DEAD_LETTERS,
    OVERHEAD_BYTES,
    Budget,
    MessageState,
    Queue,
    Stored,
)

_SEGMENT = r"[a-z0-9_](?:[a-z0-9._-]*[a-z0-9_])?"
_ENTITY = re.compile(rf"(?P<name>{_SEGMENT}(?:/{_SEGMENT})*?)(?:/subscriptions/(?P<subscription>{_SEGMENT}))?")
MAX_NAME_CHARACTERS = 260

#: Messages whose time has come that are delivered before others have their turn.
MAX_DUE = 200

#: What is due and finds the namespace full is tried again after so long.
FULL_SECONDS = 1.0

#: Of messages that were cancelled, at least so many are remembered.
_SPARE = 64

_SCHEDULED_FOR = Symbol("x-opt-scheduled-enqueue-time")


@dataclass(frozen=True, slots=True)
class Limits:
    lock_seconds: float = 60.0
    max_delivery_count: int = 10
    max_message_bytes: int = 1024 * 1024
    #: All messages together.
    max_bytes: int = 64 * 1024 * 1024
    #: Queues, topics and subscriptions that come into being when they are first used.
    max_entities: int = 1000


@dataclass(frozen=True, slots=True)
class Declared:
    """The entities of a namespace. None at all: they come into being when they are first used."""

    queues: Sequence[str] = ()
    topics: Mapping[str, Sequence[str]] = field(default_factory=dict)

    def __bool__(self) -> bool:
        return bool(self.queues or self.topics)


@dataclass(slots=True)
class Topic:
    name: str
    subscriptions: dict[str, Queue] = field(default_factory=dict)
    #: Of what is scheduled here; each subscription has numbers of its own.
    numbers: Iterator[int] = field(default_factory=lambda: itertools.count(1))

    def publish(self, messages: Sequence[Message], budget: Budget) -> None:
        """A copy for each subscription: all or none. Raises AmqpError."""
        size = sum(message.size + OVERHEAD_BYTES for message in messages) * len(self.subscriptions)
        budget.take(size)
        budget.give_back(size)
        for subscription in self.subscriptions.values():
            subscription.publish([message.copy() for message in messages])


@dataclass(frozen=True, slots=True)
class Scheduled:
    at: float
    message: Message

    @property
    def size(self) -> int:
        return self.message.size + OVERHEAD_BYTES


class Namespace:
    def __init__(
        self, declared: Declared | None = None, limits: Limits | None = None, clock: Callable[[], float] = time.time
    ) -> None:
        """``clock`` in seconds since 1970 UTC."""
        self.limits = limits or Limits()
        #: Called with the time at which ``tick`` has something to do.
        self.alarm: Callable[[float], None] = no_alarm
        self._clock = clock
        self._budget = Budget(self.limits.max_bytes)
        self._queues: dict[str, Queue] = {}
        self._topics: dict[str, Topic] = {}
        #: By entity and number.
        self._scheduled: dict[tuple[str, int], Scheduled] = {}
        #: When, and which of them: a heap. What was cancelled meanwhile is not there any more.
        self._due: list[tuple[float, tuple[str, int]]] = []
        self._is_fixed = bool(declared)
        if declared:
            self._declare(declared)

    @property
    def used_bytes(self) -> int:
        return self._budget.used

    # -- entities -----------------------------------------------------------------------------------------------

    def queue(self, path: str) -> Queue:
        """To receive from: a queue, a subscription, or the subqueue of one. Raises AmqpError."""
        name, is_dead_letters = _split_dead_letters(path)
        match = _matched(name)
        if match["subscription"]:
            queue = self._subscription(match["name"], match["subscription"])
        elif name in self._topics:
            raise AmqpError("amqp:not-allowed", f"{name} is a topic: receive from one of its subscriptions")
        else:
            queue = self._queue(name)
        queue.was_received_from = True
        return queue.dead_letters if is_dead_letters else queue

    def check_target(self, path: str) -> None:
        """Whether something can be sent there. Raises AmqpError."""
        match = _matched(path)
        if match["subscription"]:
            raise AmqpError("amqp:not-allowed", "nothing is sent to a subscription: send to its topic")
        if path not in self._topics:
            self._queue(path)

    def publish(self, path: str, data: bytes, message_format: int) -> None:
        """One message, or a batch of them: all or none. Raises AmqpError, Malformed."""
        self.check_target(path)
        messages = [Message.decode(each) for each in (batched(data) if message_format == BATCH_FORMAT else [data])]
        now = self._clock()
        self._publish(path, [message for message in messages if not _scheduled_for(message, now)])
        for message in messages:
            at = _scheduled_for(message, now)
            if at:
                self._schedule(path, message, at)

    def __iter__(self) -> Iterator[Queue]:
        """Queues, subscriptions, and the subqueues of both."""
        subscriptions = (queue for topic in self._topics.values() for queue in topic.subscriptions.values())
        for queue in itertools.chain(self._queues.values(), subscriptions):
            yield from queue.all

    # -- what is scheduled --------------------------------------------------------------------------------------

    def schedule(self, path: str, messages: Iterable[bytes]) -> list[int]:
        """Their numbers. Raises AmqpError, Malformed."""
        self.check_target(path)
        decoded = [Message.decode(each) for each in messages]
        return [self._schedule(path, message, _scheduled_for(message, 0.0)) for message in decoded]

    def cancel(self, path: str, numbers: Iterable[int]) -> None:
        """Raises AmqpError when one of them is not scheduled there any more; none is cancelled then."""
        keys = [(path, number) for number in dict.fromkeys(numbers)]
        if any(key not in self._scheduled for key in keys):
            raise AmqpError("com.microsoft:message-not-found", "no message of this number is scheduled here")
        for key in keys:
            self._budget.give_back(self._scheduled.pop(key).size)

    def peek(self, path: str, from_number: int, count: int) -> Iterator[bytes]:
        """Encoded messages in any state, by their numbers; each is encoded when it is asked for. Raises AmqpError."""
        waiting = [(each, MessageState.ACTIVE) for each in self.queue(path).peek(from_number, count)]
        later = (number for entity, number in self._scheduled if entity == path and number >= from_number)
        for number in heapq.nsmallest(count, later):
            scheduled = self._scheduled[path, number]
            waiting.append((Stored(scheduled.message, number, scheduled.at, float("inf")), MessageState.SCHEDULED))
        waiting.sort(key=lambda found: found[0].sequence_number)
        return (stored.encode(state) for stored, state in waiting[:count])

    def tick(self) -> None:
        """Lets locks expire and delivers what was scheduled, as far as it is time; asks for the next alarm."""
        now = self._clock()
        for _ in range(MAX_DUE):
            key = self._next_due(now)
            if key is None:
                break
            self._deliver(key, self._scheduled.pop(key), now)
        deadlines = [queue.expire_locks() for queue in tuple(self)]
        nearest = min([*deadlines, *(at for at, _ in self._due[:1])], default=float("inf"))
        if nearest != float("inf"):
            self.alarm(nearest)

    # -- inside -------------------------------------------------------------------------------------------------

    def _declare(self, declared: Declared) -> None:
        """Raises AmqpError for names that cannot be."""
        for name in declared.queues:
            self._queues[name.lower()] = self._made(_matched(name.lower()).string)
        for name, subscriptions in declared.topics.items():
            topic = self._topics[name.lower()] = Topic(_matched(name.lower()).string)
            for subscription in subscriptions:
                path = _matched(f"{topic.name}/subscriptions/{subscription.lower()}").string
                topic.subscriptions[subscription.lower()] = self._made(path)

    def _queue(self, name: str) -> Queue:
        queue = self._queues.get(name)
        if queue is None:
            self._check_room(name)
            queue = self._queues[name] = self._made(name)
        return queue

    def _subscription(self, name: str, subscription: str) -> Queue:
        topic = self._topics.get(name)
        if topic is None:
            self._check_room(name)
            topic = Topic(name)
        queue = topic.subscriptions.get(subscription)
        if queue is not None:
            return queue
        path = f"{name}/subscriptions/{subscription}"
        self._check_room(path)
        was_queue = self._queues.get(name)
        if was_queue is not None and was_queue.was_received_from:
            raise AmqpError("amqp:not-allowed", f"{name} is a queue, and has no subscriptions")
        queue = topic.subscriptions[subscription] = self._made(path)
        self._topics[name] = topic
        if was_queue is not None:
            # It was sent to before anybody could know what it is.
            queue.take_over(self._queues.pop(name))
        return queue

    def _check_room(self, path: str) -> None:
        if self._is_fixed:
            raise AmqpError("amqp:not-found", f"there is no entity {path}")
        known = len(self._queues) + sum(1 + len(topic.subscriptions) for topic in self._topics.values())
        if known >= self.limits.max_entities:
            raise AmqpError("amqp:resource-limit-exceeded", f"there are {known} entities, and no room for further ones")

    def _made(self, path: str) -> Queue:
        return Queue(
            path,
            clock=self._clock,
            alarm=self._ring,
            budget=self._budget,
            lock_seconds=self.limits.lock_seconds,
            max_delivery_count=self.limits.max_delivery_count,
        )

    def _ring(self, at: float) -> None:
        self.alarm(at)

    def _publish(self, path: str, messages: Sequence[Message]) -> None:
        topic = self._topics.get(path)
        if topic is not None:
            topic.publish(messages, self._budget)
        else:
            self._queue(path).publish(messages)

    def _deliver(self, key: tuple[str, int], scheduled: Scheduled, now: float) -> None:
        self._budget.give_back(scheduled.size)
        try:
            self._publish(key[0], [scheduled.message])
        except AmqpError:
            # There is no room for a copy in each subscription: it waits until there is.
            self._budget.take(scheduled.size)
            self._scheduled[key] = Scheduled(now + FULL_SECONDS, scheduled.message)
            heapq.heappush(self._due, (now + FULL_SECONDS, key))

    def _next_due(self, now: float) -> tuple[str, int] | None:
        """What is scheduled until now, taken from the heap; and from its top what was cancelled."""
        while self._due and (self._due[0][0] <= now or self._due[0][1] not in self._scheduled):
            _, key = heapq.heappop(self._due)
            if key in self._scheduled:
                return key
        return None

    def _schedule(self, path: str, message: Message, at: float) -> int:
        scheduled = Scheduled(at, message)
        self._budget.take(scheduled.size)
        number = next((self._topics.get(path) or self._queue(path)).numbers)
        self._scheduled[path, number] = scheduled
        if len(self._due) > 2 * len(self._scheduled) + _SPARE:
            # Cancelled ones, for the most part.
            self._due = [entry for entry in self._due if entry[1] in self._scheduled]
            heapq.heapify(self._due)
        heapq.heappush(self._due, (at, (path, number)))
        self.alarm(at)
        return number


def no_alarm(at: float) -> None:
    """Nobody is there to be woken."""


def _scheduled_for(message: Message, now: float) -> float:
    """0: at once."""
    millis = message.annotations.get(_SCHEDULED_FOR)
    at = millis / 1000 if isinstance(millis, int) and not isinstance(millis, bool) else 0.0
    return at if at > now else 0.0


def _split_dead_letters(path: str) -> tuple[str, bool]:
    return (path.removesuffix(DEAD_LETTERS), True) if path.endswith(DEAD_LETTERS) else (path, False)


def _matched(path: str) -> re.Match[str]:
    match = _ENTITY.fullmatch(path) if len(path) <= MAX_NAME_CHARACTERS else None
    if match is None or "subscriptions" in match["name"].split("/"):
        raise AmqpError("amqp:not-found", "this is no name of a queue, topic or subscription")
    return match
