"""The client library, which is an extra of the host."""

from __future__ import annotations

from typing import Any

from moorage.errors import ExitCode, MoorageError

confluent_kafka: Any
try:
    import confluent_kafka
except ImportError:
    confluent_kafka = None


class KafkaClientMissing(MoorageError):
    code = "kafka_client_missing"
    exit_code = ExitCode.CONFIG

    def __init__(self) -> None:
        super().__init__("Kafka needs the package confluent-kafka. Install it with: pip install 'moorage[kafka]'")


def client() -> Any:
    """The module ``confluent_kafka``.

    Raises KafkaClientMissing.
    """
    if confluent_kafka is None:
        raise KafkaClientMissing
    return confluent_kafka
