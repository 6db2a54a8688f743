"""What is said when a topic cannot be listened to. The library's own texts hold addresses, so only names are said."""

from __future__ import annotations

from typing import Any

from moorage.orchestrator.triggers.base import SourceFailed

_ABSENT = frozenset({"_UNKNOWN_TOPIC", "UNKNOWN_TOPIC_OR_PART"})
_UNAUTHORIZED = frozenset(
    {
        *("_AUTHENTICATION", "CLUSTER_AUTHORIZATION_FAILED", "GROUP_AUTHORIZATION_FAILED"),
        *("SASL_AUTHENTICATION_FAILED", "TOPIC_AUTHORIZATION_FAILED"),
    }
)
_WRONG_GROUP = frozenset({"INCONSISTENT_GROUP_PROTOCOL", "INVALID_GROUP_ID", "INVALID_SESSION_TIMEOUT"})


def is_hopeless(error: Any) -> bool:
    """Whether no waiting helps: somebody has to do something."""
    return error.name() in _ABSENT | _UNAUTHORIZED | _WRONG_GROUP


def refusal(cluster: str, topic: str, error: Any) -> SourceFailed:
    """From a ``confluent_kafka.KafkaError``."""
    name: str = error.name()
    if name in _ABSENT:
        return SourceFailed(
            f"The Kafka cluster {cluster!r} has no topic {topic!r}. Create it there; it is looked for again and again."
        )
    if name in _UNAUTHORIZED:
        return SourceFailed(
            f"The Kafka cluster {cluster!r} does not let this host read {topic!r} ({name}). Its operator changes the"
            " cluster's access rules, or the credentials in the host's settings."
        )
    if name in _WRONG_GROUP:
        return SourceFailed(
            f"The Kafka cluster {cluster!r} does not let this host into the group ({name}). Others in it use other"
            " settings: give the trigger a group of its own."
        )
    return SourceFailed(f"The Kafka cluster {cluster!r} refuses to deliver the topic {topic!r} ({name}).")


def unreachable(cluster: str, error: Any) -> SourceFailed:
    return SourceFailed(
        f"The Kafka cluster {cluster!r} cannot be reached ({error.name()}). It is tried again; the host's log tells"
        " more."
    )
