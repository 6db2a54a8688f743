"""Kafka topics: each message starts an execution, and the group's offset follows their outcomes."""

from __future__ import annotations

import asyncio
import concurrent.futures
import logging
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from moorage.broker.services.kafka.base import KafkaAccess
from moorage.broker.services.kafka.library import KafkaClientMissing, client
from moorage.models.manifest import Trigger
from moorage.models.trigger import TriggerId
from moorage.orchestrator.triggers.base import Door, Fate, NotNow, Signal, SourceFailed
from moorage.orchestrator.triggers.crew import Crew, settled
from moorage.orchestrator.triggers.dead_letter import PATIENT, SUFFIX, Backoff
from moorage.orchestrator.triggers.kafka_dead_letters import KafkaDeadLetters
from moorage.orchestrator.triggers.kafka_polling import REVOKE_SECONDS, Polling, size_bytes
from moorage.orchestrator.triggers.watermark import Watermark
from moorage_proto.errors import CallError

log = logging.getLogger(__name__)

#: Longest time for the last commit, and for leaving the group.
CLOSE_SECONDS = 6.0

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True)
class Topic:
    """What a trigger listens to."""

    trigger: TriggerId
    name: str
    group: str
    dead_letter: str
    #: A group that is new begins with what comes from now on, in place of all that is there.
    from_latest: bool = False

    @property
    def client_id(self) -> str:
        """As the cluster's operator sees it."""
        return f"moorage/trigger/{self.trigger}"

    @classmethod
    def of(cls, id: TriggerId, trigger: Trigger) -> Topic:  # noqa: A002 - it is the trigger's id
        options = trigger.options
        return cls(
            id,
            trigger.source,
            options.get("group", f"moorage.{id.replace('/', '.')}"),
            options.get("dead_letter", f"{trigger.source}.{SUFFIX}"),
            options.get("from") == "latest",
        )


@dataclass(eq=False)
class Partition:
    """One that is this consumer's at present."""

    number: int
    watermark: Watermark = field(default_factory=Watermark)
    tasks: set[asyncio.Task[None]] = field(default_factory=set)
    #: It will be read again from a message that was not taken; what arrives until then is from before.
    is_resting: bool = False
    rest: asyncio.Task[None] | None = None
    #: Between those.
    delays: Iterator[float] | None = None


