import asyncio
import concurrent.futures
import threading
from datetime import datetime, timezone

import pytest

from moorage_proto import kafka_pb2
from moorage_sdk import BackendError, CapabilityMissing, Plugin, QuotaExceeded, ScopeClosed
from moorage_sdk.kafka import Producer
from moorage_sdk.services import kafka


class SlowChannel:
    """Answers when the test says so."""

    def __init__(self):
        self.futures = []

    def submit(self, method, request, *, timeout=None):
        self.futures.append(concurrent.futures.Future())
        return self.futures[-1]

    def acknowledge(self, index=0):
        self.futures[index].set_result(kafka_pb2.ProduceReply(partition=1, offset=7, timestamp_millis=5))


@pytest.fixture
def channel():
    return SlowChannel()


@pytest.fixture
def producer(channel):
    return Producer(channel, "main")


def test_a_message_with_everything(kit):
    plugin = Plugin()

    @plugin.task
    def execute(kafka: Producer) -> int:
        sent = kafka.send(
            "plugin-topic",
            "grüß",
            key=b"k",
            headers={"a": "1", "b": None},
            partition=2,
            timestamp=datetime(2026, 11, 20, tzinfo=timezone.utc),
        )
        receipt = sent.result(timeout=5)
        kafka.send("plugin-topic", None, headers=[("a", b"1"), ("a", b"2")])
        assert (receipt.topic, receipt.partition) == ("plugin-topic", 2)
        return receipt.offset

    assert kit.run(execute).result == 0
    first, second = kit.kafka.messages("plugin-topic")
    assert first.value == "grüß".encode()
    assert (first.key, first.headers, first.partition) == (b"k", (("a", b"1"), ("b", None)), 2)
    assert first.timestamp_millis == 1795132800000
    assert (second.value, second.key, second.headers) == (None, None, (("a", b"1"), ("a", b"2")))


def test_an_unseen_failure_fails_the_task(kit):
    plugin = Plugin()

    @plugin.task
    def careless(kafka: Producer) -> None:
        kafka.send("plugin-topic", "x")

    @plugin.task
    async def careful(kafka: Producer) -> str:
        try:
            await kafka.send("plugin-topic", "x")
        except BackendError as error:
            return str(error)
        return "sent"

    assert kit.run(careless).error is None
    kit.kafka.fail("plugin-topic")
    assert isinstance(kit.run(careless).error, BackendError)
    assert "Kafka has not taken the message" in kit.run(careful).result


def test_a_topic_outside_the_grant(kit):
    plugin = Plugin()

    @plugin.task
    def execute(kafka: Producer) -> None:
        kafka.send("other", "x").result(5)

    error = kit.run(execute).error
    assert isinstance(error, CapabilityMissing)
    assert error.capability == "kafka.produce:other"
    assert error.remedy == "moorage grant churn 'kafka.produce:other'"
    assert kit.kafka.values("other") == []
    assert kit.denials == [str(error)]
    kit.grant("kafka.produce:other")
    assert kit.run(execute).error is None


def test_result_waits_no_longer_than_asked(producer, channel):
    delivery = producer.send("t", "x")
    with pytest.raises(TimeoutError, match=r"Kafka has not acknowledged the message to t in 0\.01 s"):
        delivery.result(timeout=0.01)
    channel.acknowledge()
    assert delivery.result(timeout=0).offset == 7
    assert delivery.done()


def test_flush(producer, channel):
    producer.send("t", "x")
    with pytest.raises(TimeoutError, match=r"1 messages are not acknowledged after 0\.01 s"):
        producer.flush(timeout=0.01)
    threading.Timer(0.01, channel.acknowledge).start()
    producer.flush(timeout=10)
    producer.flush(timeout=0)


async def test_finish_waits_for_what_is_under_way(producer, channel):
    producer.send("t", "x")
    finishing = asyncio.ensure_future(producer.finish(True))
    await asyncio.sleep(0)
    assert not finishing.done()
    channel.acknowledge()
    await asyncio.wait_for(finishing, 10)


async def test_who_stops_waiting_does_not_take_the_message_back(producer, channel):
    delivery = producer.send("t", "x")
    with pytest.raises(asyncio.TimeoutError):
        await asyncio.wait_for(delivery, 0.01)
    assert not channel.futures[0].cancelled()
    channel.acknowledge()
    assert (await delivery).partition == 1


async def test_a_full_producer_refuses_coroutines(producer, channel, monkeypatch):
    monkeypatch.setattr(kafka, "MAX_IN_FLIGHT", 2)
    producer.send("t", "x")
    producer.send("t", "x")
    with pytest.raises(QuotaExceeded, match="2 messages wait for Kafka; await some deliveries"):
        producer.send("t", "x")
    channel.acknowledge()
    producer.send("t", "x")


def test_a_full_producer_holds_threads_up(producer, channel, monkeypatch):
    monkeypatch.setattr(kafka, "MAX_BYTES_IN_FLIGHT", 10)
    producer.send("t", "12345678")
    threading.Timer(0.02, channel.acknowledge).start()
    producer.send("t", "12345678")
    assert channel.futures[0].done()


def test_one_message_above_the_bound_goes_alone(producer, channel, monkeypatch):
    monkeypatch.setattr(kafka, "MAX_BYTES_IN_FLIGHT", 10)
    producer.send("t", b"x" * 100)
    assert len(channel.futures) == 1


async def test_after_its_scope_it_refuses(producer):
    await producer.finish(True)
    await producer.close()
    with pytest.raises(ScopeClosed, match="belongs to an execution that has ended"):
        producer.send("t", "x")


def test_values_of_other_types_are_refused(producer):
    with pytest.raises(TypeError, match="the value of a Kafka message is str, bytes or None, not int"):
        producer.send("t", 5)
    with pytest.raises(ValueError, match="no time zone"):
        producer.send("t", "x", timestamp=datetime(2026, 1, 1))
