"""Clusters that are not there, come back, end, or cannot be used at all."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import subprocess
import sys
import threading
from collections.abc import AsyncIterator
from dataclasses import replace

import pytest
from memory_link import SCOPE, RecordingAudit, connected, grants

from moorage.broker.broker import Broker
from moorage.broker.services.base import Caller
from moorage.broker.services.kafka import KafkaService, librdkafka
from moorage.broker.services.kafka.embedded import EmbeddedServer
from moorage.broker.services.kafka.librdkafka import KafkaSettingsInvalid
from moorage.config.services.kafka import KafkaBackend
from moorage_proto import kafka_pb2
from moorage_proto.errors import CallError, Reason
from moorage_proto.methods import service_methods

PRODUCE = service_methods(kafka_pb2, "KafkaService")["produce"]
Request = kafka_pb2.ProduceRequest
PLAY = Request(topic="plays", value=b"x")


@pytest.fixture
def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


@contextlib.asynccontextmanager
async def opened(**backends: KafkaBackend) -> AsyncIterator[KafkaService]:
    service = KafkaService.from_settings(backends)
    await service.open()
    try:
        yield service
    finally:
        await service.close()


@pytest.fixture
def short_patience(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(librdkafka, "FLUSH_SECONDS", 0.1)


def within(caller: Caller, seconds: float) -> Caller:
    return replace(caller, deadline=asyncio.get_running_loop().time() + seconds)


@pytest.mark.system
async def test_a_cluster_that_is_not_there_is_unavailable_before_the_deadline(
    caller: Caller, free_port: int, short_patience: None
) -> None:
    async with opened(main=KafkaBackend(bootstrap_servers=f"127.0.0.1:{free_port}")) as kafka:
        loop = asyncio.get_running_loop()
        started = loop.time()
        with pytest.raises(CallError) as failed:
            await kafka.produce(within(caller, 0.2), PLAY)
        assert loop.time() - started < 0.2
        error = failed.value
        assert error.reason == Reason.BACKEND_UNAVAILABLE
        assert error.retryable
        assert "'main'" in error.message
        assert str(free_port) not in error.message
        assert "127.0.0.1" not in error.message


@pytest.mark.system
async def test_across_a_link_it_is_unavailable_rather_than_late(free_port: int, short_patience: None) -> None:
    kafka = KafkaService.from_settings({"main": KafkaBackend(bootstrap_servers=f"127.0.0.1:{free_port}")})
    broker = Broker([kafka], RecordingAudit())
    await broker.open()
    async with connected(broker, grants("kafka.produce:**")) as link:
        with pytest.raises(CallError) as failed:
            await link.worker.call(PRODUCE, PLAY, scope=SCOPE, timeout=0.2)
        assert failed.value.reason == Reason.BACKEND_UNAVAILABLE
    await broker.close()


@pytest.mark.system
async def test_it_works_when_the_cluster_is_back(caller: Caller, free_port: int) -> None:
    """The same producer goes on; nothing has to be restarted."""
    server = EmbeddedServer()
    behind = await server.start()
    address = f"127.0.0.1:{free_port}"
    async with opened(main=KafkaBackend(bootstrap_servers=address, options={"reconnect.backoff.max.ms": 100})) as kafka:
        with pytest.raises(CallError):
            await kafka.produce(within(caller, 0.1), PLAY)
        async with forwarder(free_port, behind):
            reply = await kafka.produce(within(caller, 10), PLAY)
            assert reply.offset >= 0
    await server.stop()


async def test_an_embedded_cluster_opens_again_and_has_forgotten(caller: Caller) -> None:
    kafka = KafkaService.from_settings({"main": KafkaBackend()})
    for _ in range(2):
        await kafka.open()
        reply = await kafka.produce(within(caller, 5), Request(topic="plays", value=b"x", partition=0))
        assert reply.offset == 0
        await kafka.close()
        await kafka.close()


async def test_closing_delivers_what_was_accepted_and_leaves_no_thread(caller: Caller) -> None:
    before = threading.active_count()
    async with opened(main=KafkaBackend()) as kafka:
        sending = [asyncio.create_task(kafka.produce(within(caller, 10), PLAY)) for _ in range(100)]
        await asyncio.sleep(0)
        await kafka.close()
        replies = await asyncio.gather(*sending)
        assert len({(reply.partition, reply.offset) for reply in replies}) == 100
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("kafka ")]
    assert threading.active_count() <= before + 1


async def test_closing_gives_up_what_cannot_be_delivered(
    caller: Caller, free_port: int, short_patience: None, caplog: pytest.LogCaptureFixture
) -> None:
    async with opened(main=KafkaBackend(bootstrap_servers=f"127.0.0.1:{free_port}")) as kafka:
        sending = asyncio.create_task(kafka.produce(caller, PLAY))
        await asyncio.sleep(0)
        async with asyncio.timeout(3):
            await kafka.close()
            with pytest.raises(CallError) as failed:
                await sending
        assert failed.value.reason == Reason.BACKEND_UNAVAILABLE
        assert "1 messages were not delivered" in caplog.text
        with pytest.raises(CallError, match="is being closed"):
            await kafka.produce(caller, PLAY)


async def test_a_full_queue_makes_producing_wait_and_keeps_the_order(caller: Caller) -> None:
    options = {"queue.buffering.max.messages": 5}
    async with opened(main=KafkaBackend(options=options)) as kafka:
        requests = [Request(topic="plays", value=b"x", partition=0) for _ in range(200)]
        replies = await asyncio.gather(*(kafka.produce(within(caller, 20), request) for request in requests))
        assert [reply.offset for reply in replies] == list(range(200))


@pytest.mark.system
async def test_who_waits_for_room_in_vain_is_told(caller: Caller, free_port: int, short_patience: None) -> None:
    backend = KafkaBackend(bootstrap_servers=f"127.0.0.1:{free_port}", options={"queue.buffering.max.messages": 1})
    async with opened(main=backend) as kafka:
        sending = [asyncio.create_task(kafka.produce(within(caller, 0.2), PLAY)) for _ in range(3)]
        for result in await asyncio.gather(*sending, return_exceptions=True):
            assert isinstance(result, CallError)
            assert result.reason == Reason.BACKEND_UNAVAILABLE


async def test_one_that_floods_its_queue_holds_up_nobody_else(
    caller: Caller,
) -> None:
    async with opened(main=KafkaBackend(options={"queue.buffering.max.messages": 1})) as kafka:
        other = replace(caller, installation="other")
        await kafka.produce(within(other, 5), PLAY)  # connecting takes longer than much of a flood
        flood = [asyncio.create_task(kafka.produce(within(caller, 20), PLAY)) for _ in range(500)]
        await asyncio.sleep(0)
        await kafka.produce(within(other, 5), PLAY)
        assert not all(task.done() for task in flood)
        await asyncio.gather(*flood)


async def test_a_caller_that_gives_up_leaves_nothing_behind(caller: Caller) -> None:
    async with opened(main=KafkaBackend()) as kafka:
        sending = asyncio.create_task(kafka.produce(caller, PLAY))
        await asyncio.sleep(0)
        sending.cancel()
        with pytest.raises(asyncio.CancelledError):
            await sending
        await kafka.produce(within(caller, 5), PLAY)


@pytest.mark.system
async def test_an_idle_producer_is_closed_when_another_is_made(caller: Caller, monkeypatch: pytest.MonkeyPatch) -> None:
    async with opened(main=KafkaBackend()) as kafka:
        await kafka.produce(within(caller, 5), PLAY)
        monkeypatch.setattr(librdkafka, "IDLE_SECONDS", -1.0)
        await kafka.produce(within(replace(caller, installation="other"), 5), PLAY)
        assert set(kafka._clusters["main"]._producers) == {"other"}
        await kafka.produce(within(caller, 5), PLAY)


@pytest.mark.parametrize("options", [{"no.such.setting": 1}, {"security.protocol": "nope"}, {"acks": "many"}])
async def test_options_that_the_library_does_not_take_stop_the_host(options: dict[str, str | int]) -> None:
    with pytest.raises(KafkaSettingsInvalid, match=r"\[kafka\.main\] cannot be used"):
        async with opened(main=KafkaBackend(options=options)):
            pass


@pytest.mark.system
async def test_without_the_extra_the_host_starts_and_calls_say_what_to_install() -> None:
    """In an interpreter in which the client library cannot be imported."""
    code = """
