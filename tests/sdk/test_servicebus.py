import re
import uuid
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Optional

import pytest
from azure.servicebus import ServiceBusMessage as AzureMessage
from azure.servicebus import ServiceBusReceiveMode as AzureReceiveMode
from azure.servicebus import ServiceBusSubQueue as AzureSubQueue

from moorage_sdk import BackendError, CapabilityMissing, MoorageError, Plugin, ScopeClosed
from moorage_sdk.servicebus import (
    MessageAlreadySettled,
    MessageLockLostError,
    MessageSizeExceededError,
    ServiceBusClient,
    ServiceBusMessage,
    ServiceBusMessageState,
    ServiceBusReceiveMode,
    ServiceBusSubQueue,
)
from moorage_sdk.servicebus import aio as servicebus_aio

LATER = datetime(2100, 1, 1, tzinfo=timezone.utc)


@pytest.fixture
def bus(kit):
    kit.grant("servicebus.send:**", "servicebus.receive:**")
    return kit.servicebus


def run(kit, body):
    """Runs the function as a task."""
    plugin = Plugin()
    plugin.task(name="execute")(body)
    return kit.run(body).result


def test_sending_one_many_and_a_batch(kit, bus):
    def execute(client: ServiceBusClient) -> None:
        with client.get_queue_sender("orders") as sender:
            sender.send_messages(ServiceBusMessage("grün", subject="s", application_properties={"n": 1}))
            sender.send_messages([ServiceBusMessage(b"2"), ServiceBusMessage("3")])
            batch = sender.create_message_batch()
            batch.add_message(ServiceBusMessage("4"))
            assert len(batch) == 1
            sender.send_messages(batch)
            sender.send_messages([])
        with pytest.raises(ScopeClosed):
            sender.send_messages(ServiceBusMessage("5"))

    run(kit, execute)
    assert bus.bodies("orders") == ["grün".encode(), b"2", b"3", b"4"]
    first = bus.sent("Orders")[0]
    assert (str(first), first.subject, first.application_properties) == ("grün", "s", {b"n": 1})
    assert [str(message) for message in bus.waiting("orders")] == ["grün", "2", "3", "4"]


def test_azures_own_messages_are_sent_too(kit, bus):
    key = uuid.uuid4()
    message = AzureMessage(
        ["a", "b"][0],
        application_properties={"text": "x", b"raw": b"y", "key": key, "at": LATER},
        message_id="m",
        session_id="s",
        time_to_live=timedelta(seconds=5),
        scheduled_enqueue_time_utc=LATER,
    )

    def execute(client: ServiceBusClient) -> None:
        client.get_topic_sender("orders").send_messages([message, AzureMessage(b"\x00")])

    run(kit, execute)
    sent, second = bus.sent("orders")
    assert (str(sent), sent.message_id, sent.session_id) == ("a", "m", "s")
    assert (sent.time_to_live, sent.scheduled_enqueue_time_utc) == (timedelta(seconds=5), LATER)
    assert sent.application_properties == {b"text": b"x", b"raw": b"y", b"key": key, b"at": LATER}
    assert b"".join(second.body) == b"\x00"


def test_receiving_and_each_way_of_settling(kit, bus):
    for body in ("1", "2", "3", "4", "5"):
        bus.put("orders", body, message_id=f"m-{body}")

    def execute(client: ServiceBusClient) -> None:
        with client.get_queue_receiver("orders") as receiver:
            done, again, later, bad = receiver.receive_messages(max_message_count=4, max_wait_time=1)
            assert (done.message_id, done.delivery_count, done.sequence_number) == ("m-1", 0, 1)
            assert done.lock_token is not None
            before = done.locked_until_utc
            assert receiver.renew_message_lock(done) >= before
            receiver.complete_message(done)
            receiver.abandon_message(again)
            receiver.defer_message(later)
            receiver.dead_letter_message(bad, reason="bad", error_description="very")
            for settle in (receiver.complete_message, receiver.renew_message_lock):
                with pytest.raises(MessageAlreadySettled):
                    settle(done)
            (returned,) = receiver.receive_deferred_messages(later.sequence_number)
            assert returned.state is ServiceBusMessageState.DEFERRED
            receiver.defer_message(returned)
            assert [str(message) for message in receiver.peek_messages(9)] == ["2", "3", "5"]
            with pytest.raises(ValueError, match="peeked at"):
                receiver.complete_message(receiver.peek_messages(sequence_number=1)[0])

    run(kit, execute)
    assert [str(message) for message in bus.completed("orders")] == ["1"]
    assert [(str(message), message.delivery_count) for message in bus.waiting("orders")] == [("2", 1), ("5", 0)]
    assert [str(message) for message in bus.deferred("orders")] == ["3"]
    (letter,) = bus.dead_letters("orders")
    assert (letter.dead_letter_reason, letter.dead_letter_error_description) == ("bad", "very")
    assert letter.dead_letter_source == "orders"


