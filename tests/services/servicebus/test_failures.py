"""Namespaces that are not there, break, come back; workers that end in the middle; bounds."""

from __future__ import annotations

import asyncio
import socket
import subprocess
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace

import pytest
from fault_proxy import FaultProxy
from memory_link import connected, grants
from servers.servicebus import ServiceBusServer, servicebus_server
from servicebus_worlds import EVERYTHING, METHODS, LinkWorld, brokered

from moorage.broker.scope import ScopeKind
from moorage.broker.services.base import Caller
from moorage.broker.services.servicebus import ServiceBusService, delivery, line, namespace, receiver
from moorage.broker.services.servicebus.embedded import ServiceBusSettingsInvalid
from moorage.config.services.servicebus import ServiceBusBackend
from moorage_proto import servicebus_pb2
from moorage_proto.errors import CallError, Reason

pytestmark = pytest.mark.system

Message = servicebus_pb2.ServiceBusMessage
COMPLETE = servicebus_pb2.ServiceBusSettleRequest.Settlement.COMPLETE

#: Much less than the library's own patience, and enough for a busy machine.
DEADLINE_SECONDS = 2.0


@pytest.fixture
def server() -> Iterator[ServiceBusServer]:
    with servicebus_server() as started:
        yield started


@pytest.fixture
async def proxy(server: ServiceBusServer) -> AsyncIterator[FaultProxy]:
    async with FaultProxy(server.port) as opened:
        yield opened


@pytest.fixture
async def world(server: ServiceBusServer, proxy: FaultProxy) -> AsyncIterator[LinkWorld]:
    """All that the host says to the namespace goes through the proxy."""
    backend = ServiceBusBackend(connection_string=server.connection_string(port=proxy.port))
    async with brokered(backend) as (found, _, _):
        yield found


async def send(world: LinkWorld, body: bytes = b"x", entity: str = "orders", timeout: float = 20) -> None:
    await world.call("send", entity=entity, messages=[Message(body=body)], timeout=timeout)


async def open_receiver(world: LinkWorld, entity: str = "orders", **options) -> int:
    return (await world.call("open_receiver", entity=entity, **options)).receiver


async def receive(world: LinkWorld, handle: int, most: int = 1, wait_millis: int = 5000, timeout: float = 20) -> list:
    reply = await world.call(
        "receive", receiver=handle, max_messages=most, max_wait_millis=wait_millis, timeout=timeout
    )
    return list(reply.messages)


async def unavailable(attempt) -> CallError:
    """Typed, and in time."""
    started = time.monotonic()
    with pytest.raises(CallError) as failed:
        await attempt
    assert time.monotonic() - started < DEADLINE_SECONDS + 0.5
    assert failed.value.reason == Reason.BACKEND_UNAVAILABLE
    assert failed.value.retryable
    assert "127.0.0.1" not in failed.value.message
    return failed.value


async def everything(world: LinkWorld) -> Counter[bytes]:
    handle = await open_receiver(world, receive_and_delete=True)
    found: Counter[bytes] = Counter()
    while messages := await receive(world, handle, 100, 500):
        found.update(message.message.body for message in messages)
    await world.call("close_receiver", receiver=handle)
    return found


async def test_a_namespace_that_is_not_there(caller: Caller) -> None:
    with socket.create_server(("127.0.0.1", 0)) as gone:
        port = gone.getsockname()[1]
    text = f"Endpoint=sb://127.0.0.1:{port};SharedAccessKeyName=a;SharedAccessKey=YQ==;UseDevelopmentEmulator=true;"
    async with brokered(ServiceBusBackend(connection_string=text)) as (world, _, _):
        error = await unavailable(send(world, timeout=DEADLINE_SECONDS))
        assert "'main'" in error.message
        assert str(port) not in error.message
        await unavailable(world.call("open_receiver", entity="orders", timeout=DEADLINE_SECONDS))


