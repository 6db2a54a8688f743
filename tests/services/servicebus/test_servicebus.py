"""The contract of the Service Bus service, over each kind of namespace."""

from __future__ import annotations

import time
import uuid
from datetime import UTC, datetime

import pytest
from servicebus_worlds import World

from moorage_proto import servicebus_pb2, values
from moorage_proto.errors import CallError, Reason

Message = servicebus_pb2.ServiceBusMessage
Settlement = servicebus_pb2.ServiceBusSettleRequest.Settlement


async def send(world: World, entity: str, *bodies: bytes) -> None:
    await world.call("send", entity=entity, messages=[Message(body=body) for body in bodies])


async def receiver_of(world: World, entity: str, **options: bool) -> int:
    return (await world.call("open_receiver", entity=entity, **options)).receiver


async def receive(world: World, receiver: int, most: int = 1, wait_millis: int = 5000) -> list:
    found = await world.call("receive", receiver=receiver, max_messages=most, max_wait_millis=wait_millis)
    return list(found.messages)


async def settle(world: World, receiver: int, message, how, **fields: str) -> None:
    await world.call("settle", receiver=receiver, delivery=message.delivery, settlement=how, **fields)


async def bodies(world: World, entity: str, most: int = 10) -> list[bytes]:
    """What waits there, which is taken."""
    receiver = await receiver_of(world, entity, receive_and_delete=True)
    found = await receive(world, receiver, most, 300)
    await world.call("close_receiver", receiver=receiver)
    return [message.message.body for message in found]


async def test_a_message_arrives_whole(world: World) -> None:
    at = datetime(2026, 11, 20, 6, tzinfo=UTC)
    properties = {"text": "grün", "number": 7, "big": 2**40, "real": 0.5, "yes": True, "raw": b"abc", "at": at}
    key = uuid.uuid4()
    message = Message(
        body=b"\x00body",
        application_properties=values.record_to_wire({**properties, "key": key, "none": None}),
        message_id="m-1",
        correlation_id="c-1",
        content_type="text/plain",
        subject="plays",
        to="you",
        reply_to="me",
        reply_to_session_id="s-2",
        time_to_live_millis=3_600_000,
    )
    before = time.time() * 1000
    await world.call("send", entity="orders", messages=[message])
    (found,) = await receive(world, await receiver_of(world, "orders"))
    for field in Message.DESCRIPTOR.fields:
        if field.name != "application_properties":
            assert getattr(found.message, field.name) == getattr(message, field.name)
    arrived = values.record_from_wire(found.message.application_properties)
    assert arrived.pop("at") in (at, int(at.timestamp() * 1000))
    assert arrived.pop("text") == "grün".encode()
    assert arrived == {
        "number": 7,
        "big": 2**40,
        "real": 0.5,
        "yes": True,
        "raw": b"abc",
        "key": key,
        "none": None,
    }
    assert (found.sequence_number, found.delivery_count, found.state) == (1, 0, 0)
    assert found.enqueued_time_millis == pytest.approx(before, abs=5000)
    assert found.locked_until_millis > before
    assert len(found.lock_token) == 16


async def test_messages_are_sent_together_and_received_in_their_order(world: World) -> None:
    await send(world, "orders", b"1", b"2", b"3")
    receiver = await receiver_of(world, "orders")
    found = await receive(world, receiver, 10)
    assert [message.message.body for message in found] == [b"1", b"2", b"3"]
    assert [message.sequence_number for message in found] == [1, 2, 3]


async def test_who_waits_in_vain_gets_nothing(world: World) -> None:
    receiver = await receiver_of(world, "orders")
    assert await receive(world, receiver, 5, 100) == []


async def test_completed_is_gone_and_abandoned_comes_again(world: World) -> None:
    await send(world, "orders", b"1", b"2")
    receiver = await receiver_of(world, "orders")
    first, second = await receive(world, receiver, 2)
    await settle(world, receiver, first, Settlement.COMPLETE)
    await settle(world, receiver, second, Settlement.ABANDON)
    (again,) = await receive(world, receiver)
    assert (again.message.body, again.delivery_count) == (b"2", 1)
    await settle(world, receiver, again, Settlement.COMPLETE)
    assert await bodies(world, "orders") == []


