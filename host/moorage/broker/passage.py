"""One call on its way through the gate: whose it is, what it asks for, what it was allowed."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from google.protobuf.message import DecodeError, Message

from moorage.broker import refusals
from moorage.broker.guard import MAX_RECORDED, CallGuard
from moorage.broker.link_state import LinkState
from moorage.broker.methods import ServedMethod
from moorage.broker.scope import Held, Scope
from moorage.broker.services.base import Caller
from moorage_proto.capability import Capability, Decision
from moorage_proto.errors import CallError
from moorage_proto.link import IncomingCall
from moorage_proto.methods import field_values

_NO_CAPABILITY = (None,)


class Passage:
    """Made by the gate for a call of a known method in a live scope."""

    __slots__ = (
        "_conditions",
        "_needs",
        "_resources",
        "call",
        "counters",
        "guard",
        "link",
        "method",
        "refusal",
        "scope",
        "size_bytes",
    )

    def __init__(self, link: LinkState, scope: Scope, method: ServedMethod, call: IncomingCall) -> None:
        self.link = link
        self.scope = scope
        self.method = method
        self.call = call
        #: Of all calls of this method by its installation.
        self.counters = link.use.of(method.path)
        #: Of the request, as it came.
        self.size_bytes = len(call.request)
        late = method.rule.late_verbs
        self.guard = CallGuard(link, late) if late else None
        #: A refused item of a client stream; the call cannot succeed after it, whatever the handler makes of it.
        self.refusal: CallError | None = None
        self._needs: set[Capability] = set()
        #: What the handler named in ``Caller.only_while``.
        self._conditions: list[Callable[[], bool]] = []
        self._resources: list[Held] = []

    def examine(self, data: bytes) -> Message:
        """Reads one request and applies the method's rule to it. Late rules are the handler's to decide.

        Raises CallError.
        """
        try:
            request = self.method.parse(data)
        except DecodeError:
            problem = f"its request is not a {self.method.path} message"
            raise refusals.request_invalid(self.method.path, problem) from None
        rule = self.method.rule
        if rule.needs is not None:
            self._check_needs(rule.needs(request))
        elif rule.handle:
            self._check_handles(request, rule.handle)
        return request

    def caller(self) -> Caller:
        link = self.link
        identity = link.identity
        return Caller(
            identity.installation,
            identity.incarnation,
            self.scope,
            self.guard,
            self.call.deadline,
            self.call.traceparent,
            link.executions,
            link.covering,
            self._conditions.append,
        )

    def check_reply(self) -> None:
        """Whether a reply, or an item of one, may go out.

        Raises CallError for a refused item, RuntimeError when a late rule was never decided: a bug of the service.
        """
        if self.refusal is not None:
            raise self.refusal
        if self.guard is not None and not self.guard.decided:
            raise RuntimeError(f"{self.method.path}: the handler replied without deciding through its guard")

    def allowed(self) -> Iterable[Capability | None]:
        """For the audit: what was allowed so far; None stands for a call whose rule takes no capability."""
        if self.guard is not None:
            return self.guard.needs
        if self.method.rule.needs is not None:
            return self._needs
        return _NO_CAPABILITY

    def denials(self) -> Iterable[Decision]:
        """For the audit: what the guard refused."""
        return () if self.guard is None else self.guard.denials

    def revoked(self) -> bool:
        """Whether the present grants no longer allow what this call was allowed."""
        if not all(fits() for fits in self._conditions):
            return True
        if self.guard is not None:
            return self.guard.revoked()
        grants = self.link.grants
        return not all(grants.decide(need).allowed for need in self._needs)

    def uses(self, resource: Held) -> bool:
        """Whether a handle of this call named the resource."""
        return any(used is resource for used in self._resources)

    def _check_needs(self, needs: tuple[Capability, ...]) -> None:
        # An item of a stream may go on with what an earlier one was allowed: a body after its head.
        if not needs and not self._needs:
            raise refusals.request_invalid(self.method.path, "it names no resource, and there is nothing to decide on")
        for need in needs:
            decision = self.link.decide(need)
            if not decision.allowed:
                raise refusals.refused(self.link.identity.installation, decision, self.link.audit.down)
            if len(self._needs) < MAX_RECORDED:
                self._needs.add(need)

    def _check_handles(self, request: Any, path: str) -> None:
        handles = field_values(request, path)
        if not handles:
            raise refusals.request_invalid(self.method.path, "it names no handle")
        for handle in handles:
            resource = self.scope.resource(int(handle))
            if not self.uses(resource):
                self._resources.append(resource)
