"""The contract of a Kafka cluster, and what is said when one fails."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from moorage.models.installation import InstallationId
from moorage_proto.errors import CallError, Reason, Status


@dataclass(frozen=True, slots=True)
class OutgoingMessage:
    topic: str
    #: None: a tombstone.
    value: bytes | None
    key: bytes | None = None
    headers: tuple[tuple[str, bytes | None], ...] = ()
    #: None: the partitioner chooses.
    partition: int | None = None
    #: Milliseconds since 1970 UTC; None: now.
    timestamp_millis: int | None = None


@dataclass(frozen=True, slots=True)
class Delivery:
    """Where Kafka put a message."""

    partition: int
    offset: int
    timestamp_millis: int


@dataclass(frozen=True, slots=True)
class KafkaAccess:
    """For clients of the host's own, such as the consumers of triggers."""

    #: Its name.
    cluster: str
    #: librdkafka's configuration: where the cluster is, and what its operator says of connections. Never shown.
    options: Mapping[str, Any]
    #: Makes a topic where that is nobody else's work: in the embedded cluster.
    prepare: Callable[[str], Awaitable[None]]


class Cluster(Protocol):
    @property
    def bootstrap_servers(self) -> str:
        """host:port list, for consumers on the host's side; known after ``open``. Never told to plugins."""

    async def open(self) -> None:
        """Raises MoorageError when the settings cannot be used. An unreachable cluster is no error yet."""

    async def produce(self, installation: InstallationId, message: OutgoingMessage, deadline: float | None) -> Delivery:
        """Returns when Kafka has acknowledged the message; messages of one installation keep their order.

        ``deadline`` is of the event loop's clock. Raises CallError, before the deadline.
        """

    def access(self) -> KafkaAccess:
        """While it is open. Raises CallError when it is not."""

    async def close(self) -> None:
        """Delivers what was accepted, as far as a few seconds allow. May be called twice."""


def unavailable(cluster: str, problem: str) -> CallError:
    """Addresses stay in the host's log: they are the operator's."""
    return CallError(
        Status.UNAVAILABLE,
        Reason.BACKEND_UNAVAILABLE,
        f"The Kafka cluster {cluster!r} {problem}. Try again later; the host's log tells its operator more.",
        retryable=True,
    )