async def test_deferred_is_received_by_its_number_alone(world: World) -> None:
    await send(world, "orders", b"1", b"2")
    receiver = await receiver_of(world, "orders")
    (first,) = await receive(world, receiver)
    await settle(world, receiver, first, Settlement.DEFER)
    (second,) = await receive(world, receiver)
    assert second.message.body == b"2"
    found = await world.call("receive_deferred", receiver=receiver, sequence_numbers=[first.sequence_number])
    (deferred,) = found.messages
    assert (deferred.message.body, deferred.state) == (b"1", 1)
    await settle(world, receiver, deferred, Settlement.COMPLETE)
    with pytest.raises(CallError) as gone:
        await world.call("receive_deferred", receiver=receiver, sequence_numbers=[first.sequence_number])
    assert gone.value.reason == Reason.BACKEND_FAILED


async def test_dead_letters_have_their_reason_and_a_queue_of_their_own(world: World) -> None:
    await send(world, "orders", b"bad")
    receiver = await receiver_of(world, "orders")
    (bad,) = await receive(world, receiver)
    await settle(world, receiver, bad, Settlement.DEAD_LETTER, reason="unreadable", error_description="no amount")
    assert await bodies(world, "orders") == []
    graves = await receiver_of(world, "orders/$DeadLetterQueue")
    (dead,) = await receive(world, graves)
    assert (dead.message.body, dead.dead_letter_reason) == (b"bad", "unreadable")
    assert (dead.dead_letter_error_description, dead.dead_letter_source) == ("no amount", "orders")
    await settle(world, graves, dead, Settlement.COMPLETE)


async def test_what_comes_back_ten_times_is_dead(world: World) -> None:
    await send(world, "orders", b"poison")
    receiver = await receiver_of(world, "orders")
    for count in range(10):
        (message,) = await receive(world, receiver)
        assert message.delivery_count == count
        await settle(world, receiver, message, Settlement.ABANDON)
    (dead,) = await receive(world, await receiver_of(world, "orders/$deadletterqueue"))
    assert dead.dead_letter_reason == "MaxDeliveryCountExceeded"


async def test_looking_takes_nothing(world: World) -> None:
    await send(world, "orders", b"1", b"2", b"3")
    receiver = await receiver_of(world, "orders")
    seen = [
        message.message.body
        for most in (2, 2, 2)
        for message in (await world.call("peek", receiver=receiver, max_messages=most)).messages
    ]
    assert seen == [b"1", b"2", b"3"]
    (again,) = (await world.call("peek", receiver=receiver, from_sequence_number=2)).messages
    assert (again.message.body, again.delivery) == (b"2", 0)
    assert await bodies(world, "orders") == [b"1", b"2", b"3"]


async def test_a_lock_is_renewed(world: World) -> None:
    await send(world, "orders", b"1")
    receiver = await receiver_of(world, "orders")
    (message,) = await receive(world, receiver)
    renewed = await world.call("renew_lock", receiver=receiver, delivery=message.delivery)
    assert renewed.locked_until_millis >= message.locked_until_millis
    await settle(world, receiver, message, Settlement.COMPLETE)


@pytest.mark.parametrize("how", [Settlement.COMPLETE, Settlement.ABANDON, Settlement.DEAD_LETTER])
async def test_what_is_settled_cannot_be_settled_again(world: World, how) -> None:
    await send(world, "orders", b"1")
    receiver = await receiver_of(world, "orders")
    (message,) = await receive(world, receiver)
    await settle(world, receiver, message, Settlement.COMPLETE)
    for attempt in (settle(world, receiver, message, how), renew(world, receiver, message)):
        with pytest.raises(CallError) as refused:
            await attempt
        assert refused.value.reason == Reason.MESSAGE_LOCK_LOST


async def renew(world: World, receiver: int, message) -> None:
    await world.call("renew_lock", receiver=receiver, delivery=message.delivery)


async def test_received_and_deleted_is_gone_and_needs_no_settling(world: World) -> None:
    await send(world, "orders", b"1", b"2")
    receiver = await receiver_of(world, "orders", receive_and_delete=True)
    found = await receive(world, receiver, 2)
    assert [(message.message.body, message.delivery) for message in found] == [(b"1", 0), (b"2", 0)]
    await world.end_scope()
    assert await bodies(world, "orders") == []


