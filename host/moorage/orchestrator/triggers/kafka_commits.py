"""Commits of one consumer: one on its way at a time, checked, and asked for again when it fails."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

log = logging.getLogger(__name__)

#: Between commits: many outcomes make one.
PAUSE_SECONDS = 0.05

#: After one that failed.
AGAIN_SECONDS = 1.0

#: Of a cluster that has to tell where a group stands, and where topics end.
LATEST_SECONDS = 10.0

#: For the last one.
LAST_SECONDS = 3.0


class Commits:
    """Wanted by the event loop, made by the polling thread."""

    def __init__(self, topic_partitions: Callable[[Mapping[int, int]], list[Any]]) -> None:
        self._topic_partitions = topic_partitions
        #: Assigned by the loop, taken by the thread; each step is one operation on the dictionary.
        self._wanted: dict[int, int] = {}
        #: On their way, if any are.
        self._asked: dict[int, int] = {}
        self._is_asked = False
        self._not_before = 0.0

    def want(self, partition: int, offset: int) -> None:
        self._wanted[partition] = offset

    def send(self, consumer: Any) -> None:
        if not self._wanted or self._is_asked or time.monotonic() < self._not_before:
            return
        # What went to another consumer meanwhile is that one's to commit.
        owned = {each.partition for each in consumer.assignment()}
        self._asked = {each: self._wanted.pop(each) for each in tuple(self._wanted)}
        self._asked = {partition: offset for partition, offset in self._asked.items() if partition in owned}
        if self._asked:
            self._is_asked = True
            self._not_before = time.monotonic() + PAUSE_SECONDS
            consumer.commit(offsets=self._topic_partitions(self._asked), asynchronous=True)

    def answered(self, error: Any, partitions: Sequence[Any]) -> None:
        """What the library calls, in a poll."""
        failed = error or next((each.error for each in partitions if each.error is not None), None)
        self._is_asked = False
        if failed is None:
            return
        log.warning("a commit of offsets failed, and is tried again: %s", failed)
        self._not_before = time.monotonic() + AGAIN_SECONDS
        for partition, offset in self._asked.items():
            self._wanted.setdefault(partition, offset)

    def finish(self, consumer: Any, offsets: Mapping[int, int]) -> None:
        """The last ones, in so far as the cluster answers soon."""
        self._wanted = dict(offsets)
        end = time.monotonic() + LAST_SECONDS
        while (self._wanted or self._is_asked) and time.monotonic() < end:
            self.send(consumer)
            consumer.poll(PAUSE_SECONDS)


def begin_at_end(consumer: Any, partitions: Sequence[Any]) -> None:
    """A group that has never committed anything begins at the topic's end, and that is written down at once: what comes
    from now on is not passed over, whatever becomes of this consumer, and neither are partitions that are added later.

    Raises KafkaException, also when another consumer is in the group already; nothing is lost then.
    """
    committed = consumer.committed(partitions, timeout=LATEST_SECONDS)
    if any(each.offset >= 0 for each in committed):
        return
    for each in partitions:
        _, each.offset = consumer.get_watermark_offsets(each, timeout=LATEST_SECONDS)
    consumer.commit(offsets=partitions, asynchronous=False)
