"""What the gate knows of one link. The session changes it; the gate and the guards read it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

from moorage.broker.audit_sink import AuditSink
from moorage.broker.learning import Learning
from moorage.broker.loop_shares import LoopShare
from moorage.broker.quota import Quota
from moorage.broker.scope import Scope
from moorage.broker.use import Use
from moorage.models.installation import InstallationId
from moorage_proto.capability import Capability, Decision, Grants

#: Ended scopes whose execution is remembered, for log records that arrive late.
RECENT_SCOPES = 1024


class Identity(NamedTuple):
    """Whose link it is."""

    installation: InstallationId
    incarnation: str
    #: Shown to people as #7.
    number: int


@dataclass(slots=True)
class LinkState:
    identity: Identity
    grants: Grants
    quota: Quota
    #: Of the event loop's time.
    share: LoopShare
    audit: AuditSink
    #: Of the installation, by all its links.
    use: Use
    #: False once the link is lost or its incarnation is over.
    alive: bool = True
    #: The live scopes of this link, by id.
    scopes: dict[str, Scope] = field(default_factory=dict)
    #: Executions by scope id, of live and recently ended scopes; oldest first.
    executions: dict[str, str] = field(default_factory=dict)
    calls: int = 0
    denied: int = 0
    #: Under ``moorage dev --learn`` alone.
    learning: Learning | None = None

    def decide(self, need: Capability) -> Decision:
        """By the present grants; what asks for it is refused while the audit cannot be written. From any thread."""
        decision = self.grants.decide(need)
        if decision.allowed and self._unwritable(decision):
            return Decision(False, need, decision.rule, fail_closed=True)
        if self.learning is not None and decision.allowed:
            self.learning.note(need)
        return decision

    def _unwritable(self, decision: Decision) -> bool:
        """A call that is to be kept in full must not be hidden behind others that the audit has no room for."""
        if decision.fail_closed and self.audit.is_crowded(self.identity.installation):
            return True
        return (decision.fail_closed or self.audit.fail_closed) and bool(self.audit.down)

    def covering(self, need: Capability) -> tuple[Capability, ...]:
        """The rights that allow a need now; none where it is not allowed."""
        return self.grants.covering(need)

    def add_scope(self, scope: Scope) -> None:
        self.scopes[scope.id] = scope
        self.executions[scope.id] = scope.execution

    def take_scope(self, scope_id: str) -> Scope | None:
        """From now on no call may name it."""
        scope = self.scopes.pop(scope_id, None)
        if scope is not None:
            self.executions[scope_id] = self.executions.pop(scope_id)
            while len(self.executions) - len(self.scopes) > RECENT_SCOPES:
                del self.executions[next(known for known in self.executions if known not in self.scopes)]
        return scope
