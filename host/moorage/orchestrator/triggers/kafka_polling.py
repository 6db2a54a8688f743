"""One Kafka consumer and the thread that polls it: librdkafka's calls block, and a group ends who does not poll.

The thread owns the consumer. It hands messages to the event loop as long as there is room, in batches; without room it
pauses the partitions and goes on polling, so that work of any length stays within ``max.poll.interval.ms``.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

from moorage.broker.services.kafka.sparing import SparingLog
from moorage.orchestrator.triggers.base import SourceFailed
from moorage.orchestrator.triggers.kafka_commits import Commits, begin_at_end
from moorage.orchestrator.triggers.kafka_refusals import is_hopeless, refusal, unreachable

log = logging.getLogger(__name__)

#: Longest wait in the library, which nothing of the event loop can end: orders and stops wait for it.
POLL_SECONDS = 0.1

#: Without room: how long until the partitions are paused, which throws away what the library has fetched ahead.
PAUSE_AFTER_SECONDS = 0.1

#: While paused, between polls; room ends the wait at once.
PAUSED_POLL_SECONDS = 0.25

#: Of a cluster that has to tell of itself.
PROBE_SECONDS = 5.0

#: All Kafka brokers are away for so long: it is asked, and then said.
AWAY_SECONDS = 5.0

#: Longest that a rebalance waits for what runs of the partitions that go.
REVOKE_SECONDS = 5.0

#: Messages and bytes that may be with the event loop at a time; at least one message may.
MAX_BYTES = 32 * 1024 * 1024

#: In one hand-over: the loop's next turn takes as long as these do.
MAX_BATCH = 100


class Listener(Protocol):
    """Called on the event loop, in the order in which things happened."""

    def assigned(self, partitions: Sequence[int]) -> None: ...

    def arrived(self, messages: Sequence[Any]) -> None:
        """Each a ``confluent_kafka.Message`` without an error."""

    def rewound(self, partition: int, offset: int) -> None:
        """What arrives of it from now on begins there."""

    def revoked(self, partitions: Sequence[int], answer: concurrent.futures.Future[Mapping[int, int]]) -> None:
        """They are another's from now on; the answer, within REVOKE_SECONDS, is what to commit of them."""

    def lost(self, partitions: Sequence[int]) -> None:
        """They have been another's for some time."""