import sys
sys.modules["confluent_kafka"] = None
import asyncio
from moorage.broker.services.kafka import KafkaService
from moorage.config.services.kafka import KafkaBackend
from moorage_proto import kafka_pb2
from moorage_proto.errors import CallError

async def main():
    kafka = KafkaService.from_settings({"main": KafkaBackend()})
    await kafka.open()
    try:
        await kafka.produce(None, kafka_pb2.ProduceRequest(topic="plays"))
    except CallError as error:
        print(error.message)
    await kafka.close()

asyncio.run(main())
"""
    command = [sys.executable, "-c", code]
    ended = await asyncio.to_thread(subprocess.run, command, capture_output=True, text=True, timeout=20, check=True)
    assert "pip install 'moorage[kafka]'" in ended.stdout


@contextlib.asynccontextmanager
async def forwarder(port: int, address: str) -> AsyncIterator[None]:
    """Listens on a port and passes connections on: a cluster that has come up."""
    host, _, behind = address.partition(":")

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        upstream_reader, upstream_writer = await asyncio.open_connection(host, int(behind))
        await asyncio.gather(pump(reader, upstream_writer), pump(upstream_reader, writer))

    async def pump(source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError):
            while data := await source.read(65536):
                target.write(data)
                await target.drain()
        target.close()

    async with await asyncio.start_server(serve, "127.0.0.1", port):
        yield
