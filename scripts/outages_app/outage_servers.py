"""The servers that a host's triggers listen to, with what can go wrong with each of them."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

from fault_proxy import FaultProxy
from servers.kafka import KafkaServer, kafka_server
from servers.postgres import PostgresServer, postgres_server
from servers.redis import RedisServer, redis_server
from servers.servicebus import ServiceBusServer, servicebus_server

TOPIC, STREAM, QUEUE = "orders", "orders", "orders"
PARTITIONS = 3
#: A lock that was not given back runs out soon, and no message is put aside by the server for having come too often.
BUS_LIMITS = {"lock_seconds": 10, "max_delivery_count": 100_000}


class Proxies:
    """An event loop in a thread of its own, with the proxies on it."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="proxies")
        self._exit = contextlib.AsyncExitStack()

    def __enter__(self) -> Proxies:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._wait(self._exit.aclose())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def open(self, target_port: int) -> FaultProxy:
        return self._wait(self._exit.enter_async_context(FaultProxy(target_port)))

    def tell(self, method: Callable[[], None]) -> None:
        async def call() -> None:
            method()

        self._wait(call())

    def _wait(self, work: Awaitable[Any]) -> Any:
        async def waiting() -> Any:
            return await work

        return asyncio.run_coroutine_threadsafe(waiting(), self._loop).result(30)


class Servers:
    """All of them, up. The host reaches Kafka and Service Bus through proxies; so does who sends to Kafka."""

    def __init__(
        self, proxies: Proxies, redis: RedisServer, postgres: PostgresServer, kafka: KafkaServer, bus: ServiceBusServer
    ) -> None:
        self.redis, self.postgres, self.kafka, self.bus = redis, postgres, kafka, bus
        self._proxies = proxies
        bus_proxy = proxies.open(bus.port)
        self.bus_connection_string = bus.connection_string(port=bus_proxy.port)
        self._proxy_of = {"servicebus": bus_proxy}

    def through(self, name: str, proxy: FaultProxy) -> None:
        self._proxy_of[name] = proxy

    def stall(self, name: str) -> None:
        self._proxies.tell(self._proxy_of[name].stall)

    def cut_off(self, name: str) -> None:
        self._proxies.tell(self._proxy_of[name].refuse)
        self._proxies.tell(self._proxy_of[name].reset)

    def heal(self, name: str) -> None:
        self._proxies.tell(self._proxy_of[name].heal)


@contextlib.contextmanager
def servers() -> Iterator[Servers]:
    with contextlib.ExitStack() as stack:
        proxies = stack.enter_context(Proxies())
        redis = stack.enter_context(redis_server(durable=True))
        postgres = stack.enter_context(postgres_server())
        bus = stack.enter_context(servicebus_server(queues=[QUEUE], limits=BUS_LIMITS))
        kafka_proxy = proxies.open(0)
        kafka = stack.enter_context(kafka_server(kafka_proxy.port))
        kafka_proxy.target_port = kafka.port
        kafka.make_topic(TOPIC, PARTITIONS)
        found = Servers(proxies, redis, postgres, kafka, bus)
        found.through("kafka", kafka_proxy)
        yield found
