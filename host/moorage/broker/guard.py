"""The guard that handlers with a late access rule decide through, such as SQL's authorizer."""

from __future__ import annotations

import threading

from moorage.broker import refusals
from moorage.broker.link_state import LinkState
from moorage_proto.capability import MAIN_BACKEND, Capability, Decision, Grants
from moorage_proto.errors import CallError

#: Decisions remembered for one call; what comes beyond is decided all the same.
MAX_RECORDED = 4096


class CallGuard:
    """Implements ``services.base.Guard`` for one call, by the link's present grants.

    A service may keep it with what it opened (``Held.revoked``): it goes on deciding by the grants of that moment.
    Decisions may come from any thread; what they were is read on the event loop when the call has ended.
    """

    __slots__ = ("_backends", "_denials", "_installation", "_link", "_lock", "_needs", "_verbs")

    def __init__(self, link: LinkState, verbs: tuple[str, ...]) -> None:
        self._link = link
        self._installation = link.identity.installation
        self._verbs = verbs
        self._lock = threading.Lock()
        self._needs: set[Capability] = set()
        self._denials: dict[Capability, Decision] = {}
        self._backends: set[str] = set()

    def decide(self, need: Capability) -> Decision:
        decision = self._link.decide(need)
        if need.verb not in self._verbs:
            # The contract does not declare this verb for the method; the default is no.
            decision = Decision(allowed=False, need=need)
        if decision.allowed:
            if need not in self._needs:
                self._record(need)
        else:
            self._record_denial(decision)
        return decision

    def covers(self, need: Capability) -> bool:
        return need.verb in self._verbs and self._link.grants.decide(need).allowed

    def require(self, need: Capability) -> None:
        decision = self.decide(need)
        if not decision.allowed:
            raise self._refused(decision)

    def require_any(self, backend: str) -> None:
        backend = backend or MAIN_BACKEND
        if not self._concerns(backend):
            refusal = refusals.backend_untouched(self._installation, self._verbs, backend)
            self._record_denial(Decision(allowed=False, need=Capability(self._verbs[0], f"{backend}/*")))
            raise refusal
        with self._lock:
            self._backends.add(backend)

    def refusal(self, need: Capability) -> CallError:
        with self._lock:
            decision = self._denials.get(need)
        return self._refused(decision or Decision(False, need, self._link.grants.decide(need).rule))

    @property
    def grants(self) -> Grants:
        return self._link.grants

    @property
    def decided(self) -> bool:
        """Whether something was allowed; without it there is no reply."""
        return bool(self._needs or self._backends)

    @property
    def needs(self) -> tuple[Capability, ...]:
        """What was allowed."""
        with self._lock:
            return tuple(self._needs)

    @property
    def denials(self) -> tuple[Decision, ...]:
        with self._lock:
            return tuple(self._denials.values())

    def revoked(self) -> bool:
        """Whether the present grants no longer allow something that was allowed before. Records nothing."""
        if not all(self.covers(need) for need in self.needs):
            return True
        with self._lock:
            return not all(self._concerns(backend) for backend in self._backends)

    def _refused(self, decision: Decision) -> CallError:
        return refusals.refused(self._installation, decision, self._link.audit.down)

    def _concerns(self, backend: str) -> bool:
        return any(self._link.grants.touch(verb, backend) for verb in self._verbs)

    def _record(self, need: Capability) -> None:
        with self._lock:
            if len(self._needs) < MAX_RECORDED:
                self._needs.add(need)

    def _record_denial(self, decision: Decision) -> None:
        with self._lock:
            if len(self._denials) < MAX_RECORDED:
                self._denials.setdefault(decision.need, decision)
