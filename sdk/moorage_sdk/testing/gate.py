"""The gate of the testing kit: the contract's real access rules and the real grants, in the host's order."""

from __future__ import annotations

import contextlib
import threading
from typing import Any, Callable, ContextManager, Dict, List, Optional, Set, Tuple

from google.protobuf.message import Message

from moorage_proto import capability
from moorage_proto.capability import MAIN_BACKEND, Capability, Decision, Grants
from moorage_proto.classifiers import CLASSIFIERS, verbs_of
from moorage_proto.errors import CallError, Reason, Status
from moorage_proto.learning import Learnt
from moorage_proto.methods import Method, field_values, methods_of
from moorage_proto.rules import Rule, compile_rule
from moorage_sdk.testing.base import Fake, FakeCaller, FakeScope


class Gate:
    """Finds the fake that answers a method, and decides whether it may."""

    def __init__(self, installation: str, fakes: Tuple[Fake, ...], learnt: Optional[Learnt] = None) -> None:
        self.installation = installation
        self.grants = Grants()
        #: The same without what is allowed only to learn.
        self.asked = Grants()
        #: Notes what is needed, where everything is allowed to learn it.
        self.learnt = learnt
        #: Those that some method's access rule asks for.
        self.verbs: Set[str] = set()
        self.scopes: Dict[str, FakeScope] = {}
        #: Sentences of the calls that were refused, for ``moorage.denials``.
        self.denials: List[str] = []
        #: While a fake waits in it, other calls are answered; the channel's.
        self.aside: Callable[[], ContextManager[None]] = contextlib.nullcontext
        self._handlers: Dict[str, Tuple[Any, Rule]] = {}
        self._waiting: Set[str] = set()
        for fake in fakes:
            self.add(fake)

    def add(self, fake: Fake) -> None:
        for method in methods_of(fake.contract).values():
            self._handlers[method.path] = (getattr(fake, method.name), compile_rule(method, CLASSIFIERS))
            self.verbs |= verbs_of(method)
            if getattr(fake, "waits", False):
                self._waiting.add(method.path)

    def waits(self, method: Method[Any, Any]) -> bool:
        """Whether the fake may wait for other calls before it answers."""
        return method.path in self._waiting

    def decide(self, need: Capability) -> Decision:
        """By the present grants, for a call that needs it."""
        decision = self.grants.decide(need)
        if decision.allowed and self.learnt is not None:
            self.learnt.note(need)
        return decision

    def require_call(self, verb: str, name: str, pattern: str) -> None:
        """For what the host decides on before it calls: a handler of such topics, an extension. Raises CallError."""
        decision = self.grants.decide(capability.need(verb, name))
        if not decision.allowed:
            error = self.missing(decision)
            self.denials.append(error.message)
            raise error
        if self.learnt is not None:
            self.learnt.note(capability.need(verb, pattern))

    def enter(self, method: Method[Any, Any], scope_id: str, over: Optional[threading.Event] = None) -> Passage:
        """For one call, which nobody waits for any more once it is ``over``. Raises CallError."""
        scope = self.scopes.get(scope_id)
        if scope is None or not scope.open:
            raise CallError(
                Status.FAILED_PRECONDITION,
                Reason.SCOPE_CLOSED,
                f"the scope {scope_id!r} has ended; make calls while the task runs, and wait for them there",
            )
        found = self._handlers.get(method.path)
        if found is None:
            raise CallError(
                Status.UNIMPLEMENTED, Reason.METHOD_UNKNOWN, f"the testing kit has no fake of {method.path}"
            )
        handler, rule = found
        return Passage(self, method, handler, rule, scope, over or threading.Event())

    def missing(self, decision: Decision) -> CallError:
        needed = str(decision.need)
        if decision.rule is not None:
            message, remedy = f"{self.installation} may not use {needed}: the test has denied {decision.rule}", ""
        else:
            remedy = f"moorage grant {self.installation} '{needed}'"
            message = (
                f"{self.installation} lacks the capability {needed}; request it under [tool.moorage] in "
                f"pyproject.toml; an operator then grants it with: {remedy}"
            )
        return CallError(Status.PERMISSION_DENIED, Reason.CAPABILITY_MISSING, message, capability=needed, remedy=remedy)