def test_what_a_task_leaves_unsettled_is_abandoned(kit, bus):
    bus.put("orders", "1")

    def execute(client: ServiceBusClient) -> None:
        client.get_queue_receiver("orders").receive_messages()

    run(kit, execute)
    (message,) = bus.waiting("orders")
    assert message.delivery_count == 1


def test_iterating_ends_when_nothing_comes(kit, bus):
    for body in ("1", "2"):
        bus.put("orders", body)

    def execute(client: ServiceBusClient) -> int:
        receiver = client.get_queue_receiver("orders", max_wait_time=1)
        for message in receiver:
            receiver.complete_message(message)
        return len(bus.completed("orders"))

    assert run(kit, execute) == 2

    def endless(client: ServiceBusClient) -> None:
        for _ in client.get_queue_receiver("orders"):
            pass

    with pytest.raises(BackendError, match="for ever"):
        run(kit, endless)


def test_subscriptions_sub_queues_and_modes(kit, bus):
    bus.subscribe("news", "mine")
    bus.put("news", "1")
    bus.put("news/subscriptions/mine/$deadletterqueue", "dead")

    def execute(client: ServiceBusClient) -> None:
        mine = client.get_subscription_receiver("news", "mine", receive_mode=AzureReceiveMode.RECEIVE_AND_DELETE)
        (message,) = mine.receive_messages()
        with pytest.raises(ValueError, match="RECEIVE_AND_DELETE"):
            mine.complete_message(message)
        for sub_queue in (ServiceBusSubQueue.DEAD_LETTER, AzureSubQueue.DEAD_LETTER, "deadletter"):
            letters = client.get_subscription_receiver("news", "mine", sub_queue=sub_queue)
            assert letters.entity_path == "news/subscriptions/mine/$deadletterqueue"
            (letter,) = letters.receive_messages()
            letters.abandon_message(letter)
        with pytest.raises(ValueError, match="sub-queue"):
            client.get_queue_receiver("news", sub_queue=AzureSubQueue.TRANSFER_DEAD_LETTER)
        with pytest.raises(NotImplementedError, match="sessions"):
            client.get_queue_receiver("news", session_id="s")
        client.get_queue_receiver("other", receive_mode="peeklock", prefetch_count=5, auto_lock_renewer=object())

    run(kit, execute)
    assert bus.waiting("news/subscriptions/mine") == []


def test_scheduling_and_cancelling(kit, bus):
    def execute(client: ServiceBusClient) -> None:
        sender = client.get_queue_sender("orders")
        first, second = sender.schedule_messages([ServiceBusMessage("1"), AzureMessage("2")], LATER)
        sender.cancel_scheduled_messages(first)
        with pytest.raises(BackendError):
            sender.cancel_scheduled_messages([first, second])
        assert sender.schedule_messages([], LATER) == []

    run(kit, execute)
    (waiting,) = bus.scheduled("orders")
    assert (str(waiting), waiting.scheduled_enqueue_time_utc) == ("2", LATER)
    assert bus.sent("orders") == []


def test_a_batch_has_a_size(kit, bus):
    def execute(client: ServiceBusClient) -> int:
        batch = client.get_queue_sender("orders").create_message_batch(max_size_in_bytes=1000)
        with pytest.raises(ValueError, match="1,000 are its limit"):
            batch.add_message(ServiceBusMessage("x" * 1000))
        while True:
            try:
                batch.add_message(ServiceBusMessage("x" * 100))
            except MessageSizeExceededError:
                return len(batch)

    assert run(kit, execute) == 5


def test_a_lock_that_was_lost(kit, bus):
    bus.put("orders", "1")

    def execute(client: ServiceBusClient) -> None:
        receiver = client.get_queue_receiver("orders")
        (message,) = receiver.receive_messages()
        bus.expire_locks("orders")
        with pytest.raises(MessageLockLostError) as lost:
            receiver.complete_message(message)
        assert isinstance(lost.value, MoorageError)

    run(kit, execute)
    assert bus.waiting("orders")[0].delivery_count == 1


def test_what_ten_tasks_give_back_is_a_dead_letter(kit, bus):
    bus.put("orders", "poison")

    def execute(client: ServiceBusClient) -> None:
        client.get_queue_receiver("orders").receive_messages()

    for _ in range(10):
        run(kit, execute)
    assert bus.dead_letters("orders")[0].dead_letter_reason == "MaxDeliveryCountExceeded"


