"""What plugin code sees of Kafka, over the fake, the embedded cluster, and another's broker: the same."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime

import pytest
from service_worlds import FakeWorld, HostWorld, World, closing, in_scope

from moorage.broker.services.kafka import KafkaService
from moorage.config.services.kafka import KafkaBackend
from moorage_sdk import CapabilityMissing, MoorageError
from moorage_sdk.kafka import Message, Producer, Receipt
from moorage_sdk.testing.kafka import FakeKafka

from .conftest import PARTITIONS, read_messages

#: (key, value, headers) of all messages of a topic, when there are so many.
Contents = Callable[[str, int], list[tuple[bytes | None, bytes | None, list[tuple[str, bytes | None]]]]]


class Kafka:
    """One world of it."""

    def __init__(self, world: World, contents: Contents) -> None:
        self.world = world
        self.contents = contents
        self.worker = world.worker("kafka.produce:plugin-*", "kafka.produce:analytics/plays")

    def producer(self, backend: str = "main") -> Producer:
        return Producer(self.worker.channel, backend)


@pytest.fixture(params=["fake", "embedded", pytest.param("real", marks=pytest.mark.system)])
def kafka(request: pytest.FixtureRequest) -> Iterator[Kafka]:
    if request.param == "fake":
        fake = FakeKafka()
        with closing(FakeWorld(fake)) as world, in_scope():
            yield Kafka(world, lambda topic, _: [(m.key, m.value, list(m.headers)) for m in fake.messages(topic)])
        return
    backend = KafkaBackend()
    if request.param == "real":
        server = request.getfixturevalue("real_server")
        server.forget()
        server.make_topic("plugin-topic", PARTITIONS)
        backend = KafkaBackend(bootstrap_servers=server.address)
    service = KafkaService.from_settings({"main": backend, "analytics": KafkaBackend()})

    def contents(topic: str, count: int) -> list[tuple[bytes | None, bytes | None, list[tuple[str, bytes | None]]]]:
        found = read_messages(service.bootstrap_servers["main"], topic, count)
        return [(message.key(), message.value(), message.headers() or []) for message in found]

    with closing(HostWorld(service)) as world, in_scope():
        yield Kafka(world, contents)


def test_a_message_crosses_whole(kafka: Kafka) -> None:
    at = datetime(2026, 11, 20, 6, tzinfo=UTC)
    sent = kafka.producer().send(
        "plugin-topic", "three", key="ada", headers={"a": b"\x00", "b": None}, partition=0, timestamp=at
    )
    assert sent.result(10) == Receipt("plugin-topic", 0, 0, int(at.timestamp() * 1000))
    assert kafka.contents("plugin-topic", 1) == [(b"ada", b"three", [("a", b"\x00"), ("b", None)])]


def test_a_batch_is_acknowledged_as_a_whole_and_in_order(kafka: Kafka) -> None:
    messages = (Message("plugin-topic", f"{number}", key="k", partition=0) for number in range(300))
    receipts = kafka.producer().send_batch(messages, timeout=20)
    assert [receipt.offset for receipt in receipts] == list(range(300))
    assert [value for _, value, _ in kafka.contents("plugin-topic", 300)] == [b"%d" % number for number in range(300)]


async def test_a_batch_in_a_coroutine(kafka: Kafka) -> None:
    (receipt,) = await kafka.producer().send_batch_async([Message("plugin-topic", b"x", partition=1)], timeout=10)
    assert (receipt.topic, receipt.partition, receipt.offset) == ("plugin-topic", 1, 0)


def test_an_empty_batch_is_none(kafka: Kafka) -> None:
    assert kafka.producer().send_batch([], timeout=10) == []


def test_a_topic_outside_the_grant_is_refused_and_nothing_is_written(kafka: Kafka) -> None:
    with pytest.raises(CapabilityMissing) as refused:
        kafka.producer().send("secrets", b"x").result(10)
    assert "kafka.produce:secrets" in str(refused.value)
    with pytest.raises(CapabilityMissing):
        kafka.producer().send_batch([Message("secrets", b"x")], timeout=10)
    kafka.producer().send("plugin-topic", b"x", partition=0).result(10)
    assert len(kafka.contents("plugin-topic", 1)) == 1


def test_rights_to_one_cluster_are_none_to_another(kafka: Kafka) -> None:
    kafka.producer("analytics").send("plays", b"x").result(10)
    with pytest.raises(CapabilityMissing, match=r"kafka\.produce:plays"):
        kafka.producer().send("plays", b"x").result(10)


def test_a_batch_tells_of_what_was_not_delivered(kafka: Kafka) -> None:
    """One name among them is none that Kafka could take."""
    messages = [Message("plugin-topic", b"1", partition=0), Message("plugin-" + "x" * 260, b"2")]
    with pytest.raises(MoorageError, match="249"):
        kafka.producer().send_batch(messages, timeout=10)
    assert [value for _, value, _ in kafka.contents("plugin-topic", 1)] == [b"1"]