class Passage:
    """One call on its way through the gate."""

    def __init__(
        self,
        gate: Gate,
        method: Method[Any, Any],
        handler: Any,
        rule: Rule,
        scope: FakeScope,
        over: threading.Event,
    ) -> None:
        self.method = method
        self._gate = gate
        self._handler = handler
        self._rule = rule
        self._guard = CallGuard(gate, rule.late_verbs) if rule.late_verbs else None
        self._caller = FakeCaller(
            gate.installation,
            scope,
            self._guard,
            # The grants of that moment: a test may change them.
            lambda need: gate.grants.covering(need),  # noqa: PLW0108 - the same
            gate.aside,
            lambda: over.is_set() or not scope.open,
        )
        #: An item of a stream may go on with what an earlier one was allowed.
        self._allowed = False

    def examine(self, request: Message) -> None:
        """Applies the rule to one request, or to one item of a stream of them. Raises CallError."""
        if self._rule.needs is not None:
            needs = self._rule.needs(request)
            if not needs and not self._allowed:
                raise CallError(
                    Status.INVALID_ARGUMENT,
                    Reason.REQUEST_INVALID,
                    f"{self.method.path} cannot be called like this: it names no resource, and there is nothing to "
                    "decide on.",
                )
            for need in needs:
                decision = self._gate.decide(need)
                if not decision.allowed:
                    raise self._denied(self._gate.missing(decision))
            self._allowed = True
        elif self._rule.handle:
            for handle in field_values(request, self._rule.handle):
                if int(handle) not in self._caller.scope.held:
                    raise CallError(
                        Status.NOT_FOUND,
                        Reason.HANDLE_UNKNOWN,
                        f"{self._rule.handle} {handle} is not, or no longer, one of this scope's",
                    )

    def handle(self, request: Any) -> Any:
        """The fake's answer. Raises its CallErrors."""
        try:
            return self._handler(self._caller, request)
        except CallError as error:
            raise self._denied(error) from None

    def check_reply(self) -> None:
        """A reply whose guard decided nothing is never sent: that would be a bug of the fake."""
        if self._guard is not None and not self._guard.decided:
            raise RuntimeError(f"{self.method.path}: the fake replied without deciding through its guard")

    def _denied(self, error: CallError) -> CallError:
        if error.reason == Reason.CAPABILITY_MISSING:
            self._gate.denials.append(error.message)
        return error


class CallGuard:
    """For fakes whose methods have a late rule."""

    def __init__(self, gate: Gate, verbs: Tuple[str, ...]) -> None:
        self._gate = gate
        self._verbs = verbs
        self.decided = False

    def decide(self, need: Capability) -> Decision:
        decision = self._gate.decide(need) if need.verb in self._verbs else Decision(False, need)
        self.decided = self.decided or decision.allowed
        return decision

    def covers(self, need: Capability) -> bool:
        return need.verb in self._verbs and self._gate.grants.decide(need).allowed

    def asks_for(self, need: Capability) -> bool:
        return self._gate.asked.decide(need).allowed

    def require(self, need: Capability) -> None:
        if not self.decide(need).allowed:
            raise self.refusal(need)

    def require_any(self, backend: str) -> None:
        backend = backend or MAIN_BACKEND
        if not any(self._gate.grants.touch(verb, backend) for verb in self._verbs):
            raise self._gate.missing(Decision(False, Capability(self._verbs[0], f"{backend}/*")))
        self.decided = True

    def refusal(self, need: Capability) -> CallError:
        rule: Optional[Capability] = self._gate.grants.decide(need).rule
        return self._gate.missing(Decision(False, need, rule))
