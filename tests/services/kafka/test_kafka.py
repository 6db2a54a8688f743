"""The contract of the Kafka service, over each kind of cluster, read back by a real consumer."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from dataclasses import replace
from datetime import UTC, datetime

import pytest
from confluent_kafka import Producer
from memory_link import SCOPE, RecordingAudit, connected, grants

from moorage.broker.broker import Broker
from moorage.broker.services.base import Caller
from moorage.broker.services.kafka import KafkaService
from moorage.config.services.kafka import KafkaBackend
from moorage_proto import kafka_pb2
from moorage_proto.errors import CallError, Reason, Status
from moorage_proto.methods import service_methods

PRODUCE = service_methods(kafka_pb2, "KafkaService")["produce"]
Request = kafka_pb2.ProduceRequest


async def test_a_message_is_acknowledged_and_arrives_whole(kafka: KafkaService, caller: Caller, read) -> None:
    at = datetime(2026, 11, 20, 6, tzinfo=UTC)
    headers = [kafka_pb2.Header(key="trace", value=b"\x00\xff"), kafka_pb2.Header(key="none")]
    request = Request(
        topic="plays", key=b"ada", value=b"3", headers=headers, timestamp_millis=int(at.timestamp() * 1000)
    )
    reply = await kafka.produce(caller, request)
    assert reply.timestamp_millis == request.timestamp_millis
    (message,) = await asyncio.to_thread(read, kafka.bootstrap_servers["main"], "plays", 1)
    assert (message.key(), message.value()) == (b"ada", b"3")
    assert message.headers() == [("trace", b"\x00\xff"), ("none", None)]
    assert (message.partition(), message.offset()) == (reply.partition, reply.offset)
    assert message.timestamp()[1] == request.timestamp_millis


async def test_nothing_but_a_topic_is_a_tombstone_of_now(kafka: KafkaService, caller: Caller, read) -> None:
    before = datetime.now(UTC).timestamp() * 1000
    reply = await kafka.produce(caller, Request(topic="plays"))
    assert reply.timestamp_millis == pytest.approx(before, abs=10_000)
    (message,) = await asyncio.to_thread(read, kafka.bootstrap_servers["main"], "plays", 1)
    assert (message.key(), message.value(), message.headers()) == (None, None, None)


async def test_an_empty_value_is_no_tombstone(kafka: KafkaService, caller: Caller, read) -> None:
    await kafka.produce(caller, Request(topic="plays", value=b"", key=b""))
    (message,) = await asyncio.to_thread(read, kafka.bootstrap_servers["main"], "plays", 1)
    assert (message.key(), message.value()) == (b"", b"")


async def test_the_partition_may_be_chosen(kafka: KafkaService, caller: Caller) -> None:
    for partition in (0, 2, 2):
        reply = await kafka.produce(caller, Request(topic="plays", value=b"x", partition=partition))
        assert reply.partition == partition
    assert reply.offset == 1


async def test_messages_of_one_key_keep_their_order(kafka: KafkaService, caller: Caller, read) -> None:
    requests = [Request(topic="plays", key=b"ada", value=str(number).encode()) for number in range(300)]
    replies = await asyncio.gather(*(kafka.produce(caller, request) for request in requests))
    assert [reply.offset for reply in replies] == list(range(300))
    messages = await asyncio.to_thread(read, kafka.bootstrap_servers["main"], "plays", 300)
    assert [int(message.value()) for message in messages] == list(range(300))


async def test_backends_are_apart(kafka: KafkaService, caller: Caller, read) -> None:
    await kafka.produce(caller, Request(topic="plays", value=b"main"))
    await kafka.produce(caller, Request(backend="analytics", topic="plays", value=b"analytics"))
    for name, address in kafka.bootstrap_servers.items():
        (message,) = await asyncio.to_thread(read, address, "plays", 1)
        assert message.value() == name.encode()


async def test_an_unknown_backend_is_named(kafka: KafkaService, caller: Caller) -> None:
    with pytest.raises(CallError, match=r"no Kafka cluster named 'nope'.*\[kafka\.nope\]") as refused:
        await kafka.produce(caller, Request(backend="nope", topic="plays"))
    assert (refused.value.status, refused.value.reason) == (Status.NOT_FOUND, Reason.BACKEND_UNKNOWN)


async def test_a_message_that_is_too_large_gets_a_sentence(kafka: KafkaService, caller: Caller) -> None:
    with pytest.raises(CallError, match="1,100,003 bytes with key and headers, is larger") as refused:
        await kafka.produce(caller, Request(topic="plays", value=bytes(1_100_000), key=b"ada"))
    assert refused.value.reason == Reason.MESSAGE_TOO_LARGE
    await kafka.produce(caller, Request(topic="plays", value=bytes(900_000)))


async def test_topics_without_end_are_refused_to_who_asks_for_them(
    kafka: KafkaService, caller: Caller, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("moorage.broker.services.kafka.librdkafka.MAX_TOPICS", 2)
    for topic in ("plays", "skips", "plays"):
        await kafka.produce(caller, Request(topic=topic))
    with pytest.raises(CallError, match="has written to 2 topics of the Kafka cluster 'main'") as refused:
        await kafka.produce(caller, Request(topic="likes"))
    assert refused.value.reason == Reason.QUOTA_EXCEEDED
    await kafka.produce(replace(caller, installation="other"), Request(topic="likes"))
    await kafka.produce(caller, Request(topic="skips"))


async def test_a_partition_that_is_not_there(kafka: KafkaService, caller: Caller) -> None:
    await kafka.produce(caller, Request(topic="plays", value=b"x"))
    with pytest.raises(CallError, match="no topic 'plays' with partition 77") as refused:
        await kafka.produce(caller, Request(topic="plays", value=b"x", partition=77))
    assert refused.value.reason == Reason.BACKEND_FAILED


@pytest.mark.parametrize(
    "request_",
    [
        {"topic": ""},
        {"topic": "a b"},
        {"topic": ".."},
        {"topic": "x" * 250},
        {"topic": "a/b"},
        {"topic": "t", "partition": 2**31},
        {"topic": "t", "timestamp_millis": 0},
        {"topic": "t", "timestamp_millis": -5},
    ],
    ids=str,
)
async def test_what_kafka_could_not_take_is_refused_at_once(kafka: KafkaService, caller: Caller, request_) -> None:
    with pytest.raises(CallError) as refused:
        await kafka.produce(caller, Request(**request_))
    assert refused.value.reason == Reason.REQUEST_INVALID


async def test_each_installation_has_its_own_producer(kafka: KafkaService, caller: Caller) -> None:
    other = replace(caller, installation="other")
    await kafka.produce(caller, Request(topic="plays", value=b"x"))
    await kafka.produce(other, Request(topic="plays", value=b"x"))
    producers = kafka._clusters["main"]._producers
    assert set(producers) == {"churn", "other"}
    assert [thread_name(producer) for producer in producers.values()] == [
        "kafka main moorage/churn",
        "kafka main moorage/other",
    ]


@pytest.mark.system
async def test_another_process_reads_what_was_sent(kafka: KafkaService, caller: Caller) -> None:
    for number in range(3):
        await kafka.produce(caller, Request(topic="plugin-topic", value=f"User count: {number}".encode(), partition=1))
    code = """
