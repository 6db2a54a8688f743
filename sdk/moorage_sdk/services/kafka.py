"""A producer: messages go to the host, which sends them and reports back when Kafka has acknowledged them."""

from __future__ import annotations

import asyncio
import concurrent.futures
import threading
import time
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Generator, Iterable, Iterator, List, Mapping, Optional, Set, Tuple, Union

from moorage_proto import errors, kafka_pb2
from moorage_proto.errors import Reason, Status
from moorage_proto.methods import Method, service_methods
from moorage_sdk.channel import Channel
from moorage_sdk.errors import QuotaExceeded, ScopeClosed, typed
from moorage_sdk.services.base import Ask, Provided

#: A text is sent as UTF-8; None is Kafka's null.
Text = Union[str, bytes, None]

#: Messages that may wait for their acknowledgement, and their bytes; ``send`` waits when there are more.
MAX_IN_FLIGHT = 1000
MAX_BYTES_IN_FLIGHT = 8 * 1024 * 1024

_METHODS = service_methods(kafka_pb2, "KafkaService")
_PRODUCE: Method[kafka_pb2.ProduceRequest, kafka_pb2.ProduceReply] = _METHODS["produce"]
_PRODUCE_BATCH: Method[kafka_pb2.ProduceRequest, kafka_pb2.ProduceBatchReply] = _METHODS["produce_batch"]

Headers = Union[Mapping[str, Text], Iterable[Tuple[str, Text]], None]


@dataclass(frozen=True)
class Receipt:
    """Where Kafka has put a message."""

    topic: str
    partition: int
    offset: int
    timestamp_millis: int


@dataclass(frozen=True)
class Message:
    """One of a batch; the fields are those of ``Producer.send``."""

    topic: str
    value: Text
    key: Text = None
    headers: Headers = None
    partition: Optional[int] = None
    timestamp: Optional[datetime] = None


class Delivery:
    """The acknowledgement to come: ``.result(timeout)`` in sync code, ``await`` in coroutines.

    A failed delivery that nobody looked at fails the task when it ends.
    """

    def __init__(self, topic: str, future: concurrent.futures.Future[kafka_pb2.ProduceReply]) -> None:
        self._topic = topic
        self._future = future
        self._seen = False

    def done(self) -> bool:
        return self._future.done()

    def result(self, timeout: Optional[float] = None) -> Receipt:
        """Waits up to ``timeout`` seconds.

        Raises the delivery's error, such as CapabilityMissing or BackendError, or TimeoutError.
        """
        self._seen = True
        try:
            return self._receipt(self._future.result(timeout))
        except concurrent.futures.TimeoutError as error:
            if self._future.done():
                raise
            raise TimeoutError(f"Kafka has not acknowledged the message to {self._topic} in {timeout:g} s") from error

    def __await__(self) -> Generator[Any, None, Receipt]:
        self._seen = True
        # Shielded: who stops waiting does not take the message back.
        reply = yield from asyncio.shield(asyncio.wrap_future(self._future)).__await__()
        return self._receipt(reply)

    def unseen_error(self) -> Optional[BaseException]:
        """For the end of the scope: why it failed, unless the plugin knows."""
        return None if self._seen or not self._future.done() else self._future.exception()

    def add_done_callback(self, callback: Any) -> None:
        self._future.add_done_callback(callback)

    async def wait(self) -> None:
        """Until it is done, however."""
        if not self._future.done():
            await asyncio.wait((asyncio.wrap_future(self._future),))

    def _receipt(self, reply: kafka_pb2.ProduceReply) -> Receipt:
        return Receipt(self._topic, reply.partition, reply.offset, reply.timestamp_millis)


