"""One librdkafka producer, and the thread that serves its delivery reports.

confluent-kafka's own ``AIOProducer`` collects messages before it sends them, which makes an awaited message wait for
100 ms and more; a plain producer with a polling thread answers in a fraction of a millisecond.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import threading
import time
from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from typing import Any

from moorage.broker.services.kafka import failures
from moorage.broker.services.kafka.base import Delivery, OutgoingMessage, unavailable
from moorage.broker.services.kafka.library import client
from moorage.broker.services.kafka.sparing import SparingLog

log = logging.getLogger(__name__)

#: Between looks at the stop flag while messages are on their way; reports wake the thread at once.
BUSY_POLL_SECONDS = 0.02

#: Between polls while nothing is on its way: the library's own log lines wait in its queue until then.
IDLE_POLL_SECONDS = 5.0

#: What librdkafka's mock cluster claims as the time of every message, whatever time it keeps.
MOCK_TIMESTAMP_MILLIS = 1234

#: For the library's answers after what it has not sent was purged.
PURGE_SECONDS = 1.0

_Report = tuple[asyncio.Future[Any], Any, Any]


class Producer:
    """Used from the event loop that made it. Whoever makes it closes it."""

    def __init__(self, cluster: str, config: Mapping[str, Any]) -> None:
        """Raises confluent_kafka.KafkaException for a setting that the library does not take."""
        self._cluster = cluster
        self._loop = asyncio.get_running_loop()
        self._library = client()
        self._client = self._library.Producer(dict(config), logger=SparingLog(log))
        #: Messages that the library has accepted and not reported.
        self._outstanding = 0
        self._idle = asyncio.Event()
        self._idle.set()
        #: Set when reports came in, so that the library's queue has room again.
        self._room = asyncio.Event()
        #: Who waits for room goes before who comes later: messages keep their order. A Lock's waiters are served so.
        self._turn = asyncio.Lock()
        #: Written by the polling thread alone, between two polls.
        self._reports: list[_Report] = []
        self._work = threading.Event()
        self._stopped = False
        self.last_used = time.monotonic()
        #: True after an error that this producer does not recover from; make another.
        self.broken = False
        self._thread = threading.Thread(target=self._serve, name=f"kafka {cluster} {config['client.id']}", daemon=True)
        self._thread.start()

    async def produce(self, message: OutgoingMessage, deadline: float) -> Delivery:
        """Waits for room in the queue and then for the report, until the deadline of the loop's clock.

        Raises CallError.
        """
        self.last_used = time.monotonic()
        if message.timestamp_millis is None:
            message = replace(message, timestamp_millis=time.time_ns() // 1_000_000)
        try:
            async with asyncio.timeout_at(deadline):
                async with self._turn:
                    report = await self._accepted(message)
                error, delivered = await report
        except TimeoutError:
            problem = "did not acknowledge the message in time; whether it has it is unknown"
            raise unavailable(self._cluster, problem) from None
        if error is not None:
            self.broken = self.broken or error.fatal()
            raise failures.call_error(self._cluster, message, error)
        return _delivery(message, delivered)

    async def close(self, timeout_seconds: float) -> None:
        """Waits for what is on its way, gives up what is left after the timeout. Call once."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(timeout_seconds):
                await self._idle.wait()
        if self._outstanding:
            log.warning("cluster %s: %d messages were not delivered", self._cluster, self._outstanding)
            self._client.purge()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(PURGE_SECONDS):
                    await self._idle.wait()
        self._stopped = True
        self._work.set()
        await asyncio.to_thread(self._thread.join)

    async def _accepted(self, message: OutgoingMessage) -> asyncio.Future[Any]:
        report: asyncio.Future[Any] = self._loop.create_future()
        while True:
            try:
                self._enqueue(message, report)
            except BufferError:
                self._room.clear()
                await self._room.wait()
            except self._library.KafkaException as refused:
                error = refused.args[0]
                self.broken = self.broken or error.fatal()
                raise failures.call_error(self._cluster, message, error) from None
            else:
                return report

    def _enqueue(self, message: OutgoingMessage, report: asyncio.Future[Any]) -> None:
        self._client.produce(
            message.topic,
            value=message.value,
            key=message.key,
            headers=list(message.headers),
            partition=-1 if message.partition is None else message.partition,
            timestamp=message.timestamp_millis,
            on_delivery=partial(self._reported, report),
        )
        self._outstanding += 1
        self._idle.clear()
        self._work.set()

    # -- the polling thread --------------------------------------------------------------------------------------

    def _serve(self) -> None:
        while not self._stopped:
            busy = self._work.wait(IDLE_POLL_SECONDS)
            self._client.poll(BUSY_POLL_SECONDS if busy else 0)
            if self._reports:
                reports, self._reports = self._reports, []
                # One wake-up of the loop for all that a poll brought.
                self._loop.call_soon_threadsafe(self._settle, reports)

    def _reported(self, report: asyncio.Future[Any], error: Any, delivered: Any) -> None:
        self._reports.append((report, error, delivered))

    # -- the event loop ------------------------------------------------------------------------------------------

    def _settle(self, reports: list[_Report]) -> None:
        for report, error, delivered in reports:
            if not report.done():
                report.set_result((error, delivered))
        self._outstanding -= len(reports)
        self._room.set()
        if self._outstanding == 0:
            self._idle.set()
            self._work.clear()


def _delivery(message: OutgoingMessage, delivered: Any) -> Delivery:
    """From a ``confluent_kafka.Message``. The time is the cluster's own where the topic keeps that."""
    _, timestamp_millis = delivered.timestamp()
    if timestamp_millis == MOCK_TIMESTAMP_MILLIS:
        timestamp_millis = message.timestamp_millis
    return Delivery(delivered.partition(), delivered.offset(), timestamp_millis)
