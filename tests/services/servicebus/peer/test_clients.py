"""Azure's own clients, sync and asyncio, against the peer over TCP."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime, timedelta

import pytest
from azure.servicebus import (
    ServiceBusClient,
    ServiceBusMessage,
    ServiceBusReceiveMode,
    ServiceBusSubQueue,
    exceptions,
)
from azure.servicebus import aio as azure_aio
from servers.servicebus import ServiceBusServer, servicebus_server

from moorage.broker.services.servicebus.peer import Limits, Namespace, Peer, Right, SharedKeys
from moorage.broker.services.servicebus.peer.sas import SharedKey

pytestmark = pytest.mark.system

KEYS = SharedKeys({"root": SharedKey("c2VjcmV0"), "clerk": SharedKey("b3RoZXI=", {Right.SEND: frozenset({"orders"})})})


@pytest.fixture
async def peer() -> AsyncIterator[Peer]:
    async with Peer(Namespace(limits=Limits(lock_seconds=0.3)), KEYS) as opened:
        yield opened


@contextlib.asynccontextmanager
async def client(peer: Peer, key: str = "root") -> AsyncIterator[azure_aio.ServiceBusClient]:
    text = peer.connection_string(key)
    async with azure_aio.ServiceBusClient.from_connection_string(text, retry_total=0) as opened:
        yield opened


async def one(receiver, *, within: float = 5):
    (message,) = await receiver.receive_messages(max_message_count=1, max_wait_time=within)
    return message


async def test_the_aio_client_does_all_of_it(peer: Peer) -> None:
    async with client(peer) as azure, azure.get_queue_sender("orders") as sender:
        batch = await sender.create_message_batch()
        for number in range(4):
            batch.add_message(ServiceBusMessage(str(number), application_properties={"n": number}))
        await sender.send_messages(batch)
        async with azure.get_queue_receiver("orders") as receiver:
            messages = await receiver.receive_messages(max_message_count=4, max_wait_time=5)
            assert [str(message) for message in messages] == ["0", "1", "2", "3"]
            completed, abandoned, deferred, dead = messages
            await receiver.renew_message_lock(completed)
            await receiver.complete_message(completed)
            with pytest.raises(exceptions.MessageAlreadySettled):
                await receiver.complete_message(completed)
            await receiver.abandon_message(abandoned)
            await receiver.defer_message(deferred)
            await receiver.dead_letter_message(dead, reason="bad", error_description="very")
            again = await one(receiver)
            assert (str(again), again.delivery_count) == ("1", 1)
            (back,) = await receiver.receive_deferred_messages(deferred.sequence_number)
            await receiver.complete_message(back)
            await receiver.complete_message(again)
            assert await receiver.peek_messages(10) == []
        letters = azure.get_queue_receiver("orders", sub_queue=ServiceBusSubQueue.DEAD_LETTER)
        async with letters:
            letter = await one(letters)
            assert (letter.dead_letter_reason, letter.dead_letter_error_description) == ("bad", "very")


async def test_a_lock_expires_and_whoever_comes_late_is_told(peer: Peer) -> None:
    async with client(peer) as azure, azure.get_queue_sender("orders") as sender:
        await sender.send_messages(ServiceBusMessage("1"))
        async with azure.get_queue_receiver("orders") as first, azure.get_queue_receiver("orders") as second:
            late = await one(first)
            again = await one(second)
            assert again.delivery_count == 1
            for settle in (first.complete_message, first.renew_message_lock):
                with pytest.raises(exceptions.MessageLockLostError):
                    await settle(late)
            await second.complete_message(again)


async def test_scheduled_messages_arrive_and_topics_copy(peer: Peer) -> None:
    async with client(peer) as azure:
        receivers = [azure.get_subscription_receiver("news", name) for name in ("a", "b")]
        for receiver in receivers:
            await receiver.__aenter__()
        async with azure.get_topic_sender("news") as sender:
            soon = datetime.now(UTC) + timedelta(seconds=0.2)
            numbers = await sender.schedule_messages([ServiceBusMessage("1"), ServiceBusMessage("2")], soon)
            await sender.cancel_scheduled_messages(numbers[0])
            for receiver in receivers:
                assert str(await one(receiver)) == "2"
                await receiver.close()


async def test_what_is_large_comes_in_several_frames(peer: Peer) -> None:
    async with client(peer) as azure, azure.get_queue_sender("orders") as sender:
        await sender.send_messages(ServiceBusMessage(b"x" * 900_000))
        with pytest.raises(exceptions.ServiceBusError):
            await sender.send_messages(ServiceBusMessage(b"x" * 1_100_000))
        mode = ServiceBusReceiveMode.RECEIVE_AND_DELETE
        async with azure.get_queue_receiver("orders", receive_mode=mode) as receiver:
            assert len(b"".join((await one(receiver)).body)) == 900_000


async def test_a_key_without_the_right_gets_nowhere(peer: Peer) -> None:
    async with client(peer, "clerk") as azure:
        async with azure.get_queue_sender("orders") as sender:
            await sender.send_messages(ServiceBusMessage("1"))
        for refused in (azure.get_queue_sender("mail"), azure.get_queue_receiver("orders")):
            with pytest.raises((exceptions.ServiceBusAuthenticationError, exceptions.ServiceBusAuthorizationError)):
                await refused.__aenter__()
            await refused.close()


@pytest.fixture(scope="module")
def server() -> Iterator[ServiceBusServer]:
    with servicebus_server(queues=["orders"], topics={"news": ["a"]}) as started:
        yield started


async def test_the_sync_client_in_front_of_another_process(server: ServiceBusServer) -> None:
    await asyncio.to_thread(_exchange, server.connection_string())


def _exchange(text: str) -> None:
    with ServiceBusClient.from_connection_string(text, retry_total=0) as azure:
        with azure.get_queue_sender("orders") as sender:
            sender.send_messages([ServiceBusMessage("1"), ServiceBusMessage("2")])
        with azure.get_queue_receiver("orders", max_wait_time=0.5) as receiver:
            for message in receiver:
                receiver.complete_message(message)
            assert receiver.peek_messages() == []
        with azure.get_topic_sender("news") as sender:
            sender.send_messages(ServiceBusMessage("3"))
        with azure.get_subscription_receiver("news", "a", max_wait_time=5) as receiver:
            message = next(receiver)
            receiver.dead_letter_message(message, reason="bad")
        with pytest.raises(exceptions.ServiceBusError), azure.get_queue_receiver("other"):
            pass
