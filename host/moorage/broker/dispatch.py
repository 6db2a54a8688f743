"""From a call that arrived to the handler that answers it, by way of the gate."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import secrets
from collections.abc import AsyncGenerator, Callable
from typing import Any

from google.protobuf.message import Message

from moorage.broker import refusals
from moorage.broker.audit_sink import AuditSink
from moorage.broker.gate import audit_denial, pass_gate
from moorage.broker.link_state import LinkState
from moorage.broker.loop_shares import charged
from moorage.broker.methods import HandlerKind, MethodTable
from moorage.broker.passage import Passage
from moorage.broker.scope import Scope
from moorage_proto.capability import Capability
from moorage_proto.errors import CallError, Status
from moorage_proto.link import IncomingCall

log = logging.getLogger(__name__)


class Running:
    """A call whose handler is a task."""

    def __init__(self, passage: Passage, task: asyncio.Task[None]) -> None:
        self.passage = passage
        self.task = task
        self._unwinds = False

    def abort(self, error: CallError) -> None:
        """The host ends the call: its caller hears at once, and the handler unwinds. Idempotent."""
        self.passage.call.fail(error)
        self._unwind()

    def cancelled(self) -> None:
        """The caller no longer waits: it said so, its deadline passed, or its link ended. It is told when the handler
        has unwound.
        """
        self._unwind()

    def _unwind(self) -> None:
        """Once, whatever ends it after that: a handler may wait while it cleans up, and close what it has open."""
        if not self._unwinds:
            self._unwinds = True
            self.task.cancel()


class Dispatcher:
    """Of one link, on its event loop. The tasks it starts are the session's to wait for and to end."""

    def __init__(
        self, link: LinkState, methods: MethodTable, audit: AuditSink, on_late: Callable[[Scope], None]
    ) -> None:
        self._link = link
        self._methods = methods
        self._audit = audit
        #: Called when a handler ends after its scope did.
        self._on_late = on_late
        self._loop = asyncio.get_running_loop()
        self.running: set[Running] = set()

    def dispatch(self, call: IncomingCall) -> None:
        """The link's dispatcher. Never raises."""
        try:
            pass_gate(self._link, self._methods, call, self._handle, self._audit)
        except Exception as error:  # noqa: BLE001 - a bug here must not end the link's reader
            self._fail(call, error)

    def _handle(self, passage: Passage, request: Message | None) -> None:
        deadline = passage.call.deadline
        if deadline is not None and deadline <= self._loop.time():
            passage.call.fail(refusals.deadline_exceeded(passage.method.path))
            self._settle(passage)
        elif passage.method.kind is HandlerKind.INLINE:
            self._run_inline(passage, request)
        else:
            self._start(passage, request)

    def _run_inline(self, passage: Passage, request: Message | None) -> None:
        try:
            self._reply(passage, passage.method.handler(passage.caller(), request))
        except Exception as error:  # noqa: BLE001 - whatever a service raises becomes the call's error
            self._handler_failed(passage, error)
        self._settle(passage)

    def _start(self, passage: Passage, request: Message | None) -> None:
        name = f"{self._link.identity.installation} {passage.method.path}"
        running = Running(passage, self._loop.create_task(self._charged(passage, request), name=name))
        self.running.add(running)
        # Not a `finally` in the task: one that is cancelled before its first step never gets there.
        running.task.add_done_callback(lambda _: self._ended(running))
        passage.call.on_cancel(running.cancelled)

    async def _charged(self, passage: Passage, request: Message | None) -> None:
        await charged(self._run(passage, request), self._link.share)

    async def _run(self, passage: Passage, request: Message | None) -> None:
        try:
            if passage.method.kind.takes_items:
                async with contextlib.aclosing(self._examined(passage)) as items:
                    await self._run_handler(passage, items)
            else:
                await self._run_handler(passage, request)
        except Exception as error:  # noqa: BLE001 - whatever a service raises becomes the call's error
            self._handler_failed(passage, error)

    async def _run_handler(self, passage: Passage, argument: Any) -> None:
        method = passage.method
        if method.kind.gives_items:
            await self._send_items(passage, method.handler(passage.caller(), argument))
        else:
            self._reply(passage, await method.handler(passage.caller(), argument))

    async def _send_items(self, passage: Passage, replies: Any) -> None:
        async with contextlib.aclosing(replies):
            async for reply in replies:
                passage.check_reply()
                data = reply.SerializeToString()
                passage.counters.bytes_out += len(data)
                passage.scope.bytes += len(data)
                await self._slow_down(len(data))
                await passage.call.send_item(data)
        passage.check_reply()
        passage.call.finish()

    async def _examined(self, passage: Passage) -> AsyncGenerator[Message]:
        """The items of a client stream, each of which meets the access rule and the quota by itself."""
        async for data in passage.call.items():
            try:
                request = passage.examine(data)
            except CallError as refusal:
                passage.refusal = refusal
                audit_denial(self._link, passage.call, refusal, self._audit)
                raise
            passage.counters.bytes_in += len(data)
            passage.scope.bytes += len(data)
            await self._slow_down(len(data))
            yield request

    async def _slow_down(self, size_bytes: int) -> None:
        delay_seconds = self._link.quota.charge(size_bytes)
        if delay_seconds > 0:
            await asyncio.sleep(delay_seconds)

    def _reply(self, passage: Passage, reply: Message) -> None:
        passage.check_reply()
        data = reply.SerializeToString()
        self._link.quota.charge(len(data))
        passage.counters.bytes_out += len(data)
        passage.scope.bytes += len(data)
        passage.call.reply(data)

    def _handler_failed(self, passage: Passage, error: Exception) -> None:
        """A refusal that no capability could lift, such as SQLite's VACUUM, is in the audit like those of the gate."""
        is_audited = passage.refusal is not None or any(passage.denials())
        if isinstance(error, CallError) and error.status is Status.PERMISSION_DENIED and not is_audited:
            audit_denial(self._link, passage.call, error, self._audit)
        self._fail(passage.call, error)

    def _fail(self, call: IncomingCall, error: Exception) -> None:
        if not isinstance(error, CallError):
            reference = secrets.token_hex(4)
            log.error("%s failed in the host (%s)", refusals.shown(call.method), reference, exc_info=error)
            error = refusals.internal(refusals.shown(call.method), reference)
        call.fail(error)

    def _ended(self, running: Running) -> None:
        self.running.discard(running)
        call = running.passage.call
        if running.task.cancelled():
            call.fail(call.cancelled or refusals.cancelled(running.passage.method.path))
        self._settle(running.passage)
        if not running.passage.scope.open:
            self._on_late(running.passage.scope)

    def _settle(self, passage: Passage) -> None:
        """The end of every call that the gate let through: out of the quota, into the audit."""
        link = self._link
        identity = link.identity
        link.quota.leave(passage.size_bytes)
        for decision in passage.denials():
            refusal = refusals.refused(identity.installation, decision, self._audit.down)
            audit_denial(link, passage.call, refusal, self._audit)
        for need in passage.allowed():
            self._note(passage, need)

    def _note(self, passage: Passage, need: Capability | None) -> None:
        """One thing that a call was allowed. A grant that was taken back meanwhile is not counted any more."""
        link = self._link
        decision = None if need is None else link.grants.decide(need)
        if decision is not None and decision.rule is not None:
            link.use.allowed(decision.rule)
        self._audit.allowed(
            link.identity.installation,
            link.identity.incarnation,
            passage.method.path,
            "" if need is None else str(need),
            passage.scope.execution,
            in_full=decision is not None and decision.fail_closed,
        )
