"""librdkafka's errors as the contract's. Their own text holds addresses, so only their names are passed on."""

from __future__ import annotations

from typing import Any

from moorage.broker.services.kafka.base import OutgoingMessage, unavailable
from moorage_proto.errors import CallError, Reason, Status

#: Names of errors that end by themselves, or when the cluster is back.
_UNAVAILABLE = frozenset(
    {
        "_ALL_BROKERS_DOWN",
        "_DESTROY",
        "_MSG_TIMED_OUT",
        "_PURGE_INFLIGHT",
        "_PURGE_QUEUE",
        "_RESOLVE",
        "_TIMED_OUT",
        "_TIMED_OUT_QUEUE",
        "_TRANSPORT",
        "BROKER_NOT_AVAILABLE",
        "LEADER_NOT_AVAILABLE",
        "NETWORK_EXCEPTION",
        "NOT_ENOUGH_REPLICAS",
        "NOT_ENOUGH_REPLICAS_AFTER_APPEND",
        "NOT_LEADER_FOR_PARTITION",
        "REQUEST_TIMED_OUT",
    }
)
_ABSENT = frozenset({"_UNKNOWN_PARTITION", "_UNKNOWN_TOPIC", "UNKNOWN_TOPIC_OR_PART"})
_UNAUTHORIZED = frozenset(
    {"_AUTHENTICATION", "CLUSTER_AUTHORIZATION_FAILED", "SASL_AUTHENTICATION_FAILED", "TOPIC_AUTHORIZATION_FAILED"}
)


def call_error(cluster: str, message: OutgoingMessage, error: Any) -> CallError:
    """From a ``confluent_kafka.KafkaError``."""
    name: str = error.name()
    if name in _UNAVAILABLE:
        return unavailable(cluster, f"did not acknowledge the message ({name})")
    if name == "MSG_SIZE_TOO_LARGE":
        return CallError(
            Status.INVALID_ARGUMENT,
            Reason.MESSAGE_TOO_LARGE,
            f"The message for topic {message.topic!r}, {_size(message):,} bytes with key and headers, is larger than "
            f"the cluster {cluster!r} takes. Send less, or let an operator raise message.max.bytes on both sides.",
        )
    if name in _ABSENT:
        partition = "" if message.partition is None else f" with partition {message.partition}"
        return _failed(
            Status.NOT_FOUND,
            f"The Kafka cluster {cluster!r} has no topic {message.topic!r}{partition}. An operator creates it there.",
        )
    if name in _UNAUTHORIZED:
        return _failed(
            Status.PERMISSION_DENIED,
            f"The Kafka cluster {cluster!r} itself does not let this host write to {message.topic!r} ({name}). Its "
            "operator changes the cluster's access rules, or the credentials in the host's settings.",
        )
    return _failed(
        Status.ABORTED, f"The Kafka cluster {cluster!r} refused the message for topic {message.topic!r} ({name})."
    )


def _failed(status: Status, sentence: str) -> CallError:
    return CallError(status, Reason.BACKEND_FAILED, sentence)


def _size(message: OutgoingMessage) -> int:
    headers = sum(len(key) + len(value or b"") for key, value in message.headers)
    return len(message.key or b"") + len(message.value or b"") + headers
