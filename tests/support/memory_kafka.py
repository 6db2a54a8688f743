"""As much of confluent-kafka as a consumer of a group needs, over a cluster in memory: rebalances take no time here."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass, field
from functools import partial
from types import SimpleNamespace
from typing import Any

from confluent_kafka import KafkaError, KafkaException, TopicPartition

PARTITIONS = 3


class Message:
    def __init__(self, topic: str, partition: int, offset: int, **fields: Any) -> None:
        self._at = (topic, partition, offset)
        self._fields = fields

    def topic(self) -> str:
        return self._at[0]

    def partition(self) -> int:
        return self._at[1]

    def offset(self) -> int:
        return self._at[2]

    def key(self) -> bytes | None:
        return self._fields.get("key")

    def value(self) -> bytes | None:
        return self._fields.get("value")

    def headers(self) -> list[tuple[str, bytes | None]] | None:
        return self._fields.get("headers")

    def timestamp(self) -> tuple[int, int]:
        return (1, self._fields["timestamp"])

    def error(self) -> None:
        return None


@dataclass
class Group:
    members: list[Consumer] = field(default_factory=list)
    generation: int = 0
    #: Members that have given back what they had.
    ready: list[Consumer] = field(default_factory=list)
    committed: dict[tuple[str, int], int] = field(default_factory=dict)

    def change(self) -> None:
        self.generation += 1
        self.ready = []


class MemoryKafka:
    """One cluster. ``library`` stands for the module confluent_kafka."""

    def __init__(self) -> None:
        self.changed = threading.Condition(threading.RLock())
        self.topics: dict[str, list[list[Message]]] = {}
        self.groups: dict[str, Group] = {}
        #: So many commits fail.
        self.failing_commits = 0
        self.library = SimpleNamespace(
            Consumer=partial(Consumer, self),
            Producer=partial(Producer, self),
            KafkaException=KafkaException,
            TopicPartition=TopicPartition,
        )

    def append(self, topic: str, value: bytes | None, key: bytes | None = None, **further: Any) -> Message:
        with self.changed:
            partitions = self.topics.setdefault(topic, [[] for _ in range(PARTITIONS)])
            number = further.pop("partition", -1)
            if number < 0:
                number = sum(map(len, partitions)) % len(partitions)
            log = partitions[number]
            offset = further.pop("offset", log[-1].offset() + 1 if log else 0)
            further.setdefault("timestamp", 1_700_000_000_000 + offset)
            log.append(Message(topic, number, offset, value=value, key=key, **further))
            self.changed.notify_all()
            return log[-1]


class Consumer:
    def __init__(self, cluster: MemoryKafka, config: dict[str, Any], **_: Any) -> None:
        self._cluster = cluster
        self._config = config
        self._group = cluster.groups.setdefault(config["group.id"], Group())
        self._topic = ""
        self._generation = -1
        self._positions: dict[int, int] = {}
        self._paused: set[int] = set()
        self._answers: list[tuple[Any, list[TopicPartition]]] = []
        self._told: dict[str, Any] = {}
        self.polls = 0

    def list_topics(self, topic: str, timeout: float) -> Any:
        found = self._cluster.topics.get(topic)
        error = None if found else KafkaError(KafkaError.UNKNOWN_TOPIC_OR_PART)
        return SimpleNamespace(topics={topic: SimpleNamespace(error=error, partitions=range(len(found or ())))})

    def subscribe(self, topics: list[str], **told: Any) -> None:
        with self._cluster.changed:
            (self._topic,) = topics
            self._told = told
            self._group.members.append(self)
            self._group.change()

    def assignment(self) -> list[TopicPartition]:
        return [TopicPartition(self._topic, partition) for partition in self._positions]

    def poll(self, timeout: float) -> Message | None:
        self.polls += 1
        end = time.monotonic() + timeout
        while True:
            self._rebalance()
            while self._answers:
                self._config["on_commit"](*self._answers.pop(0))
            with self._cluster.changed:
                message = self._next()
                if message is not None:
                    return message
                if not self._cluster.changed.wait(end - time.monotonic()):
                    return None

    def pause(self, partitions: list[TopicPartition]) -> None:
        self._paused |= {each.partition for each in partitions}

    def resume(self, partitions: list[TopicPartition]) -> None:
        self._paused -= {each.partition for each in partitions}

    def seek(self, target: TopicPartition) -> None:
        self._positions[target.partition] = target.offset

    def commit(self, offsets: list[TopicPartition], asynchronous: bool) -> None:
        with self._cluster.changed:
            error = None
            if self._cluster.failing_commits:
                self._cluster.failing_commits -= 1
                error = KafkaError(KafkaError.REQUEST_TIMED_OUT)
            else:
                self._group.committed |= {(each.topic, each.partition): each.offset for each in offsets}
            if asynchronous:
                self._answers.append((error, offsets))
            elif error is not None:
                raise KafkaException(error)

    def committed(self, partitions: list[TopicPartition], timeout: float) -> list[TopicPartition]:
        found = self._group.committed
        return [TopicPartition(p.topic, p.partition, found.get((p.topic, p.partition), -1001)) for p in partitions]

    def get_watermark_offsets(self, partition: TopicPartition, timeout: float) -> tuple[int, int]:
        log = self._cluster.topics[partition.topic][partition.partition]
        return (0, log[-1].offset() + 1 if log else 0)

    def close(self) -> None:
        with self._cluster.changed:
            if self in self._group.members:
                self._group.members.remove(self)
                self._group.change()
                self._cluster.changed.notify_all()

    def _rebalance(self) -> None:
        group = self._group
        if self not in group.members:
            return
        if self._generation != group.generation:
            generation = group.generation
            if self._positions:
                # Its own time: others wait meanwhile, and nobody holds the lock.
                self._told["on_revoke"](self, self.assignment())
            with self._cluster.changed:
                self._positions, self._paused, self._generation = {}, set(), generation
                if generation == group.generation:
                    group.ready.append(self)
                self._cluster.changed.notify_all()
        with self._cluster.changed:
            if self._positions or len(group.ready) < len(group.members) or self._generation != group.generation:
                return
            rank = group.members.index(self)
            logs = range(len(self._cluster.topics[self._topic]))
            for partition in logs[rank :: len(group.members)]:
                self._positions[partition] = group.committed.get((self._topic, partition), 0)
        if self._positions:
            self._told["on_assign"](self, self.assignment())

    def _next(self) -> Message | None:
        for partition in tuple(self._positions):
            if partition in self._paused:
                continue
            for message in self._cluster.topics[self._topic][partition]:
                if message.offset() >= self._positions[partition]:
                    # To the end, so that all have their turn.
                    del self._positions[partition]
                    self._positions[partition] = message.offset() + 1
                    return message
        return None


class Producer:
    def __init__(self, cluster: MemoryKafka, config: dict[str, Any], **_: Any) -> None:
        self._cluster = cluster
        self._reports: list[Any] = []

    def produce(self, topic: str, value: bytes | None, on_delivery: Any, **fields: Any) -> None:
        message = self._cluster.append(topic, value, **fields)
        self._reports.append(lambda: on_delivery(None, message))

    def poll(self, timeout: float) -> int:
        reports, self._reports = self._reports, []
        for report in reports:
            report()
        if not reports and timeout:
            time.sleep(min(timeout, 0.001))
        return len(reports)

    def purge(self) -> None:
        self._reports = []
