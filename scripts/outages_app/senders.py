"""Who sends messages: to each source, with a name each, remembering those that the server has taken."""

from __future__ import annotations

import itertools
import random
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import redis as redis_library
from azure.servicebus import ServiceBusClient, ServiceBusMessage
from azure.servicebus.exceptions import ServiceBusError
from confluent_kafka import KafkaException, Producer
from outage_servers import QUEUE, STREAM, TOPIC, Servers
from servers.redis import PASSWORD

#: Between two messages to one source.
PAUSE_SECONDS = (0.05, 0.3)
SEND_SECONDS = 10.0

#: Sends a message of this name. Returns whether the server has it for certain.
Send = Callable[[str], bool]


class Senders:
    """One thread for each source; ``sent`` has what the servers have taken, by source."""

    def __init__(self, servers: Servers, seed: int) -> None:
        self.sent: dict[str, set[str]] = {"kafka": set(), "redis": set(), "servicebus": set()}
        self._over = threading.Event()
        ways = {"kafka": _kafka, "redis": _redis, "servicebus": _servicebus}
        self._threads = [
            threading.Thread(target=self._go_on, args=(source, way(servers), random.Random(f"{seed}/{source}")))
            for source, way in ways.items()
        ]

    def __enter__(self) -> Senders:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        for thread in self._threads:
            thread.join()

    def _go_on(self, source: str, sending: Any, dice: random.Random) -> None:
        with sending as send:
            for number in itertools.count():
                if self._over.wait(dice.uniform(*PAUSE_SECONDS)):
                    return
                name = f"{source}-{number}"
                if send(name):
                    self.sent[source].add(name)


@contextmanager
def _kafka(servers: Servers) -> Iterator[Send]:
    producer = Producer({"bootstrap.servers": servers.kafka.address, "message.timeout.ms": 8_000, "log_level": 0})

    def send(name: str) -> bool:
        delivered: list[bool] = []
        try:
            producer.produce(TOPIC, name.encode(), on_delivery=lambda error, _message: delivered.append(error is None))
        except (BufferError, KafkaException):
            return False
        producer.flush(SEND_SECONDS)
        return delivered == [True]

    yield send
    producer.flush(SEND_SECONDS)


@contextmanager
def _redis(servers: Servers) -> Iterator[Send]:
    client = redis_library.Redis(port=servers.redis.port, password=PASSWORD, socket_timeout=SEND_SECONDS)

    def send(name: str) -> bool:
        try:
            client.xadd(STREAM, {"name": name})
        except redis_library.RedisError:
            return False
        return True

    with client:
        yield send


@contextmanager
def _servicebus(servers: Servers) -> Iterator[Send]:
    client = ServiceBusClient.from_connection_string(servers.bus.connection_string())
    with client, client.get_queue_sender(QUEUE) as sender:

        def send(name: str) -> bool:
            try:
                sender.send_messages(ServiceBusMessage(name, message_id=name), timeout=SEND_SECONDS)
            except ServiceBusError:
                return False
            return True

        yield send