def test_a_service_bus_that_fails(kit, bus):
    bus.fail("orders")

    def execute(client: ServiceBusClient) -> None:
        client.get_queue_sender("orders").send_messages(ServiceBusMessage("1"))

    with pytest.raises(BackendError, match="does not answer"):
        run(kit, execute)


def test_what_was_not_granted_is_refused(kit):
    kit.grant("servicebus.send:orders", "servicebus.receive:orders")

    def execute(client: ServiceBusClient) -> None:
        client.get_queue_sender("orders").send_messages(ServiceBusMessage("1"))
        client.get_queue_receiver("Orders").receive_messages()
        with pytest.raises(CapabilityMissing, match=r"servicebus\.send:other"):
            client.get_queue_sender("other").send_messages(ServiceBusMessage("1"))
        with pytest.raises(CapabilityMissing, match=r"servicebus\.receive:orders/\$deadletterqueue"):
            client.get_queue_receiver("orders", sub_queue=ServiceBusSubQueue.DEAD_LETTER).receive_messages()

    run(kit, execute)
    assert len(kit.denials) == 2


def test_optional_is_none_without_a_grant(kit):
    def execute(client: Optional[ServiceBusClient], other: Optional[servicebus_aio.ServiceBusClient]) -> bool:
        return client is None and other is None

    assert run(kit, execute)


def test_a_client_does_not_outlive_its_task(kit, bus):
    kept = []

    def execute(client: ServiceBusClient) -> None:
        kept.append(client)

    run(kit, execute)
    with pytest.raises(ScopeClosed):
        kept[0].get_queue_sender("orders")


@pytest.mark.parametrize(
    ("message", "problem"),
    [("text", "a ServiceBusMessage is expected"), (None, "a ServiceBusMessage is expected")],
)
def test_what_is_no_message(kit, bus, message, problem):
    def execute(client: ServiceBusClient) -> None:
        with pytest.raises(TypeError, match=problem):
            client.get_queue_sender("orders").send_messages(message)
        with pytest.raises(TypeError):
            ServiceBusMessage(7)
        with pytest.raises(TypeError):
            client.get_queue_receiver("orders").complete_message(AzureMessage("x"))
        for wrong in ({"max_message_count": 0}, {"max_wait_time": 0}):
            with pytest.raises(ValueError, match="greater than 0"):
                client.get_queue_receiver("orders").receive_messages(**wrong)

    run(kit, execute)


def test_the_async_client_has_the_same_names(kit, bus):
    for body in ("1", "2", "3", "4"):
        bus.put("orders", body)

    async def execute(client: servicebus_aio.ServiceBusClient) -> None:
        async with client.get_queue_sender("invoices") as sender:
            batch = await sender.create_message_batch()
            batch.add_message(ServiceBusMessage("a"))
            await sender.send_messages(batch)
            numbers = await sender.schedule_messages(AzureMessage("b"), LATER)
            await sender.cancel_scheduled_messages(numbers)
        async with client.get_queue_receiver("orders", max_wait_time=1) as receiver:
            first, second, third = await receiver.receive_messages(3)
            await receiver.renew_message_lock(first)
            await receiver.abandon_message(first)
            await receiver.defer_message(second)
            await receiver.dead_letter_message(third, reason="bad")
            await receiver.complete_message((await receiver.receive_deferred_messages([second.sequence_number]))[0])
            assert [str(message) for message in await receiver.peek_messages(5)] == ["1", "4"]
            async for message in receiver:
                await receiver.complete_message(message)
        mode = ServiceBusReceiveMode.RECEIVE_AND_DELETE
        async with client.get_subscription_receiver("news", "mine", receive_mode=mode) as news:
            assert await news.receive_messages(max_wait_time=0.1) == []
        await client.close()
        with pytest.raises(ScopeClosed):
            client.get_topic_sender("news")

    run(kit, execute)
    assert bus.bodies("invoices") == [b"a"]
    assert [str(message) for message in bus.completed("orders")] == ["2", "1", "4"]


def test_the_sync_client_closes_its_receivers(kit, bus):
    bus.put("orders", "1")

    def execute(client: ServiceBusClient) -> None:
        with client:
            client.get_queue_receiver("orders").receive_messages()
        assert bus.waiting("orders")[0].delivery_count == 1

    run(kit, execute)


def test_the_examples_of_the_page_run(kit, bus):
    page = (Path(__file__).parents[2] / "docs" / "services" / "servicebus.md").read_text(encoding="utf-8")
    task, test = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    names = {"plugin": Plugin()}
    exec(task + test, names)
    names["test_invoices"](kit)
