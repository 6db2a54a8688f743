"""The broker's side of one link: its scopes, its grants, its calls in flight, and the end of them."""

from __future__ import annotations

import asyncio
import logging
import secrets
import socket
from collections.abc import Callable, Collection, Coroutine, Iterable
from typing import Any

from moorage.broker import refusals
from moorage.broker.audit_sink import AuditSink
from moorage.broker.dispatch import Dispatcher, Running
from moorage.broker.learning import Learning
from moorage.broker.link_state import Identity, LinkState
from moorage.broker.loop_shares import LoopShare
from moorage.broker.methods import MethodTable
from moorage.broker.net import Dialler, NetProxy
from moorage.broker.quota import Quota
from moorage.broker.scope import Held, Scope, ScopeKind
from moorage.broker.use import Use
from moorage.models.attachment import Holding
from moorage.models.installation import InstallationId
from moorage_proto.capability import Capability, Grants
from moorage_proto.errors import CallError
from moorage_proto.link import IncomingCall

log = logging.getLogger(__name__)

#: How long calls may go on after the task that made them has returned.
LAST_CALLS_SECONDS = 5.0

#: How long a handler may take to unwind when it is cancelled.
UNWIND_SECONDS = 5.0


class BrokerSession:
    """Speaks in ids and values, never in links, so that it may live in another process than its supervisor."""

    def __init__(
        self,
        identity: Identity,
        grants: Grants,
        quota: Quota,
        share: LoopShare,
        methods: MethodTable,
        audit: AuditSink,
        use: Use,
        on_end: Callable[[BrokerSession], None],
        dialler: Dialler,
        learning: Learning | None = None,
    ) -> None:
        self.identity = identity
        #: Of the event loop's time; its links ask it how long to pause.
        self.share = share
        self._link = LinkState(identity, grants, quota, share, audit, use, learning=learning)
        self._dispatcher = Dispatcher(self._link, methods, audit, self._release_late)
        self._audit = audit
        self._on_end = on_end
        self._dialler = dialler
        #: Of the worker's own network, where it was granted connections.
        self._proxy: NetProxy | None = None
        #: Scopes that end, and resources that are taken back.
        self._endings: set[asyncio.Task[None]] = set()
        self._end: asyncio.Task[None] | None = None

    @property
    def installation(self) -> InstallationId:
        return self.identity.installation

    @property
    def calls(self) -> int:
        """Calls that arrived."""
        return self._link.calls

    @property
    def denied(self) -> int:
        """Calls, and items of streams, that the gate refused."""
        return self._link.denied

    @property
    def in_flight(self) -> int:
        """Calls of all workers of its installation."""
        return self._link.quota.in_flight

    @property
    def grants(self) -> Grants:
        return self._link.grants

    def uses(self, need: Capability) -> bool:
        """Whether it may, at this moment, have what the host does for it without a call of it; counted as a use."""
        decision = self._link.decide(need)
        if decision.allowed and decision.rule is not None:
            self._link.use.allowed(decision.rule)
        return decision.allowed

    def holdings(self) -> tuple[Holding, ...]:
        """What is open in all its scopes."""
        return tuple(holding for scope in self._link.scopes.values() for holding in scope.holdings())

    def dispatch(self, call: IncomingCall) -> None:
        """The link's dispatcher."""
        self._dispatcher.dispatch(call)

    async def serve_net(self, listener: socket.socket) -> None:
        """From now on connections of the worker come in there; the listener is the session's."""
        self._proxy = NetProxy(self._link, self._audit, self._dialler, listener)
        await self._proxy.start()

    def open_scope(self, kind: ScopeKind, scope_id: str, execution: str = "") -> Scope:
        """From now on the worker's calls may name it.

        Raises CallError when the link has ended; ValueError when the id is taken: ids are the host's own.
        """
        if not self._link.alive:
            raise refusals.link_ended(self.installation)
        if scope_id in self._link.scopes or not scope_id:
            raise ValueError(f"the scope id {scope_id!r} is taken or empty")
        scope = Scope(scope_id, kind, self.installation, self.identity.incarnation, execution)
        self._link.add_scope(scope)
        return scope

    async def close_scope(self, scope_id: str, *, success: bool) -> None:
        """Commits or rolls back what the scope holds, and releases it. Goes on when the caller is cancelled.

        New calls are refused at once. On success calls in flight may end first; what does not end in time is cancelled
        and the scope rolled back. Of a scope that has ended already, without success: does nothing.
        Raises CallError when the scope was to succeed and did not.
        """
        scope = self._link.take_scope(scope_id)
        if scope is not None:
            await asyncio.shield(self._own(self._close(scope, success=success), f"close {scope_id}"))
        elif success:
            raise refusals.rolled_back(scope_id)

    async def streams_ended(self, scope_id: str, timeout_seconds: float) -> None:
        """Until no stream goes on in a live scope; or until the time is over."""
        streams = [
            call.task
            for call in self._dispatcher.running
            if call.passage.scope.id == scope_id
            and (call.passage.method.kind.gives_items or call.passage.method.kind.takes_items)
        ]
        if streams:
            await asyncio.wait(streams, timeout=timeout_seconds)

    def set_grants(self, grants: Grants) -> asyncio.Task[None]:
        """Decides by the new grants from now on; older ones than the present (by epoch) are ignored.

        What the worker had open and may have no longer is ended with GRANT_REVOKED. The task is done when it is
        released; there is no need to wait for it.
        """
        if grants.epoch >= self._link.grants.epoch:
            self._link.grants = grants if self._link.learning is None else self._link.learning.grants(grants)
            for running in tuple(self._dispatcher.running):
                if running.passage.revoked():
                    running.abort(refusals.grant_revoked(running.passage.method.path))
        return self._own(self._revoke_held(), f"revoke {self.identity.incarnation}")

    async def end(self) -> None:
        """The link is lost, or the incarnation over: everything is rolled back and released. May be called twice."""
        if self._end is None:
            self._link.alive = False
            self._end = asyncio.create_task(self._end_all(), name=f"end {self.identity.incarnation}")
        await asyncio.shield(self._end)

    async def _close(self, scope: Scope, *, success: bool) -> None:
        unfinished = await self._last_calls(scope, wait=success)
        failure = await self._end_scope(scope, success=success and not unfinished)
        if success and unfinished:
            raise refusals.unfinished_calls(scope.id, unfinished)
        if failure is not None:
            raise failure

    async def _last_calls(self, scope: Scope, *, wait: bool) -> list[str]:
        """Methods whose calls had to be cancelled. Streams of replies, which nobody reads any more, don't count."""
        running = [call for call in self._dispatcher.running if call.passage.scope is scope]
        for call in running:
            if call.passage.method.kind.gives_items:
                call.abort(refusals.scope_closed(scope.id))
        if wait and running:
            await asyncio.wait([call.task for call in running], timeout=LAST_CALLS_SECONDS)
        unfinished = [call for call in running if not call.task.done()]
        await self._abort(unfinished, refusals.scope_closed(scope.id))
        return [call.passage.method.path for call in unfinished if not call.passage.method.kind.gives_items]

    async def _end_scope(self, scope: Scope, *, success: bool) -> CallError | None:
        try:
            await scope.end(success=success)
        except CallError as failure:
            return failure
        except Exception as error:
            reference = secrets.token_hex(4)
            log.error("%s: the commit of %s failed (%s)", self.installation, scope.id, reference, exc_info=error)
            return refusals.commit_failed(scope.id, reference)
        return None

    async def _revoke_held(self) -> None:
        """Newest first: a cursor goes before its connection. To the worker all are gone at once, however long it takes
        to close them.
        """
        going = [
            (scope, handle, resource)
            for scope in self._link.scopes.values()
            for handle, resource in reversed(scope.held.items())
            if _must_go(resource)
        ]
        for scope, handle, resource in going:
            scope.revoked.add(handle)
            for call in self._users(resource):
                call.abort(refusals.grant_revoked(call.passage.method.path))
        for scope, handle, resource in going:
            await self._unwound(self._users(resource))
            await scope.revoke(handle)

    def _users(self, resource: Held) -> list[Running]:
        return [call for call in self._dispatcher.running if call.passage.uses(resource)]

    async def _end_all(self) -> None:
        if self._proxy is not None:
            await self._proxy.close()
        await self._abort(self._dispatcher.running, refusals.link_ended(self.installation))
        for scope in tuple(self._link.scopes.values()):
            self._link.take_scope(scope.id)
            self._own(self._close(scope, success=False), f"close {scope.id}")
        if self._endings:
            await asyncio.wait(self._endings)
        self._on_end(self)

    async def _abort(self, calls: Iterable[Running], error: CallError) -> None:
        calls = tuple(calls)
        for call in calls:
            call.abort(error)
        await self._unwound(calls)

    async def _unwound(self, calls: Collection[Running]) -> None:
        """Returns when the handlers of aborted calls have ended, or were given up."""
        if calls:
            _, stuck = await asyncio.wait([call.task for call in calls], timeout=UNWIND_SECONDS)
            for task in stuck:
                log.error("%s ignores its cancellation for %g s", task.get_name(), UNWIND_SECONDS)

    def _release_late(self, scope: Scope) -> None:
        """A handler that outlived its scope may have opened something in it."""
        if scope.held:
            self._own(scope.end(success=False), f"release {scope.id}")

    def _own(self, work: Coroutine[Any, Any, None], name: str) -> asyncio.Task[None]:
        task = asyncio.create_task(work, name=f"{self.installation} {name}")
        self._endings.add(task)
        task.add_done_callback(self._endings.discard)
        return task


def _must_go(resource: Held) -> bool:
    try:
        return resource.revoked()
    except Exception:
        log.exception("whether %s fits the new grants is not known; it is closed", type(resource).__name__)
        return True