class KafkaSource:
    """Implements ``Source``, and the ``Listener`` of its polling thread."""

    def __init__(self, topic: Topic, access: Callable[[], KafkaAccess], backoff: Backoff = PATIENT) -> None:
        """``access``: of its cluster; may raise CallError. ``backoff``: of messages that are not taken, and of dead
        letters that cannot be written.
        """
        self._topic = topic
        self._reach = access
        self._backoff = backoff
        self._partitions: dict[int, Partition] = {}
        #: Handed over when there was less room in the door than was thought.
        self._waiting: deque[Any] = deque()
        self._in_door = 0

    async def run(self, door: Door) -> None:
        try:
            access = self._reach()
            await access.prepare(self._topic.name)
        except (CallError, KafkaClientMissing) as error:
            raise SourceFailed(str(error)) from error
        self._door = door
        self._cluster = access.cluster
        self._crew = Crew()
        self._dead_letters = KafkaDeadLetters(access, self._topic.dead_letter, self._topic.client_id, self._backoff)
        self._polling = Polling(
            self._topic.name,
            access.cluster,
            client(),
            consumer_config(access, self._topic.group, self._topic.client_id),
            from_latest=self._topic.from_latest,
        )
        try:
            self._polling.start(self, self._topic.trigger, door.slots)
            self._crew.start(self._polling.failed, f"{self._topic.trigger} polls")
            await self._crew.failed()
        finally:
            await settled(self._close(), f"close {self._topic.trigger}")

    # -- what the polling thread tells, on the event loop -----------------------------------------------------------

    def assigned(self, partitions: Sequence[int]) -> None:
        for number in partitions:
            self._partitions[number] = Partition(number)

    def arrived(self, messages: Sequence[Any]) -> None:
        for message in messages:
            partition = self._partitions.get(message.partition())
            if partition is None or partition.is_resting or not partition.watermark.arrive(message.offset()):
                self._finished(message)
            else:
                self._waiting.append(message)
        self._admit()

    def rewound(self, partition: int, offset: int) -> None:
        found = self._partitions.get(partition)
        if found is None:
            return
        found.is_resting = False
        if found.watermark.missing is not None and found.watermark.missing < offset:
            # Not taken either, while the partition was on its way back to a later one.
            self._rest(found)

    def revoked(self, partitions: Sequence[int], answer: concurrent.futures.Future[Mapping[int, int]]) -> None:
        if self._crew.start(lambda: self._let_go(partitions, answer), f"{self._topic.trigger} lets go") is None:
            answer.set_result({})

    def lost(self, partitions: Sequence[int]) -> None:
        self._forget(partitions)

    # -- one message ------------------------------------------------------------------------------------------------

    def _admit(self) -> None:
        while self._waiting and self._in_door < self._door.slots and not self._crew.is_closed:
            message = self._waiting.popleft()
            self._in_door += 1
            self._begin(self._partitions[message.partition()], message)

    def _begin(self, partition: Partition, message: Any) -> None:
        name = f"{self._topic.trigger} {message.partition()}/{message.offset()}"
        task = self._crew.start(lambda: self._carry(partition, message), name)
        assert task is not None, "it is open"
        partition.tasks.add(task)
        task.add_done_callback(partition.tasks.discard)
        task.add_done_callback(lambda _: self._left(message))

    async def _carry(self, partition: Partition, message: Any) -> None:
        try:
            taken = await self._door.take(signal(self._cluster, message))
        except NotNow as reason:
            partition.watermark.give_back(message.offset())
            log.info("%s: %s", self._topic.trigger, reason)
            self._rest(partition)
            return
        if taken.fate is Fate.POISON:
            await self._dead_letters.put(message, taken.execution)
        partition.delays = None
        partition.watermark.done(message.offset())
        self._commit(partition)

    def _left(self, message: Any) -> None:
        self._in_door -= 1
        self._finished(message)
        self._admit()

    def _finished(self, message: Any) -> None:
        self._polling.finished(1, size_bytes(message), self._door.slots)

    def _commit(self, partition: Partition) -> None:
        offset = partition.watermark.committable
        if offset is not None and self._partitions.get(partition.number) is partition:
            self._polling.commit(partition.number, offset)

    # -- a whole partition ------------------------------------------------------------------------------------------

    def _rest(self, partition: Partition) -> None:
        """Nothing more of it is taken; after a while it is read again from the first message that was not."""
        if partition.is_resting or self._partitions.get(partition.number) is not partition:
            return
        partition.is_resting = True
        self._polling.rest(partition.number)
        for message in self._put_back({partition.number}):
            partition.watermark.give_back(message.offset())
        partition.delays = partition.delays or self._backoff.delays()
        delay = next(partition.delays)
        name = f"{self._topic.trigger} {partition.number} rests"
        partition.rest = self._crew.start(lambda: self._read_again(partition, delay), name)

    async def _read_again(self, partition: Partition, delay: float) -> None:
        await asyncio.sleep(delay)
        assert partition.watermark.missing is not None, "that is why it rests"
        self._polling.rewind(partition.number, partition.watermark.missing)

    async def _let_go(self, partitions: Sequence[int], answer: concurrent.futures.Future[Mapping[int, int]]) -> None:
        """What runs may end; what does not in time is another host's, which hears of the same execution."""
        going = [self._partitions[number] for number in partitions if number in self._partitions]
        self._put_back(set(partitions))
        for each in going:
            # Nothing more of it is taken.
            each.is_resting = True
        tasks = {task for each in going for task in each.tasks}
        try:
            if tasks:
                await asyncio.wait(tasks, timeout=REVOKE_SECONDS)
        finally:
            self._forget(partitions)
            answer.set_result(_committable(going))

    def _forget(self, partitions: Sequence[int]) -> None:
        self._put_back(set(partitions))
        for number in partitions:
            partition = self._partitions.pop(number, None)
            for task in (*partition.tasks, *filter(None, [partition.rest])) if partition is not None else ():
                task.cancel()

    def _put_back(self, partitions: set[int]) -> list[Any]:
        """Those of the partitions that wait for room in the door."""
        found = [message for message in self._waiting if message.partition() in partitions]
        self._waiting = deque(message for message in self._waiting if message.partition() not in partitions)
        for message in found:
            self._finished(message)
        return found

    async def _close(self) -> None:
        try:
            await self._crew.close()
        finally:
            await self._polling.close(_committable(self._partitions.values()), CLOSE_SECONDS)
            await self._dead_letters.close()


def _committable(partitions: Iterable[Partition]) -> dict[int, int]:
    found = {each.number: each.watermark.committable for each in partitions}
    return {number: offset for number, offset in found.items() if offset is not None}


def consumer_config(access: KafkaAccess, group: str, client_id: str) -> dict[str, Any]:
    return {
        # What is fetched ahead is memory of the host: of each consumer, so much.
        "queued.min.messages": 1_000,
        "queued.max.messages.kbytes": 16 * 1024,
        **access.options,
        "client.id": client_id,
        "group.id": group,
        "enable.auto.commit": False,
        "enable.auto.offset.store": False,
        "enable.partition.eof": False,
        # Also of an offset that is no longer there: what is left counts, and not only what comes.
        "auto.offset.reset": "earliest",
    }


def signal(cluster: str, message: Any) -> Signal:
    """From a ``confluent_kafka.Message``. A topic that was deleted and made anew counts from 0 again, so that the
    message's own time is a part of what it is known by.
    """
    kind, millis = message.timestamp()
    where = f"{message.topic()}/{message.partition()}/{message.offset()}"
    return Signal(key=f"{cluster}/{where}@{millis if kind else ''}", input=record(message), position=where)


def record(message: Any) -> dict[str, Any]:
    """The fields of ``moorage_sdk.messages.KafkaMessage``."""
    kind, millis = message.timestamp()
    return {
        "topic": message.topic(),
        "partition": message.partition(),
        "offset": message.offset(),
        "key": message.key(),
        "value": message.value(),
        "headers": [[name, value] for name, value in message.headers() or ()],
        "timestamp": _EPOCH + timedelta(milliseconds=millis) if kind else None,
    }