class Polling:
    """Used from the event loop that started it. Whoever starts it closes it."""

    def __init__(
        self, topic: str, cluster: str, library: Any, config: Mapping[str, Any], *, from_latest: bool = False
    ) -> None:
        """``library``: the module confluent_kafka. ``config``: the consumer's, its group among them."""
        self._topic = topic
        self._cluster = cluster
        self._library = library
        self._config = config
        self._from_latest = from_latest
        self._wake = threading.Event()
        self._stopping = False
        self._last_words: Mapping[int, int] = {}
        self._commits = Commits(self._topic_partitions)
        #: Written by the event loop alone.
        self._finished = 0
        self._finished_bytes = 0
        self._limit = 1
        #: From there to the thread: partitions that rest (None), or are to be read again from an offset.
        self._orders: deque[tuple[int, int | None]] = deque()
        #: Written by the thread alone.
        self._resting: set[int] = set()
        self._handed = 0
        self._handed_bytes = 0
        self._paused: set[int] = set()
        self._full_since: float | None = None
        self._away_since: float | None = None
        self._failure: Exception | None = None

    # -- the event loop ------------------------------------------------------------------------------------------

    def start(self, listener: Listener, name: str, slots: int) -> None:
        self._listener = listener
        self._loop = asyncio.get_running_loop()
        self._ended: asyncio.Future[None] = self._loop.create_future()
        self._limit = slots
        self._thread = threading.Thread(target=self._run, name=f"kafka {name}", daemon=True)
        self._thread.start()

    async def failed(self) -> None:
        """Returns never; raises SourceFailed when there is no going on."""
        await asyncio.shield(self._ended)
        if isinstance(self._failure, SourceFailed):
            raise self._failure
        raise SourceFailed(f"The consumer of {self._topic!r} has ended by a fault of the host's; its log tells more.")

    def finished(self, messages: int, size_bytes: int, slots: int) -> None:
        """So much of what was handed over is no more in hand."""
        self._finished += messages
        self._finished_bytes += size_bytes
        self._limit = self._finished + slots
        self._wake.set()

    def commit(self, partition: int, offset: int) -> None:
        """In the background, again and again until it is done or the partition is gone."""
        self._commits.want(partition, offset)

    def rest(self, partition: int) -> None:
        """Nothing of it arrives, but for what is on its way, until it is rewound."""
        self._orders.append((partition, None))
        self._wake.set()

    def rewind(self, partition: int, offset: int) -> None:
        """It is read again from there, if it is still this consumer's."""
        self._orders.append((partition, offset))
        self._wake.set()

    async def close(self, commits: Mapping[int, int], timeout_seconds: float) -> None:
        """Commits these at last, and leaves the group."""
        self._last_words = commits
        self._stopping = True
        self._wake.set()
        await asyncio.wait((self._ended,), timeout=timeout_seconds)
        if not self._ended.done():
            # It is a daemon: the library may wait for a cluster that is away.
            log.warning("the consumer of %s is still leaving its group after %g s", self._topic, timeout_seconds)

    # -- the thread ----------------------------------------------------------------------------------------------

    def _run(self) -> None:
        consumer = None
        try:
            consumer = self._connect()
            partitions = self._look(consumer)
            if self._from_latest:
                begin_at_end(consumer, self._topic_partitions(dict.fromkeys(partitions, 0)))
            consumer.subscribe([self._topic], on_assign=self._assigned, on_revoke=self._revoked, on_lost=self._lost)
            while not self._stopping and self._failure is None:
                self._turn(consumer)
            if self._failure is None:
                self._commits.finish(consumer, self._last_words)
        except SourceFailed as error:
            self._failure = error
        except self._library.KafkaException as error:
            self._failure = refusal(self._cluster, self._topic, error.args[0])
        except Exception as error:  # whatever it is, the event loop has to know
            log.exception("the consumer of %s", self._topic)
            self._failure = error
        finally:
            self._stopping = True
            if consumer is not None:
                consumer.close()
            self._tell(_settle, self._ended)

    def _connect(self) -> Any:
        told = {"error_cb": self._told, "on_commit": self._commits.answered}
        # With a logger nothing of it is written past the host's own log.
        return self._library.Consumer({**self._config, **told}, logger=SparingLog(log))

    def _turn(self, consumer: Any) -> None:
        self._obey(consumer)
        self._commits.send(consumer)
        self._check_away(consumer)
        if self._has_room():
            self._full_since = None
            self._fit_pauses(consumer, self._resting)
            self._hand_over(consumer, POLL_SECONDS)
            return
        now = time.monotonic()
        self._full_since = self._full_since or now
        if now - self._full_since < PAUSE_AFTER_SECONDS:
            self._wait(PAUSE_AFTER_SECONDS)
            return
        self._fit_pauses(consumer, self._assignment(consumer))
        self._hand_over(consumer, 0)
        self._wait(PAUSED_POLL_SECONDS)

    def _wait(self, seconds: float) -> None:
        self._wake.wait(seconds)
        self._wake.clear()

    def _has_room(self) -> bool:
        is_light = self._handed_bytes - self._finished_bytes < MAX_BYTES or self._handed == self._finished
        return self._handed < self._limit and is_light

    def _hand_over(self, consumer: Any, seconds: float) -> None:
        messages: list[Any] = []
        message = consumer.poll(seconds)
        while message is not None:
            error = message.error()
            if error is not None:
                self._told(error)
            elif message.partition() not in self._resting:
                messages.append(message)
                self._handed += 1
                self._handed_bytes += size_bytes(message)
            if len(messages) == MAX_BATCH or not self._has_room() or self._stopping:
                break
            message = consumer.poll(0)
        if messages:
            self._away_since = None
            self._tell(self._listener.arrived, messages)

    def _fit_pauses(self, consumer: Any, wanted: set[int]) -> None:
        """``wanted`` and what is paused are this consumer's: what goes is taken out of both."""
        resumed, paused = self._paused - wanted, wanted - self._paused
        if resumed:
            consumer.resume(self._topic_partitions(dict.fromkeys(resumed, 0)))
        if paused:
            consumer.pause(self._topic_partitions(dict.fromkeys(paused, 0)))
        self._paused = set(wanted)

    def _assignment(self, consumer: Any) -> set[int]:
        return {each.partition for each in consumer.assignment()}

    def _obey(self, consumer: Any) -> None:
        while self._orders:
            partition, offset = self._orders.popleft()
            if partition not in self._assignment(consumer):
                continue
            if offset is None:
                self._resting.add(partition)
                continue
            consumer.seek(self._library.TopicPartition(self._topic, partition, offset))
            self._resting.discard(partition)
            self._tell(self._listener.rewound, partition, offset)

    # -- what the library tells, in the thread ---------------------------------------------------------------------

    def _assigned(self, consumer: Any, partitions: Sequence[Any]) -> None:  # noqa: ARG002 - the library's signature
        self._tell(self._listener.assigned, [each.partition for each in partitions])

    def _revoked(self, consumer: Any, partitions: Sequence[Any]) -> None:
        gone = self._dropped(partitions)
        if self._stopping:
            return
        answer: concurrent.futures.Future[Mapping[int, int]] = concurrent.futures.Future()
        self._tell(self._listener.revoked, gone, answer)
        try:
            offsets = answer.result(REVOKE_SECONDS + 1)
            if offsets:
                consumer.commit(offsets=self._topic_partitions(offsets), asynchronous=False)
        except (TimeoutError, concurrent.futures.CancelledError):
            log.warning("topic %s: partitions %s went without a last commit", self._topic, gone)
        except self._library.KafkaException as error:
            log.warning("topic %s: the last commit of partitions %s failed: %s", self._topic, gone, error)

    def _lost(self, consumer: Any, partitions: Sequence[Any]) -> None:  # noqa: ARG002 - the library's signature
        self._tell(self._listener.lost, self._dropped(partitions))

    def _dropped(self, partitions: Sequence[Any]) -> list[int]:
        gone = [each.partition for each in partitions]
        self._paused.difference_update(gone)
        self._resting.difference_update(gone)
        return gone

    def _told(self, error: Any) -> None:
        if error.name() == "_ALL_BROKERS_DOWN":
            self._away_since = self._away_since or time.monotonic()
        elif error.fatal() or is_hopeless(error):
            self._failure = refusal(self._cluster, self._topic, error)
        else:
            log.info("topic %s: %s", self._topic, error)

    def _check_away(self, consumer: Any) -> None:
        if self._away_since is not None and time.monotonic() - self._away_since > AWAY_SECONDS:
            self._look(consumer)
            self._away_since = None

    def _look(self, consumer: Any) -> list[int]:
        """The topic's partitions. Raises SourceFailed when the cluster does not answer, or does not have it."""
        try:
            found = consumer.list_topics(self._topic, timeout=PROBE_SECONDS).topics[self._topic]
        except self._library.KafkaException as error:
            raise unreachable(self._cluster, error.args[0]) from error
        if found.error is not None:
            raise refusal(self._cluster, self._topic, found.error)
        return list(found.partitions)

    def _topic_partitions(self, offsets: Mapping[int, int]) -> list[Any]:
        return [self._library.TopicPartition(self._topic, partition, offset) for partition, offset in offsets.items()]

    def _tell(self, function: Callable[..., None], *arguments: Any) -> None:
        try:
            self._loop.call_soon_threadsafe(function, *arguments)
        except RuntimeError:
            # The loop is closed, and nobody listens any more.
            self._stopping = True


def size_bytes(message: Any) -> int:
    headers = sum(len(name) + len(value or b"") for name, value in message.headers() or ())
    return len(message.value() or b"") + len(message.key() or b"") + headers


def _settle(ended: asyncio.Future[None]) -> None:
    if not ended.done():
        ended.set_result(None)
