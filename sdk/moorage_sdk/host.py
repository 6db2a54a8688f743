"""What the host told this worker when they met: its name, its rights, its databases."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Iterable, Iterator, Mapping, Tuple

from moorage_proto import capability, link_pb2
from moorage_proto.capability import Capability
from moorage_proto.typed import offer


@dataclass(frozen=True)
class SqlBackend:
    """One database behind the broker."""

    name: str
    #: SQLAlchemy's name of the dialect: "sqlite", "postgresql".
    dialect: str
    #: PEP 249: "qmark".
    paramstyle: str
    #: (3, 40, 1)
    server_version: Tuple[int, ...] = ()


@dataclass(frozen=True)
class HostFacts:
    """Fixed for the life of a worker."""

    installation: str
    capabilities: Tuple[Capability, ...] = ()
    sql_backends: Mapping[str, SqlBackend] = field(default_factory=dict)
    #: Services of the application in typed Python: a FileDescriptorProto by its package.
    contracts: Mapping[str, Any] = field(default_factory=dict)

    def grants_any(self, verbs: Tuple[str, ...], backend: str) -> bool:
        """Whether some granted capability has one of the verbs and, for services with backends, concerns the backend.

        No verbs: the service needs no right, so yes.
        """
        return not verbs or any(_concerns(right, verbs, backend) for right in self.capabilities)


def facts_from_welcome(welcome: link_pb2.Welcome) -> HostFacts:
    """Capabilities that this SDK's grammar cannot read, a newer host's, are left out: nothing here could use them."""
    return HostFacts(
        installation=welcome.installation,
        capabilities=tuple(_readable(welcome.capabilities)),
        sql_backends={
            backend.name: SqlBackend(backend.name, backend.dialect, backend.paramstyle, tuple(backend.server_version))
            for backend in welcome.sql_backends
        },
        contracts=offer.unpack(welcome.contracts),
    )


def _concerns(right: Capability, verbs: Tuple[str, ...], backend: str) -> bool:
    if right.service in capability.BACKEND_SERVICES:
        return any(right.touches(verb, backend) for verb in verbs)
    return right.verb in verbs


def _readable(texts: Iterable[str]) -> Iterator[Capability]:
    for text in texts:
        try:
            yield capability.parse(text)
        except capability.CapabilityInvalid:
            continue


def current() -> HostFacts:
    """Of this process; before the host has told anything, and outside a worker or a test: nothing."""
    return _current


def install(facts: HostFacts) -> None:
    """For the bootstrap and the testing kit."""
    global _current
    _current = facts


_current = HostFacts("")
