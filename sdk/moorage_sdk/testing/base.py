"""The contract between the testing kit and the fake of a service; the mirror of the host's, without its event loop.

A fake answers the contract's methods under their Python names, as plain functions: ``Produce`` is
``produce(self, caller, request) -> reply``. Where the contract streams replies it returns an iterable of them; where
it streams requests, ``request`` is an iterator. Where it streams both, the fake runs in a thread beside its caller, and
waits in that iterator until the next request is there. It raises CallErrors. Requests and replies cross as serialised
protobuf and every call passes the real access rules, so a fake decides about rights only through ``caller.guard``,
for methods whose rule is late.

Everything else that a fake has is for the test: ``moorage.kafka.values("plugin-topic")``.
"""

from __future__ import annotations

import contextlib
import itertools
from dataclasses import dataclass, field
from typing import Any, Callable, ContextManager, Dict, Iterator, Optional, Protocol, Tuple

from moorage_proto import link_pb2
from moorage_proto.capability import Capability, Decision


class Guard(Protocol):
    """Decides for a handler whose access rule is late. A reply whose guard decided nothing is never sent."""

    def decide(self, need: Capability) -> Decision:
        """Records and returns the decision."""

    def covers(self, need: Capability) -> bool:
        """Whether the need would be allowed; records nothing."""

    def asks_for(self, need: Capability) -> bool:
        """Whether manifest or test allow it, also where everything is allowed to learn; records nothing."""

    def require(self, need: Capability) -> None:
        """Raises CallError(CAPABILITY_MISSING) when the need is not covered."""

    def require_any(self, backend: str) -> None:
        """Raises CallError(CAPABILITY_MISSING) unless some grant with one of the rule's verbs concerns the backend."""

    def refusal(self, need: Capability) -> Exception:
        """The CallError for a need that ``decide`` refused."""


class Held(Protocol):
    """Something that a fake holds open for a scope: a connection, a cursor."""

    def finish(self, *, success: bool) -> None:
        """Commit or roll back. Called once, before release; raises CallError when the commit failed."""

    def release(self) -> None:
        """Give it up. Called exactly once."""


@dataclass
class FakeScope:
    """What the host would hold for one scope."""

    id: str
    execution: str = ""
    held: Dict[int, Held] = field(default_factory=dict)
    #: Things found by key rather than by handle, such as the scoped connection of a backend.
    keyed: Dict[Tuple[str, str], Held] = field(default_factory=dict)
    open: bool = True
    _handles: Iterator[int] = field(default_factory=lambda: itertools.count(1), repr=False)

    def hold(self, resource: Held) -> int:
        """Owns the resource from now on; the number is the handle that the plugin's calls name it by."""
        handle = next(self._handles)
        self.held[handle] = resource
        return handle

    def drop(self, handle: int) -> None:
        """Forgets a resource that the fake has released itself."""
        self.held.pop(handle, None)

    def end(self, *, success: bool) -> None:
        """Finishes and releases all that is held, newest first. May be called twice.

        Raises the first error of a failed commit, after everything was released.
        """
        if not self.open:
            return
        self.open = False
        failure: Optional[Exception] = None
        held = list(reversed(list(self.held.values())))
        for resource in held:
            try:
                resource.finish(success=success and failure is None)
            except Exception as error:  # noqa: BLE001 - whatever a fake raises, the others must still be released
                failure = failure or error
        for resource in held:
            resource.release()
        self.held.clear()
        self.keyed.clear()
        if failure is not None:
            raise failure


@dataclass(frozen=True)
class FakeCaller:
    """What a fake knows of the call."""

    installation: str
    scope: FakeScope
    #: None unless the method's access rule is late.
    guard: Optional[Guard]
    #: The rights that allow a need; none where it is not allowed.
    covering: Callable[[Capability], Tuple[Capability, ...]] = lambda _: ()
    #: Calls are answered one after another; within ``with caller.aside():`` others have their turn. For fakes that
    #: wait, which say so with a true ``waits``.
    aside: Callable[[], ContextManager[None]] = contextlib.nullcontext
    #: Whether nobody waits for the answer any more: look often while waiting.
    is_over: Callable[[], bool] = lambda: False


class Fake(Protocol):
    """One service without its server. Listed in ``fakes.py``; made anew for each test."""

    @property
    def name(self) -> str:
        """The attribute of ``moorage`` under which tests find it: "kafka"."""

    @property
    def contract(self) -> Any:
        """The ServiceDescriptor."""

    def describe(self, welcome: link_pb2.Welcome) -> None:
        """Adds what the host would tell of this service in the handshake, such as the SQL backends."""

    def close(self) -> None:
        """After the test; scopes have ended."""
