"""The one gate. Every call of every worker passes here, and meets its checks in this order.

A refusal is a sentence that names what was missing and the command that grants it (``refusals``), and is audited. What
passes is audited when its handler has ended (``dispatch``).
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime

from google.protobuf.message import Message

from moorage.broker import refusals
from moorage.broker.audit_sink import AuditSink
from moorage.broker.link_state import LinkState
from moorage.broker.methods import MethodTable
from moorage.broker.passage import Passage
from moorage.models.audit import AuditEntry, AuditKind
from moorage_proto.errors import CallError
from moorage_proto.link import IncomingCall

#: Runs the handler with its deadline, answers the call, and audits it. The request is None where requests stream: each
#: item is then examined as it arrives.
Handle = Callable[[Passage, Message | None], None]


def pass_gate(link: LinkState, methods: MethodTable, call: IncomingCall, handle: Handle, audit: AuditSink) -> None:
    """Answers the call, now or through the task that ``handle`` starts."""
    link.calls += 1
    try:
        # 1. The link is alive, and its incarnation the current one.
        if not link.alive:
            raise refusals.link_ended(link.identity.installation)
        # 2. The scope is live, and of this link: no other link's scopes are in its table.
        scope = link.scopes.get(call.scope)
        if scope is None:
            raise refusals.scope_closed(call.scope)
        scope.calls += 1
        # 3. The method is known.
        method = methods.get(call.method)
        if method is None:
            raise refusals.method_unknown(call.method)
        # 4. The access rule of this very message allows it.
        passage = Passage(link, scope, method, call)
        request = None if method.kind.takes_items else passage.examine(call.request)
        # 5. The quota has room.
        link.quota.admit(passage.size_bytes)
        passage.counters.calls += 1
        passage.counters.bytes_in += passage.size_bytes
        scope.bytes += passage.size_bytes
        # It was read, and may be large.
        call.request = b""
    except CallError as refusal:
        call.fail(refusal)
        audit_denial(link, call, refusal, audit)
        return
    # 6. The handler, with its deadline; 7. then the audit.
    handle(passage, request)


def audit_denial(link: LinkState, call: IncomingCall, refusal: CallError, audit: AuditSink) -> None:
    link.denied += 1
    scope = link.scopes.get(call.scope)
    if scope is not None:
        scope.denied += 1
    link.use.of(call.method).denied += 1
    audit.denied(
        AuditEntry(
            time=datetime.now(UTC),
            kind=AuditKind.DENIED,
            installation=link.identity.installation,
            actor=link.identity.incarnation,
            action=refusals.shown(call.method),
            capability=refusal.capability,
            message=refusal.message,
            execution=link.executions.get(call.scope, ""),
        )
    )
