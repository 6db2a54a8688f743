"""The Service Bus source against our AMQP peer, with Azure's client."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from datetime import timedelta

import pytest
from fault_proxy import FaultProxy
from servicebus_worlds import quicken
from source_doors import BookDoor

from moorage.broker.services.servicebus.library import client
from moorage.broker.services.servicebus.peer import Declared, Limits, Namespace, Peer, SharedKeys
from moorage.broker.services.servicebus.peer.sas import SharedKey
from moorage.models.manifest import Trigger
from moorage.orchestrator.triggers import servicebus
from moorage.orchestrator.triggers.base import Fate, SourceFailed
from moorage.orchestrator.triggers.servicebus import ServiceBusSource, entity_of, receiver_of

pytestmark = pytest.mark.system

KEY = "c2VjcmV0"
ORDERS = entity_of(Trigger("servicebus", "orders"))


@pytest.fixture(autouse=True)
def quick_library(monkeypatch: pytest.MonkeyPatch) -> None:
    quicken(monkeypatch)


class World:
    """A namespace, and what a test asks of it."""

    def __init__(self, peer: Peer, namespace: Namespace) -> None:
        self.peer = peer
        self.namespace = namespace
        self.door = BookDoor()

    async def send(self, *bodies: bytes, to: str = "orders", ids: list[str] | None = None, **fields) -> None:
        message = client().ServiceBusMessage
        sent = [
            message(body, message_id=identifier, **fields)
            for body, identifier in zip(bodies, ids or [None] * len(bodies), strict=True)
        ]
        async with self._client() as connected, connected.get_queue_sender(to) as sender:
            await sender.send_messages(sent)

    def sent_before(self, ago: timedelta) -> None:
        """All that are in the queue now."""
        for stored in self.namespace.queue("orders")._ready:
            stored.enqueued_at -= ago.total_seconds()

    async def dead_letters(self, entity: str = "orders") -> list:
        async with self._client() as connected, connected.get_queue_receiver(entity, sub_queue="deadletter") as found:
            return await found.peek_messages(10)

    def _client(self):
        return client().aio.ServiceBusClient.from_connection_string(self.text())

    def text(self, port: int | None = None) -> str:
        return self.peer.connection_string("root").replace(str(self.peer.port), str(port or self.peer.port))

    def counts(self, path: str = "orders") -> tuple[int, int, int]:
        return self.namespace.queue(path).counts

    @contextlib.asynccontextmanager
    async def listening(self, entity=ORDERS, *, port: int | None = None, door: BookDoor | None = None):
        source = ServiceBusSource("main", entity, lambda: receiver_of(self.text(port), entity, "moorage/churn/orders"))
        task = asyncio.create_task(source.run(door or self.door))
        try:
            yield task
        finally:
            task.cancel()
            async with asyncio.timeout(10):
                await asyncio.wait((task,))

    async def until(self, counts: tuple[int, int, int], path: str = "orders") -> None:
        async with asyncio.timeout(20):
            while self.counts(path) != counts:
                await asyncio.sleep(0.01)


@contextlib.asynccontextmanager
async def world_with(limits: Limits | None = None, declared: Declared | None = None) -> AsyncIterator[World]:
    namespace = Namespace(declared or Declared(), limits or Limits())
    async with Peer(namespace, SharedKeys({"root": SharedKey(KEY, None)})) as peer:
        made = World(peer, namespace)
        yield made
        await made.door.close()


@pytest.fixture
async def world() -> AsyncIterator[World]:
    async with world_with() as made:
        yield made


async def test_a_message_is_completed_after_its_outcome_and_not_before(world):
    world.door.gate.clear()
    await world.send(b'{"number": 7}', ids=["m-1"], application_properties={"tries": 1, "by": "shop"}, subject="placed")
    async with world.listening():
        await world.door.until(lambda: bool(world.door.runs))
        assert world.counts() == (0, 1, 0)
        world.door.gate.set()
        await world.until((0, 0, 0))
    (signal,) = world.door.runs
    assert signal.key == "orders/m-1"
    assert signal.input["body"] == b'{"number": 7}'
    assert signal.input["application_properties"] == {"tries": 1, "by": "shop"}
    assert (signal.input["subject"], signal.input["value"]) == ("placed", None)


async def test_the_record_is_the_message_of_the_sdk(world):
    from moorage_sdk import messages

    await world.send(b"x")
    async with world.listening():
        await world.until((0, 0, 0))
    assert isinstance(messages.brought(world.door.inputs[0]), messages.ServiceBusMessage)


async def test_subscriptions_are_listened_to(world):
    billing = entity_of(Trigger("servicebus", "orders", options={"subscription": "billing"}))
    async with world_with(declared=Declared((), {"orders": ("billing",)})) as other:
        async with other.listening(billing):
            await other.send(b"x")
            await other.door.until(lambda: bool(other.door.told))
        assert other.door.inputs[0]["entity"] == "orders/subscriptions/billing"


async def test_no_more_are_locked_than_the_door_has_slots(world):
    world.door.slots = 2
    world.door.gate.clear()
    await world.send(*[b"x"] * 6)
    async with world.listening():
        await world.door.until(lambda: len(world.door.runs) == 2)
        assert world.counts() == (4, 2, 0)
        world.door.gate.set()
        await world.until((0, 0, 0))
    assert world.door.most_at_once == 2
    assert len(world.door.runs) == 6


async def test_poison_is_dead_lettered_with_the_reason(world):
    world.door.fate = lambda _: Fate.POISON
    await world.send(b"x")
    async with world.listening():
        await world.until((1, 0, 0), "orders/$deadletterqueue")
    (message,) = await world.dead_letters()
    assert message.dead_letter_reason == "MoorageFailed"
    assert message.dead_letter_error_description == "Execution e-1 of churn failed: LookupError: no such order"


async def test_locks_are_renewed_for_as_long_as_the_work_takes():
    async with world_with(Limits(lock_seconds=0.6)) as world:
        world.door.gate.clear()
        await world.send(b"x")
        async with world.listening():
            await world.door.until(lambda: bool(world.door.runs))
            await asyncio.sleep(1.5)  # real time of the peer's locks
            assert world.counts() == (0, 1, 0)
            world.door.gate.set()
            await world.until((0, 0, 0))
        assert len(world.door.told) == 1


async def test_a_message_whose_lock_was_lost_joins_its_execution(world, monkeypatch):
    """It comes again; it is completed, and not run again."""
    monkeypatch.setattr("moorage.orchestrator.triggers.lock_renewal.LONGEST_WAIT", timedelta(seconds=60))
    monkeypatch.setattr("moorage.orchestrator.triggers.lock_renewal.RENEW_AFTER", 100.0)
    async with world_with(Limits(lock_seconds=0.3)) as other:
        other.door.gate.clear()
        await other.send(b"x")
        async with other.listening():
            await other.door.until(lambda: bool(other.door.runs))
            await asyncio.sleep(0.8)  # real time of the peer's locks
            other.door.gate.set()
            await other.until((0, 0, 0))
        assert len(other.door.runs) == 1


async def test_what_may_not_run_now_is_held_without_counting_deliveries(world, monkeypatch):
    for name in ("FIRST_PAUSE", "LONGEST_PAUSE"):
        monkeypatch.setattr(f"moorage.orchestrator.triggers.beside.{name}", timedelta(milliseconds=1))
    world.door.closed = True
    await world.send(b"x")
    async with world.listening():
        await world.door.until(lambda: world.door.refusals > 12)
        assert world.counts() == (0, 1, 0)
        world.door.closed = False
        await world.until((0, 0, 0))
    assert world.door.inputs[0]["delivery_count"] == 0


async def test_who_stops_listening_gives_back_at_once_what_was_not_settled(world):
    world.door.gate.clear()
    await world.send(b"x", b"y")
    async with world.listening():
        await world.door.until(lambda: len(world.door.runs) == 2)
    assert world.counts() == (2, 0, 0)
    world.door.gate.set()
    async with world.listening():
        await world.until((0, 0, 0))
    assert len(world.door.runs) == 2


async def test_a_message_sent_twice_is_run_once_and_one_of_the_same_name_later_again(world):
    """However long they wait for each other."""
    await world.send(b"x", b"x", ids=["daily", "daily"])
    world.sent_before(timedelta(minutes=11))
    await world.send(b"y", b"y", ids=["daily", "daily"])
    async with world.listening():
        await world.until((0, 0, 0))
    assert [message["body"] for message in world.door.inputs] == [b"x", b"y"]
    assert len({signal.key for signal in world.door.runs}) == 2


async def test_a_later_message_of_the_same_name_that_comes_again_joins_its_execution(world):
    await world.send(b"x", ids=["daily"])
    world.sent_before(timedelta(minutes=11))
    await world.send(b"y", ids=["daily"])
    world.door.gate.clear()
    async with world.listening():
        await world.door.until(lambda: bool(world.door.runs))
        world.door.gate.set()
        await world.door.until(lambda: bool(world.door.told))
        world.door.gate.clear()
        await world.door.until(lambda: len(world.door.runs) == 2)
    world.door.gate.set()
    async with world.listening():
        await world.until((0, 0, 0))
    assert [message["body"] for message in world.door.inputs] == [b"x", b"y"]


async def test_a_queue_that_is_made_anew_counts_from_one_again(world):
    await world.send(b"x", ids=["daily"])
    world.sent_before(timedelta(days=1))
    async with world.listening():
        await world.until((0, 0, 0))
    async with world_with() as anew:
        await anew.send(b"y", ids=["daily"])
        async with anew.listening(door=world.door):
            await anew.until((0, 0, 0))
    assert [message["body"] for message in world.door.inputs] == [b"x", b"y"]


async def test_what_cannot_be_read_is_dead_lettered(world, monkeypatch):
    def unreadable(message, entity):
        raise ValueError("its body is cut off")

    monkeypatch.setattr(servicebus.records, "record", unreadable)
    await world.send(b"x")
    async with world.listening():
        await world.until((1, 0, 0), "orders/$deadletterqueue")
    (message,) = await world.dead_letters()
    assert message.dead_letter_reason == "MoorageUnreadable"


async def test_an_entity_that_cannot_be_listened_to_is_a_sentence():
    async with world_with(declared=Declared(("others",))) as world, world.listening() as task:
        async with asyncio.timeout(10):
            with pytest.raises(SourceFailed, match="no entity orders") as failed:
                await task
        assert KEY not in str(failed.value)


@pytest.mark.parametrize("fault", ["reset", "stall"])
async def test_a_connection_that_breaks_loses_nothing(world, fault, monkeypatch):
    monkeypatch.setattr("moorage.broker.services.servicebus.line.ATTEMPT_SECONDS", 1.0)
    monkeypatch.setattr(servicebus, "SILENCE", timedelta(seconds=0.5))
    async with FaultProxy(world.peer.port) as proxy:
        world.door.gate.clear()
        await world.send(b"x")
        async with world.listening(port=proxy.port):
            await world.door.until(lambda: bool(world.door.runs))
            getattr(proxy, fault)()
            world.door.gate.set()
            await asyncio.sleep(0.3)
            await world.send(b"y")
            proxy.heal()
            await world.door.until(lambda: len(world.door.runs) == 2)
            await world.until((0, 0, 0))


async def test_a_namespace_that_stays_away_ends_the_source_in_time(world, monkeypatch):
    monkeypatch.setattr("moorage.broker.services.servicebus.line.ATTEMPT_SECONDS", 0.5)
    monkeypatch.setattr(servicebus, "SILENCE", timedelta(seconds=0.5))
    async with FaultProxy(world.peer.port) as proxy:
        await world.send(b"x")
        async with world.listening(port=proxy.port) as task:
            await world.until((0, 0, 0))
            proxy.stall()
            async with asyncio.timeout(20):
                with pytest.raises(SourceFailed, match="did not"):
                    await task