async def test_one_that_accepts_and_says_nothing() -> None:
    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()

    async with await asyncio.start_server(silent, "127.0.0.1", 0) as listening:
        port = listening.sockets[0].getsockname()[1]
        text = f"Endpoint=sb://127.0.0.1:{port};SharedAccessKeyName=a;SharedAccessKey=YQ==;UseDevelopmentEmulator=true;"
        async with brokered(ServiceBusBackend(connection_string=text)) as (world, _, _):
            await unavailable(send(world, timeout=DEADLINE_SECONDS))


async def test_it_is_used_again_when_it_is_back(world: LinkWorld, server: ServiceBusServer) -> None:
    await send(world)
    handle = await open_receiver(world)
    assert len(await receive(world, handle)) == 1
    server.kill()
    await unavailable(send(world, timeout=DEADLINE_SECONDS))
    await unavailable(receive(world, handle, timeout=DEADLINE_SECONDS))
    server.start()
    await send(world, b"after")
    (found,) = await receive(world, handle)
    assert found.message.body == b"after"
    await world.call("settle", receiver=handle, delivery=found.delivery, settlement=COMPLETE)


@pytest.mark.parametrize("fault", ["stall", "reset", "truncate", "refuse"])
async def test_faults_are_told_in_time_and_forgotten(
    world: LinkWorld, proxy: FaultProxy, fault: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(receiver, "SILENCE_SECONDS", 0.3)
    await send(world, b"0")
    handle = await open_receiver(world)
    assert len(await receive(world, handle)) == 1
    if fault == "truncate":
        proxy.truncate(10)
    elif fault == "refuse":
        proxy.refuse()
        proxy.reset()
    else:
        getattr(proxy, fault)()
    for attempt in (
        lambda: send(world, b"1", timeout=DEADLINE_SECONDS),
        lambda: receive(world, handle, timeout=DEADLINE_SECONDS),
        lambda: world.call("open_receiver", entity="other", timeout=DEADLINE_SECONDS),
    ):
        if fault == "reset":
            # New connections pass: nobody has to know.
            await attempt()
        else:
            await unavailable(attempt())
    proxy.heal()
    await send(world, b"2")
    await world.call("close_receiver", receiver=handle)
    found = await everything(world)
    # Sent again when nothing was heard of it, so perhaps there twice; what was acknowledged is there.
    assert found[b"2"] >= 1
    assert set(found) <= {b"0", b"1", b"2"}


async def test_what_was_acknowledged_is_there_whatever_breaks_meanwhile(world: LinkWorld, proxy: FaultProxy) -> None:
    acknowledged: list[bytes] = []
    reasons: set[int] = set()

    async def produce() -> None:
        for number in range(60):
            body = str(number).encode()
            try:
                await send(world, body, timeout=DEADLINE_SECONDS)
            except CallError as error:
                reasons.add(error.reason)
            else:
                acknowledged.append(body)

    producing = asyncio.create_task(produce())
    resets = 0
    while not producing.done():
        before = len(acknowledged)
        while len(acknowledged) < before + 7 and not producing.done():
            await asyncio.sleep(0)
        proxy.reset()
        resets += 1
    await producing
    found = await everything(world)
    assert resets > 5
    assert reasons <= {Reason.BACKEND_UNAVAILABLE}
    assert len(acknowledged) > 50
    assert not [body for body in acknowledged if not found[body]]
    # Each try that broke may have arrived, and no more than the tries there were.
    assert max(found.values()) <= line.ATTEMPTS


async def test_messages_received_before_a_break_are_settled_after_it(world: LinkWorld, proxy: FaultProxy) -> None:
    for number in range(3):
        await send(world, str(number).encode())
    handle = await open_receiver(world)
    first, second, third = await receive(world, handle, 3)
    proxy.reset()
    await world.call("settle", receiver=handle, delivery=first.delivery, settlement=COMPLETE)
    renewed = await world.call("renew_lock", receiver=handle, delivery=second.delivery)
    assert renewed.locked_until_millis > 0
    proxy.reset()
    await world.call("close_receiver", receiver=handle)
    again = await receive(world, await open_receiver(world), 3)
    assert [(message.message.body, message.delivery_count) for message in again] == [(b"1", 1), (b"2", 1)]
    assert third.message.body == b"2"


async def test_locks_are_kept_while_an_execution_runs_and_not_for_a_worker_without_one() -> None:
    with servicebus_server(limits={"lock_seconds": 0.5}) as server:
        backend = ServiceBusBackend(connection_string=server.connection_string())
        async with brokered(backend) as (world, _, _):
            await send(world)
            await send(world)
            kept = await open_receiver(world)
            (held,) = await receive(world, kept)
            world.link.session.open_scope(ScopeKind.INCARNATION, "i-churn")
            method = METHODS["open_receiver"]
            request = method.request(entity="orders")
            lost = (await world.link.worker.call(method, request, scope="i-churn", timeout=5)).receiver
            request = METHODS["receive"].request(receiver=lost, max_wait_millis=5000)
            (taken,) = (await world.link.worker.call(METHODS["receive"], request, scope="i-churn", timeout=5)).messages
            # It comes again when the worker's lock has expired: well after the first lock would have.
            (again,) = await receive(world, await open_receiver(world))
            assert (again.sequence_number, again.delivery_count) == (taken.sequence_number, 1)
            await world.call("settle", receiver=kept, delivery=held.delivery, settlement=COMPLETE)
            request = METHODS["settle"].request(receiver=lost, delivery=taken.delivery, settlement=COMPLETE)
            with pytest.raises(CallError) as late:
                await world.link.worker.call(METHODS["settle"], request, scope="i-churn", timeout=5)
            assert late.value.reason == Reason.MESSAGE_LOCK_LOST


@pytest.mark.parametrize("end", ["link", "scope", "session"])
async def test_unsettled_messages_of_whoever_ends_are_there_for_others_at_once(end: str) -> None:
    async with brokered(ServiceBusBackend()) as (other, service, broker):
        await send(other, b"1")
        await send(other, b"2")
        kept = service._namespaces["main"]
        async with connected(broker, grants(*EVERYTHING), installation="victim") as link:
            world = LinkWorld(link)
            handle = await open_receiver(world)
            assert len(await receive(world, handle, 2)) == 2
            assert len(link.session.holdings()) == 1
            assert kept._held["victim"]
            if end == "scope":
                await link.session.close_scope("e-1", success=False)
            elif end == "session":
                await link.session.end()
        assert not kept._held["victim"]
        assert kept.embedded.namespace.queue("orders").counts == (2, 0, 0)
        found = await receive(other, await open_receiver(other), 2, 1000)
        assert [(message.message.body, message.delivery_count) for message in found] == [(b"1", 1), (b"2", 1)]


async def test_a_worker_that_ends_while_it_waits_leaves_nothing_locked() -> None:
    async with brokered(ServiceBusBackend()) as (other, service, broker):
        queue = service._namespaces["main"].embedded.namespace.queue("orders")
        async with connected(broker, grants(*EVERYTHING), installation="victim") as link:
            world = LinkWorld(link)
            handle = await open_receiver(world)
            waiting = asyncio.create_task(receive(world, handle, 5, 60_000))
            async with asyncio.timeout(5):
                while not queue.consumers or not queue.consumers[0].can_take:
                    await asyncio.sleep(0.01)
            await send(other, b"1")
        with pytest.raises(CallError):
            await waiting
        async with asyncio.timeout(5):
            while queue.counts != (1, 0, 0):
                await asyncio.sleep(0.01)


async def test_a_wait_that_is_given_up_loses_no_message() -> None:
    async with brokered(ServiceBusBackend()) as (world, _, _):
        handle = await open_receiver(world)
        waiting = asyncio.create_task(receive(world, handle, 1, 60_000))
        await asyncio.sleep(0)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        await send(world, b"1")
        (found,) = await receive(world, handle)
        assert (found.message.body, found.delivery_count) == (b"1", 0)


async def test_others_settle_while_one_waits() -> None:
    async with brokered(ServiceBusBackend()) as (world, _, _):
        await send(world, b"1")
        handle = await open_receiver(world)
        (found,) = await receive(world, handle)
        waiting = asyncio.create_task(receive(world, handle, 1, 60_000))
        started = time.monotonic()
        await world.call("settle", receiver=handle, delivery=found.delivery, settlement=COMPLETE)
        assert time.monotonic() - started < 2
        await send(world, b"2")
        (second,) = await waiting
        assert second.message.body == b"2"


async def test_receiving_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(receiver, "MAX_UNSETTLED", 3)
    monkeypatch.setattr(delivery, "MAX_ANSWER_BYTES", 2500)
    monkeypatch.setattr(receiver, "MAX_ANSWER_BYTES", 2500)
    monkeypatch.setattr(namespace, "MAX_RECEIVERS", 2)
    async with brokered(ServiceBusBackend()) as (world, _, _):
        for number in range(5):
            await send(world, str(number).encode() * 1000)
        handle = await open_receiver(world)
        found = await receive(world, handle, 100)
        assert len(found) == 2  # more would be too large for one answer
        found += await receive(world, handle, 100)
        assert len(found) == 3
        with pytest.raises(CallError, match="wait to be settled") as full:
            await receive(world, handle, 100)
        assert full.value.reason == Reason.QUOTA_EXCEEDED
        await world.call("settle", receiver=handle, delivery=found[0].delivery, settlement=COMPLETE)
        assert len(await receive(world, handle)) == 1
        await open_receiver(world)
        with pytest.raises(CallError, match="receivers open") as many:
            await open_receiver(world)
        assert many.value.reason == Reason.QUOTA_EXCEEDED
        await world.call("close_receiver", receiver=handle)
        await open_receiver(world)


async def test_what_an_installation_holds_is_bounded_in_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(receiver, "MAX_UNSETTLED_BYTES", 2500)
    async with brokered(ServiceBusBackend()) as (world, service, _):
        for _ in range(5):
            await send(world, b"x" * 1000)
        first, second = await open_receiver(world), await open_receiver(world)
        found = await receive(world, first, 2)
        found += await receive(world, second)
        for handle in (first, second):
            with pytest.raises(CallError, match="bytes") as full:
                await receive(world, handle)
            assert full.value.reason == Reason.QUOTA_EXCEEDED
        await world.call("settle", receiver=first, delivery=found[0].delivery, settlement=COMPLETE)
        assert len(await receive(world, second)) == 1
        await world.end_scope()
        assert service._namespaces["main"].holding("churn").size_bytes == 0


async def test_what_no_plugin_can_be_handed_ends_among_the_dead_letters(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(delivery, "MAX_MESSAGE_BYTES", 5000)
    with servicebus_server(limits={"lock_seconds": 0.2, "max_delivery_count": 2}) as server:
        async with brokered(ServiceBusBackend(connection_string=server.connection_string())) as (world, _, _):
            await send(world, b"x" * 10_000)
            handle = await open_receiver(world)
            assert await receive(world, handle, 1, 1500) == []
            await send(world, b"small")
            assert (await receive(world, handle))[0].message.body == b"small"
            graves = await open_receiver(world, "orders/$deadletterqueue")
            (dead,) = (await world.call("peek", receiver=graves)).messages
            assert dead.dead_letter_reason == "MaxDeliveryCountExceeded"


async def test_many_are_received_in_one_call() -> None:
    async with brokered(ServiceBusBackend()) as (world, _, _):
        for _ in range(5):
            await world.call("send", entity="orders", messages=[Message(body=b"x")] * 30)
        handle = await open_receiver(world)
        assert len(await receive(world, handle, 100)) == 100
        assert len(await receive(world, handle, 100)) == 50


async def test_links_are_kept_for_the_next_and_old_ones_make_room(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(namespace, "MAX_SENDERS", 2)
    async with brokered(ServiceBusBackend()) as (world, service, _):
        kept = service._namespaces["main"]
        for entity in ("a", "b", "a", "c"):
            await send(world, entity=entity)
        assert {entity.name for _, entity in kept._senders} == {"a", "c"}
        handle = await open_receiver(world)
        await world.call("close_receiver", receiver=handle)
        (spare,) = [one for lines in kept._spare.values() for one in lines]
        await open_receiver(world)
        assert kept._held["churn"] == {spare}
        monkeypatch.setattr(namespace, "IDLE_SECONDS", -1.0)
        await send(world, entity="a")
        assert {entity.name for _, entity in kept._senders} == {"a"}


async def test_a_namespace_that_is_full_says_so(caller: Caller) -> None:
    with servicebus_server(limits={"max_bytes": 5000}) as server:
        backend = ServiceBusBackend(connection_string=server.connection_string())
        async with brokered(backend) as (world, _, _):
            await send(world)
            with pytest.raises(CallError, match="it is full") as full:
                await send(world, b"x" * 5000)
            assert full.value.reason == Reason.BACKEND_FAILED
            await send(world)


async def test_entities_that_are_not_there_and_topics_that_are_no_queues() -> None:
    backend = ServiceBusBackend(queues=["orders"], topics={"news": ["mine"]})
    async with brokered(backend) as (world, _, _):
        for attempt in (send(world, entity="other"), open_receiver(world, "news/subscriptions/other")):
            with pytest.raises(CallError, match="has no entity") as absent:
                await attempt
            assert absent.value.reason == Reason.BACKEND_FAILED
        with pytest.raises(CallError, match=r"refused the operation on news \(amqp:not-allowed\)"):
            await open_receiver(world, "news")
        await send(world, entity="news")
        assert len(await receive(world, await open_receiver(world, "News/Subscriptions/Mine"))) == 1


@pytest.mark.parametrize(
    ("settings", "problem"),
    [
        ({"connection_string": "nonsense"}, "of a connection string"),
        ({"connection_string": "Endpoint=sb://x/;SharedAccessKeyName=a"}, "of a connection string"),
        (
            {"connection_string": "Endpoint=sb://x/;SharedAccessKeyName=a;SharedAccessKey=YQ==;EntityPath=q"},
            "is for one entity",
        ),
        ({"queues": ["a b"]}, "of its queues and topics"),
    ],
)
async def test_settings_that_cannot_be_used_stop_the_host(settings: dict, problem: str) -> None:
    with pytest.raises(ServiceBusSettingsInvalid, match=rf"\[servicebus\.main\] cannot be used: .*{problem}"):
        async with brokered(ServiceBusBackend(**settings)):
            pass


async def test_closing_leaves_no_task_and_may_be_tried_again(caller: Caller) -> None:
    service = ServiceBusService.from_settings({"main": ServiceBusBackend()})
    before = asyncio.all_tasks()
    for _ in range(2):
        await service.open()
        await service.send(
            replace(caller, deadline=None), servicebus_pb2.ServiceBusSendRequest(entity="a", messages=[Message()])
        )
        await service.close()
        await service.close()
    async with asyncio.timeout(5):
        while asyncio.all_tasks() - before:
            await asyncio.sleep(0.01)


async def test_without_the_extra_the_host_starts_and_calls_say_what_to_install() -> None:
    """In an interpreter in which the client library cannot be imported."""
    code = """
import sys
sys.modules["azure.servicebus"] = None
import asyncio
from moorage.broker.services.servicebus import ServiceBusService
from moorage.config.services.servicebus import ServiceBusBackend
from moorage_proto import servicebus_pb2
from moorage_proto.errors import CallError

async def main():
    service = ServiceBusService.from_settings({"main": ServiceBusBackend()})
    await service.open()
    try:
        await service.send(None, servicebus_pb2.ServiceBusSendRequest(entity="orders"))
    except CallError as error:
        print(error.message)
    await service.close()

asyncio.run(main())
"""
    command = [sys.executable, "-c", code]
    ended = await asyncio.to_thread(subprocess.run, command, capture_output=True, text=True, timeout=20, check=True)
    assert "pip install 'moorage[servicebus]'" in ended.stdout
