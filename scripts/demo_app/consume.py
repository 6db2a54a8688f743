"""Reads a Kafka topic from its beginning to its present end, and prints the messages as a JSON list.

    python consume.py BOOTSTRAP_SERVERS TOPIC

A process of its own: what it prints has really been through Kafka.
"""

from __future__ import annotations

import json
import sys

from confluent_kafka import OFFSET_BEGINNING, Consumer, TopicPartition

TIMEOUT_SECONDS = 10.0


def read(servers: str, topic: str) -> list[dict[str, object]]:
    consumer = Consumer({"bootstrap.servers": servers, "group.id": "demo", "enable.auto.commit": False})
    try:
        metadata = consumer.list_topics(topic, timeout=TIMEOUT_SECONDS).topics[topic]
        partitions = [TopicPartition(topic, number, OFFSET_BEGINNING) for number in metadata.partitions]
        ends = [consumer.get_watermark_offsets(one, timeout=TIMEOUT_SECONDS) for one in partitions]
        expected = sum(high - low for low, high in ends)
        consumer.assign(partitions)
        return [_message(consumer, topic) for _ in range(expected)]
    finally:
        consumer.close()


def _message(consumer: Consumer, topic: str) -> dict[str, object]:
    message = consumer.poll(TIMEOUT_SECONDS)
    if message is None or message.error():
        raise SystemExit(f"consume: {topic} could not be read to its end: {message and message.error()}")
    value = message.value()
    return {
        "topic": message.topic(),
        "partition": message.partition(),
        "offset": message.offset(),
        "value": value.decode() if value is not None else None,
    }


if __name__ == "__main__":
    print(json.dumps(read(sys.argv[1], sys.argv[2]), ensure_ascii=False))
