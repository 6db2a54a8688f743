"""The proxy of one worker, on the one socket that listens in the worker's own network.

Each CONNECT passes what a call passes at the gate: the link is alive, the right is there, the quota has room; it is
audited, and its connection is held for the worker, so that it ends with it or with the right.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import resource
import socket
import time
from datetime import UTC, datetime

from moorage.broker import refusals
from moorage.broker.audit_sink import AuditSink
from moorage.broker.egress.resolver import BoundedLookUp
from moorage.broker.link_state import LinkState
from moorage.broker.loop_shares import charged
from moorage.broker.net.dialler import Dialler, Streams
from moorage.broker.net.request import MAX_HEAD_BYTES, RequestRefused, Target, target_of
from moorage.broker.net.tunnel import Tunnel, private_allowed
from moorage.models.audit import AuditEntry, AuditKind
from moorage_proto.errors import CallError, Reason, Status

log = logging.getLogger(__name__)

#: How a connection is called where methods are: in the audit, and in counters.
METHOD = "CONNECT"

#: Connections of one worker, with those that have not said yet where they want to go.
MAX_CONNECTIONS = 256

#: Of the descriptors that this process may have; what is above is the host's own. A connection takes two.
DESCRIPTORS_SHARE = 0.75

#: When the process has none left at all, connections are taken again after so long.
SHORTAGE_SECONDS = 1.0

#: Until a client has said where it wants to go.
HEAD_SECONDS = 10.0

_STATUS = {
    Status.PERMISSION_DENIED: 403,
    Status.RESOURCE_EXHAUSTED: 429,
    Status.UNAVAILABLE: 502,
}


class NetProxy:
    """Serves from ``start`` to ``close``."""

    def __init__(self, link: LinkState, audit: AuditSink, dialler: Dialler, listener: socket.socket) -> None:
        """The listener is its own from here on."""
        self._link = link
        self._audit = audit
        self._dialler = dialler
        self._look_up = BoundedLookUp(dialler.look_up)
        self._listener = listener
        self._accepting: asyncio.Task[None] | None = None
        self._clients: set[asyncio.Task[None]] = set()

    async def start(self) -> None:
        self._listener.setblocking(False)
        name = f"{self._link.identity.installation} connections"
        self._accepting = asyncio.create_task(self._accept(), name=name)

    async def close(self) -> None:
        """Ends every connection. May be called twice."""
        tasks = [*self._clients, *([] if self._accepting is None else [self._accepting])]
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)
        self._listener.close()

    async def _accept(self) -> None:
        """One by one, and no faster than its share of the loop: a worker may dial and hang up as fast as it can."""
        loop = asyncio.get_running_loop()
        while True:
            try:
                client, _ = await loop.sock_accept(self._listener)
            except OSError as error:
                log.error("%s: a connection to its proxy is not taken: %s", self._link.identity.incarnation, error)
                await asyncio.sleep(SHORTAGE_SECONDS)
                continue
            began = time.perf_counter()
            self._take(client)
            pause_seconds = self._link.share(time.perf_counter() - began)
            if pause_seconds > 0:
                await asyncio.sleep(pause_seconds)

    def _take(self, client: socket.socket) -> None:
        if len(self._clients) >= MAX_CONNECTIONS or not self._link.alive or not _leaves_room(client):
            client.close()
            return
        name = f"{self._link.identity.installation} connection"
        task = asyncio.create_task(charged(self._serve(client), self._link.share), name=name)
        self._clients.add(task)
        task.add_done_callback(self._clients.discard)
        # Also of one that was cancelled before its first step.
        task.add_done_callback(lambda _: client.close())

    async def _serve(self, client: socket.socket) -> None:
        reader, writer = await asyncio.open_connection(sock=client, limit=MAX_HEAD_BYTES)
        try:
            async with asyncio.timeout(HEAD_SECONDS):
                head = await reader.readuntil(b"\r\n\r\n")
            await self._connect(target_of(head), (reader, writer))
        except RequestRefused as refusal:
            await _answer(writer, refusal.status, refusal.sentence)
        except asyncio.LimitOverrunError:
            await _answer(writer, 431, f"The head of a request has at most {MAX_HEAD_BYTES:,} bytes.")
        except CallError as error:
            await _answer(writer, _STATUS.get(error.status, 502), error.message)
        except (asyncio.IncompleteReadError, TimeoutError, OSError):
            log.debug("%s: a client of its proxy went away", self._link.identity.incarnation)
        except Exception:
            log.exception("%s: its proxy failed", self._link.identity.incarnation)
        finally:
            writer.transport.abort()

    async def _connect(self, target: Target, near: Streams) -> None:
        """Returns when the connection is over. Raises CallError."""
        link = self._link
        link.calls += 1
        counters = link.use.of(METHOD)
        try:
            far, private = await self._reach(target)
        except CallError as refusal:
            if refusal.status is Status.PERMISSION_DENIED or refusal.reason == Reason.QUOTA_EXCEEDED:
                self._denied(target, refusal)
                counters.denied += 1
            raise
        counters.calls += 1
        try:
            await self._hold(Tunnel(link, counters, target, near, far, private=private), near[1])
        finally:
            far[1].transport.abort()
            link.quota.leave(0)

    async def _hold(self, tunnel: Tunnel, client: asyncio.StreamWriter) -> None:
        """The worker's until it is over; what it needs may have gone while it was made."""
        scope = self._link.scopes.get(self._link.identity.incarnation)
        if scope is None:
            raise refusals.link_ended(self._link.identity.installation)
        if tunnel.revoked():
            raise refusals.grant_revoked(METHOD)
        handle = scope.hold(tunnel)
        try:
            client.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
            await tunnel.run()
        finally:
            scope.drop(handle)

    async def _reach(self, target: Target) -> tuple[Streams, bool]:
        """Passes the gate, and connects; whether to what may be private. The quota counts it in flight from here until
        it is over.
        """
        link = self._link
        if not link.alive:
            raise refusals.link_ended(link.identity.installation)
        decision = link.decide(target.need)
        if not decision.allowed:
            raise refusals.refused(link.identity.installation, decision, self._audit.down)
        link.quota.admit(0)
        try:
            private = private_allowed(link, target, decision)
            far = await self._dialler.dial(target.host, target.port, allow_private=private, look_up=self._look_up)
        except BaseException:
            link.quota.leave(0)
            raise
        identity = link.identity
        for right in link.covering(target.need):
            link.use.allowed(right)
        self._audit.allowed(identity.installation, identity.incarnation, METHOD, str(target.need), "")
        return far, private

    def _denied(self, target: Target, refusal: CallError) -> None:
        self._link.denied += 1
        self._audit.denied(
            AuditEntry(
                time=datetime.now(UTC),
                kind=AuditKind.DENIED,
                installation=self._link.identity.installation,
                actor=self._link.identity.incarnation,
                action=METHOD,
                capability=refusal.capability or str(target.need),
                message=refusal.message,
            )
        )


def _leaves_room(client: socket.socket) -> bool:
    """The kernel gives the lowest number that is free: so the newest tells how many there are."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return soft == resource.RLIM_INFINITY or client.fileno() < soft * DESCRIPTORS_SHARE


async def _answer(writer: asyncio.StreamWriter, status: int, sentence: str) -> None:
    """Clients of HTTP show the status line; what they read of the body is the sentence."""
    body = sentence.encode()
    reason = " ".join(sentence.split())[:200].encode("ascii", "replace").decode()
    head = f"HTTP/1.1 {status} {reason}\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: {len(body)}\r\n"
    with contextlib.suppress(OSError, TimeoutError):
        async with asyncio.timeout(HEAD_SECONDS):
            writer.write(head.encode() + b"Connection: close\r\n\r\n" + body)
            await writer.drain()
            # What is still in the socket when it is aborted would be lost.
            writer.close()
            await writer.wait_closed()