class Producer:
    """Sends to the topics that the installation was granted. Safe to use from several threads."""

    def __init__(self, channel: Channel, backend: str) -> None:
        self._channel = channel
        self._backend = backend
        self._changed = threading.Condition()
        self._in_flight: Set[Delivery] = set()
        self._bytes_in_flight = 0
        self._failed: Set[Delivery] = set()
        self._closed = False

    def send(
        self,
        topic: str,
        value: Text,
        *,
        key: Text = None,
        headers: Headers = None,
        partition: Optional[int] = None,
        timestamp: Optional[datetime] = None,
    ) -> Delivery:
        """Starts sending; a text is sent as UTF-8, None as a tombstone.

        Waits only when more than 1000 messages or 8 MiB are unacknowledged; in a coroutine, which must not wait
        here, it raises QuotaExceeded then. Raises ScopeClosed after the execution that it was injected for has ended.
        """
        request = _request(self._backend, topic, value, key, headers, partition, timestamp)
        size = len(request.value) + len(request.key)
        self._reserve(size)
        try:
            delivery = Delivery(topic, self._channel.submit(_PRODUCE, request))
        except BaseException:
            self._release(size)
            raise
        with self._changed:
            self._in_flight.add(delivery)
        delivery.add_done_callback(lambda future: self._done(delivery, size, future))
        return delivery

    def send_batch(self, messages: Iterable[Message], *, timeout: Optional[float] = None) -> List[Receipt]:
        """Sends them in one call, which is quicker than one for each, and waits until Kafka has acknowledged all.

        They are read as they are sent, so a generator needs no memory for them; at most 100,000. ``timeout`` is in
        seconds. Raises the first error of a message that was not delivered; the others may have been.
        """
        self._check_open()
        topics: List[str] = []
        return _receipts(topics, self._channel.send_all(_PRODUCE_BATCH, self._batch(messages, topics), timeout=timeout))

    async def send_batch_async(self, messages: Iterable[Message], *, timeout: Optional[float] = None) -> List[Receipt]:
        """As ``send_batch``, for coroutines."""
        self._check_open()
        topics: List[str] = []
        requests = self._batch(messages, topics)
        return _receipts(topics, await self._channel.send_all_async(_PRODUCE_BATCH, requests, timeout=timeout))

    def _batch(self, messages: Iterable[Message], topics: List[str]) -> Iterator[kafka_pb2.ProduceRequest]:
        for one in messages:
            topics.append(one.topic)
            yield _request(self._backend, one.topic, one.value, one.key, one.headers, one.partition, one.timestamp)

    def flush(self, timeout: Optional[float] = None) -> None:
        """Blocks until every message is acknowledged or has failed. Raises TimeoutError after ``timeout`` seconds."""
        end = None if timeout is None else time.monotonic() + timeout
        with self._changed:
            while self._in_flight:
                left = None if end is None else end - time.monotonic()
                if left is not None and left <= 0:
                    raise TimeoutError(f"{len(self._in_flight)} messages are not acknowledged after {timeout:g} s")
                self._changed.wait(left)

    async def flush_async(self) -> None:
        """As ``flush``, for coroutines; bound it with ``asyncio.wait_for``."""
        for delivery in tuple(self._in_flight):
            await delivery.wait()

    async def finish(self, success: bool) -> None:
        """At the end of the scope. Raises the first error of a delivery that the plugin has not looked at."""
        if not success:
            return
        await self.flush_async()
        for delivery in tuple(self._failed):
            error = delivery.unseen_error()
            if error is not None:
                raise error

    async def close(self) -> None:
        self._closed = True

    def _reserve(self, size: int) -> None:
        with self._changed:
            while self._is_full(size):
                if _on_a_loop():
                    raise QuotaExceeded(
                        Status.RESOURCE_EXHAUSTED,
                        Reason.QUOTA_EXCEEDED,
                        f"{len(self._in_flight)} messages wait for Kafka; await some deliveries before sending more",
                        retryable=True,
                    )
                self._changed.wait()
            self._check_open()
            self._bytes_in_flight += size

    def _check_open(self) -> None:
        if self._closed:
            raise ScopeClosed(
                Status.FAILED_PRECONDITION,
                Reason.SCOPE_CLOSED,
                "this producer belongs to an execution that has ended; ask for one in each task",
            )

    def _is_full(self, size: int) -> bool:
        if not self._in_flight or self._closed:
            return False
        return len(self._in_flight) >= MAX_IN_FLIGHT or self._bytes_in_flight + size > MAX_BYTES_IN_FLIGHT

    def _release(self, size: int) -> None:
        with self._changed:
            self._bytes_in_flight -= size
            self._changed.notify_all()

    def _done(self, delivery: Delivery, size: int, future: concurrent.futures.Future[Any]) -> None:
        with self._changed:
            self._in_flight.discard(delivery)
            if future.cancelled() or future.exception() is not None:
                self._failed.add(delivery)
        self._release(size)


class KafkaFace:
    """One producer for each scope and cluster."""

    provides: Tuple[str, ...] = ("moorage_sdk.services.kafka:Producer",)
    per_scope = True
    capability_verbs: Tuple[str, ...] = ("kafka.produce",)

    def make(self, ask: Ask) -> Provided:
        producer = Producer(ask.channel, ask.backend)
        return Provided(producer, finish=producer.finish, close=producer.close)


def _request(
    backend: str,
    topic: str,
    value: Text,
    key: Text,
    headers: Headers,
    partition: Optional[int],
    timestamp: Optional[datetime],
) -> kafka_pb2.ProduceRequest:
    request = kafka_pb2.ProduceRequest(backend=backend, topic=topic)
    if value is not None:
        request.value = _bytes("value", value)
    if key is not None:
        request.key = _bytes("key", key)
    pairs = headers.items() if isinstance(headers, Mapping) else headers or ()
    for name, header in pairs:
        added = request.headers.add(key=name)
        if header is not None:
            added.value = _bytes(f"header {name!r}", header)
    if partition is not None:
        request.partition = partition
    if timestamp is not None:
        if timestamp.tzinfo is None:
            raise ValueError("the timestamp has no time zone; use datetime.now(timezone.utc)")
        request.timestamp_millis = int(timestamp.timestamp() * 1000)
    return request


def _receipts(topics: List[str], reply: kafka_pb2.ProduceBatchReply) -> List[Receipt]:
    """Raises the first failure."""
    for delivery in reply.deliveries:
        if delivery.HasField("failed"):
            raise typed(errors.from_wire(delivery.failed))
    return [
        Receipt(topic, one.delivered.partition, one.delivered.offset, one.delivered.timestamp_millis)
        for topic, one in zip(topics, reply.deliveries)
    ]


def _bytes(what: str, value: Union[str, bytes]) -> bytes:
    if isinstance(value, str):
        return value.encode()
    if isinstance(value, (bytes, bytearray, memoryview)):
        return bytes(value)
    raise TypeError(f"the {what} of a Kafka message is str, bytes or None, not {type(value).__name__}")


def _on_a_loop() -> bool:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True
