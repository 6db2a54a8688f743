"""What Kafka could not take. Pure; the host asks it before it sends, and the testing kit before it pretends to."""

from __future__ import annotations

import re

from moorage_proto import kafka_pb2

#: Kafka's own rule. A name that breaks it would be tried again and again until the deadline.
_TOPIC = re.compile(r"(?!\.{1,2}$)[A-Za-z0-9._-]{1,249}")

MAX_PARTITION = 2**31 - 1


def problem_of(request: kafka_pb2.ProduceRequest) -> str:
    """As a sentence; empty: there is none."""
    if not _TOPIC.fullmatch(request.topic):
        return (
            f"{request.topic[:249]!r} cannot be the name of a Kafka topic; use up to 249 letters, digits, '.', '_' "
            "or '-'."
        )
    if request.partition > MAX_PARTITION:
        return f"Kafka has no partition {request.partition}; the numbers end at {MAX_PARTITION}."
    if request.HasField("timestamp_millis") and request.timestamp_millis <= 0:
        return "The time of a Kafka message counts in milliseconds since 1970 and has to be positive."
    return ""
