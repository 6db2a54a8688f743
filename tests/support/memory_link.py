"""A worker's end of a link in the test's own process: the real engine on both sides, without a socket."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from moorage.broker.broker import Broker, Identity
from moorage.broker.scope import ScopeKind
from moorage.broker.session import BrokerSession
from moorage.models.audit import AuditEntry
from moorage.models.manifest import Limits
from moorage_proto.capability import Grants, parse
from moorage_proto.link import Link, LinkLimits, Side


class MemoryTransport:
    def __init__(self, incoming: asyncio.Queue[bytes | None], outgoing: asyncio.Queue[bytes | None]) -> None:
        self._incoming = incoming
        self._outgoing = outgoing

    async def read(self) -> bytes | None:
        return await self._incoming.get()

    async def write(self, data: bytes) -> None:
        await self._outgoing.put(data)

    async def finish(self) -> None:
        await self._outgoing.put(None)


@dataclass
class RecordingAudit:
    """(method, capability) of what passed, and the entries of what did not."""

    passed: list[tuple[str, str]] = field(default_factory=list)
    refused: list[AuditEntry] = field(default_factory=list)
    #: Calls that were to be kept in full, by capability.
    in_full: list[str] = field(default_factory=list)
    down: str = ""
    fail_closed: bool = False
    crowded: bool = False

    def is_crowded(self, installation: str) -> bool:
        return self.crowded

    def allowed(
        self, installation: str, actor: str, method: str, capability: str, execution: str, *, in_full: bool = False
    ) -> None:
        if in_full:
            self.in_full.append(capability)
        self.passed.append((method.rpartition("/")[2], capability))

    def denied(self, entry: AuditEntry) -> None:
        self.refused.append(entry)


@dataclass
class Connected:
    """One worker's link: its own end, and the broker's session."""

    worker: Link
    host: Link
    session: BrokerSession


#: The scope that tests call in.
SCOPE = "e-1"


def grants(*capabilities: str, deny: Iterable[str] = (), epoch: int = 0, fail_closed: Iterable[str] = ()) -> Grants:
    return Grants(tuple(map(parse, capabilities)), tuple(map(parse, deny)), epoch, tuple(map(parse, fail_closed)))


@asynccontextmanager
async def connected(
    broker: Broker,
    allowed: Grants,
    *,
    installation: str = "churn",
    incarnation: str = "",
    limits: Limits | None = None,
    scope: str = SCOPE,
) -> AsyncIterator[Connected]:
    """With one open scope, of an execution of the same id."""
    incarnation = incarnation or f"i-{installation}"
    session = broker.connect(Identity(installation, incarnation, 1), allowed, limits or Limits())
    session.open_scope(ScopeKind.EXECUTION, scope, execution=scope)
    up: asyncio.Queue[bytes | None] = asyncio.Queue()
    down: asyncio.Queue[bytes | None] = asyncio.Queue()
    link_limits = LinkLimits()
    host = Link(MemoryTransport(up, down), Side.HOST, session.dispatch, limits=link_limits, name="host")
    worker = Link(MemoryTransport(down, up), Side.WORKER, session.dispatch, limits=link_limits, name="worker")
    try:
        yield Connected(worker, host, session)
    finally:
        await worker.close("the test is over")
        await host.wait_finished()
        await session.end()