import json, sys, time
from confluent_kafka import Consumer, TopicPartition
consumer = Consumer({"bootstrap.servers": sys.argv[1], "group.id": "other"})
consumer.assign([TopicPartition("plugin-topic", 1, 0)])
found, end = [], time.monotonic() + 10
while len(found) < 3 and time.monotonic() < end:
    message = consumer.poll(0.2)
    if message is not None and message.error() is None:
        found.append(message.value().decode())
consumer.close()
print(json.dumps(found))
"""
    command = [sys.executable, "-c", code, kafka.bootstrap_servers["main"]]
    ended = await asyncio.to_thread(subprocess.run, command, capture_output=True, text=True, timeout=20, check=True)
    assert json.loads(ended.stdout) == ["User count: 0", "User count: 1", "User count: 2"]


async def test_across_a_link_a_topic_outside_the_grant_is_denied_and_nothing_is_written(read) -> None:
    kafka = KafkaService.from_settings({"main": KafkaBackend()})
    broker = Broker([kafka], RecordingAudit())
    await broker.open()
    async with connected(broker, grants("kafka.produce:plugin-*")) as link:
        with pytest.raises(CallError) as refused:
            await link.worker.call(PRODUCE, Request(topic="secrets", value=b"x"), scope=SCOPE, timeout=5)
        assert refused.value.remedy == "moorage grant churn 'kafka.produce:secrets'"
        await link.worker.call(PRODUCE, Request(topic="plugin-topic", value=b"x"), scope=SCOPE, timeout=5)
    address = kafka.bootstrap_servers["main"]
    await asyncio.to_thread(read, address, "plugin-topic", 1)
    assert "secrets" not in await asyncio.to_thread(topics, address)
    await broker.close()


def topics(address: str) -> set[str]:
    return set(Producer({"bootstrap.servers": address}).list_topics(timeout=5).topics)


def thread_name(producer) -> str:
    return producer._thread.name