async def test_scheduled_waits_and_can_be_cancelled(world: World) -> None:
    later = int(time.time() * 1000) + 3_600_000
    scheduled = await world.call(
        "schedule", entity="orders", messages=[Message(body=b"1"), Message(body=b"2")], enqueue_time_millis=later
    )
    first, second = scheduled.sequence_numbers
    receiver = await receiver_of(world, "orders")
    looked = (await world.call("peek", receiver=receiver, max_messages=5)).messages
    assert [(each.message.body, each.state) for each in looked] == [(b"1", 2), (b"2", 2)]
    assert looked[0].message.scheduled_enqueue_time_millis == later
    await world.call("cancel_scheduled", entity="orders", sequence_numbers=[first, second])
    with pytest.raises(CallError) as gone:
        await world.call("cancel_scheduled", entity="orders", sequence_numbers=[first])
    assert gone.value.reason == Reason.BACKEND_FAILED
    assert await bodies(world, "orders") == []


async def test_every_subscription_of_a_topic_gets_a_copy(world: World) -> None:
    billing = await receiver_of(world, "orders/Subscriptions/billing")
    audit = await receiver_of(world, "orders/subscriptions/audit")
    await send(world, "orders", b"1")
    for receiver in (billing, audit):
        (message,) = await receive(world, receiver)
        assert message.message.body == b"1"
        await settle(world, receiver, message, Settlement.DEAD_LETTER)
    assert await bodies(world, "orders/subscriptions/audit/$deadletterqueue") == [b"1"]


async def test_names_have_no_case(world: World) -> None:
    await send(world, "Orders", b"1")
    assert await bodies(world, "oRDERS") == [b"1"]


@pytest.mark.parametrize("how", ["close_receiver", "scope"])
async def test_what_nobody_settled_is_abandoned_at_once(world: World, how: str) -> None:
    await send(world, "orders", b"1", b"2", b"3")
    receiver = await receiver_of(world, "orders")
    first, _, _ = await receive(world, receiver, 3)
    await settle(world, receiver, first, Settlement.COMPLETE)
    if how == "scope":
        await world.end_scope()
    else:
        await world.call("close_receiver", receiver=receiver)
    with pytest.raises(CallError) as gone:
        await receive(world, receiver)
    assert gone.value.reason == Reason.HANDLE_UNKNOWN
    again = await receive(world, await receiver_of(world, "orders"), 5)
    assert [(message.message.body, message.delivery_count) for message in again] == [(b"2", 1), (b"3", 1)]


async def test_a_batch_that_is_too_large_gets_a_sentence_and_nothing_arrives(kind: str, world: World) -> None:
    if kind == "fake":
        return
    with pytest.raises(CallError, match="larger than the Service Bus namespace 'main' takes") as refused:
        await send(world, "orders", b"x" * 700_000, b"y" * 700_000)
    assert refused.value.reason == Reason.MESSAGE_TOO_LARGE
    await send(world, "orders", b"small")
    assert await bodies(world, "orders") == [b"small"]


@pytest.mark.parametrize(
    "message",
    [
        {"message_id": "x" * 129},
        {"session_id": "x" * 129},
        {"session_id": "a", "partition_key": "b"},
        {"time_to_live_millis": 0},
        {"time_to_live_millis": 2**40},
        {"scheduled_enqueue_time_millis": 2**62},
        {"application_properties": values.record_to_wire({"list": [1]})},
        {"application_properties": values.record_to_wire({"big": 2**70})},
        {"application_properties": values.record_to_wire({"raw": b"\xff"})},
    ],
    ids=str,
)
async def test_what_cannot_be_sent_gets_a_sentence(kind: str, world: World, message: dict) -> None:
    if kind == "fake":
        return
    with pytest.raises(CallError, match="cannot be sent") as refused:
        await world.call("send", entity="orders", messages=[Message(**message)])
    assert refused.value.reason == Reason.REQUEST_INVALID


async def test_an_unknown_namespace_is_named(kind: str, world: World) -> None:
    if kind == "fake":
        return
    for method in ("send", "open_receiver"):
        fields = {"messages": [Message()]} if method == "send" else {}
        with pytest.raises(CallError) as refused:
            await world.call(method, backend="nope", entity="orders", **fields)
        assert refused.value.reason in (Reason.CAPABILITY_MISSING, Reason.BACKEND_UNKNOWN)
